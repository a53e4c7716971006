"""Heads whose scores are no log-probabilities before a temperature is fitted: perceptron, SVM and HMM hybrid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from structseq.data.example import Example
from structseq.heads.tagging import ChainHead, CrfHead, TaggingHead, cross_entropy
from structseq.padded import Padded
from structseq.spans.tagset import TagSet
from structseq.structures import objectives
from structseq.structures.chain import LinearChain


class PerceptronHead(ChainHead):
    """Structured perceptron with averaged weights (Collins 2002)."""

    learns_log_probs = False
    averaging = "mean"

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        return objectives.perceptron(self.chain(states), target)


class SvmHead(CrfHead):
    """Structured support vector machine (Tsochantaridis et al. 2005)."""

    learns_log_probs = False

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        return objectives.structured_svm(self.chain(states), target, self.costs)


class HmmHead(TaggingHead):
    """Hybrid of a network and a hidden Markov model (Bourlard and Morgan 1994, chapter 7).

    Emissions are the network's posteriors divided by the tags' priors: p(x_t | y) is proportional to p(y | x_t) / p(y).
    Transitions are counted on the training data. Each posterior depends on the whole sentence, so evidence is counted
    repeatedly until the temperature is fitted.
    """

    learns_log_probs = False

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
