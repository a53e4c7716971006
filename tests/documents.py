"""Documents for tests: strategies that draw them, and what two documents have in common."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from structseq.data.annotation.document import Annotation, Document, Place, Relation
from structseq.data.tokenizer import tokenize

EMOJI = ("😀", "👨\u200d👩\u200d👧", "e\u0301", "台")
WORDS = st.sampled_from(
    [
        *EMOJI,
        "to",
        "Taipei",
        "don't",
        "U.S.",
        "a_b",
        "x|y",
        "[1]",
        "*",
        "_",
        ";",
        "\\",
        '"',
        "#1",
        "<b>",
        "&amp;",
        "\\n",
    ]
)
GAPS = st.sampled_from([" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u2028", "\ufeff", ""])
NAMES = st.sampled_from(["city", "date", "B-x", "été", "a_b", "O", "a b", "x\ty", "😀|[1]"])
VALUES = st.sampled_from(["high", "no", "été", "a b", "", "x\ny", True, False, None, 3, 0.5, ["a", 1], {"b": [None]}])


@st.composite
def texts(draw: st.DrawFn) -> str:
    pieces = draw(st.lists(st.tuples(WORDS, GAPS), max_size=8))
    return "".join(word + gap for word, gap in pieces)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A document whose annotations start and end with tokens, some in parts, some overlapping."""
    text = draw(texts())
    cut = [(token.start, token.end) for token in tokenize(text)]
    metadata = draw(st.dictionaries(st.sampled_from(["source", "topic"]), VALUES, max_size=2))
    if not cut or draw(st.sampled_from([False] * 5 + [True])):
        return Document(text, draw(st.sampled_from([None, ()])), metadata=metadata)
    drawn = draw(st.lists(st.tuples(_parts(cut), NAMES, _attributes()), max_size=4))
    annotations = tuple(
        [Annotation(name, parts, f"T{n}", attributes) for n, (parts, name, attributes) in enumerate(drawn)]
    )
    relations: tuple[Relation, ...] = ()
    if len(annotations) > 1 and draw(st.booleans()):
        relations = (Relation("near", annotations[0].id, annotations[1].id),)
    labels = draw(st.sampled_from([(), ("travel",), ("travel", "food")]))
    return Document(text, annotations, relations, labels, tuple(cut), None, metadata)


def _attributes() -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(["certainty", "kind", "a b", "note"]), VALUES, max_size=1)


@st.composite
def _parts(draw: st.DrawFn, cut: list[Place]) -> tuple[Place, ...]:
    bounds = sorted(draw(st.sets(st.integers(0, len(cut) - 1), min_size=1, max_size=4)))
    if len(bounds) < 4 or bounds[2] - bounds[1] < 2:
        return ((cut[bounds[0]][0], cut[bounds[-1]][1]),)
    return ((cut[bounds[0]][0], cut[bounds[1]][1]), (cut[bounds[2]][0], cut[bounds[3]][1]))


def alike(document: Document) -> Document:
    """The document without what may differ: its source, the ids of annotations, the order of annotations."""
    # spaCy keeps on its tokens whether a text is annotated
    annotations = document.annotations if document.text.strip() else ()
    if annotations is None:
        return replace(document, source="", sentences=None)
    ordered = sorted(annotations, key=lambda each: (each.parts, each.label, repr(sorted(each.attributes)), each.id))
    numbers = {each.id: str(number) for number, each in enumerate(ordered)}
    relations = [
        replace(each, source=numbers[each.source], target=numbers[each.target], id="") for each in document.relations
    ]
    known = {each.source for each in relations} | {each.target for each in relations}
    named = [replace(each, id=str(n) if str(n) in known else "") for n, each in enumerate(ordered)]
    return replace(document, annotations=tuple(named), relations=tuple(relations), source="", sentences=None)


def written(write: Callable[..., None], given: Iterable[Document], **options: Any) -> bytes:
    stream = io.BytesIO()
    write(stream, given, **options)
    return stream.getvalue()


def read_back(read: Callable[..., Iterator[Document]], data: bytes | str, **options: Any) -> list[Document]:
    """The documents without their sources."""
    stream = io.BytesIO(data.encode() if isinstance(data, str) else data)
    return [replace(document, source="") for document in read(stream, **options)]
