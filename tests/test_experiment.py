"""Experiments: the grid, one trial, processes that fail and die, and what all trials come to."""

from __future__ import annotations

import csv
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import miniature
import numpy as np
import pytest
from errands import Errand
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.errors import ConfigError, TrainingError
from structseq.evaluation import entity_f1
from structseq.evaluation.significance import holm_correction, mean_interval, paired_bootstrap
from structseq.experiment import Comparison, ExperimentFolder, Plan, Pool, Record, Trial, parse_choices, parse_seeds
from structseq.experiment.pool import reason_of
from structseq.experiment.results import CSV_COLUMNS, as_csv, as_text
from structseq.experiment.trial import confident_errors, learned_transitions
from structseq.heads import HEADS
from structseq.heads.tagging import TaggingHead
from structseq.inference import Tagger
from structseq.run import Identity, Interrupted, fit
from structseq.spans import scheme_of
from structseq.storage import load_model
from structseq.training import Progress

BIO = scheme_of("BIO")


def plan(encoders: str = "lstm", heads: str = "crf", seeds: str = "0", *layers: dict[str, Any]) -> Plan:
    choices = parse_choices(encoders, "encoder"), parse_choices(heads, "head")
    return Plan(*choices, parse_seeds(seeds), (miniature.TINY, *layers))


def plan_takes(head: str) -> bool:
    try:
        return bool(parse_choices(head, "head"))
    except ConfigError:
        return False


TAGGING = [name for name in HEADS if plan_takes(name)]


def trials(folder: Path, *given: Any) -> list[Trial]:
    planned = plan(*given)
    return ExperimentFolder(folder).trials(planned, Identity(planned.shared, 0))


# -- the grid ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("lstm", ["lstm"]),
        (" lstm , elman ", ["lstm", "elman"]),
        ("lstm,lstm[layers=2]", ["lstm", "lstm[layers=2]"]),
        ("lstm[ width = 50 ; layers=2 ]", ["lstm[layers=2;width=50]"]),
        ("clockwork[periods=[1,2,4]],gru", ["clockwork[periods=[1,2,4]]", "gru"]),
        ("lstm[encoder.layers=2]", ["lstm[layers=2]"]),
        ("structseq.encoders:LSTM[layers=2],lstm", ["structseq.encoders:LSTM[layers=2]", "lstm"]),
    ],
)
def test_choices_are_read(text: str, names: list[str]) -> None:
    found = parse_choices(text, "encoder")
    assert [choice.name for choice in found] == names
    assert parse_choices(",".join(names), "encoder") == found, "a name is a choice again"


def test_options_in_brackets_go_before_those_of_all() -> None:
    planned = plan("lstm[width=7;layers=2],lstm", "crf[costs={departure=2.0,O=0.5}]")
    first, second = (planned.options(system) for system in planned.systems)
    assert (first.encoder.width, first.encoder.layers, second.encoder.width) == (7, 2, 5)
    assert first.head.costs == {"departure": 2.0, "O": 0.5}
    assert planned.systems[0].settings == {
        "encoder": {"layers": 2, "width": 7},
        "head": {"costs": {"departure": 2.0, "O": 0.5}},
    }
    assert first.training.threads == 1


@pytest.mark.parametrize(
    ("text", "expected_message"),
    [
        ("lstn", "unknown encoder 'lstn'; did you mean \"lstm\"?"),
        ("nowhere:Thing", "encoder nowhere:Thing: cannot be imported"),
        ("lstm,,elman", "--encoders: expected something between every two ','"),
        ("", "--encoders: expected something between every two ','"),
        ("lstm,lstm", "--encoders: lstm is given twice; give it once"),
        ("lstm[layers=2],lstm[layers = 2]", "--encoders: lstm[layers=2] is given twice"),
        ("lstm[layers=2;layers=3]", "layers is given twice; give it once"),
        ("lstm[layers=2", "--encoders: expected brackets in pairs"),
        ("lstm]", "--encoders: expected brackets in pairs"),
        ("lstm[layers]", "expected key=value in the brackets, found 'layers'"),
        ("lstm[]", "--encoders: expected something between every two ';'"),
        ("lstm[type=gru]", "the name before the brackets is the type"),
        ("lstm[layers=2]x", "expected a name, or name[key=value;...]"),
    ],
)
def test_wrong_choices_are_one_sentence(text: str, expected_message: str) -> None:
    with pytest.raises(ConfigError) as problem:
        parse_choices(text, "encoder")
    assert expected_message in str(problem.value)


