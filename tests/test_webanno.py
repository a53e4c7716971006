"""WebAnno TSV 3: sentences, tokens and the spans of one layer."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.data.annotation.document import Annotation, Document, Notes
from structseq.data.annotation.table import DOCUMENT_FORMATS
from structseq.data.annotation.webanno import is_webanno, read_webanno
from structseq.data.annotation.webanno_writer import write_webanno
from structseq.data.tokenizer import words
from structseq.errors import ConfigError, DataError

NE = "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity"
POS = "de.tudarmstadt.ukp.dkpro.core.api.lexmorph.type.pos.POS"

# Two sentences as INCEpTION writes them: stacked spans, a sub-token, an emoji, a relation
TSV = f"""#FORMAT=WebAnno TSV 3.3
#T_SP={POS}|PosValue
#T_SP={NE}|identifier|value
#T_RL=webanno.custom.Knows|since|value|BT_{NE}


#Sentence.id=s1
#Text=Ms. Haag 😊
#Text=plays\\tElianti.
1-1\t0-3\tMs.\tNNP\t*[1]|Q5[2]\tPER[1]|PERpart[2]\t_\t_\t_\t
1-2\t4-8\tHaag\tNNP\t*[1]\tPER[1]\t_\t_\t_\t
1-3\t9-11\t😊\tSYM\t_\t_\t_\t_\t_\t
1-4\t12-17\tplays\tVBD\t_\t_\t_\t_\t_\t
1-4.1\t12-16\tplay\t_\t*\tACT\\_1\\[2\\]\t2000|*\tfan|*\t1-1[1_0]|1-1[2_0]\t
1-5\t18-25\tElianti\tNNP\t*\t*\t_\t_\t_\t
1-6\t25-26\t.\t.\t_\t_\t_\t_\t_\t

