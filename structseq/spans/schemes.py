"""Tag schemes: the rule that reads tags as spans, how each scheme writes spans, its legal sequences, and its name.

Every scheme is read by the rule of conlleval (Tjong Kim Sang and Buchholz 2000) with S as in seqeval: a tag continues
the entity before it if both are of one type, the earlier letter is B or I and the later is I or E; any other tag but O
opens an entity. The families differ in the letters that they *write* where an entity opens and closes (Ramshaw and
Marcus 1995 for IOB1; Tjong Kim Sang and Veenstra 1999 for IOB2, IOE1 and IOE2). Letters here are those of BIOES, to
which other spellings are mapped. The edges of a sequence count as O.

BIOES is spelled BILOU by Ratinov and Roth (2009) and BMES in Chinese word segmentation (Xue 2003); IOB2 is BIO here and
IOE2 is IOE.
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
    """Which of K tags may start, follow each other (``transitions[from, to]``) and end: (K,), (K, K), (K,) booleans."""

    start: Mask
    transitions: Mask
    end: Mask


class Edges(NamedTuple):
    """The transitions among K tags that open, continue and close an entity of one type, as booleans.

    A sequence contains the entity (i, j, label) exactly if it opens at i (``first[tag]`` if i = 0, else ``begins[tag
    before, tag]``), continues at every i + 1 .. j - 1 (``continues[tag before, tag]``) and closes after j - 1
    (``last[tag]`` if j = L, else ``ends[tag, tag after]``). This also holds for illegal sequences.
    """

    first: Mask
    begins: Mask
    continues: Mask
    ends: Mask
    last: Mask


@lru_cache(maxsize=65536)
def split_tag(tag: str) -> tuple[str, str]:
    """Letter and type of a tag, cut at the first hyphen; a tag that is not ``X`` or ``X-type`` is returned whole.

    >>> split_tag("B-PER"), split_tag("B-a-b"), split_tag("I"), split_tag("O"), split_tag("B-"), split_tag("O-x")
    (('B', 'PER'), ('B', 'a-b'), ('I', ''), ('O', ''), ('B-', ''), ('O-x', ''))
    """
    letter, hyphen, label = tag.partition("-")
    if hyphen and (not label or letter == "O"):
        return tag, ""
    return letter, label


# May `letter` open an entity after the letter `before`; may `letter` close one before the letter `after`?
# `same`: both tags are of one type
Rule = Callable[[str, str, bool], bool]
OPENS: Mapping[str, Rule] = {
    "IO": lambda before, letter, same: True,
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
    "IOE1": lambda letter, after, same: letter == "I" or (after != "O" and same),
    "IOE": lambda letter, after, same: letter == "E",
    "BIOES": lambda letter, after, same: letter in "ES",
}


# Letters of two neighbours of one type that are one entity
_JOINED = frozenset({("B", "I"), ("B", "E"), ("I", "I"), ("I", "E")})


@dataclass(frozen=True, slots=True)
class Tables:
    """A family's rules as (5, 5, 2) booleans: letters O B I E S of two neighbours, and whether they are of one type."""

    joins: Mask
    opens: Mask
    closes: Mask
    legal: Mask


@cache
def tables_of(family: str) -> Tables:
    rules: tuple[Rule, ...] = (lambda a, b, same: same and (a, b) in _JOINED, OPENS[family], CLOSES[family])
    joins, opens, closes = (
        np.array([[[rule(a, b, same) for same in (False, True)] for b in LETTERS] for a in LETTERS]) for rule in rules
    )
    # O neither opens nor closes an entity
    may_open, may_close = opens.copy(), closes.copy()
    may_open[:, 0] = may_close[0] = True
    return Tables(joins, opens, closes, joins | (may_close & may_open))


def spans_of(parts: Sequence[tuple[str, str]]) -> list[Span]:
    """Letters and types (L) read as spans by conlleval's rule."""
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


def needed_letters(family: str, seen: set[str], *, lone: bool) -> set[str]:
    """The letters of one type that keep those seen on legal paths; ``lone``: no O can fill a sequence."""
    if family == "BIOES":
        return seen | set("BE" if seen & set("BIE") else "") | set("S" if lone else "")
    return seen | set({"BIO": "B", "IOE": "E", "IOB1": "I", "IOE1": "I"}.get(family, ""))


