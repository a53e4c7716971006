"""Two commands on one folder: one wins, the other says so, and no finished model is lost."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import miniature
import pytest
from commandline import call, columns, sentences, tiny, write_corpus

from structseq.data.reading import Corpus
from structseq.errors import TrainingError
from structseq.experiment import ExperimentFolder
from structseq.run import Destination, Identity, PreparedCorpus, RunFolder, train_and_save
from structseq.run import training_run as running
from structseq.spans import scheme_of
from structseq.storage import load_model


def finish(folder: RunFolder, seed: int) -> None:
    """What another training process leaves."""
    with folder.opened(Identity({}, seed)):
        (folder.path / "config.json").write_text('{"model_type": "structseq"}')
        (folder.path / "model.safetensors").write_text(f"weights of seed {seed}")


@pytest.mark.parametrize("resume", [False, True])
def test_a_model_that_was_finished_meanwhile_is_kept(tmp_path: Path, resume: bool) -> None:
    first, second = RunFolder(tmp_path / "out"), RunFolder(tmp_path / "out")
    second.check(resume=resume)
    finish(first, 0)
    message = "holds a finished model; choose another --output"
    with pytest.raises(TrainingError, match=message), second.opened(Identity({}, 1), resume=resume):
        raise AssertionError
    assert (first.path / "model.safetensors").read_text() == "weights of seed 0"


def test_a_run_that_began_and_stopped_meanwhile_needs_resume(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path / "out"), RunFolder(tmp_path / "out")
    second.check(resume=False)
    with suppress(KeyboardInterrupt), first.opened(Identity({}, 0)):
        first.save({}, {})
        raise KeyboardInterrupt
    message = "holds an unfinished run; resume it with --resume"
    with pytest.raises(TrainingError, match=message), second.opened(Identity({}, 0), resume=False):
        pass
    with second.opened(Identity({}, 0), resume=True):
        pass


def test_who_trains_is_not_called_unfinished(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path / "out"), RunFolder(tmp_path / "out")
    with first.opened(Identity({}, 0)), pytest.raises(TrainingError, match="another process is training into this"):
        second.check(resume=False)


def test_files_that_came_meanwhile_are_kept(tmp_path: Path) -> None:
    run, comparison = RunFolder(tmp_path / "run"), ExperimentFolder(tmp_path / "out")
    for folder in (run, comparison):
        folder.path.mkdir()
        (folder.path / "thesis.tex").touch()
    with pytest.raises(TrainingError, match="holds files that are not"), run.opened(Identity({}, 0)):
        raise AssertionError
    with pytest.raises(TrainingError, match="contains other files"), comparison.opened(Identity({}, 0)):
        raise AssertionError


def test_a_model_that_was_saved_during_training_is_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = write_corpus(tmp_path)
    parts["train"].write_text(columns(sentences(8)))
    words = ["train", parts["train"], "--dev", parts["dev"], *tiny(1), "--quiet", "--output"]
    assert call(capsys, *words, tmp_path / "first").status == 0
    fit = running.fit

    def fit_and_save(*arguments: object, **more: object) -> object:
        outcome = fit(*arguments, **more)  # type: ignore[arg-type]
        for file in (tmp_path / "first").iterdir():
            if file.is_file():
                (tmp_path / "out" / file.name).write_bytes(file.read_bytes())
        return outcome

    monkeypatch.setattr(running, "fit", fit_and_save)
    done = call(capsys, *words, tmp_path / "out", "--seed", 1)
    assert done.status == 2 and "holds a finished model" in done.sentence
    both = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "out")]
    assert both[0] == both[1]


def test_a_comparison_that_began_meanwhile_is_checked(tmp_path: Path) -> None:
    first, second = (ExperimentFolder(tmp_path / "out") for _ in range(2))
    second.check()
    with first.opened(Identity({}, 0)):
        (tmp_path / "out" / "trials" / "lstm+crf-0").mkdir()
    with pytest.raises(TrainingError, match="cannot resume this comparison"), second.opened(Identity({"a": 1}, 0)):
        raise AssertionError


@pytest.mark.parametrize("resume", [False, True])
def test_two_runs_started_at_random_offsets(tmp_path: Path, resume: bool) -> None:
    """Threads stand for processes, as the lock is one of open files; benchmarks/races.py does this with processes."""
    corpus = Corpus(miniature.sentences(8), miniature.sentences(4, 1))
    prepared, options = PreparedCorpus(corpus, scheme_of("BIO")), miniature.options({"training": {"epochs": 1}})
    chance = random.Random(0)

    def train(number: int, seed: int, delays: tuple[float, float]) -> str:
        folder = RunFolder(tmp_path / f"{number}")
        destination = Destination(folder, lambda: Identity({}, seed), resume=resume)
        try:
            time.sleep(delays[0])
            folder.check(resume=resume)
            time.sleep(delays[1])  # while the data are read
            train_and_save(prepared, options, seed=seed, destination=destination)
        except TrainingError as problem:
            return str(problem)
        return ""

    refusals = set()
    with ThreadPoolExecutor(2) as pool:
        for number in range(8):
            seeds = (0, 1)
            runs = [pool.submit(train, number, n, (chance.uniform(0, 0.1), chance.uniform(0, 0.2))) for n in seeds]
            said = [run.result() for run in runs]
            (winner,) = (n for n in seeds if not said[n])
            model = load_model(tmp_path / f"{number}")
            assert model.provenance["run"]["seed"] == winner
            assert not {"run", ".lock", ".new.lock"} & {path.name for path in (tmp_path / f"{number}").iterdir()}
            refusals |= set("".join(said).replace(str(tmp_path / f"{number}"), "X").split("; "))
    assert refusals & {"X: holds a finished model", "X: another process is training into this folder"}
