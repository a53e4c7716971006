"""Label Studio: tasks in JSON, as it exports them (JSON and JSON-MIN) and imports them.

[{"id": 1, "data": {"text": "to Taipei"}, "annotations": [{"result": [
    {"id": "a", "from_name": "label", "to_name": "text", "type": "labels",
     "value": {"start": 3, "end": 9, "text": "Taipei", "labels": ["city"]}}]}]}]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

from structseq.data.annotation.document import Annotation, Document, Notes, Place, Relation, errors_at
from structseq.data.annotation.from_examples import token_places
from structseq.data.annotation.json_values import (
    are_strings,
    checked,
    id_of,
    is_number,
    label_of,
    objects,
    read_objects,
    take,
    text_key_of,
    token_strings,
    unique_ids,
    unordered,
    write_objects,
)
from structseq.data.annotation.limits import DocumentLimits, all_but
from structseq.data.annotation.offsets import Mark, Offsets, character_places
from structseq.data.textfile import Source, Target, name_of
from structseq.errors import DataError

LIMITS = DocumentLimits(
    "Label Studio",
    attribute=all_but("text"),
    relations=True,
    labels=True,
    tokens=True,
    metadata=all_but("text", "tokens"),
)

# Types of results that are labelled places; the labels are under the same key
_REGIONS = ("labels", "hypertextlabels")
# Notes are "text" in meta, which records reserve
_NOTES = "notes"
_ADDRESS = re.compile(r"(?:\w+:/)?/\S+")
_OF_EXPORT = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")


def is_label_studio(values: Mapping[str, Any]) -> bool:
    """Whether this is a task, by its keys."""
    return isinstance(values.get("data"), dict) or {"annotator", "annotation_id", "lead_time"} <= values.keys()


@dataclass(frozen=True, slots=True)
class _Result:
    """One item of an annotation."""

    type: str
    name: str  # of the control that made it
    id: str
    value: Mapping[str, Any]
    item: Mapping[str, Any]

    @property
    def of_region(self) -> bool:
        return "start" in self.value or "globalOffsets" in self.value

    def mark(self) -> Mark:
        """Places in HTML are paths, with offsets beside them."""
        value = self.value
        place = value if type(value.get("start")) is int else take(value, "globalOffsets", dict, dict(value))
        return Mark((take(place, "start", int), take(place, "end", int)), take(value, "text", str, "") or None)


@dataclass(frozen=True, slots=True)
class _Task:
    source: str
    data: Mapping[str, Any]
    results: Sequence[_Result] | None  # None: nobody has annotated it
    spans: bool | None = None  # whether it was annotated with spans too, if it says so

    def regions(self, layer: str) -> list[_Result]:
        return [each for each in self.results or () if each.type in _REGIONS and layer in ("", each.name)]


def read_label_studio(
    source: Source, *, encoding: str = "utf-8", offsets: Offsets = "auto", layer: str = "", notes: Notes | None = None
) -> Iterator[Document]:
    """Yields the tasks of a JSON or JSON-MIN export, with the ground truth or else the newest annotation.

    ``layer`` names the control (from_name) whose labels are read, if there are several. Raises `DataError` with file
    and record.
    """
    notes = Notes() if notes is None else notes
    tasks = []
    for where, values in read_objects(source, encoding=encoding):
        with errors_at(where):
            tasks.append(_task(where, values, notes))
    names = sorted({each.name for task in tasks for each in task.regions("")})
    if names and (layer not in names if layer else len(names) > 1):
        expected = f"labels of the control {layer!r}" if layer else "one control with labels of spans"
        message = f"expected {expected}, found those of {', '.join(names)}; name one of them as data.layer"
        raise DataError(message, file=name_of(source))
    key = _usual_key(tasks, layer, offsets)
    for task in tasks:
        with errors_at(task.source):
            document = _document(task, layer, key, offsets, bool(names), notes)
        yield document


def _task(where: str, values: Mapping[str, Any], notes: Notes) -> _Task:
    if "data" not in values and "annotation_id" in values:
        return _minimal_task(where, values)
    data = dict(take(values, "data", dict))
    if isinstance(values.get("id"), int | str):
        data.setdefault("id", values["id"])
    kept = _chosen([*objects(values, "annotations"), *objects(values, "completions")], notes)
    if kept is None:
        if objects(values, "predictions"):
            notes["tasks with predictions alone, not read as gold"] += 1
        return _Task(where, data, None)
    meta = values.get("meta")
    spans = meta.get("spans") if isinstance(meta, dict) else None
    return _Task(where, data, [_result(item) for item in objects(kept, "result")], spans)


def _minimal_task(where: str, values: Mapping[str, Any]) -> _Task:
    """A record of JSON-MIN: the results are under the names of their controls, beside the data."""
    data = {key: value for key, value in values.items() if key not in _OF_EXPORT}
    results = []
    for name, value in values.items():
        for kind in (*_REGIONS, "choices"):
            if isinstance(value, list) and value and all(isinstance(each, dict) and kind in each for each in value):
                results += [_Result(kind, name, "", each, {}) for each in value]
                data.pop(name, None)
    # The converter of Label Studio's SDK writes annotations without an id
    return _Task(where, data, None if values["annotation_id"] is None and not results else results)


def _chosen(annotations: Sequence[Mapping[str, Any]], notes: Notes) -> Mapping[str, Any] | None:
    done = [each for each in annotations if not (each.get("was_cancelled") or each.get("skipped"))]
    if len(done) < len(annotations):
        notes["cancelled annotations, left out"] += len(annotations) - len(done)
    kept = [each for each in done if each.get("ground_truth")] or done
    if any(_content(each) != _content(kept[0]) for each in kept[1:]):
        notes["tasks with several annotations, of which the newest is used"] += 1
    if not kept:
        return None
    times = [str(each.get("updated_at") or each.get("created_at") or "") for each in kept]
    return kept[max(range(len(kept)), key=lambda at: (times[at], at))]


def _content(annotation: Mapping[str, Any]) -> tuple[str, ...]:
    return unordered([item.get("type"), item.get("value")] for item in objects(annotation, "result"))


def _result(item: Mapping[str, Any]) -> _Result:
    kind = take(item, "type", str)
    value = take(item, "value", dict, {} if kind == "relation" else None)
    name = take(item, "from_name", str, "" if kind == "relation" else None)
    return _Result(kind, name, id_of(item), value, item)


def _usual_key(tasks: Sequence[_Task], layer: str, offsets: Offsets) -> str:
    """The key of the text, by the first task whose copies fit one of its strings alone; may be empty."""
    for task in tasks:
        if isinstance(task.data.get("text"), str):
            continue
        with errors_at(task.source):
            marks = [each.mark() for each in task.regions(layer)]
        strings = {key: value for key, value in task.data.items() if isinstance(value, str)}
        fitting: list[str] = []
        for key, text in strings.items():
            with suppress(DataError):
                _places(text, marks, offsets, Notes())
                fitting.append(key)
        if len(fitting) == 1 and any(mark.copy is not None for mark in marks):
            return fitting[0]
    return ""


def _places(text: str, marks: Sequence[Mark], offsets: Offsets, notes: Notes) -> list[Place]:
    joined = " ".join(text.split())
    # Label Studio writes a line end in a copy as a backslash and an n
    copies = [mark.copy or "" for mark in marks]
    copies = [each if " ".join(each.split()) in joined else each.replace("\\n", "\n") for each in copies]
    read = [mark._replace(copy=copy or None) for mark, copy in zip(marks, copies, strict=True)]
    # Versions before 1.4 count UTF-16 units
    return character_places(text, read, offsets=offsets, usual="codepoint", notes=notes)


def _places_of(regions: Sequence[_Result], text: str, offsets: Offsets, notes: Notes) -> list[Place]:
    try:
        return _places(text, [each.mark() for each in regions], offsets, notes)
    except DataError:
        if "<" not in text or all(each.type != "hypertextlabels" for each in regions):
            raise
        found = f"found HTML {text!r:.60}, where offsets leave out the tags"
        raise DataError(f"expected plain text, {found}; HTML is not read: annotate the plain text") from None


def _document(task: _Task, layer: str, usual: str, offsets: Offsets, spans: bool, notes: Notes) -> Document:
    key = usual if isinstance(task.data.get(usual), str) else text_key_of(task.data, "the data")
    text = task.data[key]
    regions = task.regions(layer)
    if key != "text" and not regions and _ADDRESS.fullmatch(text):
        address = f"an address under {key!r}, {text!r:.60}"
        raise DataError(f"expected a text, found {address}; projects of texts alone are read")
    if others := len(task.regions("")) - len(regions):
        notes["regions of other controls, left out (data.layer)"] += others
    places = _places_of(regions, text, offsets, notes)
    metadata = {name: value for name, value in task.data.items() if name != key}
    tokens = token_places(text, metadata["tokens"]) if are_strings(metadata.get("tokens")) else None
    if tokens is not None:
        del metadata["tokens"]
    labels: list[str] = []
    for each in task.results or ():
        if each.type == "choices" and not each.of_region:
            labels += [label_of(label) for label in take(each.value, "choices", list)]
    # A project may be about labels of whole texts alone
    spans = spans if task.spans is None else bool(task.spans)
    annotated = task.results is not None and bool(regions or spans or not labels)
    found = tuple(_annotations(regions, places, _region_values(task, notes), notes))
    relations = tuple(_relations(task, {each.id for each in found}, notes))
    return Document(
        text, found if annotated else None, relations, tuple(labels), tokens, metadata=metadata, source=task.source
    )  # fmt: skip


def _region_values(task: _Task, notes: Notes) -> dict[str, dict[str, Any]]:
    """What controls say about regions, by the id of the region and the name of the control."""
    found: dict[str, dict[str, Any]] = {}
    known = {each.id for each in task.results or () if each.type in _REGIONS and each.id}
    for each in task.results or ():
        key = "text" if each.type == "textarea" else each.type
        if each.type in (*_REGIONS, "relation") or (each.type == "choices" and not each.of_region):
            continue
        if each.id in known and key in each.value:
            value = each.value[key]
            single = are_strings(value) and len(value) == 1
            found.setdefault(each.id, {})[each.name] = value[0] if single else value
        else:
            notes[f"results of type {each.type} without a labelled place, left out"] += 1
    return found


def _annotations(
    regions: Sequence[_Result], places: Sequence[Place], values: Mapping[str, Mapping[str, Any]], notes: Notes
) -> list[Annotation]:
    """An annotation for each label; the first one of a region has its id."""
    annotations: list[Annotation] = []
    used: set[str] = set()
    for each, place in zip(regions, places, strict=True):
        attributes = {**_meta(each.item), **values.get(each.id, {})}
        if is_number(each.item.get("score")):
            attributes["score"] = each.item["score"]
        labels = take(each.value, each.type, list, [])
        if not labels:
            notes["regions without a label, left out"] += 1
        for label in labels:
            known = "" if each.id in used else each.id
            used.add(each.id)
            annotations.append(Annotation(label_of(label), (place,), known, attributes))
    return annotations


def _meta(item: Mapping[str, Any]) -> dict[str, Any]:
    return {_NOTES if key == "text" else key: value for key, value in take(item, "meta", dict, {}).items()}


def _relations(task: _Task, known: set[str], notes: Notes) -> Iterator[Relation]:
    for each in task.results or ():
        if each.type != "relation":
            continue
        ends = [take(each.item, key, str) for key in ("from_id", "to_id")]
        if not known.issuperset(ends):
            notes["relations of results that are left out, left out"] += 1
            continue
        attributes = _meta(each.item)
        if each.item.get("direction") == "bi":
            attributes["direction"] = "bi"
        first, second = reversed(ends) if each.item.get("direction") == "left" else ends
        for label in take(each.item, "labels", list, []) or [""]:
            yield Relation(checked(label, str, "in 'labels'"), first, second, each.id, attributes)


def write_label_studio(
    target: Target, documents: Iterable[Document], *, encoding: str = "utf-8", model: str | None = None
) -> None:
    """Writes tasks with annotations, or with predictions of this model.

    They are for a config with Labels ``label`` and Choices ``choice`` of a Text ``text``, and per region Choices (of
    strings) or a Number for each attribute; other attributes become the region's ``meta``. Raises `DataError`, and
    writes no file, for relations of unknown annotations.
    """
    write_objects(target, documents, partial(_task_of, model=model), array=True, encoding=encoding)


def _task_of(document: Document, model: str | None) -> dict[str, Any]:
    metadata, tokens = dict(document.metadata), token_strings(document)
    task = {"id": metadata.pop("id")} if type(metadata.get("id")) is int else {}
    task["data"] = {"text": document.text, **metadata, **({} if tokens is None else {"tokens": tokens})}
    if document.annotations is None and not document.labels:
        return task
    result = _results(document)
    if model is not None:
        scores = [item["score"] for item in result if "score" in item]
        score = {"score": fmean(scores)} if scores else {}
        task["predictions"] = [{"model_version": model, **score, "result": result}]
        return task
    task["annotations"] = [{"result": result}]
    if document.labels and not document.annotations:
        task["meta"] = {"spans": document.annotations is not None}
    return task


def _results(document: Document) -> list[dict[str, Any]]:
    annotations = document.annotations or ()
    results: list[dict[str, Any]] = []
    for each, known in zip(annotations, unique_ids(annotations), strict=True):
        place = {"start": each.start, "end": each.end, "text": document.text[each.start : each.end]}
        value = {**place, "labels": [each.label]}
        region = {"id": known, "from_name": "label", "to_name": "text", "type": "labels", "value": value}
        attributes = dict(each.attributes)
        if is_number(attributes.get("score")):
            region["score"] = attributes.pop("score")
        results.append(region)
        kinds = {key: _control(content) for key, content in attributes.items() if key != _NOTES}
        controls = {key: kind for key, kind in kinds.items() if kind}
        if meta := {key: content for key, content in attributes.items() if key not in controls}:
            region["meta"] = _with_notes(meta)
        for key, kind in controls.items():
            content = attributes[key]
            value = {**place, kind: [content] if isinstance(content, str) else content}
            results.append({"id": known, "from_name": key, "to_name": "text", "type": kind, "value": value})
    if document.labels:
        choices = {"choices": list(document.labels)}
        results.append({"from_name": "choice", "to_name": "text", "type": "choices", "value": choices})
    return [*results, *(_relation(each) for each in document.relations)]


def _with_notes(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"text" if key == _NOTES else key: value for key, value in meta.items()}


def _control(value: Any) -> str:
    """The type of the control for such an attribute; empty if no control has such values."""
    if isinstance(value, str) or (are_strings(value) and len(value) > 1):
        return "choices"
    return "number" if is_number(value) else ""


def _relation(relation: Relation) -> dict[str, Any]:
    item = {"type": "relation", "from_id": relation.source, "to_id": relation.target, "direction": "right"}
    attributes = dict(relation.attributes)
    if attributes.get("direction") == "bi":
        item["direction"] = attributes.pop("direction")
    if relation.id:
        item["id"] = relation.id
    labels = [relation.label] if relation.label else []
    return {**item, "labels": labels, **({"meta": _with_notes(attributes)} if attributes else {})}
