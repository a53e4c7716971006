"""Scorer: the probability of a text by a language model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from structseq.data.example import Example
from structseq.evaluation.perplexity_report import TokenLogProbs
from structseq.inference.predictor import DEFAULT_OUTPUT, OutputOptions, Predictor
from structseq.tasks.answers import Answer, Row


@dataclass(frozen=True, slots=True)
class Score(Answer):
    """A text with its probability.

    Attributes
    ----------
    unknown:
        Positions of the unknown tokens; each has the probability of the unknown entry.
    log_probs:
        By direction (``forwards``, ``backwards``), L + 1 log-probabilities in nats: of the L tokens and the end.
    """

    tokens: tuple[str, ...]
    unknown: tuple[int, ...]
    log_probs: TokenLogProbs
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def log_prob(self) -> float:
        """Log-probability of the text in nats, in the first direction."""
        return math.fsum(self._first)

    @property
    def perplexity(self) -> float:
        """exp(-``log_prob`` / (L + 1))."""
        return math.exp(-self.log_prob / len(self._first))

    @property
    def _first(self) -> Sequence[float]:
        return next(iter(self.log_probs.values()))

    def to_dict(self) -> dict[str, Any]:
        score = {"log_prob": self.log_prob, "perplexity": self.perplexity}
        each = {name: list(values) for name, values in self.log_probs.items()}
        return {**self.source, **score, "tokens": list(self.tokens), "unknown": list(self.unknown), "log_probs": each}

    def rows(self) -> list[Row]:
        names = [f"{token} (unknown)" if n in self.unknown else token for n, token in enumerate(self.tokens)]
        rows: list[Row] = [([name], value) for name, value in zip([*names, "(end)"], self._first, strict=True)]
        return [*rows, ([f"perplexity {self.perplexity:.2f}"], self.log_prob)]


class Scorer(Predictor):
    """Computes probabilities of texts."""

    def score(self, tokens: Any) -> Score:
        """The probability of a list of tokens; raises `DataError` for other input."""
        return self.answer([self.preprocessor.example(tokens, "score")])[0]

    def score_text(self, text: str) -> Score:
        """The probability of a text, tokenized as in training."""
        return self.answer([self.preprocessor.text(text, "score_text")])[0]

    def score_texts(self, texts: Iterable[str], *, look_ahead: int = 256) -> Iterator[Score]:
        """`score_text` for a stream, as `Tagger.tag_many` does."""
        return self._texts(texts, "score_texts", look_ahead)

    def answer(self, examples: Sequence[Example], output: OutputOptions = DEFAULT_OUTPUT) -> list[Score]:
        task: Any = self.model.task
        known, rows = self.model.tags.index, task.answers(self.model, examples, self._table)
        return [
            Score(
                example.tokens,
                tuple(n for n, token in enumerate(example.tokens) if token not in known),
                log_probs,
                self.preprocessor.source(example),
            )
            for example, log_probs in zip(examples, rows, strict=True)
        ]
