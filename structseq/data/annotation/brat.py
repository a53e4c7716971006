"""brat: a text in ``x.txt``, and its annotations in ``x.ann``; a folder has a pair of files for each document."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from structseq.data.annotation.document import Annotation, Document, Notes, Place, Relation, check_relations, errors_at
from structseq.data.annotation.document_folders import is_folder, members, write_texts
from structseq.data.annotation.limits import DocumentLimits
from structseq.data.annotation.offsets import Mark, Offsets, character_places
from structseq.data.annotation.policies import joined_parts
from structseq.data.textfile import Source, Target, is_path, name_of, read_lines, text_lines
from structseq.errors import DataError

# brat keeps one annotation a line, with its text; what Python or Java take for a line end must not be in it
_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_LINES = re.compile(f"[^{_ENDS}]+")

_MARK = re.compile(
    r"(?P<id>T\d[^\s:]*)\t(?P<label>\S+) (?P<places>\d{1,12} \d{1,12}(?:;\d{1,12} \d{1,12})*) *\t(?P<copy>.*)"
)
_ATTRIBUTE = re.compile(r"[AM]\S+\t(?P<name>\S+) (?P<target>\S+)(?: (?P<value>\S.*?))?\s*")
_RELATION = re.compile(r"(?P<id>R\d[^\s:]*)\t(?P<label>\S+) Arg1:(?P<source>T\S+) Arg2:(?P<target>T\S+)\s*")
_NOTE = re.compile(r"#\S+\tAnnotatorNotes (?P<target>\S+)\t(?P<value>.*)")
_OTHER = re.compile(
    r"""R\S+\t\S+[ ]\S+:\S+[ ]\S+:\S+\s*
      | E\S+\t\S+:\S+(?:[ ]\S+:\S+)*\s*
      | N\S+\t\S+[ ]\S+[ ]\S+.*
      | [AM]\S+\t\S+[ ]\S+(?:[ ]\S.*)?\s*
      | (?:\#\S+|\*)\t\S.*""",
    re.VERBOSE,
)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.split() == [value]


def _is_attribute(name: str, value: Any) -> bool:
    if name == "note":
        return isinstance(value, str) and not re.search("[\r\n]", value)
    return _is_word(name) and (value is True or _is_word(value))


def _is_metadata(name: str, value: Any) -> bool:
    if name != "brat":
        return name == "id"
    lines = value if isinstance(value, list) else [None]
    return all(isinstance(line, str) and _OTHER.fullmatch(line) and "\r" not in line for line in lines)


LIMITS = DocumentLimits(
    "brat", fragments=True, label=_is_word, attribute=_is_attribute, relations=True, lines=True, unannotated=False,
    metadata=_is_metadata,
)  # fmt: skip


def is_brat(path: Any) -> bool:
    """Whether a path ends in ``.ann`` or is a folder with such files."""
    return is_path(path) and (os.fspath(path).endswith(".ann") or any(Path(path).glob("[!.]*.ann")))


def read_brat(
    source: Source, *, encoding: str = "utf-8", offsets: Offsets = "auto", notes: Notes | None = None
) -> Iterator[Document]:
    """The document of ``x.ann`` and ``x.txt``, or those of a folder, by name, with the name as ``metadata["id"]``.

    Events, equivalences and other lines that a document does not have are the metadata ``brat``. Parts with only
    white space between them are one. Raises `DataError` with file and line.
    """
    notes = Notes() if notes is None else notes
    path = _path(source)
    if not path.is_dir():
        yield _read(path, encoding, offsets, notes)
        return
    paths = members(path, ".ann")
    alone = len({text.stem for text in path.glob("[!.]*.txt")} - {each.stem for each in paths})
    if alone:
        notes["texts without an .ann file, left out"] += alone
    for each in paths:
        document = _read(each, encoding, offsets, notes)
        yield replace(document, metadata={"id": each.stem, **document.metadata})


def _path(source: Source | Target) -> Path:
    if not isinstance(source, str | os.PathLike):
        raise DataError(
            "expected a path, since brat keeps a document in two files, found a stream", file=name_of(source)
        )
    return Path(source)


