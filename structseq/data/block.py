r"""Block: one sentence of a column file with every line around it, exactly as the file has it.

The lines of all blocks of a file, joined, are the file. A tagger appends its answer with `Block.append`, a converter
rewrites one column with `Block.replace`, and every comment, blank line, document boundary and other column stays
byte for byte. A token's line in the file is `Block.line_of`, right even where comments stand between the rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from structseq.data.comments import BLANKS
from structseq.data.example import Example
from structseq.errors import DataError

_FIELD = re.compile(r"[^ \t\r\n]+")
COMMAS = "commas are not read as separators: write tabs in their place"


def between_commas(rows: Sequence[str]) -> bool:
    """Whether rows without tabs all have the same number of commas, and so may be of a comma-separated file."""
    counts = {row.count(",") for row in rows}
    return "\t" not in "".join(rows) and len(counts) == 1 and 0 not in counts


@dataclass(frozen=True, slots=True)
class Block:
    """One sentence as it stands in its file.

    Attributes
    ----------
    lines:
        Every line with its ending: what stood before the rows (blank lines, comments, a document boundary), the rows
        with any comments between them, and the blank line that ended the sentence.
    rows:
        ``lines[rows[i]]`` is the row of token i. Empty in the last block of a file that ends in comments.
    fields:
        ``fields[i][n]`` is column n of token i; all rows have the same number of columns.
    separator:
        Tab (one tab, one separator; fields may be empty) or a space (any run of spaces and tabs).
    spaces:
        Whether the user said that spaces belong to the fields (``separator="tab"``).
    file, first_line:
        Where ``lines[0]`` stands; lines count from 1.
    metadata, starts_document:
        As in `Example`.
    mark:
        The byte order mark, in the first block of a file that has one.
    """

    lines: tuple[str, ...]
    rows: tuple[int, ...] = ()
    fields: Sequence[Sequence[str]] = ()
    separator: Literal["\t", " "] = "\t"
    spaces: bool = False
    file: str = ""
    first_line: int = 1
    metadata: Mapping[str, str] = field(default_factory=dict)
    starts_document: bool = False
    mark: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def text(self) -> str:
        """The block as the file has it."""
        return self.mark + "".join(self.lines)

    @property
    def width(self) -> int:
        """How many columns the rows have; 0 without rows."""
        return len(self.fields[0]) if self.fields else 0

    @property
    def source(self) -> str:
        """``file:line`` of the first token."""
        return f"{self.file}:{self.line_of(0)}" if self.rows else f"{self.file}:{self.first_line}"

    def line_of(self, token: int) -> int:
        """The line, from 1, where the row of this token stands in the file."""
        return self.first_line + self.rows[token]

    def position(self, number: int, what: str = "column") -> int:
        """A column number, from the start or (negative) from the end, as one from the start; `DataError` beyond."""
        width = self.width
        if not -width <= number < width:
            raise self._error(
                0,
                f"expected at least {number + 1 if number >= 0 else -number} columns for {what} {number}, "
                f"found {width}; columns count from 0, or from -1 backwards",
            )
        return number % width

    def column(self, number: int) -> tuple[str, ...]:
        """One column, as it stands (in a tab-separated file without the spaces at a field's ends)."""
        at = self.position(number)
        return self._clean([fields[at] for fields in self.fields])

    def tokens(self, column: int = 0) -> tuple[str, ...]:
        """The token column; raises `DataError` with the line where a token is empty or holds a space.

        In a tab-separated file a space inside a token may be meant (``New York``) or a sign that the row is separated
        by spaces: the reader does not guess. ``separator="tab"`` says that it is meant.
        """
        at = self.position(column, "the token column")
        tokens = tuple([fields[at] for fields in self.fields])
        self._check(tokens, "a token")
        return tokens

    def tags(self, column: int = -1) -> tuple[str, ...]:
        """The tag column; raises `DataError` with the line where a tag is empty or holds a space."""
        at = self.position(column, "the tag column")
        tags = self._clean([fields[at] for fields in self.fields])
        self._check(tags, "a tag")
        return tags

    def example(
        self, token_column: int = 0, tag_column: int | None = -1, columns: Mapping[str, int] | None = None
    ) -> Example:
        """This sentence as an `Example`."""
        inputs = {"tokens": self.tokens(token_column)}
        for name, number in (columns or {}).items():
            inputs[name] = self.column(number)
        targets = {}
        if tag_column is not None:
            if token_column % self.width == self.position(tag_column, "the tag column"):
                raise self._same_column(token_column)
            targets["tags"] = self.tags(tag_column)
        return Example(inputs, targets, self.source, self.metadata, self.starts_document)

    def append(self, column: Sequence[str]) -> str:
        """The block's text with one more column, last in each row; everything else stays byte for byte."""
        self._check_new(column)
        lines = list(self.lines)
        gap = "\t" if self.separator == "\t" or self.width == 1 else " "
        for at, value in zip(self.rows, column, strict=True):
            content, rest = self._split_end(lines[at])
            lines[at] = f"{content}{gap}{value}{rest}"
        return self.mark + "".join(lines)

    def replace(self, number: int, column: Sequence[str]) -> str:
        """The block's text with one column rewritten; everything else stays byte for byte."""
        self._check_new(column)
        lines, at = list(self.lines), self.position(number) if self.rows else 0
        for row, value in zip(self.rows, column, strict=True):
            start, end = self._place(lines[row], at)
            lines[row] = lines[row][:start] + value + lines[row][end:]
        return self.mark + "".join(lines)

    def _place(self, line: str, at: int) -> tuple[int, int]:
        """Where field number ``at`` begins and ends in a row."""
        if self.separator == " ":
            return list(_FIELD.finditer(line))[at].span()
        content = line.rstrip("\r\n")
        fields = content.split("\t")
        start = sum(map(len, fields[:at])) + at
        inner = fields[at] if self.spaces else fields[at].strip(" ")
        start += 0 if self.spaces else len(fields[at]) - len(fields[at].lstrip(" "))
        return start, start + len(inner)

    def _split_end(self, line: str) -> tuple[str, str]:
        """A row and what comes after its last field: trailing blanks and the line's ending."""
        content = line.rstrip(BLANKS if self.separator == " " else "\r\n")
        return content, line[len(content) :]

    def _clean(self, column: list[str]) -> tuple[str, ...]:
        if self.separator == "\t" and not self.spaces and " " in "".join(column):
            return tuple([value.strip(" ") for value in column])
        return tuple(column)

    def _check(self, column: tuple[str, ...], what: str) -> None:
        if "" in column:
            raise self._error(column.index(""), f"expected {what}, found an empty field")
        if self.separator == "\t" and not self.spaces and " " in "".join(column):
            token = next(i for i, value in enumerate(column) if " " in value)
            raise self._error(
                token,
                f"expected {what} without spaces, found {column[token][:60]!r}; separate the columns by tabs alone, or "
                "say whether spaces belong to the fields (separator='tab') or separate them too (separator='space'); "
                "pairs and labelled texts need a header (source TAB target, label TAB text), or data.format named",
            )

    def _check_new(self, column: Sequence[str]) -> None:
        if len(column) != len(self.rows):
            message = f"expected {len(self.rows)} values, one for each row, found {len(column)}"
            raise DataError(message, file=self.file, line=self.first_line)
        bad = frozenset("\t\r\n" if self.spaces else BLANKS)
        for token, value in enumerate(column):
            if not value or not bad.isdisjoint(value):
                raise self._error(token, f"expected a value without white space to write, found {value!r}")

    def _error(self, token: int, message: str) -> DataError:
        return DataError(message, file=self.file, line=self.line_of(token))

    def _same_column(self, column: int) -> DataError:
        if self.width == 1:
            commas = between_commas([self.lines[row] for row in self.rows])
            advice = COMMAS if commas else "separate them by a tab or a space"
            return self._error(0, f"expected at least 2 columns, a token and its tag, found 1; {advice}")
        return self._error(0, f"column {column} of {self.width} cannot be both token and tag; name another for one")
