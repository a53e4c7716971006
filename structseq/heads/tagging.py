"""Tagging heads, which predict legal tag sequences only: softmax and CRF."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from structseq.config import HeadOptions
from structseq.crf import CRF
from structseq.data.example import Example
from structseq.data.vocabulary import Axis
from structseq.errors import ConfigError
from structseq.heads.base import Tunable, full_precision
from structseq.heads.temperature import TemperedHead
from structseq.padded import Padded
from structseq.spans.tagset import TagSet
from structseq.structures import objectives
from structseq.structures.base import Distribution
from structseq.structures.chain import LinearChain

# Option fields that several heads share
SCHEME: Any = Field(
    "auto",
    description="tag scheme that the model learns: auto (that of the files), BIO or BIOES; predictions have theirs",
)
PROJECTION: Any = Field(
    "linear", description="layer from states to scores; none: the states are the scores of the tags"
)
COSTS: Any = Field({}, description="cost of a mistake, by gold type, tag or O; 1 for all others")
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class TaggingHead(Tunable, TemperedHead):
    """A linear layer to K emission scores, and a linear chain with the scheme's legal transitions.

    With ``projection="none"``, the states are the emission scores; H must be K.
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
                    f"{in_width}; use a unidirectional encoder with encoder.outputs=tags or with that width"
                )
            self.emission = nn.Identity()
        legal = tags.model_scheme.legal(tags.labels)
        for name, table in (("start", legal.start), ("transitions", legal.transitions), ("end", legal.end)):
            self.register_buffer(f"legal_{name}", torch.as_tensor(table), persistent=False)
        # (K,) True for O; all False if tags are not spans
        outside = [not tags.model_scheme.plain and label == "O" for label in tags.labels]
        self.register_buffer("outside", torch.tensor(outside), persistent=False)
        self.register_buffer("outside_bias", torch.zeros(()))
        self.register_buffer("temperature", torch.zeros(()).fill_(self.learns_log_probs))

    def decide(self, distribution: Distribution) -> Tensor:
        """(B, T) best path after ``outside_bias`` nats are subtracted from the scores of O.

        A larger bias gives more entities: higher recall, lower precision.
        """
        return (self.biased(distribution) if isinstance(distribution, LinearChain) else distribution).best().path

    def biased(self, chain: LinearChain) -> LinearChain:
        """The chain with ``outside_bias`` subtracted."""
        bias = float(self.get_buffer("outside_bias"))
        if bias == 0:
            return chain
        return chain.with_scores(chain.scores - bias * self.get_buffer("outside").to(chain.scores.dtype))

    def bias_candidates(self) -> Sequence[float]:
        return self.outside_biases() if bool(self.get_buffer("outside").any()) else ()

    def set_bias(self, bias: float) -> None:
        self.get_buffer("outside_bias").fill_(bias)

    @property
    def legal(self) -> tuple[Tensor, Tensor, Tensor]:
        """Booleans: start (K,), transitions (K, K) [from, to], end (K,)."""
        return self.get_buffer("legal_start"), self.get_buffer("legal_transitions"), self.get_buffer("legal_end")

    @abstractmethod
    def chain(self, states: Padded) -> LinearChain:
        """The chain over legal tag sequences, at temperature 1."""

    def target(self, example: Example) -> list[int] | None:
        return self.tags.encode(example.tags)

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        labels = self.tags.labels
        return {"emission.weight": [labels, None], "emission.bias": [labels]}

    def emissions(self, states: Padded) -> Tensor:
        """(B, T, K) emission scores."""
        return full_precision(self.emission(states.values))


class SoftmaxHead(TaggingHead):
    """Cross entropy of each token in training.

    The distribution is the softmax restricted to legal sequences, so confidences are not those of the softmax.
    """

    def chain(self, states: Padded) -> LinearChain:
        scores = self.emissions(states).log_softmax(-1)
        start, transitions, end = (scores.new_zeros(part.shape).masked_fill(~part, -torch.inf) for part in self.legal)
        return LinearChain(scores, transitions, start, end, states.lengths)

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        return cross_entropy(self.emissions(states), states, target)


class ChainHead(TaggingHead):
    """Base of the heads with learned transition scores (`structseq.CRF`); subclasses choose the loss."""

    def __init__(self, in_width: int, tags: TagSet, *, projection: str = "linear") -> None:
        super().__init__(in_width, tags, projection=projection)
        self.crf = CRF(len(tags.labels), batch_first=True)

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        labels = self.tags.labels
        ends: dict[str, Sequence[Axis]] = {f"crf.{name}_transitions": [labels] for name in ("start", "end")}
        return {**super().named_axes(), **ends, "crf.transitions": [labels, labels]}

    def chain(self, states: Padded) -> LinearChain:
        return self.crf.chain(self.emissions(states), states.lengths, self.legal)


class CrfHead(ChainHead):
    """Linear-chain CRF, trained by maximum likelihood; with ``costs``, by softmax-margin."""

    class Options(TaggingHead.Options):
        costs: dict[str, Cost] = COSTS

    def __init__(
        self, in_width: int, tags: TagSet, *, projection: str = "linear", costs: Mapping[str, float] | None = None
    ) -> None:
        super().__init__(in_width, tags, projection=projection)
        self.register_buffer("cost_table", cost_table(tags, costs) if costs else None, persistent=False)

    @property
    def costs(self) -> Tensor | None:
        """(K, K) [gold, predicted] cost of each mistake; None without the option ``costs``."""
        return self._buffers["cost_table"]

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        if self.costs is None:
            return objectives.negative_log_likelihood(self.chain(states), target)
        return objectives.softmax_margin(self.chain(states), target, self.costs)


def cost_table(tags: TagSet, costs: Mapping[str, float]) -> Tensor:
    """(K, K) [gold, predicted] cost of each mistake: that of the gold tag's type (or of the tag, if O or plain), or 1.

    Raises `ConfigError` for an unknown name, or a cost that is negative, infinite or NaN.
    """
    kinds = tags.types if tags.types else tags.labels
    known = dict.fromkeys((*kinds, *(label for label in tags.labels if label == "O")))
    for name, cost in costs.items():
        if name not in known:
            raise ConfigError(f"head.costs: expected names among {', '.join(known)}, found {name!r}")
        if not 0 <= cost < float("inf"):
            raise ConfigError(f"head.costs: expected a finite cost of at least 0 for {name!r}, found {cost}")
    by_gold = torch.tensor([float(costs.get(tags.kind(label), 1.0)) for label in tags.labels])
    return by_gold.unsqueeze(1) * (1 - torch.eye(len(tags.labels)))


def cross_entropy(emissions: Tensor, states: Padded, target: Tensor) -> Tensor:
    """(B,) cross entropy in nats, summed over each row's tokens."""
    target = target.masked_fill(~states.mask(), -100)  # ignored
    # torch expects the classes on axis 1: (B, K, T).
    return nn.functional.cross_entropy(emissions.transpose(1, 2), target, ignore_index=-100, reduction="none").sum(1)
