"""Transducer: what users hold of a model that answers with a sequence of its own length, and the answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from structseq.data.example import Example
from structseq.errors import ConfigError, DataError
from structseq.model import Model
from structseq.storage import load_model, save_model
from structseq.tagger.given import Giving, windows


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


class Transducer:
    """A trained model whose answer is a sequence of its own length (Graves 2012, "Sequence transduction with recurrent
    neural networks", gave the task its name): digits from a recording, a date from its description. Threads may share
    one.

    Parameters
    ----------
    model:
        Held as it is and not to be trained further.
    tokenizer, metrics, provenance:
        As in `structseq.storage.save_model`.

    Raises
    ------
    ConfigError
        For a model that tags or labels; `Tagger` and `Classifier` hold those.

    Examples
    --------
    ::

        transducer = Transducer.load("dates")
        transducer.transduce_text("May 3, 1998").text
        digits = Transducer.load("digits")
        digits.transduce_audio("call.wav").answer
    """

    def __init__(
        self,
        model: Model,
        *,
        tokenizer: str = "words-1",
        metrics: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        if model.head.gives not in ("target", "inputs") or (model.head.gives, model.reads) == ("inputs", "frames"):
            other = {"tags": "tags; use Tagger", "label": "labels; use Classifier"}.get(model.head.gives, "frames")
            raise ConfigError(f"expected a model that answers with sequences of symbols, found one that gives {other}")
        self.model, self.tokenizer = model.eval(), tokenizer
        self.metrics, self.provenance = dict(metrics or {}), dict(provenance or {})
        self._giving = Giving(model, tokenizer)

    @staticmethod
    def load(folder: str | Path, *, trusted: Collection[str] = (), device: str = "cpu") -> Transducer:
        """The transducer in a model folder; ``trusted`` as in `structseq.storage.load_model`."""
        stored = load_model(folder, trusted=trusted)
        return Transducer(
            stored.model.to(device), tokenizer=stored.tokenizer, metrics=stored.metrics, provenance=stored.provenance
        )

    def save(self, folder: str | Path) -> None:
        """Write the model folder; see `structseq.storage.save_model`."""
        save_model(
            folder, self.model, tokenizer=self.tokenizer, metrics=self.metrics, provenance=self.provenance
        )  # fmt: skip

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
            for example, (answer, log_prob) in zip(examples, self.model.answer(examples), strict=True)
        ]
