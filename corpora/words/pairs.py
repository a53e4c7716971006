"""Pairs: what one draw of each task is, and the splits, no source twice in any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from dates import FIRST, LAST, ways, written
from numerals import name
from splitmix import SplitMix64, digest

Pair = tuple[str, str]
Draw = Callable[[SplitMix64, str], Pair]
"""(random numbers, split) -> (source, target)."""

ALPHABET = "abcdefgh"
LONGER = "longer"
# Evaluation is drawn first, so that the same seed tests on the same pairs however much is trained on.
ORDER = (LONGER, "test", "dev", "train")
PATIENCE = 10_000


class TooManyPairs(ValueError):
    """More different sources are asked for than can be drawn."""


def dates(seed: int) -> Draw:
    """A day between 1900 and 2099 in one of its ways -> ISO 8601; each day belongs to one split alone.

    >>> source, target = dates(7)(SplitMix64(1), "test")
    >>> source, target
    ('Fri Apr 29th 1938', '1938-04-29')
    """

    def split_of(day: int) -> str:
        place = digest(seed, "day", day) % 10
        return "test" if place == 0 else "dev" if place == 1 else "train"

    def draw(random: SplitMix64, split: str) -> Pair:
        first, last = FIRST.toordinal(), LAST.toordinal()
        number = first + random.below(last - first + 1)
        while split_of(number) != split:
            number = first + random.below(last - first + 1)
        day = date.fromordinal(number)
        possible = ways(day)
        source = written(day, possible[random.below(len(possible))])
        return source.lower() if random.chance(50) else source, day.isoformat()

    return draw


# Percent of the numbers that have one, two, ... six digits; dev and test start at three, since the small numbers are
# the words that all others are made of (and nothing else has a zero in its name).
WIDTHS = (1, 3, 6, 15, 25, 50)
ZEROS = 25


def numbers(random: SplitMix64, split: str) -> Pair:
    """The name of a number -> its digits; a quarter of the digits after the first are zeros on purpose.

    >>> numbers(SplitMix64(1), "test")
    ('eight hundred fifty-eight thousand three hundred seven', '858307')
    """
    low = 0 if split == "train" else 2
    place, width = random.below(sum(WIDTHS[low:])), low
    while place >= WIDTHS[width]:
        place -= WIDTHS[width]
        width += 1
    number = random.below(10) if width == 0 else 1 + random.below(9)
    for _ in range(width):
        number = 10 * number + (0 if random.chance(ZEROS) else random.below(10))
    return name(number), str(number)


def spelling(random: SplitMix64, split: str) -> Pair:
    """The digits of a number -> its name: the same pairs the other way round."""
    source, target = numbers(random, split)
    return target, source


def reversal(longest: int) -> Draw:
    """A string of `ALPHABET`, from one letter to `longest` of them (half as many again in `longer`) -> its reverse.

    There are few strings of one or two letters, and a model needs to have seen them: they are training's alone.

    >>> reversal(6)(SplitMix64(1), "longer")
    ('bhgdbaffa', 'affabdghb')
    """

    shortest = min(3, longest)

    def draw(random: SplitMix64, split: str) -> Pair:
        if split == LONGER:
            length = (3 * longest + 1) // 2
        else:
            low = 1 if split == "train" else shortest
            length = low + random.below(longest - low + 1)
        source = "".join(ALPHABET[random.below(len(ALPHABET))] for _ in range(length))
        return source, source[::-1]

    return draw


def splits(draw: Draw, sizes: Mapping[str, int], seed: int) -> dict[str, list[Pair]]:
    """So many pairs for each split, in the order of `sizes`; a source that any split has is drawn again.

    Raises TooManyPairs where no new source turns up any more.
    """
    seen: set[str] = set()
    drawn: dict[str, list[Pair]] = {}
    for split in (split for split in ORDER if split in sizes):
        random = SplitMix64(digest(seed, split))
        pairs = drawn[split] = []
        misses = 0
        while len(pairs) < sizes[split]:
            pair = draw(random, split)
            misses = misses + 1 if pair[0] in seen else 0
            if misses == PATIENCE:
                raise TooManyPairs(
                    f"--{split} {sizes[split]}: only {len(pairs)} sources that no other split has could be drawn; "
                    "ask for fewer"
                )
            if not misses:
                seen.add(pair[0])
                pairs.append(pair)
    return {split: drawn[split] for split in sizes}
