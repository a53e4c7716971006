"""Calibration: whether predictions of confidence c are right in a share c of cases.

Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning"; Nguyen and
O'Connor 2015, "Posterior calibration and exploratory analysis for natural language processing models".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions with a confidence above ``low`` and up to ``high``: mean confidence, and the share that is right."""

    low: float
    high: float
    count: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """The confidences of ``count`` predictions: their mean, and the share of right predictions.

    The expected calibration error is the mean over predictions of the distance between confidence and right of their
    bin, 0 to 1: ``ece`` with `BINS` bins of equal width (``bins``, without the empty ones), ``ece_equal_mass`` with as
    many of equal count.
    """

    count: int
    confidence: float
    right: float
    ece: float
    ece_equal_mass: float
    bins: tuple[Bin, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def calibration_of(confidences: Sequence[float] | NDArray[Any], right: Sequence[bool] | NDArray[Any]) -> Calibration:
    """The calibration of N predictions from their confidences, 0 to 1, and whether each is right."""
    shares, hits = np.asarray(confidences, np.float64), np.asarray(right, np.float64)
    if shares.shape != hits.shape or shares.ndim != 1:
        raise ValueError(f"expected one confidence for each prediction, found {shares.shape} for {hits.shape}")
    edges = np.arange(BINS + 1) / BINS
    places = np.searchsorted(edges[1:-1], shares, side="left")
    bins = tuple(
        Bin(float(edges[n]), float(edges[n + 1]), *_means(shares[places == n], hits[places == n]))
        for n in np.unique(places).tolist()
    )
    rank = np.argsort(shares, kind="stable")
    masses = [_means(shares[rows], hits[rows]) for rows in np.array_split(rank, BINS) if len(rows)]
    widths = [(each.count, each.confidence, each.right) for each in bins]
    return Calibration(*_means(shares, hits), _error(widths), _error(masses), bins)


def _means(confidences: NDArray[Any], right: NDArray[Any]) -> tuple[int, float, float]:
    if not len(confidences):
        return 0, 0.0, 0.0
    return len(confidences), float(confidences.mean()), float(right.mean())


def _error(bins: Sequence[tuple[int, float, float]]) -> float:
    total = sum(count for count, _, _ in bins)
    return sum(count * abs(confidence - right) for count, confidence, right in bins) / total if total else 0.0
