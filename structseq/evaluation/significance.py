"""How sure a comparison of systems is: bootstrap intervals and paired tests over sentences and seeds.

Efron and Tibshirani 1993, chapters 13 (percentile intervals) and 16 (tests); Berg-Kirkpatrick, Burkett and Klein 2012
(the paired test); Holm 1979 (many tests at once).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from structseq.evaluation.intervals import LEVEL
from structseq.evaluation.matching import TagRows, match
from structseq.spans.schemes import Scheme

# (S, 3) of a sentence: units that are right, units predicted, gold units
Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]

RESAMPLES = 10_000
TAILS = ((100 - LEVEL) / 2, (100 + LEVEL) / 2)


@dataclass(frozen=True, slots=True)
class Paired:
    """One system against another.

    Attributes
    ----------
    difference:
        Mean F1 of the first less that of the second, over their seeds; -1 to 1.
    interval:
        Its 95 % percentile interval.
    p:
        Two-sided: how often chance alone would make a difference as large. Above 0, at most 1.
    """

    difference: float
    interval: tuple[float, float]
    p: float


def sentence_counts(gold: TagRows, predicted: TagRows, scheme: Scheme) -> Counts:
    """(S, 3) of each sentence: entities that are right by conlleval's rule, predicted ones, gold ones.

    Where tags are plain: tokens that are right, tokens, tokens; F1 of their sums is accuracy then.

    Raises `DataError` where the two differ in length or a tag is none of the scheme's.

    >>> from structseq.spans import scheme_of
    >>> sentence_counts([["B-x", "O"], ["O"]], [["B-x", "B-y"], ["O"]], scheme_of("BIO")).tolist()
    [[1, 2, 1], [0, 0, 0]]
    """
    found = match(gold, predicted, scheme)
    own, other = found.sentence_of(found.gold), found.sentence_of(found.predicted)
    columns = (own[found.gold_found], other, own)
    return np.stack([np.bincount(column, minlength=len(gold)) for column in columns], axis=1).astype(np.int64)


def f1_of(counts: NDArray[np.generic]) -> Numbers:
    """F1 from counts (..., 3); 0 where nothing is divided by nothing."""
    right, predicted, gold = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    whole = predicted + gold
    return np.divide(2 * right, whole, out=np.zeros_like(whole), where=whole > 0)


def mean_interval(counts: Sequence[Counts], *, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean F1 over seeds, by drawing both seeds and sentences with replacement.

    Each resample draws as many sentences as there are, the same for every seed, and as many seeds as there are, and
    takes the mean of the drawn seeds' F1; the interval is the 2.5th to 97.5th percentile (Efron and Tibshirani 1993,
    chapter 13). With one seed only sentences vary; with two or three the seeds' share is underestimated.

    Parameters
    ----------
    counts:
        For each seed (S, 3), as `sentence_counts` gives them, over the same sentences.
    resamples, seed:
        How many draws, and what decides them.

    >>> sure = np.array([[1, 1, 1]] * 50)
    >>> mean_interval([sure, sure])
    (1.0, 1.0)
    """
    random = np.random.default_rng(seed)
    means = _means(
        _sentence_draws([_stacked(counts)], random, resamples)[0], _seed_draws(len(counts), random, resamples)
    )
    return _percentiles(means)


def paired(
    one: Mapping[int, Counts], other: Mapping[int, Counts], *, resamples: int = RESAMPLES, seed: int = 0
) -> Paired:
    """Compare two systems over the same sentences.

    Every resample draws the same sentences for both, and the same seeds where both were trained with the same seeds
    (otherwise each side's seeds on their own). The p-value counts the resamples whose difference strays from the
    difference found by as much as that strays from none: |d* - d| >= |d|, two-sided (Berg-Kirkpatrick et al. 2012,
    section 2). One is added to both counts, so that it is never 0 (Davison and Hinkley 1997, section 4.2).

    Parameters
    ----------
    one, other:
        Counts (S, 3) by seed.

    >>> right, wrong = np.array([[1, 1, 1]] * 50), np.array([[0, 1, 1]] * 50)
    >>> paired({0: right}, {0: wrong}).difference, paired({0: right}, {0: right}).p
    (1.0, 1.0)
    """
    same = one.keys() == other.keys()
    seeds = sorted(one), sorted(one) if same else sorted(other)
    sides = [_stacked([side[n] for n in order]) for side, order in zip((one, other), seeds, strict=True)]
    found = float(f1_of(sides[0].sum(1)).mean() - f1_of(sides[1].sum(1)).mean())
    random = np.random.default_rng(seed)
    first, second = _sentence_draws(sides, random, resamples)
    drawn = _seed_draws(len(one), random, resamples)
    differences = _means(first, drawn) - _means(second, drawn if same else _seed_draws(len(other), random, resamples))
    # Rounding must not decide between equal and larger.
    strays = int((np.abs(differences - found) >= abs(found) - 1e-12).sum())
    return Paired(found, _percentiles(differences), (1 + strays) / (1 + resamples))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for being several (Holm 1979), in the order given: each holds whatever the others are.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def _stacked(counts: Sequence[Counts]) -> Counts:
    """(R, S, 3) of R seeds."""
    if not len(counts):
        raise ValueError("expected the counts of one seed or more, found none")
    return np.stack([np.asarray(each, np.int64) for each in counts])


def _sentence_draws(sides: Sequence[Counts], random: np.random.Generator, resamples: int) -> list[Numbers]:
    """For each side (R, S, 3) its F1 by resample and seed (resamples, R), the same sentences drawn for all sides.

    Sentences that are alike on all sides need not be told apart: what is drawn is how often each kind occurs.
    """
    sentences = sides[0].shape[1]
    if any(side.shape[1] != sentences for side in sides):
        raise ValueError(f"expected counts of the same sentences, found {[side.shape[1] for side in sides]} sentences")
    if not sentences:
        return [np.zeros((resamples, len(side))) for side in sides]
    table = np.concatenate([side.transpose(1, 0, 2).reshape(sentences, -1) for side in sides], axis=1)
    kinds, often = np.unique(table, axis=0, return_counts=True)
    block = max(1, 2**22 // len(kinds))
    sums = [
        random.multinomial(sentences, often / sentences, size=min(block, resamples - done)) @ kinds
        for done in range(0, resamples, block)
    ]
    parts = np.split(np.concatenate(sums), np.cumsum([3 * len(side) for side in sides])[:-1], axis=1)
    return [f1_of(part.reshape(resamples, -1, 3)) for part in parts]


def _seed_draws(seeds: int, random: np.random.Generator, resamples: int) -> Numbers:
    """(resamples, R) the share of each seed in each resample."""
    return random.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds


def _means(scores: Numbers, shares: Numbers) -> Numbers:
    return (scores * shares).sum(1)


def _percentiles(values: Numbers) -> tuple[float, float]:
    low, high = np.percentile(values, TAILS)
    return float(low), float(high)
