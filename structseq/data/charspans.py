"""Aligns labelled character spans with tokens."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from structseq.data.tokenizer import Token
from structseq.errors import DataError
from structseq.spans import Span

Misaligned = Literal["error", "expand", "contract", "drop"]

POLICIES = ("error", "expand", "contract", "drop")


class CharSpan(NamedTuple):
    """Half-open: ``text[start:end]`` has ``label``; offsets count characters (code points) from 0."""

    start: int
    end: int
    label: str


def align(
    text: str, tokens: Sequence[Token], spans: Sequence[CharSpan], *, misaligned: Misaligned = "error"
) -> tuple[Span, ...]:
    """The token spans of character spans.

    ``misaligned`` decides about a span that begins or ends within a token or in white space: ``error`` raises
    `DataError`, ``expand`` takes all tokens that it touches, ``contract`` the whole tokens within it (if any), ``drop``
    none. Raises `DataError` if spans overlap or leave the text.
    """
    ordered = sorted(spans)
    for span in ordered:
        if not 0 <= span.start < span.end <= len(text):
            message = f"expected 0 <= start < end <= {len(text)}, the length of the text, found {_shown(text, span)}"
            raise DataError(message)
    for one, other in pairwise(ordered):
        if other.start < one.end:
            message = f"the spans {_shown(text, one)} and {_shown(text, other)} overlap; keep one of them"
            raise DataError(message)
    starts, ends = [token.start for token in tokens], [token.end for token in tokens]
    found = [_token_span(text, tokens, starts, ends, span, misaligned) for span in ordered]
    kept = [span for span in found if span is not None]
    for first, second in pairwise(kept):
        if second.start < first.end:
            token = tokens[second.start].text
            raise DataError(f"two expanded spans share the token {token!r}; correct one or use another policy")
    return tuple(kept)


def _token_span(
    text: str, tokens: Sequence[Token], starts: list[int], ends: list[int], span: CharSpan, misaligned: Misaligned
) -> Span | None:
    # The span touches tokens that end after its start and start before its end
    first, last = bisect_right(ends, span.start), bisect_left(starts, span.end)
    if first < last and starts[first] == span.start and ends[last - 1] == span.end:
        return Span(first, last, span.label)
    if misaligned == "error":
        raise _misaligned(text, tokens[max(first - 1, 0) : last + 1], span)
    if misaligned == "contract":
        first, last = bisect_left(starts, span.start), bisect_right(ends, span.end)
    return Span(first, last, span.label) if misaligned != "drop" and first < last else None


def _misaligned(text: str, near: Sequence[Token], span: CharSpan) -> DataError:
    shown = [*near[:4], *near[-3:]] if len(near) > 7 else near
    tokens = ", ".join(f"{token.text[:30]!r} {token.start}:{token.end}" for token in shown)
    context = text[max(span.start - 20, 0) : span.end + 20]
    offsets = "if offsets count UTF-16 units, set data.offsets=utf16; else " * (max(text) > "\uffff")
    return DataError(
        f"expected a span from the start of a token to the end of one, found {_shown(text, span)} in {context[:120]!r} "
        f"with the tokens {tokens}; {offsets}correct the span, use another tokenizer (pieces-1 cuts finest), "
        "or set misaligned to expand, contract or drop"
    )


def _shown(text: str, span: CharSpan) -> str:
    return f"{span.label} {span.start}:{span.end} {text[max(span.start, 0) : max(span.end, 0)][:60]!r}"
