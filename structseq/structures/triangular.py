"""TriangularChain: a joint distribution over a label and a tag sequence.

Jeong and Lee 2008, "Triangular-chain conditional random fields"; Xu and Sarikaya 2013, "Convolutional neural network
based triangular CRF for joint intent detection and slot filling".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from structseq.structures.base import Distribution, Ranked, draw, require_count
from structseq.structures.chain import EdgePattern, LinearChain

# Labels with a lower probability do not change a float32 probability.
NEGLIGIBLE = 1e-12


class TriangularChain(Distribution):
    """The distribution over a label z and tags y of each row, with p(z, y) proportional to exp(score(z, y)).

    score(z, y) = labels[z] + the score of y in the chain of z

    All methods are exact. An answer is (B, 1 + T): the label's number, then the tags, 0 in the padding. Raises
    ValueError if numbers of rows, lengths or a target do not fit.

    Parameters
    ----------
    labels: (B, N)
        Scores of the labels in nats. ``-inf`` forbids. Half precision is computed in float32.
    tags:
        Chains of B N rows: row b N + z has row b's tags under label z; its length must not depend on z.
    """

    exact = (LinearChain.exact - {"edge_marginals", "kl", "minimum_risk"}) | {"label_marginals"}

    def __init__(self, labels: Tensor, tags: LinearChain) -> None:
        if labels.dim() != 2 or not labels.is_floating_point() or not labels.shape[1]:
            raise ValueError(
                f"labels: expected floating-point numbers of shape (rows, labels) with at least one label, "
                f"found {labels.dtype} of shape {tuple(labels.shape)}"
            )
        rows, count = labels.shape
        if len(tags.lengths) != rows * count:
            raise ValueError(
                f"tags: expected {rows * count} rows, one for each label of each row, found {len(tags.lengths)}"
            )
        lengths = tags.lengths.view(rows, count)
        if not lengths.equal(lengths[:, :1].expand(-1, count)):
            raise ValueError(f"tags: expected the same length under all labels of a row, found {lengths.tolist()}")
        self.labels, self.tags = labels.to(torch.promote_types(labels.dtype, torch.float32)), tags
        self.calibrated = tags.calibrated
        self.lengths = lengths[:, 0]  # without the label

    def with_tags(self, tags: LinearChain) -> TriangularChain:
        return TriangularChain(self.labels, tags)

    def tempered(self, temperature: float) -> TriangularChain:
        """See `Structure.tempered`."""
        return TriangularChain(self.labels / temperature, self.tags.tempered(temperature))

    @property
    def label_scores(self) -> Tensor:
        """(B, N) `labels` plus the chains' log Z."""
        return self.labels + self.tags.log_partition().view(self.labels.shape)

    def log_partition(self) -> Tensor:
        """(B,) log of the partition function, in nats; -inf if no answer is possible."""
        return self.label_scores.logsumexp(1)

    def log_prob(self, target: Tensor) -> Tensor:
        self._require_shape(target)
        # log p(z) + log p(y | z) avoids cancellation.
        label = target[:, :1].to(self.labels.device)
        shares = _log_softmax(self.label_scores).gather(1, label).squeeze(1)
        return shares + self._chain_of(label.squeeze(1)).log_prob(target[:, 1:])

    def label_marginals(self) -> Tensor:
        """(B, N) probability of each label; 0 if no answer is possible."""
        return self._label_shares

    @cached_property
    def _label_shares(self) -> Tensor:
        return _log_softmax(self.label_scores.detach()).exp()

    def marginals(self) -> Tensor:
        """(B, T, K) probability that a position has a tag."""
        return torch.einsum("bn,bntk->btk", self.label_marginals(), self._by_label(self.tags.marginals()))

    def span_probabilities(self, spans: Sequence[tuple[int, int, int, int]], patterns: Sequence[EdgePattern]) -> Tensor:
        """`LinearChain.span_probabilities`, summed over labels."""
        if not len(spans):
            return torch.zeros(0, dtype=torch.float64)
        place, (rows, count) = np.asarray(spans, np.int64), self.labels.shape
        outside = (place[:, 0] < 0) | (place[:, 0] >= rows)
        if outside.any():
            raise IndexError(f"expected spans of rows from 0 to {rows - 1}, found one of row {place[outside][0, 0]}")
        shares = self.label_marginals().double().cpu().numpy()[place[:, 0]]  # (S, N)
        span, label = np.nonzero(shares > NEGLIGIBLE)
        under = place[span]
        under[:, 0] = under[:, 0] * count + label
        found = self.tags.span_probabilities(under, patterns).numpy() * shares[span, label]
        return torch.from_numpy(np.bincount(span, found, len(place)).clip(0.0, 1.0))

    def entropy(self) -> Tensor:
        """(B,) entropy in nats."""
        shares = _log_softmax(self.label_scores)
        own = torch.where(torch.isneginf(shares), 0.0, shares)
        return (shares.exp() * (self.tags.entropy().view(self.labels.shape) - own)).sum(1)

    def score(self, target: Tensor) -> Tensor:
        """(B,) unnormalised log-score of answers."""
        self._require_shape(target)
        label = target[:, :1].to(self.labels.device)
        return self.labels.gather(1, label).squeeze(1) + self._chain_of(label.squeeze(1)).score(target[:, 1:])

    def best(self) -> Ranked:
        """Ties go to the lowest label."""
        found = self.tags.best()
        score, label = (self.labels.detach() + found.score.view(self.labels.shape)).max(1)
        path = self._by_label(found.path)[torch.arange(len(label), device=label.device), label]
        return Ranked(torch.cat([label.unsqueeze(1), path], 1), score)

    def ranked(self, k: int) -> Ranked:
        """The ``k`` best answers: path (B, k, 1 + T) and score (B, k), 0 and -inf if there are fewer."""
        require_count(k, "k")
        found = self.tags.ranked(k)
        score = (self.labels.detach().unsqueeze(2) + self._by_label(found.score)).flatten(1)  # (B, N k)
        order = score.argsort(dim=1, descending=True, stable=True)[:, :k]
        score = score.gather(1, order)
        path = self._by_label(found.path).flatten(1, 2)  # (B, N k, T)
        path = path.gather(1, order.unsqueeze(2).expand(-1, -1, path.shape[2]))
        path = torch.cat([(order // k).unsqueeze(2), path], 2)
        return Ranked(path.masked_fill(torch.isneginf(score).unsqueeze(2), 0), score)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, B, 1 + T) independent samples."""
        require_count(n, "n")
        label = draw(self.label_scores.detach().expand(n, -1, -1), generator)  # (n, B)
        chosen = (torch.arange(len(self.labels), device=label.device) * self.labels.shape[1] + label).flatten()
        path = self.tags.select(chosen).sample(1, generator)[0]
        return torch.cat([label.unsqueeze(2), path.view(*label.shape, path.shape[1])], 2)

    def _chain_of(self, label: Tensor) -> LinearChain:
        rows = torch.arange(len(self.labels), device=label.device)
        return self.tags.select(rows * self.labels.shape[1] + label)

    def _by_label(self, values: Tensor) -> Tensor:
        """(B, N, ...) from (B N, ...)."""
        return values.view(*self.labels.shape, *values.shape[1:])

    def _require_shape(self, target: Tensor) -> None:
        expected = (len(self.labels), 1 + self.tags.scores.shape[1])
        if target.shape != expected:
            raise ValueError(
                f"expected a target of shape {expected}, a label and its tags, found {tuple(target.shape)}"
            )
        label = target[:, 0]
        if len(label) and not 0 <= int(label.min()) <= int(label.max()) < self.labels.shape[1]:
            raise ValueError(f"expected labels from 0 to {self.labels.shape[1] - 1}, found {label.tolist()}")


def _log_softmax(scores: Tensor) -> Tensor:
    """(B, N) log-softmax; -inf, not NaN, for rows of -inf."""
    impossible = torch.isneginf(scores).all(1, keepdim=True)
    return torch.where(impossible, -torch.inf, torch.where(impossible, 0.0, scores).log_softmax(1))
