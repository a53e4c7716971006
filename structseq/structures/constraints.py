"""Constraints of `CRF`: boolean tables start (K,), transitions (K, K) [from, to] and end (K,)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Tables = tuple[Tensor, Tensor, Tensor]


def checked_tables(constraints: Any, tags: int) -> Tables:
    names = ("start", "transitions", "end")
    triple = isinstance(constraints, (tuple, list)) and len(constraints) == 3
    if not triple and not all(hasattr(constraints, name) for name in names):
        raise ValueError(
            f"constraints: expected the result of scheme.legal(labels), or three boolean tables (start, transitions, "
            f"end), found {type(constraints).__name__}"
        )
    parts = constraints if triple else [getattr(constraints, name) for name in names]
    found = []
    for name, part, shape in zip(names, parts, ((tags,), (tags, tags), (tags,)), strict=True):
        table = torch.as_tensor(part).detach().clone()
        if table.dtype != torch.bool or table.shape != shape:
            raise ValueError(
                f"constraints: expected {name} as booleans of shape {shape}, "
                f"found {table.dtype} of shape {tuple(table.shape)}; each of the {tags} tags needs one entry"
            )
        found.append(table)
    for name, table in (("start", found[0]), ("end", found[2])):
        if not table.any():
            raise ValueError(f"constraints: expected a tag that may {name} a row, found none; allow one in {name}")
    return found[0], found[1], found[2]


def first_violation(
    path: Sequence[int], steps: Sequence[int], legal: list[np.ndarray] | None, allowed: np.ndarray | None
) -> str | None:
    """Description of the first forbidden tag of ``path`` at ``steps``, or None."""
    for n, (step, tag) in enumerate(zip(steps, path, strict=True)):
        if allowed is not None and not allowed[step, tag]:
            return f"at step {step} tag {tag}, which is not among those allowed there"
        if legal is None:
            continue
        if n == 0 and not legal[0][tag]:
            return f"at step {step} tag {tag} at the beginning, which the constraints forbid"
        if n > 0 and not legal[1][path[n - 1], tag]:
            return (
                f"at step {step} tag {tag} after tag {path[n - 1]} of step {steps[n - 1]}, which the constraints forbid"
            )
    if legal is not None and path and not legal[2][path[-1]]:
        return f"at step {steps[-1]} tag {path[-1]} at the end, which the constraints forbid"
    return None


def count_transitions(
    sequences: Iterable[Sequence[int]], tags: int, legal: list[np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of first tags (K,), transitions (K, K) [from, to] and last tags (K,)."""
    start, transitions, end = np.zeros(tags), np.zeros((tags, tags)), np.zeros(tags)
    for n, sequence in enumerate(sequences):
        row = _tag_numbers(sequence, n, tags)
        if len(row) == 0:
            continue
        fault = first_violation(row.tolist(), range(len(row)), legal, None)
        if fault is not None:
            raise ValueError(
                f"expected tags that the constraints permit, found in sequence {n} {fault}; "
                "correct it, leave it out or allow the transition"
            )
        start[row[0]] += 1
        end[row[-1]] += 1
        np.add.at(transitions, (row[:-1], row[1:]), 1)
    if not start.any():
        raise ValueError("sequences: expected at least one sequence of tag numbers that is not empty, found none")
    return start, transitions, end


def _tag_numbers(sequence: Any, number: int, tags: int) -> np.ndarray:
    row = sequence.detach().cpu().numpy() if isinstance(sequence, Tensor) else np.asarray(sequence)
    if row.size == 0 and row.ndim == 1:
        return np.zeros(0, np.int64)
    if row.ndim != 1 or row.dtype.kind not in "iu":
        raise ValueError(
            f"expected rows of tag numbers, found {sequence!r:.60} as sequence {number}; "
            "give one list of numbers for each sequence, not names"
        )
    wrong = (row < 0) | (row >= tags)
    if wrong.any():
        step = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"expected tags from 0 to {tags - 1}, found {row[step]} in sequence {number} at step {step}; "
            "leave out values that are not tags"
        )
    return row.astype(np.int64)
