"""A folder from a stranger: refused in a sentence, in little time and memory, with nothing raw for the terminal."""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile
import miniature
import pytest
import safetensors.torch
import torch
from commandline import call

from structseq.errors import ModelFileError, TrainingError
from structseq.heads.segmental import forms_of
from structseq.storage import load_checkpoint, load_model, save_checkpoint, save_model
from structseq.storage.bounds import SPARE, TIMES
from structseq.training import train

SPAM = "\x1b]0;title\x07\x1b[31m\x9b2J\u202e\n\r"
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return hostile.healthy(tmp_path / "model")


# -- sizes ------------------------------------------------------------------------------------------------------------


def peak(*, reset: bool = False) -> float:
    """The most memory of this process, in MB, since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    (kilobytes,) = re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) / 1024


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A bound on addresses, in case that a bound fails."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are read from /proc")
@pytest.mark.parametrize("name", hostile.SIZES)
def test_sizes_are_refused_before_they_cost_anything(name: str, tmp_path: Path, little_memory: None) -> None:
    change, kind, words = hostile.SIZES[name]
    change(hostile.healthy(tmp_path / "model", **kind))
    base, start = peak(reset=True), time.process_time()
    with pytest.raises(ModelFileError) as caught:
        load_model(tmp_path / "model")
    assert time.process_time() - start < 2 and peak() - base < 300
    assert words in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("head", ["crf", "softmax", "segments", "hmm", "svm"])
@pytest.mark.parametrize("encoder", ["lstm", "clockwork", "attention"])
def test_what_is_healthy_is_loaded(head: str, encoder: str, tmp_path: Path) -> None:
    load_model(hostile.healthy(tmp_path / "model", head=head, encoder=encoder))


def test_the_bound_holds_for_many_short_words(tmp_path: Path) -> None:
    """The least file for a word: two letters, one of which is not ASCII, and characters alone."""
    assert SPARE + TIMES * 200_000 * len("éx\t1\n".encode()) > 8 * (2 + 40) * 200_000


def test_joined_tags_of_all_types() -> None:
    tags = miniature.model({"head": {"type": "crf", "scheme": "BIOES"}}).tags
    joins = forms_of(tags).joins
    assert torch.equal(joins, torch.as_tensor(sum(edges.continues for edges in tags.edges()) > 0))


# -- numbers ----------------------------------------------------------------------------------------------------------

NAME = "head.emission.weight"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers(value: float, folder: Path) -> None:
    hostile.weights(lambda tensors: tensors[NAME].view(-1)[3:5].fill_(value))(folder)
    with pytest.raises(ModelFileError, match=rf"model\.safetensors: expected finite numbers in {NAME}, found 2 of "):
        load_model(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_saved(value: float, tmp_path: Path) -> None:
    model = miniature.model()
    with torch.no_grad():
        model.get_parameter(NAME)[0, 0] = value
    with pytest.raises(ModelFileError, match=r"expected finite numbers in .* found 1 of .*NaN or infinite"):
        save_model(tmp_path / "model", model, tokenizer="words-1")
    assert not (tmp_path / "model").exists()


def test_great_numbers_are_numbers(folder: Path) -> None:
    hostile.weights(lambda tensors: tensors[NAME].fill_(3e38))(folder)
    load_model(folder)


def test_a_logarithm_of_nothing_is_a_number(tmp_path: Path) -> None:
    model = miniature.model({"head": {"type": "hmm"}})
    assert bool(model.head.log_moves.isneginf().any())
    save_model(tmp_path / "model", model, tokenizer="words-1")
    load_model(tmp_path / "model")


@pytest.mark.parametrize("value", [-2, 10**12])
def test_a_count_out_of_range(value: int, tmp_path: Path) -> None:
    folder = hostile.healthy(tmp_path / "model", head="segments")
    hostile.weights(lambda tensors: tensors["head.longest"].fill_(value))(folder)
    with pytest.raises(ModelFileError, match=r"head\.longest to be from -1 to 1,000,000"):
        load_model(folder)


# -- checkpoints ------------------------------------------------------------------------------------------------------

TRAINING: dict[str, Any] = {
    "training": {
        "epoch": 1, "step": 0, "update": 0, "best_score": None, "best_epoch": 0, "waited": 0, "loss_sum": 0.0,
        "decision_sum": 0, "seed": 0, "steps": 3, "averaging": "ema",
    },
    "clock": {"seconds": 0.0, "tokens": 0, "epoch_seconds": 0.0, "epoch_tokens": 0},
    "outcome": None,
}  # fmt: skip


def test_one_flipped_bit_of_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    save_checkpoint(path, TRAINING, {"weights.a": torch.arange(20.0)})
    whole = path.read_bytes()
    assert load_checkpoint(path)[0] == TRAINING
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(changed)
        with pytest.raises(ModelFileError, match="checkpoint: expected"):
            load_checkpoint(path)
    for kept in range(0, len(whole), 7):
        path.write_bytes(whole[:kept])
        with pytest.raises(ModelFileError, match="checkpoint: expected"):
            load_checkpoint(path)


def test_a_checkpoint_without_its_checksum(tmp_path: Path) -> None:
    metadata = {"structseq.numbers": json.dumps(TRAINING)}
    safetensors.torch.save_file({"weights.a": torch.zeros(2)}, tmp_path / "c", metadata)
    with pytest.raises(ModelFileError, match="expected a checkpoint with its checksum, found none"):
        load_checkpoint(tmp_path / "c")


WRONG: list[tuple[str, str, Any, str]] = [
    ("training", "epoch", "1", "a whole number"),
    ("training", "epoch", -1, "a whole number"),
    ("training", "update", True, "a whole number"),
    ("training", "step", 10**30, "a whole number"),
    ("training", "step", 1.5, "a whole number"),
    ("training", "loss_sum", float("nan"), "a finite number"),
    ("training", "best_score", float("inf"), "a finite number"),
    ("training", "best_score", [], "a finite number"),
    ("training", "averaging", 7, "a text"),
    ("clock", "seconds", None, "a finite number"),
    ("clock", "tokens", SPAM * 10_000, "a whole number"),
]


@pytest.mark.parametrize(("table", "name", "value", "kind"), WRONG, ids=range(len(WRONG)))
def test_numbers_of_a_checkpoint(table: str, name: str, value: Any, kind: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", {**TRAINING, table: {**TRAINING[table], name: value}}, {})
    with pytest.raises(ModelFileError, match=rf"c: expected {table}\.{name} to be {kind}") as caught:
        load_checkpoint(tmp_path / "c")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


@pytest.mark.parametrize("table", TRAINING)
def test_tables_of_a_checkpoint(table: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", {**TRAINING, table: 7}, {})
    with pytest.raises(ModelFileError, match=f"c: expected {table} to be a table"):
        load_checkpoint(tmp_path / "c")


def test_weights_of_a_checkpoint_are_numbers(tmp_path: Path) -> None:
    tensors = {"weights.a": torch.tensor([1.0, float("nan")]), "adamw.exp_avg_sq.a": torch.tensor([float("inf"), 0.0])}
    save_checkpoint(tmp_path / "c", TRAINING, tensors)
    with pytest.raises(ModelFileError, match=r"expected finite numbers in weights\.a"):
        load_checkpoint(tmp_path / "c")
    save_checkpoint(tmp_path / "c", TRAINING, {**tensors, "weights.a": torch.zeros(2)})
    load_checkpoint(tmp_path / "c")


def test_types_of_a_checkpoint(tmp_path: Path) -> None:
    model, corpus = miniature.model(), miniature.corpus()
    progress = next(iter(train(model, corpus, seed=0)))
    state = progress.state()
    state.tensors["random.cpu"] = state.tensors["random.cpu"].float()
    with pytest.raises(TrainingError, match=r"random\.cpu of shape .*uint8, found .*float32"):
        next(iter(train(miniature.model(), corpus, seed=0, state=state)))


# -- what is printed --------------------------------------------------------------------------------------------------


def test_nothing_raw_of_a_folder_is_printed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spam = {SPAM: SPAM, "x" * 77_000: "y" * 77_000, **{f"n{n}": n for n in range(5000)}}
    hostile.edit(folder, "provenance.json", lambda found: found.update({**spam, "run": {SPAM: {SPAM: [SPAM]}}}))
    metrics = {
        "dev": {"criterion": 0.5, "score": SPAM},
        "training": {"epochs": SPAM, "seconds": "x" * 77_000},
        "gates": {SPAM: {SPAM: 0.5, "B-arrival": 0.5}},
    }
    hostile.edit(folder, "metrics.json", lambda found: found.update(metrics))
    hostile.options(data={"columns": {SPAM: SPAM}, "labels": [SPAM]})(folder)
    done = call(capsys, "describe", folder)
    assert done.status == 0 and not RAW.search(done.out) and len(done.out) < 40_000
    assert "\\x1b" in done.out and max(map(len, done.out.splitlines())) < 2000


def test_nothing_raw_of_tags_is_printed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(config: dict[str, Any]) -> None:
        labels = [label.replace("date", "date\x1b[31m") for label in config["id2label"].values()]
        config["id2label"] = {str(n): label for n, label in enumerate(labels)}
        config["label2id"] = {label: n for n, label in enumerate(labels)}

    hostile.edit(folder, "config.json", change)
    rows = tmp_path / "rows.conll"
    rows.write_text("on\x9b2J\tO\nMonday\tB-date\x1b[31m\n\nto\tO\nRome\tB-x\x07\n", encoding="utf-8")
    for words in (
        ["describe", folder],
        ["evaluate", folder, rows, "--errors", "9"],
        ["tag", folder, "--text", "a\x9bb"],
    ):
        done = call(capsys, *words)
        assert done.status == 0 and not RAW.search(done.out + done.err), (words[0], done.out, done.err)


def said(change: Callable[[dict[str, Any]], Any], name: str = "config.json") -> Callable[[Path], None]:
    return lambda folder: hostile.edit(folder, name, change)


LONG = SPAM * 8000
MESSAGES: dict[str, Callable[[Path], object]] = {
    "a key of config": said(lambda found: found.update({LONG: 1})),
    "a type": said(lambda found: found.update(model_type=LONG)),
    "a version": said(lambda found: found.update(format_version=LONG)),
    "a long version": said(lambda found: found.update(format_version=10**4000)),
    "a tokenizer": said(lambda found: found.update(tokenizer=LONG)),
    "a scheme": said(lambda found: found["scheme"].update(outer=LONG)),
    "a tag": said(lambda found: found["id2label"].update({"0": LONG})),
    "another tag": said(lambda found: [found["id2label"].update({"0": LONG}), found["label2id"].update({LONG: 0})]),
    "a vocabulary": said(lambda found: found["vocabularies"].update({LONG: found["vocabularies"]["words"]})),
    "a file": said(lambda found: found["vocabularies"]["words"].update(file=LONG)),
    "an option": said(lambda found: found["encoder"].update({LONG: 1}), "options.json"),
    "a section": said(lambda found: found.update({LONG: 1}), "options.json"),
    "a value": said(lambda found: found["encoder"].update(width=LONG), "options.json"),
    "many values": said(lambda found: found["encoder"].update(width=[SPAM] * 9999), "options.json"),
    "an encoder": said(lambda found: found["encoder"].update(type=LONG), "options.json"),
    "a class": said(lambda found: found["encoder"].update(type=f"{LONG}:x"), "options.json"),
    "a feature": said(lambda found: found["inputs"]["features"].update({LONG: {"type": "words"}}), "options.json"),
    "costs": said(lambda found: found["head"].update(costs={LONG: 1.0}), "options.json"),
    "a tensor": hostile.weights(lambda tensors: tensors.update({LONG: torch.zeros(1)})),
    "a shape": hostile.weights(lambda tensors: tensors.update({NAME: torch.zeros([1] * 5000)})),
    "no JSON": lambda folder: (folder / "metrics.json").write_text(LONG, encoding="utf-8"),
    "a word": lambda folder: (folder / "vocabulary/words.txt").write_text(LONG, encoding="utf-8"),
    "an entity": lambda folder: (folder / "entities.jsonl").write_text(json.dumps([LONG]), encoding="utf-8"),
    "brackets": lambda folder: (folder / "provenance.json").write_text('{"a":' * 300 + "1" + "}" * 300),
    "very many brackets": lambda folder: (folder / "provenance.json").write_text("[" * 100_000),
    "a number": lambda folder: (folder / "provenance.json").write_text("7"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_are_short_and_printable(name: str, folder: Path) -> None:
    MESSAGES[name](folder)
    with pytest.raises(ModelFileError) as caught:
        load_model(folder)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 1500, (len(message), message[:300])


def test_a_folder_of_foreign_provenance_is_saved_again(folder: Path, tmp_path: Path) -> None:
    for other in ({"run": 7}, {"run": {"data": 7, "versions": 7}}, {"run": {"data": {"dev": 7}}, "finished": 7}):
        save_model(tmp_path / "again", load_model(folder).model, tokenizer="words-1", provenance=other)
    data = {"test": {"path": SPAM, "sha256": SPAM}}
    provenance = {"run": {"data": data, "versions": {SPAM: SPAM}, "seed": SPAM}, "finished": SPAM}
    metrics = {"test": {"criterion": 1.0, "signature": SPAM, "tokens": 5}, SPAM: {SPAM: 1}}
    save_model(
        tmp_path / "again", load_model(folder).model, tokenizer="words-1", provenance=provenance, metrics=metrics
    )
    assert not RAW.search((tmp_path / "again" / "README.md").read_text(encoding="utf-8"))
