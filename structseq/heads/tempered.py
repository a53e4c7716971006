"""Heads with a fitted temperature: perceptron, structured SVM and HMM hybrid."""

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
    """Probabilities proportional to exp(score / temperature), with the temperature fitted by likelihood on held-out
    data (Platt 2000; Guo et al. 2017, section 4.2).

    The temperature does not change predictions. Until it is fitted, the distribution is marked as not calibrated.
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
        temperature = self.get_buffer("temperature")
        temperature.zero_()
        batches = [_with_targets(chain, targets) for chain, targets in held_out() if isinstance(chain, LinearChain)]
        if any(len(rows) for _, _, rows in batches):
            temperature.fill_(fitted_temperature(batches))


def _with_targets(chain: LinearChain, targets: list[Any | None]) -> tuple[LinearChain, Tensor, Tensor]:
    """The chain, targets (B, T), and rows with a known target."""
    table = torch.zeros(chain.scores.shape[:2], dtype=torch.int64)
    for row, target in zip(table, targets, strict=True):
        if target is not None:
            row[: len(target)] = torch.as_tensor(target)
    return chain, table, torch.tensor([i for i, target in enumerate(targets) if target is not None], dtype=torch.int64)


def fitted_temperature(batches: list[tuple[LinearChain, Tensor, Tensor]]) -> float:
    """The temperature of maximum likelihood; it is unique, because log-likelihood is concave in 1 / temperature."""
    from scipy.optimize import minimize_scalar  # its import takes half a second, and tagging does not need it

    def loss(exponent: float) -> float:
        temperature = math.exp(exponent)
        with torch.no_grad():
            log_probs = [chain.tempered(temperature).log_prob(target)[rows] for chain, target, rows in batches]
        return -float(torch.cat([part.double() for part in log_probs]).sum())

    bounds = math.log(COLDEST), math.log(HOTTEST)
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3}).x)


class PerceptronHead(TemperedHead, ChainHead):
    """Structured perceptron with averaged weights (Collins 2002)."""

    averaging = "mean"

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        return objectives.perceptron(self.chain(states), target)


class SvmHead(TemperedHead, CrfHead):
    """Structured support vector machine (Tsochantaridis et al. 2005)."""

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        return objectives.structured_svm(self.chain(states), target, self.costs)


class HmmHead(TemperedHead):
    """Hybrid of a network and a hidden Markov model (Bourlard and Morgan 1994, chapter 7).

    Emissions are the network's posteriors divided by the tags' priors: p(x_t | y) is proportional to p(y | x_t) / p(y).
    Transitions are counted on the training data. Each posterior depends on the whole sentence, so evidence is counted
    repeatedly until the temperature is fitted.
    """

    def __init__(self, in_width: int, tags: TagSet, **options: Any) -> None:
        super().__init__(in_width, tags, **options)
        count = len(tags.labels)
        for name, shape in (("prior", (count,)), ("start", (count,)), ("moves", (count, count)), ("end", (count,))):
            self.register_buffer(f"log_{name}", torch.zeros(shape))

    def prepare(self, examples: Sequence[Example]) -> None:
        paths = [path for path in map(self.target, examples) if path]
        priors, start, transitions, end = counts(paths, len(self.tags.labels))
        first, between, last = (part.double() for part in self.legal)
        # Add-one smoothing of all legal transitions; the end counts as a transition.
        outgoing = torch.cat([(transitions + 1) * between, ((end + 1) * last).unsqueeze(1)], 1)
        outgoing = outgoing / outgoing.sum(1, keepdim=True).clamp(min=1)
        initial = (start + 1) * first
        tables = {
            "prior": (priors + 1) / (priors + 1).sum(), "start": initial / initial.sum(),
            "moves": outgoing[:, :-1], "end": outgoing[:, -1],
        }  # fmt: skip
        for name, table in tables.items():
            self.get_buffer(f"log_{name}").copy_(table.log())

    def chain(self, states: Padded) -> LinearChain:
        prior, start, transitions, end = (self.get_buffer(f"log_{name}") for name in ("prior", "start", "moves", "end"))
        legal_start, legal_transitions, legal_end = self.legal
        return LinearChain(
            self.emissions(states).log_softmax(-1) - prior,
            transitions.masked_fill(~legal_transitions, -torch.inf),
            start.masked_fill(~legal_start, -torch.inf),
            end.masked_fill(~legal_end, -torch.inf),
            states.lengths,
        )

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        return cross_entropy(self.emissions(states), states, target)


def counts(paths: Sequence[Sequence[int]], tags: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Counts of tags (K,), first tags (K,), transitions (K, K), last tags (K,); float64."""
    unigrams, start, end = torch.zeros(3, tags, dtype=torch.float64)
    transitions = torch.zeros(tags * tags, dtype=torch.float64)
    for path in paths:
        numbers = torch.as_tensor(path)
        unigrams += torch.bincount(numbers, minlength=tags)
        start[numbers[0]] += 1
        end[numbers[-1]] += 1
        transitions += torch.bincount(numbers[:-1] * tags + numbers[1:], minlength=tags * tags)
    return unigrams, start, transitions.view(tags, tags), end
