"""UIMA CAS XMI, as INCEpTION and DKPro write it.

dkpro-cassis reads and writes it, and converts the offsets, which count UTF-16 units; the extra ``cas`` installs it.
"""

from __future__ import annotations

import keyword
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

from structseq.data.annotation.cas_files import CasFile, read_files, write_files
from structseq.data.annotation.document import Annotation, Document, Notes, Place, Relation, errors_at
from structseq.data.annotation.layers import chosen_layer, short
from structseq.data.annotation.limits import DocumentLimits
from structseq.data.annotation.offsets import token_order
from structseq.data.libraries import library
from structseq.data.textfile import Source, Target
from structseq.errors import DataError

_ANNOTATION, _DOCUMENT = "uima.tcas.Annotation", "uima.tcas.DocumentAnnotation"
_STRING, _LONG, _DOUBLE, _BOOLEAN = "uima.cas.String", "uima.cas.Long", "uima.cas.Double", "uima.cas.Boolean"
_DKPRO = "de.tudarmstadt.ukp.dkpro.core.api"
_SENTENCE, _TOKEN = f"{_DKPRO}.segmentation.type.Sentence", f"{_DKPRO}.segmentation.type.Token"
_ENTITY, _METADATA = f"{_DKPRO}.ner.type.NamedEntity", f"{_DKPRO}.metadata.type.DocumentMetaData"
_CUSTOM = "webanno.custom."  # layers that a project of INCEpTION adds
_RELATION = f"{_CUSTOM}Relation"
_HELPERS = (".segmentation.type.", ".metadata.type.", "webanno.api.type.")  # no layers of their own
_ENDS = (("Governor", "Dependent"), ("source", "target"))
_PLACE = ("sofa", "begin", "end")
_RENAMED = {"self_": "self", "type_": "type"}  # by cassis
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Names that UIMA, DKPro or cassis use
_TAKEN = {*_PLACE, *(end for ends in _ENDS for end in ends), *_RENAMED.values(), "type", "value", "xmiID", "get", "set"}


def _is_xml(value: str) -> bool:
    return not _NOT_XML.search(value)


def _is_feature(name: str, value: Any) -> bool:
    if not _NAME.fullmatch(name) or name in _TAKEN or keyword.iskeyword(name):
        return False
    if type(value) is int:
        return abs(value) < 1 << 63
    return _is_xml(value) if isinstance(value, str) else isinstance(value, bool | float)


LIMITS = DocumentLimits(
    "UIMA CAS XMI", label=lambda label: bool(label) and _is_xml(label), attribute=_is_feature, relations=True,
    tokens=True, sentences=True, unannotated=False,
    metadata=lambda name, value: name == "id" and _is_xml(str(value)),
)  # fmt: skip


def _cassis() -> Any:
    return library("cassis", "XMI files", "dkpro-cassis")


def read_cas(source: Source, *, layer: str = "", notes: Notes | None = None) -> Iterator[Document]:
    """The documents of an ``.xmi`` file with ``TypeSystem.xml`` beside it, of a zip of both or a folder.

    ``layer`` is a type or its last part, with ``.feature`` for the label; empty: the only layer of an INCEpTION project
    or of named entities. Raises `DataError` for damaged files and unclear layers, `ConfigError` without dkpro-cassis.
    """
    notes = Notes() if notes is None else notes
    known: bytes | None = None
    for file in read_files(source):
        if file.types != known:
            known, types = file.types, _loaded(file, "load_typesystem", file.types)
        cas = _loaded(file, "load_cas_from_xmi", file.xmi, typesystem=types)
        with errors_at(file.name):
            document = _Reading(_view(cas, notes), layer, notes).document(file.name)
        yield document


def _loaded(file: CasFile, load: str, data: bytes, **options: Any) -> Any:
    function = getattr(_cassis(), load)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Of an offset that leaves the text or cuts a character
            warnings.filterwarnings("error", message="Not mapping")
            return function(BytesIO(data), **options)
    except Exception as error:  # cassis checks little, so that anything can come
        what = "a type system" if load == "load_typesystem" else "UIMA CAS XMI that fits its type system"
        message = f"expected {what}, found {error!r:.160}; export the XMI again, with its type system"
        raise DataError(message, file=file.name) from None


def _view(cas: Any, notes: Notes) -> Any:
    views = [sofa.sofaID for sofa in cas.sofas if sofa.sofaString is not None]
    if "_InitialView" not in views and len(views) != 1:
        raise DataError(f"expected a text in _InitialView, found views {', '.join(views) or 'without one'}; export it")
    if len(views) > 1:
        notes["views beside _InitialView, left out"] += len(views) - 1
    return cas.get_view("_InitialView" if "_InitialView" in views else views[0])


