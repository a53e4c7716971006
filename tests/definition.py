"""The chain by its definition alone: what every override is held to."""

from __future__ import annotations

from torch import Tensor

from structseq.structures.base import LogSemiring, Structure
from structseq.structures.chain import LinearChain


class Definition(LinearChain):
    """A chain that answers everything by its recursion, nothing by an override."""

    log_partition = Structure.log_partition
    log_prob = Structure.log_prob
    marginals = Structure.marginals
    best = Structure.best
    ranked = Structure.ranked
    sample = Structure.sample
    expected = Structure.expected
    score = LinearChain.path_score

    def with_weights(self, weights: tuple[Tensor, ...]) -> Definition:
        return Definition(*weights, self.lengths)

    def edge_marginals(self) -> Tensor:
        rows, steps, _ = self.scores.shape
        transitions, start, end = self.tables
        transitions = transitions.expand(rows, max(steps - 1, 0), -1, -1)
        return self.with_weights((self.scores, transitions, start, end))._gradients(LogSemiring())[1]

    @property
    def uses_kernels(self) -> bool:
        return False
