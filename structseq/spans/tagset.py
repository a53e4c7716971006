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

    ``labels`` are in ``model_scheme``, which the model learns; answers are in ``file_scheme``, that of the files.
    """

    labels: tuple[str, ...]
    file_scheme: Scheme
    model_scheme: Scheme

    @staticmethod
    def of(sequences: Iterable[Sequence[str]], file_scheme: Scheme, model_scheme: str = "auto") -> TagSet:
        """The tags of training data, learned in the scheme ``model_scheme`` ("auto": ``file_scheme``).

        If only one of both schemes is IO, or only ``file_scheme`` is plain, ``file_scheme`` is learned. Raises
        `DataError` if there are no tags, `ConfigError` if only ``model_scheme`` is plain.
        """
        sequences = list(sequences)
        seen = {tag for tags in sequences for tag in tags}
        if not seen:
            raise DataError("expected at least one tag, label or symbol to learn from, found none")
        learned = file_scheme if model_scheme == "auto" else scheme_of(model_scheme)
        if (file_scheme == PLAIN) != (learned == PLAIN) or (file_scheme.name == "IO") != (learned.name == "IO"):
            if learned == PLAIN and file_scheme != PLAIN:
                raise ConfigError(
                    f"head.scheme: expected a scheme with spans, because the files are in {file_scheme}, found plain"
                )
            learned = file_scheme
        if learned != file_scheme:
            seen = {tag for tags in sequences for tag in learned.encode(file_scheme.decode(tags), len(tags))}
        return TagSet(learned.complete(seen, minimal=True), file_scheme, learned)

    @cached_property
    def index(self) -> dict[str, int]:
        return {label: k for k, label in enumerate(self.labels)}

    def encode(self, tags: Sequence[str]) -> list[int] | None:
        """Numbers of ``tags`` (in ``file_scheme``); None if a tag is unknown or the sequence is illegal."""
        if self.file_scheme.violations(tags):
            return None
        if self.model_scheme != self.file_scheme:
            tags = self.model_scheme.encode(self.file_scheme.decode(tags), len(tags))
        numbers = [self.index.get(tag, -1) for tag in tags]
        return None if -1 in numbers else numbers

    def decode(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Tags in ``file_scheme``."""
        labels = self.labels if self.file_tags is None else self.file_tags
        tags = tuple([labels[k] for k in numbers])
        return self.file_scheme.encode(self.model_scheme.decode(tags), len(tags)) if self.file_tags is None else tags

    @cached_property
    def file_tags(self) -> tuple[str, ...] | None:
        """Each label's tag in ``file_scheme`` if both are equal or BIOES and BIO; None if it needs neighbours."""
        if self.model_scheme == self.file_scheme:
            return self.labels
        if self.model_scheme.name != "BIOES" or self.file_scheme.name != "BIO":
            return None
        tags = []
        for label in self.labels:
            spans = self.model_scheme.decode([label])
            opens = any(label == self.model_scheme.tag(letter, t) for letter in "BS" for t in self.types)
            tags.append(self.file_scheme.tag("B" if opens else "I", spans[0].label) if spans else label)
        return tuple(tags)

    @cached_property
    def types(self) -> tuple[str, ...]:
        """Entity types, sorted; empty for plain tags."""
        return () if self.model_scheme == PLAIN else tuple(self.model_scheme.types(self.labels))

    def kind(self, label: str) -> str:
        """The entity type of a tag; the tag itself for O and plain tags."""
        spans = () if self.model_scheme == PLAIN else self.model_scheme.decode([label])
        return spans[0].label if spans else label

    def edges(self) -> list[Edges]:
        """`Scheme.edges` for each of `types`."""
        return [self.model_scheme.edges(self.labels, label) for label in self.types]

    def answer_tags(self) -> set[str]:
        """The tags in ``file_scheme`` that an answer can contain."""
        if self.model_scheme == self.file_scheme:
            return set(self.labels)
        return {"O", *(self.file_scheme.tag(letter, label) for letter in "BIES" for label in self.types)}
