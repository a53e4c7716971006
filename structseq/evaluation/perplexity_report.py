"""Perplexity of a language model (Jelinek, Mercer, Bahl and Baker 1977)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

# By direction of reading: the log-probabilities of L tokens and of the end of the text, in nats (L + 1)
TokenLogProbs = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class PerplexityReport:
    """The result of `evaluate_perplexity`.

    ``perplexity`` is exp(-mean log p) by direction, over all tokens and ends of texts. ``unknown`` is the number of
    out-of-vocabulary tokens, which count as one word; ``known`` is the perplexity without them.
    """

    texts: int
    tokens: int
    unknown: int
    perplexity: Mapping[str, float]
    known: Mapping[str, float]

    @property
    def criterion(self) -> float:
        """1 / perplexity; the geometric mean over directions."""
        return math.exp(-sum(map(math.log, self.perplexity.values())) / len(self.perplexity))

    def to_dict(self, *, errors: int | None = 0) -> dict[str, Any]:
        return {"criterion": self.criterion, "score": "1 / perplexity", **asdict(self)}

    def text(self, errors: int | None = 0) -> str:
        lines = [
            f"{self.texts} texts, {self.tokens} tokens, {self.unknown} of them unknown "
            f"({100 * self.unknown / max(1, self.tokens):.2f} %)",
            "perplexity of a token, ends of texts counted, unknown tokens as one",
        ]
        for name, value in self.perplexity.items():
            lines.append(f"  {name:<9}  {value:.2f} ({math.log2(value):.3f} bits), {self.known[name]:.2f} if known")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()


def mean_log_prob(found: Iterable[TokenLogProbs]) -> dict[str, float]:
    """The mean by direction, in nats; raises `ValueError` if there are no texts."""
    every = list(found)
    if not every:
        raise ValueError("expected texts, found none")
    count = sum(len(next(iter(each.values()))) for each in every)
    return {name: math.fsum(value for each in every for value in each[name]) / count for name in every[0]}


def evaluate_perplexity(
    gold: Sequence[Sequence[str]], found: Sequence[TokenLogProbs], *, known: Collection[str]
) -> PerplexityReport:
    """The perplexity of texts, from their log-probabilities and the ``known`` vocabulary.

    Raises `ValueError` if there are no texts or lengths differ.

    >>> found = {"forwards": [math.log(chance) for chance in (0.5, 0.125, 0.5)]}
    >>> report = evaluate_perplexity([["a", "b"]], [found], known={"a"})
    >>> report.unknown, round(report.perplexity["forwards"] ** 3), round(report.known["forwards"], 9)
    (1, 32, 2.0)
    """
    for tokens, each in zip(gold, found, strict=True):
        if {len(values) for values in each.values()} != {len(tokens) + 1}:
            raise ValueError(f"expected {len(tokens) + 1} log-probabilities for {len(tokens)} tokens and their end")
    kept = [
        {
            name: [value for token, value in zip(tokens, values, strict=False) if token in known] + [values[-1]]
            for name, values in each.items()
        }
        for tokens, each in zip(gold, found, strict=True)
    ]
    perplexity, known_perplexity = (
        {name: math.exp(-mean) for name, mean in mean_log_prob(part).items()} for part in (found, kept)
    )
    unknown = sum(token not in known for tokens in gold for token in tokens)
    return PerplexityReport(len(gold), sum(map(len, gold)), unknown, perplexity, known_perplexity)
