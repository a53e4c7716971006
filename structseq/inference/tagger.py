"""Tagger: the predictor of a model that gives each token a tag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from structseq.data.example import Example
from structseq.inference.batch_tagger import BatchTagger
from structseq.inference.predictor import DEFAULT_OUTPUT, OutputOptions, Predictor
from structseq.inference.sentences import check_names
from structseq.model import Model
from structseq.spans import Scheme
from structseq.tasks.answers import Tagging


class Tagger(Predictor):
    """A trained model, ready to tag; see `Predictor` for how it is made, saved and shared. Vectors of all known words
    are computed here, once.

    Examples
    --------
    ::

        tagger = Tagger.load("model")
        tagger.tag(["arrive", "Taipei"]).tags
        [(span.label, span.start_char, span.end_char) for span in tagger.tag_text("arrive Taipei").spans]
        for tagging in tagger.tag_many(sentences, confidence=False):
            ...
    """

    look_ahead: ClassVar[int] = 1024

    def __init__(self, model: Model, **metadata: Any) -> None:
        super().__init__(model, **metadata)
        self._batches = BatchTagger(model)

    @property
    def calibrated(self) -> bool:
        """Whether it has confidences: False for a margin's scores without a fitted temperature."""
        return self._batches.calibrated

    @property
    def scheme(self) -> Scheme:
        """The scheme of its answers: that of the training files."""
        return self.model.tags.outer

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags that it may answer with."""
        return self._batches.marginals.labels

    def tag(
        self, tokens: Iterable[str], *, confidence: bool = True, marginals: bool = False, **columns: Iterable[str]
    ) -> Tagging:
        """Tag one sentence, given as tokens; further columns by name, where the model was trained with them.

        Raises `DataError` for a text (use `tag_text`), tokens that are no strings, and columns missing, unknown or of
        another length.
        """
        check_names(columns, self.columns)
        given = {"tokens": tokens, **columns} if columns else tokens
        return self.answer([self.preprocessor.example(given, "tag")], OutputOptions(confidence, marginals))[0]

    def tag_text(self, text: str, *, confidence: bool = True, marginals: bool = False) -> Tagging:
        """Tag a text, cut by the model's tokenizer; tokens and spans know their places in it."""
        return self.answer([self.preprocessor.text(text, "tag_text")], OutputOptions(confidence, marginals))[0]

    def tag_many(
        self,
        sentences: Iterable[Iterable[str] | Example | Mapping[str, Iterable[str]]],
        *,
        confidence: bool = True,
        marginals: bool = False,
        look_ahead: int = 1024,
    ) -> Iterator[Tagging]:
        """Tag a stream of sentences, in order and in bounded memory.

        Parameters
        ----------
        sentences:
            Token lists, `Example` (whose tags are not read), or mappings of column names to values.
        confidence:
            Whether to compute `Tagging.confidence`.
        marginals:
            Whether to compute `Tagging.marginals`.
        look_ahead:
            Sentences read ahead of the answer at most, and fewer where they are long; more make batches of more even
            lengths and so faster tagging.

        Raises
        ------
        DataError
            For a sentence that cannot be tagged, after the answers to all sentences before it.
        """
        return self._sequences(sentences, "tag_many", OutputOptions(confidence, marginals), look_ahead)

    def tag_texts(
        self, texts: Iterable[str], *, confidence: bool = True, marginals: bool = False, look_ahead: int = 1024
    ) -> Iterator[Tagging]:
        """Tag a stream of texts, as `tag_many` does."""
        return self._texts(texts, "tag_texts", OutputOptions(confidence, marginals), look_ahead)

    def predict(
        self, sentences: Iterable[Iterable[str] | Example | Mapping[str, Iterable[str]]]
    ) -> list[tuple[str, ...]]:
        """The tags alone, for all sentences."""
        return [tagging.tags for tagging in self.tag_many(sentences, confidence=False)]

    def answer(self, examples: Sequence[Example], output: OutputOptions = DEFAULT_OUTPUT) -> list[Tagging]:
        return self._batches.tag(examples, output)
