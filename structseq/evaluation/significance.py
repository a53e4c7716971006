"""Bootstrap intervals of scores, and paired tests of systems over sentences and seeds.

Efron and Tibshirani 1993, chapters 13 (percentile intervals) and 16 (tests); Berg-Kirkpatrick, Burkett and Klein 2012
(the paired test); Holm 1979 (several tests at once).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseq.evaluation.matching import Matching, TagRows, match
from structseq.spans.schemes import Scheme

# (S, 3) for each sentence: correct units, predicted units, gold units
Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]
Interval = tuple[float, float]

LEVEL = 95
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Paired:
    """One system against another.

    ``difference`` is the mean F1 of the first over its seeds minus that of the second, ``interval`` its 95 % percentile
    interval, ``p`` the two-sided p-value.
    """

    difference: float
    interval: Interval
    p: float


def percentiles(values: NDArray[Any]) -> Interval:
    """The ends of the 95 % percentile interval of resampled scores."""
    low, high = np.percentile(values, ((100 - LEVEL) / 2, (100 + LEVEL) / 2))
    return float(low), float(high)


def resample(counts: NDArray[np.integer], resamples: int, seed: int | np.random.Generator) -> Counts:
    """Sums of ``counts`` (S, n) over S rows drawn with replacement, one sum for each resample: (resamples, n).

    Each resample draws how often each distinct row occurs: the same distribution in less time and memory.
    """
    rows, often = np.unique(counts, axis=0, return_counts=True)
    random = np.random.default_rng(seed)
    block = max(1, 2**20 // len(rows))
    drawn = [
        random.multinomial(len(counts), often / len(counts), size=min(block, resamples - done)) @ rows
        for done in range(0, resamples, block)
    ]
    return np.concatenate(drawn)


def counts_of(matching: Matching) -> Counts:
    """(S, 3) correct, predicted and gold units of each sentence."""
    gold, predicted = matching.sentence_of(matching.gold), matching.sentence_of(matching.predicted)
    columns = (gold[matching.gold_found], predicted, gold)
    sentences = len(matching.offsets) - 1
    return np.stack([np.bincount(column, minlength=sentences) for column in columns], axis=1).astype(np.int64)


def sentence_counts(gold: TagRows, predicted: TagRows, scheme: Scheme) -> Counts:
    """(S, 3) for each sentence: entities that are correct by conlleval's rule, predicted entities, gold entities.

    For plain tags: correct tokens, tokens, tokens. Raises `DataError` if lengths differ or a tag is not of the scheme.

    >>> from structseq.spans import scheme_of
    >>> sentence_counts([["B-x", "O"], ["O"]], [["B-x", "B-y"], ["O"]], scheme_of("BIO")).tolist()
    [[1, 2, 1], [0, 0, 0]]
    """
    return counts_of(match(gold, predicted, scheme))


def score_intervals(matching: Matching, resamples: int, seed: int, *, plain: bool) -> dict[str, Interval]:
    """Percentile intervals over resampled sentences: of accuracy if ``plain``, else of micro precision, recall, F1."""
    counts = counts_of(matching)
    if not resamples or not len(counts):
        return {}
    correct, predicted, gold = resample(counts, resamples, seed).T.astype(float)
    ratios = {"precision": (correct, predicted), "recall": (correct, gold), "f1": (2 * correct, predicted + gold)}
    if plain:
        ratios = {"accuracy": (correct, gold)}
    return {
        name: percentiles(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0))
        for name, (part, whole) in ratios.items()
    }


def f1_of(counts: NDArray[np.generic]) -> Numbers:
    """F1 from counts (..., 3)."""
    correct, predicted, gold = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    whole = predicted + gold
    return np.divide(2 * correct, whole, out=np.zeros_like(whole), where=whole > 0)


def mean_interval(counts: Sequence[Counts], *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """95 % percentile interval of the mean F1 over seeds; ``counts`` has (S, 3) for each seed, of the same sentences.

    Seeds and sentences are drawn with replacement. With two or three seeds their variance is underestimated.

    >>> sure = np.array([[1, 1, 1]] * 50)
    >>> mean_interval([sure, sure])
    (1.0, 1.0)
    """
    random = np.random.default_rng(seed)
    (scores,) = _resampled_scores([_stacked(counts)], random, resamples)
    return percentiles((scores * _seed_weights(len(counts), random, resamples)).sum(1))


def paired(
    one: Mapping[int, Counts], other: Mapping[int, Counts], *, resamples: int = RESAMPLES, seed: int = 0
) -> Paired:
    """Compare two systems over the same sentences, given their counts (S, 3) by seed.

    Each resample draws the same sentences for both systems, and the same seeds if both have the same ones. With the
    observed difference d and a resampled one d*, p is the share of resamples with |d* - d| >= |d|, two-sided
    (Berg-Kirkpatrick et al. 2012, section 2), with 1 added to both counts (Davison and Hinkley 1997, section 4.2).

    >>> right, wrong = np.array([[1, 1, 1]] * 50), np.array([[0, 1, 1]] * 50)
    >>> paired({0: right}, {0: wrong}).difference, paired({0: right}, {0: right}).p
    (1.0, 1.0)
    """
    same = one.keys() == other.keys()
    seeds = sorted(one), sorted(one) if same else sorted(other)
    sides = [_stacked([side[n] for n in order]) for side, order in zip((one, other), seeds, strict=True)]
    observed = float(f1_of(sides[0].sum(1)).mean() - f1_of(sides[1].sum(1)).mean())
    random = np.random.default_rng(seed)
    first, second = _resampled_scores(sides, random, resamples)
    weights = _seed_weights(len(one), random, resamples)
    other_weights = weights if same else _seed_weights(len(other), random, resamples)
    differences = (first * weights).sum(1) - (second * other_weights).sum(1)
    # The tolerance keeps rounding from deciding between equal and larger
    extreme = int((np.abs(differences - observed) >= abs(observed) - 1e-12).sum())
    return Paired(observed, percentiles(differences), (1 + extreme) / (1 + resamples))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for multiple tests (Holm 1979), in the given order.

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
    """(R, S, 3) for R seeds."""
    if not len(counts):
        raise ValueError("expected the counts of one seed or more, found none")
    return np.stack([np.asarray(each, np.int64) for each in counts])


def _resampled_scores(sides: Sequence[Counts], random: np.random.Generator, resamples: int) -> list[Numbers]:
    """For each side (R, S, 3) its F1 by resample and seed, (resamples, R); all sides get the same sentences."""
    sentences = sides[0].shape[1]
    if any(side.shape[1] != sentences for side in sides):
        raise ValueError(f"expected counts of the same sentences, found {[side.shape[1] for side in sides]} sentences")
    if not sentences:
        return [np.zeros((resamples, len(side))) for side in sides]
    table = np.concatenate([side.transpose(1, 0, 2).reshape(sentences, -1) for side in sides], axis=1)
    sums = resample(table, resamples, random)
    parts = np.split(sums, np.cumsum([3 * len(side) for side in sides])[:-1], axis=1)
    return [f1_of(part.reshape(resamples, -1, 3)) for part in parts]


def _seed_weights(seeds: int, random: np.random.Generator, resamples: int) -> Numbers:
    """(resamples, R) the share of each seed in each resample."""
    return random.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
