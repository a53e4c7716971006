"""Files as examples with the answers that are needed, and the format of a file whose lines may mean several things."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import Any

from structseq.data.example import Example
from structseq.data.formats import detect_format, read, read_verbatim
from structseq.data.labels import with_labels
from structseq.data.options import DataOptions
from structseq.data.textfile import text_lines
from structseq.errors import ConfigError, DataError

# Options of other steps than reading: the format is chosen by one, the others are about tags and labels.
_OTHERS = {"format", "scheme", "repair", "label"}


def reader_options(data: DataOptions, *, tags: bool = True) -> dict[str, Any]:
    """The keywords of `structseq.data.formats.read`; each format's reader takes its own."""
    options: dict[str, Any] = data.model_dump(exclude=_OTHERS)
    options["audio"] = data.audio
    return {**options, "scheme": "BIO" if data.scheme == "auto" else data.scheme, "tags": tags}


def read_examples(path: str | Path, data: DataOptions, required: Collection[str] = ("tags",)) -> list[Example]:
    """All examples of a file, with the ``required`` answers: tags, a label, a target.

    Raises `DataError` if the file cannot be read or is empty, or if an example has no label or target.
    """
    answered = not {"tags", "target"}.isdisjoint(required)
    examples = list(read(path, data.format, **reader_options(data, tags=answered)))
    if not examples:
        raise DataError("expected sentences, found none", file=path)
    if "target" in required:
        for example in examples:
            example.target  # noqa: B018 - raises where there is none
    return with_labels(examples, data.label) if "label" in required else examples


def named_format(file: str | Path, data: DataOptions) -> str:
    """The format that options name, ``auto`` by default.

    Pairs and labelled texts without a header look like columns; their name holds for such files alone.
    """
    if data.format not in ("pairs", "labelled"):
        return data.format
    found = detect_format(file)
    return data.format if found == "columns" else found


def format_of_texts(file: str | Path, data: DataOptions) -> str:
    """The format of a file for a model that takes a whole text: the named one, else what the file looks like.

    Raises `DataError` for lines without a blank one between them: each may be a text or a token.
    """
    name = named_format(file, data)
    if name != "auto":
        return name
    name = detect_format(file)
    if name != "columns" or Path(str(file).removesuffix(".gz")).suffix in (".conll", ".bio", ".iob"):
        return name
    begin = [line.strip() for line in islice(text_lines(file, encoding=data.encoding), 1000)]
    lines = "\n".join(begin).strip("\n").split("\n")
    one_token = len(lines) == 1 and len(lines[0].split()) == 1
    if "" in lines or one_token or any(line.startswith("# ") for line in lines):
        return name
    labelled = " or --format labelled (a label and a text)" if any("\t" in line for line in lines) else ""
    raise DataError(
        "expected texts or sentences, found lines that may be a text each (name --format text), or a token each of one "
        f"sentence (--format conll){labelled}",
        file=file,
    )


def place_of(example: Example, position: int, data: DataOptions) -> tuple[str, int | None]:
    """File and line of a token. Comments may lie between the rows, so the file is read again for it."""
    file, colon, first = example.source.rpartition(":")
    if not colon or not first.isdigit():
        return example.source or "the data", None
    try:
        for block in read_verbatim(file, data.format, **reader_options(data, tags=False)):
            if block.example is not None and block.example.source == example.source:
                return file, block.line_of(position)
    except (DataError, ConfigError):  # a format that cannot be read so: its sentences are a line each
        pass
    return file, int(first)
