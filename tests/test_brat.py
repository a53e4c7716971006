"""brat: a text and its annotations in two files, and folders of them."""

from __future__ import annotations

import io
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.data.annotation.brat import is_brat, read_brat, write_brat
from structseq.data.annotation.document import Annotation, Document, Notes, Relation
from structseq.data.annotation.table import DOCUMENT_FORMATS
from structseq.errors import DataError

TEXT = "Sony announced today 😀 that\r\nits new Ericsson mobile phones\r\nsell."
ANN = (
    "T1\tORG 0 4\tSony\n"
    "T2\tORG 36 44\tEricsson\n"
    "T3\tPRODUCT 45 51;52 58\tmobile phones\n"
    "T4\tMERGE 5 14\tannounced\n"
    "T7\tWHEN 15 20;24 28\ttoday hat\n"
    "E1\tMERGE:T4 Arg1:T1 Arg2:T2\n"
    "A1\tNegated T1\n"
    "A2\tConfidence T2 L1\n"
    "M1\tNegation E1\n"
    "R1\tmakes Arg1:T2 Arg2:T3\t\n"
    "A4\tsure R1\n"
    "R2\tsees Arg1:E1 Arg2:T3\n"
    "*\tEquiv T1 T2\n"
    "N1\tReference T1 Wikipedia:534366\tSony\n"
    "#1\tAnnotatorNotes T1\tsuspect, \tvery\n"
    "#2\tAnnotatorNotes E1\tan event\n"
    "#3\tAnnotatorNotes T1\tagain\n"
)


def pair(folder: Path, ann: str, text: str, name: str = "a") -> Path:
    (folder / f"{name}.txt").write_bytes(text.encode())
    (folder / f"{name}.ann").write_bytes(ann.encode())
    return folder / f"{name}.ann"


def read(folder: Path, ann: str, text: str) -> Document:
    return next(read_brat(pair(folder, ann, text)))


def test_what_brat_writes(tmp_path: Path) -> None:
    document = read(tmp_path, ANN.replace("24 28\ttoday hat", "23 27\ttoday that"), TEXT)
    assert document.text == TEXT
    assert document.annotations == (
        Annotation("ORG", ((0, 4),), "T1", {"Negated": True, "note": "suspect, \tvery"}),
        Annotation("ORG", ((37, 45),), "T2", {"Confidence": "L1"}),
        Annotation("PRODUCT", ((46, 59),), "T3"),
        Annotation("MERGE", ((5, 14),), "T4"),
        Annotation("WHEN", ((15, 20), (23, 27)), "T7"),
    )
    assert document.relations == (Relation("makes", "T2", "T3", "R1", {"sure": True}),)
    assert [line[:3] for line in document.metadata["brat"]] == ["E1\t", "M1\t", "R2\t", "*\tE", "N1\t", "#2\t", "#3\t"]
    assert document.source == str(tmp_path / "a.ann")


@pytest.mark.parametrize("newline, offsets", [("\n", (27, 30)), ("\r\n", (28, 31))])
def test_line_ends_count_as_they_are(tmp_path: Path, newline: str, offsets: tuple[int, int]) -> None:
    text = f"A line of twenty-six signs{newline}its second"
    document = read(tmp_path, f"T1\tX {offsets[0]} {offsets[1]}\tits\n", text)
    assert document.annotations == (Annotation("X", (offsets,), "T1"),)
    assert document.text == text


def test_other_units_are_found_by_the_copies(tmp_path: Path) -> None:
    notes = Notes()
    found = [next(read_brat(pair(tmp_path, ann, "😀 in\r\nTaipei"), notes=notes)) for ann in
             ("T1\tX 7 13\tTaipei\n", "T1\tX 6 12\tTaipei\n", "T1\tX 5 11\tTaipei\n")]  # fmt: skip
    assert [document.annotations for document in found] == [(Annotation("X", ((6, 12),), "T1"),)] * 3
    assert sum(notes.values()) == 2


