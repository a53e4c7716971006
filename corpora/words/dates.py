"""Dates: the ways to write a day in English that this corpus knows, each with one reading."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

FIRST, LAST = date(1900, 1, 1), date(2099, 12, 31)
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
            "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
            "twentieth")  # fmt: skip

# Any day can be written so.
ALWAYS = (
    "{d} {month} {yyyy}",
    "{month} {d}, {yyyy}",
    "{month} {d} {yyyy}",
    "{dth} {month} {yyyy}",
    "{dth} of {month} {yyyy}",
    "the {dth} of {month} {yyyy}",
    "{month} {dth}, {yyyy}",
    "{month} the {dth}, {yyyy}",
    "{word} of {month} {yyyy}",
    "{month} {word}, {yyyy}",
    "{d} {mon} {yyyy}",
    "{mon} {d}, {yyyy}",
    "{d}-{mon}-{yyyy}",
    "{weekday} {d} {month} {yyyy}",
    "{weekday}, {month} {d}, {yyyy}",
    "{wkd}, {d} {mon} {yyyy}",
    "{wkd} {mon} {dth} {yyyy}",
)
# Two digits of the year are enough from PIVOT on for a hundred years: 50 to 99 are 1950 to 1999, 00 to 49 are 2000 to
# 2049. They always stand last.
PIVOT = 1950
SHORT = ("{dth} {month} '{yy}", "{mon} {d}, '{yy}", "{d} {mon} {yy}", "{d}-{mon}-{yy}")
# Day and month as bare numbers, in either order, only where one reading is left: the day is above 12, or is the month.
NUMERIC = ("{d}/{m}/{yyyy}", "{m}/{d}/{yyyy}", "{d}.{m}.{yyyy}", "{m}-{d}-{yyyy}", "{dd}/{mm}/{yyyy}")
NUMERIC_SHORT = ("{d}/{m}/{yy}", "{m}/{d}/{yy}")


def ordinal(number: int) -> str:
    """The number of a day with its ending.

    >>> [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '22nd', '23rd', '30th']
    """
    ending = "th" if 11 <= number <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def ordinal_word(number: int) -> str:
    """The number of a day in words.

    >>> [ordinal_word(number) for number in (1, 20, 22, 30, 31)]
    ['first', 'twentieth', 'twenty-second', 'thirtieth', 'thirty-first']
    """
    if number <= 20:
        return ORDINALS[number - 1]
    tens, ones = divmod(number, 10)
    return f"{('twenty', 'thirty')[tens - 2]}-{ORDINALS[ones - 1]}" if ones else "thirtieth"


def ways(day: date) -> Sequence[str]:
    """The ways in which this day may be written.

    >>> "{d}/{m}/{yy}" in ways(date(1998, 5, 23)), "{d}/{m}/{yy}" in ways(date(1998, 5, 3))
    (True, False)
    """
    short = PIVOT <= day.year < PIVOT + 100
    numeric = day.day > 12 or day.day == day.month
    return (
        ALWAYS + (SHORT if short else ()) + (NUMERIC if numeric else ()) + (NUMERIC_SHORT if numeric and short else ())
    )


def written(day: date, way: str) -> str:
    """The day, written in one way.

    >>> written(date(1998, 5, 3), "{weekday} {d} {month} {yyyy}"), written(date(1998, 5, 3), "{mon} {d}, '{yy}")
    ('Sunday 3 May 1998', "May 3, '98")
    """
    month, weekday = MONTHS[day.month - 1], WEEKDAYS[day.weekday()]
    return way.format(
        d=day.day,
        dd=f"{day.day:02}",
        dth=ordinal(day.day),
        word=ordinal_word(day.day),
        m=day.month,
        mm=f"{day.month:02}",
        mon=month[:3],
        month=month,
        wkd=weekday[:3],
        weekday=weekday,
        yy=f"{day.year % 100:02}",
        yyyy=day.year,
    )
