"""Classifies the lines of a column file: ``#`` may begin a comment or be a token.

A line of spaces and tabs is blank, and so is a byte order mark alone, except in files of one column. A line whose first
field is ``-DOCSTART-`` is a document boundary. A first row that names columns (``TOKEN<TAB>NER``) is a header. If the
rows have N columns, a line that begins with ``#`` is

1. a comment if it comes before the sentence's first row, its first field does not end at a tab, and it has the form
   ``# key = value``, ``# key=value``, ``# newdoc``, ``# newpar``, ``#begin document`` or ``#end document``;
2. a comment if the rows of the file are evidence against a row (`Evidence.against_row`);
3. a row if its first field ends at a tab (``#<TAB>O``) or it has N fields (``# O`` if N is 2);
4. a comment if it has a form of rule 1; before the first row also if it is ``#key=value``, or ``#`` with nothing or a
   blank after it;
5. otherwise a row with a missing column, which is an error.

N is the width of the first row that does not begin with ``#``; without one, of the first line with a tab after its
first field, or that rule 1 does not make a comment. ``always`` makes each line that begins with ``#`` a comment,
``never`` none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, get_args

from structseq.data.column_evidence import Evidence, are_names
from structseq.data.textfile import BOM
from structseq.errors import ConfigError

Comments = Literal["auto", "always", "never"]

BLANKS = " \t\r\n"

_ENDED_BY_TAB = re.compile(r"#[^ \t]*\t")
_SPACED_PAIR = re.compile(r"#(?:[ \t]+[^ \t]+(?:[ \t]+[^ \t]+)*?|[^ \t=]+)[ \t]+=(?:[ \t]|$)")
_CLOSE_PAIR = re.compile(r"#[ \t]+[^\W\d][\w.:-]*=")
_KNOWN_COMMENT = re.compile(r"#(?:[ \t]+(?:newdoc|newpar)(?=[ \t]|$)|(?:begin|end) document(?=[ \t(;]|$))")
_NEW_DOCUMENT = re.compile(r"#(?:[ \t]+newdoc(?=[ \t]|$)|begin document(?=[ \t(;]|$))")
_GLOBAL_COLUMNS = re.compile(r"#[ \t]*global\.columns[ \t]*=(.*)")
_FIELD = re.compile(r"[^ \t]+")

Kind = Enum("Kind", ["ROW", "BLANK", "BOUNDARY", "COMMENT"])


@dataclass(frozen=True, slots=True)
class Layout:
    tab: bool  # whether each tab separates; otherwise each run of spaces and tabs does
    width: int  # N, the number of columns
    line: int  # number, from 1, of the row that defines N
    comments: Comments = "auto"
    evidence: Evidence | None = None
    header: int = 0  # number, from 1, of a line that names the columns; 0: none
    names: tuple[str, ...] = ()  # of the columns; empty for one without a name

    def split(self, lines: Sequence[str]) -> list[list[str]]:
        if self.tab:
            return [line.rstrip("\r\n").split("\t") for line in lines]
        contents = [line.strip(BLANKS) for line in lines]
        if "\t" not in (joined := "".join(contents)) and "  " not in joined:
            return [content.split(" ") for content in contents]  # faster than the pattern
        return [_FIELD.findall(content) for content in contents]

    def kind(self, line: str, *, before_rows: bool) -> Kind:
        """``before_rows``: no row of the sentence comes before the line."""
        if is_blank(line) and not (self.width == 1 and is_lone_mark(line)):
            return Kind.BLANK
        if is_boundary(line):
            return Kind.BOUNDARY
        if line[0] == "#" and self._is_comment(line, before_rows):
            return Kind.COMMENT
        return Kind.ROW

    def is_open(self, line: str, *, before_rows: bool) -> bool:
        """Whether evidence may change the kind of a line."""
        return (
            self.evidence is None
            and self.comments == "auto"
            and line[0] == "#"
            and (self.kind(line, before_rows=before_rows) is Kind.ROW)
        )

    def _is_comment(self, line: str, before_rows: bool) -> bool:
        """Rules 1 to 5, in this order."""
        if self.comments != "auto":
            return self.comments == "always"
        ended_by_tab = _ENDED_BY_TAB.match(line) is not None
        plain = not ended_by_tab and is_plain_comment(line)
        if before_rows and plain:
            return True
        fields = self.split([line])[0]
        if self.evidence is not None and self.evidence.against_row(line, fields, before_rows=before_rows):
            return True
        if ended_by_tab or len(fields) == self.width:
            return False
        content = line.rstrip(BLANKS)
        return plain or (before_rows and (content[1:2] in ("", " ", "\t") or _pair(line) is not None))

    def with_evidence(self, lines: Sequence[str]) -> Layout:
        """With the evidence of a sample of lines."""
        sentences: list[list[list[str]]] = [[]]
        marks: list[list[str]] = []
        tabs = False
        for line in lines:
            if line[0] == "#":
                if not sentences[-1] and line[1:2] == " " and not is_plain_comment(line):
                    marks += self.split([line])
            elif is_blank(line) or is_boundary(line):
                sentences += [[]] if sentences[-1] else []
            else:
                tabs = tabs or "\t" in line.strip(BLANKS)
                sentences[-1] += self.split([line])
        evidence = Evidence.of([each for each in sentences if each], self.width, tabs=tabs, marks=marks)
        return replace(self, evidence=evidence)

    def with_header(self, lines: Sequence[str]) -> Layout:
        """With names of columns from the first lines; no field of a header occurs in a later row."""
        names: Sequence[str] = ()
        content = [
            (number, line) for number, line in enumerate(lines, 1) if not is_blank(line) and not is_boundary(line)
        ]
        rows = [(number, line) for number, line in content if line[0] != "#"]
        for number, line in content[: content.index(rows[0]) + 1] if rows else ():
            if named := _GLOBAL_COLUMNS.match(line):
                names = named[1].split()
            fields = self.split([line.lstrip("# ") if self.comments == "auto" else line])[0]
            later = [(at, row) for at, row in rows if at > number]
            if later and are_names(fields):
                values = self.split([row for _, row in later])
                if not any(one == other for row in values for one, other in zip(fields, row, strict=False)):
                    found = replace(self, width=len(values[0]), line=later[0][0], header=number)
                    return found._named(fields)
        return self._named(names)

    def _named(self, names: Sequence[str]) -> Layout:
        """With these names for the first columns."""
        if not 0 < len(names) <= self.width:
            return self
        return replace(self, names=(*names, *[""] * (self.width - len(names))))

    @staticmethod
    def detect(lines: Sequence[str], separator: str, comments: Comments) -> Layout | None:
        """The layout of the first row among the first lines of a file; None without a row."""
        candidate = None
        for number, line in enumerate(lines, 1):
            if is_surely_row(line, comments):
                candidate = number, line
                break
            if (is_blank(line) and not is_lone_mark(line)) or is_boundary(line) or comments == "always":
                continue
            ended_by_tab = _ENDED_BY_TAB.match(line) is not None
            if candidate is None and (ended_by_tab or not is_plain_comment(line)):
                candidate = number, line
        if candidate is None:
            return None
        number, line = candidate
        tab = separator == "tab" or (separator == "auto" and "\t" in line.strip(BLANKS))
        return Layout(tab, len(Layout(tab, 0, 0).split([line])[0]), number, comments)


def check_comments(comments: str) -> None:
    if comments not in (known := get_args(Comments)):
        raise ConfigError(f"unknown value comments={comments!r}; use one of {', '.join(known)}")


def is_surely_row(line: str, comments: Comments) -> bool:
    """Whether a line is a row for every N."""
    return not is_blank(line) and not is_boundary(line) and (line[0] != "#" or comments == "never")


def is_blank(line: str) -> bool:
    """Spaces and tabs only, or a byte order mark alone."""
    return line.strip(BLANKS) in ("", BOM)


def is_lone_mark(line: str) -> bool:
    """A byte order mark and a line end: a token in a file of one column."""
    return line.rstrip(BLANKS) == BOM and line[-1] == "\n"


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
