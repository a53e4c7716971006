"""Head: states (B, T, H) -> a distribution over answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from structseq.batch import pad_targets
from structseq.config import EncoderOptions, HeadOptions
from structseq.data.example import Example
from structseq.data.vocabulary import Axis
from structseq.padded import Padded
from structseq.spans.tagset import TagSet
from structseq.structures.base import Distribution

# Gives each batch of held-out data as a distribution and its targets (None where unknown), anew at each call.
HeldOut = Callable[[], Iterable[tuple[Distribution, list[Any | None]]]]


class Head(nn.Module, ABC):
    """Turns states into a distribution over answers.

    Attributes
    ----------
    Options:
        Its options in the ``head`` section; by default its constructor takes them by keyword.
    task:
        The question that it answers: a row of `structseq.tasks.TASKS`, or ``"package.module:Class"``.
    averaging:
        The weight averaging that suits its objective: ``"ema"`` or ``"mean"``.
    learns_length:
        Whether how long an answer is, is a part of it. Batches hold rows of one length: their losses are then divided
        by what a batch has on average, not each by its own decisions, which would count short rows more.
    """

    Options: ClassVar[type[HeadOptions]] = HeadOptions
    task: ClassVar[str] = "tagging"
    averaging: ClassVar[str] = "ema"
    learns_length: ClassVar[bool] = False
    tags: TagSet

    @classmethod
    def build(
        cls,
        options: HeadOptions,
        in_width: int,
        tags: TagSet,
        *,
        encoder: EncoderOptions,
        labels: Sequence[str] = (),
        frames: int = 0,
    ) -> Self:
        """The head for states (B, T, ``in_width``).

        Parameters
        ----------
        tags:
            What it answers with: tags, labels or symbols.
        encoder:
            How the states were made.
        labels:
            Of whole sequences, for a head that gives labels beside tags.
        frames:
            Width of the input's frames; 0 for tokens.
        """
        own = options.beyond(HeadOptions)
        own.pop("scheme", None)  # the tags are in it already
        return cls(in_width, tags, **own)

    def prepare(self, examples: Sequence[Example]) -> None:
        """Count on the training examples what the head needs to know of them; most need nothing."""

    def calibrate(self, held_out: HeldOut) -> None:
        """Learn on held-out data how sure the scores are. Heads trained by likelihood know already."""

    @abstractmethod
    def forward(self, states: Padded) -> Distribution:
        """The distribution to answer from."""

    @abstractmethod
    def loss(self, states: Padded, target: Tensor) -> Tensor:
        """(B,) training loss of each row; in nats where the objective is a likelihood."""

    @abstractmethod
    def target(self, example: Example) -> Any | None:
        """The gold answer as the loss takes it; None where this head has no such answer (a tag that training lacks)."""

    def pad(self, targets: Sequence[Any]) -> Tensor:
        """The targets of a batch as one tensor: (B, U) numbers, 0 beyond each one's end."""
        return pad_targets(targets, max(map(len, targets), default=0))

    def embed(self, states: Padded) -> Tensor:
        """(B, width) one vector for each sequence: the mean of its states, unless the head learned a better one."""
        real = states.mask().unsqueeze(-1)
        count = states.lengths.to(states.values.device).clamp(min=1).unsqueeze(1)
        return states.values.masked_fill(~real, 0.0).sum(1) / count

    def decide(self, distribution: Distribution) -> Tensor:
        """(B, T) the numbers of each row's answer: the most probable one, unless the head decides otherwise."""
        return distribution.best().path

    def predicted(self, distribution: Any) -> list[Any]:
        """The answers that the head decides on, by name; the distribution has the rows' ``lengths``."""
        paths, lengths = self.decide(distribution).tolist(), distribution.lengths.tolist()
        return self.answers([path[:length] for path, length in zip(paths, lengths, strict=True)])

    @abstractmethod
    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        """Answers by name, from their numbers."""

    def symbols(self) -> Sequence[str]:
        """What its answers are made of."""
        return self.tags.labels

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        """The names along the axes of each parameter whose entries belong to tags, labels or symbols."""
        return {}


class Tunable(ABC):
    """A head that can decide in several ways; the best one is chosen on held-out data."""

    @abstractmethod
    def decisions(self) -> Sequence[float]:
        """The ways of deciding, the neutral 0 among them; empty where there is no choice."""

    @abstractmethod
    def decide_by(self, way: float) -> None:
        """Decide so from now on; ``way`` is one of `decisions`."""
