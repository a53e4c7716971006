"""Almanac: whether the dates of a journey can follow one another, as far as their words tell."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sentences import Piece

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
ONES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
        "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
        "twentieth")  # fmt: skip
DIGITS = "一二三四五六七八九"
NUMBERS = {
    **{word: place for place, word in enumerate(ONES, start=1)},
    **{f"twenty-{word}": 20 + place for place, word in enumerate(ONES[:9], start=1)},
    "thirtieth": 30,
    "thirty-first": 31,
    **{f"{'' if tens == 1 else DIGITS[tens - 1]}十{one}": 10 * tens + DIGITS.find(one or "?") + 1
       for tens in (1, 2, 3) for one in ("", *DIGITS)},
    **{one: place for place, one in enumerate(DIGITS, start=1)},
}  # fmt: skip
ENGLISH_MONTH = re.compile(rf"\b({'|'.join(MONTHS)})[a-z]*\b")
ENGLISH_DAY = re.compile(r"\b(\d+)(?:st|nd|rd|th)?\b|\b((?:twenty-|thirty-)?[a-z]+(?:st|nd|rd|th))\b")
CHINESE = re.compile(r"(?:(\d+|[一二三四五六七八九十]+)[月/])?(?:(\d+|[一二三四五六七八九十]+)(?:號|日|$))?")
# How many days away, about, what is said from today.
SOON = (("weeks from today", 14), ("day after tomorrow", 2), ("tomorrow", 1), ("today", 0), ("week after next", 20),
        ("next month", 45), ("next", 12), ("this", 5), ("大後天", 3), ("後天", 2), ("明天", 1), ("今天", 0),
        ("下下", 20), ("下個月底", 60), ("下個月", 45), ("月底", 30), ("下", 12), ("這", 5))  # fmt: skip

Date = tuple[str, int]


def number(text: str) -> int:
    """A day or month in digits or words; 0 for none."""
    return int(text) if text.isdigit() else NUMBERS.get(text, 0)


def when(text: str) -> Date:
    """What kind of date it is, and its place among its kind; ("", 0) where the words do not tell.

    >>> when("November 2nd"), when("十一月二號"), when("11/2"), when("twenty-second"), when("下禮拜三")
    (('month', 1102), ('month', 1102), ('month', 1102), ('day', 22), ('soon', 12))
    """
    lower = text.lower()
    match = CHINESE.match(lower)
    month, day = (number(group or "") for group in match.groups()) if match else (0, 0)
    if lower.isascii() and "/" not in lower:
        named, numbered = ENGLISH_MONTH.search(lower), ENGLISH_DAY.search(lower)
        month = MONTHS.index(named[1]) + 1 if named else 0
        day = number(numbered[1] or numbered[2]) if numbered else 0
    if month:
        return "month", 100 * month + day
    soon = next((days for words, days in SOON if words in lower), None)
    if soon is not None:
        return "soon", soon
    return ("day", day) if day else ("", 0)


def follows(later: Date, earlier: Date) -> bool:
    """Whether one date may come after another: within the year, or from its end into the next."""
    if later[0] != earlier[0] or not later[0]:
        return True
    return later[1] >= earlier[1] or (earlier[1] >= 1100 and later[1] < 300)


def plausible(pieces: Sequence[Piece]) -> bool:
    """Whether every arrival and return may come after every departure."""
    dates: dict[str, list[Date]] = {}
    for piece in pieces:
        if piece.slot.endswith("_date"):
            dates.setdefault(piece.slot, []).append(when(piece.text))
    later = dates.get("arrival_date", []) + dates.get("return_date", [])
    return all(follows(date, departure) for date in later for departure in dates.get("departure_date", []))
