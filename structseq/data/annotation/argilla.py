"""Argilla: records in JSON as ``to_json`` of version 2 writes them and of its server.

[{"id": "1", "fields": {"text": "to Taipei"}, "metadata": {},
  "responses": {"span": [{"value": [{"start": 3, "end": 9, "label": "city"}], "status": "submitted"}]},
  "suggestions": {"span": {"value": [...], "score": [0.9], "agent": "model"}}, "vectors": {}}]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from structseq.data.annotation.document import Annotation, Document, Notes, errors_at
from structseq.data.annotation.json_values import (
    are_strings,
    checked,
    label_of,
    objects,
    read_objects,
    take,
    text_key_of,
    unordered,
    write_objects,
)
from structseq.data.annotation.limits import DocumentLimits
from structseq.data.annotation.offsets import Mark, Offsets, character_places
from structseq.data.textfile import Source, Target
from structseq.errors import DataError

LIMITS = DocumentLimits("Argilla", labels=True)

_LONGEST = 60  # characters of a label

# Stands for the user; Argilla puts its own user in the place of unknown ones
_USER = "00000000-0000-0000-0000-000000000000"


def is_argilla(values: Mapping[str, Any]) -> bool:
    """Whether this is a record, by its keys."""
    own = {"responses", "suggestions", "vectors", "_server_id"} & values.keys()
    return isinstance(values.get("fields"), dict) and bool(own)


def read_argilla(
    source: Source, *, encoding: str = "utf-8", offsets: Offsets = "auto", layer: str = "", notes: Notes | None = None
) -> Iterator[Document]:
    """Yields the records with the submitted responses; suggestions are not read.

    ``layer`` names the question with the spans or labels, if there are several. Raises `DataError` with
    file and record.
    """
    notes = Notes() if notes is None else notes
    records: list[tuple[str, Mapping[str, Any], dict[str, Any]]] = []
    for where, values in read_objects(source, encoding=encoding):
        with errors_at(where):
            records.append((where, values, _given(values, notes)))
    free = _free_text([given for *_, given in records])
    for where, values, given in records:
        notes.update(f"answers to {name!r}, taken as free text, left out" for name in free if given.get(name))
        known = {name: value for name, value in given.items() if name not in free}
        with errors_at(where):
            document = _document(where, values, known, layer, offsets, notes)
        yield document


def _free_text(answers: Sequence[Mapping[str, Any]]) -> set[str]:
    """The questions answered by strings that are no labels: long ones, or with white space and all different."""
    found: dict[str, list[str]] = {}
    for name, value in (item for given in answers for item in given.items()):
        if isinstance(value, str) and name != "label":
            found.setdefault(name, []).append(value)
    free = set()
    for name, values in found.items():
        different = len(set(values)) == len(values) and any(len(value.split()) > 1 for value in values)
        if different or any(len(value) > _LONGEST or "\n" in value for value in values):
            free.add(name)
    return free


def _document(
    where: str, values: Mapping[str, Any], given: Mapping[str, Any], layer: str, offsets: Offsets, notes: Notes
) -> Document:
    fields = take(values, "fields", dict)
    key = text_key_of(fields, "the fields")
    annotations = _annotations(fields[key], given, layer, offsets, notes)
    metadata = {name: value for name, value in fields.items() if name != key} | take(values, "metadata", dict, {})
    if values.get("id") is not None:
        metadata["id"] = values["id"]
    if values.get("vectors"):
        metadata["vectors"] = values["vectors"]
    labels = _labels({layer: given[layer]} if _is_label(given.get(layer)) else given, notes)
    return Document(fields[key], annotations, labels=labels, metadata=metadata, source=where)


def _given(values: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
    """The submitted answer to each question; None if there is none."""
    answers = _answers(values)
    if values.get("status") == "pending" and any("status" not in each for some in answers.values() for each in some):
        notes["records that are not completed, whose responses are taken as submitted"] += 1
    given = {question: _agreed(each, notes) for question, each in answers.items()}
    if all(value is None for value in given.values()) and values.get("suggestions"):
        notes["records with suggestions alone, not read as gold"] += 1
    return given


def _annotations(
    text: str, given: Mapping[str, Any], layer: str, offsets: Offsets, notes: Notes
) -> tuple[Annotation, ...] | None:
    spans = {name: value for name, value in given.items() if _are_spans(value) and layer in ("", name)}
    if len(spans) > 1:
        raise DataError(f"expected one question with spans, found {', '.join(spans)}; name one of them as data.layer")
    if not spans:
        return None
    marks = [_mark(item) for items in spans.values() for item in items]
    places = character_places(text, marks, offsets=offsets, usual="codepoint", notes=notes)
    return tuple([Annotation(mark.label, (place,)) for mark, place in zip(marks, places, strict=True)])


def _answers(values: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Version 2 has a list of answers for each question; the server has a list of users with all their answers."""
    if isinstance(values.get("responses"), list):
        answers: dict[str, list[dict[str, Any]]] = {}
        for user in objects(values, "responses"):
            for question in take(user, "values", dict, {}):
                answer = take(user["values"], question, dict)
                answers.setdefault(question, []).append({**answer, "status": user.get("status")})
        return answers
    responses = take(values, "responses", dict, {})
    return {question: objects(responses, question) for question in responses}


