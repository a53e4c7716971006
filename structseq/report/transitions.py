"""TransitionTable: a chain's learned transitions, prepared for a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseq.report.formatting import number

MOST_TAGS = 40
START, END = "start", "end"


@dataclass(frozen=True, slots=True)
class TransitionTable:
    """Transition scores between K of ``of`` tags.

    ``scores`` (K + 1, K + 1) from row to column, in nats, NaN if forbidden. The first row is `START`, the last column
    `END`.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    scores: NDArray[np.float64]
    of: int

    @property
    def shown(self) -> int:
        return len(self.rows) - 1

    def extremes(self, most: int) -> tuple[list[tuple[str, str, float]], list[tuple[str, str, float]]]:
        """The strongest and the weakest (from, to, score), at most ``most`` each, without overlap."""
        places = np.argwhere(np.isfinite(self.scores))
        ordered = sorted(((-self.scores[i, j], int(i), int(j)) for i, j in places))
        found = [(self.rows[i], self.columns[j], float(-score)) for score, i, j in ordered]
        most = min(most, (len(found) + 1) // 2)
        return found[:most], found[most:][-most:][::-1]


def transition_table(transitions: Mapping[str, Any], *, most_tags: int = MOST_TAGS) -> TransitionTable:
    """The table of `learned_transitions`, with at most the ``most_tags`` tags of the largest absolute scores."""
    tags = [str(tag) for tag in transitions["tags"]]
    size = len(tags)
    scores = np.full((size + 1, size + 1), np.nan)
    scores[1:, :size] = _numbers(transitions["scores"]).reshape(size, size)
    for edge, place in (("start", (0, slice(size))), ("end", (slice(1, None), size))):
        if transitions.get(edge) is not None:
            scores[place] = _numbers(transitions[edge])
    kept = _strongest(scores, most_tags)
    return TransitionTable(
        rows=(START, *(tags[i] for i in kept)),
        columns=(*(tags[i] for i in kept), END),
        scores=scores[np.ix_([0, *(i + 1 for i in kept)], [*kept, size])],
        of=size,
    )


def _numbers(values: Any) -> NDArray[np.float64]:
    """Nested lists as an array; null and infinite values become NaN."""
    if isinstance(values, list | tuple):
        return np.array([_numbers(value) for value in values], dtype=np.float64)
    found = number(values)
    return np.array(np.nan if found is None else found)


def _strongest(scores: NDArray[np.float64], most: int) -> list[int]:
    """Ascending indices of the ``most`` tags with the largest absolute scores."""
    size = len(scores) - 1
    between = np.abs(np.nan_to_num(scores[1:, :size]))
    strength = [float(max(between[i].max(), between[:, i].max())) for i in range(size)]
    return sorted(sorted(range(size), key=lambda i: -strength[i])[:most])
