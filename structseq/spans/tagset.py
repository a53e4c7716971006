"""TagSet: the closed inventory of a model's answers, in the scheme of the user's files and the one learned inside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from structseq.errors import ConfigError, DataError
from structseq.spans.chunks import Edges
from structseq.spans.names import PLAIN, scheme_of
from structseq.spans.schemes import Scheme


@dataclass(frozen=True)
class TagSet:
    """The tags, labels or symbols that a model decides between, and how they relate to the user's own.

    Attributes
    ----------
    labels:
        The K tags learned inside, in the scheme ``inner``; their place is their number.
    outer:
        The scheme of the user's files, in which answers are given.
    inner:
        The scheme learned inside.
    """

    labels: tuple[str, ...]
    outer: Scheme
    inner: Scheme

    @staticmethod
    def of(sequences: Iterable[Sequence[str]], outer: Scheme, inner: str = "auto") -> TagSet:
        """The closed inventory that training data needs, in the scheme asked for.

        A scheme can be changed inside only where nothing is lost: plain tags stay plain, and IO stays IO.
        """
        sequences = list(sequences)
        seen = {tag for tags in sequences for tag in tags}
        if not seen:
            raise DataError("expected at least one tag, label or symbol to learn from, found none")
        learned = outer if inner == "auto" else scheme_of(inner)
        if (outer == PLAIN) != (learned == PLAIN) or (outer.name == "IO") != (learned.name == "IO"):
            if learned == PLAIN and outer != PLAIN:
                raise ConfigError(f"head.scheme: the files are in {outer}, and plain tags cannot stand for its spans")
            learned = outer
        if learned != outer:
            seen = {tag for tags in sequences for tag in learned.encode(outer.decode(tags), len(tags))}
        return TagSet(learned.complete(seen, minimal=True), outer, learned)

    @cached_property
    def number(self) -> dict[str, int]:
        return {label: k for k, label in enumerate(self.labels)}

    def encode(self, tags: Sequence[str]) -> list[int] | None:
        """Numbers of ``tags`` (in the user's scheme); None when one of them is not known here, or their sequence is
        illegal."""
        if self.outer.violations(tags):
            return None
        if self.inner != self.outer:
            tags = self.inner.encode(self.outer.decode(tags), len(tags))
        numbers = [self.number.get(tag, -1) for tag in tags]
        return None if -1 in numbers else numbers

    def decode(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Tags in the user's scheme."""
        labels = self.labels
        if self.direct is not None:
            labels = self.direct
        tags = tuple([labels[k] for k in numbers])
        if self.direct is None:
            return self.outer.encode(self.inner.decode(tags), len(tags))
        return tags

    @cached_property
    def direct(self) -> tuple[str, ...] | None:
        """The user's tag for each of ours where that does not depend on the neighbours: same scheme, or BIOES seen as
        BIO."""
        if self.inner == self.outer:
            return self.labels
        if self.inner.name != "BIOES" or self.outer.name != "BIO":
            return None
        whole = []
        for label in self.labels:
            spans = self.inner.decode([label])
            opens = any(label == self.inner.tag(letter, t) for letter in "BS" for t in self.types)
            whole.append(self.outer.tag("B" if opens else "I", spans[0].label) if spans else label)
        return tuple(whole)

    @cached_property
    def types(self) -> tuple[str, ...]:
        """Entity types, in order; empty for plain tags."""
        return () if self.inner == PLAIN else tuple(self.inner.types(self.labels))

    def kind(self, label: str) -> str:
        """The entity type of a tag, or the tag itself where it is of none."""
        spans = () if self.inner == PLAIN else self.inner.decode([label])
        return spans[0].label if spans else label

    def edges(self) -> list[Edges]:
        """For each of `types`, the edges that open, continue and close it."""
        return [self.inner.edges(self.labels, label) for label in self.types]

    def known(self) -> set[str]:
        """The tags of the user's scheme that an answer can hold."""
        if self.inner == self.outer:
            return set(self.labels)
        return {"O", *(self.outer.tag(letter, label) for letter in "BIES" for label in self.types)}
