"""Heads whose confidences need a fitted temperature: perceptron, structured SVM, and the HMM hybrid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from structseq.data.example import Example
from structseq.heads.base import HeldOut
from structseq.heads.tagging import ChainHead, CrfHead, TaggingHead, cross_entropy
from structseq.padded import Padded
from structseq.spans.tagset import TagSet
from structseq.structures import objectives
from structseq.structures.chain import LinearChain

# Bounds of the temperature
COLDEST, HOTTEST = 1e-3, 1e3


class TemperedHead(TaggingHead):
    """A head whose probabilities are those of exp(score / temperature), with the temperature fitted by likelihood on
    held-out data (Platt 2000; Guo et al. 2017, section 4.2).

    The temperature changes no answer. Until it is fitted, the distribution is marked as not calibrated.
    """

    def __init__(self, in_width: int, tags: TagSet, **options: Any) -> None:
        super().__init__(in_width, tags, **options)
        self.register_buffer("temperature", torch.zeros(()))  # 0: not fitted

    def forward(self, states: Padded) -> LinearChain:
        chain, temperature = self.chain(states), float(self.get_buffer("temperature"))
        if temperature:
            chain = chain.tempered(temperature)
        chain.calibrated = temperature > 0
        return chain

    def calibrate(self, held_out: HeldOut) -> None:
        kept = self.get_buffer("temperature")
        kept.zero_()
        known = [_with_targets(chain, targets) for chain, targets in held_out() if isinstance(chain, LinearChain)]
        if any(len(rows) for _, _, rows in known):
            kept.fill_(fitted_temperature(known))


def _with_targets(chain: LinearChain, targets: list[Any | None]) -> tuple[LinearChain, Tensor, Tensor]:
    """The chain, targets (B, T), and the rows whose target is known."""
    table = torch.zeros(chain.scores.shape[:2], dtype=torch.int64)
    for row, target in zip(table, targets, strict=True):
        if target is not None:
            row[: len(target)] = torch.as_tensor(target)
    return chain, table, torch.tensor([i for i, target in enumerate(targets) if target is not None], dtype=torch.int64)


def fitted_temperature(known: list[tuple[LinearChain, Tensor, Tensor]]) -> float:
    """The temperature that maximises the likelihood of targets (B, T) on the given rows, by Brent's bounded search.

    The likelihood is concave in 1 / temperature, so the maximum is unique.
    """
    from scipy.optimize import minimize_scalar  # its import takes half a second, and tagging does not need it

    def loss(exponent: float) -> float:
        temperature = math.exp(exponent)
        with torch.no_grad():
            each = [chain.tempered(temperature).log_prob(target)[rows] for chain, target, rows in known]
        return -float(torch.cat([part.double() for part in each]).sum())

    bounds = math.log(COLDEST), math.log(HOTTEST)
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3}).x)


class PerceptronHead(TemperedHead, ChainHead):
    """A chain trained as a structured perceptron (Collins 2002), averaged over updates."""

    averaging = "mean"

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        return objectives.perceptron(self.chain(states), target)


class SvmHead(TemperedHead, CrfHead):
    """A chain trained as a structured support vector machine (Tsochantaridis et al. 2005)."""

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        return objectives.structured_svm(self.chain(states), target, self.mistakes)


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
