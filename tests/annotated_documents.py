"""Documents for tests of formats of annotation tools."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from structseq.data.annotation.document import Annotation, Document, Relation
from structseq.data.annotation.limits import DocumentLimits

PIECES = st.sampled_from(
    ["a", "Ada", " ", "  ", "\t", "\n", "\r\n", "é", "e\u0301", "😀", "𝒳", "台北", "\u2028", "\ufeff", '"', "'", "\\",
     "\\n", "_", "|", "[", "]", "*", ";", "{", "}", ",", ":", "<b>", "&amp;", "\u200d", "\x00", "."]
)  # fmt: skip
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=4,
)


@st.composite
def documents(draw: st.DrawFn, limits: DocumentLimits, reserved: Iterable[str] = ()) -> Document:
    """A document within the limits, without reserved names in metadata and attributes."""
    names = NAMES.filter(lambda name: name not in set(reserved))
    text = "".join(draw(st.lists(PIECES, max_size=12)))
    attributes = st.dictionaries(names, JSON, max_size=2) if limits.attributes else st.just({})
    annotations = None
    if draw(st.booleans()) or not limits.unannotated:
        count = draw(st.integers(0, 4)) if text else 0
        annotations = []
        for number in range(count):
            start = draw(st.integers(0, len(text) - 1))
            end = draw(st.integers(start + 1, len(text)))
            annotations.append(Annotation(draw(NAMES), ((start, end),), f"T{number}", draw(attributes)))
    relations: list[Relation] = []
    if limits.relations and annotations:
        ends = st.sampled_from([each.id for each in annotations])
        relation = st.builds(Relation, NAMES, ends, ends, st.just("") | NAMES, attributes)
        relations = draw(st.lists(relation, max_size=2))
    labels = draw(st.lists(NAMES, max_size=2)) if limits.labels else []
    tokens = None
    if limits.tokens and draw(st.booleans()):
        tokens = tuple([(at, at + 1) for at, character in enumerate(text) if not character.isspace()])
    metadata = draw(st.dictionaries(names, JSON, max_size=2)) if limits.metadata is None else {}
    return Document(
        text, None if annotations is None else tuple(annotations), tuple(relations), tuple(labels), tokens,
        metadata=metadata,
    )  # fmt: skip


def written(write: Callable[..., None], given: Iterable[Document], **options: Any) -> bytes:
    stream = io.BytesIO()
    write(stream, given, **options)
    return stream.getvalue()


def read_back(read: Callable[..., Iterator[Document]], data: bytes | str, **options: Any) -> list[Document]:
    """The documents without their sources."""
    stream = io.BytesIO(data.encode() if isinstance(data, str) else data)
    return [replace(document, source="") for document in read(stream, **options)]
