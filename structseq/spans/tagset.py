"""TagSet: a model's tags, in the scheme of the user's files and in the scheme that it learns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from structseq.errors import ConfigError, DataError
from structseq.spans.schemes import PLAIN, Edges, Scheme, scheme_of


@dataclass(frozen=True)
class TagSet:
    """The K tags, labels or symbols that a model predicts, numbered by position.

    ``labels`` are in ``inner``, the scheme that the model learns; answers are in ``outer``, the scheme of the files.
    """

    labels: tuple[str, ...]
    outer: Scheme
    inner: Scheme

    @staticmethod
    def of(sequences: Iterable[Sequence[str]], outer: Scheme, inner: str = "auto") -> TagSet:
        """The tags of training data, learned in the scheme ``inner`` ("auto": ``outer``).

        If only one of both schemes is IO, or only ``outer`` is plain, ``outer`` is learned. Raises `DataError` if there
        are no tags, `ConfigError` if only ``inner`` is plain.
        """
        sequences = list(sequences)
        seen = {tag for tags in sequences for tag in tags}
        if not seen:
            raise DataError("expected at least one tag, label or symbol to learn from, found none")
        learned = outer if inner == "auto" else scheme_of(inner)
        if (outer == PLAIN) != (learned == PLAIN) or (outer.name == "IO") != (learned.name == "IO"):
            if learned == PLAIN and outer != PLAIN:
                raise ConfigError(
                    f"head.scheme: expected a scheme with spans, because the files are in {outer}, found plain"
                )
            learned = outer
        if learned != outer:
            seen = {tag for tags in sequences for tag in learned.encode(outer.decode(tags), len(tags))}
        return TagSet(learned.complete(seen, minimal=True), outer, learned)

    @cached_property
    def number(self) -> dict[str, int]:
        return {label: k for k, label in enumerate(self.labels)}

    def encode(self, tags: Sequence[str]) -> list[int] | None:
        """Numbers of ``tags`` (in ``outer``); None if a tag is unknown or the sequence is illegal."""
        if self.outer.violations(tags):
            return None
        if self.inner != self.outer:
            tags = self.inner.encode(self.outer.decode(tags), len(tags))
        numbers = [self.number.get(tag, -1) for tag in tags]
        return None if -1 in numbers else numbers

    def decode(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Tags in ``outer``."""
        labels = self.labels if self.direct is None else self.direct
        tags = tuple([labels[k] for k in numbers])
        return self.outer.encode(self.inner.decode(tags), len(tags)) if self.direct is None else tags

    @cached_property
    def direct(self) -> tuple[str, ...] | None:
        """Each label's tag in ``outer`` for equal schemes and BIOES to BIO; None for others, which need neighbours."""
        if self.inner == self.outer:
            return self.labels
        if self.inner.name != "BIOES" or self.outer.name != "BIO":
            return None
        tags = []
        for label in self.labels:
            spans = self.inner.decode([label])
            opens = any(label == self.inner.tag(letter, t) for letter in "BS" for t in self.types)
            tags.append(self.outer.tag("B" if opens else "I", spans[0].label) if spans else label)
        return tuple(tags)

    @cached_property
    def types(self) -> tuple[str, ...]:
        """Entity types, sorted; empty for plain tags."""
        return () if self.inner == PLAIN else tuple(self.inner.types(self.labels))

    def kind(self, label: str) -> str:
        """The entity type of a tag; the tag itself for O and plain tags."""
        spans = () if self.inner == PLAIN else self.inner.decode([label])
        return spans[0].label if spans else label

    def edges(self) -> list[Edges]:
        """`Scheme.edges` for each of `types`."""
        return [self.inner.edges(self.labels, label) for label in self.types]

    def known(self) -> set[str]:
        """The tags in ``outer`` that an answer can contain."""
        if self.inner == self.outer:
            return set(self.labels)
        return {"O", *(self.outer.tag(letter, label) for letter in "BIES" for label in self.types)}
