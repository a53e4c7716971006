"""Joint intent and slots: one encoder, a label for the sentence and a tag for each token, which sees the label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from structseq.data.example import Example
from structseq.evaluation import entity_f1
from structseq.heads.base import Head
from structseq.heads.classifying import ClassifyHead
from structseq.heads.tagging import CrfHead, TagSet
from structseq.padded import Padded
from structseq.spans import PLAIN
from structseq.structures.base import Distribution, Ranked
from structseq.structures.chain import LinearChain


class JointDistribution(Distribution):
    """A label and a tag sequence, each by its own distribution; answers (B, 1 + T) hold the label's number first.

    The tags' distribution was made knowing how probable each label is, not which one is right: given the sentence, the
    two are independent.

    Attributes
    ----------
    label, tags:
        Chains of one step, and of T steps.
    lengths:
        (B,) of the answers: one more than the tokens.
    """

    def __init__(self, label: LinearChain, tags: LinearChain) -> None:
        self.label, self.tags, self.lengths = label, tags, tags.lengths + 1
        self.calibrated = label.calibrated and tags.calibrated

    def log_prob(self, target: Tensor) -> Tensor:
        return self.label.log_prob(target[:, :1]) + self.tags.log_prob(target[:, 1:])

    def best(self) -> Ranked:
        label, tags = self.label.best(), self.tags.best()
        return Ranked(torch.cat([label.path, tags.path], 1), label.score + tags.score)


class JointHead(Head):
    """A label for the sentence and tags under a conditional random field, trained together by the sum of their
    likelihoods; the tags' scores also read the probabilities of the labels (after Goo et al. 2018, "slot-gated", with
    an embedding in the place of the gate).

    Parameters
    ----------
    in_width:
        H.
    tags:
        What to tag with.
    labels:
        What the sentence's label may be.
    costs:
        Of the tags' mistakes; see `CrfHead`.
    pooling:
        See `structseq.heads.classifying.Pooling`.
    label_width:
        Width of the vector of a label that each step's scores read beside its state; 0: the tags do not see the label.
    """

    asks = ("tags", "label")

    def __init__(
        self,
        in_width: int,
        tags: TagSet,
        *,
        labels: Sequence[str],
        costs: Mapping[str, float] | None = None,
        pooling: str = "max",
        label_width: int = 32,
    ) -> None:
        super().__init__()
        self.tags = tags
        self.intent = ClassifyHead(in_width, TagSet(tuple(labels), PLAIN, PLAIN), pooling=pooling)
        self.seen = nn.Linear(len(labels), label_width, bias=False) if label_width else None
        self.slots = CrfHead(in_width + label_width, tags, costs=costs)

    @classmethod
    def gold(cls, example: Example) -> tuple[str, ...]:
        return (example.label, *example.tags)

    def target(self, example: Example) -> list[int] | None:
        label, tags = self.intent.target(example), self.slots.target(example)
        return None if label is None or tags is None else [*label, *tags]

    def forward(self, states: Padded) -> JointDistribution:
        return JointDistribution(self.intent(states), self.slots(self._with_label(states)))

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        return self.intent.loss(states, target[:, :1]) + self.slots.loss(self._with_label(states), target[:, 1:])

    def _with_label(self, states: Padded) -> Padded:
        """(B, T, H + label_width): what each label is like, weighted by its probability, beside every state."""
        if self.seen is None:
            return states
        shares = self.intent.chain(states).scores.softmax(-1)  # (B, 1, labels)
        told = self.seen(shares).expand(-1, states.values.shape[1], -1)
        return states.with_values(torch.cat([states.values, told.to(states.values.dtype)], -1))

    def prepare(self, examples: Sequence[Example]) -> None:
        for part in (self.intent, self.slots):
            part.prepare(examples)

    def calibrate(self, held_out: Callable[[], Iterable[tuple[Distribution, list[Any | None]]]]) -> None:
        """Fit the label's temperature; the tags are learned by likelihood."""

        def labels() -> Iterator[tuple[Distribution, list[Any | None]]]:
            for distribution, targets in held_out():
                assert isinstance(distribution, JointDistribution)
                yield distribution.label, [None if target is None else target[:1] for target in targets]

        self.intent.calibrate(labels)

    # -- deciding -----------------------------------------------------------------------------------------------------

    def decide(self, distribution: Distribution) -> Tensor:
        """(B, 1 + T) label, then tags; of a chain of tags alone, its tags (B, T)."""
        if not isinstance(distribution, JointDistribution):
            return self.slots.decide(distribution)
        return torch.cat([self.intent.decide(distribution.label), self.slots.decide(distribution.tags)], 1)

    def decisions(self) -> Sequence[float]:
        return self.slots.decisions()

    def decide_by(self, way: float) -> None:
        self.slots.decide_by(way)

    def predicted(self, distribution: Distribution) -> list[tuple[str, ...]]:
        assert isinstance(distribution, JointDistribution)
        paths = self.decide(distribution).tolist()
        return self.answers([path[:length] for path, length in zip(paths, distribution.lengths.tolist(), strict=True)])

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        return [(self.intent.tags.labels[path[0]], *self.tags.decode(path[1:])) for path in paths]

    def criterion(self, gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
        """The mean of slot F1 and the share of right labels."""
        labels = sum(one[0] == other[0] for one, other in zip(gold, predicted, strict=True)) / max(len(gold), 1)
        tags = entity_f1([row[1:] for row in gold], [row[1:] for row in predicted], self.tags.outer)
        return (labels + tags) / 2
