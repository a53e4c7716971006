"""The compare command: what it leaves and says, resuming after Ctrl-C, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from commandline import Done, InProcess, call, columns, python, sentences, status_unread, tiny, write_corpus

from structseq import cli
from structseq.experiment import Comparison, Record, Trial, WorkResult

Command = Callable[..., Done]
GRID = ("--encoders", "lstm,lstm[width=6]", "--heads", "crf")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return lambda *words: call(capsys, *words)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("structseq.experiment.compare.Pool", InProcess)


def words_of(folder: Path, output: Path, *more: object) -> list[str]:
    files = (folder / "train.conll", "--dev", folder / "dev.conll", "--test", folder / "test.conll")
    return [str(word) for word in ("compare", *files, "--output", output, *more)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, and a comparison of two systems in ``out``; no test changes anything in it."""
    folder = tmp_path_factory.mktemp("home")
    write_corpus(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("structseq.experiment.compare.Pool", InProcess)
        assert cli.main(words_of(folder, folder / "out", *GRID, *tiny(12), "--quiet")) == 0
    return folder


def comparison_in(folder: Path) -> Comparison:
    return Comparison.from_dict(json.loads((folder / "comparison.json").read_text()))


# -- what it leaves ----------------------------------------------------------------------------------------------------


def test_it_helps(command: Command) -> None:
    done = command("compare", "--help")
    assert done.status == 0 and done.out.startswith("Usage: structseq compare") and not done.err
    assert "compare" in command("--help").out


def test_it_leaves_the_comparison_three_ways_and_every_model(home: Path) -> None:
    out = home / "out"
    assert {path.name for path in out.iterdir()} == {
        "experiment.json", "trials", "comparison.json", "comparison.csv", "report.html",
    }  # fmt: skip
    found = comparison_in(out)
    assert {system["name"] for system in found.systems} == {"lstm + crf", "lstm[width=6] + crf"}
    assert found.best == found.systems[0]["name"] and not found.failed
    assert found.corpus["train"] == {"file": str(home / "train.conll"), "sentences": 32, "tokens": 176}
    assert found.corpus["scheme"] == "BIO" and found.judged_on == "test" and found.options["encoder"]["width"] == 8
    rows = list(csv.DictReader(io.StringIO((out / "comparison.csv").read_text())))
    assert [row["system"] for row in rows] == [system["name"] for system in found.systems]
    assert "lstm + crf" in (out / "report.html").read_text()
    for path in (out / "trials").iterdir():
        assert Record.read(path / "trial.json") and (path / "config.json").exists() and not (path / "run").exists()
    assert {path.name for path in (out / "trials").iterdir()} >= {"lstm+crf-0"}


def test_a_trial_is_what_train_would_have_made(command: Command, home: Path, tmp_path: Path) -> None:
    words = ["train", home / "train.conll", "--dev", home / "dev.conll", "--test", home / "test.conll", *tiny(12)]
    assert command(*words, "--output", tmp_path / "model", "--quiet", "--set", "training.threads=1").status == 0
    trial = home / "out" / "trials" / "lstm+crf-0"
    for name in ("model.safetensors", "options.json", "entities.jsonl"):
        assert (tmp_path / "model" / name).read_bytes() == (trial / name).read_bytes()
    both = [json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path / "model", trial)]
    assert both[0]["test"] == both[1]["test"] and both[0]["dev"] == both[1]["dev"]


def test_what_is_done_is_not_done_again_and_seeds_may_be_added(
    command: Command, home: Path, tmp_path: Path, here: None
) -> None:
    out = tmp_path / "out"
    first = command(*words_of(home, out, "--heads", "crf", *tiny(2)))
    assert first.status == 0
    assert first.err.splitlines()[0] == "1 trial"
    assert re.fullmatch(
        r"1/1 lstm \+ crf, seed 0: dev [\d.]+(, tuned dev [\d.]+)?, test [\d.]+ [\d.]+ s", first.err.splitlines()[1]
    )
    assert first.out.startswith("entity F1 in percent, the best on test first\n\nsystem ")
    model = out / "trials" / "lstm+crf-0" / "model.safetensors"
    before = model.stat().st_mtime_ns
    again = command(*words_of(home, out, "--heads", "crf", *tiny(2)))
    assert (again.status, again.out, again.err) == (
        0,
        first.out,
        "1 trial; 1 is finished already\n",
    )
    more = command(*words_of(home, out, "--heads", "crf,softmax", "--seeds", "0,1", "--jobs", "3", *tiny(2)))
    assert more.status == 0 and more.err.splitlines()[0] == "4 trials; 1 is finished already; up to 3 run at once"
    assert model.stat().st_mtime_ns == before
    assert [system["seeds"] for system in comparison_in(out).systems] == [[0, 1], [0, 1]] and "±" in more.out
    quiet = command(*words_of(home, out, "--heads", "softmax", *tiny(2), "--quiet"))
    assert quiet.status == 0 and not quiet.err and "lstm + crf" not in quiet.out


