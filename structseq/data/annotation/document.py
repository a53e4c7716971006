"""Document: a text with annotated places, as annotation tools store it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from structseq.errors import DataError

# Half-open, in characters (code points) from 0
Place = tuple[int, int]

# What a reader left out or decided, with how often: "texts without annotations, left out"
Notes = Counter[str]


def lines_of(notes: Notes) -> list[str]:
    return [f"{note}: {count:,}" for note, count in notes.items()]


@contextmanager
def errors_at(source: str) -> Iterator[None]:
    """Errors of the block that name no file get this one: a name, ``file:line`` or ``file:record N``."""
    try:
        yield
    except DataError as error:
        if error.file or not source:
            raise
        file, _, number = source.rpartition(":")
        line = int(number) if number.isdigit() else None
        raise DataError(error.message, file=file if line else source, line=line) from None


@dataclass(frozen=True, slots=True)
class Annotation:
    """A labelled place of a text.

    Attributes
    ----------
    parts:
        In order, without overlap: one place, or several if the annotation is discontinuous.
    id:
        Its name in the relations of the document; may be empty.
    attributes:
        Further values by name, as in JSON.
    """

    label: str
    parts: tuple[Place, ...]
    id: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def start(self) -> int:
        return self.parts[0][0]

    @property
    def end(self) -> int:
        return self.parts[-1][1]


@dataclass(frozen=True, slots=True)
class Relation:
    """Of two annotations, by their ids."""

    label: str
    source: str
    target: str
    id: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """One text.

    Attributes
    ----------
    annotations:
        In the file's order; None if nobody has annotated the text.
    labels:
        Of the whole text.
    tokens, sentences:
        Places, in order, if the file has them.
    metadata:
        Further values by name, as in JSON; ``"id"`` names the document.
    source:
        ``file:line`` or ``file:record N``, for messages.
    """

    text: str
    annotations: tuple[Annotation, ...] | None = None
    relations: tuple[Relation, ...] = ()
    labels: tuple[str, ...] = ()
    tokens: tuple[Place, ...] | None = None
    sentences: tuple[Place, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""


def check_relations(document: Document) -> None:
    """Raises `DataError` if an end of a relation is the id of no annotation, or of several."""
    ids = Counter([each.id for each in document.annotations or ()])
    for relation in document.relations:
        for end in (relation.source, relation.target):
            if not end or ids[end] != 1:
                found = f"found {ids[end]} for {relation.label!r:.60}"
                raise DataError(f"expected one annotation with the id {end!r:.60} of a relation, {found}")
