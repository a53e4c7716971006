"""WebAnno TSV 3.2 and 3.3, of WebAnno and INCEpTION: a document with its sentences, tokens and one layer of spans."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from structseq.data.annotation.document import Annotation, Document, Notes, Place, errors_at
from structseq.data.annotation.document_folders import members
from structseq.data.annotation.layers import chosen_layer, short
from structseq.data.annotation.limits import DocumentLimits
from structseq.data.annotation.offsets import Mark, Offsets, character_places, utf16_places
from structseq.data.textfile import Source, is_path, name_of, text_lines
from structseq.errors import DataError

LIMITS = DocumentLimits(
    "WebAnno TSV", label=lambda label: "\r" not in label, tokens=True, sentences=True, unannotated=False,
    metadata=lambda name, value: name == "id",
)  # fmt: skip

_FORMAT = re.compile(r"#FORMAT=WebAnno TSV 3\.[23]\s*")
_ROW = re.compile(r"(\d{1,9}-\d{1,9}(?:\.\d{1,9})?)\t(\d{1,8})-(\d{1,8})\t", re.ASCII)
_STACKED = re.compile(r"(?:\\.|[^|])+")
_VALUE = re.compile(r"((?:\\.|[^\\])*?)(?:\[(\d{1,9})\])?", re.ASCII)
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "b": "\b"}
_KINDS = {"T_SP": "annotations of other layers", "T_CH": "links of chains", "T_RL": "relations"}


def is_webanno(first: bytes) -> bool:
    """Whether the start of a file is that of WebAnno TSV 3."""
    return first.removeprefix(b"\xef\xbb\xbf").startswith(b"#FORMAT=WebAnno TSV 3")


def read_webanno(
    source: Source, *, encoding: str = "utf-8", offsets: Offsets = "auto", layer: str = "", notes: Notes | None = None
) -> Iterator[Document]:
    """The document of a file, or those of a folder's ``.tsv`` files, by name, with the name as ``metadata["id"]``.

    ``layer`` (a type or its last part, and optionally ``.feature``) has the annotations; relations are left out. One
    unit between sentences is a line feed, more are a line feed and spaces. Raises `DataError` with file and line.
    """
    notes = Notes() if notes is None else notes
    folder = is_path(source) and os.path.isdir(source)  # type: ignore[arg-type]
    paths: list[Source] = [*members(Path(source), ".tsv")] if folder else [source]  # type: ignore[arg-type]
    files = [_File(path, encoding, notes) for path in paths]
    with errors_at(name_of(source)):
        kind, feature = _chosen(files, layer, notes)
    for file in files:
        with errors_at(file.name):
            document = file.document(kind, feature, offsets)
        yield replace(document, metadata={"id": Path(file.name).stem}) if folder else document


def _chosen(files: Sequence[_File], wanted: str, notes: Notes) -> tuple[str, str]:
    """The type and the feature with the labels."""
    layers: dict[str, list[str]] = {}
    for layer in [each for file in files for each in file.layers if each.kind == "T_SP"]:
        # A file has no header for what it does not use
        layers[layer.type] = list(dict.fromkeys([*layers.get(layer.type, []), *layer.features]))
    if not layers:  # INCEpTION writes no header for a layer without annotations
        notes["files without a layer of spans, read as texts without entities"] += len(files)
        return "", ""
    usual = list(layers) if len(layers) == 1 else [name for name in layers if name.endswith("NamedEntity")]
    kind, feature = chosen_layer(wanted, layers, usual)
    first = "value" if "value" in layers[kind] else next(iter(layers[kind]), "")
    if not feature and first != "value" and len(layers[kind]) > 1:
        notes[f"{short(kind)} has {', '.join(layers[kind])}: labels are those of {first} (data.layer)"] += 1
    return kind, feature or first


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer in a file's header."""

    kind: str  # T_SP (spans), T_CH (chains) or T_RL (relations)
    type: str
    columns: list[str]  # as in the header, [""] if it has no feature
    first: int  # where its columns start, after the token

    @property
    def own(self) -> list[int]:
        """The columns with values of an annotation itself, without the targets of its slots."""
        slots = [at + 1 for at, name in enumerate(self.columns) if name.startswith("ROLE_")]
        return [at for at in range(len(self.columns)) if at not in slots]

    @property
    def features(self) -> list[str]:
        return [name for at in self.own if (name := self.columns[at]) and not name.startswith("ROLE_")]


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


