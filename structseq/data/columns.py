r"""Column files: one token a row, blank lines between sentences; tabs or spaces, any number of columns.

What separates: in a file whose first row holds a tab, each tab; in any other, each run of spaces and tabs. No-break
spaces, U+3000, zero-width characters, U+2028 and the like are part of tokens. Lines end in ``\n`` or ``\r\n`` and
nothing else. Which lines are comments, boundaries and rows is told in `comments`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Literal, TypeVar

from structseq.data.block import COMMAS, Block, between_commas
from structseq.data.comments import BLANKS, Kind, Layout, is_boundary, is_plain_comment, is_surely_row, preamble
from structseq.data.example import Example
from structseq.data.format_limits import FormatLimits
from structseq.data.textfile import BOM, Source, Target, name_of, read_lines, writing
from structseq.errors import ConfigError, DataError

Separator = Literal["auto", "tab", "space"]

Place = TypeVar("Place")

_SEPARATORS = ("auto", "tab", "space")


def read_columns(
    source: Source,
    *,
    token_column: int = 0,
    tag_column: int | None = -1,
    columns: Mapping[str, int] | None = None,
    tags: bool = True,
    encoding: str = "utf-8",
    separator: Separator = "auto",
    comments: bool = True,
) -> Iterator[Example]:
    """Sentences of a column file, one after the other, as `Example`.

    Parameters
    ----------
    source:
        A path, or a file opened in binary mode (standard input); gzip is recognised by content.
    token_column, tag_column:
        Column numbers from 0, or from -1 backwards; ``tag_column=None``, or ``tags=False``, reads no tags.
    columns:
        Further inputs by name, such as ``{"pos": 1}``.
    separator:
        ``auto``; ``tab``: each tab separates and spaces belong to the fields; ``space``: runs of spaces and tabs do.
    comments:
        Whether ``#`` may begin a comment (see `comments`); if not, every such line is a row.

    Raises `DataError`, with file and line, where a row has another number of columns than the first, where a column
    asked for does not exist or is empty, where bytes are not of the encoding, and where the file holds no row.
    """
    further, tag_column = check_columns(columns), tag_column if tags else None
    blocks = read_blocks(source, encoding=encoding, separator=separator, comments=comments)
    return (block.example(token_column, tag_column, further) for block in blocks if block.rows)


def check_columns(columns: Mapping[str, Place] | None) -> dict[str, Place]:
    """Further inputs, name to place, as a dictionary; `ConfigError` where one would hide the tokens."""
    if columns and "tokens" in columns:
        raise ConfigError("a further input cannot be called 'tokens', as the tokens are; give it another name")
    return dict(columns or {})


def read_blocks(
    source: Source, *, encoding: str = "utf-8", separator: Separator = "auto", comments: bool = True
) -> Iterator[Block]:
    """A column file, sentence by sentence, with nothing lost: the blocks' texts, joined, are the file.

    A block ends with the blank line after its rows; what stands after the last such line is a block without rows.
    Raises as `read_columns` does, but asks nothing of single columns.
    """
    if separator not in _SEPARATORS:
        raise ConfigError(f"unknown separator {separator!r}; use 'auto', 'tab' or 'space'")
    return _blocks(read_lines(source, encoding=encoding), name_of(source), separator, comments)


def write_columns(
    target: Target, examples: Iterable[Example], *, separator: Literal["tab", "space"] = "tab", encoding: str = "utf-8"
) -> None:
    """Examples as a column file: the token, then the further inputs in their order, then the tag where there is one.

    A document boundary is written as ``-DOCSTART-``, unless the metadata say ``newdoc``. Raises `DataError`, and leaves
    no file behind, for what columns cannot hold: white space in a field, an empty token or sentence, a token that
    would be read as a document boundary, rows of unequal width.
    """
    if separator not in ("tab", "space"):
        raise ConfigError(f"unknown separator {separator!r} to write; use 'tab' or 'space'")
    gap = "\t" if separator == "tab" else " "
    limits = FormatLimits("a column file", name_of(target), empty_sentences=False, blanks_in_metadata=False)
    with writing(target, encoding=encoding) as file:
        for number, example in enumerate(examples):
            names = limits.check(example)
            rows = _rows(example, names, gap, limits)
            fields = ["-DOCSTART-", *["-X-"] * (len(names) - 2), "O"][: max(len(names), 1)]
            head = write_head(example, limits, boundary=gap.join(fields) + "\n\n")
            text = "".join([*head, *rows, "\n"])
            file.write(BOM + text if number == 0 and text[0] == BOM else text)


def write_head(example: Example, limits: FormatLimits, *, boundary: str) -> Iterator[str]:
    """What stands before the rows: a document boundary where the metadata do not say one, then the metadata."""
    said = any(key.split(" ")[0] == "newdoc" for key in example.metadata)
    if said and not example.starts_document:
        raise limits.refusal(example, "metadata 'newdoc' for a sentence that starts no document")
    if example.starts_document and not said:
        yield boundary
    for key, value in example.metadata.items():
        line = f"# {key}\n" if key == "newpar" and not value else f"# {key} = {value}".rstrip(BLANKS) + "\n"
        if not is_plain_comment(line):
            raise limits.refusal(example, f"the metadata key {key!r}")
        yield line


def _rows(example: Example, names: Sequence[str], gap: str, limits: FormatLimits) -> list[str]:
    """The rows, checked to be read as what they are."""
    columns = {**example.inputs, **example.targets}
    fields = [columns[name] for name in names]
    for name, column in zip(names, fields, strict=True):
        limits.check_column(example, name, column, may_be_empty=gap == "\t" and name not in ("tokens", "tags"))
    rows = [gap.join(row) + "\n" for row in zip(*fields, strict=True)]
    for row in rows:
        if row[0] == "-" and is_boundary(row):
            raise limits.refusal(example, "the token -DOCSTART-, which is read as a document boundary")
    if "\t" not in rows[0] and is_plain_comment(rows[0]):
        raise limits.refusal(example, f"the row {rows[0]!r}, which is read as a comment; separate by tabs")
    return rows


def _blocks(lines: Iterator[str], name: str, separator: str, comments: bool) -> Iterator[Block]:
    head: list[str] = []
    mark = ""
    for line in lines:
        if not head and not mark and line[0] == BOM:
            mark, line = BOM, line[1:]
        if line:
            head.append(line)
            if is_surely_row(line, comments):
                break
    layout = Layout.learn(head, separator, comments)
    if layout is None:
        what = "no row, only blank lines, comments or document boundaries" if head else "an empty file"
        raise DataError(f"expected rows of tokens, found {what}", file=name)
    if "\r" in head[layout.line - 1].rstrip("\r\n"):
        message = "expected lines that end in \\n or \\r\\n, found a bare \\r in a line; convert the line endings"
        raise DataError(message, file=name, line=layout.line)
    yield from _gather(chain(head, lines), layout, name, separator == "tab", mark)


def _gather(lines: Iterable[str], layout: Layout, name: str, spaces: bool, mark: str) -> Iterator[Block]:
    """Lines to blocks."""
    here: list[str] = []
    rows: list[int] = []
    fields: list[list[str]] = []
    width, split, number = layout.width, layout.split, 0

    def block(last: int) -> Block:
        metadata, starts = preamble(here[: rows[0]] if rows else here) if not rows or rows[0] else ({}, False)
        gap: Literal["\t", " "] = "\t" if layout.tab else " "
        first = last - len(here) + 1
        return Block(tuple(here), tuple(rows), fields, gap, spaces, name, first, metadata, starts, mark)

    for number, line in enumerate(lines, 1):
        # Any other first character begins a row, whatever comes after it
        kind = layout.kind(line, before_rows=not rows) if line[0] in "#- \t\r\n" else Kind.ROW
        if kind is Kind.ROW:
            row = split(line)
            if len(row) != width:
                raise _ragged(row, [*(here[at] for at in rows), line], layout, name, number)
            rows.append(len(here))
            fields.append(row)
        if rows and kind is Kind.BOUNDARY:
            yield block(number - 1)
            here, rows, fields, mark = [], [], [], ""
        here.append(line)
        if rows and kind is Kind.BLANK:
            yield block(number)
            here, rows, fields, mark = [], [], [], ""
    if here or mark:
        yield block(number)


def _ragged(row: Sequence[str], lines: Sequence[str], layout: Layout, name: str, number: int) -> DataError:
    """The message for a row, the last of its sentence's lines so far, that is not as wide as the first of the file."""
    expected = f"{layout.width} column{'s' * (layout.width != 1)} separated by {'tabs' if layout.tab else 'spaces'}"
    advice = "every row needs the same columns, and a blank line ends a sentence"
    if not layout.tab and between_commas(lines):
        advice = COMMAS
    found = f"{len(row)} in {lines[-1].strip(BLANKS)[:60]!r}"
    return DataError(f"expected {expected}, as in line {layout.line}, found {found}; {advice}", file=name, line=number)