def _agreed(answers: Sequence[Mapping[str, Any]], notes: Notes) -> Any:
    """The first submitted answer; None if there is none."""
    kept = [each["value"] for each in answers if (each.get("status") or "submitted") == "submitted" and "value" in each]
    if len(kept) < len(answers):
        notes["responses that are not submitted, left out"] += len(answers) - len(kept)
    if len({unordered(value if isinstance(value, list) else [value]) for value in kept}) > 1:
        notes["questions with different responses, of which the first is used"] += 1
    return kept[0] if kept else None


def _are_spans(value: Any) -> bool:
    """Whether these are spans, or so like them that an error should tell what is wrong."""
    if not isinstance(value, list):
        return False
    return not value or any(isinstance(each, dict) and {"start", "end"} & each.keys() for each in value)


def _mark(item: Any) -> Mark:
    span = checked(item, dict, "with start, end and label")
    return Mark((take(span, "start", int), take(span, "end", int)), label=label_of(span.get("label")))


def _is_label(value: Any) -> bool:
    return bool(value) and (isinstance(value, str) or are_strings(value))


def _labels(given: Mapping[str, Any], notes: Notes) -> tuple[str, ...]:
    if len(named := [name for name, value in given.items() if _is_label(value)]) > 1:
        notes[f"labels of {', '.join(named)}, read together (data.layer)"] += 1
    labels: list[str] = []
    for value in given.values():
        if isinstance(value, str):
            labels.append(label_of(value))
        elif are_strings(value):
            labels += [label_of(each) for each in value]
        elif value is not None and not _are_spans(value):
            notes["responses that are neither spans nor labels, left out"] += 1
    return tuple(labels)


def write_argilla(
    target: Target, documents: Iterable[Document], *, encoding: str = "utf-8", model: str | None = None
) -> None:
    """Writes records with responses, or with suggestions of this model, to the questions ``span`` and ``label``.

    Several labels are a list. Raises `DataError`, and writes no file, if a value is not JSON.
    """
    write_objects(target, documents, partial(_record, model=model), array=True, encoding=encoding)


def _record(document: Document, model: str | None) -> dict[str, Any]:
    metadata = dict(document.metadata)
    name = {"id": metadata.pop("id")} if metadata.get("id") is not None else {}
    vectors = metadata.pop("vectors") if metadata.get("vectors") else {}
    values: dict[str, Any] = {}
    if document.annotations is not None:
        values["span"] = [{"start": each.start, "end": each.end, "label": each.label} for each in document.annotations]
    if document.labels:
        values["label"] = document.labels[0] if len(document.labels) == 1 else list(document.labels)
    responses, suggestions = {}, {}
    for question, value in values.items():
        if model is None:
            responses[question] = [{"value": value, "user_id": _USER, "status": "submitted"}]
        else:
            scores = [each.attributes.get("score") for each in document.annotations or ()]
            known = question == "span" and None not in scores
            suggestions[question] = {"value": value, "score": scores if known else None, "agent": model}
    return {
        **name, "fields": {"text": document.text}, "metadata": metadata, "responses": responses,
        "suggestions": suggestions, "vectors": vectors,
    }  # fmt: skip
