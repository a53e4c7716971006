r"""Column files: one token a row, blank lines between sentences; tabs or spaces, any number of columns.

What is a separator: in a file whose first row holds a tab, each tab; in any other, each run of spaces and tabs.
No-break spaces, U+3000, zero-width characters, U+2028 and the like are part of tokens. Lines end in ``\n`` or
``\r\n``; a line of spaces and tabs alone is blank.

What is a document boundary: a line whose first field is ``-DOCSTART-``, however many fields follow.

What is a comment, given that ``#`` is also a token. Where the rows have N columns, a line that begins with ``#``

1. is a row if its first field ends at a tab (``#<TAB>O``);
2. before a sentence's first row, is a comment if it is written ``# key = value`` or ``# newdoc``, ``# newpar``,
   ``#begin document``, ``#end document``, whatever N is (a field ``=`` or these words tell them apart from ``# NN B-NP``);
3. is a row if it has exactly N fields (``# O`` where N is 2, ``#`` or ``#a=b`` where N is 1);
4. is a comment if it holds a ``key = value`` or ``key=value``, or if it begins with ``# `` (or is ``#`` alone) and stands
   before a sentence's first row;
5. is otherwise a row with a missing column, and an error: no token is ever lost in silence.

N is the width of the first row that does not begin with ``#`` or that rule 1 decides; in a file without one, of
the first line that rule 2 leaves. Comments ``# key = value`` before the first row become the sentence's metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Literal

from structseq.data.block import Block
from structseq.data.example import Example
from structseq.data.textfile import BOM, Source, name_of, read_lines
from structseq.errors import ConfigError, DataError

_FIELD = re.compile(r"[^ \t]+")
_ENDED_BY_TAB = re.compile(r"#[^ \t]*\t")
_PLAIN_COMMENT = re.compile(r"#(?:[ \t]+[^ \t]+(?:[ \t]+[^ \t]+)*?|[^ \t=]+)[ \t]+=(?:[ \t]|$)")
_KNOWN_COMMENT = re.compile(r"#[ \t]*(?:newdoc|newpar)(?=[ \t]|$)|#[ \t]*(?:begin|end) document(?![^ \t(;])")
_PAIR = re.compile(r"#[ \t]*([^=]*[^= \t])[ \t]*=[ \t]*(.*)")
_NEW_DOCUMENT = re.compile(r"#[ \t]*(?:newdoc|begin document)(?![^ \t(;])")
_BOUNDARY = "-docstart-"

Separator = Literal["auto", "tab", "space"]


def read_columns(
    source: Source,
    *,
    token_column: int = 0,
    tag_column: int | None = -1,
    columns: Mapping[str, int] | None = None,
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
        Column numbers from 0, or from -1 backwards; ``tag_column=None`` reads no tags.
    columns:
        Further inputs by name, such as ``{"pos": 1}``.
    separator:
        ``auto``; ``tab``: spaces belong to the fields; ``space``: runs of spaces and tabs.
    comments:
        Whether ``#`` may begin a comment (the rule stands at the top of this file); if not, every line is a row.

    Raises `DataError`, with file and line, where a row has another number of columns than the first, where a column
    asked for does not exist or is empty, where bytes are not of the encoding, and where the file holds no row.
    """
    columns = dict(columns or {})
    if "tokens" in columns:
        raise ConfigError("the further column 'tokens' takes the name of the token column; give it another name")
    return _examples(
        read_blocks(source, encoding=encoding, separator=separator, comments=comments), token_column, tag_column, columns
    )


def _examples(
    blocks: Iterable[Block], token_column: int, tag_column: int | None, columns: Mapping[str, int]
) -> Iterator[Example]:
    for block in blocks:
        if block.rows:
            yield block.example(token_column, tag_column, columns)


def read_blocks(
    source: Source, *, encoding: str = "utf-8", separator: Separator = "auto", comments: bool = True
) -> Iterator[Block]:
    """A column file, sentence by sentence, with nothing lost: the blocks' texts, joined, are the file.

    A block ends with the blank line after its rows; what stands after the last such line is a block without rows.
    Raises as `read_columns` does, but asks nothing of single columns.
    """
    if separator not in ("auto", "tab", "space"):
        raise ConfigError(f"unknown separator {separator!r}; use 'auto', 'tab' or 'space'")
    return _blocks(read_lines(source, encoding=encoding), name_of(source), separator, comments)


class _Kind(Enum):
    ROW = 0
    BLANK = 1
    BOUNDARY = 2
    COMMENT = 3


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the rows of one file look, learned from its reference row."""

    tab: bool
    width: int
    line: int
    comments: bool = True

    def split(self, line: str) -> list[str]:
        if self.tab:
            return line.rstrip("\r\n").split("\t")
        content = line.strip(" \t\r\n")
        return _FIELD.findall(content) if "\t" in content or "  " in content else content.split(" ")

    def kind(self, line: str, before_rows: bool) -> _Kind:
        """What a line is; for lines that begin with other than an ordinary character."""
        content = line.strip(" \t\r\n")
        if not content:
            return _Kind.BLANK
        if is_boundary(line):
            return _Kind.BOUNDARY
        if self.comments and line[0] == "#" and self._comments(line, before_rows):
            return _Kind.COMMENT
        return _Kind.ROW

    def _comments(self, line: str, before_rows: bool) -> bool:
        """The rule of this file's docstring."""
        if _ENDED_BY_TAB.match(line):
            return False
        if before_rows and is_plain_comment(line):
            return True
        if len(self.split(line)) == self.width:
            return False
        content = line.rstrip(" \t\r\n")
        if _PAIR.match(content):
            return True
        return before_rows and (content == "#" or content[1] in " \t")


