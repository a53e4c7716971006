"""Excerpt: a wrong prediction in its sentence, with gold and predicted span marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from structseq.report.formatting import visible

# Tokens of context on each side
CONTEXT = 15
LONGEST_TOKEN = 60


@dataclass(frozen=True, slots=True)
class Piece:
    """Adjacent tokens in the same spans; None is a space between tokens."""

    tokens: tuple[str | None, ...]
    gold: bool
    predicted: bool


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A wrong prediction: labels (None without a span), and whether words before and after are ``cut``."""

    pieces: tuple[Piece, ...]
    cut: tuple[bool, bool]
    gold: str | None
    predicted: str | None
    kind: str
    source: str
    confidence: float | None


def excerpt_of(error: Mapping[str, Any], *, context: int = CONTEXT) -> Excerpt:
    """The excerpt of one of a comparison's errors; without gold_start_token, both spans have the same ends."""
    tokens = list(error["tokens"])
    gold, predicted = _span(error, "gold"), _span(error, "predicted")
    spans = [span for _, span in (gold, predicted) if span] or [range(*_tokens(error))]
    first = max(0, min(span.start for span in spans) - context)
    last = min(len(tokens), max(span.stop for span in spans) + context)
    words = [visible(tokens[i], longest=LONGEST_TOKEN) for i in range(first, last)]
    marks = [(i in gold[1], i in predicted[1]) for i in range(first, last)]
    return Excerpt(
        pieces=tuple(_pieces(words, marks)),
        cut=(first > 0, last < len(tokens)),
        gold=gold[0],
        predicted=predicted[0],
        kind=visible(error.get("kind") or ""),
        source=visible(error.get("source") or ""),
        confidence=error.get("confidence"),
    )


def _tokens(error: Mapping[str, Any], side: str = "") -> tuple[int, int]:
    """First token and end; older comparisons name them ``start`` and ``end``."""
    names = ("start_token", "end_token") if f"{side}start_token" in error else ("start", "end")
    return error[f"{side}{names[0]}"], error[f"{side}{names[1]}"]


def _span(error: Mapping[str, Any], side: str) -> tuple[str | None, range]:
    if error.get(side) is None:
        return None, range(0)
    start, end = _tokens(error)
    if side == "gold" and any(error.get(key) is not None for key in ("gold_start_token", "gold_start")):
        start, end = _tokens(error, "gold_")
    return visible(error[side], longest=80), range(max(0, start), min(len(error["tokens"]), end))


def _pieces(words: Sequence[str], marks: Sequence[tuple[bool, bool]]) -> Iterator[Piece]:
    """Group tokens by marks; a space is in the spans that contain both neighbours."""
    marked: list[tuple[str | None, tuple[bool, bool]]] = []
    for i, (word, mark) in enumerate(zip(words, marks, strict=True)):
        if i:
            before = marks[i - 1]
            marked.append((None, (before[0] and mark[0], before[1] and mark[1])))
        marked.append((word, mark))
    for (gold, predicted), group in groupby(marked, key=lambda token: token[1]):
        yield Piece(tuple(word for word, _ in group), gold, predicted)
