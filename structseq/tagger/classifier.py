"""Classifier: what users hold of a model that gives each text, or each recording, one label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from structseq.batch import batches
from structseq.data.example import Example
from structseq.errors import DataError
from structseq.model import Model
from structseq.structures.chain import LinearChain
from structseq.tagger.given import Giving, windows
from structseq.tagger.held import Held
from structseq.tagger.sentences import Sentence, check_names, sentence_of, text_sentence


@dataclass(frozen=True, slots=True)
class Classification:
    """One text, or recording, with its label.

    Attributes
    ----------
    label:
        The most probable one.
    confidence:
        Its probability 0..1; None where the scores are no log-probabilities yet (no dev set to fit a temperature on).
    probabilities:
        Of every label, in the model's order; empty where ``confidence`` is None.
    tokens:
        What was read; None for frames.
    text:
        What the tokens were cut from; None for tokens that came without a text, and for frames.
    audio:
        The recording that frames are of, by its name; None for tokens, and for frames that came without one.
    """

    label: str
    confidence: float | None
    probabilities: Mapping[str, float]
    tokens: tuple[str, ...] | None
    text: str | None = None
    audio: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        if self.tokens is None:
            given: dict[str, Any] = {} if self.audio is None else {"audio": self.audio}
        else:
            given = {"tokens": list(self.tokens)} if self.text is None else {"text": self.text}
        sure = {} if self.confidence is None else {"confidence": self.confidence}
        return {**given, "label": self.label, **sure}


class Classifier(Held):
    """A trained model whose answer is a label, of a text or of a recording; see `Held` for how it is made, saved and
    shared. Vectors of all known words are computed here, once.

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
        self._giving = Giving(model, self.tokenizer)
        with torch.inference_mode():
            self._table = model.inputs.word_table()

    @property
    def labels(self) -> tuple[str, ...]:
        """What it may answer with."""
        return self.model.tags.labels

    @property
    def columns(self) -> tuple[str, ...]:
        """The further columns that it needs beside the tokens."""
        return tuple(self.model.inputs.column_vocabularies)

    def classify(self, tokens: Any, **columns: Iterable[str]) -> Classification:
        """Classify one text, given as tokens, with further columns by name; or one array of frames (L, F).

        Raises `DataError` for a text (use `classify_text`), tokens that are no strings, frames of another width than
        the model's, and columns that do not fit.
        """
        check_names(columns, self.columns)
        return self._read([self._example({"tokens": tokens, **columns} if columns else tokens, "classify")])[0]

    def classify_text(self, text: str) -> Classification:
        """Classify a text, cut by the model's tokenizer."""
        return self._read([self._cut(text, "classify_text")])[0]

    def classify_audio(self, path: str | Path) -> Classification:
        """Classify a recording; raises `DataError` for a file that is none."""
        return self._read([self._giving.audio(path, "classify_audio")])[0]

    def classify_many(
        self, sentences: Iterable[Iterable[str] | Example | Mapping[str, Iterable[str]]], *, look_ahead: int = 256
    ) -> Iterator[Classification]:
        """Classify a stream of token lists, examples, mappings of columns, or frames, in order and in bounded
        memory."""
        if isinstance(sentences, (str, bytes)):
            raise DataError("classify_many: expected sentences, found a text; use classify_text")
        what = "sentence" if self.model.reads == "tokens" else "sequence"
        examples = (self._example(given, f"{what} {number}") for number, given in enumerate(sentences, 1))
        return self._stream(windows(examples, look_ahead))

    def classify_texts(self, texts: Iterable[str], *, look_ahead: int = 256) -> Iterator[Classification]:
        """Classify a stream of texts, as `classify_many` does."""
        if isinstance(texts, (str, bytes)):
            raise DataError("classify_texts: expected texts, found one; use classify_text")
        cut = (self._cut(text, f"text {number}") for number, text in enumerate(texts, 1))
        return self._stream(windows(cut, look_ahead))

    def predict(self, sentences: Iterable[Iterable[str] | Example | Mapping[str, Iterable[str]]]) -> list[str]:
        """The labels alone, for all sentences."""
        return [found.label for found in self.classify_many(sentences)]

    def _example(self, given: Any, where: str) -> Example:
        """Checked; an example that was cut from a text brings it along."""
        if self.model.reads == "frames":
            return self._giving.example(given, where)
        sentence = sentence_of(given, self.columns, where)
        return _of(sentence, given.metadata.get("text") if isinstance(given, Example) else None)

    def _cut(self, text: Any, where: str) -> Example:
        if self.model.reads == "frames":
            return self._giving.text(text, where)  # raises
        sentence = text_sentence(text, self._tokenize, self.columns, where)
        return _of(sentence, sentence.text)

    def _stream(self, groups: Iterator[Sequence[Example]]) -> Iterator[Classification]:
        for group in groups:
            yield from self._read(group)

    def _read(self, examples: Sequence[Example]) -> list[Classification]:
        """Batches of similar length, so that padding is little; the answers in the order given."""
        found: dict[int, Classification] = {}
        for rows in batches([len(example) for example in examples], sentences=64, tokens=4096):
            found |= zip(rows.tolist(), self._answers([examples[row] for row in rows]), strict=True)
        return [found[row] for row in range(len(examples))]

    def _answers(self, examples: Sequence[Example]) -> list[Classification]:
        model, labels = self.model, self.labels
        with torch.inference_mode():
            distribution = model.distribution(model.inputs.encode(examples), self._table)
            assert isinstance(distribution, LinearChain)
            names = [answer for (answer,) in model.head.predicted(distribution)]
            shares = distribution.marginals()[:, 0].double().tolist() if distribution.calibrated else None
        answers = []
        for row, (example, name) in enumerate(zip(examples, names, strict=True)):
            every = dict(zip(labels, shares[row], strict=True)) if shares is not None else {}
            tokens, text = example.inputs.get("tokens"), example.metadata.get("text")
            audio = self._giving.shown(example).get("audio") if model.reads == "frames" else None
            answers.append(Classification(name, every.get(name), every, tokens, text, audio))
        return answers


def _of(sentence: Sentence, text: str | None) -> Example:
    metadata = {} if text is None else {"text": text}
    return Example({"tokens": sentence.tokens, **sentence.columns}, metadata=metadata)
