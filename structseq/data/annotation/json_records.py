"""JSON records with a text and labelled spans of characters, as documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from structseq.data.annotation.document import Annotation, Document, Notes, Relation
from structseq.data.annotation.from_examples import token_places
from structseq.data.annotation.json_values import are_strings, listed, take
from structseq.data.annotation.offsets import Mark, Offsets, character_places
from structseq.data.record import preview
from structseq.errors import DataError

SPAN_KEYS = ("spans", "entities", "label", "labels")
_LABELS = ("label", "labels", "cats")  # of texts

# Keys of a span's object, in this order of preference
_STARTS, _ENDS = ("start", "start_offset"), ("end", "end_offset")
_SOURCES, _TARGETS, _KINDS = ("source", "from_id"), ("target", "to_id"), ("label", "type")
OF_SPANS = (*_STARTS, *_ENDS, "label", "id", "text", "fragments")
OF_RELATIONS = (*_SOURCES, *_TARGETS, *_KINDS, "id")


def document_of(
    values: Mapping[str, Any],
    text_key: str = "text",
    span_key: str | None = None,
    *,
    source: str = "",
    offsets: Offsets = "auto",
    notes: Notes | None = None,
) -> Document:
    """The document of a record with a text; raises `DataError` for spans that are not there or not in the text."""
    if values.get("answer") in ("reject", "ignore"):
        raise DataError(
            f"found a record with the answer {values['answer']}, which is not gold; use data.format=prodigy"
        )
    text = values[text_key]
    key = span_key_of(values, span_key)
    if span_key is None and not (key and values[key]):
        _check_other_keys(values)
    annotations = None if key is None else _annotations(text, values[key], offsets, notes)
    used = {text_key, key, "relations"}
    tokens = None
    if key is not None and are_strings(values.get("tokens")):
        used.add("tokens")
        if (tokens := token_places(text, values["tokens"])) is None:
            raise DataError(
                "expected tokens whose texts follow each other in the text, found others; remove the tokens"
            )
    found = {name: labels for name in _LABELS if name != key and (labels := _labels(values.get(name)))}
    return Document(
        text,
        annotations,
        tuple([_relation(item, annotations or ()) for item in take(values, "relations", list, [])]),
        next(iter(found.values()), ()),
        tokens,
        metadata={name: value for name, value in values.items() if name not in {*used, *found}},
        source=source,
    )


def span_key_of(values: Mapping[str, Any], named: str | None) -> str | None:
    """The key of the spans; None if there is no list under a usual key."""
    usual = tuple([name for name in SPAN_KEYS if not _labels(values.get(name))])
    key = list_key(values, named, usual, _are_spans)
    if key is not None and not isinstance(values[key], list):
        raise DataError(f"expected a list of spans under {key!r}, found {preview(values[key])}")
    return key


def list_key(
    values: Mapping[str, Any], named: str | None, usual: tuple[str, ...], fits: Callable[[list[Any]], bool]
) -> str | None:
    """The key ``named``, or the first usual one with a list that fits, else with a list.

    Raises `DataError` if ``named`` is missing, or different lists fit.
    """
    if named is not None:
        if named not in values:
            raise DataError(f"expected the key {named!r}, found {listed(values)}")
        return named
    lists = [key for key in usual if isinstance(values.get(key), list)]
    full = [key for key in lists if fits(values[key])]
    if any(values[key] != values[full[0]] for key in full):
        found = " and ".join(map(repr, full))
        raise DataError(f"expected one of the keys {', '.join(usual)}, found {found} with different values; keep one")
    return next(iter(full or lists), None)


def _are_spans(items: list[Any]) -> bool:
    return bool(items) and all(isinstance(item, list | dict) for item in items)


def _check_other_keys(values: Mapping[str, Any]) -> None:
    """Raises `DataError` if there are spans under a key that is not a usual one."""
    for key, items in values.items():
        if key in SPAN_KEYS or not isinstance(items, list) or not _are_spans(items):
            continue
        spans = [_span(item) for item in items]
        if all(type(_first(each, keys)) is int for each in spans for keys in (_STARTS, _ENDS)):
            numbered = any(type(each.get("label")) is int for each in spans)
            names = ", and write the names of the labels instead of their numbers" if numbered else ""
            usual = ", ".join(map(repr, SPAN_KEYS))
            raise DataError(f"expected spans under one of the keys {usual}, found them under {key!r}; rename it{names}")


def _annotations(text: str, items: list[Any], offsets: Offsets, notes: Notes | None) -> tuple[Annotation, ...]:
    spans = [_span(item) for item in items]
    raw = [_marks(span, item) for span, item in zip(spans, items, strict=True)]
    marks = [mark for marks in raw for mark in marks]
    places = iter(character_places(text, marks, offsets=offsets, usual="codepoint", notes=notes))
    found = []
    for span, own in zip(spans, raw, strict=True):
        attributes = {name: value for name, value in span.items() if name not in OF_SPANS}
        found.append(Annotation(own[0].label, tuple([next(places) for _ in own]), _id(span), attributes))
    return tuple(found)


def _id(values: Mapping[str, Any]) -> str:
    return "" if values.get("id") is None else str(values["id"])


def _span(item: Any) -> Mapping[str, Any]:
    """The span as an object, empty if it is not a span; raises `DataError` for the keys of older versions."""
    if isinstance(item, list) and len(item) == 3:
        return dict(zip(("start", "end", "label"), item, strict=True))
    if not isinstance(item, dict):
        return {}
    if "start_char" in item or "end_char" in item:
        raise DataError(
            "expected characters under 'start' and 'end', found a span that has them under 'start_char' and "
            "'end_char'; rename 'start' to 'start_token', 'end' to 'end_token', then 'start_char' to 'start' and "
            "'end_char' to 'end'"
        )
    if "label" not in item and are_strings(labels := item.get("labels")) and len(labels) == 1:  # of Label Studio
        return {**{key: value for key, value in item.items() if key != "labels"}, "label": labels[0]}
    return item


def _marks(span: Mapping[str, Any], item: Any) -> list[Mark]:
    """The parts of a span as they are in the record."""
    start, end, label = _first(span, _STARTS), _first(span, _ENDS), span.get("label")
    whole = type(start) is int and type(end) is int
    if not whole or not isinstance(label, str) or not label:
        hint = "; write the name of the label instead of its number" if whole and type(label) is int else ""
        expected = 'a span [start, end, "label"] or an object with these keys'
        raise DataError(f"expected {expected}, found {preview(item)}{hint}")
    parts, copy = span.get("fragments"), span.get("text")
    if parts is None:
        return [Mark((start, end), copy if isinstance(copy, str) else None, label)]
    pairs = isinstance(parts, list) and all(isinstance(p, list) and [type(n) for n in p] == [int, int] for p in parts)
    if not pairs or not parts or any(one[1] > other[0] for one, other in pairwise(parts)):
        raise DataError(f"expected fragments [[start, end], ...] in order, found {preview(parts)}")
    return [Mark((one, other), None, label) for one, other in parts]


def _first(item: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((item[key] for key in keys if key in item), None)


def _relation(item: Any, annotations: tuple[Annotation, ...]) -> Relation:
    values = item if isinstance(item, dict) else {}
    ends, label = [_first(values, keys) for keys in (_SOURCES, _TARGETS)], _first(values, _KINDS)
    ids = {each.id for each in annotations if each.id}
    if not isinstance(label, str) or any(end is None or str(end) not in ids for end in ends):
        raise DataError(f"expected a relation between the ids of two spans, with a type, found {preview(item)}")
    attributes = {name: value for name, value in values.items() if name not in OF_RELATIONS}
    return Relation(label, str(ends[0]), str(ends[1]), _id(values), attributes)


def _labels(value: Any) -> tuple[str, ...]:
    """A string or strings as labels of a text; empty for another value."""
    strings = [value] if isinstance(value, str) else value
    return tuple(strings) if are_strings(strings) and all(strings) else ()