def is_boundary(line: str) -> bool:
    """Whether a line's first field is ``-DOCSTART-``."""
    return line[:10].lower() == _BOUNDARY and line[10:11] in ("", " ", "\t", "\r", "\n")


def is_plain_comment(line: str) -> bool:
    """Whether a line is ``# key = value`` with blanks around the sign, or one of the known words."""
    content = line.rstrip(" \t\r\n")
    return bool(_PLAIN_COMMENT.match(content) or _KNOWN_COMMENT.match(content))


def comment_pair(line: str) -> tuple[str, str] | None:
    """Key and value of ``# key = value``; ``# newdoc`` and ``# newpar`` have an empty value; other comments none."""
    content = line.strip(" \t\r\n")
    if found := _PAIR.fullmatch(content):
        return found[1], found[2]
    word = content[1:].strip(" \t")
    return (word, "") if word in ("newdoc", "newpar") else None


def opens_document(line: str) -> bool:
    """Whether a comment is a document boundary: ``# newdoc``, ``#begin document``."""
    return _NEW_DOCUMENT.match(line.rstrip("\r\n")) is not None


def _layout(head: Sequence[str], separator: Separator, comments: bool) -> _Layout | None:
    """The layout by the reference row among the first lines; None where none of them can be a row."""
    doubtful = None
    for number, line in enumerate(head, 1):
        if not line.strip(" \t\r\n") or is_boundary(line):
            continue
        if comments and line[0] == "#" and not _ENDED_BY_TAB.match(line):
            if doubtful is None and not is_plain_comment(line):
                doubtful = number, line
            continue
        return _layout_of(number, line, separator, comments)
    return None if doubtful is None else _layout_of(*doubtful, separator, comments)


def _layout_of(number: int, line: str, separator: Separator, comments: bool) -> _Layout:
    content = line.strip(" \t\r\n")
    tab = separator == "tab" or (separator == "auto" and "\t" in content)
    return _Layout(tab, len(_Layout(tab, 0, 0).split(line)), number, comments)


def _is_reference(line: str, comments: bool) -> bool:
    if comments and line[0] == "#":
        return _ENDED_BY_TAB.match(line) is not None
    return bool(line.strip(" \t\r\n")) and not is_boundary(line)


def _blocks(lines: Iterator[str], name: str, separator: Separator, comments: bool) -> Iterator[Block]:
    head, mark = [], ""
    for line in lines:
        if not head and line[0] == BOM:
            mark, line = BOM, line[1:]
        if line:
            head.append(line)
        if line and _is_reference(line, comments):
            break
    layout = _layout(head, separator, comments)
    if layout is None:
        what = "no row, only blank lines, comments or document boundaries" if head else "an empty file"
        raise DataError(f"expected rows of tokens, found {what}", file=name)
    if "\r" in head[layout.line - 1].rstrip("\r\n"):
        raise DataError("expected lines that end in \\n or \\r\\n, found a bare \\r; convert the line endings", file=name, line=layout.line)
    yield from _gather(chain(head, lines), layout, name, separator == "tab", mark)


def _gather(lines: Iterable[str], layout: _Layout, name: str, spaces: bool, mark: str) -> Iterator[Block]:
    """Lines to blocks."""
    here: list[str] = []
    rows: list[int] = []
    fields: list[list[str]] = []
    width, split = layout.width, layout.split

    def block(last: int) -> Block:
        metadata, starts = _preamble(here[: rows[0]] if rows else here, layout)
        return Block(
            tuple(here), tuple(rows), fields, "\t" if layout.tab else " ", spaces, name, last - len(here) + 1, metadata, starts, mark
        )

    for number, line in enumerate(lines, 1):
        if line[0] in "#- \t\r\n":
            kind = layout.kind(line, not rows)
            if kind is not _Kind.ROW:
                ended = rows and kind is _Kind.BOUNDARY
                if ended:
                    yield block(number - 1)
                    here, rows, fields, mark = [], [], [], ""
                here.append(line)
                if rows and kind is _Kind.BLANK:
                    yield block(number)
                    here, rows, fields, mark = [], [], [], ""
                continue
        row = split(line)
        if len(row) != width:
            raise _ragged(row, line, layout, name, number)
        rows.append(len(here))
        here.append(line)
        fields.append(row)
    if here:
        yield block(number)


def _preamble(lines: Sequence[str], layout: _Layout) -> tuple[dict[str, str], bool]:
    """Metadata, and whether a document begins, from the lines before a sentence's first row."""
    metadata: dict[str, str] = {}
    starts = False
    for line in lines:
        if line[0] == "#" and layout.comments:
            if pair := comment_pair(line):
                metadata[pair[0]] = pair[1]
            starts = starts or opens_document(line)
        elif is_boundary(line):
            starts = True
    return metadata, starts


def _ragged(row: Sequence[str], line: str, layout: _Layout, name: str, number: int) -> DataError:
    between = "tabs" if layout.tab else "spaces"
    return DataError(
        f"expected {layout.width} columns separated by {between}, as in line {layout.line}, found {len(row)} in "
        f"{line.strip()[:60]!r}; every row needs the same columns, and a blank line ends a sentence",
        file=name,
        line=number,
    )
