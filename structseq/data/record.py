"""Record: one line of a JSON-lines file, with what it says and exactly how it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from structseq.data.textfile import BOM, Source, name_of, read_lines
from structseq.errors import DataError

_BLANKS = " \t\r\n"
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Record:
    """One line.

    Attributes
    ----------
    text:
        The line as it stands, with its ending.
    values:
        The object in it; None for a blank line.
    file, line:
        Where it stands; lines count from 1.
    """

    text: str
    values: Mapping[str, Any] | None
    file: str = ""
    line: int = 1

    @property
    def source(self) -> str:
        return f"{self.file}:{self.line}"

    def line_of(self, token: int) -> int:
        """The line of a token: the record's, whichever it is."""
        return self.line

    def with_values(self, **new: Any) -> str:
        """The line with these keys set, in place where they exist and last where not; all else stays byte for byte.

        >>> Record('{"tokens": ["a"], "id":7}', {"tokens": ["a"], "id": 7}).with_values(tags=["O"])
        '{"tokens": ["a"], "id":7, "tags": ["O"]}'
        """
        if self.values is None:
            return self.text
        text, places = self.text, _places(self.text)
        for key in sorted(new.keys() & places.keys(), key=lambda key: -places[key][0]):
            start, end = places[key]
            text = text[:start] + json.dumps(new[key], ensure_ascii=False) + text[end:]
        added = {key: value for key, value in new.items() if key not in places}
        if added:
            close = text.rindex("}")
            content = text[:close].rstrip(_BLANKS)
            comma = "" if content.endswith("{") else ", "
            text = f"{content}{comma}{json.dumps(added, ensure_ascii=False)[1:-1]}{text[len(content) :]}"
        return text


def read_records(source: Source, *, encoding: str = "utf-8") -> Iterator[Record]:
    """The lines of a JSON-lines file; joined, their texts are the file.

    Raises `DataError` with file and line where a line is neither blank nor a JSON object, and where a key stands twice
    in one object; with the file where it has none.
    """
    name, number, found = name_of(source), 0, 0
    for number, line in enumerate(read_lines(source, encoding=encoding), 1):
        content = line.removeprefix(BOM) if number == 1 else line
        if not content.strip(_BLANKS):
            yield Record(line, None, name, number)
            continue
        found += 1
        yield Record(line, _object(content, name, number), name, number)
    if not found:
        raise DataError(f"expected JSON lines, found {'only blank lines' if number else 'an empty file'}", file=name)


def _object(content: str, name: str, number: int) -> dict[str, Any]:
    content = content.rstrip(_BLANKS)
    try:
        values = json.loads(content, object_pairs_hook=reject_duplicate_keys)
    except json.JSONDecodeError as error:
        where = f"column {error.colno}" + ", where the line ends" * (error.pos >= len(content))
        message = f"expected one JSON object on this line, found bad JSON ({error.msg} at {where}); mend it there"
        raise DataError(message, file=name, line=number) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"expected one JSON object on this line, found {error}", file=name, line=number) from None
    if not isinstance(values, dict):
        what = "a list" if isinstance(values, list) else "a single value"
        message = f"expected one JSON object on this line, found {what}; write each record on a line of its own"
        raise DataError(message, file=name, line=number)
    if "\\u" in content and _has_half_surrogate(values):
        message = "expected characters, found half a surrogate pair (\\ud800 to \\udfff); mend the escape"
        raise DataError(message, file=name, line=number)
    return values


def _has_half_surrogate(values: Any) -> bool:
    try:
        json.dumps(values, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, as ``object_pairs_hook`` of `json.loads`; raises ValueError where a key is in it twice."""
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"the key {key[:60]!r} twice in one object; keep one of them")
        table[key] = value
    return table


def _places(text: str) -> dict[str, tuple[int, int]]:
    """Where the value of each top-level key begins and ends."""
    at = text.index("{") + 1
    places: dict[str, tuple[int, int]] = {}
    while True:
        at = _skip(text, at)
        if text[at] == "}":
            return places
        key, at = _DECODER.raw_decode(text, _skip(text, at + 1 if text[at] == "," else at))
        start = _skip(text, _skip(text, at) + 1)
        _, at = _DECODER.raw_decode(text, start)
        places[key] = (start, at)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