def _read(path: Path, encoding: str, offsets: Offsets, notes: Notes) -> Document:
    beside = path.with_suffix(".txt")
    if path.suffix != ".ann":
        raise DataError("expected a file that ends in .ann, or a folder of such files", file=path)
    lines = list(text_lines(path, encoding=encoding))
    if not beside.is_file():
        raise DataError(f"expected the text in {beside.name} beside it, found no such file", file=path)
    text = "".join(read_lines(beside, encoding=encoding))
    found = _Lines(os.fspath(path), notes)
    for number, line in enumerate(lines, 1):
        if line.strip():
            found.add(number, line)
    with errors_at(found.file):
        return found.document(text, offsets)


@dataclass(slots=True)
class _Lines:
    """The lines of a file, sorted by their kind."""

    file: str
    notes: Notes
    marks: dict[str, re.Match[str]] = field(default_factory=dict)
    relations: dict[str, re.Match[str]] = field(default_factory=dict)
    further: list[tuple[int, str]] = field(default_factory=list)

    def add(self, number: int, line: str) -> None:
        mark, relation = _MARK.fullmatch(line), _RELATION.fullmatch(line)
        found = mark or relation
        if found is None:
            if not _OTHER.fullmatch(line):
                raise self.error(
                    number, f"expected a line of brat (id, tab, type and offsets, tab, text), found {line!r:.80}"
                )
            self.further.append((number, line))
            return
        table = self.relations if mark is None else self.marks
        if found["id"] in table:
            raise self.error(number, f"expected each id once, found {found['id']} again; rename one of them")
        table[found["id"]] = found

    def error(self, number: int, message: str) -> DataError:
        return DataError(message, file=self.file, line=number)

    def document(self, text: str, offsets: Offsets) -> Document:
        places = _places(text, list(self.marks.values()), offsets, self.notes)
        attributes, raw = self._attributes()
        annotations = [
            Annotation(mark["label"], parts, key, attributes[key])
            for (key, mark), parts in zip(self.marks.items(), places, strict=True)
        ]
        relations = [
            Relation(found["label"], found["source"], found["target"], key, attributes[key])
            for key, found in self.relations.items()
        ]
        metadata = {"brat": raw} if raw else {}
        document = Document(text, tuple(annotations), tuple(relations), metadata=metadata, source=self.file)
        check_relations(document)
        return document

    def _attributes(self) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """For each id; and the lines that are none, or whose name is taken."""
        found: dict[str, dict[str, Any]] = {key: {} for key in (*self.marks, *self.relations)}
        others = {line.partition("\t")[0] for _, line in self.further}
        raw: list[str] = []
        for number, line in self.further:
            attribute = _ATTRIBUTE.fullmatch(line)
            match = attribute or _NOTE.fullmatch(line)
            if match and match["target"] not in found and match["target"] not in others:
                message = f"expected the id of an annotation, found {match['target']:.60}; add or correct it"
                raise self.error(number, message)
            name = attribute["name"] if attribute else "note"
            values = found.get(match["target"]) if match else None
            if match is None or values is None or name in values or (attribute and name == "note"):
                raw.append(line)
            else:
                values[name] = True if match["value"] is None else match["value"]
        return found, raw


def _places(text: str, lines: list[re.Match[str]], offsets: Offsets, notes: Notes) -> list[tuple[Place, ...]]:
    """The parts of each annotation; brat keeps one copy of them all, with blanks between."""
    pairs = [re.findall(r"(\d+) (\d+)", line["places"]) for line in lines]
    spans = [[(int(start), int(end)) for start, end in each] for each in pairs]
    marks = [
        Mark(part, line["copy"] if len(parts) == 1 else None, line["label"])
        for line, parts in zip(lines, spans, strict=True)
        for part in parts
    ]
    found = iter(character_places(text, marks, offsets=offsets, usual="codepoint", notes=notes))
    places = [[next(found) for _ in parts] for parts in spans]
    for line, parts in zip(lines, places, strict=True):
        copy = " ".join(text[start:end] for start, end in parts)
        if any(other[0] < one[1] for one, other in pairwise(sorted(parts))) or copy.split() != line["copy"].split():
            expected = f"{line['copy']!r:.60}, parts without overlap, at {line['places']} ({line['label']:.60})"
            raise DataError(f"expected {expected}, found {copy!r:.60}; correct the offsets")
    return [joined_parts(text, sorted(parts)) for parts in places]


