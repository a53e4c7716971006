"""What a corpus of tag sequences has in it, in memory that does not grow with the corpus.

Whether an entity is legal depends on the letters of its first and last tag, and on the tags beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from typing import NamedTuple

from structseq.spans.schemes import Scheme, Span, TagError, Violation, spans_of, split_tag

# The first places that are kept of each kind of entity
KEPT = 5
# Letters of span tags in all schemes; the letter of other tags
LETTERS = frozenset("OBIESMLU")
FOREIGN = ""

# Sequences that are counted at once; runs of tags whose entities are remembered
_CHUNK, _REMEMBERED = 4096, 1 << 14
# Entities are the same in every scheme that has all the tags
_MEANING = {"O": "O", "B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S"}

Place = tuple[int, int]  # sequence and position, both from 0


class Context(NamedTuple):
    """What decides whether an entity is legal; ``before`` and ``after`` are letters, O at the sequence's ends."""

    before: str
    follows: bool  # directly after an entity of the same type
    first: str
    last: str
    after: str
    precedes: bool


@dataclass(slots=True)
class _Kind:
    """Entities of one context, type and length (3 for all above); ``places`` are the context's."""

    count: int
    places: list[tuple[int, Span]]


@dataclass
class TagSummary:
    """Counts of a corpus, and the sequences that show its first findings, by number."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, Place] = field(default_factory=dict)  # by letter; FOREIGN for tags of no scheme
    places: dict[Context, list[tuple[int, Span]]] = field(default_factory=dict)
    shown: dict[int, tuple[str, ...]] = field(default_factory=dict)  # the sequences of ``first`` and ``places``
    repeated: int = 0  # how often a tag follows itself, except O; counted beside tags of no scheme only
    _kinds: dict[tuple[Context, str, int], _Kind] = field(default_factory=dict)
    _parts: dict[str, tuple[str, str]] = field(default_factory=dict)  # letter and type of each tag
    _known: dict[tuple[str, ...], list[_Kind]] = field(default_factory=dict)  # all places of these kinds are found
    _end: int = 0

    @staticmethod
    def of(sequences: Iterable[Sequence[str]]) -> TagSummary:
        summary, sequences, number = TagSummary(), iter(sequences), 0
        while chunk := [tuple(tags) for tags in islice(sequences, _CHUNK)]:
            summary.add(chunk, range(number, number + len(chunk)))
            number += len(chunk)
        return summary

    @property
    def foreign(self) -> bool:
        """Whether a tag belongs to no scheme; entities are not counted then."""
        return FOREIGN in self.first

    def add(self, sequences: Sequence[tuple[str, ...]], numbers: Sequence[int]) -> list[int]:
        """Count further sequences; returns the numbers of those that are now ``shown``."""
        self.counts.update(chain.from_iterable(sequences))
        before = len(self.shown)
        if len(self._parts) < len(self.counts):
            for number, tags in zip(numbers, sequences, strict=True):
                self._note_letters(number, tags)
        if self.foreign:
            if "O" in self.counts:
                self.repeated += sum(one == two != "O" for tags in sequences for one, two in pairwise(tags))
        else:
            for number, tags in zip(numbers, sequences, strict=True):
                for start, end in _runs(tags):
                    known = self._known.get(run := tags[start:end])
                    for kind in self._kinds_of(run, number, start, tags) if known is None else known:
                        kind.count += 1
        self._end = numbers[-1] + 1 if numbers else self._end
        return list(islice(self.shown, before, None))

    def _note_letters(self, number: int, tags: tuple[str, ...]) -> None:
        for position, tag in enumerate(tags):
            if tag not in self._parts:
                letter, label = split_tag(tag)
                letter = letter if letter in LETTERS else FOREIGN
                self._parts[tag] = _MEANING.get(letter, "O"), label
                if letter not in self.first:
                    self.first[letter] = number, position
                    self.shown.setdefault(number, tags)

    def _kinds_of(self, run: tuple[str, ...], number: int, offset: int, tags: tuple[str, ...]) -> list[_Kind]:
        """The entities of a run at ``offset`` in ``tags``."""
        parts = [self._parts[tag] for tag in run]
        kinds, settled = [], True
        for span in spans_of(parts):
            context = _context(run, parts, span)
            key = context, span.label, min(span.end - span.start, 3)
            if (kind := self._kinds.get(key)) is None:
                kind = self._kinds[key] = _Kind(0, self.places.setdefault(context, []))
            if len(kind.places) < KEPT:
                settled = False
                kind.places.append((number, Span(offset + span.start, offset + span.end, span.label)))
                self.shown.setdefault(number, tags)
            kinds.append(kind)
        if settled:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[run] = kinds
        return kinds

    @property
    def entities(self) -> Counter[str]:
        """Entities by type, read by conlleval's rule."""
        found: Counter[str] = Counter()
        for (_, label, _), kind in self._kinds.items():
            found[label] += kind.count
        return found

    def first_of(self, letters: Iterable[str]) -> Place | None:
        """The first tag with one of ``letters``."""
        return min((self.first[letter] for letter in letters if letter in self.first), default=None)

    def covered_by(self, scheme: Scheme) -> bool:
        """Whether all tags are tags of the scheme."""
        return scheme.covers(list(self.counts))

    def check(self, scheme: Scheme) -> None:
        """Raises `TagError` for the first tag of another scheme."""
        other = None if scheme.plain else self.first_of(self.first.keys() - scheme.letters.keys() - {"O"})
        if other is not None:
            try:
                scheme.decode(self.shown[other[0]])
            except TagError as problem:
                raise TagError(problem.message, [other]) from None

    def illegal(self, scheme: Scheme) -> tuple[int, int]:
        """How many entities are illegal in ``scheme``, and how many violations they have; raises as `check`."""
        self.check(scheme)
        broken = self._broken(scheme)
        counts = [(kind.count, broken.get(context, 0)) for (context, *_), kind in self._kinds.items()]
        return sum(count for count, rules in counts if rules), sum(count * rules for count, rules in counts)

    def violations(self, scheme: Scheme) -> Iterator[tuple[int, Violation]]:
        """The first `KEPT` violations, or all if there are fewer, with the numbers of their sequences."""
        numbers = {number for context in self._broken(scheme) for number, _ in self.places[context]}
        found = ((number, each) for number in sorted(numbers) for each in scheme.violations(self.shown[number]))
        return islice(found, KEPT)

    def _broken(self, scheme: Scheme) -> dict[Context, int]:
        """The contexts of illegal entities, and how many rules each breaks: of opening, of closing."""
        broken = {}
        for context, places in self.places.items():
            number, span = places[0]
            start = max(span.start - 1, 0)
            found = scheme.violations(self.shown[number][start : span.end + 1])
            broken[context] = sum(span.start <= each.position + start < span.end for each in found)
        return {context: rules for context, rules in broken.items() if rules}

    def rewritten(self, scheme: Scheme) -> set[str]:
        """The tags of the same entities in ``scheme``; raises `DataError` if it cannot keep two of them apart."""
        tags = {"O"} & self.counts.keys()
        for context, label, length in self._kinds:
            start = int(context.follows)
            spans = [Span(start, start + length, label)]
            spans += [Span(0, 1, label)] if start else []
            spans += [Span(start + length, start + length + 1, label)] if context.precedes else []
            tags.update(scheme.encode(spans, start + length + 1)[start : start + length])
        return tags

    def touching(self) -> int | None:
        """The first sequence with an entity directly after another of its type."""
        return min((places[0][0] for context, places in self.places.items() if context.follows), default=None)

    def __add__(self, other: TagSummary) -> TagSummary:
        """The summary of this corpus and then the other."""
        both, offset = TagSummary(self.counts + other.counts), self._end
        both.repeated = self.repeated + other.repeated
        both._end, both._parts = offset + other._end, {**other._parts, **self._parts}
        both.shown = {**self.shown, **{offset + number: tags for number, tags in other.shown.items()}}
        both.first = {**{letter: (offset + n, at) for letter, (n, at) in other.first.items()}, **self.first}
        for part, shift in ((self, 0), (other, offset)):
            for context, places in part.places.items():
                kept = both.places.setdefault(context, [])
                kept += [(shift + number, span) for number, span in places[: KEPT - len(kept)]]
            for key, kind in part._kinds.items():
                both._kinds.setdefault(key, _Kind(0, both.places[key[0]])).count += kind.count
        return both


def _runs(tags: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Start and end of each longest run of tags that are not O."""
    start = -1
    for position, tag in enumerate(tags):
        if tag != "O":
            start = position if start < 0 else start
        elif start >= 0:
            yield start, position
            start = -1
    if start >= 0:
        yield start, len(tags)


def _context(run: Sequence[str], parts: Sequence[tuple[str, str]], span: Span) -> Context:
    start, end = span.start, span.end
    before, after = run[start - 1] if start else "O", run[end] if end < len(run) else "O"
    follows = start > 0 and parts[start - 1][1] == span.label
    precedes = end < len(run) and parts[end][1] == span.label
    return Context(before[0], follows, run[start][0], run[end - 1][0], after[0], precedes)
