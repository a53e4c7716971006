"""Writes WebAnno TSV 3.3, with the annotations in INCEpTION's layer of named entities."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from structseq.data.annotation.document import Annotation, Document, Place
from structseq.data.annotation.document_folders import write_texts
from structseq.data.annotation.offsets import utf16_places
from structseq.data.annotation.to_examples import sentence_places
from structseq.data.textfile import Target
from structseq.data.tokenizer import words
from structseq.errors import DataError

_HEADER = "#FORMAT=WebAnno TSV 3.3\n#T_SP=de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity|value\n\n"
_VALUE = re.compile(r"->|[\\\[\]|_;\t\n*]")
# Control characters get a backslash, as INCEpTION writes them; a vertical tab does not
_TEXT = re.compile(r"[\x00-\x0a\x0c-\x1f\\]")
_ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f", "\b": "\\b"}
# Between sentences, the format can only hold this
_HELD = re.compile(r"(?:\n *)?\Z")


def write_webanno(target: Target, documents: Iterable[Document], *, encoding: str = "utf-8") -> None:
    """Writes a document to a file, or documents to a folder, with their ids as names.

    A document without sentences is cut at lines, one without tokens by ``words-1``; white space between sentences that
    the format does not have goes to the end of a sentence. Raises `DataError` for what the format cannot hold.
    """
    write_texts(target, documents, ".tsv", _rendered, encoding)


def _rendered(document: Document) -> dict[str, str]:
    return {".tsv": _HEADER + "".join(_lines(document))}


def _lines(document: Document) -> Iterator[str]:
    text, sentences = document.text, _sentences(document)
    tokens = [token for _, inside in sentences for token in inside]
    units = _units(text, document.annotations or (), tokens)
    places = sorted({place for unit in units for place in unit})
    bounds = dict(zip(places, utf16_places(text, places), strict=True))
    values = _values(document.annotations or (), units)
    rows = iter(units)
    for number, ((start, end), inside) in enumerate(sentences, 1):
        yield "\n" + "".join(f"#Text={_escaped(_TEXT, line)}\n" for line in text[start:end].split("\n"))
        for column, (token, unit) in enumerate(zip(inside, rows, strict=False), 1):
            for part, place in enumerate(sorted(unit, key=lambda place: (place != token, place[0], -place[1]))):
                name = f"{number}-{column}.{part}" if part else f"{number}-{column}"
                (begin, close), (first, last) = place, bounds[place]
                cell = "|".join([values[each] for each in unit[place]]) or "_"
                yield f"{name}\t{first}-{last}\t{text[begin:close]}\t{cell}\t\n"


def _values(annotations: Sequence[Annotation], units: Sequence[Mapping[Place, Sequence[int]]]) -> list[str]:
    """The label of each annotation, with a number if it has several rows, or shares one."""
    cells = [cell for unit in units for cell in unit.values()]
    rows = Counter([each for cell in cells for each in cell])
    numbered = {each for cell in cells for each in cell if rows[each] > 1 or len(cell) > 1}
    numbers = {each: f"[{number}]" for number, each in enumerate(sorted(numbered), 1)}
    return [_escaped(_VALUE, each.label) + numbers.get(at, "") for at, each in enumerate(annotations)]


def _units(text: str, annotations: Sequence[Annotation], tokens: Sequence[Place]) -> list[dict[Place, list[int]]]:
    """For each token, the annotations of the token and of parts of it."""
    units: list[dict[Place, list[int]]] = [{token: []} for token in tokens]
    starts, ends = [start for start, _ in tokens], [end for _, end in tokens]
    for number, annotation in enumerate(annotations):
        start, end = annotation.start, annotation.end
        first, last = bisect_right(starts, start) - 1, bisect_left(ends, end)
        if first < 0 or ends[first] <= start or last == len(tokens) or starts[last] >= end:
            raise _beyond("an annotation that starts or ends outside of tokens", text[start:end])
        for at in range(first, last + 1):
            place = (max(start, starts[at]), min(end, ends[at]))
            units[at].setdefault(place, []).append(number)
    return units


def _sentences(document: Document) -> list[tuple[Place, list[Place]]]:
    """The sentences from their first token on, with their tokens; they have the text up to the next but a line end."""
    text, sentences = document.text, sentence_places(document)
    tokens = _tokens(document, sentences)
    if not tokens:
        raise _beyond("a text without tokens", text)
    starts = [*[inside[0][0] for inside in tokens], len(text)]
    if text[: starts[0]].strip(" "):
        raise _beyond("text before the first token but spaces", text[: starts[0]])
    found: list[tuple[Place, list[Place]]] = []
    for (_, end), inside, start, following in zip(sentences, tokens, starts[:-1], starts[1:], strict=True):
        gap = text[end:following]
        if gap.strip():
            raise _beyond("text between sentences", gap.strip())
        held = _HELD.search(gap) if following < len(text) else None
        found.append(((start, end + (held.start() if held and held[0] else len(gap))), inside))
    return found


def _tokens(document: Document, sentences: Sequence[Place]) -> list[list[Place]]:
    """The tokens of each sentence."""
    text, tokens = document.text, document.tokens
    if tokens is None:
        tokens = tuple([(at + each.start, at + each.end) for at, end in sentences for each in words(text[at:end])])
    starts = [start for start, _ in tokens]
    found = [list(tokens[bisect_left(starts, at) : bisect_left(starts, end)]) for at, end in sentences]
    if sum(map(len, found)) < len(tokens) or any(one[1] > two[0] for one, two in pairwise(tokens)):
        raise DataError("expected tokens in order, without overlap, within sentences, found others; correct them")
    for (start, end), inside in zip(sentences, found, strict=True):
        if not inside or text[start : inside[0][0]].strip() or inside[-1][1] > end:
            raise _beyond("a sentence without tokens, or that its tokens do not start, or leave", text[start:end])
    for start, end in tokens:
        if start >= end or any(c in "\t\n\r" for c in text[start:end]):
            raise _beyond("a token that is empty or has a tab or a line end", text[start:end])
    return found


def _escaped(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda found: _ESCAPES.get(found[0], "\\" + found[0]), text)


def _beyond(what: str, found: str) -> DataError:
    return DataError(f"WebAnno TSV cannot hold {what}, found {found!r:.60}; change it")
