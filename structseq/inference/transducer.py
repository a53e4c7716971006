"""Transducer: predicts a sequence of another length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from structseq.data.example import Example
from structseq.errors import ConfigError
from structseq.inference.predictor import DEFAULT_OUTPUT, OutputOptions, Predictor
from structseq.tasks.answers import Transduction


class Transducer(Predictor):
    """Predicts sequences whose length can differ from the input's.

    Graves 2012, "Sequence transduction with recurrent neural networks".

    ::

        Transducer.load("dates").transduce_text("May 3, 1998").text
    """

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.model.output_symbols)

    def transduce(self, given: Any) -> Transduction:
        """Transduce an `Example`, a list of tokens, or frames (L, F); raises `DataError` for other input."""
        return self.answer([self.preprocessor.example(given, "transduce")])[0]

    def transduce_text(self, text: str) -> Transduction:
        """Transduce a text, cut into symbols as in training (``data.symbols``)."""
        return self.answer([self.preprocessor.text(text, "transduce_text")])[0]

    def transduce_audio(self, path: str | Path) -> Transduction:
        """Transduce a WAV file; raises `DataError` for other files."""
        return self.answer([self.preprocessor.audio(path, "transduce_audio")])[0]

    def ranked(self, given: Any, k: int, *, beam: int | None = None) -> list[Transduction]:
        """Up to ``k`` answers of a beam search of width ``beam`` (None: ``k``), best first, with exact ``log_prob``.

        Raises `ConfigError` for a head without beam search, and if ``beam`` is less than ``k``.
        """
        whole = all(isinstance(number, int) and not isinstance(number, bool) for number in (k, beam or 1))
        if not whole or k < 1 or (beam is not None and beam < k):
            raise ConfigError(
                f"ranked: expected a whole number k of at least 1, and a beam of at least k, found {k!r}, {beam!r}"
            )
        example = self.preprocessor.example(given, "ranked")
        (answers,) = self.model.ranked([example], k, width=beam or k, table=self._table)
        return [self._transduction(example, answer, log_prob) for answer, log_prob in answers]

    def transduce_many(self, sequences: Iterable[Any], *, look_ahead: int = 256) -> Iterator[Transduction]:
        """`transduce` for a stream, as `Tagger.tag_many` does."""
        return self._sequences(sequences, "transduce_many", look_ahead)

    def predict(self, sequences: Iterable[Any]) -> list[tuple[str, ...]]:
        """The symbols of all answers."""
        return [found.answer for found in self.transduce_many(sequences)]

    def answer(self, examples: Sequence[Example], output: OutputOptions = DEFAULT_OUTPUT) -> list[Transduction]:
        return [
            self._transduction(example, answer, log_prob if output.confidence else None)
            for example, (answer, log_prob) in zip(examples, self.model.answer(examples, self._table), strict=True)
        ]

    def _transduction(self, example: Example, answer: tuple[str, ...], log_prob: float | None) -> Transduction:
        return Transduction(answer, self.preprocessor.join(answer), log_prob, self.preprocessor.source(example))