class _Reading:
    """One document being read; ``by_type`` has the annotations of each type by its name."""

    def __init__(self, view: Any, layer: str, notes: Notes) -> None:
        self.view, self.types, self.notes = view, view.typesystem, notes
        self.text: str = view.sofa_string
        self.by_type: dict[str, list[Any]] = defaultdict(list)
        for item in sorted(view.select(_ANNOTATION), key=lambda item: item.xmiID):
            self.by_type[item.type.name].append(item)
        self.ends = {name: _relation_ends(items[0].type) for name, items in self.by_type.items()}
        self.layer, self.feature = self._layer(layer)

    def document(self, source: str) -> Document:
        parts = {name for name in self.by_type if self._is_a(name, self.layer)}
        items = sorted((item for name in parts for item in self.by_type[name]), key=lambda item: item.xmiID)
        annotations = {}
        for item in items:
            place, attributes = self._place(item), self._attributes(item)
            if place[0] == place[1]:
                self.notes["annotations of no characters, left out"] += 1
                continue
            label = self._label(item, attributes, self.feature)
            annotations[item.xmiID] = Annotation(label, (place,), str(item.xmiID), attributes)
        relations = [relation for name in self.by_type for relation in self._relations(name, annotations)]
        for name, found in self.by_type.items():
            if name not in parts and not self.ends[name] and not self._is_helper(name):
                self.notes[f"annotations of {short(name)}, left out (data.layer)"] += len(found)
        sentences, tokens = self._segments(_SENTENCE), self._segments(_TOKEN)
        return Document(
            self.text, tuple(annotations.values()), tuple(relations),
            tokens=tokens, sentences=sentences, metadata=self._metadata(), source=source,
        )  # fmt: skip

    def _is_a(self, name: str, kind: str) -> bool:
        return bool(kind) and self.types.is_instance_of(name, kind)

    def _is_helper(self, name: str) -> bool:
        return any(part in name for part in _HELPERS) or self._is_a(name, _DOCUMENT)

    def _layer(self, wanted: str) -> tuple[str, str]:
        """The type (empty if no annotation can be one) and the feature of the label (empty: the usual one)."""
        names = sorted(each.name for each in self.types.get_types() if self._is_a(each.name, _ANNOTATION))
        filled = [name for name in names if any(self._is_a(kind, name) for kind in self.by_type)]
        spans = [name for name in filled if not self._is_helper(name) and not self.ends.get(name)]
        if not wanted and not spans:
            return "", ""
        usual = [
            n
            for n in spans
            if n.endswith("NamedEntity") or (n.startswith(_CUSTOM) and not {"next", "first"} & {*self._features(n)})
        ]
        parts = {wanted, wanted.rpartition(".")[0]} - {""}
        offered = [name for name in names if name in filled or parts & {name, short(name)}] if wanted else spans
        return chosen_layer(wanted, {name: self._features(name) for name in offered}, usual)

    def _features(self, name: str) -> list[str]:
        return sorted({each.name for each in self.types.get_type(name).all_features} - {*_PLACE})

    def _place(self, item: Any) -> Place:
        start, end = item.begin, item.end
        if type(start) is not int or type(end) is not int or not 0 <= start <= end <= len(self.text):
            found = f"{start} and {end} of the {short(item.type.name)} {item.xmiID}"
            raise DataError(f"expected 0 <= begin <= end <= {len(self.text)}, found {found}; correct the offsets")
        return start, end

    def _attributes(self, item: Any) -> dict[str, Any]:
        """The features with plain values."""
        found = {}
        ends = self.ends[item.type.name]
        for feature in item.type.all_features:
            value = getattr(item, feature.name)
            if value is None or feature.name in _PLACE or feature.name in ends:
                continue
            if self.types.is_primitive(feature.rangeType):
                found[_RENAMED.get(feature.name, feature.name)] = value
            else:
                self.notes[f"features without plain values, left out: {feature.name}"] += 1
        return found

    def _label(self, item: Any, attributes: dict[str, Any], feature: str = "") -> str:
        """Takes the label out of the attributes."""
        names = [feature] if feature else [name for name in ("value", "identifier") if _has(item.type, name)]
        strings = [each.name for each in item.type.all_features if each.rangeType.name == _STRING]
        for name in names or strings[:1]:
            name = _RENAMED.get(name, name)
            if attributes.get(name) not in (None, ""):
                return str(attributes.pop(name))
        if names or strings:
            self.notes["annotations without a label, which have the name of their type"] += 1
        return short(item.type.name)

    def _relations(self, name: str, annotations: Mapping[int, Annotation]) -> Iterator[Relation]:
        for item in self.by_type[name] if self.ends[name] else ():
            source, target = (getattr(getattr(item, end), "xmiID", None) for end in self.ends[name])
            if source in annotations and target in annotations:
                attributes = self._attributes(item)
                yield Relation(self._label(item, attributes), str(source), str(target), str(item.xmiID), attributes)
            else:
                self.notes[f"relations of {short(name)} to other layers, left out"] += 1

    def _segments(self, name: str) -> tuple[Place, ...] | None:
        """DKPro's tokens or sentences."""
        if name not in self.by_type:
            return None
        return token_order(self.text, sorted(self._place(item) for item in self.by_type[name]), f"{short(name)}s")

    def _metadata(self) -> dict[str, Any]:
        names = [item.documentId for item in self.by_type.get(_METADATA, ()) if item.documentId is not None]
        return {"id": names[0]} if names else {}


