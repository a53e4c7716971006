"""UIMA CAS XMI: layers, UTF-16 offsets, relations, zips and folders, guards, round trips."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.data.annotation import cas_files
from structseq.data.annotation.cas import LIMITS, read_cas, write_cas
from structseq.data.annotation.cas_files import is_cas
from structseq.data.annotation.document import Annotation, Document, Notes, Relation
from structseq.data.annotation.table import DOCUMENT_FORMATS
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError, DataError

CORE = "de.tudarmstadt.ukp.dkpro.core.api"


def typed(name: str, features: Mapping[str, str], base: str = "uima.tcas.Annotation") -> str:
    described = "".join(
        f"<featureDescription><name>{key}</name><description/><rangeTypeName>{kind}</rangeTypeName></featureDescription>"
        for key, kind in features.items()
    )
    return (
        f"<typeDescription><name>{name}</name><description/><supertypeName>{base}</supertypeName>"
        f"<features>{described}</features></typeDescription>"
    )


STRING, FLOAT = "uima.cas.String", "uima.cas.Float"
ENTITY, PHI = f"{CORE}.ner.type.NamedEntity", "webanno.custom.PHI"
# A part of what INCEpTION writes for a project with the layers PHI and Treats
TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<typeSystemDescription xmlns="http://uima.apache.org/resourceSpecifier"><types>'
    + typed(f"{CORE}.metadata.type.DocumentMetaData", {"documentId": STRING}, "uima.tcas.DocumentAnnotation")
    + typed(f"{CORE}.metadata.type.TagsetDescription", {"name": STRING})
    + typed(f"{CORE}.segmentation.type.Sentence", {"id": STRING})
    + typed(f"{CORE}.segmentation.type.Token", {"form": STRING})
    + typed(f"{CORE}.lexmorph.type.pos.POS", {"PosValue": STRING})
    + typed(ENTITY, {"value": STRING, "identifier": STRING})
    + typed(f"{CORE}.ner.type.Person", {}, ENTITY)
    + typed(
        PHI, {"kind": STRING, "sure": "uima.cas.Boolean", "rank": "uima.cas.Integer", "weight": FLOAT, "next_": PHI}
    )
    + typed("webanno.custom.Treats", {"Governor": PHI, "Dependent": PHI, "value": STRING})
    + "</types></typeSystemDescription>"
)
# "Dr. 😊 Wu sah\r\nHan": the emoji counts two
TEXT = "Dr. \U0001f60a Wu sah\r\nHan"
SOFA = "Dr. \U0001f60a Wu sah&#13;&#10;Han"
META = '<m:DocumentMetaData xmi:id="8" sofa="1" begin="0" end="18" language="de" documentId="letter.txt"/>'
SEGMENTS = (
    '<s:Sentence xmi:id="10" sofa="1" begin="0" end="13"/><s:Sentence xmi:id="11" sofa="1" begin="15" end="18"/>'
    '<s:Token xmi:id="12" sofa="1" begin="0" end="3"/><s:Token xmi:id="13" sofa="1" begin="4" end="6"/>'
    '<s:Token xmi:id="14" sofa="1" begin="7" end="9"/><s:Token xmi:id="15" sofa="1" begin="10" end="13"/>'
    '<s:Token xmi:id="16" sofa="1" begin="15" end="18"/>'
)
SPANS = (
    '<c:PHI xmi:id="20" sofa="1" begin="4" end="9" kind="NAME" sure="true" rank="2" weight="0.5"/>'
    '<c:PHI xmi:id="21" sofa="1" begin="15" end="18" kind="NAME"/>'
    '<c:Treats xmi:id="22" sofa="1" begin="15" end="18" Governor="20" Dependent="21" value="sees"/>'
)


def xmi(body: str = META + SEGMENTS + SPANS, sofa: str = f'sofaString="{SOFA}"', name: str = "_InitialView") -> str:
    members = " ".join(re.findall(r'xmi:id="(\d+)"', body))
    core = "http:///de/tudarmstadt/ukp/dkpro/core/api"
    return (
        '<?xml version="1.0" encoding="UTF-8"?><xmi:XMI xmlns:xmi="http://www.omg.org/XMI" xmi:version="2.0" '
        f'xmlns:cas="http:///uima/cas.ecore" xmlns:m="{core}/metadata/type.ecore" xmlns:n="{core}/ner/type.ecore" '
        f'xmlns:s="{core}/segmentation/type.ecore" xmlns:p="{core}/lexmorph/type/pos.ecore" '
        'xmlns:c="http:///webanno/custom.ecore" xmlns:t="http:///uima/tcas.ecore"><cas:NULL xmi:id="0"/>'
        f'{body}<cas:Sofa xmi:id="1" sofaNum="1" sofaID="{name}" mimeType="text" {sofa}/>'
        f'<cas:View sofa="1" members="{members}"/></xmi:XMI>'
    )


def entity(number: int, start: int, end: int, more: str = 'value="PER"', kind: str = "NamedEntity") -> str:
    return f'<n:{kind} xmi:id="{number}" sofa="1" begin="{start}" end="{end}" {more}/>'


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    def save(content: str | bytes, types: str | bytes | None = TYPES, name: str = "TypeSystem.xml") -> Path:
        if types is not None:
            (tmp_path / name).write_bytes(types.encode() if isinstance(types, str) else types)
        path = tmp_path / "letter.xmi"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return save


def test_an_export_of_inception(saved: Any) -> None:
    path, notes = saved(xmi()), Notes()
    (document,) = read_cas(path, notes=notes)
    assert document == Document(
        TEXT,
        (
            Annotation("NAME", ((4, 8),), "20", {"sure": True, "rank": 2, "weight": 0.5}),
            Annotation("NAME", ((14, 17),), "21"),
        ),
        (Relation("sees", "20", "21", "22"),),
        tokens=((0, 3), (4, 5), (6, 8), (9, 12), (14, 17)),
        sentences=((0, 12), (14, 17)),
        metadata={"id": "letter.txt"},
        source=str(path),
    )
    assert document.text[4:8] == "\U0001f60a Wu" and not notes


@pytest.mark.parametrize("name", ["typesystem.xml", "letter.TypeSystem.xml"])
def test_the_type_system_beside_the_file(saved: Any, name: str) -> None:
    (document,) = read_cas(saved(xmi(), name=name))
    assert len(document.annotations or ()) == 2


def test_a_type_system_of_its_own_comes_first(saved: Any) -> None:
    saved("", "<nothing/>")
    (document,) = read_cas(saved(xmi(), name="letter.TypeSystem.xml"))
    assert len(document.annotations or ()) == 2


def test_without_a_type_system(saved: Any) -> None:
    with pytest.raises(DataError, match=r"letter\.xmi: expected the type system.*put TypeSystem\.xml beside the XMI"):
        list(read_cas(saved(xmi(), None)))
    with pytest.raises(DataError, match="or both in a zip"):
        list(read_cas(io.BytesIO(xmi().encode())))


def zipped(members: Mapping[str, str]) -> io.BytesIO:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    content.seek(0)
    return content


def test_zip_and_folder(saved: Any, tmp_path: Path) -> None:
    (document,) = read_cas(zipped({"a.xmi": xmi(), "TypeSystem.xml": TYPES, "__MACOSX/a.xmi": ""}))
    assert document.source == "<stream>/a.xmi" and document.metadata == {"id": "letter.txt"}
    with pytest.raises(DataError, match=r"expected \.xmi files, found none"):
        list(read_cas(tmp_path))
    saved(xmi())
    (tmp_path / "b.xmi").write_text(xmi(entity(2, 0, 3)), encoding="utf-8")
    assert [Path(each.source).name for each in read_cas(tmp_path)] == ["b.xmi", "letter.xmi"]


def test_detection() -> None:
    assert is_cas(xmi().encode()) and is_cas(zipped({"a.xmi": xmi()}).getvalue())
    assert is_cas(zipped({"typesystem.xml": TYPES}).getvalue())
    assert not is_cas(b"<html/>") and not is_cas(zipped({"a.txt": ""}).getvalue()) and not is_cas(b"")


PERSON = (
    entity(30, 4, 9, "", "Person")
    + entity(31, 15, 18, 'value="LOC" identifier="Q1"')
    + entity(32, 0, 3, 'identifier="Q2"')
)


@pytest.mark.parametrize(
    ("layer", "body", "labels"),
    [
        ("", PERSON, ["Person", "LOC", "Q2"]),
        ("NamedEntity", SPANS + PERSON, ["Person", "LOC", "Q2"]),
        (ENTITY, SPANS + PERSON, ["Person", "LOC", "Q2"]),
        ("Person", PERSON, ["Person"]),
        ("NamedEntity.identifier", PERSON, ["Person", "Q1", "Q2"]),
        (f"{PHI}.rank", SPANS, ["2", "PHI"]),
        ("PHI", PERSON, []),
        ("", META + SEGMENTS, []),
        ("POS", '<p:POS xmi:id="40" sofa="1" begin="0" end="3" PosValue="NN"/>', ["NN"]),
    ],
)
def test_layers(saved: Any, layer: str, body: str, labels: list[str]) -> None:
    (document,) = read_cas(saved(xmi(body)), layer=layer)
    assert [each.label for each in document.annotations or ()] == labels


@pytest.mark.parametrize(
    ("layer", "body", "message"),
    [
        ("", SPANS + PERSON, rf"expected one layer with spans, found {ENTITY}\|.*{PHI}.*; name one with data\.layer"),
        (
            "",
            '<p:POS xmi:id="40" sofa="1" begin="0" end="3"/>',
            r"found .*pos\.POS\|PosValue; name one with data\.layer",
        ),
        ("Chunk", SPANS, rf"expected a layer 'Chunk', found {PHI}\|kind\|next_.*; name one with data\.layer"),
        ("PHI.colour", SPANS, r"expected a layer 'PHI\.colour', found webanno\.custom\.PHI\|kind"),
    ],
)
def test_unclear_layers(saved: Any, layer: str, body: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_cas(saved(xmi(body)), layer=layer))


def test_what_is_left_out_is_counted(saved: Any) -> None:
    body = SPANS + PERSON + entity(33, 3, 3) + '<p:POS xmi:id="40" sofa="1" begin="0" end="3"/>'
    body = body.replace('Dependent="21"', 'Dependent="30"').replace('kind="NAME"/>', 'next_="20"/>')
    notes = Notes()
    (document,) = read_cas(saved(xmi(body)), layer="PHI", notes=notes)
    assert document.relations == ()
    assert notes == {
        "annotations of Person, left out (data.layer)": 1,
        "annotations of NamedEntity, left out (data.layer)": 3,
        "annotations of POS, left out (data.layer)": 1,
        "relations of Treats to other layers, left out": 1,
        "features without plain values, left out: next_": 1,
        "annotations without a label, which have the name of their type": 1,
    }
    notes.clear()
    list(read_cas(saved(xmi(entity(33, 3, 3))), notes=notes))
    assert notes == {"annotations of no characters, left out": 1}


def test_another_view_if_it_is_the_only_one(saved: Any) -> None:
    (document,) = read_cas(saved(xmi(SPANS, name="plain")))
    assert document.text == TEXT and len(document.annotations or ()) == 2


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
FETCH = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


def declaring(doctype: str) -> str:
    return xmi(entity(2, 0, 3, 'value="&a;"')).replace("?>", "?>" + doctype, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected XML, found bytes that are none"),
        ("Dr. Wu", r"letter\.xmi:1: expected XML, found bytes that are none"),
        ("<html></html>", "expected UIMA CAS XMI"),
        (declaring(BOMB), "expected XML without a DOCTYPE, found one; remove it"),
        (declaring(FETCH), "expected XML without a DOCTYPE, found one; remove it"),
        (declaring(BOMB).replace("UTF-8", "UTF-16").encode("utf-16"), "expected XML without a DOCTYPE"),
        (xmi()[:900], "expected XML, found bytes that are none"),
        (xmi().replace('begin="4"', 'begin="5"'), "expected UIMA CAS XMI.*Not mapping external offset .5"),
        (xmi().replace('begin="4"', 'begin="-4"'), "expected UIMA CAS XMI.*Not mapping"),
        (xmi().replace('end="9" kind', 'end="99" kind'), "expected UIMA CAS XMI.*Not mapping"),
        (xmi().replace('begin="4"', 'begin="x"'), "expected UIMA CAS XMI"),
        (xmi().replace('xmi:id="21"', 'xmi:id="20"'), "expected UIMA CAS XMI"),
        (xmi().replace('begin="4" end="9" kind', 'begin="9" end="4" kind'), r"expected 0 <= begin <= end <= 17, found"),
        (xmi().replace("c:PHI", "c:PHX"), "expected UIMA CAS XMI.*PHX"),
        (xmi().replace('rank="2"', 'rank="two"'), "expected UIMA CAS XMI"),
        (xmi().replace('sure="true"', 'sure="yes"'), "expected UIMA CAS XMI"),
        (xmi().replace('kind="NAME"/>', 'colour="red"/>'), "expected UIMA CAS XMI"),
        (xmi().replace('Governor="20"', 'Governor="77"'), "expected UIMA CAS XMI"),
        (xmi().replace('members="', 'members="99 '), "expected UIMA CAS XMI"),
        (xmi().replace('<c:PHI xmi:id="20"', "<c:PHI"), "expected UIMA CAS XMI"),
        (xmi().replace('kind="NAME"', 'kind="&#xd800;"'), "expected XML"),
        (xmi().replace('kind="NAME"', 'kind="\ud800"').encode("utf-8", "surrogatepass"), "expected XML"),
        (xmi().replace('kind="NAME"', 'kind="&#1;"'), "expected XML"),
        (xmi().replace("</xmi:XMI>", "<c:PHI><a><b><d/></b></a></c:PHI></xmi:XMI>"), "expected UIMA CAS XMI"),
        (xmi(sofa=""), "expected"),
        (xmi().replace('begin="4" end="6"', 'begin="0" end="6"'), "expected Tokens in order and without overlap"),
        (b"PK\x03\x04" + bytes(40), "the zip is damaged"),
    ],
)  # fmt: skip
def test_malformed_files(saved: Any, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        list(read_cas(saved(content)))
    assert "letter.xmi" in str(caught.value)


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ("", r"TypeSystem\.xml.*expected XML"),
        (TYPES.replace("?>", "?>" + BOMB), r"TypeSystem\.xml.*expected XML without a DOCTYPE"),
        (TYPES[:400], r"TypeSystem\.xml.*expected XML"),
        ("<a/>", "expected UIMA CAS XMI that fits its type system"),
        (TYPES.replace(f"<supertypeName>{ENTITY}", "<supertypeName>no.such.Type"), "expected a type system"),
    ],
)
def test_malformed_type_systems(saved: Any, types: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_cas(saved(xmi(), types)))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.txt": ""}, "expected a zip with an .xmi file and TypeSystem.xml, found 'a.txt'"),
        ({"a.xmi": xmi()}, r"a\.xmi: expected the type system of an XMI"),
        ({"a.xmi": xmi(), "other/TypeSystem.xml": TYPES}, r"a\.xmi: expected the type system of an XMI"),
        ({"a.xmi": declaring(BOMB), "TypeSystem.xml": TYPES}, r"<stream>/a\.xmi: expected XML without a DOCTYPE"),
    ],
)
def test_malformed_zips(members: Mapping[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_cas(zipped(members)))


def test_cut_zips() -> None:
    data = zipped({"a.xmi": xmi(), "TypeSystem.xml": TYPES}).getvalue()
    for size in range(4, len(data), 97):
        with pytest.raises(DataError):
            list(read_cas(io.BytesIO(data[:size])))
    for at in range(30, len(data), 53):
        with suppress(DataError):
            list(read_cas(io.BytesIO(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])))


def test_without_cassis(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    content = zipped({"a.xmi": xmi(), "TypeSystem.xml": TYPES})
    monkeypatch.setattr("importlib.import_module", missing)
    for action in (lambda: list(read_cas(content)), lambda: write_cas(io.BytesIO(), [Document("a", ())])):
        with pytest.raises(ConfigError, match=r"need dkpro-cassis, which cannot be .*; pip install dkpro-cassis"):
            action()


# --- writing ----------------------------------------------------------------------------------------------------------


def cut(text: str) -> tuple[tuple[int, int], ...]:
    return tuple([(token.start, token.end) for token in tokenizer_of("words-1")(text)])


def test_a_file_beside_its_type_system(tmp_path: Path) -> None:
    target = tmp_path / "x.xmi"
    annotations = (Annotation("PER", ((4, 8),), attributes={"score": 0.5, "sure": True, "n": 3, "note": "a\r\nb\t"}),)
    document = Document(TEXT, annotations, tokens=cut(TEXT), sentences=((0, 17),), metadata={"id": "d"})
    write_cas(target, [document])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.TypeSystem.xml", "x.xmi"]
    (back,) = read_cas(target)
    assert replace(back, annotations=(replace((back.annotations or ())[0], id=""),), source="") == document
    (entity,) = re.findall(r"<\w+:NamedEntity [^>]*>", target.read_text(encoding="utf-8"))
    assert {'begin="4"', 'end="9"', 'value="PER"', 'note="a&#13;&#10;b&#9;"'} <= set(entity.rstrip("/>").split())


def test_several_texts(tmp_path: Path) -> None:
    documents = [Document("a", ()), Document("b", (Annotation("L", ((0, 1),), "5"),), metadata={"id": 7})]
    for target in (tmp_path / "x.zip", tmp_path / "folder"):
        write_cas(target, documents)
        assert [(each.text, dict(each.metadata)) for each in read_cas(target)] == [("a", {}), ("b", {"id": "7"})]
    first = (tmp_path / "x.zip").read_bytes()
    write_cas(tmp_path / "x.zip", documents)
    assert (tmp_path / "x.zip").read_bytes() == first
    with pytest.raises(DataError, match="expected one document for one file, found 2; name a folder"):
        write_cas(tmp_path / "x.xmi", documents)
    with pytest.raises(DataError, match="expected a new or empty folder"):
        write_cas(tmp_path / "folder", documents)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "x.zip"]


def one(**attributes: Any) -> Document:
    return Document("ab", (Annotation("L", ((0, 1),), "1", attributes),))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (Document("a\x01b", ()), r"UIMA CAS XMI cannot hold the character '\\x01' of the text; remove it"),
        (Document("a\ud800", ()), r"cannot hold the character '\\ud800' of the text"),
        (Document("a\uffff", ()), r"cannot hold the character '\\uffff'"),
        (Document("a", (Annotation("\x00", ((0, 1),)),)), r"annotations with labels such as '\\x00'"),
        (Document("a", (Annotation("", ((0, 1),)),)), "annotations with labels such as ''"),
        (Document("a", (), metadata={"id": "\x0b"}), "metadata such as 'id'"),
        (one(note="\x0c"), "attributes such as 'note'"),
        (one(begin="1"), "attributes such as 'begin'"),
        (one(value="1"), "attributes such as 'value'"),
        (one(**{"a b": "1"}), "attributes such as 'a b'"),
        (one(**{"class": "1"}), "attributes such as 'class'"),
        (one(note=None), "attributes such as 'note'"),
        (one(note=[1]), "attributes"),
        (one(n=1 << 63), "attributes"),
        (Document("ab", (*(one(n=1).annotations or ()), *(one(n="x").annotations or ()))), "found 'x', 1"),
        (replace(one(), relations=(Relation("r", "1", "2"),)), "expected one annotation with the id '2' of a relation"),
        (replace(one(), relations=(Relation("", "1", "1"),)), "annotations with labels such as ''"),
    ],
)
def test_what_no_xmi_holds(tmp_path: Path, document: Document, message: str) -> None:
    with pytest.raises(DataError, match=message):
        DOCUMENT_FORMATS["xmi"].save(tmp_path / "x.xmi", [document])
    assert not list(tmp_path.iterdir())


CHARACTERS = st.sampled_from("ab .\r\n\t\u00a0é\u0301\U0001f60a\U0001f468\u200d中\"'<>&;\\_|[]*\x85\u2028")
TEXTS = st.text(CHARACTERS, max_size=12)
LABELS = st.text(CHARACTERS, min_size=1, max_size=4)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = draw(TEXTS)
    annotations = []
    for number in range(draw(st.integers(0, 3)) if text else 0):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        attributes = draw(
            st.fixed_dictionaries({}, optional={"note": TEXTS, "sure": st.booleans(), "score": st.floats()})
        )
        annotations.append(Annotation(draw(LABELS), ((start, end),), str(number), attributes))
    relations = []
    for number in range(draw(st.integers(0, 2)) if annotations else 0):
        ends = [draw(st.sampled_from(annotations)).id for _ in range(2)]
        relations.append(Relation(draw(LABELS), ends[0], ends[1], str(number)))
    identity = draw(st.fixed_dictionaries({}, optional={"id": TEXTS}))
    tokens = cut(text) or None if draw(st.booleans()) else None
    sentences = ((0, len(text)),) if draw(st.booleans()) else None
    return Document(text, tuple(annotations), tuple(relations), (), tokens, sentences, identity)


def plain(document: Document) -> str:
    """With ids by order, as text, so that NaN equals itself."""
    ids = {each.id: str(number) for number, each in enumerate(document.annotations or ())}
    annotations = [
        replace(each, id=ids[each.id], attributes=dict(sorted(each.attributes.items())))
        for each in document.annotations or ()
    ]
    relations = [replace(each, id="", source=ids[each.source], target=ids[each.target]) for each in document.relations]
    return repr(replace(document, annotations=tuple(annotations), relations=tuple(relations), source=""))


@settings(max_examples=30, deadline=None)
@given(st.lists(documents(), min_size=1, max_size=3))
def test_round_trip(texts: list[Document]) -> None:
    stream = io.BytesIO()
    write_cas(stream, LIMITS.fit(texts, tokenizer_of("words-1"), notes=Notes()))
    stream.seek(0)
    assert [plain(each) for each in read_cas(stream)] == [plain(each) for each in texts]


def test_a_zip_of_a_very_large_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cas_files, "_LARGEST", 10)
    with pytest.raises(DataError, match=r"expected members of at most 10 bytes, found a.xmi of [\d,]+ bytes; unpack"):
        list(read_cas(zipped({"a.xmi": xmi(), "TypeSystem.xml": TYPES})))