@pytest.mark.parametrize(
    ("text", "expected_message"),
    [("", "found ''"), ("0,-1", "found '-1'"), ("0;1", "found '0;1'"), ("1,1", "1 is given twice")],
)
def test_wrong_seeds_are_one_sentence(text: str, expected_message: str) -> None:
    with pytest.raises(ConfigError, match=f"--seeds: .*{expected_message}"):
        parse_seeds(text)


def test_heads_that_tag_can_be_compared() -> None:
    assert set(TAGGING) >= {"crf", "hmm", "perceptron", "softmax", "svm"}


def test_wrong_options_are_found_before_anything_is_read() -> None:
    with pytest.raises(ConfigError, match=r'unknown option encoder\.layer; did you mean "encoder\.layers"'):
        plan("lstm[layer=2]")
    with pytest.raises(ConfigError, match=r"option encoder\.layers"):
        plan("lstm[layers=0]")
    with pytest.raises(ConfigError, match=r"training\.threads: expected 1 .*--jobs"):
        plan("lstm", "crf", "0", {"training": {"threads": 2}})


def test_options_that_fit_no_model_are_found_before_training() -> None:
    examples = miniature.corpus().train
    plan("lstm,clockwork[periods=[1,2]]", "crf,softmax").check(examples, BIO)
    with pytest.raises(ConfigError, match=r"^lstm\[periods=\[1,2\]\] \+ crf: .*encoder.periods"):
        plan("lstm[periods=[1,2]]").check(examples, BIO)
    with pytest.raises(ConfigError, match=r"^lstm \+ softmax\[costs\.O=2\]: .*costs"):
        plan("lstm", "softmax[costs.O=2]").check(examples, BIO)


def test_inputs_that_are_all_turned_off_are_found_before_training() -> None:
    off = {"words": {"width": 0}, "characters": {"width": 0}, "affixes": {"shape": 0, "width": 0}}
    with pytest.raises(ConfigError, match="found all turned off"):
        plan("lstm", "crf", "0", {"inputs": off}).check(miniature.corpus().train, BIO)


def test_every_system_is_tried_before_the_next_seed() -> None:
    planned = plan("lstm,elman", "crf,softmax", "3,1")
    assert len(planned) == 8
    order = [(system.name, seed) for system, seed in planned]
    assert order[:4] == [(f"{e} + {h}", 3) for e in ("lstm", "elman") for h in ("crf", "softmax")]
    assert [seed for _, seed in order] == [3] * 4 + [1] * 4


WORDS = st.text("ab=,.:/\\ é[", min_size=1, max_size=100).map(lambda text: text.replace("[", "").strip() or "x")


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.lists(WORDS, min_size=2, max_size=2, unique=True))
def test_no_two_systems_share_a_folder(values: list[str]) -> None:
    systems = [
        replace(plan().systems[0], encoder=replace(plan().encoders[0], settings=(("key", value),))) for value in values
    ]
    names = [system.folder for system in systems]
    assert names[0] != names[1]
    for name in names:
        assert name.isascii() and len(name) <= 100 and not set(name) & set('/\\:*?"<>| ') and name[0] not in ".-"


def test_simple_names_stay_readable() -> None:
    assert [system.folder for system in plan("lstm", "crf,softmax").systems] == ["lstm+crf", "lstm+softmax"]
    assert plan("lstm[layers=2]").systems[0].folder.startswith("lstm-layers=2+crf-")


