"""Tagger and FrameTagger: a tag for each token or frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from structseq.data.example import Example
from structseq.inference.batch_tagger import BatchTagger
from structseq.inference.predictor import DEFAULT_OUTPUT, OutputOptions, Predictor
from structseq.model import Model
from structseq.spans import Scheme
from structseq.tasks.answers import FrameTagging, Tagging

Sentences = Iterable[Iterable[str] | Example | Mapping[str, Iterable[str]]]


class Tagger(Predictor):
    """Tags tokens.

    ::

        tagger = Tagger.load("model")
        tagger.tag(["arrive", "Taipei"]).tags
        [(span.label, span.start_char, span.end_char) for span in tagger.tag_text("arrive Taipei").spans]
    """

    look_ahead: ClassVar[int] = 1024

    def __init__(self, model: Model, **metadata: Any) -> None:
        super().__init__(model, **metadata)
        self._batches = BatchTagger(model, self._table)

    @property
    def calibrated(self) -> bool:
        """Whether confidences are available: not for a margin-trained head without a fitted temperature."""
        return self._batches.calibrated

    @property
    def scheme(self) -> Scheme:
        """The tag scheme of predictions and training files."""
        return self.model.tags.file_scheme

    @property
    def labels(self) -> tuple[str, ...]:
        return self._batches.marginals.labels

    def tag(
        self, tokens: Iterable[str], *, confidence: bool = True, marginals: bool = False, **columns: Iterable[str]
    ) -> Tagging:
        """Tag one sentence; ``columns`` are the model's further columns by name.

        Raises `DataError` for a text (use `tag_text`), for tokens that are not strings, and for wrong columns.
        """
        return self.answer([self._with_columns(tokens, columns, "tag")], OutputOptions(confidence, marginals))[0]

    def tag_text(self, text: str, *, confidence: bool = True, marginals: bool = False) -> Tagging:
        """Tokenize and tag a text; tokens and spans have character offsets."""
        return self.answer([self.preprocessor.text(text, "tag_text")], OutputOptions(confidence, marginals))[0]

    def tag_many(
        self, sentences: Sentences, *, confidence: bool = True, marginals: bool = False, look_ahead: int = 1024
    ) -> Iterator[Tagging]:
        """Tag a stream of sentences, in order and in bounded memory.

        Parameters
        ----------
        sentences:
            Token lists, `Example`, or mappings of columns. Other input raises `DataError` after the answers to the
            sentences before it.
        confidence, marginals:
            Whether to compute `Tagging.confidence` and `Tagging.marginals`.
        look_ahead:
            Maximum number of sentences read ahead; with more, tagging is faster.
        """
        return self._sequences(sentences, "tag_many", look_ahead, OutputOptions(confidence, marginals))

    def tag_texts(
        self, texts: Iterable[str], *, confidence: bool = True, marginals: bool = False, look_ahead: int = 1024
    ) -> Iterator[Tagging]:
        """`tag_text` for a stream."""
        return self._texts(texts, "tag_texts", look_ahead, OutputOptions(confidence, marginals))

    def tag_frame(
        self,
        frame: Any,
        *,
        text: str | None = None,
        tokens: str | None = None,
        id: str | None = None,
        layout: Literal["rows", "column"] = "rows",
        confidence: bool = True,
    ) -> Any:
        """Tag a data frame of pandas, polars or pyarrow; returns a frame of the same kind.

        ``text`` or ``tokens`` names a column; by default ``text``, ``tokens`` or ``words``. ``rows``: a row for each
        entity, or token with a plain tag, as `TaggedSpan.to_dict`, with the column ``id`` or the row's number from 0.
        ``column``: a new column, ``spans`` or ``tags``, with lists of these. Raises `DataError` that names the row,
        `ConfigError` without narwhals.
        """
        from structseq.inference.frame_tagging import tag_frame  # needs an optional library

        tag = partial(self.tag_many, confidence=confidence)
        return tag_frame(
            frame, self.preprocessor, tag, plain_tags=self.scheme.plain, text=text, tokens=tokens, id=id, layout=layout,
            confidence=confidence,
        )  # fmt: skip

    def predict(self, sentences: Sentences) -> list[tuple[str, ...]]:
        """The tags of all sentences."""
        return [tagging.tags for tagging in self.tag_many(sentences, confidence=False)]

    def answer(self, examples: Sequence[Example], output: OutputOptions = DEFAULT_OUTPUT) -> list[Tagging]:
        return self._batches.tag(examples, output)


class FrameTagger(Predictor):
    """Tags the frames of recordings."""

    has_confidence: ClassVar[bool] = False

    def tag(self, frames: Any) -> FrameTagging:
        """Tag frames (L, F) or an `Example` of them; raises `DataError` for other input."""
        return self.answer([self.preprocessor.example(frames, "tag")])[0]

    def tag_audio(self, path: str | Path) -> FrameTagging:
        """Tag a WAV file; raises `DataError` for other files."""
        return self.answer([self.preprocessor.audio(path, "tag_audio")])[0]

    def tag_many(self, sequences: Iterable[Any], *, look_ahead: int = 256) -> Iterator[FrameTagging]:
        """`tag` for a stream, as `Tagger.tag_many` does."""
        return self._sequences(sequences, "tag_many", look_ahead)

    def answer(self, examples: Sequence[Example], output: OutputOptions = DEFAULT_OUTPUT) -> list[FrameTagging]:
        labelled = len(self.model.task.labels) > 0
        return [
            FrameTagging(tuple(found[labelled:]), found[0] if labelled else None, self.preprocessor.source(example))
            for example, found in zip(examples, self.model.predict(examples), strict=True)
        ]
