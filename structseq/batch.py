"""Batches of similar length under a token budget, in an order that one seed decides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def batches(
    lengths: Sequence[int], *, sentences: int, tokens: int, rng: np.random.Generator | None = None
) -> list[np.ndarray]:
    """Row numbers grouped into batches: at most ``sentences`` rows and ``tokens`` steps, padding included.

    Rows of equal length stand together, so that padding is next to nothing; which of them share a batch, and the order
    of the batches, is drawn from ``rng`` (None keeps the given order among equals, and the longest batch comes first).
    A row longer than the budget is a batch of its own.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.arange(len(sizes)) if rng is None else rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    groups: list[np.ndarray] = []
    place = 0
    while place < len(order):
        longest = max(int(sizes[order[place]]), 1)
        size = max(1, min(sentences, tokens // longest))
        groups.append(order[place : place + size])
        place += size
    if rng is None:
        return groups
    return [groups[i] for i in rng.permutation(len(groups))]


def pad_targets(targets: Sequence[Sequence[int]], steps: int) -> Tensor:
    """(B, T) int64 from rows of tag numbers, 0 beyond each row's length."""
    table = np.zeros((len(targets), steps), np.int64)
    for row, target in zip(table, targets, strict=True):
        row[: len(target)] = target
    return torch.from_numpy(table)
