"""The one rule by which tags are read as spans, and what each family of tag schemes writes at a span's two ends.

Every scheme is read by the rule of conlleval (Tjong Kim Sang and Buchholz 2000) with S as seqeval adds it: a tag goes
on with the entity before it when both are of one type, the earlier letter is B or I and the later is I or E; anything
else that is not O opens an entity. The families differ in which letter they *write* where an entity opens and closes
(Ramshaw and Marcus 1995 for IOB1; Tjong Kim Sang and Veenstra 1999 for IOB2, IOE1 and IOE2), and that is all the
tables below say. Letters here are those of BIOES; a spelling's own are mapped to them. A sequence's edge counts as O.
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
    """Tokens ``start`` to ``end`` (half-open) of one sequence, read as one entity of type ``label``."""

    start: int
    end: int
    label: str

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise DataError(f"expected a span with 0 <= start < end, found {self.start}..{self.end} ({self.label!r})")


@dataclass(frozen=True, slots=True)
class Legal:
    """Which of K tags may start, follow each other (``transitions[from, to]``) and end; (K,), (K, K), (K,) booleans."""

    start: Mask
    transitions: Mask
    end: Mask


class Edges(NamedTuple):
    """The edges of a path through K tags along which one entity type is opened, continued and closed.

    A sequence contains the entity (i, j, label) exactly when it opens at i (``first[tag]`` when i = 0, else
    ``begins[tag before, tag]``), continues at every i + 1 .. j - 1 (``continues[tag before, tag]``) and closes after
    j - 1 (``last[tag]`` when j = L, else ``ends[tag, tag after]``). This holds on illegal sequences too.
    """

    first: Mask
    begins: Mask
    continues: Mask
    ends: Mask
    last: Mask


@lru_cache(maxsize=65536)
def split_tag(tag: str) -> tuple[str, str]:
    """Letter and type of a tag, cut at the first hyphen; what is not ``X`` or ``X-type`` comes back whole.

    >>> split_tag("B-PER"), split_tag("B-a-b"), split_tag("I"), split_tag("O"), split_tag("B-"), split_tag("O-x")
    (('B', 'PER'), ('B', 'a-b'), ('I', ''), ('O', ''), ('B-', ''), ('O-x', ''))
    """
    letter, hyphen, label = tag.partition("-")
    if hyphen and (not label or letter == "O"):
        return tag, ""
    return letter, label


# May `letter` open an entity after the letter `before`; may `letter` close one before the letter `after`?
# `same`: both tags are of one type. Letters are those of BIOES; a spelling's own letters are mapped to them.
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


def joins(before: str, letter: str, same: bool) -> bool:
    """Whether the tag goes on with the entity of the tag before it."""
    return same and before in "BI" and letter in "IE"


@dataclass(frozen=True, slots=True)
class Tables:
    """A family's rules as (5, 5, 2) booleans over the letters O B I E S of two neighbours and "of one type"."""

    joins: Mask
    opens: Mask
    closes: Mask
    legal: Mask


@cache
def tables_of(family: str) -> Tables:
    def table(rule: Rule) -> Mask:
        return np.array([[[rule(a, b, same) for same in (False, True)] for b in LETTERS] for a in LETTERS])

    goes_on, opens, closes = table(joins), table(OPENS[family]), table(CLOSES[family])
    # O neither opens nor closes anything: nothing is asked of it
    shut = closes.copy()
    shut[0] = True
    legal = opens.copy()
    legal[:, 0] = True
    legal = goes_on | (shut & legal)
    return Tables(goes_on, opens, closes, legal)


def spans_of(parts: Sequence[tuple[str, str]]) -> list[Span]:
    """Letters and types (L) read as spans by conlleval's rule."""
    spans: list[Span] = []
    start, kind, before = 0, "", "O"
    for position, (letter, label) in enumerate(parts):
        if not joins(before, letter, label == kind):
            if before != "O":
                spans.append(Span(start, position, kind))
            start, kind = position, label
        before = letter
    if before != "O":
        spans.append(Span(start, len(parts), kind))
    return spans


def needed_letters(family: str, seen: set[str], *, lone: bool) -> set[str]:
    """The letters of one type that keep those seen on legal paths; ``lone``: there is no O to fill a sequence with."""
    needed = set(seen)
    if family == "BIO":
        needed |= {"B"}
    elif family == "IOE":
        needed |= {"E"}
    elif family in ("IOB1", "IOE1"):
        needed |= {"I"}
    elif family == "BIOES":
        needed |= {"B", "E"} if needed & set("BIE") else set()
        needed |= {"S"} if lone else set()
    return needed
