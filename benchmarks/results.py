"""Finished runs, a line of JSON each, so that a benchmark that was killed goes on where it stopped."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_results(path: Path | None) -> list[dict[str, Any]]:
    """The finished runs of a file; none where there is no file."""
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def append(path: Path | None, row: dict[str, Any]) -> None:
    """One more, where a file was named."""
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation of shares, in percent."""
    sd = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * statistics.fmean(values):.2f}{sd}"
