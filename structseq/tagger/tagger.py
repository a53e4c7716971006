"""Tagger: what users hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from structseq.data.example import Example
from structseq.errors import ConfigError, DataError
from structseq.model import Model
from structseq.spans import Scheme
from structseq.tagger.given import LOOK_AHEAD_STEPS
from structseq.tagger.held import Held
from structseq.tagger.reader import Asked, Reader
from structseq.tagger.sentences import Sentence, check_names, sentence_of, text_sentence
from structseq.tagger.tagging import Tagging

# Tokens read ahead at most (and one sentence more): memory stays bounded however long sentences are.


class Tagger(Held):
    """A trained model, ready to tag; see `Held` for how it is made, saved and shared. Vectors of all known words are
    computed here, once.

    Examples
    --------
    ::

        tagger = Tagger.load("model")
        tagger.tag(["arrive", "Taipei"]).tags
        [(span.label, span.start_char, span.end_char) for span in tagger.tag_text("arrive Taipei").spans]
        for tagging in tagger.tag_many(sentences, confidence=False):
            ...
    """

    holds = frozenset({"tags"})

    def __init__(self, model: Model, **told: Any) -> None:
        super().__init__(model, **told)
        model.words  # noqa: B018 - raises where it reads frames
        self._reader = Reader(model)

    # -- what it knows ------------------------------------------------------------------------------------------------

    @property
    def calibrated(self) -> bool:
        """Whether confidences can be told: False for a margin's scores without a fitted temperature."""
        return self._reader.calibrated

    @property
    def scheme(self) -> Scheme:
        """The scheme of its answers: that of the training files."""
        return self.model.tags.outer

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags that it may answer with."""
        return self._reader.marginals.labels

    @property
    def columns(self) -> tuple[str, ...]:
        """The further columns that it needs beside the tokens."""
        return tuple(self.model.inputs.column_vocabularies)

    # -- tagging ------------------------------------------------------------------------------------------------------

    def tag(
        self, tokens: Iterable[str], *, confidence: bool = True, marginals: bool = False, **columns: Iterable[str]
    ) -> Tagging:
        """Tag one sentence, given as tokens; further columns by name, where the model was trained with them.

        Raises `DataError` for a text (use `tag_text`), tokens that are no strings, and columns missing, unknown or of
        another length.
        """
        check_names(columns, self.columns)
        given = {"tokens": tokens, **columns} if columns else tokens
        sentence = sentence_of(given, self.columns, "tag")
        return self._reader.read([sentence], Asked(confidence, marginals))[0]

    def tag_text(self, text: str, *, confidence: bool = True, marginals: bool = False) -> Tagging:
        """Tag a text, cut by the model's tokenizer; tokens and spans know their places in it."""
        sentence = text_sentence(text, self._tokenize, self.columns, "tag_text")
        return self._reader.read([sentence], Asked(confidence, marginals))[0]

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
            Token lists, `Example` (of which the tags are not looked at), or mappings of column names to values.
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
        if isinstance(sentences, (str, bytes)):
            raise DataError("tag_many: expected sentences, found a text; use tag_texts([text]) or tag_text(text)")

        def prepare(given: Any, where: str) -> Sentence:
            return sentence_of(given, self.columns, where)

        return self._stream(sentences, prepare, Asked(confidence, marginals), look_ahead)

    def tag_texts(
        self, texts: Iterable[str], *, confidence: bool = True, marginals: bool = False, look_ahead: int = 1024
    ) -> Iterator[Tagging]:
        """Tag a stream of texts, as `tag_many` does."""
        if isinstance(texts, (str, bytes)):
            raise DataError("tag_texts: expected texts, found one; use tag_text")

        def prepare(given: Any, where: str) -> Sentence:
            return text_sentence(given, self._tokenize, self.columns, where)

        return self._stream(texts, prepare, Asked(confidence, marginals), look_ahead)

    def predict(
        self, sentences: Iterable[Iterable[str] | Example | Mapping[str, Iterable[str]]]
    ) -> list[tuple[str, ...]]:
        """The tags alone, for all sentences."""
        return [tagging.tags for tagging in self.tag_many(sentences, confidence=False)]

    def _stream(
        self, items: Iterable[Any], prepare: Callable[[Any, str], Sentence], asked: Asked, look_ahead: int
    ) -> Iterator[Tagging]:
        if look_ahead < 1:
            raise ConfigError(f"expected a look_ahead of at least one sentence, found {look_ahead}")
        return self._windows(iter(items), prepare, asked, look_ahead)

    def _windows(
        self, items: Iterator[Any], prepare: Callable[[Any, str], Sentence], asked: Asked, look_ahead: int
    ) -> Iterator[Tagging]:
        number, ended = 0, False
        while not ended:
            window: list[Sentence] = []
            tokens = 0
            problem: Exception | None = None
            try:
                while len(window) < look_ahead and tokens < LOOK_AHEAD_STEPS:
                    window.append(prepare(next(items), f"sentence {number + 1}"))
                    number += 1
                    tokens += len(window[-1].tokens)
            except StopIteration:
                ended = True
            except Exception as found:  # raised below, after the answers to what came before it
                problem = found
            yield from self._reader.read(window, asked)
            if problem is not None:
                raise problem

    # -- pickles ------------------------------------------------------------------------------------------------------
