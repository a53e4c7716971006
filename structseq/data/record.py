"""Record: one line of a JSON-lines file, as an object and as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from structseq.data.textfile import BOM, LONGEST_DOCUMENT, Source, name_of, read_lines
from structseq.errors import DataError

_BLANKS = " \t\r\n"
_SPACE = re.compile(r"[ \t\r\n]*")
_OPENS_LIST = re.compile(r"[ \t]*\[[ \t]*(?:\{|\]?$)")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Record:
    """``text`` is the line with its ending; ``values`` is its object, or None for a blank line."""

    text: str
    values: Mapping[str, Any] | None
    file: str = ""
    line: int = 1
    number: int = 0  # of the object in a JSON list, from 1

    @property
    def source(self) -> str:
        return f"{self.file}:record {self.number}" if self.number else f"{self.file}:{self.line}"

    def line_of(self, token: int) -> int:
        return self.line

    def with_values(self, **new: Any) -> str:
        """The line with these keys set: replaced if they exist, else added at the end; other bytes stay.

        >>> Record('{"tokens": ["a"], "id":7}', {"tokens": ["a"], "id": 7}).with_values(tags=["O"])
        '{"tokens": ["a"], "id":7, "tags": ["O"]}'
        """
        if self.values is None:
            return self.text
        text, places = self.text, _places(self.text)
        for key in sorted(new.keys() & places.keys(), key=lambda key: -places[key][0]):
            start, end = places[key]
            text = text[:start] + json.dumps(new[key], ensure_ascii=False) + text[end:]
        if added := {key: value for key, value in new.items() if key not in places}:
            content = text[: text.rindex("}")].rstrip(_BLANKS)
            comma = "" if content.endswith("{") else ", "
            text = f"{content}{comma}{json.dumps(added, ensure_ascii=False)[1:-1]}{text[len(content) :]}"
        return text


def read_records(source: Source, *, encoding: str = "utf-8") -> Iterator[Record]:
    """Yields the lines of a JSON-lines file, or the objects of a JSON list as lines.

    Raises `DataError` with file and line if a line is neither blank nor a JSON object, or repeats a key; with the file
    if it has no object.
    """
    name, number, found = name_of(source), 0, False
    with closing(read_lines(source, encoding=encoding, longest=LONGEST_DOCUMENT)) as lines:
        for number, line in enumerate(lines, 1):
            content = line.rstrip(_BLANKS)
            if number == 1 or content == BOM:  # files that were joined may end in a mark
                content = content.removeprefix(BOM)
            if not found and _OPENS_LIST.match(content):
                yield from _listed_records("".join([content, "\n", *lines]), name, number)
                return
            found = found or bool(content)
            yield Record(line, _object(content, name, number) if content else None, name, number)
    if not found:
        raise DataError(f"expected JSON lines, found {'only blank lines' if number else 'an empty file'}", file=name)


def _listed_records(text: str, name: str, line: int) -> Iterator[Record]:
    """The objects of a list that begins on this line."""
    at, done, found = text.index("[") + 1, 0, 0
    while True:
        at = _skip_blanks(text, at)
        if text[at : at + 1] == "]" and not text[at + 1 :].strip():
            break
        start = _skip_blanks(text, at + 1) if found else at
        line, done = line + text.count("\n", done, start), start
        try:
            if found and text[at : at + 1] != ",":
                raise ValueError("neither a comma nor the end of the list after an object")
            _, at = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            message = f"expected a JSON list of objects, found bad JSON ({error}); correct it there"
            raise DataError(message, file=name, line=line) from None
        found += 1
        values = _object(text[start:at], name, line)
        yield Record(json.dumps(values, ensure_ascii=False) + "\n", values, name, line, found)
    if not found:
        raise DataError("expected a JSON list of objects, found an empty list", file=name)


def _object(content: str, name: str, number: int) -> dict[str, Any]:
    message = ""
    try:
        values = json.loads(content, object_pairs_hook=reject_duplicate_keys)
        if not isinstance(values, dict):
            what = "a list" if isinstance(values, list) else "a single value"
            message = f"expected one JSON object on this line, found {what}; write each record on its own line"
        elif "\\u" in content:
            json.dumps(values, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        where = f"column {error.colno}" + ", where the line ends" * (error.pos >= len(content))
        message = f"expected one JSON object on this line, found bad JSON ({error.msg} at {where}); correct it there"
    except UnicodeEncodeError:
        message = "expected characters, found half a surrogate pair (\\ud800 to \\udfff); correct the escape"
    except (ValueError, RecursionError) as error:
        message = f"expected one JSON object on this line, found {error}"
    if message:
        raise DataError(message, file=name, line=number)
    return values


def preview(value: Any) -> str:
    """The start of a value, for messages."""
    try:
        return json.dumps(value, ensure_ascii=False)[:80]
    except (TypeError, ValueError):
        return repr(value)[:80]


def reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An ``object_pairs_hook`` for `json.loads`; raises ValueError if a key is repeated."""
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"the key {key[:60]!r} twice in one object; keep one of them")
        table[key] = value
    return table


def _places(text: str) -> dict[str, tuple[int, int]]:
    """The start and end of each top-level value."""
    at = text.index("{") + 1
    places: dict[str, tuple[int, int]] = {}
    while True:
        at = _skip_blanks(text, at)
        if text[at] == "}":
            return places
        key, at = _DECODER.raw_decode(text, _skip_blanks(text, at + 1 if text[at] == "," else at))
        start = _skip_blanks(text, _skip_blanks(text, at) + 1)
        _, at = _DECODER.raw_decode(text, start)
        places[key] = (start, at)


def _skip_blanks(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