def test_without_a_test_set_dev_decides(command: Command, home: Path, tmp_path: Path, here: None) -> None:
    words = ["compare", home / "train.conll", "--dev", home / "dev.conll", "--output", tmp_path / "out", *tiny(1)]
    done = command(*words)
    assert done.status == 0 and re.search("the best on (tuned )?dev first", done.out)
    assert comparison_in(tmp_path / "out").corpus["test"] is None


def test_plain_tags_are_scored_by_accuracy(command: Command, tmp_path: Path, here: None) -> None:
    train = tmp_path / "pos.conll"
    train.write_text("the DT\ncat NN\nsleeps VB\n\na DT\ndog NN\nruns VB\n\n" * 4)
    done = command("compare", train, "--dev", train, "--output", tmp_path / "out", *tiny(2), "--heads", "crf,softmax")
    assert done.status == 0 and done.out.startswith("accuracy in percent")
    assert comparison_in(tmp_path / "out").signature.startswith("accuracy|scheme:plain")


def test_options_choose_the_default_encoder_and_head(command: Command, home: Path, tmp_path: Path, here: None) -> None:
    config = tmp_path / "options.toml"
    config.write_text('[encoder]\ntype = "gru"\nwidth = 4\n[head]\ntype = "softmax"\n')
    done = command(*words_of(home, tmp_path / "out", "--config", config, *tiny(1, but="encoder.width"), "--quiet"))
    assert done.status == 0
    (system,) = comparison_in(tmp_path / "out").systems
    assert system["name"] == "gru + softmax"
    options = json.loads((tmp_path / "out" / "trials" / "gru+softmax-0" / "options.json").read_text())
    assert options["encoder"]["width"] == 4 and options["training"]["threads"] == 1


