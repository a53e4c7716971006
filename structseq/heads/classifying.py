"""Classification: one label per sequence."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from pydantic import Field
from torch import Tensor, nn

from structseq.config import HeadOptions
from structseq.data.example import Example
from structseq.errors import ConfigError
from structseq.heads.tagging import PROJECTION, TaggingHead, cross_entropy
from structseq.padded import Padded
from structseq.spans.tagset import TagSet
from structseq.structures.chain import LinearChain

PoolingName = Literal["attention", "last", "max", "mean"]


class Pooling(nn.Module):
    """Pools states (B, T, H) to vectors (B, width); zeros for an empty row.

    last: the first and the last state concatenated, because the two directions end there; mean, max: over the steps;
    attention: mean with the weights softmax(v tanh(W h + b)) (Yang et al. 2016, section 2.2).
    """

    def __init__(self, kind: PoolingName, in_width: int) -> None:
        super().__init__()
        if kind not in (known := get_args(PoolingName)):
            raise ConfigError(f"head.pooling: expected one of {', '.join(known)}, found {kind!r}")
        self.kind, self.width = kind, 2 * in_width if kind == "last" else in_width
        if kind == "attention":
            self.looked_at, self.weight = nn.Linear(in_width, in_width), nn.Linear(in_width, 1, bias=False)

    def forward(self, states: Padded) -> Tensor:
        values, lengths = states.values, states.lengths.to(states.values.device)
        if values.shape[1] == 0:
            return values.new_zeros(values.shape[0], self.width)
        real = states.mask().unsqueeze(-1)  # (B, T, 1)
        values = values.masked_fill(~real, 0.0)
        if self.kind == "last":
            last = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, values.shape[2])
            return torch.cat([values[:, 0], values.gather(1, last).squeeze(1)], -1)
        if self.kind == "mean":
            return values.sum(1) / lengths.clamp(min=1).unsqueeze(1)
        if self.kind == "max":
            highest = values.masked_fill(~real, -torch.inf).amax(1)
            return torch.where((lengths > 0).unsqueeze(1), highest, torch.zeros_like(highest))
        return (self.weights(states) * values).sum(1)

    def weights(self, states: Padded) -> Tensor:
        """(B, T, 1) attention weights; each row sums to 1, padding has 0."""
        real = states.mask().unsqueeze(-1)
        scores = self.weight(torch.tanh(self.looked_at(states.values.masked_fill(~real, 0.0))))
        lowest = torch.finfo(scores.dtype).min
        return scores.masked_fill(~real, lowest).softmax(1) * real


class ClassifyHead(TaggingHead):
    """Softmax over the labels of a sequence, from pooled states; the distribution is a chain of one step."""

    class Options(HeadOptions):
        projection: Literal["linear", "none"] = PROJECTION
        pooling: PoolingName = Field("max", description="how a sequence becomes one vector")

    task = "classification"

    def __init__(
        self, in_width: int, tags: TagSet, *, projection: str = "linear", pooling: PoolingName = "max"
    ) -> None:
        pool = Pooling(pooling, in_width)
        super().__init__(pool.width, tags, projection=projection)
        self.in_width, self.pooling = in_width, pool

    def target(self, example: Example) -> list[int] | None:
        return self.tags.encode((example.label,))

    def embed(self, states: Padded) -> Tensor:
        vectors: Tensor = self.pooling(states)
        return vectors

    def pooled(self, states: Padded) -> Padded:
        """(B, 1, width) pooled states as one step per row."""
        vectors: Tensor = self.pooling(states)
        return Padded(vectors.unsqueeze(1), torch.ones(len(vectors), dtype=torch.int64))

    def chain(self, states: Padded) -> LinearChain:
        one = self.pooled(states)
        scores = self.emissions(one)
        count = scores.shape[2]
        flat = scores.new_zeros(count)
        return LinearChain(scores, scores.new_zeros(count, count), flat, flat, one.lengths)

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        one = self.pooled(states)
        return cross_entropy(self.emissions(one), one, target)
