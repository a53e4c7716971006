"""JSON files of annotation tools: their objects, and values of the right type in them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from structseq.data.annotation.document import Annotation, Document
from structseq.data.annotation.to_examples import placed
from structseq.data.record import preview, read_records, reject_duplicate_keys
from structseq.data.textfile import BOM, LONGEST_DOCUMENT, Source, Target, name_of, open_writer, read_lines
from structseq.errors import DataError

T = TypeVar("T")

_NAMES = {dict: "an object", list: "a list", str: "a string", int: "a whole number"}


def read_objects(source: Source, *, encoding: str = "utf-8") -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSON array, of JSON lines, or the only one, each with ``file:line`` or ``file:record N``.

    Raises `DataError` with the place if the file is none of these, repeats a key or has half a surrogate pair.
    """
    name = name_of(source)
    text = "".join(read_lines(source, encoding=encoding, longest=LONGEST_DOCUMENT)).removeprefix(BOM)
    values, number = None, None
    try:
        values = json.loads(text, object_pairs_hook=reject_duplicate_keys)
        message = f"expected a JSON array or object, found {preview(values)}"
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            yield from _lines(text, name)
            return
        ended = ", where the file ends; it may be cut off" if error.pos >= len(text.rstrip()) else "; correct it there"
        message = f"expected JSON, found bad JSON ({error.msg} at column {error.colno}){ended}"
        number = error.lineno
    except (ValueError, RecursionError) as error:
        message = f"expected JSON, found {error}"
    objects = [values] if isinstance(values, dict) else values
    if not isinstance(objects, list):
        raise DataError(message, file=name, line=number)
    for count, each in enumerate(objects, 1):
        where = f"{name}:record {count}"
        with errors_at(where):
            _check_record(each, "\\u" in text)
        yield where, each


def _lines(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    stream = io.BytesIO(text.encode())
    stream.name = name
    for record in read_records(stream):
        if record.values is not None:
            yield record.source, dict(record.values)


def _check_record(value: Any, escapes: bool) -> None:
    if not isinstance(value, dict):
        raise DataError(f"expected a JSON object, found {preview(value)}")
    try:
        if escapes:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        message = "expected characters, found half a surrogate pair (\\ud800 to \\udfff); correct the escape"
        raise DataError(message) from None


def write_objects(
    target: Target,
    documents: Iterable[Document],
    record: Callable[[Document], Mapping[str, Any]],
    *,
    array: bool,
    encoding: str = "utf-8",
) -> None:
    """Writes ``record(document)`` for each document: a JSON ``array``, or JSON lines.

    Raises `DataError` with the document's source, and writes no file, if ``record`` does or a value is not JSON.
    """
    with open_writer(target, encoding=encoding) as file:
        between = "[\n"
        for document in documents:
            with errors_at(document.source):
                try:
                    line = json.dumps(record(document), ensure_ascii=False)
                except (TypeError, ValueError, RecursionError) as error:
                    if isinstance(error, DataError):
                        raise
                    raise DataError(f"expected values as in JSON, found others ({error})") from None
            file.write(f"{between}{line}" if array else f"{line}\n")
            between = ",\n"
        if array:
            file.write("[]\n" if between == "[\n" else "\n]\n")


@contextmanager
def errors_at(source: str) -> Iterator[None]:
    """Errors of the block get this ``file:line`` or ``file:record N``."""
    try:
        yield
    except DataError as error:
        raise error if error.file else placed(error, Document("", source=source)) from None


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
        found = ", ".join(repr(name)[:40] for name in list(values)[:8])
        raise DataError(f"expected {_NAMES[kind]} under {key!r}, found {f'the keys {found}' if found else 'no keys'}")
    return checked(values[key], kind, f"under {key!r}")


def objects(values: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The list of objects under a key; empty for a missing key and for null."""
    return [checked(each, dict, f"in {key!r}") for each in take(values, key, list, [])]


def are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


def label_of(value: Any) -> str:
    """Raises `DataError` if it is no string or empty."""
    if not isinstance(value, str) or not value:
        raise DataError(f"expected the name of a label, found {preview(value)}")
    return value


def unique_ids(annotations: Sequence[Annotation]) -> list[str]:
    """The ids of the annotations; a new one where it is missing or repeated."""
    taken = {each.id for each in annotations}
    ids: list[str] = []
    number = 0
    used: set[str] = set()
    for each in annotations:
        name = each.id
        while not name or name in used:
            number += 1
            name = "" if f"r{number}" in taken else f"r{number}"
        used.add(name)
        ids.append(name)
    return ids


def check_relations(document: Document) -> None:
    """Raises `DataError` if a relation names an annotation that the document does not have."""
    known = {each.id for each in document.annotations or ()} - {""}
    for relation in document.relations:
        for end in (relation.source, relation.target):
            if end not in known:
                raise DataError(f"the relation {relation.label!r} names an annotation {end!r}, which does not exist")


def reserve(values: Mapping[str, Any], reserved: Iterable[str], what: str) -> Mapping[str, Any]:
    """The values; raises `DataError` if one has a reserved key."""
    for key in reserved:
        if key in values:
            raise DataError(f"{what} under the key {key!r}, which has another meaning in this format; rename it")
    return values
