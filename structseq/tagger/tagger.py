"""Tagger: what users hold."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from structseq.data.example import Example
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError, DataError
from structseq.model import Model
from structseq.spans import Scheme
from structseq.storage import load_model, model_files, save_model
from structseq.tagger.reader import Asked, Reader
from structseq.tagger.sentences import Sentence, check_names, sentence_of, text_sentence
from structseq.tagger.tagging import Tagging

# Tokens read ahead at most (and one sentence more): memory stays bounded however long sentences are.
LOOK_AHEAD_TOKENS = 32768


class Tagger:
    """A trained model, ready to tag. Threads may share one; pickles hold the files of its model folder.

    Parameters
    ----------
    model:
        Held as it is and not to be trained further: vectors of all known words are computed here, once.
    tokenizer:
        Name of the tokenizer that cuts text, see `structseq.data.tokenizer`.
    metrics, provenance, entities:
        As in `structseq.storage.save_model`; kept for saving.

    Raises
    ------
    ConfigError
        For a model whose answer is a label; `Classifier` holds those.

    Examples
    --------
    ::

        tagger = Tagger.load("model")
        tagger.tag(["arrive", "Taipei"]).tags
        [(span.label, span.start_char, span.end_char) for span in tagger.tag_text("arrive Taipei").spans]
        for tagging in tagger.tag_many(sentences, confidence=False):
            ...
    """

    def __init__(
        self,
        model: Model,
        *,
        tokenizer: str = "words-1",
        metrics: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        entities: Iterable[tuple[str, str]] = (),
    ) -> None:
        if model.head.gives != "tags":
            others = {"label": "a label; use Classifier", "target": "another sequence; use Transducer"}
            raise ConfigError(
                f"expected a model that tags, found one that gives {others.get(model.head.gives, 'none')}"
            )
        model.words  # noqa: B018 - raises where it reads frames
        self.model = model
        self.tokenizer = tokenizer
        self.metrics, self.provenance = dict(metrics or {}), dict(provenance or {})
        self.entities = frozenset(entities)
        self._tokenize = tokenizer_of(tokenizer)
        self._reader = Reader(model)

    @staticmethod
    def load(folder: str | Path, *, trusted: Collection[str] = (), device: str = "cpu") -> Tagger:
        """The tagger in a model folder; ``trusted`` as in `structseq.storage.load_model`.

        Warns of a folder of an older format version and reads it. Raises `ModelFileError` for a foreign or damaged one.
        """
        stored = load_model(folder, trusted=trusted)
        return Tagger(
            stored.model.to(device),
            tokenizer=stored.tokenizer,
            metrics=stored.metrics,
            provenance=stored.provenance,
            entities=stored.entities,
        )

    def save(self, folder: str | Path) -> None:
        """Write the model folder; see `structseq.storage.save_model`."""
        save_model(folder, self.model, **self._told())

    def _told(self) -> dict[str, Any]:
        told = {"metrics": self.metrics, "provenance": self.provenance, "entities": self.entities}
        return {"tokenizer": self.tokenizer, **told}

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
                while len(window) < look_ahead and tokens < LOOK_AHEAD_TOKENS:
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

    def __getstate__(self) -> dict[str, Any]:
        """The files of the model folder by name: JSON, text and safetensors, no pickled tensors."""
        options = self.model.options
        trusted = [kind for kind in (options.encoder.type, options.head.type) if ":" in kind]
        return {"files": model_files(self.model, **self._told()), "trusted": trusted}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in state["files"].items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            self.__dict__.update(Tagger.load(folder, trusted=state["trusted"]).__dict__)
