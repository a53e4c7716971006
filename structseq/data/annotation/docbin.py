"""spaCy's DocBin (``.spacy``): tokens, sentences, entities or span groups, categories.

The bytes are read without spaCy's own reader, which trusts a file's offsets. The extra ``spacy`` installs the library.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from structseq.data.annotation.document import Annotation, Document, Notes, Place, errors_at
from structseq.data.annotation.document_folders import read_bytes, write_bytes
from structseq.data.annotation.limits import DocumentLimits
from structseq.data.libraries import library
from structseq.data.textfile import Source, Target, name_of
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError, DataError


def _is_plain(name: str, value: Any) -> bool:
    """Whether JSON and msgpack hold the value."""
    try:
        json.dumps(value)
        _library("srsly").msgpack_dumps(value)
    except (OverflowError, TypeError, ValueError, RecursionError):
        return False
    return True


LIMITS = DocumentLimits(
    "spaCy's DocBin", attribute=_is_plain, labels=True, tokens=True, sentences=True, metadata=_is_plain
)

SPANS_KEY = "sc"  # as in spaCy's span categorizer
MAX_SIZE = 1 << 31  # bytes of a file's content, so that a small file cannot fill the memory

_IN, _OUT, _BEGIN = 1, 2, 3  # ENT_IOB; 0: not annotated
_COLUMNS = ("ORTH", "ENT_IOB", "ENT_TYPE", "ENT_KB_ID", "ENT_ID", "SENT_START")
_SPAN = struct.Struct(">QQQllll")  # id, kb_id, label, start, end, and the characters of these
_EXTENSION = "._."  # user data under (_EXTENSION, name, start, end) is an attribute of a span
_MALFORMED = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError, struct.error)


class _TokenSpan(NamedTuple):
    first: int
    last: int  # behind the last token
    label: str
    attributes: Mapping[str, Any]


def read_docbin(source: Source, *, layer: str = "", notes: Notes | None = None) -> Iterator[Document]:
    """The documents of a ``.spacy`` file.

    ``layer`` is ``ents`` or the key of a span group; empty: the entities, if the file has any, else ``sc`` or the only
    group. Raises `DataError` for damaged files and unclear layers, `ConfigError` if spaCy is not installed.
    """
    notes, name = Notes() if notes is None else notes, name_of(source)
    with _blaming(name):
        content = _content(_message(source))
        chosen = layer or content.only_layer()
    known = chosen == "ents"
    for number in range(len(content.lengths)):
        with _blaming(f"{name}:record {number + 1}"):
            record = _Record(content, number)
            document = record.document(chosen, notes)
            known = known or chosen in record.groups
        yield replace(document, source=f"{name}:record {number + 1}")
    if not known and content.lengths:
        found = ", ".join(["ents", *content.keys()])
        raise DataError(f"expected the layer {layer!r} (data.layer), found {found}; name one of these", file=name)


@contextmanager
def _blaming(place: str) -> Iterator[None]:
    with errors_at(place):
        try:
            yield
        except (ConfigError, DataError):
            raise
        except _MALFORMED as error:
            advice = "it is damaged: write it again with DocBin.to_disk"
            raise DataError(f"expected a file of spaCy's DocBin, found {error!r:.120}; {advice}") from None


def _library(name: str) -> Any:
    return library(name, ".spacy files", "spacy")


def _message(source: Source) -> dict[str, Any]:
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(read_bytes(source), MAX_SIZE)
    except zlib.error as error:
        found = f"bytes that are not zlib ({error}); name a file that DocBin.to_disk wrote"
        raise DataError(f"expected a file of spaCy's DocBin, found {found}") from None
    if not inflater.eof:
        found = "more; split the file" if len(content) >= MAX_SIZE else "one that is cut short; copy it again"
        raise DataError(f"expected a whole file of spaCy's DocBin of at most {MAX_SIZE:,} bytes, found {found}")
    return dict(_unpack(content))


def _unpack(data: bytes, *, lists: bool = True) -> Any:
    """Plain values only: a hook for pairs keeps srsly's decoders out."""
    msgpack = _library("srsly").msgpack
    return msgpack.unpackb(data, raw=False, use_list=lists, object_pairs_hook=dict)


