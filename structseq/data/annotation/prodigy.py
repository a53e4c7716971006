"""Prodigy: JSON lines as its recipes read them and ``db-out`` writes them.

{"text": "to Taipei", "tokens": [{"text": "to", "start": 0, "end": 2, "id": 0, "ws": true}, ...],
 "spans": [{"start": 3, "end": 9, "token_start": 1, "token_end": 1, "label": "city"}], "answer": "accept"}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from structseq.data.annotation.document import Annotation, Document, Notes, Place, Relation, errors_at
from structseq.data.annotation.json_values import (
    are_strings,
    id_of,
    label_of,
    objects,
    read_objects,
    take,
    unique_ids,
    write_objects,
)
from structseq.data.annotation.limits import DocumentLimits, all_but
from structseq.data.annotation.offsets import Mark, Offsets, character_places, token_order
from structseq.data.textfile import Source, Target

_OF_RECORDS = ("text", "tokens", "spans", "relations", "answer", "label", "accept")
_OF_SPANS = ("start", "end", "token_start", "token_end", "label", "text", "id")
_OF_RELATIONS = ("head", "child", "head_span", "child_span", "label", "id")

_GOLD = ("", "accept")  # answers
# Views whose spans are one question each, or only shown
_NO_GOLD_SPANS = ("ner", "spans", "classification", "choice", "text", "html")


def _is_metadata(name: str, value: Any) -> bool:
    return name not in _OF_RECORDS and not (name == "_view_id" and value in _NO_GOLD_SPANS)


LIMITS = DocumentLimits(
    "Prodigy", attribute=all_but(*_OF_SPANS, *_OF_RELATIONS), relations=True, labels=True, tokens=True,
    metadata=_is_metadata,
)  # fmt: skip


def is_prodigy(values: Mapping[str, Any]) -> bool:
    """Whether this is a record, by its keys."""
    tokens = values.get("tokens")
    marks = "answer" in values or "_input_hash" in values or "_task_hash" in values
    return marks or (isinstance(tokens, list) and bool(tokens) and isinstance(tokens[0], dict))


def read_prodigy(
    source: Source, *, encoding: str = "utf-8", offsets: Offsets = "auto", notes: Notes | None = None
) -> Iterator[Document]:
    """Yields the records of a JSON-lines file; those that are not accepted are texts without annotations.

    Raises `DataError` with file and line.
    """
    notes = Notes() if notes is None else notes
    for where, values in read_objects(source, encoding=encoding):
        with errors_at(where):
            document = _document(where, values, offsets, notes)
        yield document


def _document(where: str, values: Mapping[str, Any], offsets: Offsets, notes: Notes) -> Document:
    text = take(values, "text", str)
    metadata = {key: value for key, value in values.items() if key not in _OF_RECORDS}
    tokens, spans = objects(values, "tokens"), objects(values, "spans")
    marks = [_mark(each) for each in (*tokens, *spans)]
    places = character_places(text, marks, offsets=offsets, usual="codepoint", notes=notes)
    kept = token_order(text, places[: len(tokens)]) if "tokens" in values else None
    answer = take(values, "answer", str, "")
    has_spans = _has_spans(values, answer, notes)
    labels = _labels(values) if answer in _GOLD else ()
    if not has_spans:
        return Document(text, labels=labels, tokens=kept, metadata=metadata, source=where)
    annotations = [_annotation(span, place) for span, place in zip(spans, places[len(tokens) :], strict=True)]
    relations: list[Relation] = []
    if arrows := objects(values, "relations"):
        annotations = [replace(each, id=id) for each, id in zip(annotations, unique_ids(annotations), strict=True)]
        relations = _relations(arrows, annotations, spans, notes)
    return Document(text, tuple(annotations), tuple(relations), labels, kept, metadata=metadata, source=where)


def _has_spans(values: Mapping[str, Any], answer: str, notes: Notes) -> bool:
    """Whether the record says which spans there are."""
    view = values.get("_view_id")
    if answer not in _GOLD:
        notes[f"records with the answer {answer}, not read as gold"] += 1
        return False
    if view in _NO_GOLD_SPANS:
        if values.get("spans"):
            notes[f"records of the view {view}, whose spans are not read as gold"] += 1
        return False
    return "spans" in values or (answer == "accept" and not {"label", "accept", "options"} & values.keys())


def _mark(values: Mapping[str, Any]) -> Mark:
    """Of a token or a span."""
    label = values["label"] if isinstance(values.get("label"), str) else ""
    return Mark((take(values, "start", int), take(values, "end", int)), take(values, "text", str, "") or None, label)


def _labels(values: Mapping[str, Any]) -> tuple[str, ...]:
    accepted, label = values.get("accept"), values.get("label")
    if accepted and are_strings(accepted):
        return tuple([label_of(each) for each in accepted])
    return (label_of(label),) if accepted is None and isinstance(label, str) else ()


def _annotation(span: Mapping[str, Any], place: Place) -> Annotation:
    attributes = {key: value for key, value in span.items() if key not in _OF_SPANS}
    if attributes.get("type") == "span":  # as rel.manual marks every span
        del attributes["type"]
    return Annotation(label_of(span.get("label")), (place,), id_of(span), attributes)


def _relations(
    arrows: Sequence[Mapping[str, Any]],
    annotations: Sequence[Annotation],
    spans: Sequence[Mapping[str, Any]],
    notes: Notes,
) -> list[Relation]:
    relations: list[Relation] = []
    for arrow in arrows:
        source, target = (_end(arrow, side, annotations, spans) for side in ("head", "child"))
        if source is None or target is None:
            notes["relations of tokens without an annotation, left out"] += 1
            continue
        attributes = {key: value for key, value in arrow.items() if key not in _OF_RELATIONS}
        relations.append(Relation(take(arrow, "label", str, ""), source, target, id_of(arrow), attributes))
    return relations


def _end(
    arrow: Mapping[str, Any], side: str, annotations: Sequence[Annotation], spans: Sequence[Mapping[str, Any]]
) -> str | None:
    """The id of the annotation at one end, by its id or its place and label."""
    wanted = take(arrow, f"{side}_span", dict)
    keys = ("id",) if "id" in wanted else ("start", "end", "label")
    pairs = zip(annotations, spans, strict=True)
    return next((each.id for each, span in pairs if all(span.get(key) == wanted.get(key) for key in keys)), None)


def write_prodigy(
    target: Target, documents: Iterable[Document], *, encoding: str = "utf-8", model: str | None = None
) -> None:
    """Writes accepted records, or tasks with the spans of this model and no answer.

    Raises `DataError`, and writes no file, if a value is not JSON.
    """
    write_objects(target, documents, partial(_record, model=model), encoding=encoding)


def _record(document: Document, model: str | None) -> dict[str, Any]:
    metadata = dict(document.metadata)
    if model is not None:
        metadata.pop("_task_hash", None)
    gold = document.annotations is not None or bool(document.labels)
    record: dict[str, Any] = {"text": document.text, **metadata}
    if document.labels:
        single = len(document.labels) == 1 and "options" not in metadata
        record.update({"label": document.labels[0]} if single else {"accept": list(document.labels)})
    if document.tokens is not None:
        record["tokens"] = [
            {"text": document.text[s:e], "start": s, "end": e, "id": number, "ws": document.text[e : e + 1].isspace()}
            for number, (s, e) in enumerate(document.tokens)
        ]
    if document.annotations is not None:
        record |= _spans(document, document.annotations, model)
    return {**record, "answer": "accept"} if gold and model is None else record


def _spans(document: Document, annotations: Sequence[Annotation], model: str | None) -> dict[str, Any]:
    starts = {start: number for number, (start, _) in enumerate(document.tokens or ())}
    ends = {end: number for number, (_, end) in enumerate(document.tokens or ())}
    spans: list[dict[str, Any]] = []
    plain: dict[str, dict[str, Any]] = {}  # without attributes, by id
    for each in annotations:
        span: dict[str, Any] = {"start": each.start, "end": each.end, "label": each.label}
        if each.start in starts and each.end in ends:
            span |= {"token_start": starts[each.start], "token_end": ends[each.end]}
        if each.id:
            span["id"] = each.id
            plain.setdefault(each.id, span)
        source = {} if model is None else {"source": model}
        spans.append({**span, **source, **each.attributes})
    if not document.relations:
        return {"spans": spans}
    return {"spans": spans, "relations": [_arrow(each, plain) for each in document.relations]}


def _arrow(relation: Relation, plain: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    head, child = plain[relation.source], plain[relation.target]
    arrow: dict[str, Any] = {"head_span": head, "child_span": child, "label": relation.label}
    if "token_end" in head and "token_end" in child:
        arrow |= {"head": head["token_end"], "child": child["token_end"]}
    if relation.id:
        arrow["id"] = relation.id
    return {**arrow, **relation.attributes}
