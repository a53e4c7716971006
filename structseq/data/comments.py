"""Classifies the lines of a column file: ``#`` may begin a comment or be a token.

A line of spaces and tabs is blank. A line whose first field is ``-DOCSTART-`` is a document boundary. If the rows have
N columns, a line that begins with ``#`` is

1. a row if its first field ends at a tab (``#<TAB>O``);
2. a comment if it comes before the sentence's first row and has the form ``# key = value``, ``# key=value``,
   ``# newdoc``, ``# newpar``, ``#begin document`` or ``#end document``;
3. a row if it has N fields (``# O`` if N is 2);
4. a comment if it has a form of rule 2; before the first row also if it is ``#key=value``, or ``#`` with nothing or a
   blank after it;
5. otherwise a row with a missing column, which is an error.

N is the width of the first row that does not begin with ``#`` or that rule 1 finds; without one, of the first line that
rule 2 does not make a comment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

BLANKS = " \t\r\n"

_ENDED_BY_TAB = re.compile(r"#[^ \t]*\t")
_SPACED_PAIR = re.compile(r"#(?:[ \t]+[^ \t]+(?:[ \t]+[^ \t]+)*?|[^ \t=]+)[ \t]+=(?:[ \t]|$)")
_CLOSE_PAIR = re.compile(r"#[ \t]+[^\W\d][\w.:-]*=")
_KNOWN_COMMENT = re.compile(r"#(?:[ \t]+(?:newdoc|newpar)(?=[ \t]|$)|(?:begin|end) document(?=[ \t(;]|$))")
_NEW_DOCUMENT = re.compile(r"#(?:[ \t]+newdoc(?=[ \t]|$)|begin document(?=[ \t(;]|$))")
_FIELD = re.compile(r"[^ \t]+")

Kind = Enum("Kind", ["ROW", "BLANK", "BOUNDARY", "COMMENT"])


@dataclass(frozen=True, slots=True)
class Layout:
    tab: bool  # whether each tab separates; otherwise each run of spaces and tabs does
    width: int  # N, the number of columns
    line: int  # number, from 1, of the row that defines N
    comments: bool = True  # whether # may begin a comment

    def split(self, lines: Sequence[str]) -> list[list[str]]:
        if self.tab:
            return [line.rstrip("\r\n").split("\t") for line in lines]
        contents = [line.strip(BLANKS) for line in lines]
        if "\t" not in (joined := "".join(contents)) and "  " not in joined:
            return [content.split(" ") for content in contents]  # faster than the pattern
        return [_FIELD.findall(content) for content in contents]

    def kind(self, line: str, *, before_rows: bool) -> Kind:
        """``before_rows``: no row of the sentence comes before the line."""
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
        if len(self.split([line])[0]) == self.width:
            return False
        content = line.rstrip(BLANKS)
        return plain or (before_rows and (content[1:2] in ("", " ", "\t") or _pair(line) is not None))

    @staticmethod
    def detect(lines: Sequence[str], separator: str, comments: bool) -> Layout | None:
        """The layout of the first row among the first lines of a file; None without a row."""
        candidate = None
        for number, line in enumerate(lines, 1):
            sure = is_surely_row(line, comments)
            if sure or (
                candidate is None and line.strip(BLANKS) and not is_boundary(line) and not is_plain_comment(line)
            ):
                candidate = number, line
            if sure:
                break
        if candidate is None:
            return None
        number, line = candidate
        tab = separator == "tab" or (separator == "auto" and "\t" in line.strip(BLANKS))
        return Layout(tab, len(Layout(tab, 0, 0).split([line])[0]), number, comments)


def is_surely_row(line: str, comments: bool) -> bool:
    """Whether a line is a row for every N."""
    if comments and line[0] == "#":
        return _ENDED_BY_TAB.match(line) is not None
    return bool(line.strip(BLANKS)) and not is_boundary(line)


def is_boundary(line: str) -> bool:
    """Whether a line's first field is ``-DOCSTART-``, in any case."""
    return line[:10].lower() == "-docstart-" and line[10:11] in ("", *BLANKS)


def is_plain_comment(line: str) -> bool:
    """Whether a line has a form of rule 2."""
    content = line.rstrip(BLANKS)
    return any(shape.match(content) for shape in (_SPACED_PAIR, _CLOSE_PAIR, _KNOWN_COMMENT))


def _pair(line: str) -> tuple[str, str] | None:
    """Key and value; ``# newpar`` has an empty value; None for others."""
    key, sign, value = (part.strip(BLANKS) for part in line[1:].partition("="))
    return (key, value) if key and (sign or key == "newpar") else None


def parse_preamble(lines: Sequence[str]) -> tuple[dict[str, str], bool]:
    """Metadata, and whether a document starts, from the lines before the first row."""
    metadata: dict[str, str] = {}
    starts = False
    for line in lines:
        if line[0] == "#":
            if pair := _pair(line):
                metadata[pair[0]] = pair[1]
            starts = starts or _NEW_DOCUMENT.match(line.rstrip(BLANKS)) is not None
        elif is_boundary(line):
            starts = True
    return metadata, starts
