"""A chain's learned transitions as a table to be drawn: which tags, and which of their scores are worth naming."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseq.report.wording import number

MOST_TAGS = 40
START, END = "start", "end"


@dataclass(frozen=True, slots=True)
class TransitionTable:
    """Scores (rows, columns) in nats of going from a row's tag to a column's; NaN where that is forbidden.

    The first row is the start of a sentence, the last column its end.

    Attributes
    ----------
    rows, columns:
        Names, START and END among them.
    scores:
        (K + 1, K + 1) float64, K the number of tags shown.
    of:
        How many tags the model has.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    scores: NDArray[np.float64]
    of: int

    @property
    def shown(self) -> int:
        """How many tags are shown."""
        return len(self.rows) - 1

    def extremes(self, most: int) -> tuple[list[tuple[str, str, float]], list[tuple[str, str, float]]]:
        """The strongest and the weakest pairs (from, to, score), at most ``most`` each and none of them twice."""
        places = np.argwhere(np.isfinite(self.scores))
        ordered = sorted(((-self.scores[i, j], int(i), int(j)) for i, j in places))
        found = [(self.rows[i], self.columns[j], float(-score)) for score, i, j in ordered]
        most = min(most, (len(found) + 1) // 2)
        return found[:most], found[most:][-most:][::-1]


def table_of(transitions: Mapping[str, Any], *, most_tags: int = MOST_TAGS) -> TransitionTable:
    """The tags as the model orders them; where there are more than ``most_tags``, those with the largest scores.

    A tag's largest score, whatever its sign, is what training moved it to: a tag that was hardly ever seen stays
    close to nought.

    >>> table = table_of({"tags": ["O", "I-x"], "scores": [[0.5, None], [1, 2]], "start": [0, None], "end": [0, -1]})
    >>> table.rows, table.columns, table.extremes(1)
    (('start', 'O', 'I-x'), ('O', 'I-x', 'end'), ([('I-x', 'I-x', 2.0)], [('I-x', 'end', -1.0)]))
    """
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
    """Of any depth; NaN for null and what is not finite."""
    if isinstance(values, list | tuple):
        return np.array([_numbers(value) for value in values], dtype=np.float64)
    found = number(values)
    return np.array(np.nan if found is None else found)


def _strongest(scores: NDArray[np.float64], most: int) -> list[int]:
    """The ``most`` tags with the largest absolute scores between tags, in their own order."""
    size = len(scores) - 1
    between = np.abs(np.nan_to_num(scores[1:, :size]))
    strength = [float(max(between[i].max(), between[:, i].max())) for i in range(size)]
    return sorted(sorted(range(size), key=lambda i: -strength[i])[:most])
