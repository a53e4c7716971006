"""Scores as numbers and as tables by type: entities counted by seqeval, plain tags by scikit-learn.

Wherever nothing is divided by nothing the result is 0, as both libraries have it with ``zero_division=0``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """A share; 0 of nothing."""
    return part / whole if whole else 0.0


def score_of(correct: int, support: int, predicted: int) -> Score:
    """The score that three counts make."""
    f1 = ratio(2 * correct, support + predicted)
    return Score(ratio(correct, predicted), ratio(correct, support), f1, support, predicted, correct)


def entity_table(found: Matching) -> Table:
    """The table that seqeval computes, from units written in BIO, where all its readings are one."""
    if not len(found.gold) and not len(found.predicted):
        return Table(score_of(0, 0, 0), score_of(0, 0, 0), {})
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    rows = [_bio(found, units) for units in (found.gold, found.predicted)]
    averages: dict[str | None, Any] = {
        average: precision_recall_fscore_support(*rows, average=average, zero_division=0)
        for average in (None, "micro", "macro")
    }
    return _table(found, averages)


def plain_table(found: Matching) -> Table:
    """The table that scikit-learn computes, by tag; over all tokens precision, recall and F1 are accuracy."""
    if not len(found.gold):
        return Table(score_of(0, 0, 0), score_of(0, 0, 0), {})
    from sklearn.metrics import precision_recall_fscore_support

    sides = (found.gold_tags, found.predicted_tags)
    averages: dict[str | None, Any] = {
        average: precision_recall_fscore_support(*sides, average=average, zero_division=0)
        for average in (None, "micro", "macro")
    }
    return _table(found, averages)


def _table(found: Matching, averages: Mapping[str | None, Any]) -> Table:
    """Scores from (precision, recall, F1, support) as both libraries return them, types in the order of `kinds`."""
    count = len(found.kinds)
    support = np.bincount(found.gold.kind, minlength=count)
    predicted = np.bincount(found.predicted.kind, minlength=count)
    correct = np.bincount(found.gold.kind[found.gold_found], minlength=count)
    present = np.flatnonzero(support + predicted)

    def row(shares: Sequence[float], counts: Iterable[int]) -> Score:
        precision, recall, f1 = map(float, shares)
        gold, guessed, right = map(int, counts)
        return Score(precision, recall, f1, gold, guessed, right)

    types = {
        found.kinds[kind]: row(shares, (support[kind], predicted[kind], correct[kind]))
        for kind, *shares in zip(present, *averages[None][:3], strict=True)
    }
    sums = (support.sum(), predicted.sum(), correct.sum())
    return Table(row(averages["micro"][:3], sums), row(averages["macro"][:3], sums), types)


def _bio(found: Matching, units: Units) -> list[list[str]]:
    """Units as BIO tags by sentence; the types are numbered, so that no name of a type can be misread."""
    count = len(found.kinds)
    width = len(str(count))
    names = np.array(["O", *(f"{letter}-{kind:0{width}d}" for letter in "BI" for kind in range(count))], object)
    codes = np.zeros(int(found.offsets[-1]), np.intp)
    lengths = units.end - units.start
    # every token of every unit: the unit's start, repeated, plus 0, 1, 2, ... within it
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    codes[np.repeat(units.start, lengths) + within] = np.repeat(1 + count + units.kind, lengths)
    codes[units.start] = 1 + units.kind
    tags = names[codes].tolist()
    return [tags[start:end] for start, end in pairwise(found.offsets.tolist())]
