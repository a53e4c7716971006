"""Mistakes: which gold unit was predicted as which other one, as a list and counted by type.

Units that both sides share are right. Of the others, overlapping gold and predicted units are paired one to one, the
largest overlap first (then the same type, then from the left); the rest is missed or spurious.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
        "type" (right ends, wrong type), "boundary" (right type, wrong ends), "boundary and type", "missed" (no
        prediction overlaps it) or "spurious" (no gold unit overlaps it).
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
        """For JSON: each unit, with its text if the words are known."""
        units = {}
        for side, unit in (("gold", self.gold), ("predicted", self.predicted)):
            text = {"text": " ".join(self.tokens[unit.start : unit.end])} if unit and self.tokens else {}
            units[side] = None if unit is None else {**asdict(unit), **text}
        return {"kind": self.kind, "sentence": self.sentence, "source": self.source, **units}


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often units of type ``gold`` were predicted as ``predicted``; None if there was no such unit.

    ``same_ends`` of them had the same tokens, the others only overlapped.
    """

    gold: str | None
    predicted: str | None
    count: int
    same_ends: int


def mistakes_of(
    matching: Matching, *, tokens: Sequence[Sequence[str]] | None = None, sources: Sequence[str] | None = None
) -> tuple[Mistake, ...]:
    """Every mistake, by sentence and place; O(units)."""
    gold = _by_sentence(matching, matching.gold.where(~matching.gold_found))
    predicted = _by_sentence(matching, matching.predicted.where(~matching.predicted_right))
    where = locations(sources, len(matching.offsets) - 1)
    mistakes = []
    for sentence in sorted(gold.keys() | predicted.keys()):
        words = tuple(tokens[sentence]) if tokens is not None else ()
        pairs = pair(gold.get(sentence, []), predicted.get(sentence, []))
        mistakes += [Mistake(_kind(one, other), one, other, sentence, where[sentence], words) for one, other in pairs]
    return tuple(mistakes)


def _kind(gold: Span | None, predicted: Span | None) -> str:
    """Which of `KINDS` a pair is."""
    if gold is None or predicted is None:
        return "missed" if predicted is None else "spurious"
    if (gold.start, gold.end) == (predicted.start, predicted.end):
        return "type"
    return "boundary" if gold.label == predicted.label else "boundary and type"


def pair(gold: Sequence[Span], predicted: Sequence[Span]) -> list[tuple[Span | None, Span | None]]:
    """Overlapping spans paired one to one and the rest alone, from left to right.

    The spans of each side must be sorted and must not overlap.

    >>> pair([Span(0, 3, "x"), Span(5, 6, "y")], [Span(0, 1, "y"), Span(1, 3, "x")])[0]
    (None, Span(start=0, end=1, label='y'))
    """
    overlaps = []
    i = j = 0
    while i < len(gold) and j < len(predicted):
        one, other = gold[i], predicted[j]
        shared = min(one.end, other.end) - max(one.start, other.start)
        if shared > 0:
            overlaps.append((-shared, one.label != other.label, one, other))
        if one.end <= other.end:
            i += 1
        else:
            j += 1
    partner: dict[Span, Span] = {}
    taken: set[Span] = set()
    for _, _, one, other in sorted(overlaps):
        if one not in partner and other not in taken:
            partner[one] = other
            taken.add(other)
    pairs: list[tuple[Span | None, Span | None]] = [(one, partner.get(one)) for one in gold]
    pairs += [(None, other) for other in predicted if other not in taken]
    return sorted(pairs, key=lambda spans: min((span.start, span.end) for span in spans if span is not None))


def confusions_of(mistakes: Sequence[Mistake]) -> tuple[Confusion, ...]:
    """Mistakes counted by both types, most frequent first; wrong boundaries of the right type are included."""
    keys = [(one.gold.label if one.gold else None, one.predicted.label if one.predicted else None) for one in mistakes]
    counts = Counter(keys)
    same = Counter(key for key, mistake in zip(keys, mistakes, strict=True) if mistake.kind == "type")
    ordered = sorted(counts, key=lambda key: (-counts[key], key[0] or "", key[1] or ""))
    return tuple(Confusion(*key, counts[key], same[key]) for key in ordered)


def _by_sentence(matching: Matching, units: Units) -> dict[int, list[Span]]:
    """Units as spans within their sentences, by the sentence's number."""
    sentences = matching.sentence_of(units)
    shift = matching.offsets[sentences]
    columns = (column.tolist() for column in (sentences, units.start - shift, units.end - shift, units.kind))
    spans: dict[int, list[Span]] = {}
    for sentence, start, end, kind in zip(*columns, strict=True):
        spans.setdefault(sentence, []).append(Span(start, end, matching.kinds[kind]))
    return spans
