"""Precision, recall and F1, in all and by type: entities by seqeval, plain tags by scikit-learn; 0 / 0 is 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from structseq.evaluation.matching import Matching, Units


@dataclass(frozen=True, slots=True)
class Score:
    """Precision, recall and F1 from 0 to 1, with the number of gold units (``support``), predicted and correct ones."""

    precision: float
    recall: float
    f1: float
    support: int
    predicted: int
    correct: int


@dataclass(frozen=True, slots=True)
class Table:
    """One rule's scores: over all units (``micro``), averaged over types (``macro``), and by type, sorted."""

    micro: Score
    macro: Score
    types: Mapping[str, Score]


def ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def score_of(correct: int, support: int, predicted: int) -> Score:
    f1 = ratio(2 * correct, support + predicted)
    return Score(ratio(correct, predicted), ratio(correct, support), f1, support, predicted, correct)


def entity_table(matching: Matching) -> Table:
    """The table that seqeval computes from the units as BIO tags."""
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    sides = [_bio(matching, units) for units in (matching.gold, matching.predicted)]
    return _table(matching, precision_recall_fscore_support, sides)


def plain_table(matching: Matching) -> Table:
    """The table that scikit-learn computes, by tag; over all tokens precision, recall and F1 are accuracy."""
    from sklearn.metrics import precision_recall_fscore_support

    return _table(matching, precision_recall_fscore_support, (matching.gold_tags, matching.predicted_tags))


def _table(matching: Matching, scores: Callable[..., Any], sides: Sequence[Any]) -> Table:
    """Both libraries' ``precision_recall_fscore_support`` as a table, types in the order of `Matching.kinds`."""
    if not len(matching.gold) and not len(matching.predicted):
        return Table(score_of(0, 0, 0), score_of(0, 0, 0), {})
    count = len(matching.kinds)
    support = np.bincount(matching.gold.kind, minlength=count)
    predicted = np.bincount(matching.predicted.kind, minlength=count)
    correct = np.bincount(matching.gold.kind[matching.gold_found], minlength=count)

    def row(shares: Iterable[float], *counts: int) -> Score:
        precision, recall, f1 = map(float, shares)
        return Score(precision, recall, f1, *map(int, counts))

    each, micro, macro = (scores(*sides, average=average, zero_division=0)[:3] for average in (None, "micro", "macro"))
    types = {
        matching.kinds[kind]: row(shares, support[kind], predicted[kind], correct[kind])
        for kind, *shares in zip(np.flatnonzero(support + predicted), *each, strict=True)
    }
    sums = (support.sum(), predicted.sum(), correct.sum())
    return Table(row(micro, *sums), row(macro, *sums), types)


def _bio(matching: Matching, units: Units) -> list[list[str]]:
    """Units as BIO tags by sentence; types are numbers, because seqeval would split names that contain a hyphen."""
    count = len(matching.kinds)
    width = len(str(count))
    names = np.array(["O", *(f"{letter}-{kind:0{width}d}" for letter in "BI" for kind in range(count))], object)
    codes = np.zeros(int(matching.offsets[-1]), np.intp)
    lengths = units.end - units.start
    # Every token of every unit: the unit's start, repeated, plus 0, 1, 2, ... within it
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    codes[np.repeat(units.start, lengths) + within] = np.repeat(1 + count + units.kind, lengths)
    codes[units.start] = 1 + units.kind
    tags = names[codes].tolist()
    return [tags[start:end] for start, end in pairwise(matching.offsets.tolist())]
