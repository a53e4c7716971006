"""Tag probabilities in the user's own scheme, exact, whatever scheme is learned inside."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from structseq.spans import Edges, Span, TagSet
from structseq.structures.chain import EdgePattern, TagDistribution


class TagMarginals:
    """For each token the posterior probability of each tag that the user may see.

    Where a tag inside stands for one tag outside, whatever its neighbours are, probabilities are added up. Elsewhere
    (BIOES learned for files in IOB1) the tag outside depends on how the entity stands to the token before and the one
    after: an edge pattern of one token's width, whose probability the chain knows.
    """

    def __init__(self, tags: TagSet) -> None:
        self.tags = tags
        direct = tags.direct
        self.labels = tuple(dict.fromkeys(direct)) if direct is not None else tuple(self._patterns)

    def of(self, chain: TagDistribution) -> NDArray[np.float64]:
        """(B, T, labels), zero beyond each row's length."""
        inside = chain.marginals().double().cpu().numpy()
        if self.tags.direct is not None:
            place = {label: n for n, label in enumerate(self.labels)}
            summing = np.zeros((inside.shape[2], len(self.labels)))
            summing[np.arange(inside.shape[2]), [place[label] for label in self.tags.direct]] = 1
            return inside @ summing
        return self._by_patterns(chain, inside.shape[1])

    def _by_patterns(self, chain: TagDistribution, steps: int) -> NDArray[np.float64]:
        lengths = chain.lengths.tolist()
        tokens = [(row, t) for row, length in enumerate(lengths) for t in range(length)]
        asked = [(row, t, t + 1, n) for row, t in tokens for n in range(len(self.labels))]
        found = chain.span_probabilities(asked, list(self._patterns.values())).numpy()
        table = np.zeros((len(lengths), steps, len(self.labels)))
        if tokens:
            rows, places = np.array(tokens).T
            table[rows, places] = found.reshape(len(tokens), len(self.labels))
        return table

    @cached_property
    def _patterns(self) -> dict[str, EdgePattern]:
        """For each tag outside, the edges into and out of a token that bears it."""
        patterns = {}
        outside = np.array([label == "O" for label in self.tags.labels])
        if outside.any():
            square = np.outer(outside, np.ones_like(outside))
            patterns["O"] = EdgePattern(outside, square.T, square & False, square, outside)
        for label, inner in zip(self.tags.types, self.tags.edges(), strict=True):
            for tag, (opens, closes) in self._letters(label).items():
                patterns[tag] = _one_token(inner, opens, closes)
        return patterns

    def _letters(self, label: str) -> dict[str, tuple[set[str], set[str]]]:
        """The tags of one type outside, each with how the entity may stand to the token before and the one after.

        ``within``: it goes on there; ``edge``: it ends; ``touch``: it ends, and the neighbour is of its type too.
        """
        letters: dict[str, tuple[set[str], set[str]]] = {}
        for opens, closes in product(("within", "edge", "touch"), repeat=2):
            spans = [Span(1 if opens == "within" else 2, 4 if closes == "within" else 3, label)]
            spans += [Span(1, 2, label)] if opens == "touch" else []
            spans += [Span(3, 4, label)] if closes == "touch" else []
            sets = letters.setdefault(self.tags.outer.encode(spans, 5)[2], (set(), set()))
            sets[0].add(opens)
            sets[1].add(closes)
        return letters


def _one_token(inner: Edges, opens: set[str], closes: set[str]) -> EdgePattern:
    """The pattern of a token of an entity, given the ways in which the entity may stand to its two neighbours."""
    own = np.asarray(inner.first)
    begins, goes_on, ends = (np.asarray(part) for part in (inner.begins, inner.continues, inner.ends))
    into = {"within": goes_on, "edge": begins & ~own[:, None], "touch": begins & own[:, None]}
    out = {"within": goes_on, "edge": ends & ~own[None, :], "touch": ends & own[None, :]}
    nowhere = np.zeros_like(own)
    return EdgePattern(
        own if "edge" in opens else nowhere,
        _any(into, opens),
        np.zeros_like(goes_on),
        _any(out, closes),
        own if "edge" in closes else nowhere,
    )


def _any(tables: dict[str, NDArray[np.bool_]], names: Sequence[str] | set[str]) -> NDArray[np.bool_]:
    return np.logical_or.reduce([tables[name] for name in sorted(names)])
