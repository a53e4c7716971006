"""Documents in JSON lines: the package's own layout, which holds everything, and that of doccano."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from structseq.data.annotation.document import Annotation, Document, Notes, Relation, errors_at
from structseq.data.annotation.from_examples import documents_of
from structseq.data.annotation.json_records import OF_RELATIONS, OF_SPANS, document_of
from structseq.data.annotation.json_values import token_strings, write_objects
from structseq.data.annotation.limits import DocumentLimits, all_but
from structseq.data.annotation.offsets import Offsets
from structseq.data.jsonl import keys_of
from structseq.data.record import read_records
from structseq.data.textfile import Source, Target
from structseq.spans import scheme_of

_RESERVED = ("text", "tokens", "words", "tags", "spans", "entities", "label", "labels", "relations", "cats")

JSON_LIMITS = DocumentLimits(
    "a JSON line", fragments=True, attribute=all_but(*OF_SPANS, *OF_RELATIONS), relations=True, labels=True,
    tokens=True, metadata=all_but(*_RESERVED),
)  # fmt: skip
LIMITS = DocumentLimits("doccano", relations=True, labels=True, tokens=True, metadata=all_but(*_RESERVED))


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
        with errors_at(record.source):
            if keys.has_text(record.values):
                yield document_of(record.values, source=record.source, offsets=offsets, notes=notes)
            else:
                yield from documents_of([keys.example(record)], tag_scheme, grouped=False)


def write_json_documents(
    target: Target, documents: Iterable[Document], *, encoding: str = "utf-8", model: str | None = None
) -> None:
    """Writes the package's own layout; ``read_json_documents`` gives the same documents back."""
    _write(target, documents, encoding, _own_record)


def write_doccano(target: Target, documents: Iterable[Document], *, encoding: str = "utf-8") -> None:
    """Writes doccano's JSON lines: ``label`` with spans, or ``entities`` and ``relations`` if there are relations."""
    _write(target, documents, encoding, _doccano_record)


def _write(
    target: Target, documents: Iterable[Document], encoding: str, layout: Callable[[Document], Mapping[str, Any]]
) -> None:
    def record(document: Document) -> dict[str, Any]:
        tokens = token_strings(document)
        known = {"text": document.text, **({} if tokens is None else {"tokens": tokens}), **layout(document)}
        return {**known, **document.metadata}

    write_objects(target, documents, record, encoding=encoding)


def _own_record(document: Document) -> dict[str, Any]:
    record: dict[str, Any] = {}
    if document.annotations is not None:
        record["spans"] = [_own_span(each) for each in document.annotations]
    if document.relations:
        record["relations"] = [_own_relation(each) for each in document.relations]
    if len(document.labels) == 1:
        return {**record, "label": document.labels[0]}
    return record | _categories(document)


def _own_span(annotation: Annotation) -> dict[str, Any]:
    span: dict[str, Any] = {"start": annotation.start, "end": annotation.end, "label": annotation.label}
    if annotation.id:
        span["id"] = annotation.id
    if len(annotation.parts) > 1:
        span["fragments"] = annotation.parts
    return {**span, **annotation.attributes}


def _own_relation(relation: Relation) -> dict[str, Any]:
    name = {"id": relation.id} if relation.id else {}
    ends = {"source": relation.source, "target": relation.target, "label": relation.label}
    return {**name, **ends, **relation.attributes}


def _doccano_record(document: Document) -> dict[str, Any]:
    annotations, labels = document.annotations, _categories(document)
    if annotations is None:
        return labels
    if not document.relations and not labels:
        return {"label": [[each.start, each.end, each.label] for each in annotations]}
    numbers = {each.id: number for number, each in enumerate(annotations, 1)}
    spans = [
        {"id": number, "label": each.label, "start_offset": each.start, "end_offset": each.end}
        for number, each in enumerate(annotations, 1)
    ]
    relations = [
        {"id": number, "from_id": numbers[each.source], "to_id": numbers[each.target], "type": each.label}
        for number, each in enumerate(document.relations, 1)
    ]
    return {"entities": spans, **({"relations": relations} if relations else {}), **labels}


def _categories(document: Document) -> dict[str, Any]:
    return {"cats": list(document.labels)} if document.labels else {}