#Text=No.
2-1\t29-31\tNo\tUH\t_\t_\t_\t_\t_\t
2-2\t31-32\t.\t.\t_\t_\t_\t_\t_\t
"""


def read(content: str, **options: Any) -> Document:
    return next(read_webanno(io.BytesIO(content.encode()), **options))


def write(document: Document) -> str:
    stream = io.BytesIO()
    write_webanno(stream, [document])
    return stream.getvalue().decode()


def tsv(layers: str, *rows: str, text: str = "This is") -> str:
    return "#FORMAT=WebAnno TSV 3.3\n" + layers + f"\n\n#Text={text}\n" + "".join(f"{row}\n" for row in rows)


def test_what_inception_writes() -> None:
    notes = Notes()
    document = read(TSV, notes=notes)
    assert document.text == "Ms. Haag 😊\nplays\tElianti.\n  No."
    assert [document.text[start:end] for start, end in document.tokens or ()] == [
        "Ms.", "Haag", "😊", "plays", "Elianti", ".", "No", ".",
    ]  # fmt: skip
    assert document.sentences == ((0, 25), (28, 31))
    assert document.annotations == (
        Annotation("PER", ((0, 8),)),
        Annotation("PERpart", ((0, 3),), attributes={"identifier": "Q5"}),
        Annotation("ACT_1[2]", ((11, 15),)),
        Annotation("NamedEntity", ((17, 24),)),
    )
    assert notes == {
        "sentence ids, left out": 1,
        "annotations of other layers, left out": 8,
        "relations, left out": 2,
        "annotations without a value, labelled with the name of their layer": 1,
    }
    assert document.source == "<stream>"


LAYERS = [
    ("", NE, "value"),
    (NE, NE, "value"),
    ("NamedEntity", NE, "value"),
    ("NamedEntity.identifier", NE, "identifier"),
    (f"{POS}.PosValue", POS, "PosValue"),
    ("POS", POS, "PosValue"),
]


@pytest.mark.parametrize("layer, kind, feature", LAYERS)
def test_layers(layer: str, kind: str, feature: str) -> None:
    found = read(TSV, layer=layer).annotations or ()
    labels = {"value": "PER", "identifier": "NamedEntity", "PosValue": "NNP"}
    assert found[0].label == labels[feature]
    assert len(found) == (4 if kind == NE else 8)
    assert found[0].attributes == ({"value": "PER"} if feature == "identifier" else {})


@pytest.mark.parametrize("layer", ["Pos", "NamedEntity.Value", "Knows", "x.NamedEntity"])
def test_unknown_layers(layer: str) -> None:
    with pytest.raises(DataError) as found:
        read(TSV, layer=layer)
    assert f"a layer {layer!r}, found {POS}|PosValue, {NE}|identifier|value; name one with data.layer" in str(
        found.value
    )


def test_which_layer_is_not_guessed() -> None:
    both = tsv("#T_SP=a.X|v\n#T_SP=b.Y|\n", "1-1\t0-4\tThis\tu[1]\t*\t", "1-2\t5-7\tis\tu[1]\t_\t")
    with pytest.raises(
        DataError, match=r"expected one layer with spans, found a\.X\|v, b\.Y; name one with data\.layer"
    ):
        read(both)
    notes = Notes()
    assert read(both, layer="Y", notes=notes).annotations == (Annotation("Y", ((0, 4),)),)
    assert notes == {"annotations of other layers, left out": 1}
    assert read(both, layer="X").annotations == (Annotation("u", ((0, 7),)),)


def test_no_layer_is_no_annotation() -> None:
    document = read("#FORMAT=WebAnno TSV 3.2\r\n\r\n\r\n#Text=No.\r\n1-1\t0-2\tNo\t\r\n1-2\t2-3\t.\t", layer="X")
    assert document == Document("No.", (), tokens=((0, 2), (2, 3)), sentences=((0, 3),), source="<stream>")


def test_spans_over_sub_tokens_and_sentences() -> None:
    document = read(
        f"#FORMAT=WebAnno TSV 3.3\n#T_SP={NE}|value\n\n\n#Text=aaaaaa bbbbbb\n"
        "1-1\t0-6\taaaaaa\tU[3]\t\n"
        "1-1.1\t3-6\taaa\tV[1]\t\n"
        "1-2\t7-13\tbbbbbb\tV[1]|U[3]|W[4]\t\n"
        "1-2.1\t7-7\t\tE\t\n"
        "1-2.2\t9-11\tbb\tX\t\n"
        "\n#Text=cc\n"
        "2-1\t13-15\tcc\tU[3]\t\n"
        "2-1.1\t13-14\tc\tV[1]\t\n",
        notes=(notes := Notes()),
    )
    assert document.text == "aaaaaa bbbbbbcc"
    assert document.annotations == (
        Annotation("U", ((0, 15),)),
        Annotation("V", ((3, 14),)),
        Annotation("W", ((7, 13),)),
        Annotation("X", ((9, 11),)),
    )
    assert notes == {"empty spans, left out": 1}


def test_chains_slots_and_relations_of_others_are_counted() -> None:
    notes = Notes()
    document = read(
        tsv(
            f"#T_SP={NE}|ROLE_{NE}:links_custom.Link|uima.tcas.Annotation|value\n"
            "#T_CH=webanno.custom.SimpleLink|referenceRelation|referenceType\n"
            f"#T_RL=a.Rel|BT_{NE}\n#T_RL=a.Dep|kind|BT_a.POS\n",
            "1-1\t0-4\tThis\tp1;*[3]\t1-2;1-2[7]\tX[3]\t*->1-1\t*[1]\t_\tx\t1-2\t",
            "1-2\t5-7\tis\t_\t_\tY\t*->1-2\t*[1]\t1-1[3_0]\t_\t_\t",
        ),
        notes=notes,
    )
    assert document.annotations == (Annotation("X", ((0, 4),)), Annotation("Y", ((5, 7),)))
    assert notes == {
        "annotations with slots, which are left out": 1,
        "links of chains, left out": 2,
        "relations, left out": 2,
    }


def test_files_of_other_programs() -> None:
    """They count code points, or escape tokens as the format's documentation has it."""
    notes = Notes()
    content = tsv(f"#T_SP={NE}|value\n", "1-1\t0-1\t😊\t_", "1-2\t2-6\ta\\[b\\]\tX", text="😊 a\\[b\\]")
    assert read(content, notes=notes).annotations == (Annotation("X", ((2, 6),)),)
    assert notes == {"texts whose offsets count code points, by the copies of their tokens": 1}
    assert read(content, offsets="codepoint").text == "😊 a[b]"
    with pytest.raises(DataError, match="found 0 and 1"):
        read(content, offsets="utf16")
    with pytest.raises(ConfigError, match="unknown offsets 'bytes'"):
        read(content, offsets="bytes")


