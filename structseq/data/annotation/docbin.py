"""spaCy's DocBin (``.spacy``): tokens, sentences, entities or span groups, categories; spaCy reads and writes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from structseq.data.annotation.document import Annotation, Document, Notes, Place, errors_at
from structseq.data.annotation.document_folders import read_bytes, write_bytes
from structseq.data.annotation.from_examples import token_places
from structseq.data.annotation.limits import DocumentLimits
from structseq.data.libraries import library
from structseq.data.textfile import Source, Target, name_of
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError, DataError

SPANS_KEY = "sc"  # as in spaCy's span categorizer

_EXTENSION = "._."  # user data under (_EXTENSION, name, start, end) is an attribute of a span


def _is_plain(name: str, value: Any) -> bool:
    """Whether JSON and msgpack hold the value."""
    try:
        json.dumps(value)
        _library("srsly").msgpack_dumps(value)
    except (OverflowError, TypeError, ValueError, RecursionError):
        return False
    return True


LIMITS = DocumentLimits(
    "spaCy's DocBin", attribute=_is_plain, labels=True, tokens=True, sentences=True, metadata=_is_plain
)


def _library(name: str) -> Any:
    return library(name, ".spacy files", "spacy")


def read_docbin(source: Source, *, layer: str = "", notes: Notes | None = None) -> Iterator[Document]:
    """The documents of a ``.spacy`` file.

    ``layer`` is ``ents`` or the key of a span group; empty: the entities, if the file has any, else ``sc`` or the only
    group. Raises `DataError` for damaged files and unclear layers, `ConfigError` if spaCy is not installed.
    """
    notes, name = Notes() if notes is None else notes, name_of(source)
    spacy, vocab, data = _library("spacy.tokens"), _library("spacy.vocab").Vocab(), read_bytes(source)
    with _checked(name):
        content = spacy.DocBin().from_bytes(data)
        keys = _keys(content.get_docs(vocab))
        chosen = layer or _only_layer(keys)
        if chosen not in ("ents", *keys):
            found = ", ".join(dict.fromkeys(["ents", *keys]))
            raise DataError(f"expected the layer {layer!r} (data.layer), found {found}; name one of these")
    docs = content.get_docs(vocab)
    for number in range(1, len(content) + 1):
        where = f"{name}:record {number}"
        with _checked(where):
            document = _document(where, next(docs), chosen, notes)
        yield document


@contextmanager
def _checked(where: str) -> Iterator[None]:
    with errors_at(where):
        try:
            yield
        except (ConfigError, DataError):
            raise
        except Exception as error:  # of spaCy and the libraries below
            advice = "name a file that DocBin.to_disk wrote, or write it again"
            raise DataError(f"expected a whole file of spaCy's DocBin, found {error!r:.120}; {advice}") from None


def _keys(docs: Iterable[Any]) -> list[str]:
    """The keys of all span groups, after ``ents`` if there is an entity."""
    keys: set[str] = set()
    entities = False
    for doc in docs:
        entities = entities or bool(doc.ents)
        keys.update(doc.spans)
    return ["ents"] * entities + sorted(keys)


def _only_layer(keys: Sequence[str]) -> str:
    if not keys or keys[0] == "ents":
        return "ents"
    if len(keys) > 1 and SPANS_KEY not in keys:
        raise DataError(f"expected entities or one group of spans, found {', '.join(keys)}; name one as data.layer")
    return SPANS_KEY if SPANS_KEY in keys else keys[0]


def _document(where: str, doc: Any, layer: str, notes: Notes) -> Document:
    text = doc.text[:-1] if doc.has_unknown_spaces and len(doc) else doc.text
    metadata, further = _user_data(doc, notes)
    for key in doc.spans:
        if key != layer and (layer != "ents" or len(doc.spans[key])):
            notes[f"texts whose spans {key!r} were left out (data.layer={layer})"] += 1
    annotations = None
    if doc.has_annotation("ENT_IOB") if layer == "ents" else layer in doc.spans:
        annotations = tuple(_annotations(doc, layer, further, notes))
        if layer == "ents" and (missing := sum(token.ent_iob == 0 for token in doc)):
            notes["tokens without a decision on entities, read as outside of them"] += missing
    labels = tuple([str(label) for label, score in doc.cats.items() if float(score) >= 0.5])
    tokens = tuple([_place(token, token) for token in doc if not token.text.isspace()])
    return Document(
        text, annotations, labels=labels, tokens=tokens, sentences=_sentences(doc), metadata=metadata, source=where
    )


def _place(first: Any, last: Any) -> Place:
    return first.idx, last.idx + len(last)


def _sentences(doc: Any) -> tuple[Place, ...] | None:
    """Without the white space around them; spaCy always marks the first token."""
    if len(doc) < 2 or not doc.has_annotation("SENT_START"):
        return None
    runs = [[token for token in sentence if not token.text.isspace()] for sentence in doc.sents]
    return tuple([_place(run[0], run[-1]) for run in runs if run])


def _annotations(
    doc: Any, layer: str, further: Mapping[Place, Mapping[str, Any]], notes: Notes
) -> Iterator[Annotation]:
    spans = doc.ents if layer == "ents" else doc.spans[layer]
    scores = () if layer == "ents" else doc.spans[layer].attrs.get("scores", ())
    for number, span in enumerate(spans):
        if span.start == span.end or not span.label:
            notes["spans without tokens or without a label, left out"] += 1
            continue
        place = _place(doc[span.start], doc[span.end - 1])
        named = {"kb_id": span.kb_id_, "ent_id": span.id_}
        attributes: dict[str, Any] = {name: value for name, value in named.items() if value}
        if len(scores) == len(spans):
            attributes["score"] = float(scores[number])
        yield Annotation(span.label_, (place,), attributes={**attributes, **further.get(place, {})})


def _user_data(doc: Any, notes: Notes) -> tuple[dict[str, Any], dict[Place, dict[str, Any]]]:
    """Metadata, and attributes by the place of their span."""
    metadata: dict[str, Any] = {}
    attributes: dict[Place, dict[str, Any]] = {}
    for key, value in doc.user_data.items():
        if isinstance(key, str) and _is_plain(key, value):
            metadata[key] = json.loads(json.dumps(value))
        elif isinstance(key, tuple) and key[:1] == (_EXTENSION,) and type(key[-1]) is int and _is_plain("", value):
            attributes.setdefault((key[2], key[3]), {})[str(key[1])] = json.loads(json.dumps(value))
        else:
            notes["further values of user_data, left out"] += 1
    return metadata, attributes


def write_docbin(target: Target, documents: Iterable[Document]) -> None:
    """Writes a ``.spacy`` file; texts without tokens are cut by ``words-1``.

    Annotations are entities, or, if some overlap, the span group ``sc``. Metadata and further attributes are user data.
    Raises `DataError`, and writes no file, if an annotation or a sentence cuts a token or tokens leave out text.
    """
    documents, vocab = list(documents), _library("spacy.vocab").Vocab()
    grouped = any(map(_overlap, documents))
    content = _library("spacy.tokens").DocBin(store_user_data=True)
    for document in documents:
        with errors_at(document.source):
            try:
                content.add(_doc(document, vocab, grouped))
            except UnicodeEncodeError as error:
                bad = error.object[error.start]
                raise _beyond(f"half a surrogate pair, found {bad!a}") from None
    write_bytes(target, content.to_bytes())


def _overlap(document: Document) -> bool:
    places = sorted((each.start, each.end) for each in document.annotations or ())
    return any(other[0] < one[1] for one, other in pairwise(places))


def _beyond(what: str) -> DataError:
    return DataError(f"{LIMITS.format} cannot hold {what}; correct it")


def _doc(document: Document, vocab: Any, grouped: bool) -> Any:
    annotations = document.annotations or ()
    doc = _with_tokens(document, vocab)
    spans = [_span(each, document.text, doc) for each in annotations]
    if grouped and document.annotations is not None:
        doc.spans[SPANS_KEY] = spans
    elif document.annotations is not None:
        doc.set_ents(spans, default="outside")
    doc.cats = dict.fromkeys(document.labels, 1.0)
    if len(doc.cats) < len(document.labels):
        raise _beyond("the same label of a text twice")
    doc.user_data.update(document.metadata)
    doc.user_data.update(_extensions(annotations))
    return doc


def _with_tokens(document: Document, vocab: Any) -> Any:
    """A spaCy document with the tokens, those of white space, and the sentences."""
    text, tokens = document.text, document.tokens
    if tokens is None:
        tokens = tuple([(token.start, token.end) for token in tokenizer_of("words-1")(text)])
    words = [text[start:end] for start, end in tokens]
    if token_places(text, words) != tokens or any(map(str.isspace, words)):
        raise _beyond("tokens that leave out text, are white space or are not in order")
    words, spaces = _library("spacy.util").get_words_and_spaces(words, text)
    doc = _library("spacy.tokens").Doc(vocab, words=words, spaces=spaces)
    if document.sentences and len(doc) > 1:
        pieces = [text[start:end] for start, end in document.sentences]
        starts = [
            start + len(piece) - len(piece.lstrip())
            for (start, _), piece in zip(document.sentences, pieces, strict=True)
        ]
        inner = set(starts[1:])
        for token in doc:
            # White space before the first sentence is part of it
            token.is_sent_start = token.i == 0 or token.idx in inner
        if _sentences(doc) != tuple([(at, at + len(piece.strip())) for at, piece in zip(starts, pieces, strict=True)]):
            raise _beyond("sentences that have no tokens, leave out tokens or cut one")
    return doc


def _span(each: Annotation, text: str, doc: Any) -> Any:
    ids = {name: value for name, value in each.attributes.items() if _is_id(name, value)}
    span = doc.char_span(each.start, each.end, each.label, kb_id=ids.get("kb_id", ""), span_id=ids.get("ent_id", ""))
    if span is None:
        shown = f"{each.label} {each.start}:{each.end} {text[each.start : each.end]!r:.60}"
        raise _beyond(f"spans that cut a token, found {shown}")
    return span


def _is_id(name: str, value: Any) -> bool:
    return name in ("kb_id", "ent_id") and isinstance(value, str) and value != ""


def _extensions(annotations: Sequence[Annotation]) -> dict[tuple[str, str, int, int], Any]:
    """The attributes that spaCy finds as ``span._.name``; raises `DataError` if spans of one place differ in them."""
    found: dict[Place, dict[str, Any]] = {}
    for each in annotations:
        values = {name: value for name, value in each.attributes.items() if not _is_id(name, value)}
        if found.setdefault((each.start, each.end), values) != values:
            raise _beyond(f"different attributes of two annotations at {each.start} to {each.end}")
    return {(_EXTENSION, name, *at): value for at, values in found.items() for name, value in values.items()}
