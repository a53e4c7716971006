"""JSON files of annotation tools: their records, and values of the right type in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard, TypeVar

from structseq.data.annotation.document import Annotation, Document, errors_at
from structseq.data.annotation.from_examples import token_places
from structseq.data.record import preview, read_records
from structseq.data.textfile import BOM, Source, Target, open_writer
from structseq.data.tokenizer import tokenize
from structseq.errors import DataError

T = TypeVar("T")

_NAMES = {dict: "an object", list: "a list", str: "a string", int: "a whole number"}


def first_records(text: str) -> Iterator[Mapping[str, Any]]:
    """The objects of JSON lines or of a list, up to the first that is cut off or no object."""
    content = text.removeprefix(BOM).lstrip().removeprefix("[").lstrip()
    while content.startswith("{"):
        try:
            values, end = json.JSONDecoder().raw_decode(content)
        except (ValueError, RecursionError):
            return
        yield values
        content = content[end:].lstrip().removeprefix(",").lstrip()


def read_objects(source: Source, *, encoding: str = "utf-8") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of JSON lines or a JSON list, each with ``file:line`` or ``file:record N``."""
    for record in read_records(source, encoding=encoding):
        if record.values is not None:
            yield record.source, record.values


def write_objects(
    target: Target,
    documents: Iterable[Document],
    record: Callable[[Document], Mapping[str, Any]],
    *,
    array: bool = False,
    encoding: str = "utf-8",
) -> None:
    """Writes ``record(document)`` for each document: a JSON ``array``, or JSON lines.

    Raises `DataError` with the document's source, and writes no file, if ``record`` does or a value is not JSON.
    """
    with open_writer(target, encoding=encoding) as file:
        between = "[\n"
        for document in documents:
            with errors_at(document.source):
                values = record(document)
                try:
                    line = json.dumps(values, ensure_ascii=False)
                except (TypeError, ValueError, RecursionError) as error:
                    raise DataError(f"expected values as in JSON, found others ({error})") from None
            file.write(f"{between}{line}" if array else f"{line}\n")
            between = ",\n"
        if array:
            file.write("[]\n" if between == "[\n" else "\n]\n")


def checked(value: Any, kind: type[T], what: str) -> T:
    """The value, if it has this type: a dict, list, string or whole number."""
    if type(value) is not kind:
        raise DataError(f"expected {_NAMES[kind]} {what}, found {preview(value)}")
    return value


def take(values: Mapping[str, Any], key: str, kind: type[T], default: T | None = None) -> T:
    """``values[key]`` of this type; the default, if there is one, for a missing key and for null."""
    if values.get(key) is None and default is not None:
        return default
    if key not in values:
        raise DataError(f"expected {_NAMES[kind]} under {key!r}, found {listed(values)}")
    return checked(values[key], kind, f"under {key!r}")


def objects(values: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The list of objects under a key; empty for a missing key and for null."""
    return [checked(each, dict, f"in {key!r}") for each in take(values, key, list, [])]


def listed(values: Mapping[str, Any]) -> str:
    return "keys " + ", ".join(repr(key)[:40] for key in list(values)[:8]) if values else "no keys"


def are_strings(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


def label_of(value: Any) -> str:
    """Raises `DataError` if it is no string or empty."""
    if not isinstance(value, str) or not value:
        raise DataError(f"expected the name of a label, found {preview(value)}")
    return value


def id_of(values: Mapping[str, Any]) -> str:
    """The string or number under ``id``, as a string."""
    return str(values["id"]) if type(values.get("id")) is int else take(values, "id", str, "")


def unique_ids(annotations: Sequence[Annotation]) -> list[str]:
    """The ids of the annotations; a new one where it is missing or repeated."""
    taken = {each.id for each in annotations}
    free = (f"r{n}" for n in range(1, 2 * len(annotations) + 1) if f"r{n}" not in taken)
    ids: list[str] = []
    used = {""}
    for each in annotations:
        ids.append(next(free) if each.id in used else each.id)
        used.add(each.id)
    return ids


def text_key_of(values: Mapping[str, Any], what: str) -> str:
    """``text``, or the key of the only string."""
    if isinstance(values.get("text"), str):
        return "text"
    keys = [key for key, value in values.items() if isinstance(value, str) and key != "id"]
    if len(keys) != 1:
        found = f"several strings ({', '.join(keys)})" if keys else f"no string in {preview(values)}"
        raise DataError(f"expected the text under 'text', or as the only string of {what}, found {found}")
    return keys[0]


def token_strings(document: Document) -> list[str] | None:
    """The document's tokens, unless a reader cuts the same; raises `DataError` if they leave out text."""
    if document.tokens is None or list(document.tokens) == [(t.start, t.end) for t in tokenize(document.text)]:
        return None
    tokens = [document.text[start:end] for start, end in document.tokens]
    if token_places(document.text, tokens) != document.tokens:
        raise DataError(f"expected tokens that leave out white space alone, found {preview(tokens)}; correct them")
    return tokens


def unordered(values: Iterable[Any]) -> tuple[str, ...]:
    """The values as text, equal for the same values in another order."""
    return tuple(sorted([json.dumps(value, sort_keys=True) for value in values]))
