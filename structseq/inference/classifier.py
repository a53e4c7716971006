"""Classifier: predicts a label for each text or recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from structseq.batch import batch_by_length
from structseq.data.example import Example
from structseq.inference.predictor import DEFAULT_OUTPUT, OutputOptions, Predictor
from structseq.structures.chain import LinearChain
from structseq.tasks.answers import Classification

Sequences = Iterable[Iterable[str] | Example | Mapping[str, Iterable[str]]]


class Classifier(Predictor):
    """Classifies texts or recordings.

    ::

        Classifier.load("model").classify_text("a gorgeous, witty, seductive movie .").label
    """

    @property
    def labels(self) -> tuple[str, ...]:
        return self.model.tags.labels

    def classify(self, tokens: Any, **columns: Iterable[str]) -> Classification:
        """Classify a list of tokens, with the model's further columns by name, or frames (L, F).

        Raises as `Tagger.tag` does.
        """
        return self.answer([self._with_columns(tokens, columns, "classify")])[0]

    def classify_text(self, text: str) -> Classification:
        """Tokenize and classify a text."""
        return self.answer([self.preprocessor.text(text, "classify_text")])[0]

    def classify_audio(self, path: str | Path) -> Classification:
        """Classify a WAV file; raises `DataError` for other files."""
        return self.answer([self.preprocessor.audio(path, "classify_audio")])[0]

    def classify_many(self, sentences: Sequences, *, look_ahead: int = 256) -> Iterator[Classification]:
        """Classify a stream, as `Tagger.tag_many` does."""
        return self._sequences(sentences, "classify_many", look_ahead)

    def classify_texts(self, texts: Iterable[str], *, look_ahead: int = 256) -> Iterator[Classification]:
        """`classify_text` for a stream."""
        return self._texts(texts, "classify_texts", look_ahead)

    def predict(self, sentences: Sequences) -> list[str]:
        """The labels of all sequences."""
        return [found.label for found in self.classify_many(sentences)]

    def answer(self, examples: Sequence[Example], output: OutputOptions = DEFAULT_OUTPUT) -> list[Classification]:
        found: dict[int, Classification] = {}
        for rows in batch_by_length([len(example) for example in examples], sentences=64, tokens=4096):
            found |= zip(rows.tolist(), self._answers([examples[row] for row in rows], output), strict=True)
        return [found[row] for row in range(len(examples))]

    def _answers(self, examples: Sequence[Example], output: OutputOptions) -> list[Classification]:
        model, labels = self.model, self.labels
        with torch.inference_mode():
            distribution = model.distribution(model.inputs.encode(examples), self._table)
            assert isinstance(distribution, LinearChain)
            names = [answer for (answer,) in model.head.predicted(distribution)]
            calibrated = output.confidence and distribution.calibrated
            rows = distribution.marginals()[:, 0].double().tolist() if calibrated else [()] * len(names)
        answers = []
        for example, name, probabilities in zip(examples, names, rows, strict=True):
            every = dict(zip(labels, probabilities, strict=True)) if calibrated else {}
            tokens, text = example.inputs.get("tokens"), example.metadata.get("text")
            audio = self.preprocessor.source(example).get("audio")
            answers.append(Classification(name, every.get(name), every, tokens, text, audio))
        return answers
