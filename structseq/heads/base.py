"""Head: states (B, T, H) -> a distribution over answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from structseq.batch import pad_targets
from structseq.data.example import Example
from structseq.data.rows import Axis
from structseq.errors import ConfigError
from structseq.padded import Padded
from structseq.structures.base import Distribution, Searched, Structure


class Head(nn.Module, ABC):
    """Turns states into a distribution over answers, and knows what a gold answer is.

    Attributes
    ----------
    averaging:
        The weight averaging that suits the head's objective: ``"ema"`` or ``"mean"``.
    asks:
        The answers that an example must have for it, by their names in `Example.targets`: ``"tags"``, ``"label"``,
        ``"target"``.
    gives:
        What its answer is: ``"tags"``, ``"label"``, ``"target"`` (a sequence of its own length), or ``"inputs"`` (the
        input again).
    """

    averaging: str = "ema"
    asks: tuple[str, ...] = ("tags",)
    gives: str = "tags"

    @classmethod
    def gold(cls, example: Example) -> tuple[str, ...]:
        """The right answer in the user's own terms: names, one for each token or one for the whole sequence."""
        return example.tags

    def prepare(self, examples: Sequence[Example]) -> None:
        """Count on the training examples what the head needs to know of them; most need nothing."""

    def calibrate(self, held_out: Callable[[], Iterable[tuple[Distribution, list[Any | None]]]]) -> None:
        """Learn on held-out data how sure the scores are, where the objective did not: ``held_out`` gives each batch's
        distribution and targets, anew at each call. Heads trained by likelihood know already."""

    @abstractmethod
    def forward(self, states: Padded) -> Distribution:
        """The distribution to answer from."""

    @abstractmethod
    def loss(self, states: Padded, target: Tensor) -> Tensor:
        """(B,) training loss of each row; in nats where the objective is a likelihood."""

    @abstractmethod
    def target(self, example: Example) -> Any | None:
        """The gold answer as the loss wants it; None when this head cannot represent it (a tag never seen in
        training)."""

    def pad(self, targets: Sequence[Any]) -> Tensor:
        """The targets of a batch as one tensor, as the loss wants them: (B, U) numbers, 0 beyond each one's end."""
        return pad_targets(targets, max(map(len, targets), default=0))

    def embed(self, states: Padded) -> Tensor:
        """(B, width) one vector for each sequence: the mean of its states, unless the head learned a better one."""
        real = states.mask().unsqueeze(-1)
        count = states.lengths.to(states.values.device).clamp(min=1).unsqueeze(1)
        return states.values.masked_fill(~real, 0.0).sum(1) / count

    def predicted(self, distribution: Distribution) -> list[tuple[str, ...]]:
        """The answers that the head decides on, in the user's own terms."""
        assert isinstance(distribution, Structure)
        lengths = distribution.lengths.tolist()
        paths = self.decide(distribution).tolist()
        return self.answers([path[:length] for path, length in zip(paths, lengths, strict=True)])

    @abstractmethod
    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        """Best answers in the user's own terms, from their numbers."""

    def decide(self, distribution: Distribution) -> Tensor:
        """(B, T) the answers' numbers: the most probable ones, unless the head learned to decide otherwise in
        `tune`."""
        return distribution.best().path

    def decisions(self) -> Sequence[float]:
        """Ways of deciding to choose between on held-out data, the neutral one among them; none where there is no
        choice."""
        return ()

    def decide_by(self, way: float) -> None:
        """Decide so from now on; ``way`` is one of `decisions`."""
        raise NotImplementedError(f"{type(self).__name__} has no ways of deciding")

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        """Of each parameter whose entries stand for tags, labels or symbols, the names along its axes."""
        return {}

    def symbols(self) -> Sequence[str]:
        """What its answers are made of, where they are sequences of their own length."""
        return ()

    def log_probs(self, distribution: Distribution, answers: Sequence[tuple[str, ...]]) -> list[float] | None:
        """The log-probability of each row's answer of its own length, in nats; None where the distribution tells
        none."""
        return None

    def ranked(self, distribution: Distribution, k: int, width: int) -> list[list[tuple[str, ...]]]:
        """For each row the ``k`` best answers of their own length that a search of this ``width`` finds, best first;
        fewer where there are fewer.

        Raises `ConfigError` where the distribution is over something else.
        """
        if not isinstance(distribution, Searched):
            raise ConfigError(
                f"a {type(self).__name__} does not search for answers of their own length, and ranks none; "
                "ctc, generate and autoencode do"
            )
        found = distribution.beam(width, k)
        rows = zip(found.path.tolist(), torch.isfinite(found.score).sum(1).tolist(), strict=True)
        return [self.answers(paths[:count]) for paths, count in rows]

    @abstractmethod
    def criterion(self, gold: Sequence[Any], predicted: Sequence[Any]) -> float:
        """The one number that early stopping watches, 0..1, more is better."""