def test_folders_share_their_layers(tmp_path: Path) -> None:
    """INCEpTION writes no header for a layer, or feature, without values."""
    layers = {
        "b": f"#T_SP={POS}|PosValue\n",
        "a": f"#T_SP={NE}|identifier\n#T_SP={POS}|PosValue\n",
        "c": f"#T_SP={NE}|value\n",
    }
    for name, header in layers.items():
        cells = "\tx" * header.count("T_SP")
        (tmp_path / f"{name}.tsv").write_text(tsv(header, f"1-1\t0-4\tThis{cells}\t"), encoding="utf-8")
    (tmp_path / "notes.txt").touch()
    found = list(read_webanno(tmp_path))
    assert [each.metadata["id"] for each in found] == ["a", "b", "c"]
    assert [each.annotations for each in found] == [
        (Annotation("NamedEntity", ((0, 4),), attributes={"identifier": "x"}),),
        (),
        (Annotation("x", ((0, 4),)),),
    ]
    write_webanno(f"{tmp_path}/new/", [Document(each.text, (), metadata=each.metadata) for each in found])
    assert [(each.metadata, each.text) for each in read_webanno(tmp_path / "new")] == [
        ({"id": name}, "This is") for name in "abc"
    ]
    with pytest.raises(DataError, match=r"expected \.tsv files, found none"):
        (tmp_path / "empty").mkdir()
        list(read_webanno(tmp_path / "empty"))


def test_detection() -> None:
    assert is_webanno(TSV.encode())
    assert is_webanno(b"\xef\xbb\xbf" + TSV.encode())
    assert not is_webanno(b"#Text=a\n1-1\t0-1\ta\n")
    assert not is_webanno(b"")


