"""Gold and predicted tags of a whole corpus read as units and matched, in arrays: what every score is counted from.

A unit is a span; where tags are plain it is one token with its tag, so that precision, recall and F1 all become
accuracy. The reading is that of `Scheme.decode`, and `Units.written` that of `Scheme.well_formed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from structseq.errors import DataError
from structseq.spans.schemes import LETTERS, Mask, Scheme, split_tag, tables_of

Places = NDArray[np.intp]
TagRows = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Units:
    """N units in their order, as arrays (N,).

    Attributes
    ----------
    start, end:
        Half-open, in tokens of the corpus with all sentences laid end to end.
    kind:
        The type (or plain tag), as its place in `Matching.kinds`.
    written:
        Whether the scheme would have written it so: what the strict rule asks for.
    """

    start: Places
    end: Places
    kind: Places
    written: Mask

    def __len__(self) -> int:
        return len(self.start)

    def where(self, mask: Mask) -> Units:
        return Units(self.start[mask], self.end[mask], self.kind[mask], self.written[mask])


@dataclass(frozen=True, slots=True)
class Matching:
    """The units of both sides, and which of them the other side has too, with the same ends and type.

    Attributes
    ----------
    offsets:
        (S + 1,) place of each sentence's first token in the corpus, and the number of tokens.
    kinds:
        The types by number, sorted.
    gold, predicted:
        Both sides' units.
    gold_found, predicted_right:
        (N,) whether a gold unit was predicted, and whether a predicted one is gold.
    tags:
        The distinct tags of both sides, sorted; ``gold_tags`` and ``predicted_tags`` (tokens,) are places in it.
    """

    offsets: Places
    kinds: tuple[str, ...]
    gold: Units
    predicted: Units
    gold_found: Mask
    predicted_right: Mask
    tags: tuple[str, ...]
    gold_tags: Places
    predicted_tags: Places

    def strict(self) -> Matching:
        """The same with the units alone that are written as the scheme writes them."""
        return _matched(
            self.offsets,
            self.kinds,
            self.gold.where(self.gold.written),
            self.predicted.where(self.predicted.written),
            (self.tags, self.gold_tags, self.predicted_tags),
        )

    def sentence_of(self, units: Units) -> Places:
        """(N,) the number of each unit's sentence."""
        return np.searchsorted(self.offsets, units.start, side="right") - 1


def match(gold: TagRows, predicted: TagRows, scheme: Scheme, sources: Sequence[str] | None = None) -> Matching:
    """Both sides read and matched, O(tokens).

    Raises `DataError`, with the sentence's source where known, when the two differ in length or a tag is none of the
    scheme's.
    """
    offsets = check_lengths(gold, predicted, "predicted tags", sources)
    sides = [list(chain.from_iterable(rows)) for rows in (gold, predicted)]
    tags = tuple(sorted(set(sides[0]) | set(sides[1])))
    number = {tag: n for n, tag in enumerate(tags)}
    codes = [np.fromiter(map(number.__getitem__, side), np.intp, len(side)) for side in sides]
    if scheme.plain:
        kinds = tags
        units = [_tokens(side) for side in codes]
    else:
        for rows in (gold, predicted):
            _check_tags(tags, rows, scheme, sources)
        kinds = scheme.types(tags)
        place = {kind: n for n, kind in enumerate(kinds)}
        parts = [split_tag(tag) for tag in tags]
        letters = np.array([LETTERS.index(scheme.letters.get(letter, "O")) for letter, _ in parts], np.intp)
        labels = np.array([-1 if letter == "O" else place[label] for letter, label in parts], np.intp)
        units = [_spans(letters[side], labels[side], offsets, scheme) for side in codes]
    return _matched(offsets, kinds, units[0], units[1], (tags, codes[0], codes[1]))


def check_lengths(gold: TagRows, other: TagRows, what: str, sources: Sequence[str] | None = None) -> Places:
    """(S + 1,) the gold sentences' offsets; `DataError` where ``other`` has not as many rows, and as many in each."""
    if len(gold) != len(other):
        raise DataError(f"expected {what} for {len(gold)} sentences, found {len(other)}")
    lengths = np.fromiter(map(len, gold), np.intp, len(gold))
    others = np.fromiter(map(len, other), np.intp, len(other))
    for sentence in np.flatnonzero(lengths != others)[:1]:
        where = name_of(int(sentence), sources)
        raise DataError(f"{where}: expected {lengths[sentence]} {what}, one for each tag, found {others[sentence]}")
    return np.concatenate([np.zeros(1, np.intp), np.cumsum(lengths)])


def name_of(sentence: int, sources: Sequence[str] | None) -> str:
    """Where a sentence (from 0) stands: its source, or its number counted from 1."""
    return (sources[sentence] if sources else "") or f"sentence {sentence + 1}"


def _check_tags(tags: Sequence[str], rows: TagRows, scheme: Scheme, sources: Sequence[str] | None) -> None:
    foreign = {tag for tag in tags if split_tag(tag)[0] not in {"O", *scheme.letters}}
    for sentence, row in enumerate(rows if foreign else ()):
        for position, tag in enumerate(row):
            if tag in foreign:
                message = scheme.violations([tag])[0].message
                raise DataError(f"{name_of(sentence, sources)}, token {position + 1}: {message}")


def _tokens(codes: Places) -> Units:
    places = np.arange(len(codes))
    return Units(places, places + 1, codes, np.ones(len(codes), np.bool_))


def _spans(letters: Places, labels: Places, offsets: Places, scheme: Scheme) -> Units:
    """Letters and types of every token of the corpus (tokens,) as units."""
    tables = tables_of(scheme.family)
    count = len(letters)
    first = np.zeros(count + 1, np.bool_)
    first[offsets] = True
    # what stands between token i - 1 and token i, for i = 0 .. count; a sentence's edge is O
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


def _matched(
    offsets: Places,
    kinds: tuple[str, ...],
    gold: Units,
    predicted: Units,
    tokens: tuple[tuple[str, ...], Places, Places],
) -> Matching:
    count = int(offsets[-1])
    found = _also_in(gold, predicted, count)
    right = _also_in(predicted, gold, count)
    return Matching(offsets, kinds, gold, predicted, found, right, *tokens)


def _also_in(units: Units, others: Units, count: int) -> Mask:
    """(N,) whether a unit of the same ends and kind is among the others; no two units of a side share a start."""
    end, kind = np.zeros(count, np.intp), np.zeros(count, np.intp)
    end[others.start] = others.end
    kind[others.start] = others.kind
    return (end[units.start] == units.end) & (kind[units.start] == units.kind)
