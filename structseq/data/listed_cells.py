"""Lists that a text file has as text, ``"['O', 'B-geo']"``: columns of such cells become lists."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

from structseq.data.table_rows import Origin, Row
from structseq.data.tables import TAGS, TOKENS, folded

_SAMPLE = 100
_STRING = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
# As Python and JSON write it; without commas, Python would join the strings
_LIST = re.compile(rf"\s*\[\s*(?:{_STRING}(?:\s*,\s*{_STRING})*)?\s*\]\s*", re.DOTALL)


def with_lists(names: Sequence[str], rows: Iterator[Row], origin: Origin) -> Iterator[Row]:
    """The rows with lists in the columns whose first cells are lists of strings.

    Beside one column of lists, another has as many words as these have strings, and becomes a list of words. Raises
    `DataError` for a later cell that is no list.
    """
    head: list[Row] = []
    for number, values in islice(rows, _SAMPLE):
        head.append((number, values))
        if any(values) and not any(_parsed(value) is not None for value in values):
            break
    full = [values for _, values in head if any(values)]
    lists = [at for at in range(len(names)) if full and all(_parsed(values[at]) is not None for values in full)]
    words = _words(names, full, lists)
    rows = chain(head, rows)
    if len(lists) + len(words) < 2:
        yield from rows
        return
    for number, values in rows:
        if not any(values):
            yield number, values
            continue
        cells: list[Any] = list(values)
        for at in lists:
            cells[at] = _parsed(values[at])
            if cells[at] is None:
                found = f"found {values[at][:60]!r}"
                raise origin.error(f"expected a list in the column {names[at]!r}, {found}; correct it", number)
        for at in words:
            cells[at] = values[at].split()
        yield number, cells


def _words(names: Sequence[str], full: Sequence[Sequence[str]], lists: Sequence[int]) -> list[int]:
    """The only column with a word for each string of the lists, if none of these is named as tokens are."""
    known = {folded(names[at]) for at in lists}
    if not known or known & set(TOKENS):
        return []
    counts = [len(_parsed(values[lists[0]]) or ()) for values in full]
    others = [at for at, name in enumerate(names) if at not in lists and (folded(name) != "text" or known & set(TAGS))]
    found = [at for at in others if [len(values[at].split()) for values in full] == counts]
    return found if len(found) == 1 else []


def _parsed(cell: str) -> list[str] | None:
    if not _LIST.fullmatch(cell):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not have
            found: list[str] = ast.literal_eval(cell.strip())
        "".join(found).encode()
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # half of a surrogate pair is a ValueError
        return None
    return found
