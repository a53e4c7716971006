"""Tag schemes: how each reads tags as spans and writes spans as tags, and which sequences are legal.

A tag B-PER has the letter B and the type (label) PER.
Reading: a tag continues the entity before it if both have the same type, the earlier letter is B or I and the later I
or E; any other tag except O opens an entity (conlleval, Tjong Kim Sang and Buchholz 2000; S as in seqeval).
Writing: IOB1 as Ramshaw and Marcus (1995); BIO (IOB2), IOE1 and IOE (IOE2) as Tjong Kim Sang and Veenstra (1999); BILOU
as Ratinov and Roth (2009); BMES as Xue (2003).
The rules below are for the letters of BIOES; other spellings are mapped to them. Before the first and after the last
token the rules assume O.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from structseq.errors import ConfigError, DataError

Mask = NDArray[np.bool_]
LETTERS = "OBIES"


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """An entity of type ``label``: tokens ``start`` to ``end`` (half-open) of one sequence."""

    start: int
    end: int
    label: str

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise DataError(f"expected a span with 0 <= start < end, found {self.start}..{self.end} ({self.label!r})")


@dataclass(frozen=True, slots=True)
class Legal:
    """Which of K tags may start (K,), follow each other (K, K) [from, to], and end (K,)."""

    start: Mask
    transitions: Mask
    end: Mask


class Edges(NamedTuple):
    """Which transitions among K tags open, continue and close an entity of one type, (K,) or (K, K) [from, to].

    A sequence, legal or not, contains the entity (i, j, label) exactly if it opens at i (``start`` if i = 0, else
    ``opens``), continues at i + 1 .. j - 1 (``continues``) and closes after j - 1 (``end`` if j = L, else ``closes``).
    """

    start: Mask
    opens: Mask
    continues: Mask
    closes: Mask
    end: Mask


@lru_cache(maxsize=65536)
def split_tag(tag: str) -> tuple[str, str]:
    """Letter and type of a tag, split at the first hyphen; ``B-`` and ``O-x`` are not split."""
    letter, hyphen, label = tag.partition("-")
    if hyphen and (not label or letter == "O"):
        return tag, ""
    return letter, label


# OPENS: may `letter` open an entity after `before`? CLOSES: may `letter` close an entity before `after`?
# `same`: both tags are of one type
Rule = Callable[[str, str, bool], bool]
OPENS: Mapping[str, Rule] = {
    "IO": lambda before, letter, same: True,
    # B only directly after an entity of the same type
    "IOB1": lambda before, letter, same: letter == "I" or (before != "O" and same),
    "BIO": lambda before, letter, same: letter == "B",
    "IOE1": lambda before, letter, same: True,
    "IOE": lambda before, letter, same: True,
    "BIOES": lambda before, letter, same: letter in "BS",
}
CLOSES: Mapping[str, Rule] = {
    "IO": lambda letter, after, same: True,
    "IOB1": lambda letter, after, same: True,
    "BIO": lambda letter, after, same: True,
    # E only directly before an entity of the same type
    "IOE1": lambda letter, after, same: letter == "I" or (after != "O" and same),
    "IOE": lambda letter, after, same: letter == "E",
    "BIOES": lambda letter, after, same: letter in "ES",
}


# Adjacent letters of one type that belong to one entity
_JOINED = frozenset({("B", "I"), ("B", "E"), ("I", "I"), ("I", "E")})


@dataclass(frozen=True, slots=True)
class Tables:
    """A family's rules, (5, 5, 2): two adjacent letters of O B I E S, and whether they are of one type."""

    joins: Mask
    opens: Mask
    closes: Mask
    legal: Mask


@cache
def tables_of(family: str) -> Tables:
    """The rules of a family."""
    rules: tuple[Rule, ...] = (lambda a, b, same: same and (a, b) in _JOINED, OPENS[family], CLOSES[family])
    joins, opens, closes = (
        np.array([[[rule(a, b, same) for same in (False, True)] for b in LETTERS] for a in LETTERS]) for rule in rules
    )
    # O neither opens nor closes an entity, so the rules do not restrict it
    may_open, may_close = opens.copy(), closes.copy()
    may_open[:, 0] = may_close[0] = True
    return Tables(joins, opens, closes, joins | (may_close & may_open))


