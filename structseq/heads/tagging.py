"""Tagging heads: one tag a token, always a legal sequence. What they share, and the CRF."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from structseq.crf import CRF
from structseq.data.example import Example
from structseq.data.rows import Axis
from structseq.errors import ConfigError, DataError
from structseq.evaluation import entity_f1
from structseq.heads.base import Head
from structseq.padded import Padded
from structseq.spans import PLAIN, Scheme, scheme_of
from structseq.structures import objectives
from structseq.structures.base import Distribution
from structseq.structures.chain import EdgePattern, LinearChain

# What O may score less in deciding, in nats; the neutral 0 among them.
WAYS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)


@dataclass(frozen=True)
class TagSet:
    """The tags a head decides between, and how they relate to the user's own.

    Attributes
    ----------
    labels:
        The K tags learned inside, in the scheme ``inner``; their place is their number.
    outer:
        The scheme of the user's files, in which answers are given.
    inner:
        The scheme learned inside.
    """

    labels: tuple[str, ...]
    outer: Scheme
    inner: Scheme

    @staticmethod
    def of(sequences: Iterable[Sequence[str]], outer: Scheme, inner: str = "auto") -> TagSet:
        """The closed inventory that training data needs, in the scheme asked for.

        A scheme can be changed inside only where nothing is lost: plain tags stay plain, and IO stays IO.
        """
        sequences = list(sequences)
        seen = {tag for tags in sequences for tag in tags}
        if not seen:
            raise DataError("expected at least one tag, label or symbol to learn from, found none")
        learned = outer if inner == "auto" else scheme_of(inner)
        if (outer == PLAIN) != (learned == PLAIN) or (outer.name == "IO") != (learned.name == "IO"):
            if learned == PLAIN and outer != PLAIN:
                raise ConfigError(f"head.scheme: the files are in {outer}, and plain tags cannot stand for its spans")
            learned = outer
        if learned != outer:
            seen = {tag for tags in sequences for tag in learned.encode(outer.decode(tags), len(tags))}
        return TagSet(learned.complete(seen, minimal=True), outer, learned)

    @cached_property
    def number(self) -> dict[str, int]:
        return {label: k for k, label in enumerate(self.labels)}

    def encode(self, tags: Sequence[str]) -> list[int] | None:
        """Numbers of ``tags`` (in the user's scheme); None when one of them is not known here, or their sequence is
        illegal."""
        if self.outer.violations(tags):
            return None
        if self.inner != self.outer:
            tags = self.inner.encode(self.outer.decode(tags), len(tags))
        numbers = [self.number.get(tag, -1) for tag in tags]
        return None if -1 in numbers else numbers

    def decode(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Tags in the user's scheme."""
        labels = self.labels
        if self.direct is not None:
            labels = self.direct
        tags = tuple([labels[k] for k in numbers])
        if self.direct is None:
            return self.outer.encode(self.inner.decode(tags), len(tags))
        return tags

    @cached_property
    def direct(self) -> tuple[str, ...] | None:
        """The user's tag for each of ours where that does not depend on the neighbours: same scheme, or BIOES seen as
        BIO."""
        if self.inner == self.outer:
            return self.labels
        if self.inner.name != "BIOES" or self.outer.name != "BIO":
            return None
        whole = []
        for label in self.labels:
            spans = self.inner.decode([label])
            opens = any(label == self.inner.tag(letter, t) for letter in "BS" for t in self.types)
            whole.append(self.outer.tag("B" if opens else "I", spans[0].label) if spans else label)
        return tuple(whole)

    @cached_property
    def types(self) -> tuple[str, ...]:
        """Entity types, in order; empty for plain tags."""
        return () if self.inner == PLAIN else tuple(self.inner.types(self.labels))

    def costs(self, named: Mapping[str, float]) -> Tensor:
        """(K, K) [right, answered] cost of each mistake: what is named (an entity type, a tag) of the right tag, else
        1; 0 for what is right.

        Raises `ConfigError` for a name that is none of the tags' or types', and for a cost below 0.
        """
        kinds = self.types if self.types else self.labels
        known = dict.fromkeys((*kinds, *(label for label in self.labels if label == "O")))
        for name, cost in named.items():
            if name not in known:
                raise ConfigError(f"head.costs: expected names among {', '.join(known)}, found {name!r}")
            if not 0 <= cost < float("inf"):
                raise ConfigError(f"head.costs: expected a cost from 0 on for {name!r}, found {cost}")
        each = torch.tensor([float(named.get(self.kind(label), 1.0)) for label in self.labels])
        return each.unsqueeze(1) * (1 - torch.eye(len(self.labels)))

    def kind(self, label: str) -> str:
        """The entity type of a tag, or the tag itself where it is of none."""
        spans = () if self.inner == PLAIN else self.inner.decode([label])
        return spans[0].label if spans else label

    def patterns(self) -> list[EdgePattern]:
        """For each of `types`, the edges that open, continue and close it."""
        edges = [self.inner.edges(self.labels, label) for label in self.types]
        return [EdgePattern(e.first, e.begins, e.continues, e.ends, e.last) for e in edges]


class TaggingHead(Head):
    """A linear layer to K emission scores and a linear chain over them, under the scheme's legal transitions.

    Parameters
    ----------
    in_width:
        H.
    tags:
        What to decide between.
    costs:
        For heads whose objective knows costs: what it costs to answer wrongly where an entity of a type, a tag, or O is
        right, by name; 1 for what is not named.
    projection:
        ``"linear"``, or ``"none"`` where the states are the emission scores themselves: H must be K.
    """

    # Whether the objective knows costs of mistakes.
    knows_costs = False

    def __init__(
        self, in_width: int, tags: TagSet, *, costs: Mapping[str, float] | None = None, projection: str = "linear"
    ) -> None:
        super().__init__()
        self.in_width, self.tags = in_width, tags
        if costs and not self.knows_costs:
            raise ConfigError(
                f"head.costs: a {type(self).__name__} learns without costs; use head.type crf or svm, or leave them out"
            )
        self.emission: nn.Module = nn.Linear(in_width, len(tags.labels))
        if projection == "none":
            if in_width != len(tags.labels):
                raise ConfigError(
                    f"head.projection none: expected states as wide as there are tags, {len(tags.labels)}, found "
                    f"{in_width}; use an encoder that reads one way, with encoder.outputs=tags or that width"
                )
            self.emission = nn.Identity()
        legal = tags.inner.legal(tags.labels)
        for name, table in (("start", legal.start), ("transitions", legal.transitions), ("end", legal.end)):
            self.register_buffer(f"legal_{name}", torch.as_tensor(table), persistent=False)
        outside = [not tags.inner.plain and label == "O" for label in tags.labels]
        self.register_buffer("outside", torch.tensor(outside), persistent=False)
        self.register_buffer("outside_bias", torch.zeros(()))

    def decide(self, distribution: Distribution) -> Tensor:
        """The best path when O scores ``outside_bias`` nats less than it was learned to.

        Likelihood makes a tagger of rare things cautious: what is 45 % an entity is left out, although F1 would gain.
        The bias moves the decision alone; probabilities and confidences stay those of the distribution.
        """
        return (self.biased(distribution) if isinstance(distribution, LinearChain) else distribution).best().path

    def biased(self, chain: LinearChain) -> LinearChain:
        """The chain that decisions are made by."""
        bias = float(self.get_buffer("outside_bias"))
        if bias == 0:
            return chain
        return chain.with_scores(chain.scores - bias * self.get_buffer("outside").to(chain.scores.dtype))

    def decisions(self) -> Sequence[float]:
        return WAYS if bool(self.get_buffer("outside").any()) else ()

    def decide_by(self, way: float) -> None:
        self.get_buffer("outside_bias").fill_(way)

    @property
    def legal(self) -> tuple[Tensor, Tensor, Tensor]:
        """Booleans start (K,), transitions (K, K) [from, to], end (K,)."""
        return self.get_buffer("legal_start"), self.get_buffer("legal_transitions"), self.get_buffer("legal_end")

    @abstractmethod
    def chain(self, states: Padded) -> LinearChain:
        """The legal sequences by their learned scores."""

    def forward(self, states: Padded) -> LinearChain:
        return self.chain(states)

    def target(self, example: Example) -> list[int] | None:
        return self.tags.encode(self.gold(example))

    def criterion(self, gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
        return entity_f1(gold, predicted, self.tags.outer)

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        return [self.tags.decode(path) for path in paths]

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        labels = self.tags.labels
        return {"emission.weight": [labels, None], "emission.bias": [labels]}

    def emissions(self, states: Padded) -> Tensor:
        """(B, T, K) in float32 or better, whatever autocast says of the product."""
        scores: Tensor = self.emission(states.values)
        return scores.to(torch.promote_types(scores.dtype, torch.float32))


class CrfHead(TaggingHead):
    """Conditional random field, trained by likelihood over the legal sequences; with costs, by softmax-margin."""

    knows_costs = True

    def __init__(
        self, in_width: int, tags: TagSet, *, costs: Mapping[str, float] | None = None, projection: str = "linear"
    ) -> None:
        super().__init__(in_width, tags, costs=costs, projection=projection)
        self.crf = CRF(len(tags.labels), batch_first=True)
        self.register_buffer("cost_table", tags.costs(costs) if costs else None, persistent=False)

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        labels = self.tags.labels
        edges: dict[str, Sequence[Axis]] = {f"crf.{name}_transitions": [labels] for name in ("start", "end")}
        return {**super().named_axes(), **edges, "crf.transitions": [labels, labels]}

    @property
    def mistakes(self) -> Tensor | None:
        """(K, K) [right, answered] what each mistake costs; None where nothing was said of costs."""
        return self._buffers["cost_table"]

    def chain(self, states: Padded) -> LinearChain:
        return self.crf.chain(self.emissions(states), states.lengths, self.legal)

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        if self.mistakes is None:
            return objectives.negative_log_likelihood(self.chain(states), target)
        return objectives.softmax_margin(self.chain(states), target, self.mistakes)
