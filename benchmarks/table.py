"""Markdown tables on the terminal, and the same numbers as JSON for whoever computes with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table; the first column to the left, all others to the right.

    >>> print(markdown(["what", "s"], [["a pass", "3.80"]]))
    | what   |    s |
    | :----- | ---: |
    | a pass | 3.80 |
    """
    widths = [max(3, *(len(row[i]) for row in [header, *rows])) for i in range(len(header))]
    rule = [":" + "-" * (width - 1) if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    lines = []
    for cells in (header, rule, *rows):
        first, *rest = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        lines.append(f"| {' | '.join(padded)} |")
    return "\n".join(lines)


def write_json(path: Path | None, content: Any) -> None:
    """``content`` into a file, where one was asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
