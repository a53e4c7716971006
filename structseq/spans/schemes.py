"""Scheme: how spans are written as tags and read back, and which tag may follow which; its rules are in ``chunks``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from structseq.errors import DataError
from structseq.spans.chunks import (
    CLOSES,
    LETTERS,
    OPENS,
    Edges,
    Legal,
    Span,
    needed_letters,
    spans_of,
    split_tag,
    tables_of,
)


class TagError(DataError):
    """Tags that a scheme cannot read, or that contradict each other.

    Attributes
    ----------
    places:
        (sequence, position) of the tags at fault, both counted from 0, the one to show first; the sequence is 0 where
        only one was given. Whoever read the tags from a file turns them into ``file:line``.
    """

    def __init__(self, message: str, places: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__(message)
        self.places = tuple(places)


@dataclass(frozen=True, slots=True)
class Violation:
    """A tag that its scheme would not have written at ``position`` (counted from 0), and why, in one sentence."""

    position: int
    message: str


@dataclass(frozen=True, slots=True)
class Scheme:
    """How spans are written as tags. Get one by `scheme_of` or `detect`.

    Attributes
    ----------
    name:
        What `scheme_of` knows it by: IO, IOB1, BIO, IOE1, IOE, BIOES, the spellings BILOU and BMES, or plain.
    family:
        The rules it follows: its name, or BIOES for BILOU and BMES.
    letters:
        The letters it writes, each with the BIOES letter of that meaning; O, which every scheme has, is left out.
    """

    name: str
    family: str = field(compare=False)
    letters: Mapping[str, str] = field(compare=False)

    @property
    def plain(self) -> bool:
        """Whether tags stand for themselves and not for spans, as parts of speech do."""
        return self.family == "plain"

    def __str__(self) -> str:
        return self.name

    def tag(self, letter: str, label: str) -> str:
        """The tag of a BIOES letter in this scheme's spelling.

        >>> from structseq.spans import scheme_of
        >>> scheme_of("BILOU").tag("S", "PER"), scheme_of("BMES").tag("I", "")
        ('U-PER', 'M')
        """
        own = next((own for own, meaning in self.letters.items() if meaning == letter), letter)
        return f"{own}-{label}" if label else own

    def decode(self, tags: Sequence[str]) -> tuple[Span, ...]:
        """The spans that ``tags`` are read as, by conlleval's rule, whether the sequence is legal or not; O(L).

        Raises `TagError` for a tag that is none of the scheme's. A plain scheme has no spans.

        >>> from structseq.spans import scheme_of
        >>> scheme_of("BIO").decode(["O", "I-x", "I-x", "B-x"])
        (Span(start=1, end=3, label='x'), Span(start=3, end=4, label='x'))
        """
        return () if self.plain else tuple(spans_of(self._split_all(tags)))

    def well_formed(self, tags: Sequence[str]) -> tuple[Span, ...]:
        """Those spans of `decode` that are written as the scheme writes them: seqeval's strict mode.

        seqeval's own class for IOB1 differs on illegal sequences (an opening B-x after O is lost and the I-x behind it
        kept); here the whole entity is left out, as in the other schemes.

        >>> from structseq.spans import scheme_of
        >>> scheme_of("BIO").well_formed(["O", "I-x", "I-x", "B-x"])
        (Span(start=3, end=4, label='x'),)
        """
        if self.plain:
            return ()
        parts = self._split_all(tags)
        return tuple(span for span in spans_of(parts) if self._opens(parts, span) and self._closes(parts, span))

    def encode(self, spans: Iterable[Span], length: int) -> tuple[str, ...]:
        """Tags of ``length`` tokens, in this scheme and spelling; ``spans`` in any order.

        Raises `DataError` where the scheme cannot hold them: spans that overlap or reach beyond ``length``, spans of
        one type that touch (IO), any span (plain).

        >>> from structseq.spans import scheme_of
        >>> scheme_of("BILOU").encode([Span(0, 2, "PER"), Span(3, 4, "LOC")], 4)
        ('B-PER', 'L-PER', 'O', 'U-LOC')
        """
        ordered = sorted(spans)
        self._check_spans(ordered, length)
        tags = ["O"] * length
        for n, span in enumerate(ordered):
            after_own = n > 0 and ordered[n - 1].end == span.start and ordered[n - 1].label == span.label
            behind = ordered[n + 1] if n + 1 < len(ordered) else None
            before_own = behind is not None and behind.start == span.end and behind.label == span.label
            first, inside, last = self._letters_of(span, after_own=after_own, before_own=before_own)
            tags[span.start : span.end] = [self.tag(inside, span.label)] * (span.end - span.start)
            tags[span.start] = self.tag(first, span.label)
            if span.end - span.start > 1:
                tags[span.end - 1] = self.tag(last, span.label)
        return tuple(tags)

    def violations(self, tags: Sequence[str]) -> list[Violation]:
        """What the scheme would not have written so, by position; empty exactly when the sequence is legal.

        >>> from structseq.spans import scheme_of
        >>> [str(v.message) for v in scheme_of("BIO").violations(["O", "I-PER"])]
        ['I-PER opens an entity after O; BIO opens one with B-PER']
        """
        if self.plain:
            return []
        known = {"O", *self.letters}
        foreign = [i for i, tag in enumerate(tags) if split_tag(tag)[0] not in known]
        found = [Violation(i, self._foreign(tags[i])) for i in foreign]
        readable = list(tags)
        for i in foreign:
            readable[i] = "O"
        parts = self._split_all(readable)
        for span in spans_of(parts):
            if not self._opens(parts, span):
                found.append(self._opened_wrongly(tags, span))
            if not self._closes(parts, span):
                found.append(self._closed_wrongly(tags, span))
        return sorted(found, key=lambda violation: violation.position)

    def legal(self, labels: Sequence[str]) -> Legal:
        """Which of the tags in ``labels`` may start, follow each other and end, (K,), (K, K), (K,).

        The rules are the scheme's own, however few tags there are: in BIOES a B-x without any E-x leads nowhere and is
        on no legal path. `complete` the inventory first; then every tag is on one, and every length has one.
        Raises `TagError` for a tag that is none of the scheme's.
        """
        if self.plain:
            count = len(labels)
            return Legal(np.ones(count, np.bool_), np.ones((count, count), np.bool_), np.ones(count, np.bool_))
        letters, same = self._inventory(labels)
        table = tables_of(self.family).legal
        return Legal(table[0, letters, 0], table[letters[:, None], letters, same], table[letters, 0, 0])

    def complete(self, labels: Iterable[str], *, minimal: bool = False) -> tuple[str, ...]:
        """``labels`` and all other tags of the types in them: O first (where it was given), then by type and letter.

        Spans of these types then always have their tags. ``minimal`` adds only what keeps each given tag on a legal
        path and gives every length one: B-x for I-x in BIO, E-x for B-x in BIOES, but no I-x for B-x. A plain scheme
        needs nothing more and sorts; no labels at all become O alone.

        >>> from structseq.spans import scheme_of
        >>> scheme_of("BIO").complete(["O", "B-x", "I-y"])
        ('O', 'B-x', 'I-x', 'B-y', 'I-y')
        >>> scheme_of("BIO").complete(["O", "B-x", "I-y"], minimal=True)
        ('O', 'B-x', 'B-y', 'I-y')
        """
        given = set(labels)
        if self.plain:
            return tuple(sorted(given))
        parts = {tag: self._split(tag, 0) for tag in given}
        by_type: dict[str, set[str]] = {}
        for letter, label in parts.values():
            if letter != "O":
                by_type.setdefault(label, set()).add(letter)
        tags = ["O"] if "O" in given or not by_type else []
        for label in sorted(by_type):
            wanted = needed_letters(self.family, by_type[label], lone="O" not in given) if minimal else set(LETTERS)
            tags += [self.tag(meaning, label) for meaning in self.letters.values() if meaning in wanted]
        return tuple(tags)

    def types(self, labels: Iterable[str]) -> tuple[str, ...]:
        """The entity types in ``labels``, sorted; none in a plain scheme."""
        if self.plain:
            return ()
        parts = {self._split(tag, 0) for tag in labels}
        return tuple(sorted({label for letter, label in parts if letter != "O"}))

    def edges(self, labels: Sequence[str], label: str) -> Edges:
        """The edges through ``labels`` along which entities of type ``label`` open, continue and close; see `Edges`."""
        count = len(labels)
        if self.plain:
            none, square = np.zeros(count, np.bool_), np.zeros((count, count), np.bool_)
            return Edges(none, square, square, square, none)
        letters, same = self._inventory(labels)
        own = np.array([letter != "O" and kind == label for letter, kind in map(split_tag, labels)], np.bool_)
        joins = tables_of(self.family).joins[letters[:, None], letters, same]
        return Edges(own, own & ~joins, own & joins, own[:, None] & ~joins, own)

    def _inventory(self, labels: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(K,) the letters' places in O B I E S, and (K, K) 1 where two tags are of one type."""
        parts = self._split_all(labels)
        letters = np.array([LETTERS.index(letter) for letter, _ in parts], np.intp)
        number = {label: n for n, label in enumerate({label for _, label in parts})}
        kinds = np.array([number[label] for _, label in parts], np.intp)
        return letters, (kinds[:, None] == kinds).astype(np.intp)

    def _split(self, tag: str, position: int) -> tuple[str, str]:
        letter, label = split_tag(tag)
        meaning = "O" if letter == "O" else self.letters.get(letter)
        if meaning is None:
            raise TagError(self._foreign(tag), [(0, position)])
        return meaning, label

    def _split_all(self, tags: Sequence[str]) -> list[tuple[str, str]]:
        return [self._split(tag, position) for position, tag in enumerate(tags)]

    def _opens(self, parts: Sequence[tuple[str, str]], span: Span) -> bool:
        before, kind = parts[span.start - 1] if span.start else ("O", "")
        return OPENS[self.family](before, parts[span.start][0], kind == span.label)

    def _closes(self, parts: Sequence[tuple[str, str]], span: Span) -> bool:
        after, kind = parts[span.end] if span.end < len(parts) else ("O", "")
        return CLOSES[self.family](parts[span.end - 1][0], after, kind == span.label)

    def _letters_of(self, span: Span, *, after_own: bool, before_own: bool) -> tuple[str, str, str]:
        """First, inside and last letter of an entity; the first alone writes a single token."""
        single = span.end - span.start == 1
        match self.family:
            case "BIO":
                return "B", "I", "I"
            case "IOB1":
                return "B" if after_own else "I", "I", "I"
            case "IOE":
                return "E" if single else "I", "I", "E"
            case "IOE1":
                return "E" if single and before_own else "I", "I", "E" if before_own else "I"
            case "BIOES":
                return "S" if single else "B", "I", "E"
        return "I", "I", "I"

    def _check_spans(self, ordered: Sequence[Span], length: int) -> None:
        if self.plain and ordered:
            raise DataError("plain tags cannot hold spans; choose a scheme such as BIO")
        if self.plain:
            raise DataError("plain tags cannot be made from spans; choose a scheme such as BIO")
        for span in ordered:
            if span.end > length:
                raise DataError(f"expected spans within {length} tokens, found {span}")
        for left, right in pairwise(ordered):
            if right.start < left.end:
                raise DataError(f"expected spans that do not overlap, found {left} and {right}; drop one of them")
            if self.family == "IO" and right.start == left.end and right.label == left.label:
                raise DataError(f"IO cannot keep {left} and {right} apart, which touch; choose a scheme such as BIO")

    def _foreign(self, tag: str) -> str:
        letters = ", ".join(self.letters)
        return f"{tag!r} is no {self.name} tag; expected O, or one of the letters {letters} alone or followed by -type"

    def _opened_wrongly(self, tags: Sequence[str], span: Span) -> Violation:
        place = f"after {tags[span.start - 1]}" if span.start else "at the start"
        rule = self._rule(tags[span.start], span.label, "opens", "B", "after")
        return Violation(span.start, f"{tags[span.start]} opens an entity {place}; {rule}")

    def _closed_wrongly(self, tags: Sequence[str], span: Span) -> Violation:
        place = f"before {tags[span.end]}" if span.end < len(tags) else "at the end"
        rule = self._rule(tags[span.end - 1], span.label, "closes", "E", "before")
        return Violation(span.end - 1, f"{tags[span.end - 1]} closes an entity {place}; {rule}")

    def _rule(self, tag: str, label: str, does: str, letter: str, side: str) -> str:
        """What the scheme writes at this end of an entity."""
        if self.family in ("IOB1", "IOE1"):
            other = f"another {label} entity" if label else "another entity"
            return f"{self.name} writes {tag} only directly {side} {other}, and {self.tag('I', label)} elsewhere"
        single = f", or {self.tag('S', label)} for a single token" if self.family == "BIOES" else ""
        return f"{self.name} {does} one with {self.tag(letter, label)}{single}"
