"""Format numbers and text for the report page."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

NOTHING = "–"


def number(value: Any) -> float | None:
    """``value`` as a float if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def percent(share: Any, *, digits: int = 2, sign: bool = False) -> str:
    """
    >>> percent(0.95614), percent(-0.0021, sign=True), percent(None)
    ('95.61', '−0.21', '–')
    """
    found = number(share)
    if found is None:
        return NOTHING
    text = f"{100 * found:{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def interval(ends: Any) -> str:
    """
    >>> interval([0.951, 0.96049])
    '95.10 to 96.05'
    """
    if not isinstance(ends, list | tuple) or len(ends) != 2 or None in (number(ends[0]), number(ends[1])):
        return NOTHING
    return f"{percent(ends[0])} to {percent(ends[1])}"


def p_value(value: Any) -> str:
    """
    >>> p_value(0.00021), p_value(0.0312), p_value(None)
    ('< 0.001', '0.031', '–')
    """
    found = number(value)
    if found is None:
        return NOTHING
    return "< 0.001" if found < 0.001 else f"{found:.3f}"


def count(value: Any) -> str:
    """
    >>> count(1234567), count(0.94)
    ('1,234,567', '1')
    """
    found = number(value)
    return NOTHING if found is None else f"{found:,.0f}"


def duration(seconds: Any) -> str:
    """
    >>> duration(7.31), duration(184), duration(7384)
    ('7.3 s', '3 min 04 s', '2 h 03 min')
    """
    found = number(seconds)
    if found is None:
        return NOTHING
    if found < 59.95:
        return f"{found:.1f} s"
    whole = round(found)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def nats(score: Any) -> str:
    """
    >>> nats(2.3456), nats(-0.5)
    ('+2.35', '−0.50')
    """
    found = number(score)
    return NOTHING if found is None else f"{found:+.2f}".replace("-", "−")


def plural(how_many: int, noun: str) -> str:
    return f"{how_many:,} {noun}" + ("" if how_many == 1 else "s")


def visible(text: Any, *, longest: int = 200) -> str:
    """Text on one line; the middle is cut beyond ``longest``, invisible and bidirectional controls become U+FFFD.

    >>> visible("new\\nYork\\u202e"), visible("abcdefgh", longest=5)
    ('new␤York�', 'ab…gh')
    """
    shown = "".join(_visible_character(character) for character in str(text)[: 4 * longest])
    if len(shown) <= longest:
        return shown
    kept = longest - 1
    return f"{shown[: kept - kept // 2]}…{shown[len(shown) - kept // 2 :]}"


def display_width(text: str) -> int:
    """Width in columns; a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _visible_character(character: str) -> str:
    if character == "\n":
        return "␤"
    if character == "\t":
        return "␉"
    # Control characters, surrogates, unassigned characters and line separators are invalid in XML or invisible
    hidden = unicodedata.category(character) in ("Cc", "Cs", "Cn", "Zl", "Zp")
    bidirectional = character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f"
    return "�" if hidden or bidirectional else character
