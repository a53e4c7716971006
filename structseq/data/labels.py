"""Labels of whole sequences: taken from where a file has them, and made into answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from structseq.data.example import Example
from structseq.errors import DataError


def with_labels(examples: Iterable[Example], key: str) -> list[Example]:
    """The examples with the metadata ``key`` as their answer ``"label"``: a ``# key = value`` line of a column file, a
    string under that key in JSON lines, a column of a labelled file.

    Raises `DataError`, with file and line, for an example that has none.

    >>> flight = Example({"tokens": ("fly", "home")}, metadata={"intent": "book"})
    >>> with_labels([flight], "intent")[0].label
    'book'
    """
    found = []
    for example in examples:
        label = example.metadata.get(key, "")
        if not label:
            has = ", ".join(map(repr, example.metadata)) or "nothing"
            file, _, line = example.source.rpartition(":")
            message = f"expected a label under {key!r}, found {has}; name the key with --set data.label=KEY"
            raise DataError(message, file=file or None, line=int(line) if line.isdigit() else None)
        found.append(replace(example, targets={**example.targets, "label": label}))
    return found