def _relation_ends(kind: Any) -> tuple[str, ...]:
    return next((ends for ends in _ENDS if all(_has(kind, end) for end in ends)), ())


def _has(kind: Any, feature: str) -> bool:
    return any(each.name == feature for each in kind.all_features)


def write_cas(target: Target, documents: Iterable[Document]) -> None:
    """Writes ``x.xmi`` and ``x.TypeSystem.xml``; several texts to a ``.zip`` (also on a stream) or a new folder.

    Types are DKPro's; attributes become features. Raises `DataError`, and writes no file, for characters that XML
    cannot hold and attributes of several kinds under one name.
    """
    documents = list(documents)
    for document in documents:
        with errors_at(document.source):
            if bad := _NOT_XML.search(document.text):
                raise DataError(f"{LIMITS.format} cannot hold the character {bad[0]!a} of the text; remove it")
    types = _type_system(documents)
    write_files(target, [_xmi(types, document) for document in documents], types.to_xml().encode())


def _type_system(documents: Sequence[Document]) -> Any:
    """DKPro's types, with features for the attributes."""
    types = _cassis().TypeSystem()
    for name in (_SENTENCE, _TOKEN):
        types.create_type(name, _ANNOTATION)
    types.create_feature(types.create_type(_METADATA, _DOCUMENT), "documentId", _STRING)
    annotations = [each.attributes for document in documents for each in document.annotations or ()]
    _add_type(types, _ENTITY, {"value": _STRING, "identifier": _STRING, **_ranges(annotations)})
    if relations := [each.attributes for document in documents for each in document.relations]:
        ends = dict.fromkeys(_ENDS[0], _ENTITY)
        _add_type(types, _RELATION, {**ends, "value": _STRING, **_ranges(relations)})
    return types


def _add_type(types: Any, name: str, features: Mapping[str, str]) -> None:
    kind = types.create_type(name, _ANNOTATION)
    for feature, values in features.items():
        types.create_feature(kind, feature, values)


def _ranges(attributes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """For each name, the type of all its values."""
    values: dict[str, list[Any]] = defaultdict(list)
    for each in attributes:
        for name, value in each.items():
            values[name].append(value)
    return {name: _range(name, found) for name, found in values.items()}


def _range(name: str, values: Sequence[Any]) -> str:
    kinds = {type(value) for value in values}
    for kind, types in ((_BOOLEAN, {bool}), (_STRING, {str}), (_LONG, {int}), (_DOUBLE, {int, float})):
        if kinds <= types:
            return kind
    found = ", ".join(sorted({f"{value!r:.40}" for value in values})[:3])
    expected = "all strings, all numbers or all booleans"
    raise DataError(f"expected attributes {name!r} that are {expected}, found {found}; make them alike")


def _xmi(types: Any, document: Document) -> bytes:
    cas = _cassis().Cas(typesystem=types)
    cas.sofa_string, cas.sofa_mime = document.text, "text/plain"

    def add(name: str, place: Place, **features: Any) -> Any:
        item = types.get_type(name)(begin=place[0], end=place[1], **features)
        cas.add(item)
        return item

    named = {"documentId": str(document.metadata["id"])} if "id" in document.metadata else {}
    add(_METADATA, (0, len(document.text)), **named)
    for name, places in ((_SENTENCE, document.sentences), (_TOKEN, document.tokens)):
        for place in places or ():
            add(name, place)
    added = {}
    for each in document.annotations or ():
        added[each.id] = add(_ENTITY, (each.start, each.end), value=each.label, **each.attributes)
    for relation in document.relations:
        ends = dict(zip(_ENDS[0], (added[relation.source], added[relation.target]), strict=True))
        place = (ends["Dependent"].begin, ends["Dependent"].end)  # as INCEpTION places a relation
        add(_RELATION, place, value=relation.label, **ends, **relation.attributes)
    xmi: str = cas.to_xmi()
    return xmi.encode()