def test_code_from_outside_is_named_on_the_command_line(
    command: Command, home: Path, tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside_head.py").write_text(
        "from structseq.heads import SoftmaxHead\n\n\nclass Own(SoftmaxHead):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = words_of(home, tmp_path / "out", "--heads", "outside_head:Own,softmax", *tiny(1), "--quiet")
    assert command(*words).status == 0
    own, known = comparison_in(tmp_path / "out").systems
    assert {own["head"], known["head"]} == {"outside_head:Own", "softmax"}
    assert own["test"] == known["test"], "the same class by another name"


def test_tags_that_training_lacks_are_named(command: Command, home: Path, tmp_path: Path, here: None) -> None:
    dev = tmp_path / "dev.conll"
    dev.write_text(columns([*sentences(4), (["by", "train"], ["O", "B-means"])]))
    done = command("compare", home / "train.conll", "--dev", dev, "--output", tmp_path / "out", *tiny(1))
    assert done.status == 0
    assert f"warning: {dev}: tags that are not in the training data, counted as misses: B-means (1)" in done.err


# -- failures ----------------------------------------------------------------------------------------------------------


def test_a_trial_that_fails_is_named_and_tried_again(
    command: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(InProcess):
        def run(self, work: Sequence[Trial], **options: Any) -> Iterator[WorkResult]:
            yield from super().run([trial for trial in work if trial.head != "softmax"], **options)
            for trial in work:
                if trial.head == "softmax":
                    yield WorkResult(trial, "failed", "the loss became nan at update 3; lower training.learning_rate")

    words = words_of(home, tmp_path / "out", "--heads", "softmax,crf", *tiny(1))
    with monkeypatch.context() as patch:
        patch.setattr("structseq.experiment.compare.Pool", Failing)
        done = command(*words)
    expected_message = "lstm + softmax, seed 0: the loss became nan at update 3; lower training.learning_rate"
    assert done.status == 1 and f"failed: {expected_message}" in done.out
    assert "lstm + softmax, seed 0: failed: the loss became nan" in done.err
    found = comparison_in(tmp_path / "out")
    assert [system["name"] for system in found.systems] == ["lstm + crf"]
    assert [(trial["name"], trial["seed"]) for trial in found.failed] == [("lstm + softmax", 0)]
    assert "the loss became nan" in (tmp_path / "out" / "comparison.csv").read_text()
    monkeypatch.setattr("structseq.experiment.compare.Pool", InProcess)
    assert command(*words).status == 0 and not comparison_in(tmp_path / "out").failed


def test_divergence_is_a_failure_with_its_sentence(command: Command, home: Path, tmp_path: Path, here: None) -> None:
    wild = tiny(2, but="training.learning_rate")
    wild += ["--set", "training.learning_rate=1e30", "--set", "training.clip=0", "--set", "training.warmup=0"]
    done = command(*words_of(home, tmp_path / "out", *wild))
    assert done.status == 1 and re.search(r"failed: lstm \+ crf, seed 0: the loss became (nan|inf)", done.out)
    assert comparison_in(tmp_path / "out").best is None and not (tmp_path / "out" / "report.html").exists()


def test_without_matplotlib_all_the_rest_is_done(
    command: Command, home: Path, tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("structseq.cli.comparing.find_spec", lambda name: None if name == "matplotlib" else name)
    done = command(*words_of(home, tmp_path / "out", *tiny(1)))
    assert done.status == 0 and "lstm + crf" in done.out
    first, second, *_, last = done.err.splitlines()
    because = "because matplotlib is not installed; pip install matplotlib"
    assert first.startswith(f"report.html will not be written, {because};") and second == "1 trial"
    assert last == f"report.html is not written, {because}, and run the same command again"
    assert (tmp_path / "out" / "comparison.csv").exists() and not (tmp_path / "out" / "report.html").exists()


def test_a_reader_that_goes_away_costs_no_result(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    (home / "out" / "report.html").unlink()
    assert status_unread(*words_of(home, home / "out", *GRID, *tiny(12), "--quiet")) == 141
    assert capsys.readouterr().err == ""
    assert (home / "out" / "report.html").exists()


# -- stopping ----------------------------------------------------------------------------------------------------------


def test_ctrl_c_says_how_to_resume(
    command: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopping(InProcess):
        def run(self, work: Sequence[Any], **options: Any) -> Iterator[WorkResult]:
            yield next(super().run(work))
            yield WorkResult(work[1], "stopped")
            raise KeyboardInterrupt

    monkeypatch.setattr("structseq.experiment.compare.Pool", Stopping)
    out = tmp_path / "out"
    done = command(*words_of(home, out, "--heads", "crf,softmax", *tiny(1)))
    assert (done.status, done.out) == (130, "")
    trial, last = done.err.splitlines()[-2:]
    assert trial == "lstm + softmax, seed 0: stopped in epoch 1"
    assert last.startswith(f"stopped, and everything is saved in {out}; 1 of 2 trials are done; run the same command")
    assert not (out / "comparison.json").exists()


def test_a_signal_to_the_whole_process_group_saves_the_trials(home: Path, tmp_path: Path) -> None:
    """In processes, as a user has it; that a stopped trial ends with the same weights is in test_experiment."""
    out = tmp_path / "out"
    trial = out / "trials" / "lstm+crf-0"
    words = python(*words_of(home, out, "--heads", "crf", *tiny(1_000_000)))
    run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    journal = trial / "log.jsonl"
    _until(lambda: run.poll() is not None or (journal.exists() and journal.read_text().count("epochs") > 1))
    os.killpg(run.pid, signal.SIGTERM)
    _, errors = run.communicate()
    assert run.returncode == 130 and f"everything is saved in {out}; 0 of 1 trials are done" in errors, errors
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    assert records[0]["event"] == "start"
    assert [record["epoch"] for record in records[1:]] == [*range(1, len(records))]
    assert (trial / "run" / "checkpoint.safetensors").exists() and not (out / "comparison.json").exists()


def _until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_where_nothing_was_learned_nothing_stays(
    command: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopping(InProcess):
        def run(self, work: Sequence[Any], **options: Any) -> Iterator[WorkResult]:
            yield WorkResult(work[0], "stopped")
            raise KeyboardInterrupt

    monkeypatch.setattr("structseq.experiment.compare.Pool", Stopping)
    done = command(*words_of(home, tmp_path / "out", *tiny(1)))
    assert (
        done.status == 130 and done.err.splitlines()[-1] == "stopped before anything was learned; nothing was written"
    )
    assert not (tmp_path / "out").exists()


# -- what it refuses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected_message"),
    [
        (["--encoders", "lstn"], "unknown encoder 'lstn'; did you mean \"lstm\"?"),
        (["--heads", "crff"], "unknown head 'crff'; did you mean \"crf\"?"),
        (
            ["--encoders", "lstm[layer=2]"],
            'lstm[layer=2] + crf: unknown option encoder.layer; did you mean "',
        ),
        (["--seeds", "one"], "--seeds: expected whole numbers of at least 0, separated by commas, found 'one'"),
        (["--encoders", "lstm", "--set", "encoder.type=gru"], "--set encoder.type and --encoders both name encoders"),
        (["--set", "training.threads=2"], "training.threads: expected 1"),
        (["--set", "data.tokenizer=word-1"], "unknown tokenizer 'word-1'"),
        (["--set", "data.encoding=utf-99"], "unknown encoding 'utf-99'"),
        (["--set", "data.scheme=BIOX"], "data.scheme: unknown tag scheme 'BIOX'"),
        (["--set", "training.device=cudaa"], "training.device: expected auto, cpu or cuda, found 'cudaa'"),
        (["--heads", "crf,crf[scheme=BIOX]"], "lstm + crf[scheme=BIOX]: head.scheme: unknown tag scheme 'BIOX'"),
        (["--heads", "crf[costs.O=-1]"], "lstm + crf[costs.O=-1]: option head.costs.O: input should be greater"),
        (
            ["--encoders", "attention[attention_heads=7]"],
            "attention[attention_heads=7] + crf: encoder.attention_heads: ",
        ),
        (["--encoders", "clockwork[periods=[2,1]]"], "clockwork[periods=[2,1]] + crf: encoder.periods: "),
        (["--jobs", "0"], "invalid value for '--jobs'"),
        (["--config", "missing.toml"], "missing.toml: cannot be read"),
        (["--quiet", "--quiet"], "option --quiet is given twice; give it once"),
    ],
)
def test_wrong_words_are_answered_before_anything_is_read(
    command: Command, tmp_path: Path, words: list[str], expected_message: str
) -> None:
    done = command("compare", "missing.conll", "--dev", "missing.conll", "--output", tmp_path / "out", *words)
    assert (done.status, done.out) == (2, "")
    assert done.sentence.startswith(f"error: {expected_message}") and not (tmp_path / "out").exists()


def test_what_cannot_be_read_or_built_leaves_no_folder(command: Command, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["compare", home / "train.conll", "--dev", home / "missing.conll", "--output", out]
    assert command(*words).sentence == f"error: {home / 'missing.conll'}: there is no such file"
    unfit = command(*words_of(home, out, "--encoders", "lstm,lstm[periods=[1,2]]"))
    assert unfit.status == 2 and unfit.sentence.startswith("error: lstm[periods=[1,2]] + crf: encoder.periods: ")
    assert command("compare", home / "train.conll", "--output", out).sentence.startswith(
        "error: missing option '--dev'"
    )
    assert not out.exists()


def test_another_corpus_or_other_options_are_refused(command: Command, home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.conll"
    other.write_text(columns(sentences(20)))
    words = words_of(home, home / "out", *GRID)
    changed = [str(other) if word == str(home / "train.conll") else word for word in words]
    refusals = [
        ([*changed, *tiny(12)], "the train data differ: "),
        ([*words, *tiny(13)], "option training.epochs was 12 and is 13 now"),
        (
            [word for word in [*words, *tiny(12)] if word not in ("--test", str(home / "test.conll"))],
            "the test data were",
        ),
    ]
    for given, expected_message in refusals:
        done = command(*given)
        assert (done.status, done.out) == (2, "")
        assert done.sentence.startswith(
            f"error: {home / 'out'}: cannot resume this comparison, because {expected_message}"
        )


def test_a_folder_of_something_else_is_left_alone(command: Command, home: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    done = command(*words_of(home, tmp_path))
    assert done.status == 2 and "contains other files" in done.sentence
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    model = command(*words_of(home, home / "out" / "trials" / "lstm+crf-0"))
    assert model.status == 2 and "contains other files" in model.sentence


# -- progress ----------------------------------------------------------------------------------------------------------


def test_on_a_terminal_a_bar_shows_what_is_running(
    command: Command, home: Path, tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    done = command(*words_of(home, tmp_path / "out", "--encoders", "lstm[width=6]", *tiny(2)))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert done.status == 0
    assert re.search(r"lstm\[width=6\] \+ crf, seed 0 +2/2 +[\d.]+ +[\d.]+", shown), "brackets are no markup"
    assert re.search(r"running +epoch +dev +best dev", shown)
    assert "1/1 " in shown and "1/1  lstm[width=6] + crf, seed 0: dev " in shown
