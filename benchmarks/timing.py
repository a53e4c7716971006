"""Rivals timed in turns, so that a machine's moods fall on all of them alike."""

from __future__ import annotations

import platform
import statistics
import sys
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any


def interleave(rivals: Mapping[str, Callable[[], object]], *, repeats: int) -> dict[str, list[float]]:
    """Seconds of each rival's runs: one run each in turn, ``repeats`` turns, after one turn for warming up.

    Say so on stderr after every turn: a long benchmark should show that it is alive.
    """
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(repeats + 1):
        for name, run in rivals.items():
            started = perf_counter()
            run()
            seconds[name].append(perf_counter() - started)
        last = ", ".join(f"{name} {times[-1]:.2f} s" for name, times in seconds.items())
        print(f"turn {turn} of {repeats}{' (warm-up)' if turn == 0 else ''}: {last}", file=sys.stderr, flush=True)
    return {name: times[1:] for name, times in seconds.items()}


def spread(seconds: list[float]) -> str:
    """Fastest to slowest run: how far the median can be trusted."""
    return f"{min(seconds):.3g}–{max(seconds):.3g}"


def ratio(slow: list[float], fast: list[float]) -> float:
    """How many times the median of ``slow`` is that of ``fast``."""
    return statistics.median(slow) / statistics.median(fast)


def circumstances() -> dict[str, Any]:
    """What a figure depends on beside the code: Python, torch, machine."""
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }
