"""Heads trained token by token and decoded as sequences: softmax, and the hybrid with a hidden Markov model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from structseq.data.example import Example
from structseq.heads.tagging import TaggingHead
from structseq.heads.tempered import TemperedHead
from structseq.padded import Padded
from structseq.spans.tagset import TagSet
from structseq.structures.chain import LinearChain


def cross_entropy(emissions: Tensor, states: Padded, target: Tensor) -> Tensor:
    """(B,) -log softmax of the target tags, summed over each row's tokens; in nats."""
    target = target.masked_fill(~states.mask(), -100)
    return nn.functional.cross_entropy(emissions.transpose(1, 2), target, ignore_index=-100, reduction="none").sum(1)


class SoftmaxHead(TaggingHead):
    """Tags independent in training; the answer is the best legal sequence."""

    def chain(self, states: Padded) -> LinearChain:
        scores = self.emissions(states).log_softmax(-1)
        start, moves, end = (scores.new_zeros(part.shape).masked_fill(~part, -torch.inf) for part in self.legal)
        return LinearChain(scores, moves, start, end, states.lengths)

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        return cross_entropy(self.emissions(states), states, target)


class HmmHead(TemperedHead):
    """The hybrid of network and hidden Markov model (Bourlard and Morgan 1994, chapter 7): emission probabilities are
    the network's posteriors over the tags' priors, transitions are counted on the training data, Viterbi decodes.

    p(x_t | y) is proportional to p(y | x_t) / p(y). The network reads the whole sentence at each step, so that evidence
    counts more than once; a temperature must be fitted before the product is a calibrated posterior.
    """

    def __init__(self, in_width: int, tags: TagSet, **options: Any) -> None:
        super().__init__(in_width, tags, **options)
        count = len(tags.labels)
        for name, shape in (("prior", (count,)), ("start", (count,)), ("moves", (count, count)), ("end", (count,))):
            self.register_buffer(f"log_{name}", torch.zeros(shape))

    def prepare(self, examples: Sequence[Example]) -> None:
        paths = [path for path in map(self.target, examples) if path]
        priors, start, moves, end = counts(paths, len(self.tags.labels))
        first, between, last = (part.double() for part in self.legal)
        # Laplace's counts: one more of everything legal; the end counts as a transition.
        onward = torch.cat([(moves + 1) * between, ((end + 1) * last).unsqueeze(1)], 1)
        onward = onward / onward.sum(1, keepdim=True).clamp(min=1)
        opening = (start + 1) * first
        tables = {
            "prior": (priors + 1) / (priors + 1).sum(), "start": opening / opening.sum(),
            "moves": onward[:, :-1], "end": onward[:, -1],
        }  # fmt: skip
        for name, table in tables.items():
            self.get_buffer(f"log_{name}").copy_(table.log())

    def chain(self, states: Padded) -> LinearChain:
        prior, start, moves, end = (self.get_buffer(f"log_{name}") for name in ("prior", "start", "moves", "end"))
        legal_start, legal_moves, legal_end = self.legal
        return LinearChain(
            self.emissions(states).log_softmax(-1) - prior,
            moves.masked_fill(~legal_moves, -torch.inf),
            start.masked_fill(~legal_start, -torch.inf),
            end.masked_fill(~legal_end, -torch.inf),
            states.lengths,
        )

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        return cross_entropy(self.emissions(states), states, target)


def counts(paths: Sequence[Sequence[int]], tags: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Counts of tags (K,), first tags (K,), transitions (K, K) and last tags (K,); float64."""
    each, start, end = torch.zeros(3, tags, dtype=torch.float64)
    moves = torch.zeros(tags * tags, dtype=torch.float64)
    for path in paths:
        numbers = torch.as_tensor(path)
        each += torch.bincount(numbers, minlength=tags)
        start[numbers[0]] += 1
        end[numbers[-1]] += 1
        moves += torch.bincount(numbers[:-1] * tags + numbers[1:], minlength=tags * tags)
    return each, start, moves.view(tags, tags), end
