"""Transducer: the predictor whose answer is a sequence of its own length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from structseq.data.example import Example
from structseq.errors import ConfigError
from structseq.inference.predictor import DEFAULT_OUTPUT, OutputOptions, Predictor
from structseq.tasks.answers import Transduction


class Transducer(Predictor):
    """Answers with a sequence of its own length (Graves 2012, "Sequence transduction with recurrent neural networks"):
    digits from a recording, a date from its description, or an autoencoder's text. See `Predictor` for loading and
    saving.

    Examples
    --------
    ::

        transducer = Transducer.load("dates")
        transducer.transduce_text("May 3, 1998").text
        digits = Transducer.load("digits")
        digits.transduce_audio("call.wav").answer
    """

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols of its answers."""
        return tuple(self.model.output_symbols)

    def transduce(self, given: Any) -> Transduction:
        """Answer one `Example`, list of tokens, or array of frames (L, F); raises `DataError` for anything else."""
        return self.answer([self.preprocessor.example(given, "transduce")])[0]

    def transduce_text(self, text: str) -> Transduction:
        """Answer a text, cut into symbols as the training data were (``data.symbols``)."""
        return self.answer([self.preprocessor.text(text, "transduce_text")])[0]

    def transduce_audio(self, path: str | Path) -> Transduction:
        """Answer a recording; raises `DataError` if the file is not a recording."""
        return self.answer([self.preprocessor.audio(path, "transduce_audio")])[0]

    def ranked(self, given: Any, k: int, *, beam: int | None = None) -> list[Transduction]:
        """Up to ``k`` best answers that a beam search of width ``beam`` (None: ``k``) finds, best first, each with its
        exact log-probability; ``given`` as in `transduce`.

        Raises `ConfigError` for a head without a search (trimming, the loop of words), and for a beam below ``k``.
        """
        whole = all(isinstance(number, int) and not isinstance(number, bool) for number in (k, beam or 1))
        if not whole or k < 1 or (beam is not None and beam < k):
            raise ConfigError(
                f"ranked: expected a whole number k from 1 on, and a beam from k on, found {k!r}, {beam!r}"
            )
        example = self.preprocessor.example(given, "ranked")
        (answers,) = self.model.ranked([example], k, width=beam or k, table=self._table)
        return [self._transduction(example, answer, log_prob) for answer, log_prob in answers]

    def transduce_many(self, sequences: Iterable[Any], *, look_ahead: int = 256) -> Iterator[Transduction]:
        """Answer a stream of inputs of `transduce`, in order, as `Tagger.tag_many` does."""
        return self._sequences(sequences, "transduce_many", look_ahead)

    def predict(self, sequences: Iterable[Any]) -> list[tuple[str, ...]]:
        """The answers' symbols alone, for all sequences."""
        return [found.answer for found in self.transduce_many(sequences)]

    def answer(self, examples: Sequence[Example], output: OutputOptions = DEFAULT_OUTPUT) -> list[Transduction]:
        return [
            self._transduction(example, answer, log_prob if output.confidence else None)
            for example, (answer, log_prob) in zip(examples, self.model.answer(examples, self._table), strict=True)
        ]

    def _transduction(self, example: Example, answer: tuple[str, ...], log_prob: float | None) -> Transduction:
        return Transduction(answer, self.preprocessor.join(answer), log_prob, self.preprocessor.source(example))
