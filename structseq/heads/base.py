"""Head: states (B, T, H) -> a distribution over answers; SequenceHead, for answers of their own length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from structseq.batch import pad_targets
from structseq.config import EncoderOptions, HeadOptions
from structseq.data.example import Example
from structseq.data.vocabulary import Axis
from structseq.errors import ConfigError
from structseq.padded import Padded
from structseq.spans.tagset import TagSet
from structseq.structures.base import Distribution, Searched

# Each call yields the batches of held-out data: a distribution and its targets (None if unknown).
HeldOut = Callable[[], Iterable[tuple[Distribution, list[Any | None]]]]


class Head(nn.Module, ABC):
    """Turns states into a distribution over answers.

    Attributes
    ----------
    Options:
        Its options in the ``head`` section. The constructor takes H, the tag set and, by keyword, these options.
    task:
        A row of `structseq.tasks.TASKS`, or ``"package.module:Class"``.
    averaging:
        The weight averaging that suits its objective: ``"ema"`` or ``"mean"``.
    learns_length:
        Whether the length of an answer is learned too. The loss of a batch is then divided by the average number of
        decisions in a batch instead of its own, so that short rows do not count more.
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
        """The head for states (B, T, ``in_width``) of an encoder with these options.

        ``tags`` holds the tags, labels or symbols of its answers; ``labels`` are those of whole sequences, for a head
        that gives them beside tags; ``frames`` is the width of frames, 0 for tokens.
        """
        own = options.beyond(HeadOptions)
        own.pop("scheme", None)  # the tag set has it
        return cls(in_width, tags, **own)

    def prepare(self, examples: Sequence[Example]) -> None:
        """Count on the training examples what the head needs; most heads need nothing."""

    def calibrate(self, held_out: HeldOut) -> None:
        """Fit confidences on held-out data; heads trained by likelihood need nothing."""

    @abstractmethod
    def forward(self, states: Padded) -> Distribution:
        """The distribution over answers of each row."""

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        """(B,) training loss of each row: by default -log_prob of the target, in nats."""
        return -self.forward(states).log_prob(target)

    @abstractmethod
    def target(self, example: Example) -> Any | None:
        """The gold answer as the loss takes it; None if the head cannot give it (for example, an unknown tag)."""

    def pad(self, targets: Sequence[Any]) -> Tensor:
        """(B, U) the targets of a batch, 0 beyond each one's end."""
        return pad_targets(targets, max(map(len, targets), default=0))

    def embed(self, states: Padded) -> Tensor:
        """(B, width) one vector for each sequence: by default the mean of its states."""
        real = states.mask().unsqueeze(-1)
        count = states.lengths.to(states.values.device).clamp(min=1).unsqueeze(1)
        return states.values.masked_fill(~real, 0.0).sum(1) / count

    def decide(self, distribution: Distribution) -> Tensor:
        """(B, T) the numbers of each row's answer: by default of the most probable one."""
        return distribution.best().path

    def predicted(self, distribution: Any) -> list[Any]:
        """The answers by name; the distribution has the rows' ``lengths``."""
        paths, lengths = self.decide(distribution).tolist(), distribution.lengths.tolist()
        return self.answers([path[:length] for path, length in zip(paths, lengths, strict=True)])

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        """Answers by name, from their numbers."""
        return [self.tags.decode(path) for path in paths]

    def symbols(self) -> Sequence[str]:
        """The symbols of its answers."""
        return self.tags.labels

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        """The names along the axes of each parameter whose entries belong to tags, labels or symbols."""
        return {}


class SequenceHead(Head):
    """A head whose answers have their own length.

    A symbol's number is that of its label plus 1; number 0 ends an answer (or is the blank of CTC), so that targets
    need no lengths.
    """

    task = "transduction"

    def target(self, example: Example) -> list[int] | None:
        return self.numbers(example.target)

    def numbers(self, symbols: Sequence[str]) -> list[int] | None:
        """The symbols' numbers, from 1; None if one is unknown."""
        numbers = [self.tags.number.get(symbol, -1) + 1 for symbol in symbols]
        return None if 0 in numbers else numbers

    def predicted(self, distribution: Distribution) -> list[tuple[str, ...]]:
        return self.answers(self.decide(distribution).tolist())

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        """Symbols, from numbers; 0 is left out."""
        return [tuple([self.tags.labels[number - 1] for number in path if number]) for path in paths]

    def log_probs(self, distribution: Distribution, answers: Sequence[tuple[str, ...]]) -> list[float] | None:
        """The exact log-probability of each row's answer, in nats; None if the distribution has none."""
        numbers = [[self.tags.number[symbol] + 1 for symbol in answer] for answer in answers]
        found: list[float] = distribution.log_prob(self.pad(numbers)).tolist()
        return found

    def ranked(self, distribution: Distribution, k: int, width: int) -> list[list[tuple[str, ...]]]:
        """For each row the ``k`` best answers of a search of this ``width``, best first, or as many as exist.

        Raises `ConfigError` if the distribution cannot be searched.
        """
        if not isinstance(distribution, Searched):
            raise ConfigError(
                f"a {type(self).__name__} does not search for answers of their own length, and ranks none; "
                "ctc, generate and autoencode do"
            )
        found = distribution.beam(width, k)
        rows = zip(found.path.tolist(), torch.isfinite(found.score).sum(1).tolist(), strict=True)
        return [self.answers(paths[:count]) for paths, count in rows]


class Tunable(ABC):
    """A head with several ways to decide; the best one is chosen on held-out data."""

    @abstractmethod
    def decisions(self) -> Sequence[float]:
        """The ways to decide, with the neutral 0; empty if there is no choice."""

    @abstractmethod
    def decide_by(self, way: float) -> None:
        """Decide in this way from now on, one of `decisions`."""


def full_precision(scores: Tensor) -> Tensor:
    """The scores in float32 or better; autocast may have computed them in less."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
