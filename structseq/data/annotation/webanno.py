"""WebAnno TSV 3.2 and 3.3, of WebAnno and INCEpTION: a document with its sentences, tokens and one layer of spans."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from pathlib import Path

from structseq.data.annotation.document import Annotation, Document, Notes, Place, Relation
from structseq.data.annotation.document_folders import members
from structseq.data.annotation.limits import DocumentLimits
from structseq.data.annotation.offsets import Marked, Offsets, character_places, utf16_places
from structseq.data.annotation.webanno_layers import Chosen, Layer, chosen_layer, layer_of, merged
from structseq.data.textfile import Source, is_path, name_of, text_lines
from structseq.errors import DataError

LIMITS = DocumentLimits("WebAnno TSV", tokens=True, sentences=True, unannotated=False, metadata=frozenset({"id"}))

_FORMAT = re.compile(r"#FORMAT=WebAnno TSV 3\.[23]\s*")
_ROW = re.compile(r"(\d{1,9}-\d{1,9}(?:\.\d{1,9})?)\t(\d{1,8})-(\d{1,8})\t", re.ASCII)
_STACKED = re.compile(r"(?:\\.|[^|])+")
_VALUE = re.compile(r"((?:\\.|[^\\])*?)(?:\[(\d{1,9})\])?", re.ASCII)
_FROM = re.compile(r"(\d{1,9}-\d{1,9}(?:\.\d{1,9})?)(?:\[(\d{1,9})_(\d{1,9})\])?", re.ASCII)
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "b": "\b"}


def is_webanno(first: bytes) -> bool:
    """Whether the start of a file is that of WebAnno TSV 3."""
    return first.removeprefix(b"\xef\xbb\xbf").startswith(b"#FORMAT=WebAnno TSV 3")


@dataclass(frozen=True, slots=True)
class _Row:
    """A token, or (``sub``) a part of the token before it."""

    id: str
    line: int
    place: Place
    copy: str
    cells: list[str]

    @property
    def sub(self) -> bool:
        return "." in self.id


@dataclass(slots=True)
class _Sentence:
    lines: list[str]
    rows: list[_Row] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass(slots=True)
class _Span:
    values: list[str | None]
    place: Place | None  # None: empty


def read_webanno(
    source: Source,
    *,
    encoding: str = "utf-8",
    offsets: Offsets = "auto",
    layer: str = "",
    notes: Notes | None = None,
) -> Iterator[Document]:
    """The document of a file, or those of a folder's ``.tsv`` files, by name, with the name as ``metadata["id"]``.

    ``layer`` (a type or its last part, and optionally ``.feature``) has the annotations. One unit between sentences is
    a line feed, more are a line feed and spaces. Raises `DataError` with file and line.
    """
    notes = Notes() if notes is None else notes
    if not (is_path(source) and os.path.isdir(source)):  # type: ignore[arg-type]
        file = _File(name_of(source), encoding, notes)
        file.read(source)
        yield file.document(chosen_layer(file.layers, layer, file.name), offsets)
        return
    folder = Path(source)  # type: ignore[arg-type]
    paths = members(folder, ".tsv")
    # A file has no header for a layer without annotations
    layers = merged(each for path in paths for each in _File(os.fspath(path), encoding, notes).header(path)[0])
    chosen = chosen_layer(layers, layer, os.fspath(folder))
    for path in paths:
        file = _File(os.fspath(path), encoding, notes)
        file.read(path)
        yield replace(file.document(chosen, offsets), metadata={"id": path.stem})


class _File:
    """A file's layers, and its sentences with their rows."""

    def __init__(self, name: str, encoding: str, notes: Notes) -> None:
        self.name, self.encoding, self.notes = name, encoding, notes
        self.layers: list[Layer] = []
        self.sentences: list[_Sentence] = []
        self.places: dict[str, Place | None] = {}  # of each row, in characters; None if it is empty

    def error(self, line: int, message: str) -> DataError:
        return DataError(message, file=self.name, line=line)

    def _note(self, note: str, count: int) -> None:
        if count:
            self.notes[note] += count

    def header(self, source: Source) -> tuple[list[Layer], Iterator[tuple[int, str]]]:
        """The layers, and the lines after them."""
        lines = enumerate(text_lines(source, encoding=self.encoding), 1)
        _, first = next(lines, (1, ""))
        if not _FORMAT.fullmatch(first):
            raise self.error(1, f"expected '#FORMAT=WebAnno TSV 3.3' (or 3.2), found {first!r:.60}; export it anew")
        layers: list[Layer] = []
        for number, line in lines:
            if not line.startswith("#T_"):
                return layers, chain([(number, line)], lines)
            found = layer_of(line, sum(len(each.columns) for each in layers))
            if found is None or any(each.type == found.type for each in layers):
                raise self.error(number, f"expected a layer (#T_SP=type|feature), each once, found {line!r:.60}")
            layers.append(found)
        return layers, lines

    def read(self, source: Source) -> None:
        self.layers, lines = self.header(source)
        number = 1
        for number, line in lines:
            if line.startswith("#Text="):
                if not self.sentences or self.sentences[-1].rows:
                    self.sentences.append(_Sentence([]))
                self.sentences[-1].lines.append(unescaped(line[6:]))
            elif line.startswith("#"):
                self._note("sentence ids, left out", line.startswith("#Sentence.id="))
            elif line.strip():
                self._add_row(number, line)
            elif self.sentences and not self.sentences[-1].rows:
                break
        if not self.sentences or not self.sentences[-1].rows:
            raise self.error(number, "expected sentences (#Text=, then a row for each token), found none or no row")

    def _add_row(self, number: int, line: str) -> None:
        found = _ROW.match(line)
        if found is None:
            raise self.error(number, f"expected a row (1-1, tab, 0-4, tab, token), found {line!r:.60}")
        copy, *cells = line[found.end() :].split("\t")
        count = sum(len(each.columns) for each in self.layers)
        if cells[-1:] == [""]:  # a tab ends the row
            cells.pop()
        if len(cells) != count:
            raise self.error(number, f"expected {count} columns after the token, by the header, found {len(cells)}")
        row = _Row(found[1], number, (int(found[2]), int(found[3])), copy, cells)
        if not self.sentences or (row.sub and not self.sentences[-1].rows):
            raise self.error(number, f"expected #Text= and then the row of a token, found {line!r:.60}")
        if row.id in self.places or row.place[0] > row.place[1] or (row.place[0] == row.place[1] and not row.sub):
            raise self.error(number, f"expected each row once, with start < end, found {line!r:.60}")
        self.places[row.id] = None
        self.sentences[-1].rows.append(row)

    def document(self, chosen: Chosen | None, offsets: Offsets) -> Document:
        text, starts = self._text(offsets)
        tokens: list[Place] = []
        sentences: list[Place] = []
        for start, sentence in zip(starts, self.sentences, strict=True):
            rows = [row for row in sentence.rows if not row.sub]
            places = [place for row in rows if (place := self.places[row.id])]
            for one, other in pairwise([*tokens[-1:], *places]):
                if other[0] < one[1]:
                    raise self.error(rows[0].line, "expected tokens in order and without overlap; correct the offsets")
            if places[-1][1] > start + len(sentence.text):
                raise self.error(rows[-1].line, "expected a token within the text of its sentence; correct the offsets")
            tokens += places
            sentences.append((start, max(start + len(sentence.text.rstrip()), places[-1][1])))
        annotations, relations = self._annotations(chosen)
        return Document(
            text, annotations, relations, tokens=tuple(tokens), sentences=tuple(sentences), source=self.name
        )

    def _text(self, offsets: Offsets) -> tuple[str, list[int]]:
        """The text, and where its sentences start; sets the places of the rows."""
        beyond = any(c > "\uffff" for sentence in self.sentences for line in sentence.lines for c in line)
        units: list[Offsets] = ["utf16", "codepoint"] if offsets == "auto" and beyond else ["utf16"]
        problem: DataError | None = None
        for unit in units if offsets == "auto" else [offsets]:
            try:
                text, starts = self._rebuilt(unit)
                self._place_rows(text, unit)
            except DataError as error:
                problem = problem or error
                continue
            if problem:
                self.notes["texts whose offsets count code points, by the copies of their tokens"] += 1
            return text, starts
        assert problem
        raise problem if problem.file else DataError(problem.message, file=self.name)

    def _rebuilt(self, unit: Offsets) -> tuple[str, list[int]]:
        text, size = "", 0
        pieces: list[str] = []
        starts: list[int] = []
        length = 0
        for sentence in self.sentences:
            first = sentence.rows[0]
            gap = first.place[0] - size
            if gap < 0:
                raise self.error(first.line, f"expected a sentence from {size} or later, found {first.place[0]}")
            fill = " " * gap if not pieces or not gap else "\n" + " " * (gap - 1)
            text = sentence.text
            pieces += [fill, text]
            starts.append(length + gap)
            length += gap + len(text)
            size += gap + (len(text) if unit == "codepoint" else utf16_places(text, [(0, len(text))])[0][1])
        return "".join(pieces), starts

    def _place_rows(self, text: str, unit: Offsets) -> None:
        rows = [(row, sentence) for sentence in self.sentences for row in sentence.rows if row.place[0] < row.place[1]]
        # INCEpTION does not escape tokens, other programs do
        marked: list[Marked] = [
            (row.place, row.copy if row.copy in sentence.text else unescaped(row.copy)) for row, sentence in rows
        ]
        found = character_places(text, marked, offsets=unit, usual="utf16")
        self.places.update(zip([row.id for row, _ in rows], found, strict=True))

    def _annotations(self, chosen: Chosen | None) -> tuple[tuple[Annotation, ...], tuple[Relation, ...]]:
        layers = {each.type: each for each in self.layers}
        own = layers.get(chosen.type) if chosen else None
        units: dict[tuple[str, int], _Span] = {}
        spans = self._spans(own, units) if own else []
        for each in self.layers:
            if each is not own and not (own and each.base == own.type):
                count = len(self._spans(each, {})) if each.kind == "T_SP" else self._filled(each)
                self._note(f"{_KINDS[each.kind]}, left out", count)
        used: dict[int, str] = {}
        relations = [relation for each in self.layers if own and each.base == own.type
                     for relation in self._relations(each, units, used)]  # fmt: skip
        made = [_annotation(each, own, chosen, used.get(id(each), ""), self.notes)
                for each in spans if own and chosen and each.place]  # fmt: skip
        self._note("empty spans, left out", len(spans) - len(made))
        return tuple(made), tuple(relations)

    def _filled(self, layer: Layer) -> int:
        return sum(len(_stacked(row.cells[layer.first])) for row in self._rows())

    def _rows(self) -> Iterator[_Row]:
        return chain.from_iterable(sentence.rows for sentence in self.sentences)

    def _spans(self, layer: Layer, units: dict[tuple[str, int], _Span]) -> list[_Span]:
        """The spans of a layer; ``units`` gets them by row and position in it, and by ``("", number)``."""
        spans: list[_Span] = []
        for row in self._rows():
            place = self.places[row.id]
            for at, (values, number) in enumerate(self._values(row, layer)):
                span = units.get(("", number)) if number else None
                if span is None:
                    span = _Span(values, place)
                    spans.append(span)
                elif span.values != values:
                    raise self.error(
                        row.line, f"expected [{number}] with the values of its first row; correct the numbers"
                    )
                elif place:
                    span.place = (min(place[0], (span.place or place)[0]), max(place[1], (span.place or place)[1]))
                units[row.id, at] = span
                if number:
                    units["", number] = span
        return spans

    def _values(self, row: _Row, layer: Layer) -> list[tuple[list[str | None], int]]:
        """The values of each annotation in a row, and its number, or 0."""
        columns = [_stacked(row.cells[layer.first + column]) for column in layer.own]
        depth = max(map(len, columns), default=0)
        if any(len(column) not in (0, depth) for column in columns):
            raise self.error(row.line, f"expected as many values in each column of {layer.short}, found more in one")
        found: list[tuple[list[str | None], int]] = []
        for at in range(depth):
            pairs = [_value(column[at]) if column else (None, 0) for column in columns]
            numbers = {number for _, number in pairs if number}
            if len(numbers) > 1:
                raise self.error(row.line, f"expected one number for an annotation of {layer.short}, found {numbers}")
            found.append(([value for value, _ in pairs], max(numbers, default=0)))
        return found

    def _relations(self, layer: Layer, units: dict[tuple[str, int], _Span], used: dict[int, str]) -> Iterator[Relation]:
        for row in self._rows():
            ends = _stacked(row.cells[layer.first + len(layer.columns) - 1])
            values = [each for each, _ in self._values(row, layer)] or [[] for _ in ends]
            if len(ends) != len(values):
                raise self.error(row.line, f"expected a row id for each value of {layer.short}, found {len(ends)}")
            for end, own in zip(ends, values, strict=True):
                match = _FROM.fullmatch(end)
                numbers = [int(match[2] or 0), int(match[3] or 0)] if match else []
                rows = [match[1], row.id] if match else []
                found = [units.get(("", number) if number else (unit, 0))
                         for number, unit in zip(numbers, rows, strict=True)]  # fmt: skip
                if match is None or None in found:
                    raise self.error(
                        row.line, f"expected a relation from an annotation to one of this row, found {end!r:.40}"
                    )
                if any(each.place is None for each in found if each):
                    self.notes["relations of empty spans, left out"] += 1
                    continue
                names = [used.setdefault(id(each), str(len(used) + 1)) for each in found]
                label, attributes = _label(layer, layer.label, own)
                yield Relation(label or layer.short, names[0], names[1], attributes=attributes)


