r"""What the lines of a column file are, given that ``#`` begins comments and is also a token.

A line of spaces and tabs alone is blank. A line whose first field is ``-DOCSTART-`` is a document boundary, however
many fields follow. Where the rows of the file have N columns, a line that begins with ``#``

1. is a row if its first field ends at a tab (``#<TAB>O``);
2. is a comment, before a sentence's first row, if it is written ``# key = value``, ``# key=value`` or with the words
   ``# newdoc``, ``# newpar``, ``#begin document``, ``#end document``, whatever N is;
3. is a row if it has exactly N fields (``# O`` where N is 2, ``#`` or ``#a=b`` where N is 1);
4. is a comment if it is written as in 2; before a sentence's first row also if it is written ``#key=value``, or begins
   with ``#`` and a blank, or is ``#`` alone;
5. is otherwise a row with a missing column, which is an error: no token is ever lost in silence.

N is the width of the first row that does not begin with ``#``, or that 1 decides; in a file without one, of the first
line that is no comment by 2. Comments ``key = value`` before the first row become the sentence's metadata.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

BLANKS = " \t\r\n"

_FIELD = re.compile(r"[^ \t]+")
_ENDED_BY_TAB = re.compile(r"#[^ \t]*\t")
_SPACED_PAIR = re.compile(r"#(?:[ \t]+[^ \t]+(?:[ \t]+[^ \t]+)*?|[^ \t=]+)[ \t]+=(?:[ \t]|$)")
_CLOSE_PAIR = re.compile(r"#[ \t]+[^\W\d][\w.:-]*=")
_KNOWN_COMMENT = re.compile(r"#(?:[ \t]+(?:newdoc|newpar)(?=[ \t]|$)|(?:begin|end) document(?=[ \t(;]|$))")
_NEW_DOCUMENT = re.compile(r"#(?:[ \t]+newdoc(?=[ \t]|$)|begin document(?=[ \t(;]|$))")


class Kind(Enum):
    """What a line is."""

    ROW = 0
    BLANK = 1
    BOUNDARY = 2
    COMMENT = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of one file look.

    Attributes
    ----------
    tab:
        Whether each tab separates; otherwise each run of spaces and tabs does.
    width:
        N, the number of columns.
    line:
        The line, from 1, of the row that says so.
    comments:
        Whether there are comments at all.
    """

    tab: bool
    width: int
    line: int
    comments: bool = True

    def split(self, line: str) -> list[str]:
        """The fields of a row."""
        if self.tab:
            return line.rstrip("\r\n").split("\t")
        content = line.strip(BLANKS)
        return _FIELD.findall(content) if "\t" in content or "  " in content else content.split(" ")

    def kind(self, line: str, *, before_rows: bool) -> Kind:
        """What a line is; ``before_rows``: whether it stands before its sentence's first row."""
        if not line.strip(BLANKS):
            return Kind.BLANK
        if is_boundary(line):
            return Kind.BOUNDARY
        if self.comments and line[0] == "#" and self._is_comment(line, before_rows):
            return Kind.COMMENT
        return Kind.ROW

    def _is_comment(self, line: str, before_rows: bool) -> bool:
        """Rules 1 to 5, in this order."""
        if _ENDED_BY_TAB.match(line):
            return False
        plain = is_plain_comment(line)
        if before_rows and plain:
            return True
        if len(self.split(line)) == self.width:
            return False
        content = line.rstrip(BLANKS)
        return plain or (before_rows and (content[1:2] in ("", " ", "\t") or comment_pair(line) is not None))

    @staticmethod
    def of(number: int, line: str, separator: str, comments: bool) -> Layout:
        """The layout that this row, line ``number`` of its file, is an example of."""
        tab = separator == "tab" or (separator == "auto" and "\t" in line.strip(BLANKS))
        return Layout(tab, len(Layout(tab, 0, 0).split(line)), number, comments)

    @staticmethod
    def learn(lines: Sequence[str], separator: str, comments: bool) -> Layout | None:
        """The layout by the first row among these first lines of a file; None where none of them can be a row."""
        doubtful = None
        for number, line in enumerate(lines, 1):
            if is_surely_row(line, comments):
                return Layout.of(number, line, separator, comments)
            other = not line.strip(BLANKS) or is_boundary(line) or is_plain_comment(line)
            if doubtful is None and not other:
                doubtful = number, line
        return None if doubtful is None else Layout.of(*doubtful, separator, comments)


def is_surely_row(line: str, comments: bool) -> bool:
    """Whether a line can only be a row, whatever N is."""
    if comments and line[0] == "#":
        return _ENDED_BY_TAB.match(line) is not None
    return bool(line.strip(BLANKS)) and not is_boundary(line)


def is_boundary(line: str) -> bool:
    """Whether a line's first field is ``-DOCSTART-`` (in capitals or not)."""
    return line[:10].lower() == "-docstart-" and line[10:11] in ("", *BLANKS)


def is_plain_comment(line: str) -> bool:
    """Whether a line is ``# key = value``, ``# key=value`` or one of the known words."""
    content = line.rstrip(BLANKS)
    return any(shape.match(content) for shape in (_SPACED_PAIR, _CLOSE_PAIR, _KNOWN_COMMENT))


def comment_pair(line: str) -> tuple[str, str] | None:
    """Key and value of ``# key = value``; ``# newpar`` has an empty value; other comments have none."""
    key, sign, value = (part.strip(BLANKS) for part in line[1:].partition("="))
    if key and (sign or key == "newpar"):
        return key, value
    return None


def opens_document(line: str) -> bool:
    """Whether a comment is a document boundary: ``# newdoc``, ``#begin document``."""
    return _NEW_DOCUMENT.match(line.rstrip(BLANKS)) is not None


def preamble(lines: Sequence[str]) -> tuple[dict[str, str], bool]:
    """Metadata, and whether a document begins, from the lines before a sentence's first row."""
    metadata: dict[str, str] = {}
    starts = False
    for line in lines:
        if line[0] == "#":
            if pair := comment_pair(line):
                metadata[pair[0]] = pair[1]
            starts = starts or opens_document(line)
        elif is_boundary(line):
            starts = True
    return metadata, starts
