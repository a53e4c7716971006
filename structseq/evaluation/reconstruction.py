"""Frames that were said again against the frames themselves: how much of their variance is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

# Beneath this share of the mean square lies what float32 rounds away.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class ReconstructionReport:
    """What `evaluate_reconstruction` found.

    Attributes
    ----------
    sequences, frames:
        How many were compared.
    squared_error:
        Mean over frames and features, in the features' own units.
    explained:
        1 - squared error over variance, both summed over all features (so that one which hardly moves hardly counts);
        1 is perfect, 0 is what each feature's mean would give. Frames that never move are explained where they are met.
    """

    sequences: int
    frames: int
    squared_error: float
    explained: float

    @property
    def criterion(self) -> float:
        """The variance explained, at least 0, as training watches it."""
        return max(0.0, self.explained)

    def to_dict(self, *, errors: int | None = 0) -> dict[str, Any]:
        """Plain values for JSON; there are no single errors to list."""
        return {"criterion": self.criterion, "score": "explained variance", **asdict(self)}

    def text(self, errors: int | None = 0) -> str:
        """The report for a terminal."""
        return (
            f"{self.sequences} sequences, {self.frames} frames\n"
            f"explained variance  {100 * self.explained:.2f} %\n"
            f"squared error       {self.squared_error:.4g}"
        )

    def __str__(self) -> str:
        return self.text()


def evaluate_reconstruction(gold: Sequence[Any], predicted: Sequence[Any]) -> ReconstructionReport:
    """Compare frames (L, F) with what was said in their place, sequence by sequence.

    Raises `ValueError` where numbers of sequences or shapes differ, or there are no frames.

    >>> evaluate_reconstruction([np.array([[0.0], [2.0]])], [np.array([[0.0], [1.0]])]).explained
    0.5
    """
    shapes = [np.shape(one) for one in gold], [np.shape(one) for one in predicted]
    if shapes[0] != shapes[1]:
        raise ValueError(f"expected frames of the shapes {shapes[0][:3]}..., found {shapes[1][:3]}...")
    right, told = (np.concatenate([np.asarray(one, np.float64) for one in side]) if side else np.zeros((0, 1))
                   for side in (list(gold), list(predicted)))  # fmt: skip
    if not len(right):
        raise ValueError("expected frames, found none")
    errors, spread = float(((right - told) ** 2).mean()), float(right.var(0).mean())
    moves = spread > ROUNDING * float((right**2).mean())
    explained = 1 - errors / spread if moves else float(errors <= ROUNDING * float((right**2).mean()))
    return ReconstructionReport(len(gold), len(right), errors, explained)
