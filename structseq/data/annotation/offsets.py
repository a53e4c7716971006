"""Offsets: what a tool counts, turned into characters and checked against the tool's copy of the text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

from structseq.data.annotation.document import Notes, Place
from structseq.errors import ConfigError, DataError

Unit = Literal["codepoint", "utf16"]
Offsets = Literal["auto", "codepoint", "utf16"]

OFFSETS = ("auto", "codepoint", "utf16")


class Mark(NamedTuple):
    """A place as a tool counts, and what the tool keeps with it."""

    place: Place
    copy: str | None = None  # of the text there
    label: str = ""  # for messages


def character_places(
    text: str, marks: Sequence[Mark], *, offsets: Offsets = "auto", usual: Unit, notes: Notes | None = None
) -> list[Place]:
    """The places in characters; ``usual`` is what the tool counts by its documentation.

    ``auto`` tries ``usual``, then the other unit, then both with each CR LF as one character, and takes the first in
    which all copies fit. Raises `DataError` if a place leaves the text or a copy differs.
    """
    if offsets not in OFFSETS:
        raise ConfigError(f"unknown offsets {offsets!r}; use one of {', '.join(OFFSETS)}")
    notes = Notes() if notes is None else notes
    units = _units(text, offsets, usual)
    for name in units:
        places = _converted(text, name, marks)
        if all(_fits(text, place, mark) for place, mark in zip(places, marks, strict=True)):
            if name != units[0]:
                notes[f"texts whose offsets count {_NAMES[name]}, by the copies of their spans"] += 1
            elif len(units) > 1 and marks and all(mark.copy is None for mark in marks):
                notes[f"texts whose offsets are taken to count {_NAMES[name]} (data.offsets)"] += 1
            return [place for place in places if place is not None]
    places = _converted(text, units[0], marks)
    bad = next(n for n, mark in enumerate(marks) if not _fits(text, places[n], mark))
    raise DataError(_misfit(text, marks[bad], places[bad], offsets, units[0]))


def token_order(text: str, places: Sequence[Place], what: str = "tokens") -> tuple[Place, ...]:
    """The places without those of white space; raises `DataError` if they overlap or are not in order."""
    for one, other in pairwise(places):
        if other[0] < one[1]:
            raise DataError(
                f"expected {what} in order and without overlap, found {one} and {other}; correct the offsets"
            )
    return tuple([(start, end) for start, end in places if not text[start:end].isspace()])


def utf16_places(text: str, places: Sequence[Place]) -> list[Place]:
    """Places in characters as places in UTF-16 units."""
    bounds = _bounds(text, "utf16")
    return [(bounds[start], bounds[end]) for start, end in places]


def _units(text: str, offsets: Offsets, usual: Unit) -> list[str]:
    """The units to try; one if all of them count the same."""
    if offsets != "auto":
        return [offsets]
    names: list[str] = [usual]
    if not text.isascii() and max(text) > "\uffff":
        names.append("utf16" if usual == "codepoint" else "codepoint")
    return [*names, *(f"{name}-lines" for name in names)] if "\r\n" in text else names


def _bounds(text: str, unit: str) -> list[int]:
    """The number of units before each character of a text, and before its end."""
    if text.isascii() and not unit.endswith("-lines"):
        return list(range(len(text) + 1))
    wide = 2 if unit.startswith("utf16") else 1
    sizes = [wide if c > "\uffff" else 1 for c in text]
    if unit.endswith("-lines"):  # CR LF counts as one
        sizes = [0 if text[at : at + 2] == "\r\n" else size for at, size in enumerate(sizes)]
    return list(accumulate(sizes, initial=0))


_NAMES = {
    "codepoint": "code points",
    "utf16": "UTF-16 units",
    "codepoint-lines": "code points, CR LF as one",
    "utf16-lines": "UTF-16 units, CR LF as one",
}


def _converted(text: str, unit: str, marks: Sequence[Mark]) -> list[Place | None]:
    """None for a place that is empty, leaves the text or cuts a character."""
    bounds = _bounds(text, unit)
    found: list[Place | None] = []
    for (start, end), *_ in marks:
        first, last = bisect_left(bounds, start), bisect_left(bounds, end)
        inside = 0 <= start < end <= bounds[-1] and bounds[first] == start and bounds[last] == end
        found.append((first, last) if inside else None)
    return found


def _fits(text: str, place: Place | None, mark: Mark) -> bool:
    """Tools write line ends and runs of blanks in a copy as they like."""
    return place is not None and (mark.copy is None or text[slice(*place)].split() == mark.copy.split())


def _misfit(text: str, mark: Mark, place: Place | None, offsets: Offsets, unit: str) -> str:
    (start, end), copy, label = mark
    if place is None:
        size = _bounds(text, unit)[-1]
        named = " ".join(["", *([f"of {label:.60}"] if label else []), *([f"{copy!r:.60}"] if copy else [])])
        known = f"the length of the text in {_NAMES[unit]}"
        return f"expected 0 <= start < end <= {size}, {known}, found {start} and {end}{named}"
    advice = "correct the offsets" + ("" if offsets == "auto" else ", or use data.offsets=auto")
    what = f"{label:.60}, in {_NAMES[unit]}" if label else f"in {_NAMES[unit]}"
    return f"expected {copy!r:.60} at {start} to {end} ({what}), found {text[slice(*place)]!r:.60}; {advice}"
