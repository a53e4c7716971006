"""Mistakes: gold units paired with the units predicted in their place, as a list and counted by type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from structseq.evaluation.matching import Matching, Units, locations
from structseq.spans.schemes import Span

KINDS = ("type", "boundary", "boundary and type", "missed", "spurious")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One wrong or missing unit.

    Attributes
    ----------
    kind:
        "type" (right ends, wrong type), "boundary" (right type, wrong ends), "boundary and type", "missed" (without a
        predicted unit) or "spurious" (without a gold unit).
    gold, predicted:
        The units, in tokens of their sentence, or None.
    sentence, source, tokens:
        The sentence's number from 0, its ``file:line`` and its words.
    """

    kind: str
    gold: Span | None
    predicted: Span | None
    sentence: int
    source: str
    tokens: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        units = {}
        for side, unit in (("gold", self.gold), ("predicted", self.predicted)):
            text = {"text": " ".join(self.tokens[unit.start : unit.end])} if unit and self.tokens else {}
            units[side] = None if unit is None else {
                "start_token": unit.start, "end_token": unit.end, "label": unit.label, **text,
            }  # fmt: skip
        return {"kind": self.kind, "sentence": self.sentence, "source": self.source, **units}


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often units of type ``gold`` were predicted as ``predicted``; None for missed and spurious units.

    ``same_ends`` of them had the same tokens; the others overlapped.
    """

    gold: str | None
    predicted: str | None
    count: int
    same_ends: int


def mistakes_of(
    matching: Matching, *, tokens: Sequence[Sequence[str]] | None = None, sources: Sequence[str] | None = None
) -> tuple[Mistake, ...]:
    """Every mistake, by sentence and position."""
    gold = _by_sentence(matching, matching.gold.where(~matching.gold_found))
    predicted = _by_sentence(matching, matching.predicted.where(~matching.predicted_correct))
    where = locations(sources, len(matching.offsets) - 1)
    mistakes = []
    for sentence in sorted(gold.keys() | predicted.keys()):
        words = tuple(tokens[sentence]) if tokens is not None else ()
        pairs = pair(gold.get(sentence, []), predicted.get(sentence, []))
        mistakes += [Mistake(_kind(*spans), *spans, sentence, where[sentence], words) for spans in pairs]
    return tuple(mistakes)


def _kind(gold: Span | None, predicted: Span | None) -> str:
    if gold is None or predicted is None:
        return "missed" if predicted is None else "spurious"
    if (gold.start, gold.end) == (predicted.start, predicted.end):
        return "type"
    return "boundary" if gold.label == predicted.label else "boundary and type"


def pair(gold: Sequence[Span], predicted: Sequence[Span]) -> list[tuple[Span | None, Span | None]]:
    """Pair overlapping spans one to one, the largest overlap first, then the same type, then from the left.

    The rest is paired with None. Each side must be sorted and without overlaps. Returns pairs from left to right.
    """
    overlaps = []
    i = j = 0
    while i < len(gold) and j < len(predicted):
        left, right = gold[i], predicted[j]
        overlap = min(left.end, right.end) - max(left.start, right.start)
        if overlap > 0:
            overlaps.append((-overlap, left.label != right.label, left, right))
        if left.end <= right.end:
            i += 1
        else:
            j += 1
    partner: dict[Span, Span] = {}
    taken: set[Span] = set()
    for _, _, left, right in sorted(overlaps):
        if left not in partner and right not in taken:
            partner[left] = right
            taken.add(right)
    pairs: list[tuple[Span | None, Span | None]] = [(span, partner.get(span)) for span in gold]
    pairs += [(None, span) for span in predicted if span not in taken]
    return sorted(pairs, key=lambda spans: min((span.start, span.end) for span in spans if span is not None))


def confusions_of(mistakes: Sequence[Mistake]) -> tuple[Confusion, ...]:
    """Count mistakes by gold and predicted type, also where both are equal; most frequent first."""
    pairs = [(mistake.gold, mistake.predicted) for mistake in mistakes]
    keys = [(gold.label if gold else None, predicted.label if predicted else None) for gold, predicted in pairs]
    counts = Counter(keys)
    same = Counter(key for key, mistake in zip(keys, mistakes, strict=True) if mistake.kind == "type")
    ordered = sorted(counts, key=lambda key: (-counts[key], key[0] or "", key[1] or ""))
    return tuple(Confusion(*key, counts[key], same[key]) for key in ordered)


def _by_sentence(matching: Matching, units: Units) -> dict[int, list[Span]]:
    sentences = matching.sentence_of(units)
    shift = matching.offsets[sentences]
    columns = (column.tolist() for column in (sentences, units.start - shift, units.end - shift, units.kind))
    spans: dict[int, list[Span]] = {}
    for sentence, start, end, kind in zip(*columns, strict=True):
        spans.setdefault(sentence, []).append(Span(start, end, matching.kinds[kind]))
    return spans
