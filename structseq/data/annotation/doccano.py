"""Documents in JSON lines: the package's own layout, which holds everything, and that of doccano."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from structseq.data.annotation.document import Document, Notes
from structseq.data.annotation.from_examples import documents_of, token_places
from structseq.data.annotation.json_records import document_of
from structseq.data.annotation.limits import DocumentLimits
from structseq.data.annotation.offsets import Offsets
from structseq.data.jsonl import keys_of
from structseq.data.record import Record, preview, read_records
from structseq.data.textfile import Source, Target, name_of, open_writer
from structseq.data.tokenizer import tokenize
from structseq.errors import DataError
from structseq.spans import scheme_of

JSON_LIMITS = DocumentLimits(
    "a JSON line", fragments=True, attributes=True, relations=True, labels=True, tokens=True, sentences=False
)
DOCCANO_LIMITS = DocumentLimits("doccano", relations=True, labels=True, tokens=True)


def read_json_documents(
    source: Source,
    *,
    encoding: str = "utf-8",
    offsets: Offsets = "auto",
    scheme: str = "BIO",
    labels: tuple[str, ...] = (),
    notes: Notes | None = None,
) -> Iterator[Document]:
    """Yields records with a text and spans, or with tokens and tags of ``scheme``, as documents."""
    keys, tag_scheme = keys_of(labels=labels), scheme_of(scheme)
    for record in read_records(source, encoding=encoding):
        if record.values is None:
            continue
        try:
            if keys.has_text(record.values):
                yield document_of(record.values, source=record.source, offsets=offsets, notes=notes)
            else:
                yield from documents_of([keys.example(record)], tag_scheme, grouped=False)
        except DataError as error:
            raise _placed(error, record) from None


def write_json_documents(
    target: Target, documents: Iterable[Document], *, encoding: str = "utf-8", model: str | None = None
) -> None:
    """Writes the package's own layout; ``read_json_documents`` gives the same documents back."""
    _write(target, documents, encoding, _own_record)


def write_doccano(target: Target, documents: Iterable[Document], *, encoding: str = "utf-8") -> None:
    """Writes doccano's JSON lines: ``label`` with spans, or ``entities`` and ``relations`` if there are relations."""
    _write(target, documents, encoding, _doccano_record)


def _write(target: Target, documents: Iterable[Document], encoding: str, record_of: Any) -> None:
    with open_writer(target, encoding=encoding) as file:
        for document in documents:
            record = record_of(document)
            for key, value in document.metadata.items():
                if key in record or key in _RESERVED:
                    message = f"metadata cannot have the key {key!r}, which has a meaning in JSON lines; rename it"
                    raise DataError(message, file=name_of(target))
                record[key] = value
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


_RESERVED = frozenset(("text", "tokens", "words", "tags", "spans", "entities", "label", "labels", "relations", "cats"))


def _tokens_of(document: Document) -> dict[str, Any]:
    """The document's tokens, unless a reader cuts the same."""
    if document.tokens is None or list(document.tokens) == [(t.start, t.end) for t in tokenize(document.text)]:
        return {}
    tokens = [document.text[start:end] for start, end in document.tokens]
    if token_places(document.text, tokens) != list(document.tokens):
        raise DataError(f"JSON lines cannot hold tokens that leave out a part of the text, {preview(tokens)}")
    return {"tokens": tokens}


def _labels_of(document: Document, single: str) -> dict[str, Any]:
    labels = document.labels
    return {single: labels[0]} if len(labels) == 1 and single != "cats" else {"cats": list(labels)} if labels else {}


def _own_record(document: Document) -> dict[str, Any]:
    record: dict[str, Any] = {"text": document.text, **_tokens_of(document)}
    if document.annotations is not None:
        record["spans"] = [_own_span(each) for each in document.annotations]
    if document.relations:
        record["relations"] = [
            {**({"id": each.id} if each.id else {}), "source": each.source, "target": each.target, "label": each.label,
             **_free(each.attributes, _RELATION_KEYS)}
            for each in document.relations
        ]  # fmt: skip
    return record | _labels_of(document, "label")


_SPAN_KEYS = frozenset(("start", "end", "start_offset", "end_offset", "label", "id", "fragments", "text"))
_RELATION_KEYS = frozenset(("source", "target", "from_id", "to_id", "label", "type", "id"))


def _own_span(annotation: Any) -> dict[str, Any]:
    span: dict[str, Any] = {"start": annotation.start, "end": annotation.end, "label": annotation.label}
    if annotation.id:
        span["id"] = annotation.id
    if len(annotation.parts) > 1:
        span["fragments"] = [list(part) for part in annotation.parts]
    return span | _free(annotation.attributes, _SPAN_KEYS)


def _free(attributes: Mapping[str, Any], reserved: frozenset[str]) -> dict[str, Any]:
    for name in attributes:
        if name in reserved:
            raise DataError(f"an attribute cannot have the name {name!r}, which has a meaning in JSON lines; rename it")
    return dict(attributes)


def _doccano_record(document: Document) -> dict[str, Any]:
    record: dict[str, Any] = {"text": document.text, **_tokens_of(document)}
    annotations = document.annotations
    if annotations is None:
        return record | _labels_of(document, "cats")
    if not document.relations and not document.labels:
        return record | {"label": [[each.start, each.end, each.label] for each in annotations]}
    numbers = {each.id: number for number, each in enumerate(annotations, 1) if each.id}
    record["entities"] = [
        {"id": number, "label": each.label, "start_offset": each.start, "end_offset": each.end}
        for number, each in enumerate(annotations, 1)
    ]
    if document.relations:
        record["relations"] = [
            {"id": number, "from_id": numbers[each.source], "to_id": numbers[each.target], "type": each.label}
            for number, each in enumerate(document.relations, 1)
        ]
    return record | _labels_of(document, "cats")


def _placed(error: DataError, record: Record) -> DataError:
    return DataError(error.message, file=record.file, line=record.line)