ROW = "1-1\t0-4\tThis\tX\t"
BAD: dict[str, tuple[str, int | None, str]] = {
    "empty": ("", 1, "expected sentences"),
    "other version": ("#FORMAT=WebAnno TSV 3.1\n", 1, "expected '#FORMAT=WebAnno TSV 3.3'"),
    "no sentence": ("#FORMAT=WebAnno TSV 3.3\n\n\n", 3, "expected sentences"),
    "header alone": ("#FORMAT=WebAnno TSV 3.3", 1, "expected sentences"),
    "unknown kind": ("#FORMAT=WebAnno TSV 3.3\n#T_XX=a|b\n", 2, "expected a layer"),
    "no type": ("#FORMAT=WebAnno TSV 3.3\n#T_SP=|b\n", 2, "expected a layer"),
    "slot without target": ("#FORMAT=WebAnno TSV 3.3\n#T_SP=a|ROLE_x\n", 2, "expected a layer"),
    "layer twice": ("#FORMAT=WebAnno TSV 3.3\n#T_SP=a|b\n#T_SP=a|b\n", 3, "expected a layer"),
    "feature twice": ("#FORMAT=WebAnno TSV 3.3\n#T_SP=a|b|b\n", 2, "expected a layer"),
    "no text": (f"#FORMAT=WebAnno TSV 3.3\n#T_SP=a|b\n\n\n{ROW}\n", 5, "expected #Text= and then the row of a token"),
    "no row": (tsv("#T_SP=a|b\n"), 5, "expected sentences (#Text=, then a row"),
    "sub-token first": (tsv("#T_SP=a|b\n", "1-1.1\t0-2\tTh\tX\t"), 6, "expected #Text= and then the row of a token"),
    "no row id": (tsv("#T_SP=a|b\n", "0-4\tThis\tX\t"), 6, "expected a row"),
    "no offsets": (tsv("#T_SP=a|b\n", "1-1\t0\tThis\tX\t"), 6, "expected a row"),
    "huge offsets": (tsv("#T_SP=a|b\n", f"1-1\t0-{'9' * 5000}\tThis\tX\t"), 6, "expected a row"),
    "cut off": (tsv("#T_SP=a|b\n", ROW, "1-2\t5-"), 7, "expected a row"),
    "column missing": (tsv("#T_SP=a|b\n", "1-1\t0-4\tThis"), 6, "expected 1 columns after the token"),
    "column too many": (tsv("#T_SP=a|b\n", "1-1\t0-4\tThis\tX\tY"), 6, "expected 1 columns after the token"),
    "row twice": (tsv("#T_SP=a|b\n", ROW, ROW), 6, "tokens in order and without overlap"),
    "backwards": (tsv("#T_SP=a|b\n", "1-1\t4-0\tThis\tX"), 6, "expected a row with start < end"),
    "empty token": (tsv("#T_SP=a|b\n", "1-1\t4-4\t\tX"), 6, "expected a row with start < end"),
    "beyond the text": (tsv("#T_SP=a|b\n", ROW, "1-2\t5-9\tis\t_\t"), None, "the length of the text"),
    "other token": (tsv("#T_SP=a|b\n", "1-1\t0-4\tthat\tX\t"), None, "expected 'that' at 0 to 4"),
    "half a character": (tsv("#T_SP=a|b\n", "1-1\t0-1\t😊\tX\t", "1-2\t3-9\tb\t_", text="😊 b"), None, "found 0 and 1"),
    "tokens overlap": (tsv("#T_SP=a|b\n", ROW, "1-2\t3-4\ts\t_\t"), 6, "tokens in order and without overlap"),
    "sentences overlap": (
        tsv("#T_SP=a|b\n", ROW, "", "#Text=is", "2-1\t5-7\tis\tX\t"),
        9,
        "a sentence from 7 or later",
    ),
    "over the sentence": (
        tsv("#T_SP=a|b\n", ROW, "1-2\t5-9\tis a\tX", "", "#Text=a b", "2-1\t8-9\ta\t_\t"),
        7,
        "a token within the text of its sentence",
    ),
    "values missing": (tsv("#T_SP=a|b|c\n", "1-1\t0-4\tThis\tX|Y\tZ\t"), 6, "as many values in each column"),
    "two numbers": (tsv("#T_SP=a|b|c\n", "1-1\t0-4\tThis\tX[1]\tZ[2]\t"), 6, "expected one number"),
    "other value": (tsv("#T_SP=a|b\n", "1-1\t0-4\tThis\tX[1]", "1-2\t5-7\tis\tY[1]"), 7, "the values of its first row"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(case: str, tmp_path: Path) -> None:
    content, line, message = BAD[case]
    path = tmp_path / "a.tsv"
    path.write_text(content, encoding="utf-8")
    for source, layer in ((path, ""), (tmp_path, "a")):
        with pytest.raises(DataError) as found:
            list(read_webanno(source, layer=layer))
        assert message in found.value.message
        assert (found.value.file, found.value.line) == (str(path), line)


def test_sub_tokens_and_stacks_are_written_as_inception_does() -> None:
    annotations = (
        Annotation("A|*", ((0, 4),)),
        Annotation("B_\\[1]", ((0, 4),)),
        Annotation("C->;", ((5, 6),)),
        Annotation("D\t\n", ((8, 16),)),
    )
    text = "This is 😊\na test\\ ."
    written = write(Document(text, annotations, sentences=((0, 19),)))
    assert written == (
        f"#FORMAT=WebAnno TSV 3.3\n#T_SP={NE}|value\n\n\n"
        "#Text=This is 😊\n#Text=a test\\\\ .\n"
        "1-1\t0-4\tThis\tA\\|\\*[1]|B\\_\\\\\\[1\\][2]\t\n"
        "1-2\t5-7\tis\t_\t\n"
        "1-2.1\t5-6\ti\tC\\->\\;\t\n"
        "1-3\t8-10\t😊\tD\\t\\n[3]\t\n"
        "1-4\t11-12\ta\tD\\t\\n[3]\t\n"
        "1-5\t13-17\ttest\tD\\t\\n[3]\t\n"
        "1-6\t17-18\t\\\t_\t\n"
        "1-7\t19-20\t.\t_\t\n"
    )


@pytest.mark.parametrize(
    "text, sentences, lines",
    [
        ("a b.\nc", None, ["a b.", "c"]),
        ("  a.\n  c", None, ["a.", "c"]),
        ("a.\r\nc\r\n", None, ["a.\\r", "c\\r", ""]),
        ("a.\n\n\tc\n", None, ["a.", "", "\\t", "c", ""]),
        ("a. c.", ((0, 2), (3, 5)), ["a. ", "c."]),
        ("a.c.", ((0, 2), (2, 4)), ["a.", "c."]),
        ("a. \n  c.", ((0, 2), (6, 8)), ["a. ", "c."]),
    ],
)
def test_white_space_between_sentences(text: str, sentences: Any, lines: list[str]) -> None:
    written = write(Document(text, (), sentences=sentences))
    assert [line[6:] for line in written.splitlines() if line.startswith("#Text=")] == lines
    found = read(written)
    assert found.text == text
    assert sentences is None or found.sentences == sentences


WORD = Annotation("X", ((0, 1),))
REFUSED = [
    (Document("", ()), "a text without tokens"),
    (Document(" \n", ()), "a text without tokens"),
    (Document("\nab", ()), "text before the first token but spaces"),
    (Document("ab cd", (), sentences=((0, 2),)), "text between sentences, found 'cd'"),
    (Document("ab cd", (), sentences=((3, 5),)), "text before the first token but spaces"),
    (Document("ab  cd", (), sentences=((0, 2), (2, 4), (4, 6))), "a sentence without tokens"),
    (Document("ab cd", (), sentences=((0, 5),), tokens=((3, 5),)), "that its tokens do not start"),
    (
        Document("ab cd", (), sentences=((0, 2), (3, 5)), tokens=((0, 5),)),
        "that its tokens do not start, or leave",
    ),
    (Document("ab cd", (), sentences=((0, 3), (3, 5)), tokens=((0, 5), (3, 5))), "expected tokens in order"),
    (Document("ab", (), sentences=((0, 1), (0, 2))), "expected sentences in order"),
    (Document("a\tb", (), tokens=((0, 3),)), "has a tab or a line end"),
    (Document("ab", (), tokens=((0, 0), (0, 2))), "a token that is empty"),
    (Document("ab cd", (Annotation("X", ((0, 3),)),)), "starts or ends outside of tokens, found 'ab '"),
    (Document("ab cd", (Annotation("X", ((2, 5),)),)), "starts or ends outside of tokens"),
    (Document("ab cd", (Annotation("X", ((2, 3),)),)), "starts or ends outside of tokens"),
    (Document("ab cd", (Annotation("X", ((0, 1), (3, 4))),)), "expected spans without gaps"),
    (Document("ab", (Annotation("", ((0, 1),)),)), "annotations with labels such as"),
    (Document("ab", (Annotation("a\r", ((0, 1),)),)), "annotations with labels such as"),
    (Document("a\ud800", ()), "half surrogates"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_the_format_cannot_hold(tmp_path: Path, number: int) -> None:
    document, message = REFUSED[number]
    for target in (tmp_path / "a.tsv", f"{tmp_path}/"):
        with pytest.raises(DataError) as found:
            DOCUMENT_FORMATS["webanno"].save(target, [document])
        assert message in str(found.value)
    assert not list(tmp_path.iterdir())


def test_one_document_a_file(tmp_path: Path) -> None:
    for documents in ([], [Document("a", ())] * 2):
        with pytest.raises(
            DataError, match=f"expected one document for one file, found {len(documents)}; name a folder"
        ):
            write_webanno(tmp_path / "a.tsv", documents)
    with pytest.raises(DataError, match="two"):
        write_webanno(tmp_path, [Document("a", (), metadata={"id": "x"})] * 2)
    assert not list(tmp_path.iterdir())


SIGNS = st.sampled_from("ab  \n\r\t\x00\x0b\x1f\x85\u2028\u0301é😀👍_|[]*;:#->\\\"'.") | st.characters(codec="utf-8")
LABELS = st.text(st.sampled_from("ab _|[]*;->\\\t\n1é😀.") | st.characters(codec="utf-8"), min_size=1, max_size=6)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    lines = [draw(st.text(SIGNS, max_size=12)) for _ in range(draw(st.integers(1, 3)))]
    blank = draw(st.sampled_from(["", " ", "\n", "\n  ", "\r\n", "\n\n", "\u2028"]))
    text = " " * draw(st.integers(0, 2))
    tokens, sentences = [], []
    for line in lines:
        inner = [token for token in words(line.strip()) if token.text.isascii() or draw(st.booleans())]
        inner = words(line.strip()) if inner[:1] != words(line.strip())[:1] else inner
        if inner:
            start = len(text)
            tokens += [(start + token.start, start + token.end) for token in inner]
            sentences.append((start, start + len(line.strip())))
            text += line.strip() + blank
    if not tokens:
        text, tokens, sentences = "a", [(0, 1)], [(0, 1)]
    annotations = []
    for _ in range(draw(st.integers(0, 5))):
        first, last = sorted([draw(st.sampled_from(tokens)), draw(st.sampled_from(tokens))])
        start = draw(st.integers(first[0], first[1] - 1))
        end = draw(st.integers(max(last[0], start) + 1, last[1]))
        annotations.append(Annotation(draw(LABELS.filter(lambda label: "\r" not in label)), ((start, end),)))
    return Document(text, tuple(annotations), tokens=tuple(tokens), sentences=tuple(sentences))


def in_order(document: Document) -> list[tuple[Any, str]]:
    return sorted([(each.parts, each.label) for each in document.annotations or ()])


@given(document=documents())
@settings(max_examples=80)
def test_round_trip(document: Document) -> None:
    content = write(document)
    found = read(content)
    assert (found.text, found.tokens, found.sentences) == (document.text, document.tokens, document.sentences)
    assert in_order(found) == in_order(document)
    assert in_order(read(write(found))) == in_order(document)


def test_what_is_taken_for_labels_is_noted() -> None:
    notes = Notes()
    content = tsv("#T_SP=a.X|kind|name\n", "1-1\t0-4\tThis\tu\tv\t")
    assert read(content, notes=notes).annotations == (Annotation("u", ((0, 4),), attributes={"name": "v"}),)
    assert notes == {"X has kind, name: labels are those of kind (data.layer)": 1}
    notes.clear()
    assert read(content, layer="X.name", notes=notes).annotations[0].label == "v" and not notes
    assert read(tsv("", "1-1\t0-4\tThis\t"), notes=notes).annotations == ()
    assert notes == {"files without a layer of spans, read as texts without entities": 1}