def test_what_all_trials_share_does_not_depend_on_the_grid() -> None:
    assert plan("lstm").shared == plan("elman,gru[layers=3]", "softmax", "5").shared
    assert plan("lstm").shared != plan("lstm", "crf", "0", {"encoder": {"layers": 2}}).shared
    assert "type" not in plan().shared["encoder"]


# -- one trial ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A trial that was run to its end; nothing in its folder is changed by a test."""
    (trial,) = trials(tmp_path_factory.mktemp("experiment"), "lstm[width=6]", "crf", "4")
    assert trial.record is None
    assert trial.run(miniature.corpus(), "BIO") == []
    return trial


def test_a_trial_leaves_a_model_and_a_record(done: Trial) -> None:
    record, corpus = done.record, miniature.corpus()
    assert record is not None
    assert (record.system, record.seed, record.scheme) == ("lstm[width=6] + crf", 4, "BIO")
    stored = load_model(done.path)
    assert record.parameters == sum(p.numel() for p in stored.model.parameters())
    assert stored.model.options.encoder.width == 6 and stored.provenance["run"]["seed"] == 4
    for name, examples in (("dev", corpus.dev), ("test", corpus.test)):
        part, gold = record.part("tuned_dev" if name == "dev" else name), [example.tags for example in examples]
        assert part["predicted"] == [list(tags) for tags in stored.model.predict(examples)]
        assert part["score"] == entity_f1(gold, part["predicted"], BIO)
        assert part["score"] == pytest.approx(stored.metrics[name]["criterion"])
        right, predicted, support = np.sum(part["counts"], 0)
        assert part["score"] == pytest.approx(2 * right / (predicted + support)) and len(part["counts"]) == len(gold)
    assert record.training == stored.metrics["training"]
    assert [epoch["epoch"] for epoch in record.curve["epochs"]] == [1, 2, 3]
    assert record.curve["best_epoch"] == record.training["best_epoch"]
    assert all(set(epoch) == {"epoch", "loss", "dev", "seconds"} for epoch in record.curve["epochs"])
    assert record.tagging_tokens_per_second > 0 and record.versions["torch"]


def test_a_finished_trial_is_recorded_again_and_not_trained_again(done: Trial, tmp_path: Path) -> None:
    import shutil

    copy = replace(done, path=tmp_path / "copy")
    shutil.copytree(done.path, copy.path)
    model = (copy.path / "model.safetensors").stat().st_mtime_ns
    (copy.path / "trial.json").write_text('{"format": 1, "system": "hal')
    assert copy.record is None, "a truncated record is not read"
    copy.run(miniature.corpus(), "BIO")
    assert copy.record and done.record
    speed = {"tagging_tokens_per_second": 1.0}
    assert replace(copy.record, **speed) == replace(done.record, **speed)
    assert (copy.path / "model.safetensors").stat().st_mtime_ns == model


def test_a_record_of_another_format_is_not_read(done: Trial, tmp_path: Path) -> None:
    values = json.loads((done.path / "trial.json").read_text())
    for change in ({"format": 3}, {"seed": ...}):
        kept = {name: value for name, value in {**values, **change}.items() if value is not ...}
        (tmp_path / "trial.json").write_text(json.dumps(kept))
        assert Record.read(tmp_path / "trial.json") is None
    assert Record.read(tmp_path / "missing.json") is None


def test_a_record_that_calls_both_scores_dev_is_read(done: Trial, tmp_path: Path) -> None:
    values = json.loads((done.path / "trial.json").read_text())
    dev = next(part for name, part in values["parts"].items() if name != "test")
    older = {**values, "format": 1, "parts": {"dev": {**dev, "score": 0.75}, "test": values["parts"]["test"]}}
    for best, name in ((0.75, "dev"), (0.5, "tuned_dev")):
        older["training"] = {**values["training"], "best_score": best}
        (tmp_path / "trial.json").write_text(json.dumps(older))
        record = Record.read(tmp_path / "trial.json")
        assert record and list(record.parts) == [name, "test"] and record.part("tuned_dev")["score"] == 0.75
        assert (
            list(record.scores.items())[: 1 + (best < 0.75)]
            == [("dev", best), ("tuned_dev", 0.75)][: 1 + (best < 0.75)]
        )


