"""Loading a model folder: nothing in it is executed, and every damage is one sentence that names the entry."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from structseq.config import Options
from structseq.data.vocabulary import Vocabulary
from structseq.errors import ConfigError, ModelFileError
from structseq.files import standing
from structseq.model import FRAMES_WIDTH, Model
from structseq.storage.assembly import assemble
from structseq.storage.configuration import WEIGHTS, VocabularyFile, read_configuration, tag_set
from structseq.storage.entries import checksum, parse_entities, read_entry, read_object, read_text
from structseq.storage.vocabulary import read_vocabulary
from structseq.storage.weights import tensors_of


@dataclass(frozen=True, slots=True)
class StoredModel:
    """What a model folder holds.

    Attributes
    ----------
    model:
        On the CPU, in evaluation mode.
    tokenizer:
        Name and version of the tokenizer that its text is cut by.
    metrics, provenance:
        As they were saved.
    entities:
        (text, label) of every entity of the training data, for scoring seen and unseen ones apart.
    format_version:
        The folder's own, before any migration.
    """

    model: Model
    tokenizer: str
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    entities: frozenset[tuple[str, str]]
    format_version: int


def load_model(folder: str | Path, *, trusted: Collection[str] = ()) -> StoredModel:
    """Read a model folder; nothing larger than its files is allocated, and the caller's random state is left alone.

    A folder of an older format version is read with a warning.

    Parameters
    ----------
    trusted:
        Names ``"package.module:Class"`` of encoders and heads from outside that may be imported. A folder that asks
        for another one is refused, because importing executes code.

    Raises
    ------
    ModelFileError
        The folder is foreign, damaged, incomplete or too new.
    """
    folder = standing(Path(folder), "config.json")
    config, version = read_configuration(folder)
    place = folder / "config.json"
    tags = tag_set(config, place)
    options = _read_options(folder / "options.json", trusted)
    vocabularies = {name: _read_vocabulary(folder, name, listed) for name, listed in config.vocabularies.items()}
    _check_vocabularies(vocabularies, place)
    tensors = _read_weights(folder / WEIGHTS, config.weights.sha256)
    model = assemble(options, vocabularies, tags, tensors, folder)
    metrics, provenance = (read_object(folder / f"{name}.json") for name in ("metrics", "provenance"))
    told = folder / "entities.jsonl"
    entities = parse_entities(read_text(told), told)
    return StoredModel(model, config.tokenizer, metrics, provenance, entities, version)


def _read_options(path: Path, trusted: Collection[str]) -> Options:
    content = read_object(path)
    try:
        options = Options.of(content)
    except ConfigError as problem:
        raise ModelFileError(f"{path}: {problem}") from None
    for name, kind in (("encoder.type", options.encoder.type), ("head.type", options.head.type)):
        if ":" in kind and kind not in trusted:
            raise ModelFileError(
                f"{path}: {name} is {kind!r}, code from outside, which loading would execute; "
                f"if you trust it, load the folder with trusted=[{kind!r}], or on the command line --trust {kind}"
            )
    return options


def _read_vocabulary(folder: Path, name: str, listed: VocabularyFile) -> Vocabulary:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", listed.file):
        raise ModelFileError(
            f"{folder / 'config.json'}: expected vocabularies.{name}.file to name a file in vocabulary/, "
            f"found {listed.file!r}; the file is damaged"
        )
    path = folder / "vocabulary" / listed.file
    content = read_entry(path)
    vocabulary = read_vocabulary(read_text(path, content), path=path, open=listed.open, size=listed.size)
    _check_sum(path, content, listed.sha256)
    return vocabulary


def _check_vocabularies(vocabularies: Mapping[str, Vocabulary], path: Path) -> None:
    closed = {"words", "vectors.width", FRAMES_WIDTH, "labels"}
    needed = {FRAMES_WIDTH} if FRAMES_WIDTH in vocabularies else {"words", "characters", "shapes", "affixes"}
    missing = needed - vocabularies.keys()
    if missing:
        raise ModelFileError(f"{path}: expected a vocabulary {min(missing)!r}, found none; the file is damaged")
    for name, vocabulary in vocabularies.items():
        if vocabulary.open == (name in closed):
            wanted = "false" if vocabulary.open else "true"
            raise ModelFileError(f"{path}: expected vocabularies.{name}.open to be {wanted}; the file is damaged")
    if FRAMES_WIDTH in vocabularies and not _is_width(vocabularies[FRAMES_WIDTH]):
        raise ModelFileError(f"{path}: expected the width alone in vocabularies.{FRAMES_WIDTH}; the file is damaged")
    width = vocabularies.get("vectors.width", Vocabulary([]))
    if ("vectors" in vocabularies) != _is_width(width):
        raise ModelFileError(
            f"{path}: expected vocabularies vectors and vectors.width, with the width alone in it, or none of the two; "
            "the file is damaged"
        )


def _is_width(vocabulary: Vocabulary) -> bool:
    """Whether it holds one number, which is a width."""
    return len(vocabulary) == 1 and bool(re.fullmatch("[1-9][0-9]{0,5}", vocabulary.items[0]))


def _read_weights(path: Path, expected: str) -> dict[str, Tensor]:
    content = read_entry(path)
    tensors = tensors_of(content, path)
    _check_sum(path, content, expected)
    return tensors


def _check_sum(path: Path, content: bytes, expected: str) -> None:
    if checksum(content) != expected:
        raise ModelFileError(
            f"{path}: expected the content whose SHA-256 config.json holds, found other content; the file is damaged"
        )