@dataclass(frozen=True, slots=True)
class _Content:
    """A file: the columns of all its tokens, and a list with a value for each document."""

    columns: Mapping[str, NDArray[np.uint64]]
    spaces: NDArray[np.bool_]
    lengths: Sequence[int]
    starts: Sequence[int]
    strings: Any
    cats: Sequence[Any]
    flags: Sequence[Any]
    groups: Sequence[bytes]
    user_data: Sequence[bytes | None]
    has_sentences: bool

    def string(self, code: int) -> str:
        try:
            return self.strings[code]
        except KeyError:
            raise DataError(f"expected a string with the hash {code} in the file, found none; write it again") from None

    def keys(self) -> list[str]:
        """The keys of all span groups."""
        return sorted({key for groups in set(self.groups) for key in _groups(groups)})

    def only_layer(self) -> str:
        keys = self.keys()
        if not keys or np.isin(self.columns["ENT_IOB"], (_IN, _BEGIN)).any():
            return "ents"
        if len(keys) > 1 and SPANS_KEY not in keys:
            raise DataError(f"expected entities or one group of spans, found {', '.join(keys)}; name one as data.layer")
        return SPANS_KEY if SPANS_KEY in keys else keys[0]


def _content(message: Mapping[str, Any]) -> _Content:
    ids = _library("spacy.attrs").IDS
    attrs = list(message["attrs"])
    rows = np.frombuffer(message["tokens"], "<u8").reshape(-1, len(attrs))
    if ids["ORTH"] not in attrs:
        raise DataError("expected the attribute ORTH of tokens, found none; write the file again with DocBin.to_disk")
    missing = np.zeros(len(rows), np.uint64)
    columns = {name: rows[:, attrs.index(ids[name])] if ids[name] in attrs else missing for name in _COLUMNS}
    lengths = np.frombuffer(message["lengths"], "<i4").tolist()
    spaces = np.frombuffer(message["spaces"], bool)
    if min(lengths, default=0) < 0 or not sum(lengths) == len(rows) == len(spaces):
        raise DataError(f"expected {sum(lengths)} tokens, found {len(rows)} and {len(spaces)} spaces; write it again")
    per_document = {
        "cats": message["cats"],
        "flags": message.get("flags", [{}] * len(lengths)),
        "groups": message.get("span_groups", [b""] * len(lengths)),
        "user_data": message.get("user_data") or [None] * len(lengths),
    }
    for name, values in per_document.items():
        if not isinstance(values, list) or len(values) != len(lengths):
            raise DataError(f"expected {name} of {len(lengths)} documents, found another number; write it again")
    strings = _library("spacy.strings").StringStore(message["strings"])
    starts = np.cumsum([0, *lengths]).tolist()[:-1]
    inner = np.ones(len(rows), bool)  # without the first tokens of documents, which spaCy always marks
    inner[[start for start, length in zip(starts, lengths, strict=True) if length]] = False
    has_sentences = bool(columns["SENT_START"][inner].any())
    return _Content(columns, spaces, lengths, starts, strings, **per_document, has_sentences=has_sentences)


def _groups(data: bytes) -> dict[str, dict[str, Any]]:
    """The span groups of a document by key."""
    message = _unpack(data) if data else []
    if isinstance(message, list):  # as older versions wrote them
        return {group["name"]: group for group in map(_unpack, message)}
    return {str(key): _unpack(group) for group, keys in message.items() for key in keys}


