"""Gold and predicted units of a corpus as arrays, and which units both sides share; all scores count these.

A unit is a span (see `Scheme.decode`), or one token with its tag if tags are plain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from structseq.errors import DataError
from structseq.spans.schemes import LETTERS, Mask, Scheme, split_tag, tables_of

Indices = NDArray[np.intp]
TagRows = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Units:
    """N units in order, as arrays (N,).

    ``start`` and ``end`` (exclusive) are token positions in the corpus, ``kind`` indexes `Matching.kinds`, and
    ``well_formed`` is true for the spans of `Scheme.decode_strict`.
    """

    start: Indices
    end: Indices
    kind: Indices
    well_formed: Mask

    def __len__(self) -> int:
        return len(self.start)

    def where(self, mask: Mask) -> Units:
        return Units(self.start[mask], self.end[mask], self.kind[mask], self.well_formed[mask])


@dataclass(frozen=True)
class Matching:
    """The units of both sides, and which of them have the same ends and type on the other side.

    ``offsets`` (S + 1,) are the first token of each of S sentences, then the number of tokens. ``kinds`` are the types
    and ``tags`` the distinct tags of both sides, sorted; ``gold_tags`` and ``predicted_tags`` (tokens,) index ``tags``.
    """

    offsets: Indices
    kinds: tuple[str, ...]
    gold: Units
    predicted: Units
    tags: tuple[str, ...]
    gold_tags: Indices
    predicted_tags: Indices

    @cached_property
    def gold_found(self) -> Mask:
        """(N,) whether each gold unit is predicted."""
        return _also_in(self.gold, self.predicted, int(self.offsets[-1]))

    @cached_property
    def predicted_correct(self) -> Mask:
        """(N,) whether each predicted unit is gold."""
        return _also_in(self.predicted, self.gold, int(self.offsets[-1]))

    def strict(self) -> Matching:
        """A copy with the well-formed units only."""
        gold, predicted = (units.where(units.well_formed) for units in (self.gold, self.predicted))
        return replace(self, gold=gold, predicted=predicted)

    def sentence_of(self, units: Units) -> Indices:
        """(N,) the number of each unit's sentence."""
        return np.searchsorted(self.offsets, units.start, side="right") - 1


def match(gold: TagRows, predicted: TagRows, scheme: Scheme, sources: Sequence[str] | None = None) -> Matching:
    """Match both sides in O(tokens).

    Raises `DataError` if lengths differ or a tag does not belong to the scheme.
    """
    offsets = check_lengths(gold, predicted, "predicted tags", sources)
    sides = [list(chain.from_iterable(rows)) for rows in (gold, predicted)]
    tags = tuple(sorted(set(sides[0]) | set(sides[1])))
    number = {tag: n for n, tag in enumerate(tags)}
    codes = [np.fromiter(map(number.__getitem__, side), np.intp, len(side)) for side in sides]
    if scheme.plain:
        kinds = tags
        positions = np.arange(len(codes[0]))
        units = [Units(positions, positions + 1, side, np.ones(len(side), np.bool_)) for side in codes]
    else:
        for rows in (gold, predicted):
            _check_tags(tags, rows, scheme, sources)
        kinds = scheme.types(tags)
        kind_index = {kind: n for n, kind in enumerate(kinds)}
        parts = [split_tag(tag) for tag in tags]
        letters = np.array([LETTERS.index(scheme.letters.get(letter, "O")) for letter, _ in parts], np.intp)
        labels = np.array([-1 if letter == "O" else kind_index[label] for letter, label in parts], np.intp)
        units = [_spans(letters[side], labels[side], offsets, scheme) for side in codes]
    return Matching(offsets, kinds, units[0], units[1], tags, codes[0], codes[1])


def check_lengths(gold: TagRows, other: TagRows, what: str, sources: Sequence[str] | None = None) -> Indices:
    """`Matching.offsets` of ``gold``; raises `DataError` if the rows of ``other`` differ in number or length."""
    if len(gold) != len(other):
        raise DataError(f"expected {what} for {len(gold)} sentences, found {len(other)}")
    lengths = np.fromiter(map(len, gold), np.intp, len(gold))
    others = np.fromiter(map(len, other), np.intp, len(other))
    for sentence in np.flatnonzero(lengths != others)[:1]:
        where = locations(sources, len(gold))[sentence]
        raise DataError(f"{where}: expected {lengths[sentence]} {what}, one for each tag, found {others[sentence]}")
    return np.concatenate([np.zeros(1, np.intp), np.cumsum(lengths)])


def locations(sources: Sequence[str] | None, count: int, noun: str = "sentence") -> list[str]:
    """``count`` sources for messages; a missing one becomes ``noun`` and its number, counted from 1."""
    return [source or f"{noun} {n}" for n, source in enumerate(sources or [""] * count, start=1)]


def _check_tags(tags: Sequence[str], rows: TagRows, scheme: Scheme, sources: Sequence[str] | None) -> None:
    foreign = {tag for tag in tags if split_tag(tag)[0] not in {"O", *scheme.letters}}
    for sentence, row in enumerate(rows if foreign else ()):
        for position, tag in enumerate(row):
            if tag in foreign:
                message = scheme.violations([tag])[0].message
                raise DataError(f"{locations(sources, len(rows))[sentence]}, token {position + 1}: {message}")


def _spans(letters: Indices, labels: Indices, offsets: Indices, scheme: Scheme) -> Units:
    tables = tables_of(scheme.family)
    count = len(letters)
    first = np.zeros(count + 1, np.bool_)
    first[offsets] = True
    # Letters before and after the boundary in front of token i, i = 0 .. count; beyond a sentence's edge they are O
    before = np.concatenate([[0], letters]) * ~first
    after = np.concatenate([letters, [0]]) * ~first
    same = np.concatenate([[-1], labels]) == np.concatenate([labels, [-1]])
    same = (same & ~first).astype(np.intp)
    joined = tables.joins[before, after, same]
    inside = letters != 0
    start = np.flatnonzero(inside & ~joined[:-1])
    end = np.flatnonzero(inside & ~joined[1:]) + 1
    opened = tables.opens[before[start], letters[start], same[start]]
    closed = tables.closes[letters[end - 1], after[end], same[end]]
    return Units(start, end, labels[start], opened & closed)


def _also_in(units: Units, others: Units, count: int) -> Mask:
    """(N,) whether each unit is in ``others``; starts are distinct on each side."""
    end, kind = np.zeros(count, np.intp), np.zeros(count, np.intp)
    end[others.start] = others.end
    kind[others.start] = others.kind
    return (end[units.start] == units.end) & (kind[units.start] == units.kind)