def test_parts_with_white_space_between_are_one(tmp_path: Path) -> None:
    document = read(tmp_path, "T1\tX 0 3;6 9\tFoo Bar\nT2\tX 0 3;10 13\tFoo Baz\n", "Foo\n  Bar Baz")
    assert document.annotations is not None
    assert [each.parts for each in document.annotations] == [((0, 9),), ((0, 3), (10, 13))]
    write_brat(tmp_path / "b.ann", [document])
    assert (tmp_path / "b.ann").read_text() == (tmp_path / "a.ann").read_text()


def test_an_empty_file_is_a_text_without_entities(tmp_path: Path) -> None:
    assert read(tmp_path, "", "Nothing.") == Document("Nothing.", (), source=str(tmp_path / "a.ann"))


def test_folders(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "set"
    documents = [Document("a", (), metadata={"id": "b.x"}), Document("b", ()), Document("c", (), metadata={"id": 7})]
    write_brat(f"{folder}/", documents)
    assert sorted(path.name for path in folder.iterdir()) == [
        "0001.ann", "0001.txt", "7.ann", "7.txt", "b.x.ann", "b.x.txt",
    ]  # fmt: skip
    (folder / "alone.txt").touch()
    notes = Notes()
    found = list(read_brat(folder, notes=notes))
    assert [(each.metadata["id"], each.text) for each in found] == [("0001", "b"), ("7", "c"), ("b.x", "a")]
    assert notes == {"texts without an .ann file, left out": 1}


def test_detection(tmp_path: Path) -> None:
    assert not is_brat(tmp_path)
    assert is_brat(pair(tmp_path, "", ""))
    assert is_brat(str(tmp_path))
    assert not is_brat(tmp_path / "a.txt")
    assert not is_brat(io.BytesIO())


def test_ids_of_other_tools_are_numbered(tmp_path: Path) -> None:
    annotations = (
        Annotation("X", ((0, 1),), "uuid 1"),
        Annotation("X", ((1, 2),), "T1"),
        Annotation("X", ((2, 3),)),
        Annotation("X", ((3, 4),), "x"),
    )
    relations = (Relation("r", "uuid 1", "T1", "u"), Relation("r", "T1", "uuid 1", "R1"))
    raw = ["A1\tNegated E1", "E1\tX:T1"]
    write_brat(tmp_path / "a.ann", [Document("abcd", annotations, relations, metadata={"brat": raw})])
    (document,) = read_brat(tmp_path / "a.ann")
    assert [each.id for each in document.annotations or ()] == ["T2", "T1", "T3", "T4"]
    assert [(each.source, each.target, each.id) for each in document.relations] == [
        ("T2", "T1", "R2"),
        ("T1", "T2", "R1"),
    ]
    assert document.metadata == {"brat": raw}


BAD = {
    "no tab": ("T1 X 0 1 a", 1, "expected a line of brat"),
    "no copy": ("T1\tX 0 1", 1, "expected a line of brat"),
    "no end": ("T1\tX 0\ta", 1, "expected a line of brat"),
    "no label": ("T1\t0 1\ta", 1, "expected a line of brat"),
    "no number": ("T1\tX 0 b\ta", 1, "expected a line of brat"),
    "negative": ("T1\tX -1 1\ta", 1, "expected a line of brat"),
    "huge": (f"T1\tX 0 {'9' * 5000}\ta", 1, "expected a line of brat"),
    "beyond the text": ("T1\tX 0 9\ta", None, "the length of the text"),
    "empty": ("T1\tX 1 1\t", None, "expected 0 <= start < end"),
    "backwards": ("T1\tX 1 0\ta", None, "expected 0 <= start < end"),
    "other text": ("T1\tX 0 1\tb", None, "expected 'b' at 0 to 1"),
    "other text in parts": (
        "T1\tX 0 1;2 3\ta x",
        None,
        "expected 'a x', parts without overlap, at 0 1;2 3 (X), found 'a c'",
    ),
    "lost text in parts": ("T1\tX 0 1;2 3\ta", None, "expected 'a', parts without overlap, at 0 1;2 3"),
    "overlap": ("T1\tX 0 2;1 3\tab bc", None, "parts without overlap, at 0 2;1 3 (X)"),
    "same id": ("T1\tX 0 1\ta\nT1\tX 1 2\tb", 2, "expected each id once, found T1 again"),
    "unknown kind": ("\nX1\tX 0 1\ta", 2, "expected a line of brat"),
    "attribute of nothing": ("A1\tNeg T9", 1, "expected the id of an annotation, found T9"),
    "attribute without target": ("A1\tNeg", 1, "expected a line of brat"),
    "note on nothing": ("#1\tAnnotatorNotes T9\tx", 1, "expected the id of an annotation, found T9"),
    "relation of nothing": (
        "T1\tX 0 1\ta\nR1\tr Arg1:T1 Arg2:T2",
        None,
        "expected one annotation with the id 'T2' of a relation, found 0",
    ),
    "relation cut off": ("T1\tX 0 1\ta\nR1\tr Arg1:T1", 2, "expected a line of brat"),
    "event cut off": ("E1\tX", 1, "expected a line of brat"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(tmp_path: Path, case: str) -> None:
    ann, line, message = BAD[case]
    path = pair(tmp_path, ann, "abcd")
    with pytest.raises(DataError) as found:
        list(read_brat(path))
    assert message in found.value.message
    assert (found.value.file, found.value.line) == (str(path), line)


def test_missing_and_undecodable_files(tmp_path: Path) -> None:
    (tmp_path / "a.ann").touch()
    (tmp_path / "b.ann").write_bytes(b"T1\tX 0 1\t\xff")
    (tmp_path / "b.txt").touch()
    for source, message in [
        (tmp_path / "a.ann", r"a\.ann: expected the text in a\.txt beside it, found no such file"),
        (tmp_path / "b.ann", r"b\.ann:1: expected utf-8 text"),
        (tmp_path, r"a\.ann: expected the text"),
        (tmp_path / "c.ann", "c.ann: there is no such file"),
        (tmp_path / "b.txt", "ends in .ann"),
        (io.BytesIO(b""), "a path, since brat keeps a document in two files"),
    ]:
        with pytest.raises(DataError, match=message):
            list(read_brat(source))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"expected \.ann files, found none"):
        list(read_brat(tmp_path / "empty"))


def annotated(**changes: Any) -> Document:
    return Document("ab\ncd", (replace(Annotation("X", ((0, 1),), "T1"), **changes),))


REFUSED = [
    (annotated(label="a b"), "annotations with labels such as 'a b'; leave it out with --lossy"),
    (annotated(label="a\u2028"), "annotations with labels"),
    (annotated(label=""), "annotations with labels such as ''"),
    (annotated(parts=((2, 4),)), "starts or ends with a line end"),
    (annotated(attributes={"a b": True}), "attributes such as 'a b'"),
    (annotated(attributes={"a": "b c"}), "attributes such as 'a'"),
    (annotated(attributes={"score": 0.5}), "attributes such as 'score'"),
    (annotated(attributes={"a": False}), "attributes"),
    (annotated(attributes={"note": "a\nb"}), "attributes"),
    (annotated(attributes={"note": 3}), "attributes"),
    (Document("a", (), (Relation("r", "T1", "T2"),)), "expected one annotation with the id 'T1' of a relation"),
    (Document("a", (), metadata={"brat": "E1"}), "metadata such as 'brat'"),
    (Document("a", (), metadata={"brat": ["E1\tX:T1\nT1\t"]}), "metadata such as 'brat'"),
    (Document("ab", (), metadata={"brat": ["#1\tx", "N1 x"]}), "metadata such as 'brat'"),
    (Document("a\ud800", ()), "half surrogates"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_brat_cannot_hold(tmp_path: Path, number: int) -> None:
    document, message = REFUSED[number]
    for target in (tmp_path / "a.ann", f"{tmp_path}/"):
        with pytest.raises(DataError) as found:
            DOCUMENT_FORMATS["brat"].save(target, [document])
        assert message in str(found.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ids", [["a/b"], [".."], ["a", "A"], [""] * 0 + ["x "], [None], ["a\n"], ["a" * 300]])
def test_ids_that_name_no_file(tmp_path: Path, ids: list[str]) -> None:
    with pytest.raises(DataError, match="id"):
        write_brat(f"{tmp_path}/", [Document("a", (), metadata={"id": each}) for each in ids])
    assert not list(tmp_path.iterdir())


def test_targets(tmp_path: Path) -> None:
    for target, count, message in [
        (tmp_path / "a.ann", 2, "expected one document for one file, found 2; name a folder"),
        (tmp_path / "a.ann", 0, "found 0"),
        (tmp_path / "a.txt", 1, "ends in .ann, or a folder"),
        (tmp_path / "no" / "a.ann", 1, "no such folder"),
        (io.BytesIO(), 1, "expected a path"),
    ]:
        with pytest.raises(DataError, match=message):
            write_brat(target, [Document("a", ())] * count)
    assert not list(tmp_path.iterdir())


TEXTS = st.text(
    st.sampled_from("ab  \n\r\t\u2028\x85\u0301é😀👍_|[]*;:#\\\"'T1") | st.characters(codec="utf-8"), max_size=25
)
NAMES = st.text(st.sampled_from(string.ascii_letters + "é😀_|[]*;:#\\\"'1"), min_size=1, max_size=6)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = draw(TEXTS)
    inner = [at for at in range(len(text)) if len(text[at].splitlines()[0]) == 1]
    annotations: list[Annotation] = []
    for number in range(draw(st.integers(0, 4)) if inner else 0):
        bounds = sorted(draw(st.lists(st.sampled_from(inner), min_size=2, max_size=4)))
        parts = [(start, end + 1) for start, end in zip(bounds[::2], bounds[1::2], strict=False)]
        if len(parts) == 2 and (parts[1][0] < parts[0][1] or not text[parts[0][1] : parts[1][0]].strip()):
            parts = parts[:1]
        names = NAMES.filter(lambda name: name != "note")
        attributes = draw(st.dictionaries(names, NAMES | st.just(True), max_size=2))
        if draw(st.booleans()):
            attributes["note"] = draw(TEXTS.map(lambda note: "".join(c for c in note if c not in "\r\n")))
        annotations.append(Annotation(draw(NAMES), tuple(parts), f"T{number * 2 + 1}", attributes))
    ids = st.sampled_from([each.id for each in annotations])
    count = draw(st.integers(0, 2)) if annotations else 0
    relations = [Relation(draw(NAMES), draw(ids), draw(ids), f"R{n}", {"a": draw(NAMES)}) for n in range(count)]
    metadata = draw(
        st.sampled_from([{}, {"brat": ["*\tEquiv T1 T2", "E1\tX:T1", "#1\tAnnotatorNotes E1\tx", "A1\tN E1"]}])
    )
    return Document(text, tuple(annotations), tuple(relations), metadata=metadata)


@given(document=documents())
@settings(max_examples=25)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, document: Document) -> None:
    path = tmp_path_factory.getbasetemp() / "round.ann"
    write_brat(path, [document])
    (found,) = read_brat(path)
    assert (found.text, found.annotations, found.relations) == (document.text, document.annotations, document.relations)
    assert found.metadata == document.metadata
    lines = path.read_bytes()
    write_brat(path, [found])
    assert path.read_bytes() == lines
