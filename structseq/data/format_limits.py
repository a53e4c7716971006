"""FormatLimits: the parts of an example that a format can store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from structseq.data.example import Example
from structseq.errors import DataError

JSON_LINE = "a JSON line"

_BLANKS = frozenset(" \t\r\n")


@dataclass(slots=True)
class FormatLimits:
    """The limits of one file; its writer raises an error beyond them."""

    format: str  # its name in messages
    file: str
    inputs: bool = True  # further inputs
    documents: bool = True  # document boundaries
    empty_sentences: bool = True  # sentences without tokens
    metadata: frozenset[str] | None = None  # keys; None: any
    blanks_in_metadata: bool = True  # line ends anywhere, and blanks around keys and values
    targets: frozenset[str] = frozenset({"tags"})
    _names: tuple[str, ...] | None = field(default=None, init=False)

    def check(self, example: Example, *, same_columns: bool = True) -> tuple[str, ...]:
        """The names of the example's columns: tokens, further inputs, targets; raises `DataError` beyond the limits.

        ``same_columns``: all examples must have the same columns.
        """
        if "tokens" not in example.inputs:
            raise self.error(example, "frames")
        if odd := sorted(set(example.targets) - self.targets):
            raise self.error(example, f"the target {odd[0]!r}")
        names = ("tokens", *(name for name in example.inputs if name != "tokens"), *example.targets)
        if self._names is None:
            self._names = names
        if same_columns and names != self._names:
            expected, found = ", ".join(self._names), ", ".join(names)
            raise self.error(example, f"the columns ({found}) after sentences with ({expected})")
        if not self.inputs and len(example.inputs) > 1:
            raise self.error(example, f"the further input {names[1]!r}")
        if not self.empty_sentences and not len(example):
            raise self.error(example, "a sentence without tokens")
        if not self.documents and example.starts_document:
            raise self.error(example, "a document boundary")
        for key, value in example.metadata.items():
            if self.metadata is not None and key not in self.metadata:
                raise self.error(example, f"the metadata {key!r}")
            edges = key != key.strip(" \t\r\n") or value != value.strip(" \t\r\n")
            bad = edges or not key or "=" in key or "\n" in key + value or "\r" in key + value
            if bad and not self.blanks_in_metadata:
                raise self.error(example, f"the metadata {key!r}: {value[:60]!r}")
        return names

    def check_column(self, example: Example, name: str, column: Sequence[str], *, may_be_empty: bool = False) -> None:
        """Raises `DataError` if a value is empty or contains white space."""
        if _BLANKS.isdisjoint("".join(column)) and (may_be_empty or "" not in column):
            return
        bad = next(value for value in column if not _BLANKS.isdisjoint(value) or not (value or may_be_empty))
        what = f"white space in {name}: {bad[:60]!r}" if bad else f"an empty value in {name}"
        raise self.error(example, what)

    def error(self, example: Example, what: str) -> DataError:
        """The error for a part that the format cannot store."""
        where = f" (the sentence from {example.source})" if example.source else ""
        advice = "" if self.format == JSON_LINE or "tokens" not in example.inputs else "; JSON lines hold everything"
        return DataError(f"{self.format} cannot hold {what}{where}{advice}", file=self.file)
