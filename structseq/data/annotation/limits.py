"""DocumentLimits: the parts of a document that a format can store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from structseq.data.annotation.document import Document, Notes, Place
from structseq.data.annotation.policies import Fragments, flat_spans, without_gaps
from structseq.data.annotation.to_examples import placed, sentence_places
from structseq.data.tokenizer import Tokenizer
from structseq.errors import DataError


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """What a format stores beside texts and annotations without gaps."""

    format: str  # its name in messages
    fragments: bool = False  # discontinuous annotations
    attributes: bool = False
    relations: bool = False
    labels: bool = False  # of whole texts
    tokens: bool = False
    sentences: bool = False
    lines: bool = False  # sentences if each is a line
    unannotated: bool = True  # texts that nobody has annotated, apart from texts without entities
    metadata: frozenset[str] | None = None  # keys; None: any
    strings: bool = False  # no metadata but strings and the number of the document

    def fit(
        self,
        documents: Iterable[Document],
        tokenizer: Tokenizer,
        *,
        fragments: Fragments = "error",
        lossy: bool = False,
        notes: Notes,
    ) -> Iterator[Document]:
        """The documents without what the format cannot store.

        Raises `DataError` for such a part, unless ``lossy``: then ``notes`` count what is left out.
        """
        for document in documents:
            try:
                if not self.fragments and document.annotations is not None:
                    whole = without_gaps(document.text, document.annotations, fragments, notes)
                    document = replace(document, annotations=whole)
                for part, without in self._beyond(document, tokenizer):
                    if not lossy:
                        raise DataError(f"{self.format} cannot hold {part}; leave it out with --lossy")
                    notes[f"{part.partition(':')[0]}, left out"] += 1
                    document = without
                yield document
            except DataError as error:
                raise error if error.file else placed(error, document) from None

    def _beyond(self, document: Document, tokenizer: Tokenizer) -> Iterator[tuple[str, Document]]:
        """Parts beyond the limits, with the document that lacks these and all earlier ones."""
        annotations = document.annotations
        if not self.unannotated and annotations is None:
            document = replace(document, annotations=())
            yield "that a text is not annotated", document
        if not self.attributes and annotations and any(each.attributes for each in annotations):
            names = dict.fromkeys(name for each in annotations for name in each.attributes)
            document = replace(document, annotations=tuple([replace(each, attributes={}) for each in annotations]))
            yield f"attributes of annotations: {', '.join(names)}", document
        if not self.relations and document.relations:
            document = replace(document, relations=())
            yield "relations", document
        if not self.labels and document.labels:
            document = replace(document, labels=())
            yield "labels of whole texts", document
        if not self.sentences and not self._has_sentences(document):
            document = replace(document, sentences=None)
            yield "the sentences of the text" + " unless each is a line" * self.lines, document
        if not self.tokens and document.tokens is not None:
            known = document.tokens == _tokens(document, tokenizer)
            document = replace(document, tokens=None)
            if not known:
                yield "tokens that the tokenizer does not cut from the text", document
        kept = {key: value for key, value in document.metadata.items() if self._has_metadata(key, value)}
        if beyond := [key for key in document.metadata if key not in kept]:
            document = replace(document, metadata=kept)
            yield f"metadata: {', '.join(beyond)}", document

    def _has_metadata(self, key: str, value: Any) -> bool:
        if self.metadata is not None and key not in self.metadata:
            return False
        return not self.strings or isinstance(value, str) or key in ("id", "starts_document")

    def _has_sentences(self, document: Document) -> bool:
        """Whether a reader finds the document's sentences without being told."""
        given = document.sentences
        if given is None or tuple(given) == ((0, len(document.text)),):
            return given is None or not self.lines or len(document.text.splitlines()) < 2
        spans = flat_spans(document.text, document.annotations or (), overlapping="longest", fragments="hull")
        return self.lines and sentence_places(document, spans, lines=True) == list(given)


def _tokens(document: Document, tokenizer: Tokenizer) -> tuple[Place, ...]:
    sentences = [(0, len(document.text))] if document.sentences is None else document.sentences
    return tuple(
        [(at + token.start, at + token.end) for at, end in sentences for token in tokenizer(document.text[at:end])]
    )


# Of files of sentences with tags
EXAMPLE_LIMITS = DocumentLimits(
    "a file of tagged sentences", fragments=True, labels=True, tokens=True, sentences=True, strings=True
)
