"""DocumentLimits: the parts of a document that a format can store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from structseq.data.annotation.document import Annotation, Document, Notes, Place, Relation, check_relations, errors_at
from structseq.data.annotation.policies import Fragments, flat_spans, without_gaps
from structseq.data.annotation.to_examples import sentence_places
from structseq.data.tokenizer import Tokenizer
from structseq.errors import DataError

# Whether a format stores a value under a name
Holds = Callable[[str, Any], bool]


def any_label(label: str) -> bool:
    return True


def nothing(name: str, value: Any) -> bool:
    return False


def all_but(*names: str) -> Holds:
    """Any value under another name."""
    return lambda name, value: name not in names


EVERYTHING = all_but()


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """What a format stores beside texts and annotations without gaps."""

    format: str  # its name in messages
    fragments: bool = False  # discontinuous annotations
    label: Callable[[str], bool] = any_label  # of annotations, where it is not empty, and relations
    attribute: Holds = nothing  # of annotations and relations
    relations: bool = False
    labels: bool = False  # of whole texts
    tokens: bool = False
    sentences: bool = False
    lines: bool = False  # sentences if each is a line
    unannotated: bool = True  # texts that nobody has annotated, apart from texts without entities
    metadata: Holds = EVERYTHING

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
            with errors_at(document.source):
                if not self.fragments and document.annotations is not None:
                    whole = without_gaps(document.text, document.annotations, fragments, notes)
                    document = replace(document, annotations=whole)
                for part, names, without in self._beyond(document, tokenizer):
                    if not lossy:
                        such = " such as " + ", ".join([f"{name!r:.60}" for name in names[:5]]) if names else ""
                        raise DataError(f"{self.format} cannot hold {part}{such}; leave it out with --lossy")
                    notes[part + f" that {self.format} cannot hold" * bool(names) + ", left out"] += len(names) or 1
                    document = without
                check_relations(document)
            yield document

    def _beyond(self, document: Document, tokenizer: Tokenizer) -> Iterator[tuple[str, list[str], Document]]:
        """Parts beyond the limits, with their names, and the document that lacks these and all earlier ones."""
        if not self.unannotated and document.annotations is None:
            document = replace(document, annotations=())
            yield "that a text is not annotated", [], document
        if not self.relations and document.relations:
            names = [each.label for each in document.relations]
            document = replace(document, relations=())
            yield "relations", names, document
        if names := [each.label for each in _labelled(document) if not self._has_label(each)]:
            document = self._with_labels(document)
            yield "annotations with labels", names, document
        if names := [n for each in _labelled(document) for n, v in each.attributes.items() if not self.attribute(n, v)]:
            document = _with_attributes(document, self.attribute)
            yield "attributes", names, document
        if not self.labels and document.labels:
            names = list(document.labels)
            document = replace(document, labels=())
            yield "labels of whole texts", names, document
        if not self.sentences and not self._has_sentences(document):
            document = replace(document, sentences=None)
            yield "the sentences of the text" + " unless each is a line" * self.lines, [], document
        blank = [each for each in document.tokens or () if document.text[slice(*each)].isspace()]
        if self.tokens and blank:
            names = [document.text[slice(*each)] for each in blank]
            tokens = [each for each in document.tokens or () if each not in blank]
            document = replace(document, tokens=tuple(tokens))
            yield "tokens of white space", names, document
        if not self.tokens and document.tokens is not None:
            known = document.tokens == _tokens(document, tokenizer)
            document = replace(document, tokens=None)
            if not known:
                yield "tokens that the tokenizer does not cut from the text", [], document
        if names := [name for name, value in document.metadata.items() if not self.metadata(name, value)]:
            document = replace(document, metadata=_held(document.metadata, self.metadata))
            yield "metadata", names, document

    def _has_label(self, each: Annotation | Relation) -> bool:
        return self.label(each.label) and (bool(each.label) or isinstance(each, Relation))

    def _with_labels(self, document: Document) -> Document:
        """Without other annotations and relations, and without the relations of annotations that go."""
        kept = tuple([each for each in document.annotations or () if self._has_label(each)])
        ids = {each.id for each in kept}
        relations = [each for each in document.relations if self._has_label(each) and ids >= {each.source, each.target}]
        return replace(document, annotations=document.annotations and kept, relations=tuple(relations))

    def _has_sentences(self, document: Document) -> bool:
        """Whether a reader finds the document's sentences without being told."""
        given = document.sentences
        if given is None or tuple(given) == ((0, len(document.text)),):
            return given is None or not self.lines or len(document.text.splitlines()) < 2
        spans = flat_spans(document.text, document.annotations or (), overlapping="longest", fragments="hull")
        return self.lines and sentence_places(document, spans, lines=True) == list(given)


def _labelled(document: Document) -> tuple[Annotation | Relation, ...]:
    return (*(document.annotations or ()), *document.relations)


def _with_attributes(document: Document, holds: Holds) -> Document:
    annotations = [replace(each, attributes=_held(each.attributes, holds)) for each in document.annotations or ()]
    relations = [replace(each, attributes=_held(each.attributes, holds)) for each in document.relations]
    return replace(document, annotations=document.annotations and tuple(annotations), relations=tuple(relations))


def _held(values: Mapping[str, Any], holds: Holds) -> dict[str, Any]:
    return {name: value for name, value in values.items() if holds(name, value)}


def _tokens(document: Document, tokenizer: Tokenizer) -> tuple[Place, ...]:
    sentences = [(0, len(document.text))] if document.sentences is None else document.sentences
    return tuple(
        [(at + token.start, at + token.end) for at, end in sentences for token in tokenizer(document.text[at:end])]
    )


def _as_string(name: str, value: Any) -> bool:
    return isinstance(value, str) or name in ("id", "starts_document")


# Of files of sentences with tags
EXAMPLE_LIMITS = DocumentLimits(
    "a file of tagged sentences", fragments=True, labels=True, tokens=True, sentences=True, metadata=_as_string
)
