"""Transducer: the predictor of a model that answers with a sequence of its own length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from structseq.data.example import Example
from structseq.errors import ConfigError
from structseq.inference.predictor import DEFAULT_OUTPUT, OutputOptions, Predictor
from structseq.model import Model
from structseq.tasks.answers import Transduction


class Transducer(Predictor):
    """A trained model whose answer is a sequence of its own length (Graves 2012, "Sequence transduction with recurrent
    neural networks", gave the task its name): digits from a recording, a date from its description; or a text again,
    from an autoencoder. See `Predictor` for how it is made, saved and shared.

    Examples
    --------
    ::

        transducer = Transducer.load("dates")
        transducer.transduce_text("May 3, 1998").text
        digits = Transducer.load("digits")
        digits.transduce_audio("call.wav").answer
    """

    def __init__(self, model: Model, **metadata: Any) -> None:
        super().__init__(model, **metadata)
        with torch.inference_mode():
            self._table = model.inputs.word_table()  # of all known words, once

    @property
    def symbols(self) -> tuple[str, ...]:
        """What its answers are made of."""
        return tuple(self.model.output_symbols)

    def transduce(self, given: Any) -> Transduction:
        """Answer one sequence: an `Example`, a list of tokens, or an array of frames (L, F).

        Raises `DataError` for anything else, and for frames of another width than the model's.
        """
        return self.answer([self.preprocessor.example(given, "transduce")])[0]

    def transduce_text(self, text: str) -> Transduction:
        """Answer a text, cut into symbols as the training data were (``data.symbols``)."""
        return self.answer([self.preprocessor.text(text, "transduce_text")])[0]

    def transduce_audio(self, path: str | Path) -> Transduction:
        """Answer a recording; raises `DataError` if the file is not one."""
        return self.answer([self.preprocessor.audio(path, "transduce_audio")])[0]

    def ranked(self, given: Any, k: int, *, beam: int | None = None) -> list[Transduction]:
        """The ``k`` best answers to what `transduce` takes that a search finds which keeps ``beam`` beginnings (``k``
        where None), best first, each with its exact log-probability; fewer where there are fewer.

        Raises `ConfigError` for a model that does not search (trimming, the loop of words), and for a beam narrower
        than ``k``.
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
        """Answer a stream of what `transduce` takes, in order and in bounded memory.

        An item that cannot be read raises `DataError` after the answers to all items before it.
        """
        return self._sequences(sequences, "transduce_many", OutputOptions(), look_ahead)

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
