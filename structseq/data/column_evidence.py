"""Evidence from rows, for what a line or a column is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Number of lines or rows from which the evidence comes
SAMPLE = 2000

_NUMBER = re.compile(r"[+-]?\d+(?:[.,-]\d+)?")
_SPAN_TAG = re.compile(r"O|[BIESMLU]-.+")
_LONGEST = 20  # digits of a number that counts
_DIGITS = re.compile(rf"\d{{1,{_LONGEST}}}")
_TOKEN_WITH_TAG = re.compile(r".+[/|](?:O|[BIESMLU]-[^/|]+|[A-Z]+\$?|[.,:])")
_TOKEN_NAME = re.compile(r"(?:token|word|form|text|surface)s?", re.IGNORECASE)
_TAG_NAME = re.compile(
    r"(?:ne|ner|tag|label|iob|iob2|bio|bioes|entity|entities|slot)s?(?:[-_ :].*)?|.*[-_:](?:ne|ner|tag|label|iob)s?",
    re.IGNORECASE,
)
_NO_TAG_NAME = re.compile(
    r"(?:id|index|lemma|feats|head|deps|misc|sentence|sent_id|doc|document)s?(?:[-_ :#].*)?", re.IGNORECASE
)
_OTHER_NAME = re.compile(
    rf"(?:pos|upos|xpos|chunk|deprel)s?(?:[-_ :#].*)?|{_NO_TAG_NAME.pattern}",
    re.IGNORECASE,
)


def is_number(value: str) -> bool:
    return _NUMBER.fullmatch(value) is not None


def is_span_tag(value: str) -> bool:
    return _SPAN_TAG.fullmatch(value) is not None


def is_token_name(value: str) -> bool:
    return _TOKEN_NAME.fullmatch(value) is not None


def is_tag_name(value: str) -> bool:
    return _TAG_NAME.fullmatch(value) is not None


def is_no_tag_name(value: str) -> bool:
    """The name of a column that is never one of tags."""
    return _NO_TAG_NAME.fullmatch(value) is not None


def is_token_with_tag(value: str) -> bool:
    """``Rome/B-LOC`` or ``Rome/NNP``."""
    return _TOKEN_WITH_TAG.fullmatch(value) is not None


def are_span_tags(values: Iterable[str]) -> bool:
    """All are tags of spans, one has a type."""
    found = set(values)
    return all(map(is_span_tag, found)) and any("-" in value for value in found)


def are_names(fields: Sequence[str]) -> bool:
    """A name for tokens and another known name."""
    known = [each for each in fields if is_token_name(each) or is_tag_name(each) or _OTHER_NAME.fullmatch(each)]
    return len(known) > 1 and any(map(is_token_name, fields))


def count_rows(columns: Iterable[Sequence[str]]) -> bool:
    """Whether values count the rows of each sentence or file; ranges and parts (1-2, 1.1) may come between.

    >>> count_rows([["1", "2-3", "2", "3"], ["1"]]), count_rows([["5"], ["7", "8"]])
    (True, False)
    """
    longest, after = 0, 1
    for column in columns:
        whole = [int(value[:_LONGEST]) for value in column if value.isdecimal()]
        counted = bool(whole) and whole[0] in (0, 1, after) and whole == list(range(whole[0], whole[0] + len(whole)))
        if not counted or not all(map(is_number, column)):
            return False
        longest, after = max(longest, len(whole)), whole[-1] + 1
    return longest > 1


def never_fall(columns: Iterable[Sequence[str]]) -> bool:
    """Whether values differ in their numbers only, and these never fall in a sentence.

    >>> never_fall([["s1_t1", "s1_t2"], ["s2_t1"]]), never_fall([["2", "1"]]), never_fall([["1", "one"]])
    (True, False, False)
    """
    shape, different = None, set[str]()
    for column in columns:
        before: list[int] = []
        for value in column:
            shape = shape or _DIGITS.sub("0", value)
            found = [*map(int, _DIGITS.findall(value))]
            if _DIGITS.sub("0", value) != shape or found < before:
                return False
            before = found
            different.add(value)
    return len(different) > 1


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the rows of a sample are like, to judge lines that begin with ``#``."""

    width: int
    tabs: bool  # whether a row contains a tab
    filled: bool  # whether the last field is filled in every row
    counted: bool  # whether the first column counts the rows of each sentence
    numbers: frozenset[int]  # columns with a number in every row
    endings: frozenset[str]  # the values of the last column
    closed: bool  # whether the values of the last column repeat
    marked: bool  # whether ``#`` before a sentence's first row is a habit of this file

    @staticmethod
    def of(
        sentences: Sequence[Sequence[Sequence[str]]], width: int, *, tabs: bool, marks: Sequence[Sequence[str]]
    ) -> Evidence:
        """From the fields of other rows; ``marks``: the fields of ``# ...`` lines before them."""
        rows = [row for sentence in sentences for row in sentence if len(row) == width]
        endings = [row[-1] for row in rows]
        last = [mark[-1] for mark in marks if len(mark) == width]
        varied = len(last) > 1 and (len(set(last)) == len(last) or len(last) >= len(sentences))
        return Evidence(
            width,
            tabs,
            "" not in endings,
            count_rows([row[0] for row in sentence] for sentence in sentences),
            frozenset(at for at in range(width) if len(rows) > 2 and all(is_number(row[at]) for row in rows)),
            frozenset(endings),
            2 * len(set(endings)) <= len(endings),
            varied or len(last) < len(marks),
        )

    def against_row(self, line: str, fields: Sequence[str], *, before_rows: bool) -> bool:
        """Whether the line cannot be a row; ``before_rows`` as in `Layout.kind`."""
        if self.counted:
            return True
        if not before_rows or not self.endings:
            return False
        other_separator = "\t" in line.strip(" \t\r\n") and not self.tabs
        no_number = len(fields) == self.width and any(not is_number(fields[at]) for at in self.numbers if at)
        emptied = not fields[-1] and self.filled
        # A file with tabs may hold any token and tag, so a tag alone is no evidence there
        return other_separator or no_number or emptied or ("\t" not in line and self._foreign(fields))

    def _foreign(self, fields: Sequence[str]) -> bool:
        """No value of the last column."""
        value = fields[-1]
        if self.width < 2 or len(fields) != self.width or value in self.endings:
            return False
        if are_span_tags(self.endings):
            return not is_span_tag(value)
        if is_span_tag(value) and any(map(is_span_tag, self.endings)):
            return False
        kind = is_number(value) and not any(map(is_number, self.endings))
        return kind or (fields[0] == "#" and self.closed and self.marked)
