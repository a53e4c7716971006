"""CRF: a drop-in for pytorch-crf's layer, on the house's own chain."""

from __future__ import annotations

import torch
import torchcrf
from torch import Tensor

from structseq.structures.chain import LinearChain


class CRF(torchcrf.CRF):
    """Linear-chain conditional random field (Lafferty, McCallum and Pereira 2001) with pytorch-crf's parameters and
    call.

    Same constructor, parameters, state dict, sign (a log-likelihood, never positive), reductions and error messages as
    ``torchcrf.CRF``. Beyond it: a masked step is absent wherever it stands (holes, left padding, empty rows), what
    lies under the mask never leaks, half precision is computed in float32, and the recursions are compiled.

    Parameters
    ----------
    num_tags:
        K.
    batch_first:
        Whether tensors come as (B, T, ...) rather than (T, B, ...).
    """

    def chain(
        self, emissions: Tensor, lengths: Tensor, legal: tuple[Tensor, Tensor, Tensor] | None = None
    ) -> LinearChain:
        """The distribution over tag sequences for ``emissions`` (B, T, K), rows real up to ``lengths`` (B,).

        ``legal``: booleans start (K,), transitions (K, K) [from, to], end (K,); what is not legal has probability
        exactly 0.
        """
        start, moves, end = self.start_transitions, self.transitions, self.end_transitions
        if legal is not None:
            start = start.masked_fill(~legal[0], -torch.inf)
            moves = moves.masked_fill(~legal[1], -torch.inf)
            end = end.masked_fill(~legal[2], -torch.inf)
        return LinearChain(emissions, moves, start, end, lengths)

    def forward(self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None, reduction: str = "sum") -> Tensor:
        """Log-likelihood of ``tags`` in nats: (B,) for reduction ``none``, else a scalar (``sum``, ``mean``,
        ``token_mean``)."""
        self._validate(emissions, tags=tags, mask=mask)
        if reduction not in ("none", "sum", "mean", "token_mean"):
            raise ValueError(f"invalid reduction: {reduction}")
        scores, lengths, order = self._compact(emissions, mask)
        target = (tags if self.batch_first else tags.transpose(0, 1)).gather(1, order)
        likelihood = self.chain(scores, lengths).log_prob(target)
        if reduction == "none":
            return likelihood
        if reduction == "sum":
            return likelihood.sum()
        return likelihood.mean() if reduction == "mean" else likelihood.sum() / lengths.sum().clamp(min=1)

    def decode(self, emissions: Tensor, mask: Tensor | None = None) -> list[list[int]]:
        """Best tag sequence of each row over its unmasked steps, by Viterbi."""
        self._validate(emissions, mask=mask)
        scores, lengths, _ = self._compact(emissions, mask)
        with torch.no_grad():
            paths = self.chain(scores, lengths).best().path
        return [path[:length] for path, length in zip(paths.tolist(), lengths.tolist(), strict=True)]

    def _compact(self, emissions: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Rows first and unmasked steps to the left: scores (B, T, K), lengths (B,), and the order (B, T) that did
        it."""
        scores = emissions if self.batch_first else emissions.transpose(0, 1)
        rows, steps = scores.shape[:2]
        if mask is None:
            lengths = torch.full((rows,), steps, dtype=torch.int64)
            return scores, lengths, torch.arange(steps, device=scores.device).expand(rows, steps)
        real = (mask if self.batch_first else mask.transpose(0, 1)).bool()
        order = torch.argsort(~real, dim=1, stable=True)
        return scores.gather(1, order.unsqueeze(-1).expand_as(scores)), real.sum(1).cpu(), order

    def _validate(self, emissions: Tensor, tags: Tensor | None = None, mask: Tensor | None = None) -> None:
        if mask is not None and emissions.dim() == 3 and emissions.shape[:2] == mask.shape:
            mask = None  # its shape is right, and a first step that is off is no fault here
        super()._validate(emissions, tags=tags, mask=mask)
