"""Batches of similar length under a token budget, and padded targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def batch_by_length(
    lengths: Sequence[int], *, sentences: int, tokens: int, rng: np.random.Generator | None = None
) -> list[np.ndarray]:
    """Row numbers grouped into batches of at most ``sentences`` rows and ``tokens`` steps, padding included.

    Rows are sorted by length, longest first. ``rng`` shuffles the batches, and rows of equal length. A row longer than
    the budget gets a separate batch.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.arange(len(sizes)) if rng is None else rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    groups: list[np.ndarray] = []
    while len(order):
        size = max(1, min(sentences, tokens // max(int(sizes[order[0]]), 1)))
        groups.append(order[:size])
        order = order[size:]
    return groups if rng is None else [groups[i] for i in rng.permutation(len(groups))]


def pad_targets(targets: Sequence[Sequence[int]], steps: int) -> Tensor:
    """(B, T) int64 from rows of tag numbers, 0 in the padding."""
    table = np.zeros((len(targets), steps), np.int64)
    for row, target in zip(table, targets, strict=True):
        row[: len(target)] = target
    return torch.from_numpy(table)
