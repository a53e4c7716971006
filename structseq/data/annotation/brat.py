"""brat: a text in ``x.txt``, and its annotations in ``x.ann``; a folder has a pair of files for each document."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from structseq.data.annotation.document import Annotation, Document, Notes, Place, Relation
from structseq.data.annotation.document_folders import is_folder, make_folder, members, numbered_names, write_files
from structseq.data.annotation.limits import DocumentLimits
from structseq.data.annotation.offsets import Marked, Offsets, character_places
from structseq.data.annotation.to_examples import placed
from structseq.data.textfile import Source, Target, is_path, name_of, read_lines, text_lines
from structseq.errors import DataError

LIMITS = DocumentLimits(
    "brat", fragments=True, attributes=True, relations=True, lines=True, unannotated=False,
    metadata=frozenset({"id", "brat"}),
)  # fmt: skip

# brat keeps one annotation a line, with its text; what Python or Java take for a line end must not be in it
_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_LINES = re.compile(f"[^{_ENDS}]+")

_MARK = re.compile(
    r"(?P<id>T\d[^\s:]*)\t(?P<label>\S+) (?P<places>\d{1,12} \d{1,12}(?:;\d{1,12} \d{1,12})*) *\t(?P<copy>.*)"
)
_ATTRIBUTE = re.compile(r"[AM]\S+\t(?P<name>\S+) (?P<target>\S+)(?: (?P<value>\S.*?))?\s*")
_RELATION = re.compile(r"(?P<id>R\d[^\s:]*)\t(?P<label>\S+) Arg1:(?P<source>T\S+) Arg2:(?P<target>T\S+)\s*")
_NOTE = re.compile(r"#\S+\tAnnotatorNotes (?P<target>T\S+)\t(?P<value>.*)")
_OTHER = re.compile(
    r"""R\S+\t\S+[ ]\S+:\S+[ ]\S+:\S+\s*
      | E\S+\t\S+:\S+(?:[ ]\S+:\S+)*\s*
      | N\S+\t\S+[ ]\S+[ ]\S+.*
      | [AM]\S+\t\S+[ ]\S+(?:[ ]\S.*)?\s*
      | (?:\#\S+|\*)\t\S.*""",
    re.VERBOSE,
)


def is_brat(path: Any) -> bool:
    """Whether a path ends in ``.ann`` or is a folder with such files."""
    return is_path(path) and (os.fspath(path).endswith(".ann") or any(Path(path).glob("[!.]*.ann")))