_KINDS = {"T_SP": "annotations of other layers", "T_CH": "links of chains", "T_RL": "relations of other layers"}


def _annotation(span: _Span, layer: Layer | None, chosen: Chosen | None, name: str, notes: Notes) -> Annotation:
    assert layer and chosen and span.place
    label, attributes = _label(layer, chosen.feature, span.values)
    if label is None and layer.features:
        notes["annotations without a value, labelled with the name of their layer"] += 1
    slots = [layer.columns[at].startswith("ROLE_") and value is not None
             for at, value in zip(layer.own, span.values, strict=True)]  # fmt: skip
    if any(slots):
        notes["annotations with slots, which are left out"] += 1
    return Annotation(label or layer.short, (span.place,), name, attributes)


def _label(layer: Layer, feature: str, values: Sequence[str | None]) -> tuple[str | None, dict[str, str]]:
    names = [layer.columns[at] for at in layer.own]
    known = {name: value for name, value in zip(names, values, strict=False)
             if value is not None and name in layer.features}  # fmt: skip
    label = known.pop(feature, None)
    return label or None, known


def _stacked(cell: str) -> list[str]:
    return [] if cell == "_" else _STACKED.findall(cell) or [""]


def _value(text: str) -> tuple[str | None, int]:
    """The value, None for ``*``, and the number, or 0."""
    found = _VALUE.fullmatch(text)
    value, number = (found[1], int(found[2] or 0)) if found else (text, 0)
    return (None if value == "*" else unescaped(value)), number


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPED.get(match[1], match[1]), text, flags=re.DOTALL)
