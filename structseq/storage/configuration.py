"""What config.json holds, read and checked, older versions too; its tags and schemes are made into a `TagSet`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from structseq.data.tokenizer import TOKENIZERS
from structseq.errors import ModelFileError, StructseqError
from structseq.spans import TagSet, scheme_of
from structseq.storage.entries import read_object
from structseq.storage.migrations import FORMAT_VERSION, OLDEST, migrate

MODEL_TYPE = "structseq"
WEIGHTS = "model.safetensors"


class Entry(BaseModel):
    """A JSON object with these keys and no others."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Schemes(Entry):
    """Names of the scheme of the user's files and of the one learned inside."""

    outer: str
    inner: str


class VocabularyFile(Entry):
    """A file in ``vocabulary/``: whether the vocabulary has an unknown, its number of entries, the file's SHA-256."""

    file: str
    open: bool
    size: int
    sha256: str


class WeightsFile(Entry):
    """The SHA-256 of model.safetensors."""

    sha256: str


class Configuration(Entry):
    """config.json; ``id2label`` and ``label2id`` are the names that model hubs know.

    ``widths`` says how many numbers a frame, or a pretrained vector, is.
    """

    model_type: Literal["structseq"]
    format_version: int
    id2label: dict[str, str]
    label2id: dict[str, int]
    scheme: Schemes
    tokenizer: str
    vocabularies: dict[str, VocabularyFile]
    widths: dict[Annotated[str, Field(pattern="^(frames|vectors)$")], Annotated[int, Field(ge=1, lt=1_000_000)]]
    weights: WeightsFile


def read_configuration(folder: Path) -> tuple[Configuration, dict[str, Any], int]:
    """config.json and the table of options.json, as the present version writes them, and the version that wrote them.

    Raises `ModelFileError` where the folder is none of ours, damaged, or of a version too new; warns of an older one.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise ModelFileError(f"{folder}: expected a model folder, found {found}; name the folder that training wrote")
    path = folder / "config.json"
    if not path.exists():
        raise ModelFileError(
            f"{path}: expected this file in a structseq model folder, found none; "
            "name the folder of a finished training run"
        )
    content = read_object(path)
    version = _version(content, path)
    options = read_object(folder / "options.json")
    if version < FORMAT_VERSION:
        _migrate(content, options, version, path)
    try:
        configuration = Configuration.model_validate(content)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelFileError(f"{path}: {where}: {first['msg'].lower()}; the file is damaged or foreign") from None
    if configuration.tokenizer not in TOKENIZERS:
        raise ModelFileError(
            f"{path}: expected a tokenizer among {', '.join(TOKENIZERS)}, found {configuration.tokenizer!r}; "
            "install a newer structseq"
        )
    return configuration, options, version


def _version(content: dict[str, Any], path: Path) -> int:
    kind, version = content.get("model_type"), content.get("format_version")
    if kind != MODEL_TYPE:
        raise ModelFileError(
            f'{path}: expected "model_type": "{MODEL_TYPE}", found {kind!r}; this is another program\'s model'
        )
    if not isinstance(version, int) or isinstance(version, bool) or version < OLDEST:
        raise ModelFileError(f"{path}: expected a format_version, found {version!r}; the file is damaged")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: expected format_version {FORMAT_VERSION} or older, found {version}; install a newer structseq"
        )
    return version


def _migrate(content: dict[str, Any], options: dict[str, Any], version: int, path: Path) -> None:
    try:
        migrate(content, options, path.parent, version)
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        raise ModelFileError(
            f"{path}: expected what format_version {version} holds, found an error at {problem}; the file is damaged"
        ) from None
    warnings.warn(
        f"{path}: format_version {version} is older than {FORMAT_VERSION}; it is read, and saving the model again "
        f"writes version {FORMAT_VERSION}",
        UserWarning,
        stacklevel=4,
    )


def tag_set(configuration: Configuration, path: Path) -> TagSet:
    """The tags by their numbers, and their schemes."""
    names = configuration.id2label
    gap = next((number for number in range(len(names)) if str(number) not in names), None)
    if gap is not None or not (names or "frames" in configuration.widths):
        raise ModelFileError(
            f"{path}: expected id2label to number the tags from 0 without a gap, found no {gap or 0}; "
            "the file is damaged"
        )
    labels = tuple(names[str(number)] for number in range(len(names)))
    if configuration.label2id != {label: number for number, label in enumerate(labels)}:
        raise ModelFileError(
            f"{path}: expected label2id to be id2label turned round, found otherwise; the file is damaged"
        )
    try:
        tags = TagSet(labels, scheme_of(configuration.scheme.outer), scheme_of(configuration.scheme.inner))
        tags.inner.legal(labels)
    except StructseqError as problem:
        raise ModelFileError(f"{path}: {problem}") from None
    if tags.outer.plain != tags.inner.plain:
        raise ModelFileError(f"{path}: expected both schemes plain or neither, found {tags.outer} and {tags.inner}")
    return tags