def spans_of(parts: Sequence[tuple[str, str]]) -> list[Span]:
    """The spans of L (letter, type) pairs, by conlleval's rule."""
    spans: list[Span] = []
    start, kind, before = 0, "", "O"
    for position, (letter, label) in enumerate(parts):
        if label != kind or (before, letter) not in _JOINED:
            if before != "O":
                spans.append(Span(start, position, kind))
            start, kind = position, label
        before = letter
    if before != "O":
        spans.append(Span(start, len(parts), kind))
    return spans


def needed_letters(family: str, seen: set[str], *, without_o: bool) -> set[str]:
    """``seen`` and the letters of the same type that each of them needs in a legal sequence.

    ``without_o``: the tag set has no O, so that a single token needs S.
    """
    if family == "BIOES":
        return seen | set("BE" if seen & set("BIE") else "") | set("S" if without_o else "")
    return seen | set({"BIO": "B", "IOE": "E", "IOB1": "I", "IOE1": "I"}.get(family, ""))


class TagError(DataError):
    """Tags that no scheme, or not this one, allows.

    ``places`` are their (sequence, position), both from 0; ``schemes`` are those that can be named to read them.
    """

    def __init__(self, message: str, places: Sequence[tuple[int, int]] = (), schemes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.places, self.schemes = tuple(places), tuple(schemes)


@dataclass(frozen=True, slots=True)
class Violation:
    """An illegal tag: its position, from 0, and why it is illegal."""

    position: int
    message: str


@dataclass(frozen=True, slots=True)
class Scheme:
    """A tag scheme, one of `SCHEMES`; get it from `scheme_of` or `detect`."""

    name: str
    family: str = field(compare=False)  # the scheme whose rules it follows: BIOES for BILOU and BMES
    letters: Mapping[str, str] = field(compare=False)  # this scheme's letter -> its BIOES letter; without O

    @property
    def plain(self) -> bool:
        """Whether tags are not spans, such as parts of speech."""
        return self.family == "plain"

    def __str__(self) -> str:
        return self.name

    def tag(self, letter: str, label: str) -> str:
        """The tag of a BIOES letter in this scheme's spelling: U-x for S and x in BILOU."""
        spelled = next((own for own, meaning in self.letters.items() if meaning == letter), letter)
        return f"{spelled}-{label}" if label else spelled

    def covers(self, tags: Sequence[str]) -> bool:
        """Whether all ``tags``, legal in their place or not, are tags of the scheme."""
        return self.plain or all(tag == "O" or split_tag(tag)[0] in self.letters for tag in tags)

    def decode(self, tags: Sequence[str]) -> tuple[Span, ...]:
        """The spans of ``tags`` by conlleval's rule, also of illegal sequences; none if the scheme is plain.

        Raises `TagError` for a tag of another scheme.

        >>> scheme_of("BIO").decode(["O", "I-x", "I-x", "B-x"])
        (Span(start=1, end=3, label='x'), Span(start=3, end=4, label='x'))
        """
        return () if self.plain else tuple(spans_of(self._parts(tags)))

    def decode_strict(self, tags: Sequence[str]) -> tuple[Span, ...]:
        """The spans of `decode` that open and close as the scheme writes them.

        Equal to seqeval's strict mode except in IOB1: for O B-x I-x seqeval returns the span of I-x, this method none.
        """
        if self.plain:
            return ()
        parts = self._parts(tags)
        return tuple(span for span in spans_of(parts) if all(self._opens_and_closes(parts, span)))

    def encode(self, spans: Iterable[Span], length: int) -> tuple[str, ...]:
        """Write ``spans``, in any order, as tags of ``length`` tokens.

        Raises `DataError` for spans that overlap or exceed ``length``, for adjacent spans of one type in IO, and in a
        plain scheme.

        >>> scheme_of("BILOU").encode([Span(0, 2, "PER"), Span(3, 4, "LOC")], 4)
        ('B-PER', 'L-PER', 'O', 'U-LOC')
        """
        ordered = sorted(spans)
        self._check_spans(ordered, length)
        adjacent = [left.end == right.start and left.label == right.label for left, right in pairwise(ordered)]
        tags = ["O"] * length
        for span, follows_same, precedes_same in zip(ordered, [False, *adjacent], [*adjacent, False], strict=False):
            first, last = "I", "I"
            if self.family in ("BIO", "BIOES") or (self.family == "IOB1" and follows_same):
                first = "B"
            if self.family in ("IOE", "BIOES") or (self.family == "IOE1" and precedes_same):
                last = "E"
            tags[span.start : span.end] = [self.tag("I", span.label)] * (span.end - span.start)
            tags[span.start] = self.tag(first, span.label)
            if span.end - span.start > 1:
                tags[span.end - 1] = self.tag(last, span.label)
            elif last == "E":  # one token, first and last: S where both letters are written
                tags[span.start] = self.tag("S" if first == "B" else "E", span.label)
        return tuple(tags)

    def violations(self, tags: Sequence[str]) -> list[Violation]:
        """The violations, sorted by position; empty exactly if the sequence is legal.

        One tag can break two rules: of opening and of closing.
        """
        if self.plain:
            return []
        foreign = [i for i, tag in enumerate(tags) if split_tag(tag)[0] not in self.letters and tag != "O"]
        found = [Violation(i, self._unknown_tag(tags[i])) for i in foreign]
        readable = list(tags)
        for i in foreign:
            readable[i] = "O"  # so that the other tags can be checked
        parts = self._parts(readable)
        for span in spans_of(parts):
            opens, closes = self._opens_and_closes(parts, span)
            found += [] if opens else [self._violation(tags, span, opens=True)]
            found += [] if closes else [self._violation(tags, span, opens=False)]
        return sorted(found, key=lambda violation: violation.position)

    def legal(self, labels: Sequence[str]) -> Legal:
        """Which of ``labels`` may start, follow each other and end.

        A label can be unusable: in BIOES B-x if there is no E-x. `complete` adds what is missing. Raises `TagError` for
        a tag of another scheme.
        """
        if self.plain:
            count = len(labels)
            return Legal(np.ones(count, np.bool_), np.ones((count, count), np.bool_), np.ones(count, np.bool_))
        letters, same = self._letters_and_same_type(labels)
        table = tables_of(self.family).legal
        # Letter 0 is O, the neighbour outside the sequence.
        return Legal(table[0, letters, 0], table[letters[:, None], letters, same], table[letters, 0, 0])

    def complete(self, labels: Iterable[str], *, minimal: bool = False) -> tuple[str, ...]:
        """Add to ``labels`` the missing tags of their types; O (if given, or alone) first, then by type and letter.

        ``minimal`` adds only tags without which one of ``labels`` is in no legal sequence, or sequences of some length
        have no legal tags: B-x for I-x in BIO, E-x for B-x in BIOES, but not I-x for B-x. Plain labels are
        only sorted.
        """
        ordered = sorted(set(labels))
        if self.plain:
            return tuple(ordered)
        by_type: dict[str, set[str]] = {}
        for letter, label in self._parts(ordered):
            if letter != "O":
                by_type.setdefault(label, set()).add(letter)
        tags = ["O"] if "O" in ordered or not by_type else []
        for label in sorted(by_type):
            wanted = (
                needed_letters(self.family, by_type[label], without_o="O" not in ordered) if minimal else set(LETTERS)
            )
            tags += [self.tag(meaning, label) for meaning in self.letters.values() if meaning in wanted]
        return tuple(tags)

    def types(self, labels: Iterable[str]) -> tuple[str, ...]:
        """The entity types in ``labels``, sorted."""
        parts = [] if self.plain else self._parts(list(labels))
        return tuple(sorted({label for letter, label in parts if letter != "O"}))

    def edges(self, labels: Sequence[str], entity_type: str) -> Edges:
        """`Edges` of one entity type among the tags ``labels``; all False in a plain scheme."""
        count = len(labels)
        if self.plain:
            tags, pairs = np.zeros(count, np.bool_), np.zeros((count, count), np.bool_)
            return Edges(tags, pairs, pairs, pairs, tags)
        inside = np.array([letter != "O" and kind == entity_type for letter, kind in map(split_tag, labels)], np.bool_)
        joins = self.joins(labels)
        return Edges(inside, inside & ~joins, inside & joins, inside[:, None] & ~joins, inside)

    def joins(self, labels: Sequence[str]) -> Mask:
        """Which two of K adjacent tags are in one entity, (K, K) [from, to]: ``continues`` of all types."""
        letters, same = self._letters_and_same_type(labels)
        return tables_of(self.family).joins[letters[:, None], letters, same]

    def _letters_and_same_type(self, labels: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(K,) indices in `LETTERS`, and (K, K) 1 where two tags are of one type."""
        parts = self._parts(labels)
        letters = np.array([LETTERS.index(letter) for letter, _ in parts], np.intp)
        number = {label: n for n, label in enumerate({label for _, label in parts})}
        kinds = np.array([number[label] for _, label in parts], np.intp)
        return letters, (kinds[:, None] == kinds).astype(np.intp)

    def _parts(self, tags: Sequence[str]) -> list[tuple[str, str]]:
        """The BIOES letter and the type of each tag."""
        parts = []
        for position, (letter, label) in enumerate(map(split_tag, tags)):
            if letter not in self.letters and letter != "O":
                raise TagError(self._unknown_tag(tags[position]), [(0, position)])
            parts.append((self.letters.get(letter, "O"), label))
        return parts

    def _opens_and_closes(self, parts: Sequence[tuple[str, str]], span: Span) -> tuple[bool, bool]:
        """(opens legally, closes legally)"""
        before, kind = parts[span.start - 1] if span.start else ("O", "")
        opens = OPENS[self.family](before, parts[span.start][0], kind == span.label)
        after, kind = parts[span.end] if span.end < len(parts) else ("O", "")
        return opens, CLOSES[self.family](parts[span.end - 1][0], after, kind == span.label)

    def _check_spans(self, ordered: Sequence[Span], length: int) -> None:
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

    def _unknown_tag(self, tag: str) -> str:
        letters = ", ".join(self.letters)
        expected = f"O, or one of the letters {letters} alone or followed by -type"
        return f"{tag!r} is not a tag of {self.name}; expected {expected}"

    def _violation(self, tags: Sequence[str], span: Span, *, opens: bool) -> Violation:
        at, neighbour = (span.start, span.start - 1) if opens else (span.end - 1, span.end)
        verb, letter, side, edge = ("opens", "B", "after", "start") if opens else ("closes", "E", "before", "end")
        place = f"{side} {tags[neighbour]}" if 0 <= neighbour < len(tags) else f"at the {edge}"
        if self.family in ("IOB1", "IOE1"):
            other = f"another {span.label} entity" if span.label else "another entity"
            inside = self.tag("I", span.label)
            rule = f"{self.name} writes {tags[at]} only directly {side} {other}, and {inside} elsewhere"
        else:
            single = f", or {self.tag('S', span.label)} for a single token" if self.family == "BIOES" else ""
            rule = f"{self.name} {verb} one with {self.tag(letter, span.label)}{single}"
        return Violation(at, f"{tags[at]} {verb} an entity {place}; {rule}")


_BIOES = {"B": "B", "I": "I", "E": "E", "S": "S"}
PLAIN = Scheme("plain", "plain", {})
SCHEMES: Mapping[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("IO", "IO", {"I": "I"}),
        Scheme("IOB1", "IOB1", {"B": "B", "I": "I"}),
        Scheme("BIO", "BIO", {"B": "B", "I": "I"}),
        Scheme("IOE1", "IOE1", {"I": "I", "E": "E"}),
        Scheme("IOE", "IOE", {"I": "I", "E": "E"}),
        Scheme("BIOES", "BIOES", _BIOES),
        Scheme("BILOU", "BIOES", {"B": "B", "I": "I", "L": "E", "U": "S"}),
        Scheme("BMES", "BIOES", {"B": "B", "M": "I", "E": "E", "S": "S"}),
        PLAIN,
    )
}
# IOB is ambiguous: it can mean IOB1 or IOB2
ALIASES: Mapping[str, str] = {
    **{"IOB2": "BIO", "IOE2": "IOE", "IOBES": "BIOES", "BIESO": "BIOES", "BIES": "BIOES", "BMESO": "BMES"},
    **{"BILUO": "BILOU", "BIOUL": "BILOU", "BIOLU": "BILOU"},
}


def scheme_of(name: str) -> Scheme:
    """The scheme with this name or alias, in upper or lower case; raises `ConfigError` for an unknown name."""
    known = {own.upper(): SCHEMES[own] for own in SCHEMES} | {own: SCHEMES[ALIASES[own]] for own in ALIASES}
    if name.upper() in known:
        return known[name.upper()]
    if name.upper() == "IOB":
        raise ConfigError("unknown tag scheme 'IOB', which can mean IOB1 or IOB2; name one of the two")
    near = difflib.get_close_matches(name.upper(), known, n=1)
    hint = f"did you mean {known[near[0]].name if near[0] == 'PLAIN' else near[0]}? " if near else ""
    raise ConfigError(f"unknown tag scheme {name!r}: {hint}known are {', '.join([*SCHEMES, *ALIASES])}")