def read_brat(
    source: Source, *, encoding: str = "utf-8", offsets: Offsets = "auto", notes: Notes | None = None
) -> Iterator[Document]:
    """The document of ``x.ann`` and ``x.txt``, or those of a folder, by name, with the name as ``metadata["id"]``.

    Events, equivalences and other lines that a document does not have are the metadata ``brat``. Parts with only a
    line end between them are one. Raises `DataError` with file and line.
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
    try:
        return found.document(text, offsets)
    except DataError as error:
        raise error if error.file else DataError(error.message, file=path) from None


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
        for relation in self.relations.values():
            for end in ("source", "target"):
                if relation[end] not in self.marks:
                    raise DataError(
                        f"{relation['id']} relates {relation[end]}, found no line with this id; add or correct it"
                    )
        attributes, raw = self._attributes()
        annotations = [Annotation(m["label"], parts, key, attributes[key]) for (key, m), parts in
                       zip(self.marks.items(), places, strict=True)]  # fmt: skip
        relations = [Relation(m["label"], m["source"], m["target"], key, attributes[key])
                     for key, m in self.relations.items()]  # fmt: skip
        metadata = {"brat": raw} if raw else {}
        return Document(text, tuple(annotations), tuple(relations), metadata=metadata, source=self.file)

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


def _places(text: str, marks: list[re.Match[str]], offsets: Offsets, notes: Notes) -> list[tuple[Place, ...]]:
    spans = [_numbers(mark["places"]) for mark in marks]
    marked: list[Marked] = []
    for mark, parts in zip(marks, spans, strict=True):
        copies = _copies(mark["copy"], [end - start for start, end in parts])
        marked += [((start, end), copy) for (start, end), copy in zip(parts, copies, strict=True)]
    found = iter(character_places(text, marked, offsets=offsets, usual="codepoint", notes=notes))
    places = [[next(found) for _ in parts] for parts in spans]
    for mark, parts in zip(marks, places, strict=True):
        copy = " ".join(text[start:end] for start, end in parts)
        if any(other[0] < one[1] for one, other in pairwise(sorted(parts))):
            raise DataError(
                f"expected parts without overlap, found {mark['places']} for {mark['id']}; correct the offsets"
            )
        if copy.split() != mark["copy"].split():
            raise DataError(
                f"expected {mark['copy']!r:.60} at {mark['places']}, found {copy!r:.60}; correct the offsets"
            )
    return [_joined(text, sorted(parts)) for parts in places]


def _numbers(places: str) -> list[Place]:
    pairs = [place.split(" ") for place in places.split(";")]
    return [(int(start), int(end)) for start, end in pairs]


def _copies(copy: str, sizes: list[int]) -> list[str | None]:
    """The text of each part: they stand in order, with a blank between."""
    if len(sizes) == 1:
        return [copy]
    if sum(sizes) + len(sizes) - 1 != len(copy):
        return [None] * len(sizes)
    starts = [sum(sizes[:number]) + number for number in range(len(sizes))]
    return [copy[start : start + size] for start, size in zip(starts, sizes, strict=True)]


def _joined(text: str, parts: list[Place]) -> tuple[Place, ...]:
    """The parts, joined where a line end and nothing but white space is between them."""
    joined = parts[:1]
    for start, end in parts[1:]:
        gap = text[joined[-1][1] : start]
        if not gap.strip() and any(c in _ENDS for c in gap):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)


def write_brat(target: Target, documents: Iterable[Document], *, encoding: str = "utf-8") -> None:
    """Writes a document to ``x.ann`` and ``x.txt``, or documents to a folder, with their ids as names.

    An annotation over line ends gets a part for each line. Raises `DataError` for what brat's lines cannot hold.
    """
    path, found = _path(target), list(documents)
    if is_folder(target):
        names = numbered_names(found)
        rendered = [_rendered(document) for document in found]
        path = make_folder(target)
        pairs = [(path / f"{name}.ann", *each) for name, each in zip(names, rendered, strict=True)]
    else:
        if path.suffix != ".ann":
            raise DataError("expected a path that ends in .ann, or a folder (a path that ends in /)", file=path)
        if len(found) != 1:
            message = f"expected one document for one file, found {len(found)}; name a folder (a path that ends in /)"
            raise DataError(message, file=path)
        pairs = [(path, *_rendered(found[0]))]
    files = {
        each: content for ann, text, lines in pairs for each, content in ((ann.with_suffix(".txt"), text), (ann, lines))
    }
    write_files(files, encoding)


def _rendered(document: Document) -> tuple[str, str]:
    try:
        lines = list(_Writer(document).lines())
        return document.text, "".join(f"{line}\n" for line in lines)
    except DataError as error:
        raise placed(error, document) from None


class _Writer:
    """The lines of a document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        raw = document.metadata.get("brat", [])
        if not isinstance(raw, list | tuple) or not all(
            isinstance(line, str) and _OTHER.fullmatch(line) for line in raw
        ):
            raise _beyond("the metadata 'brat'", raw)
        if ends := [line for line in raw if any(c in "\r\n" for c in line)]:
            raise _beyond("the metadata 'brat'", ends[0])
        self.raw = list(raw)
        self.taken = {line.partition("\t")[0] for line in raw}

    def lines(self) -> Iterator[str]:
        annotations, relations = self.document.annotations or (), self.document.relations
        names = self._names("T", [each.id for each in annotations])
        first: dict[str, str] = {}
        for annotation, name in zip(annotations, names, strict=True):
            first.setdefault(annotation.id, name)
            yield f"{name}\t{_word('the label', annotation.label)} {self._marked(annotation)}"
        related = self._names("R", [each.id for each in relations])
        for relation, name in zip(relations, related, strict=True):
            ends = [first.get(end) if end else None for end in (relation.source, relation.target)]
            if None in ends:
                raise DataError(f"the relation {relation.label!r:.60} has an end that no annotation has as its id")
            yield f"{name}\t{_word('the label', relation.label)} Arg1:{ends[0]} Arg2:{ends[1]}"
        attributes, notes = self._free("A"), self._free("#")
        for annotation, name in zip(annotations, names, strict=True):
            for key, value in annotation.attributes.items():
                yield (
                    _note(next(notes), name, value) if key == "note" else _attribute(next(attributes), name, key, value)
                )
        for relation, name in zip(relations, related, strict=True):
            for key, value in relation.attributes.items():
                yield _attribute(next(attributes), name, key, value)
        yield from self.raw

    def _names(self, kind: str, ids: list[str]) -> list[str]:
        """Ids of brat as they are; others, and those that are repeated, are numbered."""
        known = re.compile(rf"{kind}\d[^\s:]*")
        first = {key: at for at, key in reversed(list(enumerate(ids)))}
        kept = [key if known.fullmatch(key) and first[key] == at else "" for at, key in enumerate(ids)]
        if clash := self.taken.intersection(kept) - {""}:
            raise DataError(f"{min(clash)} is an annotation and a line of the metadata 'brat'; rename one of them")
        self.taken.update(kept)
        free = self._free(kind)
        return [key or next(free) for key in kept]

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
        raise _beyond("an annotation that starts or ends with a line end", text[start:end])
    found = []
    for line in _LINES.finditer(text, start, end):
        first, last = line.span()
        content = line[0]
        first += 0 if first == start else len(content) - len(content.lstrip())
        last -= 0 if last == end else len(content) - len(content.rstrip())
        if first < last:
            found.append((first, last))
    return found


def _attribute(name: str, target: str, key: str, value: Any) -> str:
    if key == "note":
        raise _beyond("the attribute 'note' of a relation", value)
    line = f"{name}\t{_word('the name of an attribute', key)} {target}"
    if value is True:
        return line
    if not isinstance(value, str):
        raise _beyond(f"values of the attribute {key!r:.60} but text and True", value)
    return f"{line} {_word(f'the attribute {key!r:.60}', value)}"


def _note(name: str, target: str, value: Any) -> str:
    if not isinstance(value, str) or any(c in "\r\n" for c in value):
        raise _beyond("an attribute 'note' but one line of text", value)
    return f"{name}\tAnnotatorNotes {target}\t{value}"


def _word(what: str, value: str) -> str:
    if not value or value.split() != [value]:
        raise _beyond(f"white space in {what}" if value else f"{what} without a character", value)
    return value


def _beyond(what: str, value: Any) -> DataError:
    return DataError(f"brat cannot hold {what}, found {value!r:.60}; change it")
