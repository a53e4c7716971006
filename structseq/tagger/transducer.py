"""Transducer: what users hold of a model that answers with a sequence of its own length, and the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from structseq.data.example import Example
from structseq.errors import ConfigError, DataError
from structseq.model import Model
from structseq.tagger.given import Giving, windows
from structseq.tagger.held import Held


@dataclass(frozen=True, slots=True)
class Transduction:
    """One answer.

    Attributes
    ----------
    answer:
        Its symbols.
    text:
        The symbols as a text: characters side by side, words between spaces.
    log_prob:
        Its log-probability in nats (exact, however it was found); None where the model tells none.
    given:
        What was answered, for a record: ``source`` or ``audio``.
    """

    answer: tuple[str, ...]
    text: str
    log_prob: float | None
    given: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        sure = {} if self.log_prob is None else {"log_prob": self.log_prob}
        return {**self.given, "answer": self.text, **sure}


class Transducer(Held):
    """A trained model whose answer is a sequence of its own length (Graves 2012, "Sequence transduction with recurrent
    neural networks", gave the task its name): digits from a recording, a date from its description; or a text again,
    from an autoencoder. See `Held` for how it is made, saved and shared.

    Examples
    --------
    ::

        transducer = Transducer.load("dates")
        transducer.transduce_text("May 3, 1998").text
        digits = Transducer.load("digits")
        digits.transduce_audio("call.wav").answer
    """

    holds = frozenset({"target", "inputs"})

    def __init__(self, model: Model, **told: Any) -> None:
        super().__init__(model, **told)
        if (model.head.gives, model.reads) == ("inputs", "frames"):
            raise ConfigError("Transducer: expected answers of symbols, found frames said again; use Embedder")
        self._giving = Giving(model, self.tokenizer)
        with torch.inference_mode():
            self._table = model.inputs.word_table()  # of all known words, once

    @property
    def symbols(self) -> tuple[str, ...]:
        """What its answers are made of."""
        return tuple(self.model.head.symbols())

    def transduce(self, given: Any) -> Transduction:
        """Answer one sequence: an `Example`, a list of tokens, or an array of frames (L, F).

        Raises `DataError` for anything else, and for frames of another width than the model's.
        """
        return self._answers([self._giving.example(given, "transduce")])[0]

    def transduce_text(self, text: str) -> Transduction:
        """Answer a text, cut into symbols as the training data were (``data.symbols``)."""
        return self._answers([self._giving.text(text, "transduce_text")])[0]

    def transduce_audio(self, path: str | Path) -> Transduction:
        """Answer a recording; raises `DataError` for a file that is none."""
        return self._answers([self._giving.audio(path, "transduce_audio")])[0]

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
        example = self._giving.example(given, "ranked")
        shown = self._giving.shown(example)
        (answers,) = self.model.ranked([example], k, width=beam or k, table=self._table)
        return [Transduction(answer, self._giving.join(answer), log_prob, shown) for answer, log_prob in answers]

    def transduce_many(self, sequences: Iterable[Any], *, look_ahead: int = 256) -> Iterator[Transduction]:
        """Answer a stream of what `transduce` takes, in order and in bounded memory."""
        if isinstance(sequences, (str, bytes)):
            raise DataError("transduce_many: expected sequences, found a text; use transduce_text")
        examples = (self._giving.example(given, f"sequence {n}") for n, given in enumerate(sequences, 1))
        return self._stream(windows(examples, look_ahead))

    def predict(self, sequences: Iterable[Any]) -> list[tuple[str, ...]]:
        """The answers' symbols alone, for all sequences."""
        return [found.answer for found in self.transduce_many(sequences)]

    def _stream(self, groups: Iterator[Sequence[Example]]) -> Iterator[Transduction]:
        for group in groups:
            yield from self._answers(group)

    def _answers(self, examples: Sequence[Example]) -> list[Transduction]:
        return [
            Transduction(answer, self._giving.join(answer), log_prob, self._giving.shown(example))
            for example, (answer, log_prob) in zip(examples, self.model.answer(examples, self._table), strict=True)
        ]
