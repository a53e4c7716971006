"""Streams in windows: as much is read ahead as makes even batches, and memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from structseq.data.example import Example
from structseq.errors import ConfigError

LOOK_AHEAD_STEPS = 1 << 15  # tokens or frames that a stream is read ahead by at most


def windows(given: Iterable[Any], prepare: Callable[[Any, int], Example], size: int) -> Iterator[list[Example]]:
    """Up to ``size`` items at a time, prepared, fewer where they are long.

    ``prepare`` makes an example of an item and its number, from 1. An item that raises ends the stream: its error comes
    after the window of all items before it. Raises `ConfigError` at once for a ``size`` below 1.
    """
    if size < 1:
        raise ConfigError(f"expected a look_ahead of at least one sequence, found {size}")
    return _windows(iter(given), prepare, size)


def _windows(items: Iterator[Any], prepare: Callable[[Any, int], Example], size: int) -> Iterator[list[Example]]:
    number, ended = 0, False
    while not ended:
        window: list[Example] = []
        steps = 0
        problem: Exception | None = None
        try:
            while len(window) < size and steps < LOOK_AHEAD_STEPS:
                number += 1
                window.append(prepare(next(items), number))
                steps += len(window[-1])
        except StopIteration:
            ended = True
        except Exception as found:
            problem = found
        if window:
            yield window
        if problem is not None:
            raise problem