def test_a_stopped_trial_resumes_to_the_same_weights(
    done: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = replace(done, path=tmp_path / "trial")

    def callback(progress: Progress, record: object) -> None:
        if progress.update == 5:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(
            "structseq.run.training_run.fit", lambda *parts, **options: fit(*parts, **{**options, "callback": callback})
        )
        stopped.run(miniature.corpus(), "BIO")
    assert stopped.record is None and len(stopped.epochs) == 1
    stopped.run(miniature.corpus(), "BIO")
    assert [epoch["epoch"] for epoch in stopped.epochs] == [1, 2, 3]
    assert (stopped.path / "model.safetensors").read_bytes() == (done.path / "model.safetensors").read_bytes()


def test_a_trial_leaves_what_is_not_its_own_alone(done: Trial, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(TrainingError, match="holds files that are not a training run"):
        replace(done, path=tmp_path).run(miniature.corpus(), "BIO")
    with pytest.raises(TrainingError, match="the seed was 4 and is 5 now"):
        replace(done, identity=replace(done.identity, seed=5)).run(miniature.corpus(), "BIO")


# -- findings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", TAGGING)
def test_transitions_are_those_of_the_chain(head: str) -> None:
    model = miniature.model({"head": {"type": head}})
    found = learned_transitions(model)
    if head == "softmax" or not isinstance(model.head, TaggingHead):
        assert found is None
        return
    assert found is not None and found["tags"] == list(model.tags.labels)
    legal = model.tags.model_scheme.legal(model.tags.labels)
    assert [[score is not None for score in row] for row in found["scores"]] == legal.transitions.tolist()
    assert [score is not None for score in found["start"]] == legal.start.tolist()
    assert [score is not None for score in found["end"]] == legal.end.tolist()
    if head == "crf":
        weights = model.state_dict()["head.crf.transitions"]
        assert found["scores"][0][0] == pytest.approx(float(weights[0, 0]), abs=1e-4)


def test_a_head_without_weights_has_learned_no_transitions() -> None:
    own = {"type": "jordan", "outputs": "tags", "bidirectional": False}
    model = miniature.model({"encoder": own, "head": {"type": "softmax", "projection": "none"}})
    assert not list(model.head.parameters()) and learned_transitions(model) is None


def test_errors_are_wrong_and_the_surest_come_first(done: Trial) -> None:
    tagger, examples = Tagger.load(done.path), miniature.corpus().test
    found = confident_errors(tagger, examples, count=3)
    every = confident_errors(tagger, examples, count=1000)
    assert found == every[:3] and len(every) > 3
    assert [error["confidence"] for error in every] == sorted((e["confidence"] for e in every), reverse=True)
    gold = {" ".join(example.tokens): BIO.decode(example.tags) for example in examples}
    for error in every:
        spans = gold[" ".join(error["tokens"])]
        wrong = (error["start_token"], error["end_token"], error["predicted"])
        assert wrong not in {(span.start, span.end, span.label) for span in spans}
        sure = {(s.start, s.end, s.label): s.confidence for s in tagger.tag(error["tokens"]).spans}
        assert sure[wrong] == pytest.approx(error["confidence"], abs=1e-5)
        if error["gold"] is not None:
            of_gold = (error["gold_start_token"], error["gold_end_token"], error["gold"])
            assert of_gold in {(s.start, s.end, s.label) for s in spans}


def test_no_confidence_no_errors() -> None:
    tagger = Tagger(miniature.model({"head": {"type": "perceptron"}}))
    assert not tagger.calibrated and confident_errors(tagger, miniature.corpus().test) == []


# -- processes ---------------------------------------------------------------------------------------------------------


def test_work_that_fails_breaks_or_dies_stops_nothing_else(tmp_path: Path) -> None:
    errands = [Errand(what, tmp_path / what) for what in ("dies", "fails", "breaks", "works")]
    ended = {end.work.what: end for end in Pool(2, "the tool").run(errands)}
    assert {what: end.status for what, end in ended.items()} == {
        "dies": "failed", "fails": "failed", "breaks": "failed", "works": "done",
    }  # fmt: skip
    assert ended["fails"].reason == "the tool was wrong"
    assert "killed (SIGKILL" in ended["dies"].reason and "resume it" in ended["dies"].reason
    assert ended["breaks"].reason.startswith("ZeroDivisionError at errands.py:")
    assert ended["breaks"].reason.endswith(": a fault")
    assert ended["works"].warnings == ("warning: a warning", "the tool was used")
    for errand in errands:
        process, group = errand.file.read_text().split()
        assert process == group != str(os.getpgid(0)), "out of reach of the terminal's Ctrl-C"


def test_ctrl_c_stops_all_politely(tmp_path: Path) -> None:
    errands = [Errand("waits", tmp_path / str(n)) for n in range(3)]
    begun = [errand.file for errand in errands[:2]]

    def tick(running: list[Any]) -> None:
        if len(running) == 2 and all(file.exists() and file.read_text() for file in begun):
            signal.raise_signal(signal.SIGINT)

    ended = []
    with pytest.raises(Interrupted):
        for end in Pool(2, "").run(errands, tick=tick):
            ended.append(end)
    assert sorted((end.work.file.name, end.status) for end in ended) == [("0", "stopped"), ("1", "stopped")]
    assert all(file.with_suffix(".saved").exists() for file in begun)
    assert not errands[2].file.exists()


PARENT = """
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {tests!r})
from errands import Errand
from structseq.experiment import Pool, pool
pool.PRELOADED = ["structseq.experiment.pool"]
if __name__ == "__main__":
    for _ in Pool(1, "").run([Errand("waits", Path({file!r}))]):
        pass
"""


def test_processes_do_not_outlive_a_killed_command(tmp_path: Path) -> None:
    file, script = tmp_path / "errand", tmp_path / "parent.py"
    script.write_text(PARENT.format(tests=str(Path(__file__).parent), file=str(file)))
    parent = subprocess.Popen([sys.executable, str(script)], cwd=Path(__file__).parent.parent)
    _until(lambda: file.exists() and bool(file.read_text()))
    parent.kill()
    parent.wait()
    _until(file.with_suffix(".saved").exists)


def _until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_reasons_are_sentences() -> None:
    def reason_for(problem: Exception) -> str:
        try:
            raise problem
        except Exception as raised:
            return reason_of(raised)

    assert reason_for(TrainingError("the loss became nan")) == "the loss became nan"
    assert "not enough memory" in reason_for(MemoryError()) and "--jobs" in reason_for(MemoryError())
    assert "not enough memory" in reason_for(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert reason_for(OSError(28, "No space left on device", "/x/y")) == "/x/y: No space left on device"
    assert reason_for(KeyError()).startswith("KeyError at test_experiment.py:")


# -- the folder --------------------------------------------------------------------------------------------------------


def _refused(message: str) -> Any:
    return pytest.raises(TrainingError, match=message)


def test_one_folder_holds_one_experiment(tmp_path: Path) -> None:
    folder = ExperimentFolder(tmp_path / "out")
    identity = Identity(plan().shared, 0, {"train": {"path": "a", "sha256": "0" * 64}})
    folder.check()
    with folder.opened(identity), _refused("another process is comparing into this folder"), folder.opened(identity):
        pass
    assert not folder.path.exists(), "nothing came of it"
    with folder.opened(identity):
        (folder.path / "trials" / "lstm+crf-0").mkdir()
    folder.check()
    others = [
        (replace(identity, data={"train": {"path": "b", "sha256": "1" * 64}}), "the train data differ"),
        (replace(identity, options={"encoder": {"width": 3}}), "option .* was "),
    ]
    for other, expected_message in others:
        with (
            pytest.raises(TrainingError, match=f"cannot resume this comparison, because {expected_message}"),
            folder.opened(other),
        ):
            pass
    with folder.opened(replace(identity, data={"train": {"path": "moved", "sha256": "0" * 64}})):
        pass


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(TrainingError, match="contains other files"):
        ExperimentFolder(tmp_path).check()
    with pytest.raises(TrainingError, match="is a file, not a folder"):
        ExperimentFolder(tmp_path / "letter.txt").check()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "experiment.json").write_text("[]")
    with (
        pytest.raises(TrainingError, match="expected the options and data"),
        ExperimentFolder(tmp_path / "odd").opened(Identity({}, 0)),
    ):
        pass
    ExperimentFolder(tmp_path / "new").check()


def test_a_folder_that_a_kill_left_is_a_new_one(tmp_path: Path) -> None:
    folder = ExperimentFolder(tmp_path)
    for name in (".lock", ".experiment.json.0123abcd.part"):
        (tmp_path / name).touch()
    folder.check()
    with folder.opened(Identity({}, 0)):
        assert {path.name for path in tmp_path.iterdir()} == {".lock", "experiment.json", "trials"}
    assert not list(tmp_path.iterdir())


# -- results -----------------------------------------------------------------------------------------------------------

CORPUS = {
    "train": {"file": "train", "sentences": 9, "tokens": 90},
    "dev": {"file": "dev", "sentences": 40, "tokens": 400},
    "test": {"file": "test", "sentences": 40, "tokens": 400},
    "scheme": "BIO",
}


def made(system: str, seed: int, rate: float, done: Trial) -> Record:
    """A record whose test answers are right at ``rate``."""
    assert done.record
    random = np.random.default_rng([seed, round(1000 * rate)])
    counts = np.stack([random.binomial(3, rate, 40), np.full(40, 3), np.full(40, 3)], 1)
    part = {"score": float(counts[:, 0].mean() / 3), "counts": counts.tolist(), "predicted": [["O"]] * 40}
    encoder, _, head = system.partition(" + ")
    parts = {"dev": part, "test": part}
    training = {**done.record.training, "best_score": part["score"]}
    return replace(done.record, training=training, system=system, encoder=encoder, head=head, seed=seed, parts=parts)


def test_no_winner_is_named_if_the_order_may_change(done: Trial) -> None:
    def compared(rates: dict[str, float], best_epochs: dict[str, int]) -> Comparison:
        records = []
        for name, rate in rates.items():
            for seed in (0, 1, 2):
                record = made(name, seed, rate, done)
                epochs = [{"epoch": n, "loss": 1.0, "dev": 0.5, "seconds": 1.0} for n in range(1, 5)]
                curve = {"seed": seed, "best_epoch": best_epochs.get(name, 2) if seed else 2, "epochs": epochs}
                records.append(replace(record, curve=curve))
        return Comparison.of(plan("lstm", "crf,softmax", "0,1,2"), records, corpus=CORPUS, resamples=200)

    sure = compared({"lstm + crf": 0.9, "lstm + softmax": 0.2}, {"lstm + softmax": 4})
    assert sure.cautions == [] and "  best" in as_text(sure), "the other is significantly worse, however long it trains"
    unsure = compared({"lstm + crf": 0.9, "lstm + softmax": 0.2}, {"lstm + crf": 4})
    assert unsure.cautions == [
        "the last epoch was the best of lstm + crf: set training.epochs higher, the order may change"
    ]
    assert "no winner: the last epoch was the best of lstm + crf" in as_text(unsure) and "  best" not in as_text(unsure)
    nothing = compared({"lstm + crf": 0.0, "lstm + softmax": 0.0}, {})
    assert nothing.cautions == ["no system has learned the task: the highest score is 0.00"]
    narrow = as_text(sure, 80)
    assert max(map(len, narrow.splitlines()[2:5])) <= 80
    assert "tokens/s" not in narrow.splitlines()[2] and "p (Holm)" in narrow


def test_a_comparison_ranks_and_tests_against_the_best(done: Trial) -> None:
    planned = plan("lstm,elman", "crf,softmax", "0,1,2")
    rates = {"elman + softmax": 0.5, "lstm + crf": 0.9, "lstm + softmax": 0.85}
    records = [made(name, seed, rate, done) for name, rate in rates.items() for seed in (2, 0, 1)]
    records = [record for record in records if (record.system, record.seed) != ("lstm + softmax", 1)]
    failed = [{"name": "elman + crf", "seed": seed, "reason": "diverged"} for seed in (0, 1, 2)]
    found = Comparison.of(planned, records, corpus=CORPUS, failed=failed, resamples=500)
    assert [system["name"] for system in found.systems] == ["lstm + crf", "lstm + softmax", "elman + softmax"]
    assert found.best == "lstm + crf" and found.judged_on == "test" and found.score == "entity F1"
    assert (found.seeds, found.encoders, found.heads) == ([0, 1, 2], ["lstm", "elman"], ["crf", "softmax"])
    assert [system["seeds"] for system in found.systems] == [[0, 1, 2], [0, 2], [0, 1, 2]]
    counts = {
        name: {r.seed: np.array(r.parts["test"]["counts"]) for r in records if r.system == name} for name in rates
    }
    first = found.systems[0]
    each = [record.parts["test"]["score"] for seed in (0, 1, 2) for record in records
            if (record.system, record.seed) == ("lstm + crf", seed)]  # fmt: skip
    assert first["test"]["each"] == each and first["test"]["mean"] == pytest.approx(statistics.fmean(each))
    assert first["test"]["sd"] == pytest.approx(statistics.stdev(each))
    in_order = [counts["lstm + crf"][seed] for seed in (0, 1, 2)]
    assert first["test"]["interval"] == list(mean_interval(in_order, resamples=500))
    assert first["against_best"] is None
    pairs = [
        paired_bootstrap(counts[name], counts["lstm + crf"], resamples=500)
        for name in ("lstm + softmax", "elman + softmax")
    ]
    # Of three pairs: the best was chosen among three systems
    corrected = holm_correction([pair.p for pair in pairs], 3)
    for system, pair, p_holm in zip(found.systems[1:], pairs, corrected, strict=True):
        against = system["against_best"]
        assert (against["difference"], against["p"], against["p_holm"]) == (pair.difference, pair.p, p_holm)
        assert against["difference"] == pytest.approx(system["test"]["mean"] - first["test"]["mean"]) and pair.p > 0
    assert found.failed == failed
    assert Comparison.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_without_a_test_set_dev_judges_and_one_seed_has_no_spread(done: Trial) -> None:
    records = [made("lstm + crf", 0, 0.9, done)]
    records = [replace(record, parts={"dev": record.parts["dev"]}) for record in records]
    found = Comparison.of(plan(), records, corpus={**CORPUS, "test": None}, resamples=100)
    assert found.judged_on == "dev" and found.systems[0]["test"] is None and found.systems[0]["dev"]["sd"] is None
    assert "±" not in as_text(found) and "test" not in as_text(found).splitlines()[2]


def test_both_dev_scores_are_named_where_a_bias_was_chosen(done: Trial) -> None:
    untuned = made("lstm + crf", 0, 0.9, done)
    tuned = made("lstm + softmax", 0, 0.8, done)
    best = tuned.parts["dev"]["score"] - 0.1
    training = {**tuned.training, "best_score": best}
    tuned = replace(tuned, training=training, parts={"tuned_dev": tuned.parts["dev"], "test": tuned.parts["test"]})
    planned = plan("lstm", "crf,softmax")
    without = Comparison.of(planned, [untuned], corpus=CORPUS, resamples=100)
    assert "tuned" not in as_text(without) and without.systems[0]["tuned_dev"] is None
    found = Comparison.of(planned, [untuned, tuned], corpus=CORPUS, resamples=100)
    first, second = found.systems
    assert (second["dev"]["mean"], second["dev"]["interval"]) == (best, None)
    assert second["tuned_dev"]["mean"] == pytest.approx(best + 0.1) and len(second["tuned_dev"]["interval"]) == 2
    assert first["tuned_dev"]["mean"] == first["dev"]["mean"]
    text = as_text(found)
    assert text.splitlines()[2].split()[:5] == ["system", "dev", "tuned", "dev", "test"]
    assert "tuned dev is the score after the bias for or against O was chosen on dev" in text
    row = list(csv.DictReader(as_csv(found).splitlines()))[1]
    assert float(row["dev_mean"]) == best and row["dev_low"] == "" and float(row["tuned_dev_low"]) <= best + 0.1
    narrow = as_text(found, 70)
    assert max(map(len, narrow.partition("signature")[0].splitlines())) <= 70
    assert narrow.splitlines()[2].split()[:4] == ["system", "tuned", "dev", "test"]
    assert "in comparison.csv: parameters, training s, tokens/s, dev" in narrow.replace("\n", " ")
    on_dev = Comparison.of(planned, [untuned, tuned], corpus={**CORPUS, "test": None}, resamples=100)
    assert on_dev.judged_on == "tuned_dev" and "the best on tuned dev first" in as_text(on_dev)


def test_a_comparison_that_calls_both_scores_dev_is_read(done: Trial) -> None:
    values = Comparison.of(plan(), [made("lstm + crf", 0, 0.9, done)], corpus=CORPUS, resamples=100).to_dict()
    older = {**values, "systems": [{k: v for k, v in s.items() if k != "tuned_dev"} for s in values["systems"]]}
    read, now = (Comparison.from_dict(each) for each in (older, values))
    assert as_text(read) == as_text(now) and as_csv(read) == as_csv(now)


def test_where_nothing_was_finished_there_is_no_best() -> None:
    failed = [{"name": "lstm + crf", "seed": 0, "reason": "diverged"}]
    found = Comparison.of(plan(), [], corpus=CORPUS, failed=failed)
    assert found.best is None and found.systems == []
    assert "failed: lstm + crf, seed 0: diverged" in as_text(found)


def test_the_tables_hold_every_system(done: Trial) -> None:
    planned = plan("lstm,elman", "crf,softmax", "0,1")
    records = [made("lstm + crf", seed, 0.9, done) for seed in (0, 1)] + [made("elman + crf", 0, 0.5, done)]
    failed = [{"name": name, "seed": seed, "reason": "diverged, it seems"} for name, seed in
              (("elman + crf", 1), ("lstm + softmax", 0), ("lstm + softmax", 1))]  # fmt: skip
    found = Comparison.of(planned, records, corpus=CORPUS, failed=failed, resamples=2000)
    rows = list(csv.DictReader(as_csv(found).splitlines()))
    assert [row["system"] for row in rows] == ["lstm + crf", "elman + crf", "lstm + softmax"]
    assert tuple(rows[0]) == CSV_COLUMNS
    assert float(rows[0]["test_mean"]) == found.systems[0]["test"]["mean"] and rows[0]["p"] == ""
    assert float(rows[1]["p_holm"]) == found.systems[1]["against_best"]["p_holm"]
    assert (rows[1]["seeds"], rows[1]["finished"], rows[1]["failed"]) == ("0", "1", "seed 1: diverged, it seems")
    assert (rows[2]["finished"], rows[2]["test_mean"]) == ("0", "")
    text = as_text(found)
    lines = text.splitlines()
    assert lines[0] == "entity F1 in percent, the best on test first"
    assert lines[3].startswith("lstm + crf ") and " best" in lines[3] and "±" in lines[3]
    assert lines[4].startswith("elman + crf (1 of 2 seeds)") and 0 < float(lines[4].split()[-1]) < 0.05
    assert text.count("failed: ") == 3 and found.signature in text
