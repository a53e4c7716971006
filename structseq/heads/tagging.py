"""Tagging heads: one tag a token, always a legal sequence. What they share, and the CRF."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from structseq.config import HeadOptions
from structseq.crf import CRF
from structseq.data.example import Example
from structseq.data.vocabulary import Axis
from structseq.errors import ConfigError
from structseq.heads.base import Head, Tunable
from structseq.padded import Padded
from structseq.spans.tagset import TagSet
from structseq.structures import objectives
from structseq.structures.base import Distribution
from structseq.structures.chain import LinearChain

# Options that several heads have
SCHEME: Any = Field(
    "auto", description="scheme learned inside: auto (the file's own), BIO, BIOES; answers keep the file's"
)
PROJECTION: Any = Field("linear", description="from states to scores; none: the states are the scores, one a tag")
COSTS: Any = Field({}, description="cost of a mistake where this type, tag or O is right; 1 for all others")

# What O may score less in deciding, in nats; the neutral 0 among them.
WAYS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)


class TaggingHead(Tunable, Head):
    """A linear layer to K emission scores and a linear chain over them, under the scheme's legal transitions.

    Parameters
    ----------
    in_width:
        H.
    tags:
        What to decide between.
    projection:
        ``"linear"``, or ``"none"`` where the states are the emission scores themselves: H must be K.
    """

    class Options(HeadOptions):
        scheme: str = SCHEME
        projection: Literal["linear", "none"] = PROJECTION

    def __init__(self, in_width: int, tags: TagSet, *, projection: str = "linear") -> None:
        super().__init__()
        self.in_width, self.tags = in_width, tags
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
        return self.tags.encode(example.tags)

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        return [self.tags.decode(path) for path in paths]

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        labels = self.tags.labels
        return {"emission.weight": [labels, None], "emission.bias": [labels]}

    def emissions(self, states: Padded) -> Tensor:
        """(B, T, K) in float32 or better, whatever autocast says of the product."""
        scores: Tensor = self.emission(states.values)
        return scores.to(torch.promote_types(scores.dtype, torch.float32))


class ChainHead(TaggingHead):
    """A tagging head that learns a score for each transition too (`structseq.CRF`)."""

    def __init__(self, in_width: int, tags: TagSet, *, projection: str = "linear") -> None:
        super().__init__(in_width, tags, projection=projection)
        self.crf = CRF(len(tags.labels), batch_first=True)

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        labels = self.tags.labels
        edges: dict[str, Sequence[Axis]] = {f"crf.{name}_transitions": [labels] for name in ("start", "end")}
        return {**super().named_axes(), **edges, "crf.transitions": [labels, labels]}

    def chain(self, states: Padded) -> LinearChain:
        return self.crf.chain(self.emissions(states), states.lengths, self.legal)


class CrfHead(ChainHead):
    """Conditional random field, trained by likelihood over the legal sequences; with costs, by softmax-margin.

    Parameters
    ----------
    in_width, tags, projection:
        As in `TaggingHead`.
    costs:
        What it costs to answer wrongly where an entity of a type, a tag, or O is right, by name; 1 for all others.
    """

    class Options(TaggingHead.Options):
        costs: dict[str, float] = COSTS

    def __init__(
        self, in_width: int, tags: TagSet, *, projection: str = "linear", costs: Mapping[str, float] | None = None
    ) -> None:
        super().__init__(in_width, tags, projection=projection)
        self.register_buffer("cost_table", cost_table(tags, costs) if costs else None, persistent=False)

    @property
    def mistakes(self) -> Tensor | None:
        """(K, K) [right, answered] what each mistake costs; None where nothing was said of costs."""
        return self._buffers["cost_table"]

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        if self.mistakes is None:
            return objectives.negative_log_likelihood(self.chain(states), target)
        return objectives.softmax_margin(self.chain(states), target, self.mistakes)


def cost_table(tags: TagSet, costs: Mapping[str, float]) -> Tensor:
    """(K, K) [right, answered] cost of each mistake: that named for the right tag's type (or tag), else 1; 0 for a
    right answer.

    Raises `ConfigError` for an unknown name, and for a cost below 0.
    """
    kinds = tags.types if tags.types else tags.labels
    known = dict.fromkeys((*kinds, *(label for label in tags.labels if label == "O")))
    for name, cost in costs.items():
        if name not in known:
            raise ConfigError(f"head.costs: expected names among {', '.join(known)}, found {name!r}")
        if not 0 <= cost < float("inf"):
            raise ConfigError(f"head.costs: expected a cost from 0 on for {name!r}, found {cost}")
    each = torch.tensor([float(costs.get(tags.kind(label), 1.0)) for label in tags.labels])
    return each.unsqueeze(1) * (1 - torch.eye(len(tags.labels)))
