"""Classifier: what users hold of a model that gives each text one label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch

from structseq.data.example import Example
from structseq.errors import ConfigError, DataError
from structseq.model import Model
from structseq.structures.chain import LinearChain
from structseq.tagger.held import Held
from structseq.tagger.sentences import Sentence, check_names, sentence_of, text_sentence


@dataclass(frozen=True, slots=True)
class Classification:
    """One text with its label.

    Attributes
    ----------
    label:
        The most probable one.
    confidence:
        Its probability 0..1; None where the scores are no log-probabilities yet (no dev set to fit a temperature on).
    probabilities:
        Of every label, in the model's order; empty where ``confidence`` is None.
    tokens:
        What was read.
    text:
        What the tokens were cut from; None for tokens that came without a text.
    """

    label: str
    confidence: float | None
    probabilities: Mapping[str, float]
    tokens: tuple[str, ...]
    text: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        given = {"text": self.text} if self.text is not None else {"tokens": list(self.tokens)}
        sure = {} if self.confidence is None else {"confidence": self.confidence}
        return {**given, "label": self.label, **sure}


class Classifier(Held):
    """A trained model whose answer is a label; see `Held` for how it is made, saved and shared. Vectors of all known
    words are computed here, once.

    Examples
    --------
    ::

        classifier = Classifier.load("model")
        classifier.classify_text("a gorgeous, witty, seductive movie .").label
        for found in classifier.classify_texts(texts):
            ...
    """

    holds = frozenset({"label"})

    def __init__(self, model: Model, **told: Any) -> None:
        super().__init__(model, **told)
        words = model.words  # raises where it reads frames
        with torch.inference_mode():
            self._table = words.word_table()

    @property
    def labels(self) -> tuple[str, ...]:
        """What it may answer with."""
        return self.model.tags.labels

    @property
    def columns(self) -> tuple[str, ...]:
        """The further columns that it needs beside the tokens."""
        return tuple(self.model.inputs.column_vocabularies)

    def classify(self, tokens: Iterable[str], **columns: Iterable[str]) -> Classification:
        """Classify one text, given as tokens; further columns by name.

        Raises `DataError` for a text (use `classify_text`), tokens that are no strings, and columns that do not fit.
        """
        check_names(columns, self.columns)
        given = {"tokens": tokens, **columns} if columns else tokens
        return self._read([sentence_of(given, self.columns, "classify")])[0]

    def classify_text(self, text: str) -> Classification:
        """Classify a text, cut by the model's tokenizer."""
        return self._read([text_sentence(text, self._tokenize, self.columns, "classify_text")])[0]

    def classify_many(
        self, sentences: Iterable[Iterable[str] | Example | Mapping[str, Iterable[str]]], *, look_ahead: int = 256
    ) -> Iterator[Classification]:
        """Classify a stream of token lists, examples or mappings of columns, in order and in bounded memory."""
        if isinstance(sentences, (str, bytes)):
            raise DataError("classify_many: expected sentences, found a text; use classify_text")
        numbered = enumerate(sentences, 1)
        prepared = (self._sentence(given, f"sentence {number}") for number, given in numbered)
        return self._stream(prepared, look_ahead)

    def classify_texts(self, texts: Iterable[str], *, look_ahead: int = 256) -> Iterator[Classification]:
        """Classify a stream of texts, as `classify_many` does."""
        if isinstance(texts, (str, bytes)):
            raise DataError("classify_texts: expected texts, found one; use classify_text")
        cut = (text_sentence(t, self._tokenize, self.columns, f"text {n}") for n, t in enumerate(texts, 1))
        return self._stream(cut, look_ahead)

    def predict(self, sentences: Iterable[Iterable[str] | Example | Mapping[str, Iterable[str]]]) -> list[str]:
        """The labels alone, for all sentences."""
        return [found.label for found in self.classify_many(sentences)]

    def _sentence(self, given: Any, where: str) -> Sentence:
        """As `sentence_of`; an example that was cut from a text brings it along."""
        sentence = sentence_of(given, self.columns, where)
        text = given.metadata.get("text") if isinstance(given, Example) else None
        return sentence if text is None else replace(sentence, text=text)

    def _stream(self, sentences: Iterator[Sentence], look_ahead: int) -> Iterator[Classification]:
        if look_ahead < 1:
            raise ConfigError(f"expected a look_ahead of at least one sentence, found {look_ahead}")
        return self._windows(sentences, look_ahead)

    def _windows(self, sentences: Iterator[Sentence], look_ahead: int) -> Iterator[Classification]:
        while window := list(islice(sentences, look_ahead)):
            yield from self._read(window)

    def _read(self, sentences: Sequence[Sentence]) -> list[Classification]:
        """Long texts first, few at a time, so that padding is little; the answers in the order given."""
        order = sorted(range(len(sentences)), key=lambda n: -len(sentences[n].tokens))
        found: dict[int, Classification] = {}
        place = 0
        while place < len(order):
            longest = max(len(sentences[order[place]].tokens), 1)
            rows = order[place : place + max(1, min(64, 4096 // longest))]
            found |= zip(rows, self._answers([sentences[row] for row in rows]), strict=True)
            place += len(rows)
        return [found[n] for n in range(len(sentences))]

    def _answers(self, sentences: Sequence[Sentence]) -> list[Classification]:
        model, labels = self.model, self.labels
        examples = [Example({"tokens": s.tokens, **s.columns}) for s in sentences]
        with torch.inference_mode():
            distribution = model.distribution(model.inputs.encode(examples), self._table)
            assert isinstance(distribution, LinearChain)
            names = [answer for (answer,) in model.head.predicted(distribution)]
            shares = distribution.marginals()[:, 0].double().tolist() if distribution.calibrated else None
        answers = []
        for row, (sentence, name) in enumerate(zip(sentences, names, strict=True)):
            every = dict(zip(labels, shares[row], strict=True)) if shares is not None else {}
            answers.append(Classification(name, every.get(name), every, sentence.tokens, sentence.text))
        return answers
