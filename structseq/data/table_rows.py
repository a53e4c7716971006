"""Rows of tables: where they are, what their columns are, and sentences made of rows that are tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from structseq.data.annotation.document import Notes
from structseq.data.example import Example
from structseq.data.record import preview
from structseq.errors import DataError

# The number of a row or line, and a value for each column; None if it is missing
Row = tuple[int, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Names rows in messages and sources: lines of a file, rows of a file, or rows of a frame (no ``file``)."""

    file: str = ""
    lines: bool = False
    header: int | None = None  # its line

    def source(self, number: int) -> str:
        if self.lines:
            return f"{self.file}:{number}"
        return f"{self.file}:row {number}" if self.file else f"row {number}"

    def error(self, message: str, number: int | None = None) -> DataError:
        if self.lines or number is None:
            return DataError(message, file=self.file or None, line=number)
        return DataError(message, file=self.source(number))


@dataclass(frozen=True, slots=True)
class Roles:
    """What the rows of a table are, and the places of its columns."""

    rows: Literal["tokens", "sentences", "texts"]
    further: Mapping[str, int]
    tokens: int | None = None
    tags: int | None = None
    sentence: int | None = None
    text: int | None = None
    spans: int | None = None


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Makes sentences of rows that are tokens."""

    names: Sequence[str]
    roles: Roles
    origin: Origin
    labels: Sequence[str]
    notes: Notes

    def sentences(self, rows: Iterable[Row]) -> Iterator[Example]:
        """A blank row, or another name of the sentence, starts a sentence; an empty name is that of the row before."""
        group: list[Row] = []
        at, current = self.roles.sentence, None
        seen: set[Any] = set()
        for number, values in rows:
            blank = not any(value is not None and value != "" for value in values)
            name = None if at is None else values[at]
            changed = name is not None and name != "" and name != current
            if group and (blank or changed):
                yield self._example(group)
                group = []
            if changed:
                current = name
                if name in seen:
                    self.notes["sentences with the number of an earlier one, read as new sentences"] += 1
                seen.add(name)
            if not blank:
                group.append((number, values))
        if group:
            yield self._example(group)

    def _example(self, group: Sequence[Row]) -> Example:
        assert self.roles.tokens is not None
        inputs = {"tokens": self._column(group, self.roles.tokens, "a token")}
        for name, at in self.roles.further.items():
            inputs[name] = self._column(group, at, "a string", may_be_empty=True)
        targets = {}
        if self.roles.tags is not None:
            rows = [(number, self._with_name(number, values)) for number, values in group] if self.labels else group
            targets["tags"] = self._column(rows, self.roles.tags, "a tag")
        return Example(inputs, targets, self.origin.source(group[0][0]))

    def _with_name(self, number: int, values: Sequence[Any]) -> Sequence[Any]:
        """The row with the name of its tag instead of its number."""
        assert self.roles.tags is not None
        tag = values[self.roles.tags]
        if isinstance(tag, str) and tag.isdecimal() and tag not in self.labels:
            tag = int(tag)
        if type(tag) is not int:
            return values
        if not 0 <= tag < len(self.labels):
            raise self.origin.error(f"expected the number of a tag, 0 to {len(self.labels) - 1}, found {tag}", number)
        return [*values[: self.roles.tags], self.labels[tag], *values[self.roles.tags + 1 :]]

    def _column(self, group: Sequence[Row], at: int, what: str, *, may_be_empty: bool = False) -> tuple[str, ...]:
        column = tuple([values[at] for _, values in group])
        if set(map(type, column)) == {str} and (may_be_empty or "" not in column):
            return column
        for (number, _), value in zip(group, column, strict=True):
            if not isinstance(value, str) or not (value or may_be_empty):
                raise self.origin.error(f"expected {what} in the column {self.names[at]!r}, {_found(value)}", number)
        return tuple(map(str, column))


def _found(value: Any) -> str:
    if value is None:
        return (
            "found a missing value; fill it (pandas reads words such as null and NA so, unless keep_default_na=False)"
        )
    if value == "":
        return "found an empty field; fill it or remove the row"
    number = type(value) is int
    hint = "write it as a string" + ", or name the tags that are numbers by labels=[...]" * number
    return f"found {preview(value)}; {hint}"
