"""spaCy's DocBin: entities, span groups, sentences, white space, damaged files, round trips, spaCy's own reading."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from structseq.data.annotation.docbin import LIMITS, read_docbin, write_docbin
from structseq.data.annotation.document import Annotation, Document, Notes, Place
from structseq.data.annotation.table import DOCUMENT_FORMATS
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError, DataError

VOCAB = Vocab()


def doc(words: Sequence[str], **options: Any) -> Doc:
    return Doc(VOCAB, words=list(words), **{"spaces": [True] * (len(words) - 1) + [False] * bool(words), **options})


def binary(*docs: Doc, user_data: bool = False) -> io.BytesIO:
    return io.BytesIO(DocBin(docs=docs, store_user_data=user_data).to_bytes())


def read(*docs: Doc, **options: Any) -> list[Document]:
    return list(read_docbin(binary(*docs, user_data=True), **options))


def written(*documents: Document) -> io.BytesIO:
    stream = io.BytesIO()
    write_docbin(stream, documents)
    stream.seek(0)
    return stream


def spacy_docs(stream: io.BytesIO) -> list[Doc]:
    return list(DocBin().from_bytes(stream.getvalue()).get_docs(Vocab()))


def test_entities_sentences_and_categories() -> None:
    made = doc(
        ["to", "Taipei", "\n", "from", "New", "York"],
        sent_starts=[True, False, False, True, False, False],
        ents=["O", "B-GPE", "O", "O", "B-city", "I-city"],
    )
    made.ents = [*made.ents[:1], Span(made, 4, 6, label="city", kb_id="Q60", span_id="rule")]
    made.cats = {"flight": 0.9, "hotel": 0.2, "trip": 1}
    (document,) = read(made)
    assert document == Document(
        "to Taipei \n from New York",
        (
            Annotation("GPE", ((3, 9),)),
            Annotation("city", ((17, 25),), attributes={"kb_id": "Q60", "ent_id": "rule"}),
        ),
        labels=("flight", "trip"),
        tokens=((0, 2), (3, 9), (12, 16), (17, 20), (21, 25)),
        sentences=((0, 9), (12, 25)),
        source="<stream>:record 1",
    )


def test_annotated_or_not() -> None:
    outside = doc(["no", "city"], ents=["O", "O"])
    bare, empty = doc(["to", "Taipei"]), doc([])
    assert [each.annotations for each in read(outside, bare, empty)] == [(), None, ()]
    assert [each.annotations for each in read(bare, empty)] == [None, ()]
    assert [each.sentences for each in read(bare, doc(["one"]))] == [None, None]
    assert read() == []


def test_the_spaces_of_words_alone() -> None:
    (document,) = read(Doc(VOCAB, words=["to", "Taipei"]))
    assert document.text == "to Taipei"


def grouped(**groups: Sequence[tuple[int, int, str]]) -> Doc:
    made = doc(["in", "New", "York", "City"])
    for key, spans in groups.items():
        made.spans[key] = [Span(made, *span) for span in spans]
    return made


NESTED = [(1, 3, "city"), (1, 4, "place")]


def test_span_groups() -> None:
    both = grouped(sc=NESTED, other=[(0, 1, "x")])
    both.spans["sc"].attrs["scores"] = np.array([0.5, 0.25], dtype="float32")
    notes = Notes()
    first, second = read(both, grouped(), notes=notes)
    assert first.annotations == (
        Annotation("city", ((3, 11),), attributes={"score": 0.5}),
        Annotation("place", ((3, 16),), attributes={"score": 0.25}),
    )
    assert second.annotations is None
    assert notes == {"texts whose spans 'other' were left out (data.layer=sc)": 1}
    (named,) = read(both, layer="other")
    assert [each.label for each in named.annotations or ()] == ["x"]
    (only,) = read(grouped(mine=NESTED))
    assert [each.label for each in only.annotations or ()] == ["city", "place"]


def test_entities_come_before_span_groups() -> None:
    both, notes = grouped(sc=NESTED), Notes()
    both.ents = [Span(both, 3, 4, label="L")]
    other = grouped(sc=NESTED)
    assert [each.annotations for each in read(both, other, notes=notes)] == [(Annotation("L", ((12, 16),)),), None]
    assert notes == {"texts whose spans 'sc' were left out (data.layer=ents)": 2}
    assert [len(each.annotations or ()) for each in read(both, other, layer="sc")] == [2, 2]


def test_spans_without_tokens_or_label_are_left_out() -> None:
    notes = Notes()
    (document,) = read(grouped(sc=[(1, 1, "empty"), (0, 1, ""), (0, 1, "L")]), notes=notes)
    assert document.annotations == (Annotation("L", ((0, 2),)),)
    assert notes == {"spans without tokens or without a label, left out": 2}


def test_unclear_layers() -> None:
    with pytest.raises(
        DataError, match=r"expected entities or one group of spans, found a, b; name one as data\.layer"
    ):
        read(grouped(a=NESTED, b=NESTED))
    with pytest.raises(DataError, match=r"expected the layer 'c' \(data\.layer\), found ents, a; name one of these"):
        read(grouped(a=NESTED), layer="c")


def test_user_data() -> None:
    made = doc(["to", "Taipei"], ents=["O", "B-city"])
    made.user_data = {
        "id": 7,
        "meta": {"a": [1, None]},
        "bytes": b"x",
        3: "number",
        ("._.", "score", 3, 9): 0.5,
        ("._.", "token", 3, None): "left out",
    }
    notes = Notes()
    (document,) = read(made, notes=notes)
    assert document.metadata == {"id": 7, "meta": {"a": [1, None]}}
    assert document.annotations == (Annotation("city", ((3, 9),), attributes={"score": 0.5}),)
    assert notes == {"further values of user_data, left out": 3}
    (without,) = read_docbin(binary(made))
    assert without.metadata == {}


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "train.spacy"
    DocBin(docs=[doc(["a"]), doc(["b"])]).to_disk(path)
    assert [each.source for each in read_docbin(path)] == [f"{path}:record 1", f"{path}:record 2"]
    write_docbin(path, read_docbin(path))
    assert [each.text for each in read_docbin(path)] == ["a", "b"]
    with pytest.raises(DataError, match="there is no such file"):
        list(read_docbin(tmp_path / "no.spacy"))


def test_without_spacy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("importlib.import_module", missing)
    for action in (lambda: list(read_docbin(binary(doc(["a"])))), lambda: write_docbin(io.BytesIO(), [])):
        with pytest.raises(ConfigError, match=r"need spacy, which cannot be imported .*; pip install spacy"):
            action()


# --- damaged files ----------------------------------------------------------------------------------------------------


def changed(change: Callable[[dict[str, Any]], Any]) -> io.BytesIO:
    made = grouped(sc=NESTED)
    made.ents = [Span(made, 1, 3, label="city", kb_id="Q60")]
    message = srsly.msgpack_loads(zlib.decompress(binary(made, user_data=True).getvalue()))
    change(message)
    return io.BytesIO(zlib.compress(srsly.msgpack_dumps(message)))


def column(name: str, *values: int) -> Callable[[dict[str, Any]], None]:
    def change(message: dict[str, Any]) -> None:
        at = message["attrs"].index(spacy.attrs.IDS[name])
        tokens = np.frombuffer(message["tokens"], "<u8").reshape(4, -1).copy()
        tokens[:, at] = values
        message["tokens"] = tokens.tobytes()

    return change


def group(*spans: bytes, **other: Any) -> Callable[[dict[str, Any]], None]:
    value = srsly.msgpack_dumps({"name": "sc", "attrs": {}, "spans": list(spans), **other})
    return lambda message: message.update(span_groups=[srsly.msgpack_dumps({value: ["sc"]})])


def span(first: int, last: int, label: int = 384) -> bytes:
    return struct.pack(">QQQllll", 0, 0, label, first, last, 0, 0)


DAMAGED = [
    lambda m: m.pop("tokens"),
    lambda m: m.pop("attrs"),
    lambda m: m.update(attrs=[]),
    lambda m: m.update(attrs=[99, *m["attrs"][1:]]),
    lambda m: m.update(attrs="ORTH"),
    lambda m: m.update(tokens=m["tokens"][:-1]),
    lambda m: m.update(tokens="text"),
    lambda m: m.update(spaces=b""),
    lambda m: m.update(lengths=np.array([-1, 5], "int32").tobytes()),
    lambda m: m.update(lengths=b"abc"),
    lambda m: m.update(strings=[]),
    lambda m: m.update(strings=[1, {}]),
    lambda m: m.update(cats=[]),
    lambda m: m.update(cats={}),
    lambda m: m.update(cats=["x"]),
    lambda m: m.update(cats=[{"x": "high"}]),
    lambda m: m.update(cats=[{"x": None}]),
    lambda m: m.update(flags=[None]),
    lambda m: m.update(span_groups=["x"]),
    lambda m: m.update(span_groups=[b"\xff\xff"]),
    lambda m: m.update(user_data=[b"\xc1"]),
    lambda m: m.update(user_data=[b"\x91\x01"]),
    column("ORTH", 1 << 63, 0, 0, 0),
    column("ENT_IOB", 1, 1, 1, 1),
    column("ENT_TYPE", 5 << 40, 5 << 40, 5 << 40, 0),
    group(span(0, 5)),
    group(span(-1, 2)),
    group(span(3, 2)),
    group(span(1 << 20, 1 << 30)),
    group(span(0, 1, 5 << 40)),
    group(b"short"),
    group(span(0, 1), attrs={"scores": [None]}),
    group(span(0, 1), attrs={"scores": {b"nd": True, b"type": "<f4", b"data": b"123"}}),
    group(span(0, 1), attrs=3),
    group(spans=None),
]


@pytest.mark.parametrize("change", DAMAGED)
def test_damaged_files(change: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(DataError, match=r"<stream>.*expected a whole file of spaCy's DocBin, found") as caught:
        list(read_docbin(changed(change), layer="sc"))
    assert "write it again" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"to Taipei",
        zlib.compress(b""),
        zlib.compress(b"\x93\x01\x02\x03"),
        zlib.compress(b"\x81\x90\x01"),
        zlib.compress(b"\x91" * 100_000),
        zlib.compress(b"\xdd\xff\xff\xff\xff"),
        b"\x1f\x8b" + bytes(20),
    ],
)
def test_other_bytes(data: bytes) -> None:
    with pytest.raises(DataError, match=r"expected a whole file|cannot be read"):
        list(read_docbin(io.BytesIO(data)))


def test_cut_and_flipped_bytes() -> None:
    data = changed(lambda m: None).getvalue()
    for size in range(0, len(data), 7):
        with pytest.raises(DataError):
            list(read_docbin(io.BytesIO(data[:size])))
    content = zlib.decompress(data)
    for at in range(0, len(content), 5):
        for flipped in (255, 1):
            with suppress(DataError):
                damaged = content[:at] + bytes([content[at] ^ flipped]) + content[at + 1 :]
                list(read_docbin(io.BytesIO(zlib.compress(damaged, 0)), layer="sc"))


# --- writing ----------------------------------------------------------------------------------------------------------


def test_what_spacy_reads() -> None:
    text = "  to  \U0001f60a Taipei\r\n\u00a0now\t"
    attributes = {"kb_id": "Q1867", "ent_id": "r", "score": 0.5}
    annotation = Annotation("city", ((8, 14),), attributes=attributes)
    tokens = ((2, 4), (6, 7), (8, 14), (17, 20))
    document = Document(text, (annotation,), (), ("trip",), tokens, ((2, 14), (17, 20)), {"id": 7})
    stream = written(document)
    (made,) = spacy_docs(stream)
    assert made.text == text
    (entity,) = made.ents
    assert (entity.text, entity.label_, entity.kb_id_, entity.id_) == ("Taipei", "city", "Q1867", "r")
    assert made.cats == {"trip": 1.0} and made.user_data["id"] == 7
    assert made.user_data[("._.", "score", 8, 14)] == 0.5
    assert [sentence.text.strip() for sentence in made.sents] == ["to  \U0001f60a Taipei", "now"]
    (back,) = read_docbin(stream)
    assert replace(back, source="") == document


def test_overlapping_annotations_are_a_group_in_all_texts() -> None:
    nested = Document("in New York", (Annotation("a", ((3, 11),)), Annotation("b", ((3, 6),))))
    documents = [nested, Document("New York", (Annotation("a", ((0, 8),)),)), Document("none", ()), Document("not yet")]
    stream = written(*documents)
    assert [[each.text for each in made.spans.get("sc", ())] for made in spacy_docs(stream)] == [
        ["in New York"[3:], "New"], ["New York"], [], [],
    ]  # fmt: skip
    assert [each.annotations for each in read_docbin(stream)] == [each.annotations for each in documents]


def annotated(*parts: Place, text: str = "in New York", **more: Any) -> Document:
    return Document(text, tuple([Annotation("L", (part,)) for part in parts]), source="x.jsonl:3", **more)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (annotated((3, 5)), "cannot hold spans that cut a token, found L 3:5 'Ne'; correct it"),
        (annotated((2, 6)), "spans that cut a token, found L 2:6 ' New'"),
        (annotated((0, 2), tokens=((0, 2),)), "tokens that leave out text"),
        (
            annotated((0, 2), tokens=((0, 2), (1, 11))),
            "tokens that leave out text, are white space or are not in order",
        ),
        (annotated((0, 2), tokens=((0, 2), (2, 3), (3, 11))), "tokens of white space such as ' '"),
        (annotated((0, 2), sentences=((0, 2),)), "sentences that have no tokens, leave out tokens or cut one"),
        (annotated((0, 2), sentences=((0, 2), (2, 3), (3, 11))), "sentences that have no tokens"),
        (annotated((0, 2), sentences=((0, 4), (4, 11))), "sentences that have no tokens"),
        (annotated((0, 2), labels=("a", "a")), "cannot hold the same label of a text twice"),
        (annotated((0, 1), text="\ud800"), "cannot hold half a surrogate pair"),
        (annotated((0, 2), metadata={"n": 1 << 64}), "cannot hold metadata such as 'n'; leave it out with --lossy"),
        (annotated((0, 2), metadata={"n": {1, 2}}), "cannot hold metadata such as 'n'"),
        (Document("a", (Annotation("", ((0, 1),)),), source="x.jsonl:3"), "annotations with labels such as"),
        (
            Document(
                "a", (Annotation("L", ((0, 1),)), Annotation("M", ((0, 1),), attributes={"s": 1})), source="x.jsonl:3"
            ),
            "cannot hold different attributes of two annotations at 0 to 1",
        ),
    ],
)
def test_what_no_docbin_holds(tmp_path: Path, document: Document, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        DOCUMENT_FORMATS["spacy"].save(tmp_path / "x.spacy", [Document("fine"), document])
    assert (caught.value.file, caught.value.line) == ("x.jsonl", 3)
    assert not list(tmp_path.iterdir())


CHARACTERS = st.sampled_from("ab1 .\r\n\t\u00a0\u3000\x0c\x85\u2028é\u0301\U0001f60a\U0001f468\u200d中\"'\\_|[]*;\0")
LABELS = st.sampled_from(["L", "GPE", "a b", "\U0001f60a", "_|[]*;"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(CHARACTERS, max_size=3), st.lists, max_leaves=3
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = draw(st.text(CHARACTERS, max_size=14))
    tokens = tuple([(token.start, token.end) for token in tokenizer_of("words-1")(text)])
    spans = st.tuples(st.integers(0, 9), st.integers(0, 3), LABELS).filter(lambda span: span[0] + span[1] < len(tokens))
    attributes = st.fixed_dictionaries({}, optional={"kb_id": st.sampled_from(["Q1", ""]), "ent_id": JSON, "x": JSON})
    annotations = []
    for first, more, label in draw(st.lists(spans, max_size=3)) if tokens else ():
        place = (tokens[first][0], tokens[first + more][1])
        if all(place != each.parts[0] for each in annotations):
            annotations.append(Annotation(label, (place,), attributes=draw(attributes)))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(tokens) - 1)), max_size=2)))
    runs = [run for run in (tokens[a:b] for a, b in pairwise([0, *cuts, len(tokens)])) if run]
    sentences = tuple([(run[0][0], run[-1][1]) for run in runs]) if draw(st.booleans()) and len(tokens) > 1 else None
    labels = tuple(draw(st.sets(LABELS, max_size=2)))
    metadata = draw(st.dictionaries(st.text(CHARACTERS, max_size=2), JSON, max_size=2))
    known = not text or draw(st.booleans())
    return Document(text, tuple(annotations) if known else None, (), labels, tokens, sentences, metadata)


def ordered(document: Document) -> Document:
    found = document.annotations
    return replace(document, annotations=found and tuple(sorted(found, key=repr)), source="")


@settings(max_examples=40, deadline=None)
@given(documents())
@example(Document("a", ()))
@example(Document("\r\n", (), tokens=()))
def test_round_trip(document: Document) -> None:
    expected = replace(document, tokens=document.tokens or (() if not document.text.strip() else ((0, 1),)))
    stream = written(*LIMITS.fit([document], tokenizer_of("words-1"), notes=Notes()))
    (back,) = read_docbin(stream)
    if not document.text:  # a text without tokens cannot be marked as annotated
        back, expected = replace(back, annotations=None), replace(expected, annotations=None)
    assert ordered(back) == ordered(expected)
    assert [made.text for made in spacy_docs(stream)] == [document.text]


def test_tokens_without_a_decision_are_counted() -> None:
    made, notes = doc(["to", "Taipei", "now"]), Notes()
    made.set_ents([Span(made, 1, 2, label="city")], default="missing")
    assert read(made, notes=notes)[0].annotations == (Annotation("city", ((3, 9),)),)
    assert notes == {"tokens without a decision on entities, read as outside of them": 2}
