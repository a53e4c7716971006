"""Joint intent and slots: one label per sentence and one tag per token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from structseq.config import HeadOptions
from structseq.data.example import Example
from structseq.data.vocabulary import Axis
from structseq.errors import ConfigError
from structseq.heads.base import Tunable
from structseq.heads.classifying import Pooling, PoolingName
from structseq.heads.tagging import COSTS, SCHEME, Cost, CrfHead
from structseq.heads.temperature import TemperedHead
from structseq.padded import Padded
from structseq.spans.tagset import TagSet
from structseq.structures import objectives
from structseq.structures.base import Distribution
from structseq.structures.chain import LinearChain
from structseq.structures.triangular import TriangularChain


class JointHead(Tunable, TemperedHead):
    """A triangular-chain conditional random field over label and tags (Jeong and Lee 2008).

    Pooled states score the labels, each state scores its tags, a table scores pairs of label and tag. Trained by the
    joint likelihood.
    """

    class Options(HeadOptions):
        scheme: str = SCHEME
        pooling: PoolingName = Field("attention", description="how a sequence becomes one vector")
        costs: dict[str, Cost] = COSTS

    task = "joint"
    temperature_buffer = "slots.temperature"

    def __init__(
        self,
        in_width: int,
        tags: TagSet,
        *,
        labels: Sequence[str],
        costs: Mapping[str, float] | None = None,
        pooling: PoolingName = "attention",
    ) -> None:
        super().__init__()
        self.tags, self.labels = tags, tuple(labels)
        self.pooling = Pooling(pooling, in_width)
        self.label = nn.Linear(self.pooling.width, len(self.labels))
        self.slots = CrfHead(in_width, tags, costs=costs)
        self.suits = nn.Parameter(torch.zeros(len(self.labels), len(tags.labels)))  # (N, K) added to a tag's score

    @classmethod
    def build(cls, options: HeadOptions, in_width: int, tags: TagSet, *, labels: Sequence[str] = (), **_: Any) -> Self:
        if not labels:
            raise ConfigError("head.type joint: expected labels of whole sentences, found none; use head.type crf")
        own = options.options_beyond(HeadOptions)
        del own["scheme"]
        return cls(in_width, tags, labels=labels, **own)

    def target(self, example: Example) -> list[int] | None:
        tags = self.slots.target(example)
        return None if tags is None or example.label not in self.labels else [self.labels.index(example.label), *tags]

    def embed(self, states: Padded) -> Tensor:
        vectors: Tensor = self.pooling(states)
        return vectors

    def chain(self, states: Padded) -> TriangularChain:
        labels: Tensor = self.label(self.pooling(states))
        scores = self.slots.emissions(states).unsqueeze(1) + self.suits.unsqueeze(1)  # (B, N, T, K)
        lengths = states.lengths.repeat_interleave(len(self.labels))
        return TriangularChain(labels, self.slots.crf.chain(scores.flatten(0, 1), lengths, self.slots.legal))

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        """(B,) -log_prob of label and tags (B, 1 + T) in nats; with costs, cost-augmented."""
        chain, costs = self.chain(states), self.slots.costs
        if costs is not None:
            tags = target[:, 1:].repeat_interleave(len(self.labels), 0)
            augmented = objectives.cost_augmented(chain.tags, tags, costs)
            assert isinstance(augmented, LinearChain)
            chain = chain.with_tags(augmented)
        return -chain.log_prob(target)

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        slots = {f"slots.{name}": own for name, own in self.slots.named_axes().items()}
        label: dict[str, Sequence[Axis]] = {"label.weight": [self.labels, None], "label.bias": [self.labels]}
        return {**slots, **label, "suits": [self.labels, self.tags.labels]}

    def decide(self, distribution: Distribution) -> Tensor:
        """(B, 1 + T) label, then tags as in `TaggingHead.decide`."""
        assert isinstance(distribution, TriangularChain)
        return distribution.with_tags(self.slots.biased(distribution.tags)).best().path

    def bias_candidates(self) -> Sequence[float]:
        return self.slots.bias_candidates()

    def set_bias(self, bias: float) -> None:
        self.slots.set_bias(bias)

    def predicted(self, distribution: Any) -> list[tuple[str, ...]]:
        paths, lengths = self.decide(distribution).tolist(), distribution.lengths.tolist()
        return self.answers([path[: 1 + n] for path, n in zip(paths, lengths, strict=True)])

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        return [(self.labels[path[0]], *self.tags.decode(path[1:])) for path in paths]
