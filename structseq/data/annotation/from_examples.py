"""Documents made of examples: a text, its tokens and sentences, and an annotation for each span."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Any

from structseq.data.annotation.document import Annotation, Document, Notes, Place
from structseq.data.example import Example
from structseq.errors import DataError
from structseq.spans import Scheme


def documents_of(
    examples: Iterable[Example], scheme: Scheme, *, grouped: bool, losses: Notes | None = None
) -> Iterator[Document]:
    """One document for each example; with ``grouped``, for each run of sentences up to the next ``starts_document``.

    If the first sentence starts no document and ``grouped`` is set, all sentences up to the first that does are one
    document. ``losses`` counts further inputs, which documents do not have. Raises `DataError` for plain tags and for
    tags that the scheme does not write for their spans.
    """
    losses = Notes() if losses is None else losses
    group: list[Example] = []
    for example in examples:
        if group and (not grouped or example.starts_document):
            yield _document(group, scheme, grouped, losses)
            group = []
        group.append(example)
    if group:
        yield _document(group, scheme, grouped, losses)


def _document(group: Sequence[Example], scheme: Scheme, grouped: bool, losses: Notes) -> Document:
    pieces = [_text_and_tokens(example) for example in group]
    starts = [0]
    for text, _ in pieces:
        starts.append(starts[-1] + len(text) + 1)
    tokens = [[(s + at, e + at) for s, e in places] for at, (_, places) in zip(starts, pieces, strict=False)]
    metadata: dict[str, Any] = {}
    for example in group:
        for name in example.inputs:
            if name != "tokens":
                losses[f"the further input {name!r}"] += 1
        further = {key: value for key, value in example.metadata.items() if key not in ("text", "label")}
        if example is group[0]:
            metadata.update(further)
        else:
            losses.update(f"metadata of sentences: {key}" for key in further)
    if not grouped and group[0].starts_document:
        metadata["starts_document"] = True
    tagged = ["tags" in example.targets for example in group]
    if any(tagged) and not all(tagged):
        bare = group[tagged.index(False)]
        raise DataError(f"{bare.source or 'a sentence'} has no tags, but others of its document have them")
    annotations = [_annotations(example, scheme, places) for example, places in zip(group, tokens, strict=True)]
    sentences = tuple([(at, at + len(text)) for at, (text, _) in zip(starts, pieces, strict=False)])
    return Document(
        "\n".join(text for text, _ in pieces),
        tuple(chain.from_iterable(annotations)) if all(tagged) else None,
        labels=_labels(group[0]),
        tokens=tuple(chain.from_iterable(tokens)),
        sentences=sentences if grouped else None,
        metadata=metadata,
        source=group[0].source,
    )


def _labels(example: Example) -> tuple[str, ...]:
    label = example.targets.get("label", example.metadata.get("label"))
    return () if label is None else (label,)


def _text_and_tokens(example: Example) -> tuple[str, Sequence[Place]]:
    """The metadata ``text`` if the tokens are all of it but white space, in order; else the tokens."""
    text = example.metadata.get("text")
    if text is not None and (places := token_places(text, example.tokens)) is not None:
        return text, places
    ends = list(accumulate([len(token) + 1 for token in example.tokens]))
    return " ".join(example.tokens), [
        (end - 1 - len(token), end - 1) for token, end in zip(example.tokens, ends, strict=True)
    ]


def token_places(text: str, tokens: Sequence[str]) -> tuple[Place, ...] | None:
    """Where the tokens are in the text; None if they are not all its text but white space."""
    places: list[Place] = []
    at = 0
    for token in tokens:
        start = text.find(token, at)
        if start < 0 or text[at:start].strip() or not token:
            return None
        at = start + len(token)
        places.append((start, at))
    return None if text[at:].strip() else tuple(places)


def _annotations(example: Example, scheme: Scheme, places: Sequence[Place]) -> tuple[Annotation, ...]:
    tags = example.targets.get("tags")
    if tags is None:
        return ()
    if scheme.plain:
        raise DataError(f"{example.source or 'the sentence'} has plain tags, which are no spans; write JSON lines")
    spans = scheme.decode(tags)
    if scheme.encode(spans, len(tags)) != tuple(tags):
        raise DataError(f"{example.source or 'the sentence'} has tags that {scheme} does not write for their spans")
    return tuple([Annotation(span.label, ((places[span.start][0], places[span.end - 1][1]),)) for span in spans])
