"""Language modelling: predict each token from the tokens before or after it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from structseq.config import Options
from structseq.data.example import Example
from structseq.data.formats import detect_format
from structseq.data.options import DataOptions
from structseq.data.plaintext import looks_like_columns
from structseq.data.reading import effective_format
from structseq.errors import ConfigError, DataError
from structseq.evaluation.perplexity_report import TokenLogProbs, evaluate_perplexity, mean_log_prob
from structseq.spans import PLAIN, Scheme, TagSet
from structseq.tasks.base import Card, Report, Task


class LanguageModelTask(Task):
    """The next token, forwards and backwards."""

    noun, title, summary = "tokens", "a language model", "no gold answers needed"

    @classmethod
    def check_options(cls, options: Options) -> None:
        """Raise `ConfigError` for an encoder whose states depend on the token to predict."""
        encoder = options.encoder
        if encoder.bidirectional and (encoder.attends or encoder.layers + encoder.attention > 1):
            raise ConfigError(
                "encoder.bidirectional: attention, and layers above the first, see a token before it is predicted; "
                "set encoder.layers=1 (and encoder.attention=0), or encoder.bidirectional=false"
            )
        if options.data.format == "pairs":
            raise ConfigError(
                "data.format: a language model reads texts, not pairs; give a file with one text per line"
            )

    @classmethod
    def symbols(cls, options: Options) -> str | None:
        # A head from outside may lack the options ``units`` and ``min_count``.
        return "characters" if getattr(options.head, "units", "words") == "characters" else None

    @classmethod
    def input_format(cls, file: str | Path, data: DataOptions) -> str:
        """Raises `DataError` if the lines may be texts or columns."""
        if data.format not in ("auto", "text"):
            return effective_format(file, data)
        name = detect_format(file)
        if name != "columns" or Path(str(file).removesuffix(".gz")).suffix in (".conll", ".bio", ".iob"):
            return "pairs" if name == "pairs" else "auto"
        if data.format == "auto" and looks_like_columns(file, encoding=data.encoding):
            raise DataError(
                "expected one text per line, found lines that may be columns (tabs, or blank lines between rows of one "
                "width); name the format with --set data.format=text or data.format=columns",
                file=file,
            )
        return "text"

    @classmethod
    def gold_format(cls, file: str | Path, data: DataOptions) -> str:
        return cls.input_format(file, data)

    @classmethod
    def gold(cls, example: Example) -> tuple[str, ...]:
        return example.tokens

    @classmethod
    def inventory(cls, examples: Sequence[Example], scheme: Scheme, options: Options) -> TagSet:
        """The tokens that occur at least ``head.min_count`` times."""
        counts = Counter(token for each in examples for token in each.tokens)
        if cls.symbols(options) and (long := next((token for token in counts if len(token) > 1), None)):
            raise DataError(
                f"head.units: expected texts to cut into characters, found the token {long[:60]!r}; give a file with "
                "one text per line, or remove head.units"
            )
        least = getattr(options.head, "min_count", 1)
        kept = [token for token, count in counts.items() if count >= least]
        if not kept:
            raise DataError(f"expected tokens that occur {least} times, found none; lower head.min_count")
        return TagSet.of([kept], PLAIN)

    @classmethod
    def unseen_counts(cls, known: Sequence[Example], examples: Sequence[Example]) -> dict[str, int]:
        """Nothing: the model has an unknown token."""
        return {}

    @property
    def predictor(self) -> str:
        return "Scorer"

    def answers(self, model: Any, examples: Sequence[Example], table: Any = None) -> list[TokenLogProbs]:
        """The log-probabilities of each example's tokens and end; ``table`` as in `Inputs.forward`."""
        found: list[TokenLogProbs] = [{}] * len(examples)
        for rows, distribution in model.distributions(examples, table=table):
            targets = [model.head.target(examples[row]) for row in rows]
            each = distribution.token_log_probs(model.head.pad(targets))
            values = {name: part.double().tolist() for name, part in each.items()}
            for place, row in enumerate(rows):
                found[row] = {name: part[place][: len(targets[place])] for name, part in values.items()}
        return found

    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        """1 / perplexity, over all directions."""
        means = mean_log_prob(answers)
        return math.exp(sum(means.values()) / len(means))

    def report(self, model: Any, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] = ()) -> Report:
        gold = [self.gold(example) for example in examples]
        return evaluate_perplexity(gold, self.answers(model, examples), known=self.tags.index)

    def card(self) -> Card:
        usage = (
            'from structseq import Scorer\n\nscorer = Scorer.load("path/to/this/folder")\n'
            'scorer.score_text("...").perplexity'
        )
        return Card("text-generation", "perplexity", "Language model", "the probability of each text", usage)
