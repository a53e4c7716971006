"""Almanac: whether the dates of a journey can follow one another, as far as they name a month."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sentences import Piece

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NUMERALS = ("十二", "十一", "十", "一", "二", "三", "四", "五", "六", "七", "八", "九")
ENGLISH = re.compile(rf"\b({'|'.join(MONTHS)})[a-z]*\b")
CHINESE = re.compile(rf"(\d+|{'|'.join(NUMERALS)})(?:月(?!底|初)|/)(\d*)")
VALUE = {"十二": 12, "十一": 11, "十": 10, **{numeral: place for place, numeral in enumerate(NUMERALS[3:], start=1)}}


def when(text: str) -> tuple[int, int] | None:
    """Month and day (0 where it is not written in digits); None where no month is named.

    >>> when("November 2nd"), when("十一月二號"), when("11/2"), when("tomorrow")
    ((11, 2), (11, 0), (11, 2), None)
    """
    match = ENGLISH.search(text.lower())
    if match:
        day = re.search(r"\d+", text)
        return MONTHS.index(match[1]) + 1, int(day[0]) if day else 0
    match = CHINESE.search(text)
    if match is None:
        return None
    month = VALUE.get(match[1]) or int(match[1])
    return month, int(match[2] or 0)


def follows(later: tuple[int, int], earlier: tuple[int, int]) -> bool:
    """Whether one date may come after another: within the year, or from its end into the next."""
    if later[0] == earlier[0]:
        return 0 < earlier[1] <= later[1]
    return later[0] > earlier[0] or (earlier[0] >= 11 and later[0] <= 2)


def plausible(pieces: Sequence[Piece]) -> bool:
    """Whether every arrival and return comes after every departure, and a second leg after the first."""
    dates: dict[str, list[tuple[int, int]]] = {}
    for piece in pieces:
        date = when(piece.text) if piece.slot.endswith("_date") else None
        if date:
            dates.setdefault(piece.slot, []).append(date)
    departures = dates.get("departure_date", [])
    later = dates.get("arrival_date", []) + dates.get("return_date", [])
    return all(follows(date, departure) for date in later for departure in departures)
