"""Base classes of heads."""

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
from structseq.structures.base import BeamSearchable, Distribution

# A function, because a head may read the data more than once. It yields a distribution and its targets for each batch;
# a target is None if unknown.
HeldOut = Callable[[], Iterable[tuple[Distribution, list[Any | None]]]]


class Head(nn.Module, ABC):
    """Turns encoder states (B, T, H) into a distribution over answers: tags, labels or symbols.

    Attributes
    ----------
    Options:
        Options of the ``head`` section. The constructor is called as ``cls(H, tags, **options)``, without ``scheme``.
    task:
        A key of `structseq.tasks.TASKS`, or ``"package.module:Class"``.
    averaging:
        Weight averaging if ``training.average`` is ``auto``: ``"ema"`` (exponential) or ``"mean"`` (polynomial decay).
    learns_length:
        Whether the head learns where an answer ends. If so, the loss of a batch is divided by the average number of
        target symbols per batch instead of its own, so that the symbols of short answers do not count more.
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
        """A head for states (B, T, ``in_width``).

        ``encoder``: the encoder's options; ``labels``: labels of whole sequences, for the joint head; ``frames``: width
        of an input frame, 0 for tokens.
        """
        own = options.options_beyond(HeadOptions)
        own.pop("scheme", None)  # the tag set has it
        return cls(in_width, tags, **own)

    def prepare(self, examples: Sequence[Example]) -> None:
        """Collect statistics of the training examples, once before training; by default nothing."""

    def calibrate(self, held_out: HeldOut) -> None:
        """Fit confidences on held-out data, once after training; by default nothing."""

    @abstractmethod
    def forward(self, states: Padded) -> Distribution:
        """The distribution for each row."""

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        """(B,) training loss of each row; by default -log_prob of the target, in nats."""
        return -self.forward(states).log_prob(target)

    @abstractmethod
    def target(self, example: Example) -> Any | None:
        """The gold answer as numbers; None if the head cannot predict it."""

    def pad(self, targets: Sequence[Any]) -> Tensor:
        """(B, U) targets of a batch, padded with 0; U is the longest."""
        return pad_targets(targets, max(map(len, targets), default=0))

    def embed(self, states: Padded) -> Tensor:
        """(B, width) one vector per sequence; by default the mean of its states."""
        real = states.mask().unsqueeze(-1)
        count = states.lengths.to(states.values.device).clamp(min=1).unsqueeze(1)
        return states.values.masked_fill(~real, 0.0).sum(1) / count

    def decide(self, distribution: Distribution) -> Tensor:
        """(B, T) numbers of the predictions; by default the most probable answers."""
        return distribution.best().path

    def predicted(self, distribution: Any) -> list[Any]:
        """The predictions by name."""
        paths, lengths = self.decide(distribution).tolist(), distribution.lengths.tolist()
        return self.answers([path[:length] for path, length in zip(paths, lengths, strict=True)])

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        """Convert numbers to names."""
        return [self.tags.decode(path) for path in paths]

    def symbols(self) -> Sequence[str]:
        """The symbols of answers. Of tags, those that the model learns; `TagSet.answer_tags` has the files'."""
        return self.tags.labels

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        """For each parameter with an axis of tags, labels or symbols: the names along every axis, None without names.

        They let `--init-from` match the rows of two models.
        """
        return {}


class SequenceHead(Head):
    """A head whose answers can be longer or shorter than the input.

    Symbols are numbered from 1 in the order of ``tags.labels``. Number 0 is the end of an answer, the padding of
    targets, and the blank of CTC.
    """

    task = "transduction"

    def target(self, example: Example) -> list[int] | None:
        return self.numbers(example.target)

    def numbers(self, symbols: Sequence[str]) -> list[int] | None:
        """Numbers of the symbols, from 1; None if one is unknown."""
        numbers = [self.tags.index.get(symbol, -1) + 1 for symbol in symbols]
        return None if 0 in numbers else numbers

    def predicted(self, distribution: Distribution) -> list[tuple[str, ...]]:
        return self.answers(self.decide(distribution).tolist())

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        """Convert numbers to symbols; skips 0."""
        return [tuple([self.tags.labels[number - 1] for number in path if number]) for path in paths]

    def log_probs(self, distribution: Distribution, answers: Sequence[tuple[str, ...]]) -> list[float] | None:
        """Log-probability of each row's answer in nats. A subclass returns None if its distribution has none."""
        numbers = [[self.tags.index[symbol] + 1 for symbol in answer] for answer in answers]
        log_probs: list[float] = distribution.log_prob(self.pad(numbers)).tolist()
        return log_probs

    def ranked(self, distribution: Distribution, k: int, width: int) -> list[list[tuple[str, ...]]]:
        """The ``k`` best answers per row from a beam search of this ``width``, best first; fewer if no more exist.

        Raises `ConfigError` if the distribution has no beam search.
        """
        if not isinstance(distribution, BeamSearchable):
            raise ConfigError(
                f"{type(self).__name__} has no beam search and cannot rank answers; "
                "use head.type ctc, generate or autoencode"
            )
        best = distribution.beam(width, k)
        rows = zip(best.path.tolist(), torch.isfinite(best.score).sum(1).tolist(), strict=True)
        return [self.answers(paths[:count]) for paths, count in rows]


class Tunable(ABC):
    """A head whose decision rule has a parameter, chosen on held-out data."""

    @abstractmethod
    def bias_candidates(self) -> Sequence[float]:
        """Candidates, among them 0, which changes nothing; empty if there is nothing to choose."""

    @abstractmethod
    def set_bias(self, bias: float) -> None:
        """Set the parameter to one of `bias_candidates`."""


def full_precision(scores: Tensor) -> Tensor:
    """Convert bfloat16 and float16 (autocast) to float32; float32 and float64 stay as they are."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
