"""Column files: one token per row, columns separated by tabs or spaces, a blank line after each sentence.

If the first row contains a tab, each tab separates; otherwise each run of spaces and tabs does. Other white space
(no-break space, U+3000) is part of tokens. `comments` has the rules for lines that are not rows.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from typing import Any, Literal, TypeVar

from structseq.data.column_evidence import SAMPLE, are_names, count_rows
from structseq.data.column_roles import by_names, number_of, objection
from structseq.data.comments import (
    BLANKS,
    Comments,
    Kind,
    Layout,
    check_comments,
    is_surely_row,
    parse_preamble,
)
from structseq.data.example import Example, VerbatimBlock
from structseq.data.textfile import BOM, Source, name_of, read_lines
from structseq.errors import ConfigError, DataError

Separator = Literal["auto", "tab", "space"]

Place = TypeVar("Place")

_FIELD = re.compile(r"[^ \t\r\n]+")
_FIRST_WORDS = frozenset(("0", "1", "1-2", "1-3", "1-4", "0.1"))
# Number of rows that show what the columns are
_ROWS = 500
# What a line that is no row may begin with
_NO_ROW = frozenset(("#", "-", *BLANKS, BOM))
_COMMAS = "commas are not separators: write tabs instead"


@dataclass(frozen=True, slots=True)
class Block:
    """One sentence of a column file with every line around it; the joined texts of all blocks are the file."""

    lines: tuple[str, ...]  # with their endings: comments, rows, and the blank line that ends the sentence
    rows: tuple[int, ...] = ()  # lines[rows[i]] is the row of token i; empty if the file ends in comments
    fields: Sequence[Sequence[str]] = ()  # fields[i][n] is column n of token i
    separator: Literal["\t", " "] = "\t"  # one tab (fields may be empty), or any run of spaces and tabs
    spaces: bool = False  # whether spaces are part of fields
    file: str = ""
    first_line: int = 1  # number of lines[0] in the file, from 1
    metadata: Mapping[str, str] = field(default_factory=dict)  # as in Example, like starts_document
    starts_document: bool = False
    bom: str = ""  # the byte order mark, in the first block of a file that has one
    parts: tuple[int, ...] = ()  # lines[parts[i]] is a row that is no token, such as a range 1-2
    names: tuple[str, ...] = ()  # the columns' names, from a header or ``# global.columns = ...``

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def text(self) -> str:
        return self.bom + "".join(self.lines)

    @property
    def width(self) -> int:
        return len(self.fields[0]) if self.fields else 0

    @property
    def source(self) -> str:
        """``file:line`` of the first token."""
        return f"{self.file}:{self.first_line + (self.rows[0] if self.rows else 0)}"

    def line_of(self, token: int) -> int:
        return self.first_line + self.rows[token]

    def column_index(self, number: int | str, what: str = "column") -> int:
        """The index, from 0, of a column's number or name; raises `DataError` if there is no such column."""
        number = number_of(self.names, number) if isinstance(number, str) else number
        width = len(self.fields[0]) if self.fields else 0
        if not -width <= number < width:
            raise self._error(
                0,
                f"expected at least {number + 1 if number >= 0 else -number} columns for {what} {number}, "
                f"found {width}; columns count from 0, or from -1 backwards",
            )
        return number % width

    def column(self, number: int | str, what: str = "column") -> tuple[str, ...]:
        """One column; spaces around the fields are removed unless ``spaces``."""
        at = self.column_index(number, what)
        column = tuple([fields[at] for fields in self.fields])
        if self.separator == "\t" and not self.spaces and " " in "".join(column):
            return tuple([value.strip(" ") for value in column])
        return column

    def tokens(self, column: int = 0) -> tuple[str, ...]:
        """The token column; raises `DataError` with the line if a token is empty.

        Tokens with spaces (``New York``) need ``separator="tab"``, otherwise they raise `DataError` too.
        """
        at = self.column_index(column, "the token column")
        tokens = tuple([fields[at] for fields in self.fields])
        self._check(tokens, "a token")
        return tokens

    def tags(self, column: int = -1) -> tuple[str, ...]:
        """The tag column; raises as `tokens` does."""
        tags = self.column(column, "the tag column")
        self._check(tags, "a tag")
        return tags

    def example(
        self, token_column: int = 0, tag_column: int | None = -1, columns: Mapping[str, int | str] | None = None
    ) -> Example:
        inputs = {"tokens": self.tokens(token_column)}
        for name, number in (columns or {}).items():
            inputs[name] = self.column(number)
        targets = {}
        if tag_column is not None:
            if token_column % self.width == self.column_index(tag_column, "the tag column"):
                message = f"column {token_column} of {self.width} cannot be both token and tag; choose two columns"
                if self.width == 1:
                    commas = _between_commas([self.lines[row] for row in self.rows])
                    advice = _COMMAS if commas else "separate them by a tab or a space"
                    message = f"expected at least 2 columns, a token and its tag, found 1; {advice}"
                raise self._error(0, message)
            targets["tags"] = self.tags(tag_column)
        return Example(inputs, targets, self.source, self.metadata, self.starts_document)

    def words(self, token_column: int) -> Block:
        """Without ranges and parts (1-2, 1.1), if the first column counts words."""
        if token_column in (0, -self.width) or not self.rows or self.fields[0][0] not in _FIRST_WORDS:
            return self
        whole = [i for i, row in enumerate(self.fields) if row[0].isdecimal()]
        if len(whole) in (0, len(self.rows)) or not count_rows([[row[0] for row in self.fields], ["1", "2"]]):
            return self
        rows, fields = tuple([self.rows[i] for i in whole]), [self.fields[i] for i in whole]
        return replace(self, rows=rows, fields=fields, parts=tuple([at for at in self.rows if at not in rows]))

    def append(self, column: Sequence[str]) -> str:
        """The block's text with a new last column."""
        self._check_new(column)
        lines = list(self.lines)
        gap = "\t" if self.separator == "\t" or self.width == 1 else " "
        for at, value in chain(zip(self.rows, column, strict=True), ((at, "_") for at in self.parts)):
            content = lines[at].rstrip(BLANKS if self.separator == " " else "\r\n")
            lines[at] = f"{content}{gap}{value}{lines[at][len(content) :]}"
        return self.bom + "".join(lines)

    def replace(self, number: int, column: Sequence[str]) -> str:
        """The block's text with one column replaced."""
        self._check_new(column)
        lines, at = list(self.lines), self.column_index(number) if self.rows else 0
        for row, value in zip(self.rows, column, strict=True):
            start, end = self._place(lines[row], at)
            lines[row] = lines[row][:start] + value + lines[row][end:]
        return self.bom + "".join(lines)

    def _place(self, line: str, at: int) -> tuple[int, int]:
        if self.separator == " ":
            return list(_FIELD.finditer(line))[at].span()
        fields = line.rstrip("\r\n").split("\t")
        start = sum(map(len, fields[:at])) + at
        inner = fields[at] if self.spaces else fields[at].strip(" ")
        start += 0 if self.spaces else len(fields[at]) - len(fields[at].lstrip(" "))
        return start, start + len(inner)

    def _check(self, column: tuple[str, ...], what: str) -> None:
        if "" in column:
            option = f"data.{what.split()[-1]}_column"
            message = (
                f"expected {what}, found an empty field; write {what} there, or name another column by --set {option}=N"
            )
            raise self._error(column.index(""), message)
        if self.separator == "\t" and not self.spaces and " " in "".join(column):
            token = next(i for i, value in enumerate(column) if " " in value)
            raise self._error(
                token,
                f"expected {what} without spaces, found {column[token][:60]!r}; separate the columns by tabs only, or "
                "set separator='tab' (spaces are part of fields) or separator='space' (spaces separate fields); for "
                "pairs and labelled texts write a header (source TAB target, label TAB text) or set data.format",
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


def _between_commas(rows: Sequence[str]) -> bool:
    """Whether no row has a tab and all have equally many commas."""
    counts = {row.count(",") for row in rows}
    return "\t" not in "".join(rows) and len(counts) == 1 and 0 not in counts


def read_columns(
    source: Source,
    *,
    token_column: int | str = 0,
    tag_column: int | str | None = -1,
    columns: Mapping[str, int | str] | None = None,
    tags: bool = True,
    encoding: str = "utf-8",
    separator: Separator = "auto",
    comments: Comments = "auto",
) -> Iterator[Example]:
    """Yields the sentences of a column file: a path or a binary stream, plain or gzip.

    Columns count from 0, or from -1 backwards; ``tag_column=None`` or ``tags=False`` reads no tags. ``columns`` are
    further inputs by name: ``{"pos": 1}``, or ``{"pos": "upos"}`` by a header. With ``separator="tab"`` spaces belong
    to the fields; with ``"space"`` runs of spaces and tabs separate. ``comments`` says whether lines that begin with
    ``#`` are comments: ``always``, ``never``, or ``auto`` to judge each by the rows (`structseq.data.comments`). Raises
    `DataError` with file and line if rows differ in width, a column does not exist, a token or tag is empty, bytes do
    not fit the encoding, or the file has no rows.
    """
    further, tag_column = check_columns(columns), tag_column if tags else None
    blocks = read_blocks(source, encoding=encoding, separator=separator, comments=comments)
    placed = place_columns(blocks, token_column, tag_column)
    return (block.example(token, tag, further) for block, token, tag in placed if block.rows)


def read_verbatim_columns(
    source: Source,
    *,
    token_column: int | str = 0,
    tag_column: int | str | None = -1,
    columns: Mapping[str, int | str] | None = None,
    tags: bool = True,
    **options: Any,
) -> Iterator[VerbatimBlock]:
    """As `read_columns`, but yields blocks."""
    further, gold = check_columns(columns), tag_column if tags else None
    for block, token, tag in place_columns(read_blocks(source, **options), token_column, gold):
        example = block.example(token, tag, further) if block.rows else None
        retag = partial(block.replace, -1 if tag is None else tag)
        yield VerbatimBlock(block.text, example, block.append, retag, block.line_of)


def place_columns(
    blocks: Iterable[Block], token: int | str, tag: int | str | None
) -> Iterator[tuple[Block, int, int | None]]:
    """Each block with its columns of tokens and tags; raises `DataError` if a sample contradicts these."""
    blocks = iter(blocks)
    held: list[Block] = []  # while the rows so far are objected to
    sample: list[Block] = []
    seen, next_check, why = 0, 1, ""
    numbers: tuple[int, int | None] = (0, None)
    for block in blocks:
        held.append(block)
        if block.rows:
            sample.append(block)
            seen += len(block)
            numbers = by_names(block.names, token, tag)
            if len(sample) == next_check:
                next_check *= 2
                why = objection([each.fields for each in sample], block.names, *numbers)
        if seen >= _ROWS:
            break
        if not why:
            yield from ((each.words(numbers[0]), *numbers) for each in held)
            held = []
    if sample and (why := objection([each.fields for each in sample], sample[0].names, *numbers)):
        raise sample[0]._error(0, why)
    for block in chain(held, blocks):
        yield block.words(numbers[0]), *numbers


def check_columns(columns: Mapping[str, Place] | None) -> dict[str, Place]:
    """Raises `ConfigError` if a further input is called ``tokens``."""
    if columns and "tokens" in columns:
        raise ConfigError("a further input cannot be called 'tokens', the name of the tokens; rename it")
    return dict(columns or {})


def read_blocks(
    source: Source, *, encoding: str = "utf-8", separator: Separator = "auto", comments: Comments = "auto"
) -> Iterator[Block]:
    """Yields a column file as `Block`s; the lines after the last sentence are a block without rows.

    Raises as `read_columns`, but does not check values.
    """
    if separator not in ("auto", "tab", "space"):
        raise ConfigError(f"unknown separator {separator!r}; use 'auto', 'tab' or 'space'")
    check_comments(comments)
    return _blocks(read_lines(source, encoding=encoding), name_of(source), separator, comments)


class _Lines:
    """Lines, with a look at those ahead."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self._ahead = lines, deque[str]()

    def ahead(self, count: int) -> list[str]:
        self._ahead.extend(islice(self._lines, count))
        return list(self._ahead)

    def __iter__(self) -> Iterator[str]:
        while True:
            while self._ahead:
                yield self._ahead.popleft()
            for line in self._lines:
                yield line
                if self._ahead:
                    break
            else:
                return


def _layout(lines: _Lines, name: str, separator: str, comments: Comments, head: list[str]) -> Layout:
    """From the first lines ``head``, and a sample of the others if in doubt."""
    layout = Layout.detect(head, separator, comments)
    if layout is None:
        what = "no row, only blank lines, comments or document boundaries" if head else "an empty file"
        raise DataError(f"expected rows of tokens, found {what}", file=name)
    if "\r" in head[layout.line - 1].rstrip("\r\n"):
        message = "expected lines that end in \\n or \\r\\n, found a bare \\r in a line; convert the line endings"
        raise DataError(message, file=name, line=layout.line)
    if are_names(layout.split([head[layout.line - 1]])[0]) or any(
        layout.is_open(line, before_rows=True) for line in head
    ):
        return layout.with_header(known := [*head, *lines.ahead(SAMPLE)]).with_evidence(known)
    return layout.with_header(head)


def _blocks(source: Iterator[str], name: str, separator: str, comments: Comments) -> Iterator[Block]:
    head: list[str] = []
    bom = ""
    for line in source:
        if not head and not bom and line[0] == BOM:
            bom, line = BOM, line[1:]
        if line:
            head.append(line)
            if is_surely_row(line, comments):
                break
    lines = _Lines(source)
    layout = _layout(lines, name, separator, comments, head)
    pending: list[str] = []
    rows: list[int] = []
    known: list[str] = []  # rows before, as evidence
    number = 0
    for number, line in enumerate(chain(head, lines), 1):
        # A line with any other first character is a row
        kind = Kind.ROW
        if line[0] in _NO_ROW or number == layout.header:
            if layout.is_open(line, before_rows=not rows):
                layout = layout.with_evidence([*known, *pending, line, *lines.ahead(SAMPLE)])
            kind = layout.kind(line, before_rows=not rows) if number != layout.header else Kind.COMMENT
        if kind is Kind.ROW:
            rows.append(len(pending))
        elif rows and kind is Kind.BOUNDARY:
            yield _block(pending, rows, layout, name, number - 1, separator, bom)
            known += pending if len(known) < SAMPLE else ()
            pending, rows, bom = [], [], ""
        pending.append(line)
        if rows and kind is Kind.BLANK:
            yield _block(pending, rows, layout, name, number, separator, bom)
            known += pending if len(known) < SAMPLE else ()
            pending, rows, bom = [], [], ""
    if pending or bom:
        yield _block(pending, rows, layout, name, number, separator, bom)


def _block(lines: list[str], rows: list[int], layout: Layout, name: str, last: int, separator: str, bom: str) -> Block:
    first = last - len(lines) + 1
    fields = layout.split([lines[row] for row in rows])
    for token, row in enumerate(fields):
        if len(row) != layout.width:
            raise _ragged(row, [lines[at] for at in rows[: token + 1]], layout, name, first + rows[token])
    metadata, starts = parse_preamble(lines[: rows[0]] if rows else lines) if not rows or rows[0] else ({}, False)
    gap: Literal["\t", " "] = "\t" if layout.tab else " "
    spaces = separator == "tab"
    return Block(tuple(lines), tuple(rows), fields, gap, spaces, name, first, metadata, starts, bom, (), layout.names)


def _ragged(row: Sequence[str], lines: Sequence[str], layout: Layout, name: str, number: int) -> DataError:
    expected = f"{layout.width} column{'s' * (layout.width != 1)} separated by {'tabs' if layout.tab else 'spaces'}"
    advice = "every row needs the same columns, and a blank line ends a sentence"
    if lines[-1][0] == "#":
        advice += "; if lines that begin with # are comments, use --set data.comments=always"
    if not layout.tab and _between_commas(lines):
        advice = _COMMAS
    found = f"{len(row)} in {lines[-1].strip(BLANKS)[:60]!r}"
    return DataError(f"expected {expected}, as in line {layout.line}, found {found}; {advice}", file=name, line=number)
