"""Numerals: whole numbers below a million by their English names."""

from __future__ import annotations

LIMIT = 1_000_000
SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
         "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")  # fmt: skip
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def name(number: int) -> str:
    """The name of a whole number in [0, 1,000,000), without "and".

    >>> name(0), name(21), name(700_012)
    ('zero', 'twenty-one', 'seven hundred thousand twelve')
    """
    if not 0 <= number < LIMIT:
        raise ValueError(f"{number} has no name here: expected a whole number from 0 to {LIMIT - 1:,}")
    thousands, rest = divmod(number, 1000)
    words = [f"{below_thousand(thousands)} thousand"] if thousands else []
    if rest or not thousands:
        words.append(below_thousand(rest))
    return " ".join(words)


def below_thousand(number: int) -> str:
    """The name of a number in [0, 1000)."""
    hundreds, rest = divmod(number, 100)
    words = [f"{SMALL[hundreds]} hundred"] if hundreds else []
    if rest >= 20:
        tens, ones = divmod(rest, 10)
        words.append(f"{TENS[tens]}-{SMALL[ones]}" if ones else TENS[tens])
    elif rest or not hundreds:
        words.append(SMALL[rest])
    return " ".join(words)