class _Record:
    """One document of a file."""

    def __init__(self, content: _Content, number: int) -> None:
        self.content, self.number = content, number
        self.first, self.count = content.starts[number], content.lengths[number]
        self.words = [content.string(code) for code in self.column("ORTH")]
        self.places: list[Place] = []
        self.text = self._text()
        self.groups = _groups(content.groups[number])

    def column(self, name: str) -> list[int]:
        return self.content.columns[name][self.first : self.first + self.count].tolist()

    def document(self, layer: str, notes: Notes) -> Document:
        metadata, further = self._user_data(notes)
        spans = self._entities(notes) if layer == "ents" else self._group(layer, notes)
        places = self.places
        annotations = None
        if spans is not None:
            found = [(span, (places[span.first][0], places[span.last - 1][1])) for span in spans]
            annotations = tuple(
                [Annotation(s.label, (at,), attributes={**s.attributes, **further.get(at, {})}) for s, at in found]
            )
        for key in self.groups:
            if key != layer and (layer != "ents" or self.groups[key]["spans"]):
                notes[f"texts whose spans {key!r} were left out (data.layer={layer})"] += 1
        tokens = tuple([place for place, word in zip(places, self.words, strict=True) if word.strip()])
        return Document(
            self.text, annotations, labels=self._labels(), tokens=tokens, sentences=self._sentences(),
            metadata=metadata,
        )  # fmt: skip

    def _text(self) -> str:
        spaces = self.content.spaces[self.first : self.first + self.count].tolist()
        if self.content.flags[self.number].get("has_unknown_spaces"):
            spaces = [True] * (self.count - 1) + [False] * (self.count > 0)
        pieces, at = [], 0
        for word, space in zip(self.words, spaces, strict=True):
            self.places.append((at, at + len(word)))
            pieces += [word, " " * space]
            at += len(word) + space
        return "".join(pieces)

    def _sentences(self) -> tuple[Place, ...] | None:
        """Without the white space around them."""
        if not self.content.has_sentences:
            return None
        numbers = np.cumsum(np.array(self.column("SENT_START"), np.uint64) == 1).tolist()
        marked = zip(numbers, self.places, self.words, strict=True)
        grouped = groupby([(number, place) for number, place, word in marked if word.strip()], key=lambda item: item[0])
        runs = [[place for _, place in run] for _, run in grouped]
        return tuple([(run[0][0], run[-1][1]) for run in runs])

    def _labels(self) -> tuple[str, ...]:
        scores = {str(label): _number(score) for label, score in self.content.cats[self.number].items()}
        return tuple([label for label, score in scores.items() if score >= 0.5])

    def _entities(self, notes: Notes) -> list[_TokenSpan] | None:
        marks, kinds = self.column("ENT_IOB"), self.column("ENT_TYPE")
        if not any(marks):
            # A text without tokens cannot be marked; it goes with the others
            return [] if not marks and self.content.columns["ENT_IOB"].any() else None
        ids = {"kb_id": self.column("ENT_KB_ID"), "ent_id": self.column("ENT_ID")}
        bounds: list[list[int]] = []
        inside = False
        for at, (mark, kind) in enumerate(zip(marks, kinds, strict=True)):
            if mark == _IN and not inside:
                raise DataError(f"expected a begin before the token {at} within an entity, found none; write it again")
            if mark == _BEGIN and kind:
                bounds.append([at, at])
            inside = mark == _IN or (mark == _BEGIN and kind > 0)
            if inside:
                bounds[-1][1] = at + 1
        return [self._span(first, last, kinds[first], {n: ids[n][first] for n in ids}) for first, last in bounds]

    def _group(self, key: str, notes: Notes) -> list[_TokenSpan] | None:
        if key not in self.groups:
            return None
        group = self.groups[key]
        scores = _numbers(group["attrs"].get("scores"))
        spans = []
        for at, data in enumerate(group["spans"]):
            ent_id, kb_id, label, first, last, *_ = _SPAN.unpack(data)
            if not 0 <= first <= last <= self.count:
                raise DataError(f"expected spans within {self.count} tokens, found {first} to {last}; write it again")
            if first == last or not label:
                notes["spans without tokens or without a label, left out"] += 1
                continue
            span = self._span(first, last, label, {"kb_id": kb_id, "ent_id": ent_id})
            score = {"score": scores[at]} if len(scores) == len(group["spans"]) else {}
            spans.append(span._replace(attributes={**span.attributes, **score}))
        return spans

    def _span(self, first: int, last: int, label: int, ids: Mapping[str, int]) -> _TokenSpan:
        named = {name: self.content.string(code) for name, code in ids.items() if code}
        return _TokenSpan(first, last, self.content.string(label), named)

    def _user_data(self, notes: Notes) -> tuple[dict[str, Any], dict[Place, dict[str, Any]]]:
        """Metadata, and attributes by the place of their span."""
        data = self.content.user_data[self.number]
        metadata: dict[str, Any] = {}
        attributes: dict[Place, dict[str, Any]] = {}
        for key, value in (_unpack(data, lists=False) if data else {}).items():
            try:
                plain = json.loads(json.dumps(value))
            except (TypeError, ValueError, RecursionError):
                key = None
            if isinstance(key, str):
                metadata[key] = plain
            elif isinstance(key, tuple) and len(key) == 4 and key[0] == _EXTENSION and type(key[3]) is int:
                attributes.setdefault((key[2], key[3]), {})[str(key[1])] = plain
            else:
                notes["further values of user_data, left out"] += 1
        return metadata, attributes


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else _numbers(value)[0]


def _numbers(value: Any) -> list[float]:
    """Of a list, or of floats that NumPy holds (as the span categorizer's scores)."""
    if isinstance(value, dict) and value.get(b"type") in ("<f4", "<f8"):
        return np.frombuffer(value[b"data"], value[b"type"]).tolist()
    return [float(each) for each in value or ()]


def write_docbin(target: Target, documents: Iterable[Document]) -> None:
    """Writes a ``.spacy`` file; texts without tokens are cut by ``words-1``.

    Annotations are entities, or, if some overlap, the span group ``sc``. Metadata and further attributes are user data.
    Raises `DataError`, and writes no file, if an annotation or a sentence cuts a token or tokens leave out text.
    """
    spacy, vocab = _library("spacy.tokens"), _library("spacy.vocab").Vocab()
    documents = list(documents)
    grouped = any(map(_overlap, documents))
    content = spacy.DocBin(store_user_data=True)
    for document in documents:
        with errors_at(document.source):
            try:
                content.add(_doc(document, spacy, vocab, grouped))
            except UnicodeEncodeError as error:
                bad = error.object[error.start]
                raise DataError(
                    f"{LIMITS.format} cannot hold half a surrogate pair, found {bad!a}; correct it"
                ) from None
    write_bytes(target, content.to_bytes())