class TagError(DataError):
    """Tags that a scheme cannot read, or that contradict each other.

    ``places`` are the (sequence, position) of the wrong tags, both counted from 0, the one to show first.
    """

    def __init__(self, message: str, places: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__(message)
        self.places = tuple(places)


@dataclass(frozen=True, slots=True)
class Violation:
    """An illegal tag at ``position``, counted from 0, with a sentence that says why."""

    position: int
    message: str


@dataclass(frozen=True, slots=True)
class Scheme:
    """A tag scheme: IO, IOB1, BIO, IOE1, IOE, BIOES, BILOU, BMES or plain. Get one by `scheme_of` or `detect`."""

    name: str
    family: str = field(compare=False)  # whose rules it follows: its name, or BIOES for BILOU and BMES
    letters: Mapping[str, str] = field(compare=False)  # the letters that it writes, but O, to those of BIOES

    @property
    def plain(self) -> bool:
        """Whether tags are not spans, as parts of speech are not."""
        return self.family == "plain"

    def __str__(self) -> str:
        return self.name

    def tag(self, letter: str, label: str) -> str:
        """The tag of a BIOES letter in this scheme's spelling.

        >>> scheme_of("BILOU").tag("S", "PER"), scheme_of("BMES").tag("I", "")
        ('U-PER', 'M')
        """
        own = next((own for own, meaning in self.letters.items() if meaning == letter), letter)
        return f"{own}-{label}" if label else own

    def decode(self, tags: Sequence[str]) -> tuple[Span, ...]:
        """The spans of ``tags`` by conlleval's rule, for legal and illegal sequences; O(L).

        Raises `TagError` for a tag of another scheme. A plain scheme has no spans.

        >>> scheme_of("BIO").decode(["O", "I-x", "I-x", "B-x"])
        (Span(start=1, end=3, label='x'), Span(start=3, end=4, label='x'))
        """
        return () if self.plain else tuple(spans_of(self._parts(tags)))

    def well_formed(self, tags: Sequence[str]) -> tuple[Span, ...]:
        """Those spans of `decode` that are written as the scheme writes them: seqeval's strict mode.

        seqeval's own class for IOB1 differs on illegal sequences: it drops an opening B-x after O and keeps the I-x
        after it. Here the whole entity is left out, as in the other schemes.

        >>> scheme_of("BIO").well_formed(["O", "I-x", "I-x", "B-x"])
        (Span(start=3, end=4, label='x'),)
        """
        if self.plain:
            return ()
        parts = self._parts(tags)
        return tuple(span for span in spans_of(parts) if all(self._ends(parts, span)))

    def encode(self, spans: Iterable[Span], length: int) -> tuple[str, ...]:
        """Tags of ``length`` tokens, in this scheme and spelling; ``spans`` in any order.

        Raises `DataError` if the scheme cannot hold them: spans that overlap or reach beyond ``length``, spans of one
        type that touch (IO), any span (plain).

        >>> scheme_of("BILOU").encode([Span(0, 2, "PER"), Span(3, 4, "LOC")], 4)
        ('B-PER', 'L-PER', 'O', 'U-LOC')
        """
        ordered = sorted(spans)
        self._check_spans(ordered, length)
        touching = [one.end == other.start and one.label == other.label for one, other in pairwise(ordered)]
        tags = ["O"] * length
        for span, after_own, before_own in zip(ordered, [False, *touching], [*touching, False], strict=False):
            first, last = "I", "I"
            if self.family in ("BIO", "BIOES") or (self.family == "IOB1" and after_own):
                first = "B"
            if self.family in ("IOE", "BIOES") or (self.family == "IOE1" and before_own):
                last = "E"
            tags[span.start : span.end] = [self.tag("I", span.label)] * (span.end - span.start)
            tags[span.start] = self.tag(first, span.label)
            if span.end - span.start > 1:
                tags[span.end - 1] = self.tag(last, span.label)
            elif last == "E":
                tags[span.start] = self.tag("S" if first == "B" else "E", span.label)
        return tuple(tags)

    def violations(self, tags: Sequence[str]) -> list[Violation]:
        """The tags that the scheme would not have written so, by position; empty exactly if the sequence is legal.

        >>> [str(v.message) for v in scheme_of("BIO").violations(["O", "I-PER"])]
        ['I-PER opens an entity after O; BIO opens one with B-PER']
        """
        if self.plain:
            return []
        foreign = [i for i, tag in enumerate(tags) if split_tag(tag)[0] not in self.letters and tag != "O"]
        found = [Violation(i, self._foreign(tags[i])) for i in foreign]
        readable = list(tags)
        for i in foreign:
            readable[i] = "O"
        parts = self._parts(readable)
        for span in spans_of(parts):
            opens, closes = self._ends(parts, span)
            found += [] if opens else [self._violation(tags, span, opens=True)]
            found += [] if closes else [self._violation(tags, span, opens=False)]
        return sorted(found, key=lambda violation: violation.position)

    def legal(self, labels: Sequence[str]) -> Legal:
        """Which of the tags in ``labels`` may start, follow each other and end, (K,), (K, K), (K,).

        The rules do not depend on the other labels: in BIOES a B-x without any E-x is on no legal path. `complete` the
        labels first; then each is on one, and every length has one. Raises `TagError` for a tag of another scheme.
        """
        if self.plain:
            count = len(labels)
            return Legal(np.ones(count, np.bool_), np.ones((count, count), np.bool_), np.ones(count, np.bool_))
        letters, same = self._inventory(labels)
        table = tables_of(self.family).legal
        return Legal(table[0, letters, 0], table[letters[:, None], letters, same], table[letters, 0, 0])

    def complete(self, labels: Iterable[str], *, minimal: bool = False) -> tuple[str, ...]:
        """``labels`` and all other tags of their types: O first (if it was there), then by type and letter.

        ``minimal`` adds only the tags that keep each label on a legal path and give every length one: B-x for I-x in
        BIO, E-x for B-x in BIOES, but no I-x for B-x. A plain scheme only sorts; no labels become O alone.

        >>> scheme_of("BIO").complete(["O", "B-x", "I-y"])
        ('O', 'B-x', 'I-x', 'B-y', 'I-y')
        >>> scheme_of("BIO").complete(["O", "B-x", "I-y"], minimal=True)
        ('O', 'B-x', 'B-y', 'I-y')
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
            wanted = needed_letters(self.family, by_type[label], lone="O" not in ordered) if minimal else set(LETTERS)
            tags += [self.tag(meaning, label) for meaning in self.letters.values() if meaning in wanted]
        return tuple(tags)

    def types(self, labels: Iterable[str]) -> tuple[str, ...]:
        """The entity types in ``labels``, sorted; none in a plain scheme."""
        parts = [] if self.plain else self._parts(list(labels))
        return tuple(sorted({label for letter, label in parts if letter != "O"}))

    def edges(self, labels: Sequence[str], label: str) -> Edges:
        """The transitions among ``labels`` that open, continue and close entities of type ``label``; see `Edges`."""
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
        parts = self._parts(labels)
        letters = np.array([LETTERS.index(letter) for letter, _ in parts], np.intp)
        number = {label: n for n, label in enumerate({label for _, label in parts})}
        kinds = np.array([number[label] for _, label in parts], np.intp)
        return letters, (kinds[:, None] == kinds).astype(np.intp)

    def _parts(self, tags: Sequence[str]) -> list[tuple[str, str]]:
        """The BIOES letter and the type of each tag; raises `TagError` for a tag of another scheme."""
        parts = []
        for position, (letter, label) in enumerate(map(split_tag, tags)):
            if letter not in self.letters and letter != "O":
                raise TagError(self._foreign(tags[position]), [(0, position)])
            parts.append((self.letters.get(letter, "O"), label))
        return parts

    def _ends(self, parts: Sequence[tuple[str, str]], span: Span) -> tuple[bool, bool]:
        """Whether the first and the last letter of a span are legal."""
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

    def _foreign(self, tag: str) -> str:
        letters = ", ".join(self.letters)
        return f"{tag!r} is no {self.name} tag; expected O, or one of the letters {letters} alone or followed by -type"

    def _violation(self, tags: Sequence[str], span: Span, *, opens: bool) -> Violation:
        """The violation at the first (``opens``) or last tag of a span."""
        at, near = (span.start, span.start - 1) if opens else (span.end - 1, span.end)
        does, letter, side, edge = ("opens", "B", "after", "start") if opens else ("closes", "E", "before", "end")
        place = f"{side} {tags[near]}" if 0 <= near < len(tags) else f"at the {edge}"
        if self.family in ("IOB1", "IOE1"):
            other = f"another {span.label} entity" if span.label else "another entity"
            inside = self.tag("I", span.label)
            rule = f"{self.name} writes {tags[at]} only directly {side} {other}, and {inside} elsewhere"
        else:
            single = f", or {self.tag('S', span.label)} for a single token" if self.family == "BIOES" else ""
            rule = f"{self.name} {does} one with {self.tag(letter, span.label)}{single}"
        return Violation(at, f"{tags[at]} {does} an entity {place}; {rule}")


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
# Without IOB, which means IOB1 to some and IOB2 to others
ALIASES: Mapping[str, str] = {
    **{"IOB2": "BIO", "IOE2": "IOE", "IOBES": "BIOES", "BIESO": "BIOES", "BIES": "BIOES", "BMESO": "BMES"},
    **{"BILUO": "BILOU", "BIOUL": "BILOU", "BIOLU": "BILOU"},
}


def scheme_of(name: str) -> Scheme:
    """The scheme of that name in any spelling and case; raises `ConfigError` for any other, with the nearest name.

    >>> scheme_of("iob2").name, scheme_of("IOBES").name, scheme_of("BILUO").name, scheme_of("plain").plain
    ('BIO', 'BIOES', 'BILOU', True)
    """
    known = {own.upper(): SCHEMES[own] for own in SCHEMES} | {own: SCHEMES[ALIASES[own]] for own in ALIASES}
    if name.upper() in known:
        return known[name.upper()]
    if name.upper() == "IOB":
        raise ConfigError("unknown tag scheme 'IOB': some mean IOB1 by it and some IOB2; name one of the two")
    near = difflib.get_close_matches(name.upper(), known, n=1)
    hint = f"did you mean {known[near[0]].name if near[0] == 'PLAIN' else near[0]}? " if near else ""
    raise ConfigError(f"unknown tag scheme {name!r}: {hint}known are {', '.join([*SCHEMES, *ALIASES])}")
