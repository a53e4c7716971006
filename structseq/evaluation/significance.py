"""Bootstrap intervals of scores, and paired bootstrap tests (Efron and Tibshirani 1993, chapters 13 and 16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseq.evaluation.matching import Matching, TagRows, match
from structseq.spans.schemes import Scheme

# (S, 3): for each sentence the correct, the predicted and the gold units
Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]
Interval = tuple[float, float]

LEVEL = 95
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class PairedBootstrap:
    """The result of `paired_bootstrap`: mean F1 of the first system minus the second's, 95 % interval and p-value."""

    difference: float
    interval: Interval
    p: float


def percentiles(values: NDArray[Any]) -> Interval:
    """The 95 % percentile interval of resampled scores."""
    low, high = np.percentile(values, ((100 - LEVEL) / 2, (100 + LEVEL) / 2))
    return float(low), float(high)


def resample(counts: NDArray[np.integer], resamples: int, seed: int | np.random.Generator) -> Counts:
    """Sums of ``counts`` (S, n) over S rows drawn with replacement, for each resample: (resamples, n)."""
    # Drawing how often each distinct row occurs gives the same distribution in less time and memory
    rows, frequency = np.unique(counts, axis=0, return_counts=True)
    random = np.random.default_rng(seed)
    block = max(1, 2**20 // len(rows))
    drawn = [
        random.multinomial(len(counts), frequency / len(counts), size=min(block, resamples - done)) @ rows
        for done in range(0, resamples, block)
    ]
    return np.concatenate(drawn)


def counts_of(matching: Matching) -> Counts:
    gold, predicted = matching.sentence_of(matching.gold), matching.sentence_of(matching.predicted)
    columns = (gold[matching.gold_found], predicted, gold)
    sentences = len(matching.offsets) - 1
    return np.stack([np.bincount(column, minlength=sentences) for column in columns], axis=1).astype(np.int64)


def sentence_counts(gold: TagRows, predicted: TagRows, scheme: Scheme) -> Counts:
    """(S, 3) correct, predicted and gold entities of each sentence by conlleval's rule; tokens if tags are plain.

    Raises `DataError` if lengths differ or a tag does not belong to the scheme.
    """
    return counts_of(match(gold, predicted, scheme))


def score_intervals(matching: Matching, resamples: int, seed: int, *, plain: bool) -> dict[str, Interval]:
    """`Report.intervals`, over resampled sentences."""
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
    total = predicted + gold
    return np.divide(2 * correct, total, out=np.zeros_like(total), where=total > 0)


def mean_interval(counts: Sequence[Counts], *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """95 % percentile interval of the mean F1 over seeds; ``counts``: (S, 3) of each seed, on the same sentences.

    Draws seeds and sentences with replacement. With two or three seeds it underestimates their variance.
    """
    random = np.random.default_rng(seed)
    (scores,) = _resampled_scores([_stacked(counts)], random, resamples)
    return percentiles((scores * _seed_weights(len(counts), random, resamples)).sum(1))


def paired_bootstrap(
    first: Mapping[int, Counts], second: Mapping[int, Counts], *, resamples: int = RESAMPLES, seed: int = 0
) -> PairedBootstrap:
    """Compare two systems on the same sentences, given their counts (S, 3) by seed.

    Each resample draws the same sentences for both, and the same seeds if both have the same. With the observed
    difference d and a resampled d*, the two-sided p is the share of resamples with |d* - d| >= |d| (Berg-Kirkpatrick,
    Burkett and Klein 2012, section 2), 1 added to both counts (Davison and Hinkley 1997, section 4.2).
    """
    same = first.keys() == second.keys()
    seeds = sorted(first), sorted(first) if same else sorted(second)
    sides = [_stacked([side[n] for n in order]) for side, order in zip((first, second), seeds, strict=True)]
    observed = float(f1_of(sides[0].sum(1)).mean() - f1_of(sides[1].sum(1)).mean())
    random = np.random.default_rng(seed)
    first_scores, second_scores = _resampled_scores(sides, random, resamples)
    weights = _seed_weights(len(first), random, resamples)
    second_weights = weights if same else _seed_weights(len(second), random, resamples)
    differences = (first_scores * weights).sum(1) - (second_scores * second_weights).sum(1)
    # Without the tolerance, rounding would decide whether equal values count
    extreme = int((np.abs(differences - observed) >= abs(observed) - 1e-12).sum())
    return PairedBootstrap(observed, percentiles(differences), (1 + extreme) / (1 + resamples))


def holm_correction(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for multiple tests (Holm 1979), in the given order."""
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _stacked(counts: Sequence[Counts]) -> Counts:
    if not len(counts):
        raise ValueError("expected the counts of one seed or more, found none")
    return np.stack([np.asarray(each, np.int64) for each in counts])


def _resampled_scores(sides: Sequence[Counts], random: np.random.Generator, resamples: int) -> list[Numbers]:
    """For each side (R, S, 3) its F1 (resamples, R), on the same resampled sentences."""
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
    """(resamples, R) each seed's share of a resample."""
    return random.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
