"""Labels of whole sequences: taken from where a file has them, and made into answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from structseq.data.example import Example
from structseq.data.record import read_records
from structseq.errors import DataError


def with_labels(examples: Iterable[Example], key: str) -> list[Example]:
    """The examples with the metadata ``key`` as their answer ``"label"``: a ``# key = value`` line of a column file, a
    string under that key in JSON lines, a column of a labelled file.

    Raises `DataError`, with file and line, for an example that has none, an empty one or one that is no string.

    >>> flight = Example({"tokens": ("fly", "home")}, metadata={"intent": "book"})
    >>> with_labels([flight], "intent")[0].label
    'book'
    """
    return [replace(example, targets={**example.targets, "label": _label(example, key)}) for example in examples]


def _label(example: Example, key: str) -> str:
    label = example.metadata.get(key, "")
    if not label:
        file, _, number = example.source.rpartition(":")
        line = int(number) if number.isdigit() else None
        found = _found(example, key, _record(file, line))
        raise DataError(f"expected a label under {key!r}, found {found}", file=file or None, line=line)
    return label


def _found(example: Example, key: str, record: Mapping[str, Any]) -> str:
    """What stands there in place of a label, and what to do."""
    if key in example.metadata:
        return "an empty one; write the label there or take the example out"
    if key in record:
        kind = "the number " if type(record[key]) in (int, float) else ""
        return f"{kind}{json.dumps(record[key], ensure_ascii=False)[:80]}; write the label as a string, in quotes"
    if not example.metadata:
        where = f"as '# {key} = ...' before the sentence, in JSON lines under {key!r}, or beside the text"
        return (
            f"nothing; write it {where} under a first line '{key} TAB text', or name the key with --set data.label=KEY"
        )
    has = ", ".join(map(repr, example.metadata))
    return f"{has}; name the key with --set data.label=KEY"


def _record(file: str, line: int | None) -> Mapping[str, Any]:
    """The record of JSON lines that an example was read from; nothing where it is no such file."""
    with suppress(DataError):
        if Path(file).is_file():  # a pipe cannot be read again
            return next((found.values or {} for found in read_records(file) if found.line == line), {})
    return {}
