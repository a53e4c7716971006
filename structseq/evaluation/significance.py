"""Intervals of scores and paired tests, with variances by the bootstrap (Efron and Tibshirani 1993, chapter 6)."""

from __future__ import annotations

import math
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
# A variance and its degrees of freedom
Part = tuple[float, int]

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
    names = ("accuracy",) if plain else ("precision", "recall", "f1")
    found, drawn = _ratios(counts.sum(0)), _ratios(resample(counts, resamples, seed))
    return {name: share_interval(float(found[name]), drawn[name], len(counts)) for name in names}


def _ratios(counts: Counts) -> dict[str, Numbers]:
    correct, predicted, gold = np.moveaxis(counts.astype(np.float64), -1, 0)
    recall = _ratio(correct, gold)
    return {"precision": _ratio(correct, predicted), "recall": recall, "accuracy": recall, "f1": f1_of(counts)}


def _ratio(part: Numbers, whole: Numbers) -> Numbers:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def share_interval(score: float, resampled: Numbers, sentences: int) -> Interval:
    """95 % t interval of a score from 0 to 1 on the logit scale; its variance is that of the resampled scores."""
    return _logit_interval(score, [_over_sentences(resampled[:, None], sentences)])


def f1_of(counts: NDArray[np.generic]) -> Numbers:
    """F1 from counts (..., 3)."""
    correct, predicted, gold = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    return _ratio(2 * correct, predicted + gold)


def mean_interval(counts: Sequence[Counts], *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """95 % interval of the mean F1 over new seeds and sentences; ``counts``: (S, 3) of each seed, same sentences.

    A t interval on the logit scale, its degrees of freedom by Satterthwaite (1946). One seed: of this model alone.
    """
    stacked = _stacked(counts)
    (drawn,) = _resampled_scores([stacked], np.random.default_rng(seed), resamples)
    scores = f1_of(stacked.sum(1))
    return _logit_interval(float(scores.mean()), _parts(scores, drawn, stacked.shape[1]))


def paired_bootstrap(
    first: Mapping[int, Counts], second: Mapping[int, Counts], *, resamples: int = RESAMPLES, seed: int = 0
) -> PairedBootstrap:
    """Compare two systems on the same sentences, given their counts (S, 3) by seed.

    A t test, paired by seed too if both have the same. The bootstrap gives the variance over sentences; that over seeds
    is added. Cochran and Cox's (1950) critical value keeps the level with few seeds. One seed: these two models alone.
    """
    same = first.keys() == second.keys()
    seeds = sorted(first), sorted(first) if same else sorted(second)
    sides = [_stacked([side[n] for n in order]) for side, order in zip((first, second), seeds, strict=True)]
    drawn = _resampled_scores(sides, np.random.default_rng(seed), resamples)
    scores, sentences = [f1_of(side.sum(1)) for side in sides], sides[0].shape[1]
    # Sentences with the same counts from all models say nothing about the difference
    telling = int(np.ptp(np.concatenate(sides), axis=0).any(-1).sum())
    difference = float(scores[0].mean() - scores[1].mean())
    if same:
        parts = _parts(scores[0] - scores[1], drawn[0] - drawn[1], sentences)
    else:
        parts = _unpaired_parts(scores, drawn, sentences)
    parts = [*parts[:-1], (parts[-1][0], max(telling - 1, 1))]
    margin = _critical_value(parts, 1 - LEVEL / 100)
    p = 1.0 if telling < 2 else _p_value(abs(difference), parts, smallest=1 / (1 + resamples))
    return PairedBootstrap(difference, (difference - margin, difference + margin), p)


def holm_correction(p_values: Sequence[float], tests: int | None = None) -> list[float]:
    """P-values corrected for multiple tests (Holm 1979), in the given order; ``tests``: of how many tests they are."""
    tests = len(p_values) if tests is None else tests
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (tests - rank) * p_values[index]))
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


# -- variances of a mean over seeds: each with its degrees of freedom --------------------------------------------------


def _parts(scores: Numbers, drawn: Numbers, sentences: int) -> list[Part]:
    """Of the mean of ``scores`` (R,), given resampled ones (resamples, R): the seeds' part, then the sentences'.

    What seeds share is the sentences' doing (Obuchowski and Rockette 1995); the rest shows in their spread.
    """
    over_sentences = _over_sentences(drawn, sentences)
    return [over_sentences] if len(scores) == 1 else [_over_seeds(scores), over_sentences]


def _unpaired_parts(scores: Sequence[Numbers], drawn: Sequence[Numbers], sentences: int) -> list[Part]:
    """`_parts` of a difference of means over different seeds."""
    (one, freedom), (other, _) = (_over_sentences(side, sentences) for side in drawn)
    centred = [(side - side.mean(0)).mean(1) for side in drawn]
    shared = one + other - 2 * float((centred[0] * centred[1]).mean()) * sentences / max(freedom, 1)
    return [*(_over_seeds(side) for side in scores if len(side) > 1), (max(0.0, shared), freedom)]


def _over_seeds(scores: Numbers) -> Part:
    return float(scores.var(ddof=1)) / len(scores), len(scores) - 1


def _over_sentences(drawn: Numbers, sentences: int) -> Part:
    """The mean covariance between two seeds; with one seed its variance."""
    seeds, freedom = drawn.shape[1], sentences - 1
    covariance = np.atleast_2d(np.cov(drawn.T, bias=True)) * sentences / max(freedom, 1)
    if seeds == 1:
        return float(covariance[0, 0]), freedom
    return max(0.0, float(covariance.sum() - np.trace(covariance)) / (seeds * (seeds - 1))), freedom


def _logit_interval(score: float, parts: Sequence[Part]) -> Interval:
    from scipy.special import expit, logit, stdtrit

    variance = sum(part for part, _ in parts)
    if not variance or not 0 < score < 1:
        return score, score
    if any(part and free < 1 for part, free in parts):  # one sentence says nothing about others
        return 0.0, 1.0
    freedom = variance**2 / sum(part**2 / free for part, free in parts if part)
    margin = stdtrit(freedom, (1 + LEVEL / 100) / 2) * variance**0.5 / (score * (1 - score))
    return float(expit(logit(score) - margin)), float(expit(logit(score) + margin))


def _critical_value(parts: Sequence[Part], p: float) -> float:
    """What a difference must reach for a two-sided ``p``: quantiles of t weighted by variance."""
    from scipy.special import stdtrit

    variance = sum(part for part, _ in parts)
    quantiles = sum(
        part * (-float(stdtrit(free, p / 2)) if free >= 1 else float("inf")) for part, free in parts if part
    )
    return quantiles / variance**0.5 if variance else 0.0


def _p_value(distance: float, parts: Sequence[Part], *, smallest: float) -> float:
    """The inverse of `_critical_value`; ``smallest`` where nothing varies."""
    from scipy.optimize import brentq

    # Rounding must not tell equal scores apart
    if distance < 1e-12:
        return 1.0
    if not any(part for part, _ in parts):
        return smallest
    lowest = -30.0
    if _critical_value(parts, math.exp(lowest)) < distance:
        return math.exp(lowest)
    return math.exp(brentq(lambda log_p: _critical_value(parts, math.exp(log_p)) - distance, lowest, 0.0))