@dataclass(frozen=True, slots=True)
class _Sentence:
    lines: list[str] = field(default_factory=list)
    rows: list[_Row] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class _Span(NamedTuple):
    values: list[str | None]
    places: list[Place]  # of its rows that are not empty


class _File:
    """A file's layers, and its sentences with their rows."""

    def __init__(self, source: Source, encoding: str, notes: Notes) -> None:
        self.name, self.notes = name_of(source), notes
        self.layers: list[_Layer] = []
        self.sentences: list[_Sentence] = []
        self.places: dict[str, Place] = {}  # of each row that is not empty, in characters
        number = 1
        for number, line in enumerate(text_lines(source, encoding=encoding), 1):
            self._add_line(number, line)
        if not self.sentences or not self.sentences[-1].rows:
            raise self.error(number, "expected sentences (#Text=, then a row for each token), found none or no row")

    def error(self, line: int, message: str) -> DataError:
        return DataError(message, file=self.name, line=line)

    @property
    def rows(self) -> list[_Row]:
        return [row for sentence in self.sentences for row in sentence.rows]

    def _note(self, note: str, count: int) -> None:
        if count:
            self.notes[note] += count

    def _add_line(self, number: int, line: str) -> None:
        if number == 1:
            if not _FORMAT.fullmatch(line):
                expected = "'#FORMAT=WebAnno TSV 3.3' (or 3.2)"
                raise self.error(1, f"expected {expected}, found {line!r:.60}; export it anew")
        elif line.startswith("#T_") and not self.sentences:
            self._add_layer(number, line)
        elif line.startswith("#Text="):
            if not self.sentences or self.sentences[-1].rows:
                self.sentences.append(_Sentence())
            self.sentences[-1].lines.append(unescaped(line[6:]))
        elif line.startswith("#"):
            self._note("sentence ids, left out", line.startswith("#Sentence.id="))
        elif line.strip():
            self._add_row(number, line)

    def _add_layer(self, number: int, line: str) -> None:
        kind, _, rest = line.rstrip()[1:].partition("=")
        name, *columns = rest.split("|")
        columns = [column for column in columns if column] or [""]
        layer = _Layer(kind, name, columns, sum(len(each.columns) for each in self.layers))
        twice = name in [each.type for each in self.layers] or len(set(layer.features)) < len(layer.features)
        if kind not in _KINDS or not name or twice or columns[-1].startswith("ROLE_"):
            raise self.error(number, f"expected a layer (#T_SP=type|feature), each once, found {line!r:.60}")
        self.layers.append(layer)

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
        if row.place[0] > row.place[1] or (row.place[0] == row.place[1] and not row.sub):
            raise self.error(number, f"expected a row with start < end, found {line!r:.60}")
        self.sentences[-1].rows.append(row)

    def document(self, kind: str, feature: str, offsets: Offsets) -> Document:
        text, starts = self._text(offsets)
        tokens: list[Place] = []
        sentences: list[Place] = []
        for start, sentence in zip(starts, self.sentences, strict=True):
            rows = [row for row in sentence.rows if not row.sub]
            places = [self.places[row.id] for row in rows]
            if any(other[0] < one[1] for one, other in pairwise([*tokens[-1:], *places])):
                raise self.error(rows[0].line, "expected tokens in order and without overlap; correct the offsets")
            if places[-1][1] > start + len(sentence.text):
                raise self.error(rows[-1].line, "expected a token within the text of its sentence; correct the offsets")
            tokens += places
            sentences.append((start, max(start + len(sentence.text.rstrip()), places[-1][1])))
        annotations = tuple(self._annotations(kind, feature))
        return Document(text, annotations, tokens=tuple(tokens), sentences=tuple(sentences), source=self.name)

    def _text(self, offsets: Offsets) -> tuple[str, list[int]]:
        """The text, and where its sentences start; sets the places of the rows."""
        try:
            return self._rebuilt("utf16" if offsets == "auto" else offsets)
        except DataError:
            if offsets != "auto" or not any(c > "\uffff" for each in self.sentences for c in each.text):
                raise
            with suppress(DataError):
                found = self._rebuilt("codepoint")
                self._note("texts whose offsets count code points, by the copies of their tokens", 1)
                return found
            raise

    def _rebuilt(self, unit: Offsets) -> tuple[str, list[int]]:
        text, size = "", 0
        starts: list[int] = []
        for sentence in self.sentences:
            gap = sentence.rows[0].place[0] - size
            if gap < 0:
                found = f"found {sentence.rows[0].place[0]}"
                raise self.error(sentence.rows[0].line, f"expected a sentence from {size} or later, {found}")
            text += " " * gap if not text or not gap else "\n" + " " * (gap - 1)
            starts.append(len(text))
            text += sentence.text
            count = len(sentence.text)
            size += gap + (count if unit == "codepoint" else utf16_places(sentence.text, [(0, count)])[0][1])
        rows = [(row, sentence) for sentence in self.sentences for row in sentence.rows if row.place[0] < row.place[1]]
        # INCEpTION does not escape tokens, other programs do
        marks = [
            Mark(row.place, row.copy if row.copy in sentence.text else unescaped(row.copy)) for row, sentence in rows
        ]
        places = character_places(text, marks, offsets=unit, usual="utf16")
        self.places = dict(zip([row.id for row, _ in rows], places, strict=True))
        return text, starts

    def _annotations(self, kind: str, feature: str) -> Iterator[Annotation]:
        for layer in self.layers:
            if layer.type != kind:
                spans = layer.kind == "T_SP"
                cells = [_stacked(row.cells[layer.first]) for row in self.rows]
                self._note(
                    f"{_KINDS[layer.kind]}, left out", len(self._spans(layer)) if spans else sum(map(len, cells))
                )
                continue
            for span in self._spans(layer):
                if not span.places:
                    self._note("empty spans, left out", 1)
                    continue
                start, end = min(start for start, _ in span.places), max(end for _, end in span.places)
                label, attributes = self._label(layer, feature, span)
                yield Annotation(label, ((start, end),), attributes=attributes)

    def _label(self, layer: _Layer, feature: str, span: _Span) -> tuple[str, dict[str, str]]:
        """The label and the attributes of a span."""
        columns = zip([layer.columns[at] for at in layer.own], span.values, strict=True)
        values = {name: value for name, value in columns if value is not None}
        attributes = {name: value for name, value in values.items() if name in layer.features}
        self._note("annotations with slots, which are left out", any(name.startswith("ROLE_") for name in values))
        label = attributes.pop(feature, "")
        if not label and layer.features:
            self._note("annotations without a value, labelled with the name of their layer", 1)
        return label or short(layer.type), attributes

    def _spans(self, layer: _Layer) -> list[_Span]:
        spans: list[_Span] = []
        numbered: dict[int, _Span] = {}
        for row in self.rows:
            for values, number in self._values(row, layer):
                span = numbered.get(number) or _Span(values, [])
                if span.values != values:
                    message = f"expected [{number}] with the values of its first row; correct the numbers"
                    raise self.error(row.line, message)
                if number not in numbered:
                    spans.append(span)
                if number:
                    numbered[number] = span
                span.places.extend([self.places[row.id]] if row.id in self.places else [])
        return spans

    def _values(self, row: _Row, layer: _Layer) -> Iterator[tuple[list[str | None], int]]:
        """The values of each annotation in a row, and its number, or 0."""
        columns = [_stacked(row.cells[layer.first + column]) for column in layer.own]
        depth = max(map(len, columns), default=0)
        if any(len(column) not in (0, depth) for column in columns):
            raise self.error(
                row.line, f"expected as many values in each column of {short(layer.type)}, found more in one"
            )
        for at in range(depth):
            pairs = [_value(column[at]) if column else (None, 0) for column in columns]
            numbers = {number for _, number in pairs if number}
            if len(numbers) > 1:
                raise self.error(
                    row.line, f"expected one number for an annotation of {short(layer.type)}, found {numbers}"
                )
            yield [value for value, _ in pairs], max(numbers, default=0)


def _stacked(cell: str) -> list[str]:
    return [] if cell == "_" else _STACKED.findall(cell) or [""]


def _value(text: str) -> tuple[str | None, int]:
    """The value, None for ``*``, and the number, or 0."""
    found = _VALUE.fullmatch(text)
    value, number = (found[1], int(found[2] or 0)) if found else (text, 0)
    return (None if value == "*" else unescaped(value)), number


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPED.get(match[1], match[1]), text, flags=re.DOTALL)
