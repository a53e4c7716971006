"""The model folder: saved bit for bit, damage is reported in one sentence, and a kill leaves the old model whole."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from structseq import files
from structseq.config import Options, load_options
from structseq.data.example import Example
from structseq.data.vocabulary import Vocabulary
from structseq.errors import ModelFileError
from structseq.model import Model
from structseq.spans import scheme_of
from structseq.storage import (
    StoredModel,
    check_destination,
    is_model_folder,
    load_checkpoint,
    load_model,
    model_files,
    save_checkpoint,
    save_model,
    saving,
    write_model,
)
from structseq.storage.entries import checksum, entity_lines, parse_entities, read_vocabulary, vocabulary_text

TINY: dict[str, Any] = {
    "inputs": {
        "words": {"width": 4},
        "characters": {"width": 4, "embedding": 3},
        "affixes": {"shape": 2, "width": 2, "min_count": 1},
    },
    "encoder": {"width": 3},
}
EXAMPLES = [
    Example.of(["arrive", "Taipei", "on", "May", "2nd"], ["O", "B-city", "O", "B-date", "I-date"]),
    Example.of(["leave", "a\tb\\n", "\u2028", "#"], ["O", "B-city", "I-city", "O"]),
]
BIO, PLAIN = scheme_of("BIO"), scheme_of("plain")


def tiny(*layers: dict[str, Any], examples: list[Example] = EXAMPLES, scheme: Any = BIO, seed: int = 0) -> Model:
    return Model.prepare(Options.of(TINY, *layers), examples, scheme, seed=seed).eval()


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny()


METADATA: dict[str, Any] = {
    "tokenizer": "words-1",
    "metrics": {"test": {"f1": 0.5}},
    "provenance": {"seed": 0},
    "entities": [("May 2nd", "date"), ("Taipei", "city")],
}


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    """A saved model, without waiting for the disk."""
    for name, data in model_files(model, **METADATA).items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "model"


def same(one: Model, other: Model) -> bool:
    """Weights and every buffer, the ones that are not saved too."""
    pairs = (
        (dict(one.named_parameters()), dict(other.named_parameters())),
        (dict(one.named_buffers()), dict(other.named_buffers())),
    )
    return all(
        ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
        for ours, theirs in pairs
    )


# -- what is saved comes back -----------------------------------------------------------------------------------------

COLUMN_EXAMPLES = [
    Example.of(["a", "b"], ["x", "y"], **{"part/of speech": ["N", "V\t"], "column": ["1", ""]}),
    Example.of(["c"], ["x"], **{"part/of speech": ["V\t"], "column": ["0"]}),
]
KINDS: dict[str, Callable[[Path], Model]] = {
    "crf": lambda _: tiny(),
    "softmax": lambda _: tiny({"head": {"type": "softmax"}}),
    "perceptron": lambda _: tiny({"head": {"type": "perceptron"}}),
    "two layers one way": lambda _: tiny({"encoder": {"layers": 2, "bidirectional": False}}),
    "learned as BIOES": lambda _: tiny({"head": {"scheme": "BIOES"}}),
    "unknowns never trained": lambda _: tiny({"inputs": {"words": {"unknown_rate": 0}}}),
    "characters alone": lambda _: tiny({"inputs": {"words": {"width": 0}, "affixes": {"shape": 0, "width": 0}}}),
    "several windows": lambda _: tiny({"inputs": {"characters": {"windows": [2, 3]}}}),
    "plain tags and columns": lambda _: tiny(
        {"data": {"columns": {"part/of speech": 1, "column": 2}}}, examples=COLUMN_EXAMPLES, scheme=PLAIN
    ),
    "pretrained vectors": lambda folder: tiny({"inputs": {"words": {"vectors": str(vectors(folder))}}}),
}


def vectors(folder: Path) -> Path:
    path = folder / "vectors.txt"
    path.write_text("Taipei 1 2\non 3 4\nKaohsiung 5 6\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_comes_back_bit_for_bit(kind: str, tmp_path: Path) -> None:
    model = KINDS[kind](tmp_path)
    save_model(tmp_path / "model", model, tokenizer="words-1")
    stored = load_model(tmp_path / "model")
    assert same(model, stored.model)
    assert stored.model.options == model.options
    assert stored.model.vocabularies == model.vocabularies
    assert stored.model.tags == model.tags
    assert not stored.model.training
    examples = COLUMN_EXAMPLES if model.tags.file_scheme.plain else EXAMPLES
    assert list(stored.model.predict(examples)) == list(model.predict(examples))


def test_a_loaded_model_can_be_trained(folder: Path) -> None:
    model = load_model(folder).model
    batch = model.inputs.encode(EXAMPLES[:1])
    model.loss(batch, torch.zeros(batch.ids.shape, dtype=torch.int64)).sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in model.parameters())


def test_frozen_vectors_stay_frozen(tmp_path: Path) -> None:
    model = KINDS["pretrained vectors"](tmp_path)
    save_model(tmp_path / "model", model, tokenizer="words-1")
    loaded = load_model(tmp_path / "model").model
    assert [name for name, p in loaded.named_parameters() if not p.requires_grad] == [
        "inputs.features.vectors.embedding.weight"
    ]


def test_metadata_comes_back(folder: Path) -> None:
    stored = load_model(folder)
    assert (stored.tokenizer, stored.format_version) == ("words-1", 2)
    assert (stored.metrics, stored.provenance) == ({"test": {"f1": 0.5}}, {"seed": 0})
    assert stored.entities == {("May 2nd", "date"), ("Taipei", "city")}


def test_the_same_model_is_the_same_bytes(model: Model, folder: Path, tmp_path: Path) -> None:
    stored = load_model(folder)
    metadata = {"metrics": stored.metrics, "provenance": stored.provenance, "entities": stored.entities}
    save_model(tmp_path / "again", stored.model, tokenizer=stored.tokenizer, **metadata)
    assert content(tmp_path / "again") == content(folder)


def test_the_folder_is_json_text_and_safetensors(folder: Path) -> None:
    assert sorted(content(folder)) == [
        "README.md",
        "config.json",
        "entities.jsonl",
        "metrics.json",
        "model.safetensors",
        "options.json",
        "provenance.json",
        "vocabulary/affixes.txt",
        "vocabulary/characters.txt",
        "vocabulary/shapes.txt",
        "vocabulary/words.txt",
    ]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {"0": "O", "1": "B-city", "2": "I-city", "3": "B-date", "4": "I-date"}
    assert config["label2id"]["B-date"] == 3
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n") and "\n- token-classification\n" in card and "| `f1` | 0.5 |" in card


def test_a_model_card_is_a_page(model: Model, tmp_path: Path) -> None:
    def score(support: int) -> dict[str, float]:
        return {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": support, "predicted": support}

    table = {"micro": score(5000), "macro": score(0), "types": {f"type-{n}": score(n) for n in range(100)}}
    test = {"criterion": 1 / 3, "sentences": 893, "tokens": 9198, "signature": "entity-F1|conlleval", "table": table}
    data = {"test": {"path": "a `file`.conll", "sha256": "0123456789abcdef"}}
    provenance = {"run": {"seed": 3, "data": data, "versions": {"torch": "2"}}, "finished": "2026-11-28T10:00:00"}
    metrics = {"dev": test, "test": test}
    save_model(tmp_path / "m", model, tokenizer="words-1", metrics=metrics, provenance=provenance)
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert len(card.splitlines()) < 80
    assert "On test, `a 'file'.conll`: 893 sentences, 9,198 tokens." in card
    assert "| all | 50.00 | 25.00 | 33.33 | 5,000 | 5,000 |\n| `type-99` | 50.00" in card and "type-84" not in card
    assert "85 rarer types are in metrics.json." in card and "Computed as `entity-F1|conlleval`." in card
    assert "- made 2026-11-28 with seed 3; torch 2" in card and "licence: not stated" in card
    (index,) = re.findall(r"^model-index: (.*)$", card, re.MULTILINE)
    result, _ = json.loads(index)[0]["results"]
    assert (
        card.count("type-99") == 1
        and result["dataset"]["name"] == "a `file`.conll (test)"
        and result["metrics"][0]["value"] == 1 / 3
    )


def test_options_of_a_model_train_another(model: Model, folder: Path) -> None:
    assert Options.of(load_options(folder / "options.json")) == model.options


def test_loading_leaves_random_numbers_alone(folder: Path) -> None:
    before = torch.get_rng_state()
    load_model(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_folder_can_be_read_through_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(folder, target_is_directory=True)
    assert load_model(tmp_path / "latest").tokenizer == "words-1"


@pytest.mark.parametrize("open", [True, False])
@given(entries=st.dictionaries(st.text(st.characters(exclude_categories=())), st.integers(0, 10**12), max_size=20))
def test_any_vocabulary_survives_as_text(open: bool, entries: dict[str, int]) -> None:
    vocabulary = Vocabulary(entries, entries.values(), open=open)
    text = vocabulary_text(vocabulary).encode("utf-8").decode("utf-8")
    assert len(text.splitlines()) == len(entries) == text.count("\n")
    assert read_vocabulary(text, path=Path("v"), open=open, size=len(entries)) == vocabulary


@given(pairs=st.sets(st.tuples(st.text(st.characters(exclude_categories=())), st.text()), max_size=5))
def test_any_entities_survive(pairs: set[tuple[str, str]]) -> None:
    assert parse_entities(entity_lines(pairs).decode("utf-8"), Path("e")) == pairs


# -- damage -----------------------------------------------------------------------------------------------------------


def edit(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Damage that rewrites a JSON file."""

    def damage(folder: Path) -> None:
        value = json.loads((folder / name).read_text(encoding="utf-8"))
        changed = change(value)
        (folder / name).write_text(json.dumps(value if changed is None else changed), encoding="utf-8")

    return damage