def write_brat(target: Target, documents: Iterable[Document], *, encoding: str = "utf-8") -> None:
    """Writes a document to ``x.ann`` and ``x.txt``, or documents to a folder, with their ids as names.

    An annotation over line ends gets a part for each line. Raises `DataError` for what brat's lines cannot hold.
    """
    path = _path(target)
    if not is_folder(target) and path.suffix != ".ann":
        raise DataError("expected a path that ends in .ann, or a folder (a path that ends in /)", file=path)
    write_texts(target, documents, ".ann", _rendered, encoding)


def _rendered(document: Document) -> dict[str, str]:
    return {".txt": document.text, ".ann": "".join([f"{line}\n" for line in _Writer(document).lines()])}


class _Writer:
    """The lines of a document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.raw: list[str] = list(document.metadata.get("brat", []))
        self.taken = {line.partition("\t")[0] for line in self.raw}

    def lines(self) -> Iterator[str]:
        annotations, relations = self.document.annotations or (), self.document.relations
        names = self._names("T", [each.id for each in annotations])
        for annotation, name in zip(annotations, names, strict=True):
            yield f"{name}\t{annotation.label} {self._marked(annotation)}"
        ends = {each.id: name for each, name in zip(annotations, names, strict=True)}
        related = self._names("R", [each.id for each in relations])
        for relation, name in zip(relations, related, strict=True):
            yield f"{name}\t{relation.label} Arg1:{ends[relation.source]} Arg2:{ends[relation.target]}"
        labelled: list[Annotation | Relation] = [*annotations, *relations]
        yield from self._attributes(labelled, [*names, *related])
        yield from self.raw

    def _attributes(self, labelled: Iterable[Annotation | Relation], names: Iterable[str]) -> Iterator[str]:
        attributes, notes = self._free("A"), self._free("#")
        for each, name in zip(labelled, names, strict=True):
            for key, value in each.attributes.items():
                if key == "note":
                    yield f"{next(notes)}\tAnnotatorNotes {name}\t{value}"
                else:
                    yield f"{next(attributes)}\t{key} {name}" + ("" if value is True else f" {value}")

    def _names(self, kind: str, ids: list[str]) -> list[str]:
        """Ids of brat as they are; others, and those that are taken, are numbered."""
        kept: list[str] = []
        for key in ids:
            free = re.fullmatch(rf"{kind}\d[^\s:]*", key) and key not in self.taken
            kept.append(key if free else "")
            self.taken.add(kept[-1])
        numbers = self._free(kind)
        return [key or next(numbers) for key in kept]

    def _free(self, kind: str) -> Iterator[str]:
        return (name for number in count(1) if (name := f"{kind}{number}") not in self.taken)

    def _marked(self, annotation: Annotation) -> str:
        text = self.document.text
        parts = [piece for part in annotation.parts for piece in _pieces(text, part)]
        copy = " ".join(text[start:end] for start, end in parts)
        return ";".join(f"{start} {end}" for start, end in parts) + f"\t{copy}"


def _pieces(text: str, part: Place) -> list[Place]:
    """The part line by line, without the blanks at line ends within it."""
    start, end = part
    if text[start] in _ENDS or text[end - 1] in _ENDS:
        raise DataError(f"brat cannot hold an annotation that starts or ends with a line end, {text[start:end]!r:.60}")
    found = []
    for line in _LINES.finditer(text, start, end):
        first, last = line.span()
        content = line[0]
        first += 0 if first == start else len(content) - len(content.lstrip())
        last -= 0 if last == end else len(content) - len(content.rstrip())
        if first < last:
            found.append((first, last))
    return found
