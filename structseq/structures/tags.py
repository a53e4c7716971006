"""TagDistribution: what a tagger asks of a distribution over tag sequences, whatever structure it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from structseq.structures.chain import EdgePattern


@runtime_checkable
class TagDistribution(Protocol):
    """Probabilities of tags and spans.

    Attributes
    ----------
    lengths:
        (B,) true length of each row.
    """

    lengths: Tensor

    def marginals(self) -> Tensor:
        """(B, T, K) probability that a token bears a tag; zero beyond each row's length."""
        ...

    def span_probabilities(self, spans: Sequence[tuple[int, int, int, int]], patterns: Sequence[EdgePattern]) -> Tensor:
        """(S,) float64 probability of each span (row, start, end, number of its pattern): that something opens there,
        continues and closes as its pattern says."""
        ...
