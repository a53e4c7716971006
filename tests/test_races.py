"""Two commands on one folder: one wins, the other says so, and no finished model is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from commandline import InProcess, call, columns, sentences, tiny, write_corpus

from structseq.errors import TrainingError
from structseq.experiment import ExperimentFolder
from structseq.run import Identity, RunFolder
from structseq.run import training_run as running

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "races.py"


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
    words = ["train", parts["train"], *tiny(1), "--quiet", "--output"]
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


def test_a_second_comparison_that_waited_for_its_data_is_checked_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = write_corpus(tmp_path)
    words = ["compare", parts["train"], "--dev", parts["dev"], *tiny(1), "--quiet", "--output", tmp_path / "out"]
    monkeypatch.setattr("structseq.experiment.compare.Pool", InProcess)
    monkeypatch.setattr(ExperimentFolder, "trials", lambda *given: (tmp_path / "out" / "x").touch() or [])
    assert call(capsys, *words).status == 0
    assert "cannot resume" in call(capsys, *words, "--set", "training.clip=0.5").sentence


def test_pairs_started_at_random_offsets(tmp_path: Path) -> None:
    words = ["--pairs", "2", "--seed", "1", "--in-process", "--json", str(tmp_path / "rows")]
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()]
    assert len(rows) == 8 and not [row for row in rows if row["wrong"]], done.stdout
