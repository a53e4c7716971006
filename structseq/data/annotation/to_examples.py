"""Examples made of documents: sentences, tokens and tags."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from typing import Any, Literal, NamedTuple, get_args

from structseq.data.annotation.document import Document, Notes, Place, errors_at
from structseq.data.annotation.policies import Fragments, Overlapping, flat_spans, shown
from structseq.data.charspans import CharSpan, Misaligned, align
from structseq.data.example import Example
from structseq.data.tokenizer import Token, Tokenizer, texts_of, tokenizer_of
from structseq.errors import ConfigError, DataError
from structseq.spans import Scheme, scheme_of

Split = Literal["auto", "lines", "none"]

_POLICIES = {"misaligned": Misaligned, "overlapping": Overlapping, "fragments": Fragments, "split": Split}

_LINE = re.compile(r"[^\r\n]*[^\s][^\r\n]*")


class Sentence(NamedTuple):
    """A sentence of a document, from the character ``start``; its tokens have offsets in the sentence."""

    start: int
    tokens: Sequence[Token]
    example: Example


@dataclass(frozen=True, slots=True)
class Cutting:
    """How documents become sentences with tags.

    ``split``: ``auto`` takes the document's sentences, else its lines if ``lines`` is set, else the whole text;
    ``lines`` and ``none`` name one of these. An annotation keeps the lines that it crosses together.
    """

    tokenizer: Tokenizer
    scheme: Scheme
    misaligned: Misaligned = "error"
    overlapping: Overlapping = "error"
    fragments: Fragments = "error"
    split: Split = "auto"
    lines: bool = False
    tags: bool = True
    notes: Notes = field(default_factory=Notes)

    def examples(self, documents: Iterable[Document]) -> Iterator[Example]:
        """The sentences of the documents; raises `DataError` with the document's source."""
        return (sentence.example for document in documents for sentence in self.sentences(document))

    def sentences(self, document: Document) -> Iterator[Sentence]:
        """The sentences of one document; raises as `examples`."""
        with errors_at(document.source):
            yield from self._sentences(document)

    def _sentences(self, document: Document) -> Iterator[Sentence]:
        spans: list[CharSpan] | None = None
        if self.tags and document.annotations is not None:
            spans = flat_spans(
                document.text, document.annotations, overlapping=self.overlapping, fragments=self.fragments,
                notes=self.notes,
            )  # fmt: skip
        cut = self.split != "none" and (document.sentences is not None or self.lines or self.split == "lines")
        by_line = self.split == "lines"
        places = sentence_places(document, spans or (), lines=by_line) if cut else [(0, len(document.text))]
        _check_covered(document.text, places, spans or ())
        boundary = cut or document.metadata.get("starts_document") is True
        for number, (start, end) in enumerate(places):
            text = document.text[start:end]
            tokens = self._tokens(document, start, end)
            targets = {} if spans is None else {"tags": self._tags(text, tokens, _inside(spans, start, end))}
            metadata = {"text": text, **(_strings(document) if number == 0 else {})}
            inputs = {"tokens": texts_of(tokens)}
            example = Example(inputs, targets, document.source, metadata, boundary and number == 0)
            yield Sentence(start, tokens, example)

    def _tokens(self, document: Document, start: int, end: int) -> list[Token]:
        if document.tokens is None:
            return self.tokenizer(document.text[start:end])
        first, last = (bisect_left(document.tokens, (at, at)) for at in (start, end))
        return [Token(document.text[s:e], s - start, e - start) for s, e in document.tokens[first:last]]

    def _tags(self, text: str, tokens: Sequence[Token], spans: Sequence[CharSpan]) -> tuple[str, ...]:
        starts, ends = {token.start for token in tokens}, {token.end for token in tokens}
        if cut := sum(span.start not in starts or span.end not in ends for span in spans):
            self.notes[f"spans that cut a token (data.misaligned={self.misaligned})"] += cut
        return self.scheme.encode(align(text, tokens, spans, misaligned=self.misaligned), len(tokens))


def cutting_of(
    *,
    tokenizer: str = "words-1",
    scheme: str | Scheme = "BIO",
    misaligned: str = "error",
    overlapping: str = "error",
    fragments: str = "error",
    split: str = "auto",
    lines: bool = False,
    tags: bool = True,
    notes: Notes | None = None,
) -> Cutting:
    """A `Cutting` from names; raises `ConfigError` for an unknown one."""
    named = {"misaligned": misaligned, "overlapping": overlapping, "fragments": fragments, "split": split}
    for name, value in named.items():
        if value not in (known := get_args(_POLICIES[name])):
            raise ConfigError(f"unknown policy {name}={value!r}; use one of {', '.join(known)}")
    policies: dict[str, Any] = named
    tag_scheme = scheme_of(scheme) if isinstance(scheme, str) else scheme
    notes = Notes() if notes is None else notes
    return Cutting(tokenizer_of(tokenizer), tag_scheme, **policies, lines=lines, tags=tags, notes=notes)


def sentence_places(document: Document, spans: Sequence[CharSpan] = (), *, lines: bool = False) -> list[Place]:
    """The document's sentences, or its lines that are not blank; those that a span crosses are joined."""
    given = None if lines else document.sentences
    found = [match.span() for match in _LINE.finditer(document.text)] if given is None else list(given)
    joined: list[Place] = []
    ends = sorted((span.start, span.end) for span in spans)
    at = 0
    for start, end in found:
        while at < len(ends) and ends[at][1] <= start:
            at += 1
        crossed = joined and at < len(ends) and ends[at][0] < joined[-1][1] and ends[at][1] > start
        if crossed:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    for one, other in pairwise(joined):
        if other[0] < one[1]:
            raise DataError(
                f"expected sentences in order, found one at {other[0]} before the end of another at {one[1]}"
            )
    return joined


def _inside(spans: Sequence[CharSpan], start: int, end: int) -> list[CharSpan]:
    """The spans that start in a place, with offsets in it."""
    first, last = (bisect_left(spans, at, key=attrgetter("start")) for at in (start, end))
    return [CharSpan(span.start - start, span.end - start, span.label) for span in spans[first:last]]


def _check_covered(text: str, places: Sequence[Place], spans: Sequence[CharSpan]) -> None:
    starts = [start for start, _ in places]
    for span in spans:
        at = bisect_right(starts, span.start) - 1
        if at < 0 or span.end > places[at][1]:
            raise DataError(f"the span {shown(text, span)} is outside the sentences; set data.split to lines or none")


def _strings(document: Document) -> dict[str, str]:
    """The metadata that an example has: its strings, the document's only label, its name."""
    found = {key: value for key, value in document.metadata.items() if isinstance(value, str)}
    name: Any = document.metadata.get("id")
    if type(name) is int:
        found["id"] = str(name)
    if len(document.labels) == 1:
        found["label"] = document.labels[0]
    return found