def cut(name: str, kept: Callable[[int], int]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[: kept(path.stat().st_size)])

    return damage


def write(name: str, data: str | bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)

    return damage


def without(name: str, *keys: str) -> Callable[[Path], None]:
    """Damage that takes a key out of config.json's ``name`` (of config.json itself where it is empty)."""

    def damage(found: dict[str, Any]) -> None:
        for key in keys:
            del (found[name] if name else found)[key]

    return edit("config.json", damage)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def line(name: str, number: int, text: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        lines = (folder / name).read_text(encoding="utf-8").split("\n")
        lines[number - 1] = text
        (folder / name).write_text("\n".join(lines), encoding="utf-8")

    return damage


def weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    """Damage by somebody who mends the checksum too."""

    def damage(folder: Path) -> None:
        path = folder / "model.safetensors"
        tensors = safetensors.torch.load_file(path)
        change(tensors)
        safetensors.torch.save_file(tensors, path)
        edit("config.json", lambda config: config["weights"].update(sha256=checksum(path.read_bytes())))(folder)

    return damage


def flip(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def huge_header(folder: Path) -> None:
    """A header that promises far more than the file holds."""
    header = json.dumps({"x": {"dtype": "F32", "shape": [10**9, 10**3], "data_offsets": [0, 4 * 10**12]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def to_folder(folder: Path) -> None:
    (folder / "metrics.json").unlink()
    (folder / "metrics.json").mkdir()


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def bert(folder: Path) -> None:
    empty(folder)
    config = {"model_type": "bert", "hidden_size": 768, "id2label": {"0": "O"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def encoder(**options: Any) -> Callable[[Path], None]:
    return edit("options.json", lambda tables: tables["encoder"].update(options))


def config(**entries: Any) -> Callable[[Path], None]:
    return edit("config.json", lambda found: found.update(entries))


# damage, the entry that the sentence names, and a word of what it says
DAMAGES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "no folder": (shutil.rmtree, "model", "found nothing"),
    "empty folder": (empty, "config.json", "finished training run"),
    "another program's model": (bert, "config.json", "'bert'"),
    "no config": (remove("config.json"), "config.json", "found none"),
    "no options": (remove("options.json"), "options.json", "found none"),
    "no weights": (remove("model.safetensors"), "model.safetensors", "found none"),
    "no words": (remove("vocabulary/words.txt"), "words.txt", "found none"),
    "no metrics": (remove("metrics.json"), "metrics.json", "found none"),
    "no provenance": (remove("provenance.json"), "provenance.json", "found none"),
    "no entities": (remove("entities.jsonl"), "entities.jsonl", "found none"),
    "a folder for a file": (to_folder, "metrics.json", "expected a file"),
    "empty weights": (cut("model.safetensors", lambda size: 0), "model.safetensors", "safetensors"),
    "weights cut in the length": (cut("model.safetensors", lambda size: 5), "model.safetensors", "safetensors"),
    "weights cut in the header": (cut("model.safetensors", lambda size: 100), "model.safetensors", "safetensors"),
    "weights cut in the middle": (cut("model.safetensors", lambda size: size // 2), "model.safetensors", "safetensors"),
    "weights cut by a byte": (cut("model.safetensors", lambda size: size - 1), "model.safetensors", "safetensors"),
    "weights that are text": (
        write("model.safetensors", "version https://git-lfs"),
        "model.safetensors",
        "safetensors",
    ),
    "a header of 2^63 bytes": (write("model.safetensors", b"\xff" * 8 + b"{}"), "model.safetensors", "safetensors"),
    "a header that promises terabytes": (huge_header, "model.safetensors", "safetensors"),
    "one bit of the weights": (flip, "model.safetensors", "SHA-256"),
    "wrong shape": (
        weights(lambda t: t.update({"head.emission.bias": torch.zeros(6)})),
        "model.safetensors",
        "expected head.emission.bias to be float32 (5,), found float32 (6,)",
    ),
    "wrong type": (
        weights(lambda t: t.update({"head.emission.bias": torch.zeros(5, dtype=torch.float64)})),
        "model.safetensors",
        "found float64",
    ),
    "a tensor too few": (
        weights(lambda t: t.__delitem__("head.emission.bias")),
        "model.safetensors",
        "expected a tensor head.emission.bias",
    ),
    "a tensor too many": (
        weights(lambda t: t.update(extra=torch.zeros(1))),
        "model.safetensors",
        "expected no tensor extra",
    ),
    "config cut": (cut("config.json", lambda size: size // 2), "config.json", "expected JSON"),
    "config of bytes": (write("config.json", b"\xff\xfe{}"), "config.json", "expected UTF-8"),
    "config a list": (write("config.json", "[]"), "config.json", "a list"),
    "config too deep": (write("config.json", "[" * 100_000), "config.json", "too many nested brackets"),
    "config with a key too many": (config(pickle="x"), "config.json", "pickle"),
    "config with a key too few": (without("", "scheme"), "config.json", "scheme"),
    "a version too new": (config(format_version=99), "config.json", "newer structseq"),
    "no version": (config(format_version=None), "config.json", "format_version"),
    "a version that is true": (config(format_version=True), "config.json", "format_version"),
    "a version before the first": (config(format_version=0), "config.json", "format_version"),
    "an old version's entries missing": (config(format_version=1, vocabularies=None), "config.json", "version 1, "),
    "an old version's options missing": (
        lambda folder: [damage(folder) for damage in (config(format_version=1), write("options.json", "[]"))],
        "options.json",
        "a list",
    ),
    "no widths": (without("", "widths"), "config.json", "widths"),
    "a width of nothing that has one": (config(widths={"words": 4}), "config.json", "widths.words"),
    "a width of nought": (config(widths={"frames": 0}), "config.json", "widths.frames"),
    "the width of vectors without vectors": (config(widths={"vectors": 4}), "config.json", "in neither"),
    "frames and words": (config(widths={"frames": 4}), "model.safetensors", "options.json"),
    "a gap in id2label": (without("id2label", "2"), "config.json", "found no 2"),
    "no labels": (config(id2label={}, label2id={}), "config.json", "id2label"),
    "a label twice": (edit("config.json", lambda c: c["id2label"].update({"2": "B-city"})), "config.json", "label2id"),
    "a label that is a number": (
        edit("config.json", lambda c: c["id2label"].update({"2": 7})),
        "config.json",
        "id2label.2",
    ),
    "labels of another scheme": (
        edit("config.json", lambda c: c["scheme"].update(inner="IOE")),
        "config.json",
        "not a tag of IOE",
    ),
    "an unknown scheme": (config(scheme={"outer": "BIOO", "inner": "BIO"}), "config.json", "did you mean BIO"),
    "plain outside, spans inside": (config(scheme={"outer": "plain", "inner": "BIO"}), "config.json", "plain"),
    "an unknown tokenizer": (config(tokenizer="words-99"), "config.json", "words-99"),
    "a vocabulary file outside": (
        edit("config.json", lambda c: c["vocabularies"]["words"].update(file="../config.json")),
        "config.json",
        "vocabularies.words.file",
    ),
    "words open": (
        edit("config.json", lambda c: c["vocabularies"]["words"].update(open=True)),
        "config.json",
        "words.open",
    ),
    "no characters": (
        without("vocabularies", "characters"),
        "config.json",
        "characters",
    ),
    "an option unknown": (encoder(widht=3), "options.json", "did you mean"),
    "an option out of range": (encoder(width=-1), "options.json", "encoder.width"),
    "another width": (encoder(width=4), "model.safetensors", "options.json"),
    "a width of 10^8": (encoder(width=10**8), "model.safetensors", "(400000000,"),
    "a width of 10^9": (encoder(width=10**9), "options.json", "no model can be built"),
    "a width of 10^30": (encoder(width=10**30), "options.json", "no model can be built"),
    "10^9 layers": (encoder(layers=10**9), "options.json", "no more layers"),
    "an encoder that does not exist": (encoder(type="lsmt"), "options.json", "lstm"),
    "code from outside": (encoder(type="os:system"), "options.json", "trust"),
    "options cut": (cut("options.json", lambda size: size // 3), "options.json", "expected JSON"),
    "a word without its count": (line("vocabulary/words.txt", 2, "Taipei"), "words.txt:2", "its count"),
    "a word with a broken escape": (line("vocabulary/words.txt", 3, "a\\x\t1"), "words.txt:3", "its count"),
    "a count of too many digits": (line("vocabulary/words.txt", 1, "a\t" + "9" * 5000), "words.txt:1", "its count"),
    "a word twice": (line("vocabulary/words.txt", 2, "#\t1"), "words.txt", "'#' twice"),
    "a word changed": (line("vocabulary/words.txt", 2, "Tainan\t1"), "words.txt", "SHA-256"),
    "words cut": (cut("vocabulary/words.txt", lambda size: size // 2), "words.txt", "whole lines"),
    "entities without a label": (write("entities.jsonl", '{"text": "x"}\n'), "entities.jsonl:1", "label"),
    "metrics broken": (write("metrics.json", "{'a': 1}"), "metrics.json", "expected JSON"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_one_sentence_that_names_the_entry(name: str, folder: Path) -> None:
    damage, entry, said = DAMAGES[name]
    damage(folder)
    with pytest.raises(ModelFileError) as caught:
        load_model(folder)
    message = str(caught.value)
    place = message.partition(": ")[0]
    assert place.endswith(entry), message
    assert said in message and "\n" not in message, message


def test_every_cut_of_the_weights_is_found(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for kept in range(0, len(whole), 97):
        path.write_bytes(whole[:kept])
        with pytest.raises(ModelFileError, match=r"model\.safetensors"):
            load_model(folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
def test_any_byte_of_config_changed_is_an_error_or_harmless(model: Model, folder: Path, place: int, value: int) -> None:
    whole = (folder / "config.json").read_bytes()
    data = bytearray(whole)
    data[place % len(data)] = value
    (folder / "config.json").write_bytes(data)
    try:
        stored = load_model(folder)
    except ModelFileError as problem:
        assert "\n" not in str(problem)
    else:
        assert same(model, stored.model)
    finally:
        (folder / "config.json").write_bytes(whole)


def test_code_from_outside_is_loaded_when_trusted(tmp_path: Path) -> None:
    name = "structseq.encoders.recurrent:LSTM"
    model = tiny({"encoder": {"type": name}})
    save_model(tmp_path / "model", model, tokenizer="words-1")
    with pytest.raises(ModelFileError, match="trusted="):
        load_model(tmp_path / "model")
    assert same(model, load_model(tmp_path / "model", trusted=[name]).model)


# -- older versions ---------------------------------------------------------------------------------------------------

VERSION_1 = Path(__file__).parent / "data" / "version-1"


@pytest.mark.parametrize("name", ["tagger", "frames"])
def test_a_folder_of_version_1_answers_as_it_did(name: str, tmp_path: Path) -> None:
    """Written by the last version that wrote it, with the answers that it gave."""
    shutil.copytree(VERSION_1 / name, tmp_path / name)
    before = json.loads((tmp_path / name / "answers.json").read_text(encoding="utf-8"))
    with pytest.warns(UserWarning, match="format_version 1 is older than 2"):
        stored = load_model(tmp_path / name)
    assert stored.format_version == 1
    assert stored.model.widths == ({"vectors": 3} if name == "tagger" else {"frames": 2})
    if name == "tagger":
        assert float(stored.model.head.get_buffer("temperature")) == 1.0, "as before CRFs had one"
    save_model(tmp_path / name, stored.model, tokenizer=stored.tokenizer)
    again = load_model(tmp_path / name)
    assert again.format_version == 2 and same(stored.model, again.model)
    assert again.model.options == stored.model.options and again.model.vocabularies == stored.model.vocabularies
    examples = [Example(inputs) for inputs in before["inputs"]]
    for model in (stored.model, again.model):
        assert list(map(list, model.predict(examples))) == [answer for answer, _ in before["answers"]]
        torch.testing.assert_close(torch.from_numpy(model.embed(examples)), torch.tensor(before["vectors"]))


def test_a_folder_of_version_1_that_lacks_its_width(tmp_path: Path) -> None:
    shutil.copytree(VERSION_1 / "frames", tmp_path / "model")
    width = tmp_path / "model" / "vocabulary" / "frames.width.txt"
    width.write_text("wide\t0\n", encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"config\.json: expected the content of format_version 1"):
        load_model(tmp_path / "model")
    width.unlink()
    with pytest.raises(ModelFileError, match=r"frames\.width\.txt: expected this file"):
        load_model(tmp_path / "model")


# -- files and folders ------------------------------------------------------------------------------------------------


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


class Killed(BaseException):
    """In place of a kill: it is never caught."""


def failing(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, call: int) -> None:
    """Let the ``call``-th use of ``module.name`` raise."""
    real, calls = getattr(module, name), iter(range(1, 1000))

    def sometimes(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            raise Killed
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, sometimes)


MOMENTS = [
    *((saving, "write_file", n) for n in (1, 3, 11)),
    *((os, "rename", n) for n in range(1, 10)),
    *((os, "fsync", n) for n in (5, 23, 27)),
]


@pytest.mark.parametrize(("module", "name", "call"), MOMENTS)
def test_an_interrupted_save_leaves_the_old_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, call: int
) -> None:
    before = content(folder)
    with monkeypatch.context() as patched:
        failing(patched, module, name, call)
        with pytest.raises(Killed):
            save_model(folder, tiny(seed=1), tokenizer="words-1")
    assert content(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_model_that_a_kill_left_set_aside_is_found(folder: Path) -> None:
    before = content(folder)
    os.rename(folder, folder.parent / "aside")
    folder.mkdir()
    os.rename(folder.parent / "aside", folder / files.OLD)
    assert isinstance(load_model(folder), StoredModel) and is_model_folder(folder)
    save_model(folder, tiny(seed=1), tokenizer="words-1")
    assert content(folder).keys() == before.keys()
    assert content(folder)["model.safetensors"] != before["model.safetensors"]
    assert {path.name for path in folder.iterdir()} == {name.partition("/")[0] for name in before}


def test_a_first_save_that_was_killed_is_made_again(model: Model, tmp_path: Path) -> None:
    (tmp_path / files.NEW).mkdir()
    (tmp_path / "README.md").write_text("moved already", encoding="utf-8")
    save_model(tmp_path, model, tokenizer="words-1")
    assert content(tmp_path).keys() == model_files(model, tokenizer="words-1").keys()


def test_a_model_is_replaced_and_what_is_not_its_own_is_kept(folder: Path) -> None:
    (folder / "log.jsonl").write_text("{}\n", encoding="utf-8")
    (folder / "notes").mkdir()
    (folder / "notes" / "why.txt").write_text("because", encoding="utf-8")
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        save_model(folder, tiny({"head": {"type": "softmax"}}, seed=1), tokenizer="characters-1")
        log.write("[]\n")
    assert load_model(folder).tokenizer == "characters-1"
    assert (folder / "log.jsonl").read_text(encoding="utf-8") == "{}\n[]\n"
    assert (folder / "notes" / "why.txt").read_text(encoding="utf-8") == "because"


def test_what_is_no_model_is_never_overwritten(model: Model, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("dear", encoding="utf-8")
    (tmp_path / "file").write_text("dear", encoding="utf-8")
    for name, said in (("thesis", "chapter.txt"), ("file", "found a file")):
        with pytest.raises(ModelFileError, match=said):
            save_model(tmp_path / name, model, tokenizer="words-1")
        with pytest.raises(ModelFileError, match=said):
            check_destination(tmp_path / name)
    assert sorted(content(tmp_path)) == ["file", "thesis/chapter.txt"]


def test_a_place_that_cannot_be_written(folder: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be written"):
        save_model(folder / "config.json" / "below", tiny(), tokenizer="words-1")


def test_a_run_may_have_its_files_there_before_the_model(model: Model, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").write_text("{}\n", encoding="utf-8")
    write_model(tmp_path / "run", model_files(model, tokenizer="words-1"))
    assert load_model(tmp_path / "run") and (tmp_path / "run" / "log.jsonl").exists()


def test_others_may_read_the_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ordinary").mkdir()
    assert folder.stat().st_mode == (tmp_path / "ordinary").stat().st_mode


# -- checkpoints ------------------------------------------------------------------------------------------------------

NUMBERS: dict[str, Any] = {"epoch": 3, "best_score": None, "loss_sum": 0.1 + 0.2, "seed": 0, "name": "\u2028é"}


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path) -> None:
    shared = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    tensors = {
        "weights.a": shared,
        "weights.b": shared,
        "turned": shared.T,
        "step": torch.tensor(7.0),
        "random.cpu": torch.get_rng_state(),
        "empty": torch.zeros(0, 3),
        "large": torch.tensor([2**60]),
        "odd": torch.tensor([float("nan"), float("inf"), -0.0]),
    }
    save_checkpoint(tmp_path / "c", NUMBERS, tensors)
    numbers, found = load_checkpoint(tmp_path / "c")
    assert numbers == NUMBERS and found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].numpy().tobytes() == tensor.contiguous().numpy().tobytes(), name


def test_a_checkpoint_of_no_tensors(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", {}, {})
    assert load_checkpoint(tmp_path / "c") == ({}, {})


@pytest.mark.parametrize(("module", "name"), [(files, "uuid4"), (os, "replace"), (os, "fsync")])
def test_an_interrupted_checkpoint_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    save_checkpoint(tmp_path / "c", {"epoch": 1}, {"a": torch.zeros(2)})
    with monkeypatch.context() as patched:
        failing(patched, module, name, 1)
        with pytest.raises(Killed):
            save_checkpoint(tmp_path / "c", {"epoch": 2}, {"a": torch.ones(2)})
    assert load_checkpoint(tmp_path / "c")[0] == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_what_is_no_checkpoint_is_refused(tmp_path: Path, folder: Path) -> None:
    save_checkpoint(tmp_path / "c", NUMBERS, {"a": torch.zeros(2)})
    whole = (tmp_path / "c").read_bytes()
    for kept in range(len(whole)):
        (tmp_path / "c").write_bytes(whole[:kept])
        with pytest.raises(ModelFileError, match="safetensors"):
            load_checkpoint(tmp_path / "c")
    with pytest.raises(ModelFileError, match="expected a checkpoint"):
        load_checkpoint(folder / "model.safetensors")
    with pytest.raises(ModelFileError, match="found none"):
        load_checkpoint(tmp_path / "nothing")
    with pytest.raises(ModelFileError, match="cannot be written"):
        save_checkpoint(tmp_path / "nothing" / "c", {}, {})
