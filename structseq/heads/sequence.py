"""SequenceHead: an answer is a sequence of symbols with its own length."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from structseq.data.example import Example
from structseq.errors import ConfigError
from structseq.heads.base import Head
from structseq.structures.base import Distribution, Searched


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
