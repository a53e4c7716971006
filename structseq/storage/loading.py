"""Loading a model folder: nothing in it is executed, and every damage is one sentence that names the entry."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from structseq.config import Options, outside_classes
from structseq.data.vocabulary import Vocabulary
from structseq.errors import ConfigError, ModelFileError
from structseq.files import standing
from structseq.inputs import FURTHER
from structseq.model import Model
from structseq.storage.assembly import assemble
from structseq.storage.configuration import WEIGHTS, Configuration, VocabularyFile, read_configuration, tag_set
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
        Names ``"package.module:Class"`` of encoders, heads and word features from outside that may be imported. A
        folder that asks for another one is refused, because importing executes code.

    Raises
    ------
    ModelFileError
        The folder is foreign, damaged, incomplete or too new.
    """
    folder = standing(Path(folder), "config.json")
    config, table, version = read_configuration(folder)
    place = folder / "config.json"
    tags = tag_set(config, place)
    options = _checked(table, folder / "options.json", trusted)
    _check_vocabularies(config, place)
    vocabularies = {name: _read_vocabulary(folder, name, listed) for name, listed in config.vocabularies.items()}
    tensors = _read_weights(folder / WEIGHTS, config.weights.sha256)
    model = assemble(options, vocabularies, tags, config.widths, tensors, folder)
    metrics, provenance = (read_object(folder / f"{name}.json") for name in ("metrics", "provenance"))
    told = folder / "entities.jsonl"
    entities = parse_entities(read_text(told), told)
    return StoredModel(model, config.tokenizer, metrics, provenance, entities, version)


def _checked(table: Mapping[str, Any], path: Path, trusted: Collection[str]) -> Options:
    """The options; what is not trusted is refused before anything is imported. ``path`` for messages."""
    for name, kind in outside_classes(table).items():
        if kind not in trusted:
            raise ModelFileError(
                f"{path}: {name} is {kind!r}, code from outside, which loading would execute; "
                f"if you trust it, load the folder with trusted=[{kind!r}], or on the command line --trust {kind}"
            )
    try:
        return Options.of(table)
    except ConfigError as problem:
        raise ModelFileError(f"{path}: {problem}") from None


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


def _check_vocabularies(config: Configuration, path: Path) -> None:
    needed = set[str]() if "frames" in config.widths else {"words", "characters", "shapes", "affixes"}
    missing = needed - config.vocabularies.keys()
    if missing:
        raise ModelFileError(f"{path}: expected a vocabulary {min(missing)!r}, found none; the file is damaged")
    for name, listed in config.vocabularies.items():
        if listed.open == (name in ("words", "labels")) and not name.startswith(FURTHER):
            wanted = "false" if listed.open else "true"
            raise ModelFileError(f"{path}: expected vocabularies.{name}.open to be {wanted}; the file is damaged")
    if ("vectors" in config.vocabularies) != ("vectors" in config.widths):
        raise ModelFileError(
            f"{path}: expected vectors in both vocabularies and widths, or in none of the two; the file is damaged"
        )


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
