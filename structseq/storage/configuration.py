"""config.json: fields, checks, migration from older versions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from structseq.data.textfile import shown
from structseq.data.tokenizer import TOKENIZERS
from structseq.errors import ModelFileError, StructseqError
from structseq.spans import TagSet, scheme_of
from structseq.storage.entries import damaged, read_object, read_text

FORMAT_VERSION = 2
MODEL_TYPE = "structseq"
WEIGHTS = "model.safetensors"


Table = dict[str, Any]


class Entry(BaseModel):
    """A JSON object; unknown keys and other types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Schemes(Entry):
    """The scheme of the user's files, and that of the model."""

    outer: str
    inner: str


class VocabularyFile(Entry):
    """A file in ``vocabulary/``; an ``open`` one has an unknown entry."""

    file: str
    open: bool
    size: int
    sha256: str


class WeightsFile(Entry):
    sha256: str


class Configuration(Entry):
    """config.json; ``widths`` are those of frames or pretrained vectors."""

    model_type: Literal["structseq"]
    format_version: int
    id2label: dict[str, str]
    label2id: dict[str, int]
    scheme: Schemes
    tokenizer: str
    vocabularies: dict[str, VocabularyFile]
    widths: dict[Annotated[str, Field(pattern="^(frames|vectors)$")], Annotated[int, Field(ge=1, lt=1_000_000)]]
    weights: WeightsFile


def read_configuration(folder: Path) -> tuple[Configuration, Table, int]:
    """config.json and options.json, migrated to the current version, and their original version.

    Raises `ModelFileError` if they are damaged, foreign or too new; warns if they are older.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise ModelFileError(f"{folder}: expected a model folder, found {found}; give the folder that training wrote")
    path = folder / "config.json"
    if not path.exists():
        raise ModelFileError(f"{path}: expected this file, found none; give the folder of a finished training run")
    content = read_object(path)
    version = _version(content, path)
    options = read_object(folder / "options.json")
    if version < FORMAT_VERSION:
        _migrate(content, options, version, path)
    try:
        configuration = Configuration.model_validate(content)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = shown(".".join(str(part) for part in first["loc"]))
        message = f"{path}: {where}: {first['msg'].lower()}; the file is damaged or of another program"
        raise ModelFileError(message) from None
    if configuration.tokenizer not in TOKENIZERS:
        raise ModelFileError(
            f"{path}: expected a tokenizer among {', '.join(TOKENIZERS)}, found {shown(configuration.tokenizer)!r}; "
            "install a newer structseq"
        )
    return configuration, options, version


def _version(content: Table, path: Path) -> int:
    kind, version = content.get("model_type"), content.get("format_version")
    if kind != MODEL_TYPE:
        raise ModelFileError(
            f'{path}: expected "model_type": "{MODEL_TYPE}", found {shown(repr(kind))}; '
            "this is another program's model"
        )
    if not isinstance(version, int) or isinstance(version, bool) or version < min(MIGRATIONS):
        raise damaged(path, "a format_version", shown(repr(version)))
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: expected format_version {FORMAT_VERSION} or older, found {shown(str(version))}; "
            "install a newer structseq"
        )
    return version


def _migrate(content: Table, options: Table, version: int, path: Path) -> None:
    try:
        for step in range(version, FORMAT_VERSION):
            MIGRATIONS[step](content, options, path.parent)
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        raise damaged(path, f"the content of format_version {version}", f"an error at {shown(str(problem))}") from None
    content["format_version"] = FORMAT_VERSION
    warnings.warn(
        f"{path}: format_version {version} is older than {FORMAT_VERSION}; the model is read, and saving it again "
        f"writes version {FORMAT_VERSION}",
        UserWarning,
        stacklevel=4,
    )


def _from_1(config: Table, options: Table, folder: Path) -> None:
    """Version 1 stored widths as vocabularies, and the options of all encoders and heads."""
    config["widths"] = {}
    for name in ("frames", "vectors"):
        if config["vocabularies"].pop(f"{name}.width", None) is not None:
            line = read_text(folder / "vocabulary" / f"{name}.width.txt")
            config["widths"][name] = int(line.partition("\t")[0])
    unset = {"scheme": "auto", "projection": "linear", "costs": {}}
    for section in ("encoder", "head"):
        kept = {name: value for name, value in options.get(section, {}).items() if value is not None}
        options[section] = {name: value for name, value in kept.items() if name not in unset or value != unset[name]}


# By version: a function that changes config.json and options.json in place to the next version.
MIGRATIONS: Mapping[int, Callable[[Table, Table, Path], None]] = {1: _from_1}


def tag_set(configuration: Configuration, path: Path) -> TagSet:
    """The tags of a configuration; raises `ModelFileError`."""
    names = configuration.id2label
    gap = next((number for number in range(len(names)) if str(number) not in names), None)
    if gap is not None or not (names or "frames" in configuration.widths):
        raise damaged(path, "id2label to number the tags from 0 without a gap", f"no {gap or 0}")
    labels = tuple(names[str(number)] for number in range(len(names)))
    if configuration.label2id != {label: number for number, label in enumerate(labels)}:
        raise damaged(path, "label2id to be the inverse of id2label", "a different table")
    try:
        tags = TagSet(labels, scheme_of(configuration.scheme.outer), scheme_of(configuration.scheme.inner))
        tags.model_scheme.types(labels)
    except StructseqError as problem:
        raise ModelFileError(f"{path}: {shown(str(problem), 300)}") from None
    if tags.file_scheme.plain != tags.model_scheme.plain:
        raise damaged(path, "both schemes plain or neither", f"{tags.file_scheme} and {tags.model_scheme}")
    return tags
