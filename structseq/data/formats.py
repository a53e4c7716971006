"""The file formats, as a table: which there are, which a file is in, and one way to read and write any of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from structseq.data.columns import read_columns
from structseq.data.example import Example
from structseq.data.textfile import Source


def read(source: Source, format: str = "auto", **options: Any) -> Iterator[Example]:
    """The examples of a file."""
    return read_columns(source, **options)
