"""Policies that make flat spans of annotations: for overlapping and for discontinuous ones."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Literal

from structseq.data.annotation.document import Annotation, Notes, Place
from structseq.data.charspans import CharSpan
from structseq.errors import DataError

Overlapping = Literal["error", "longest", "first", "outermost", "innermost"]
Fragments = Literal["error", "hull", "split", "first", "drop"]


def flat_spans(
    text: str,
    annotations: Sequence[Annotation],
    *,
    overlapping: Overlapping = "error",
    fragments: Fragments = "error",
    notes: Notes | None = None,
) -> list[CharSpan]:
    """The annotations as spans that do not overlap, in order.

    ``fragments``: a discontinuous annotation becomes its ``hull``, several spans (``split``), its ``first`` part, or
    none (``drop``). Parts with only white space between them are one.

    ``overlapping``: of overlapping spans, ``longest`` keeps the longest, then the first (as spaCy's ``filter_spans``),
    ``first`` the one that starts first, ``outermost`` those within no other, ``innermost`` those around no other.

    Equal spans count once. Raises `DataError` where the policy is ``error`` or does not decide.
    """
    notes = Notes() if notes is None else notes
    whole = without_gaps(text, annotations, fragments, notes)
    spans = [CharSpan(each.start, each.end, each.label) for each in whole]
    ordered = sorted(dict.fromkeys(spans), key=lambda span: (span.start, -span.end))
    if len(ordered) < len(spans):
        notes["spans that occur twice, read once"] += len(spans) - len(ordered)
    kept = _kept(text, ordered, overlapping)
    if len(kept) < len(ordered):
        notes[f"overlapping spans, left out (data.overlapping={overlapping})"] += len(ordered) - len(kept)
    return kept


def joined_parts(text: str, parts: Sequence[Place]) -> tuple[Place, ...]:
    """The parts, joined where only white space is between them."""
    joined = [parts[0]]
    for start, end in parts[1:]:
        if not text[joined[-1][1] : start].strip():
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)


def without_gaps(
    text: str, annotations: Sequence[Annotation], fragments: Fragments, notes: Notes
) -> tuple[Annotation, ...]:
    """The annotations with one part each, by the policy ``fragments``, see `flat_spans`."""
    return tuple([whole for each in annotations for whole in _whole(text, each, fragments, notes)])


def _whole(text: str, annotation: Annotation, fragments: Fragments, notes: Notes) -> list[Annotation]:
    parts = joined_parts(text, annotation.parts)
    if len(parts) == 1:
        return [replace(annotation, parts=parts)]
    if fragments == "error":
        pieces = " ... ".join(text[start:end] for start, end in parts)
        places = ", ".join(f"{start}:{end}" for start, end in parts)
        raise DataError(
            f"expected spans without gaps, found {annotation.label} {places} {pieces[:60]!r}; set data.fragments to "
            "hull, split, first or drop"
        )
    notes[f"discontinuous spans (data.fragments={fragments})"] += 1
    hull = ((annotation.start, annotation.end),)
    kept = {"hull": hull, "split": parts, "first": parts[:1], "drop": ()}[fragments]
    return [replace(annotation, parts=(part,)) for part in kept]


def _kept(text: str, ordered: Sequence[CharSpan], overlapping: Overlapping) -> list[CharSpan]:
    """``ordered``: by start, the longer first."""
    if overlapping == "longest":
        return _greedy(sorted(ordered, key=lambda span: (span.start - span.end, span.start)))
    if overlapping == "first":
        return _greedy(ordered)
    kept = list(ordered)
    if overlapping in ("outermost", "innermost"):
        kept = _extreme(ordered, outer=overlapping == "outermost")
    for one, other in pairwise(kept):
        if other.start < one.end:
            named = f"the spans {shown(text, one)} and {shown(text, other)} overlap"
            if overlapping == "error":
                raise DataError(f"{named}; set data.overlapping to longest, first, outermost or innermost")
            raise DataError(f"{named} and neither is within the other; set data.overlapping to longest or first")
    return kept


def _greedy(spans: Sequence[CharSpan]) -> list[CharSpan]:
    kept: list[CharSpan] = []
    for span in spans:
        at = bisect_left(kept, span)
        if (at == 0 or kept[at - 1].end <= span.start) and (at == len(kept) or span.end <= kept[at].start):
            kept.insert(at, span)
    return kept


def _extreme(ordered: Sequence[CharSpan], *, outer: bool) -> list[CharSpan]:
    """The spans that are within no other (``outer``), or around no other."""
    kept: list[CharSpan] = []
    # A span comes after those around it, and before those within it
    bound: int | None = None
    groups = [list(group) for _, group in groupby(ordered, key=lambda span: span[:2])]
    for group in groups if outer else reversed(groups):
        end = group[0].end
        if bound is None or (end > bound if outer else end < bound):
            kept += group
            bound = end
    return sorted(kept, key=lambda span: (span.start, -span.end))


def shown(text: str, span: CharSpan) -> str:
    return f"{span.label} {span.start}:{span.end} {text[span.start : span.end]!r:.60}"