def _overlap(document: Document) -> bool:
    places = sorted((each.start, each.end) for each in document.annotations or ())
    return any(other[0] < one[1] for one, other in pairwise(places))


def _doc(document: Document, spacy: Any, vocab: Any, grouped: bool) -> Any:
    text = document.text
    tokens = document.tokens
    if tokens is None:
        tokens = tuple([(token.start, token.end) for token in tokenizer_of("words-1")(text)])
    places, spaces = _with_blanks(text, tokens)
    words = [text[start:end] for start, end in places]
    doc = spacy.Doc(vocab, words=words, spaces=spaces, sent_starts=_sentence_starts(document, tokens, places))
    if document.annotations is not None:
        starts, ends = {s: n for n, (s, _) in enumerate(places)}, {e: n + 1 for n, (_, e) in enumerate(places)}
        spans = [_spacy_span(each, text, doc, spacy, starts, ends) for each in document.annotations]
        if grouped:
            doc.spans[SPANS_KEY] = spans
        else:
            doc.set_ents(spans, default="outside")
    doc.cats = dict.fromkeys(document.labels, 1.0)
    if len(doc.cats) < len(document.labels):
        raise DataError(f"{LIMITS.format} cannot hold the same label of a text twice; keep one of them")
    doc.user_data.update(document.metadata)
    doc.user_data.update(_extensions(document.annotations or ()))
    return doc


def _with_blanks(text: str, tokens: Sequence[Place]) -> tuple[list[Place], list[bool]]:
    """All tokens with those of white space, and whether a space that is no token follows each."""
    places: list[Place] = []
    spaces: list[bool] = []
    at = 0
    for start, end in [*tokens, (len(text), len(text))]:
        if start < at or text[at:start].strip() or (start < len(text) and not text[start:end].strip()):
            found = f"{start} to {end} after {at}"
            raise DataError(
                f"{LIMITS.format} holds tokens in order with white space between, found {found}; correct them"
            )
        if places and text[at:start].startswith(" "):
            spaces[-1] = True
            at += 1
        for place in ((at, start), (start, end)):
            if place[0] < place[1]:
                places.append(place)
                spaces.append(False)
        at = end
    return places, spaces


def _sentence_starts(document: Document, tokens: Sequence[Place], places: Sequence[Place]) -> list[bool] | None:
    """For each place; raises `DataError` if the sentences do not divide the tokens, white space aside."""
    if document.sentences is None or not tokens:
        return None
    text = document.text
    stripped = []
    for start, end in document.sentences:
        lead = len(text[start:end]) - len(text[start:end].lstrip())
        stripped.append((start + lead, start + len(text[start:end].rstrip())))
    begins = {start for start, _ in stripped}
    runs: list[Place] = []
    for start, end in tokens:
        if start in begins or not runs:
            runs.append((start, end))
        runs[-1] = (runs[-1][0], end)
    if runs != stripped:
        raise DataError(f"{LIMITS.format} holds sentences that each have tokens and leave out none; correct them")
    begins.discard(stripped[0][0])  # white space before it is part of the first sentence
    return [number == 0 or start in begins for number, (start, _) in enumerate(places)]


def _spacy_span(
    each: Annotation, text: str, doc: Any, spacy: Any, starts: Mapping[int, int], ends: Mapping[int, int]
) -> Any:
    if each.start not in starts or each.end not in ends or not each.label:
        shown = f"{each.label} {each.start}:{each.end} {text[each.start : each.end]!r:.60}"
        raise DataError(f"{LIMITS.format} holds spans of whole tokens with a label, found {shown}; correct the span")
    ids = {name: value for name, value in each.attributes.items() if _is_id(name, value)}
    return spacy.Span(
        doc, starts[each.start], ends[each.end], label=each.label, kb_id=ids.get("kb_id", ""),
        span_id=ids.get("ent_id", ""),
    )  # fmt: skip


def _is_id(name: str, value: Any) -> bool:
    return name in ("kb_id", "ent_id") and isinstance(value, str) and value != ""


def _extensions(annotations: Sequence[Annotation]) -> dict[tuple[str, str, int, int], Any]:
    """The attributes that spaCy finds as ``span._.name``; raises `DataError` if spans of one place differ in them."""
    found: dict[Place, dict[str, Any]] = {}
    for each in annotations:
        values = {name: value for name, value in each.attributes.items() if not _is_id(name, value)}
        if found.setdefault((each.start, each.end), values) != values:
            raise DataError(
                f"{LIMITS.format} cannot hold different attributes of two annotations at {each.start} to {each.end}; "
                "make them alike"
            )
    return {(_EXTENSION, name, *at): value for at, values in found.items() for name, value in values.items()}
