"""Finished runs, a line of JSON each, so that a benchmark that was killed goes on where it stopped."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_results(path: Path | None) -> list[dict[str, Any]]:
    """Finished runs; a last line that a kill cut off is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path is not None and path.exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            print(f"{path}: a line that was cut off is left out", file=sys.stderr)
    return rows


def append(path: Path | None, row: dict[str, Any]) -> None:
    """One more line, on the disk before anything else is done."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = not path.exists() or path.read_bytes()[-1:] in (b"", b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write(("" if whole else "\n") + json.dumps(row, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation of shares, in percent."""
    sd = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * statistics.fmean(values):.2f}{sd}"
