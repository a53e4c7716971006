"""The rule by which tags are read as spans, and the letters that each scheme writes at a span's two ends.

Every scheme is read by the rule of conlleval (Tjong Kim Sang and Buchholz 2000) with S as in seqeval: a tag continues
the entity before it if both are of one type, the earlier letter is B or I and the later is I or E; any other tag but O
opens an entity. The families differ in the letters that they *write* where an entity opens and closes (Ramshaw and
Marcus 1995 for IOB1; Tjong Kim Sang and Veenstra 1999 for IOB2, IOE1 and IOE2). Letters here are those of BIOES, to
which other spellings are mapped. The edges of a sequence count as O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from structseq.errors import DataError

Mask = NDArray[np.bool_]
LETTERS = "OBIES"


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """An entity of type ``label``: tokens ``start`` to ``end`` (half-open) of one sequence."""

    start: int
    end: int
    label: str

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise DataError(f"expected a span with 0 <= start < end, found {self.start}..{self.end} ({self.label!r})")


@dataclass(frozen=True, slots=True)
class Legal:
    """Which of K tags may start, follow each other (``transitions[from, to]``) and end: (K,), (K, K), (K,) booleans."""

    start: Mask
    transitions: Mask
    end: Mask


class Edges(NamedTuple):
    """The transitions among K tags that open, continue and close an entity of one type, as booleans.

    A sequence contains the entity (i, j, label) exactly if it opens at i (``first[tag]`` if i = 0, else ``begins[tag
    before, tag]``), continues at every i + 1 .. j - 1 (``continues[tag before, tag]``) and closes after j - 1
    (``last[tag]`` if j = L, else ``ends[tag, tag after]``). This also holds for illegal sequences.
    """

    first: Mask
    begins: Mask
    continues: Mask
    ends: Mask
    last: Mask


@lru_cache(maxsize=65536)
def split_tag(tag: str) -> tuple[str, str]:
    """Letter and type of a tag, cut at the first hyphen; a tag that is not ``X`` or ``X-type`` is returned whole.

    >>> split_tag("B-PER"), split_tag("B-a-b"), split_tag("I"), split_tag("O"), split_tag("B-"), split_tag("O-x")
    (('B', 'PER'), ('B', 'a-b'), ('I', ''), ('O', ''), ('B-', ''), ('O-x', ''))
    """
    letter, hyphen, label = tag.partition("-")
    if hyphen and (not label or letter == "O"):
        return tag, ""
    return letter, label


# May `letter` open an entity after the letter `before`; may `letter` close one before the letter `after`?
# `same`: both tags are of one type
Rule = Callable[[str, str, bool], bool]
OPENS: Mapping[str, Rule] = {
    "IO": lambda before, letter, same: True,
    "IOB1": lambda before, letter, same: letter == "I" or (before != "O" and same),
    "BIO": lambda before, letter, same: letter == "B",
    "IOE1": lambda before, letter, same: True,
    "IOE": lambda before, letter, same: True,
    "BIOES": lambda before, letter, same: letter in "BS",
}
CLOSES: Mapping[str, Rule] = {
    "IO": lambda letter, after, same: True,
    "IOB1": lambda letter, after, same: True,
    "BIO": lambda letter, after, same: True,
    "IOE1": lambda letter, after, same: letter == "I" or (after != "O" and same),
    "IOE": lambda letter, after, same: letter == "E",
    "BIOES": lambda letter, after, same: letter in "ES",
}


# Letters of two neighbours of one type that are one entity
_JOINED = frozenset({("B", "I"), ("B", "E"), ("I", "I"), ("I", "E")})


@dataclass(frozen=True, slots=True)
class Tables:
    """A family's rules as (5, 5, 2) booleans: letters O B I E S of two neighbours, and whether they are of one type."""

    joins: Mask
    opens: Mask
    closes: Mask
    legal: Mask


@cache
def tables_of(family: str) -> Tables:
    rules: tuple[Rule, ...] = (lambda a, b, same: same and (a, b) in _JOINED, OPENS[family], CLOSES[family])
    joins, opens, closes = (
        np.array([[[rule(a, b, same) for same in (False, True)] for b in LETTERS] for a in LETTERS]) for rule in rules
    )
    # O neither opens nor closes an entity
    may_open, may_close = opens.copy(), closes.copy()
    may_open[:, 0] = may_close[0] = True
    return Tables(joins, opens, closes, joins | (may_close & may_open))


def spans_of(parts: Sequence[tuple[str, str]]) -> list[Span]:
    """Letters and types (L) read as spans by conlleval's rule."""
    spans: list[Span] = []
    start, kind, before = 0, "", "O"
    for position, (letter, label) in enumerate(parts):
        if label != kind or (before, letter) not in _JOINED:
            if before != "O":
                spans.append(Span(start, position, kind))
            start, kind = position, label
        before = letter
    if before != "O":
        spans.append(Span(start, len(parts), kind))
    return spans


def needed_letters(family: str, seen: set[str], *, lone: bool) -> set[str]:
    """The letters of one type that keep those seen on legal paths; ``lone``: no O can fill a sequence."""
    if family == "BIOES":
        return seen | set("BE" if seen & set("BIE") else "") | set("S" if lone else "")
    return seen | set({"BIO": "B", "IOE": "E", "IOB1": "I", "IOE1": "I"}.get(family, ""))
