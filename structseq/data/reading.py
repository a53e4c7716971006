"""Read corpora, and choose the format of a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from structseq.data.example import Example
from structseq.data.formats import detect_format, read, read_verbatim
from structseq.data.options import DataOptions
from structseq.data.record import read_records
from structseq.data.textfile import Source, text_lines
from structseq.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Corpus:
    """Training examples, examples for choosing the best epoch, and test examples."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...] = ()
    test: tuple[Example, ...] = ()

    @staticmethod
    def read(
        train: Source, dev: Source | None = None, test: Source | None = None, *, format: str = "auto", **options: Any
    ) -> Corpus:
        """A corpus from files; ``format`` and ``options`` as in `structseq.data.formats.read`."""
        parts = [() if part is None else tuple(read(part, format, **options)) for part in (train, dev, test)]
        return Corpus(*parts)


def reader_options(data: DataOptions, *, tags: bool = True) -> dict[str, Any]:
    """The keyword arguments of `formats.read`; without ``tags`` no gold tags are read, for files to predict for."""
    options = data.model_dump(exclude={"format", "repair", "label"})
    # Only records with spans use the scheme, to write them as tags.
    scheme = "BIO" if data.scheme == "auto" else data.scheme
    return {**options, "audio": data.audio, "scheme": scheme, "tags": tags}


def read_examples(path: str | Path, data: DataOptions, *, tags: bool = True) -> list[Example]:
    """All examples of a file; raises `DataError` if it cannot be read or is empty."""
    examples = list(read(path, data.format, **reader_options(data, tags=tags)))
    if not examples:
        raise DataError("expected sentences, found none", file=path)
    return examples


def with_labels(examples: Iterable[Example], key: str) -> list[Example]:
    """Copies of the examples with the metadata ``key`` as their target ``label``.

    Raises `DataError`, with file and line, if a label is missing, empty or not a string.
    """
    labelled = []
    for example in examples:
        label = example.metadata.get(key, "")
        if not label:
            file, _, number = example.source.rpartition(":")
            line = int(number) if number.isdigit() else None
            found = _found_instead(example, key, _record(file, line))
            raise DataError(f"expected a label under {key!r}, found {found}", file=file or None, line=line)
        labelled.append(replace(example, targets={**example.targets, "label": label}))
    return labelled


def _found_instead(example: Example, key: str, record: Mapping[str, Any]) -> str:
    if key in example.metadata:
        return "an empty one; write the label there or remove the example"
    if key in record:
        kind = "the number " if type(record[key]) in (int, float) else ""
        return f"{kind}{json.dumps(record[key], ensure_ascii=False)[:80]}; write the label as a string, in quotes"
    if not example.metadata:
        where = f"as '# {key} = ...' before the sentence, in JSON lines under {key!r}, or beside the text"
        return (
            f"nothing; write it {where} under a first line '{key} TAB text', or name the key with --set data.label=KEY"
        )
    return f"{', '.join(map(repr, example.metadata))}; name the key with --set data.label=KEY"


def _record(file: str, line: int | None) -> Mapping[str, Any]:
    with suppress(DataError):
        if Path(file).is_file():  # a pipe cannot be read again
            return next((found.values or {} for found in read_records(file) if found.line == line), {})
    return {}


def effective_format(file: str | Path, data: DataOptions) -> str:
    """The format in the options, which can be ``"auto"``; ``pairs`` and ``labelled`` only for files without another.

    Without a header, pairs and labelled texts look like columns, so a detected format comes before these two.
    """
    if data.format not in ("pairs", "labelled"):
        return data.format
    found = detect_format(file)
    return data.format if found == "columns" else found


def text_format(file: str | Path, data: DataOptions) -> str:
    """The format of a file to predict for, by a model that takes whole texts: the named one, else the detected one.

    Raises `DataError` if the lines could be texts, one per line, or tokens of one sentence.
    """
    name = effective_format(file, data)
    if name != "auto":
        return name
    name = detect_format(file)
    if name != "columns" or Path(str(file).removesuffix(".gz")).suffix in (".conll", ".bio", ".iob"):
        return name
    first_lines = [line.strip() for line in islice(text_lines(file, encoding=data.encoding), 1000)]
    lines = "\n".join(first_lines).strip("\n").split("\n")
    # A blank line, a comment or a single token shows that this is a column file.
    one_token = len(lines) == 1 and len(lines[0].split()) == 1
    if "" in lines or one_token or any(line.startswith("# ") for line in lines):
        return name
    labelled = " or --format labelled (a label and a text)" if any("\t" in line for line in lines) else ""
    raise DataError(
        "expected texts or sentences, found lines that may each be a text (--format text) or a token of one sentence "
        f"(--format conll){labelled}",
        file=file,
    )


def file_and_line(example: Example, position: int, data: DataOptions) -> tuple[str, int | None]:
    """File and line of a token; reads the file again, because comments may come between rows."""
    file, colon, first = example.source.rpartition(":")
    if not colon or not first.isdigit():
        return example.source or "the data", None
    with suppress(DataError, ConfigError):  # raised for formats with one sentence per line: its line is right
        for block in read_verbatim(file, data.format, **reader_options(data, tags=False)):
            if block.example is not None and block.example.source == example.source:
                return file, block.line_of(position)
    return file, int(first)
