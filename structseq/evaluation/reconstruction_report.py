"""Squared error and explained variance of reconstructed frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

# Differences below this share of the mean square are float32 rounding
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class ReconstructionReport:
    """The result of `evaluate_reconstruction`.

    ``squared_error`` is the mean over frames and features. ``explained`` is 1 - squared error / variance: 1 is perfect,
    0 equals predicting each feature's mean. For constant frames it is 1 (exact) or 0.
    """

    sequences: int
    frames: int
    squared_error: float
    explained: float

    @property
    def criterion(self) -> float:
        return max(0.0, self.explained)

    def to_dict(self, *, errors: int | None = 0) -> dict[str, Any]:
        return {"criterion": self.criterion, "score": "explained variance", **asdict(self)}

    def text(self, errors: int | None = 0) -> str:
        return (
            f"{self.sequences} sequences, {self.frames} frames\n"
            f"explained variance  {100 * self.explained:.2f} %\n"
            f"squared error       {self.squared_error:.4g}"
        )

    def __str__(self) -> str:
        return self.text()


def evaluate_reconstruction(gold: Sequence[Any], predicted: Sequence[Any]) -> ReconstructionReport:
    """Compare frames (L, F) with their reconstructions, sequence by sequence.

    Raises `ValueError` if shapes differ or there are no frames.

    >>> evaluate_reconstruction([np.array([[0.0], [2.0]])], [np.array([[0.0], [1.0]])]).explained
    0.5
    """
    shapes, others = [np.shape(one) for one in gold], [np.shape(one) for one in predicted]
    if shapes != others:
        raise ValueError(f"expected frames of the shapes {shapes[:3]}..., found {others[:3]}...")
    if not sum(map(len, gold)):
        raise ValueError("expected frames, found none")
    frames, reconstructed = (
        np.concatenate([np.asarray(one, np.float64) for one in side]) for side in (gold, predicted)
    )
    error, variance = float(((frames - reconstructed) ** 2).mean()), float(frames.var(0).mean())
    rounding = ROUNDING * float((frames**2).mean())
    explained = 1 - error / variance if variance > rounding else float(error <= rounding)
    return ReconstructionReport(len(gold), len(frames), error, explained)
