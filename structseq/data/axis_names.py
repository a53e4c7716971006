"""Names of the entries along the axes of a parameter: what lets weights go from one model to another by what they stand
for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

# The names along one axis; None where it has none, and must be of the same length.
Axis = Sequence[Any] | None


def axis_names(items: Iterable[str]) -> list[tuple[str, ...]]:
    """Of a table whose number 0 stands for none of ``items`` (the unknown, the blank, the end), then for each of them;
    tuples, so that no string is taken for that one.

    >>> axis_names(["7"])
    [(), ('7',)]
    """
    return [(), *((item,) for item in items)]
