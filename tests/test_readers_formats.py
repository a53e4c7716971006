"""Formats distinguished, their particulars, and files written back with other tags and all else kept."""

from __future__ import annotations

import gzip
import io
import json
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.data.charspans import CharSpan, align
from structseq.data.example import Example
from structseq.data.formats import FORMATS, detect_format, read, read_verbatim, write
from structseq.data.reading import Corpus
from structseq.data.tokenizer import Token, tokenize
from structseq.errors import ConfigError, DataError
from structseq.spans import Span

CONLLU = """# text = vámonos
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\t_\tMood=Imp|Number=Plur\t0\troot\t_\tNER=B-x|A=b
1.1\tfue\t_\tVERB\t_\t_\t_\t_\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_

"""

CONTENTS = {
    "columns": [
        *('{"a" O\n', "a O\n", "a\tO\n", "# id = 1\na O\n", "-DOCSTART- O\n\na O\n", "{\tO\n", "1\tO\n", ""),
        *("label text\n", "label\tO\ntext\tO\n", "# id = 1\nlabel\ttext\n", "pos\ta text\n"),
    ],
    "conllu": [CONLLU, "1" + "\t_" * 9 + "\n"],
    "jsonl": ['{"tokens": []}\n', '\ufeff\n {"text": "a"}', '{ "id": 1, "text": "a"}\r\n'],
    "labelled": [
        "label\ttext\npos\ta\n",
        "Label\tText\npos\ta\n",
        "\ufeff\r\ntext\tid\tlabel\r\n",
        " \n\n#\ttext\tlabel\na\tb\tc\n",
    ],
}


@pytest.mark.parametrize(("format", "content"), [(f, c) for f, contents in CONTENTS.items() for c in contents])
@pytest.mark.parametrize("name", ["a", "a.txt", "a.conll", "a.gz"])
def test_formats_are_recognised_by_content(format: str, content: str, name: str, tmp_path: Path) -> None:
    packed = gzip.compress(content.encode()) if name.endswith(".gz") else content.encode()
    (tmp_path / name).write_bytes(packed)
    assert detect_format(tmp_path / name) == format
    stream = io.BytesIO(packed)
    assert detect_format(stream) == format
    assert stream.read() == packed


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.jsonl", "jsonl"), ("A.JSON.gz", "jsonl"), ("a.conllu", "conllu"), ("seq.in", "threefile")],
)
def test_some_formats_are_recognised_by_name(name: str, format: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("a O\n")
    assert detect_format(tmp_path / name) == format


def test_a_folder_of_three_files(tmp_path: Path) -> None:
    (tmp_path / "seq.in").write_text("fly  to Taipei \n\n")
    (tmp_path / "seq.out.gz").write_bytes(gzip.compress(b"O O B-city\r\n\r\n"))
    (tmp_path / "label").write_text("book#fare\n\n")
    for where in (tmp_path, tmp_path / "seq.in"):
        first, second = read(where)
        assert (first.tokens, first.tags) == (("fly", "to", "Taipei"), ("O", "O", "B-city"))
        assert (dict(first.metadata), first.source) == ({"intent": "book#fare"}, f"{tmp_path / 'seq.in'}:1")
        assert (second.tokens, second.tags, dict(second.metadata)) == ((), (), {"intent": ""})
    (untagged, _) = read(tmp_path, tags=False, intents=False)
    assert (dict(untagged.targets), dict(untagged.metadata)) == ({}, {})


def test_one_set_of_options_serves_all_formats(tmp_path: Path) -> None:
    options: dict[str, Any] = {"tag_column": -1, "field": "xpos", "tokenizer": "words-1", "misaligned": "error"}
    corpus = [Example.of(["a", "b"], ["O", "B-x"])]
    for name in ("a.conll", "a.conllu", "a.jsonl"):
        write(tmp_path / name, corpus, field="xpos")
        (one,) = read(tmp_path / name, **options)
        assert one.tags == ("O", "B-x")
        (one,) = read(tmp_path / name, **options, tags=False)
        assert dict(one.targets) == {}


def test_options_of_every_reader_are_no_hindrance_to_labelled_texts(tmp_path: Path) -> None:
    readers = [signature(format.read).parameters.values() for format in FORMATS.values()]
    options: dict[str, Any] = {p.name: p.default for own in readers for p in own if p.kind is p.KEYWORD_ONLY}
    assert options.keys() >= {"tag_column", "field", "text_key", "misaligned", "intents", "tokenizer"}
    options["tokenizer"] = "characters-1"
    (tmp_path / "a.tsv").write_text("label\ttext\npos\tto be\n")
    (one,) = read(tmp_path / "a.tsv", "auto", **options)
    assert (one.tokens, dict(one.targets)) == (tuple("tobe"), {})
    corpus = Corpus.read(tmp_path / "a.tsv", tmp_path / "a.tsv", **options)
    assert corpus.train == corpus.dev == (one,)


def test_labelled_texts_are_not_rewritten_in_place() -> None:
    with pytest.raises(ConfigError, match="the labelled format cannot be rewritten in place"):
        read_verbatim(io.BytesIO(b"label\ttext\npos\ta\n"))


def test_a_corpus_of_files(tmp_path: Path) -> None:
    write(tmp_path / "train.conll", [Example.of(["a"], ["O"]), Example.of(["b"], ["O"])])
    write(tmp_path / "dev.jsonl", [Example.of(["c"], ["O"])])
    corpus = Corpus.read(tmp_path / "train.conll", tmp_path / "dev.jsonl")
    assert [len(part) for part in (corpus.train, corpus.dev, corpus.test)] == [2, 1, 0]


def test_conllu_fields() -> None:
    def of(**options: Any) -> Example:
        (one,) = read(io.BytesIO(CONLLU.encode()), "conllu", **options)
        return one

    assert of().tokens == ("vamos", "nos")
    assert of().tags == ("VERB", "PRON")
    assert of().source == "<stream>:3"
    assert dict(of().metadata) == {"text": "vámonos"}
    assert of(field="deprel").tags == ("root", "obj")
    assert of(field="feats:Number").tags == ("Plur", "_")
    assert of(field="misc:NER").tags == ("B-x", "O")
    assert of(columns={"lemma": "lemma", "mood": "feats:Mood", "head": 6}).inputs == {
        "tokens": ("vamos", "nos"), "lemma": ("ir", "nosotros"), "mood": ("Imp", "_"), "head": ("0", "1"),
    }  # fmt: skip


def retagged(content: str, format: str, tags: list[str], how: str, **options: Any) -> str:
    blocks = read_verbatim(io.BytesIO(content.encode()), format, **options)
    return "".join(getattr(block, how)(tags[: len(block.example or ())]) for block in blocks)


def test_conllu_written_back() -> None:
    expected = CONLLU.replace("\tir\tVERB", "\tir\tX").replace("PRON", "Y")
    assert retagged(CONLLU, "conllu", ["X", "Y"], "retag") == expected
    expected = CONLLU.replace("NER=B-x", "NER=O").replace("obj\t_\t_", "obj\t_\tNER=B-y")
    assert retagged(CONLLU, "conllu", ["O", "B-y"], "retag", field="misc:NER") == expected
    expected = CONLLU.replace("A=b", "A=b|Predicted=B-z")
    assert retagged(CONLLU, "conllu", ["B-z", "O"], "append") == expected
    with pytest.raises(DataError, match=r"<stream>:1: misc cannot hold a value with '\|'"):
        retagged(CONLLU, "conllu", ["a|b", "O"], "append")


COLUMNS = "# id = 1\na  NN O \n# why = not\n# # O\n\n-DOCSTART- x\n\nb\tNN O"


def test_columns_written_back() -> None:
    expected = "# id = 1\na  NN O X \n# why = not\n# # O Y\n\n-DOCSTART- x\n\nb\tNN O X"
    assert retagged(COLUMNS, "columns", ["X", "Y"], "append") == expected
    expected = "# id = 1\na  NN X \n# why = not\n# # Y\n\n-DOCSTART- x\n\nb\tNN X"
    assert retagged(COLUMNS, "columns", ["X", "Y"], "retag") == expected
    expected = "# id = 1\na  X O \n# why = not\n# Y O\n\n-DOCSTART- x\n\nb\tX O"
    assert retagged(COLUMNS, "columns", ["X", "Y"], "retag", tag_column=1) == expected


JSONL = '\ufeff{"tokens" :["a","}"],  "n": {"x": [1.0e5, "\\u00e9"]}, "tags":["O", "O"] } \r\n\n{"words": ["c"]}'


def test_json_lines_written_back() -> None:
    expected = JSONL.replace('["O", "O"] ', '["X", "é"] ').replace('["c"]', '["c"], "tags": ["X"]')
    assert retagged(JSONL, "jsonl", ["X", "é"], "retag") == expected
    added = ', "predicted_tags": '
    expected = JSONL.replace('["O", "O"]', f'["O", "O"]{added}["X", "Y"]').replace('["c"]', f'["c"]{added}["X"]')
    assert retagged(JSONL, "jsonl", ["X", "Y"], "append") == expected
    again = retagged(expected, "jsonl", ["Z", "Z"], "append")
    assert again == expected.replace('["X", "Y"]', '["Z", "Z"]').replace('["X"]', '["Z"]')


def test_a_text_gets_its_tokens_beside_its_tags() -> None:
    text = '{"text": "to Taipei.", "spans": [[3, 9, "city"]]}\n'
    record = json.loads(retagged(text, "jsonl", ["O", "B-x", "O"], "append"))
    assert (record["tokens"], record["predicted_tags"]) == (["to", "Taipei", "."], ["O", "B-x", "O"])
    with pytest.raises(DataError, match="<stream>:1: spans of characters have no tags to rewrite"):
        retagged(text, "jsonl", ["O", "B-x", "O"], "retag")


def test_lines_of_tokens() -> None:
    (first, second) = read_verbatim(io.BytesIO(COLUMNS.encode()))
    assert [first.line_of(0), first.line_of(1), second.line_of(0)] == [2, 4, 8]
    (word,) = read_verbatim(io.BytesIO(CONLLU.encode()))
    assert [word.line_of(0), word.line_of(1)] == [3, 5]
    records = list(read_verbatim(io.BytesIO(JSONL.encode())))
    assert [record.line_of(0) for record in records] == [1, 2, 3]
    assert [record.example is None for record in records] == [False, True, False]


SPELLINGS = {
    "lists": '{"text": "to (Paris) today", "spans": [[4, 9, "city"]]}',
    "entities": '{"text": "to (Paris) today", "entities": [[4, 9, "city"]]}',
    "doccano": '{"id": 7, "text": "to (Paris) today", "label": [[4, 9, "city"]]}',
    "older doccano": '{"text": "to (Paris) today", "labels": [[4, 9, "city"]]}',
    "objects": '{"text": "to (Paris) today", "spans": [{"start": 4, "end": 9, "label": "city"}]}',
    "offsets": '{"text": "to (Paris) today", "entities": [{"start_offset": 4, "end_offset": 9, "label": "city"}]}',
}


@pytest.mark.parametrize("record", SPELLINGS.values(), ids=SPELLINGS)
def test_spans_are_half_open_in_every_spelling(record: str) -> None:
    (one,) = read(io.BytesIO(record.encode()))
    assert (one.tokens, one.tags) == (("to", "(", "Paris", ")", "today"), ("O", "O", "B-city", "O", "O"))
    assert one.metadata["text"] == "to (Paris) today"
    (named,) = read(io.BytesIO(record.encode()), scheme="BILOU")
    assert named.tags == ("O", "O", "U-city", "O", "O")


def test_records_of_json_lines() -> None:
    lines = [
        '{"id": "7", "n": 3, "words": ["a", "b"], "ner_tags": ["O", "B-x"], "pos": ["N", "V"], '
        '"text": "a b", "label": "x"}',
        '{"tokens": []}',
        '{"text": "", "spans": []}',
        '{"text": "a"}',
        '{"tokens": ["New York", ""], "tags": ["B-x", "O"], "starts_document": true}',
    ]
    first, second, third, fourth, fifth = read(io.BytesIO("\n".join(lines).encode()), columns={})
    assert (first.tokens, first.tags) == (("a", "b"), ("O", "B-x"))
    assert dict(first.metadata) == {"id": "7", "text": "a b", "label": "x"}
    assert (second.tokens, dict(second.targets), second.source) == ((), {}, "<stream>:2")
    assert (third.tokens, third.tags) == ((), ())
    assert (fourth.tokens, dict(fourth.targets)) == (("a",), {})
    assert (fifth.tokens, fifth.starts_document) == (("New York", ""), True)
    (again,) = read(io.BytesIO(lines[0].encode()), columns={"part": "pos"})
    assert again.inputs["part"] == ("N", "V")
    (other,) = read(io.BytesIO(lines[0].encode()), token_key="pos", tag_key="words")
    assert (other.tokens, other.tags) == (("N", "V"), ("a", "b"))


TEXT = "fly to New York-Paris  today"
CUT = [Token(TEXT[s:e], s, e) for s, e in [(0, 3), (4, 6), (7, 10), (11, 21), (23, 28)]]
POLICIES = {
    "within a token": ((11, 15), (3, 4), None),
    "from one token into the next": ((7, 15), (2, 4), (2, 3)),
    "one blank too many in front": ((6, 10), (2, 3), (2, 3)),
    "one blank too many behind": ((11, 22), (3, 4), (3, 4)),
    "blanks alone": ((21, 23), None, None),
    "one blank between two tokens": ((21, 22), None, None),
    "aligned": ((7, 21), (2, 4), (2, 4)),
}


@pytest.mark.parametrize(("span", "expanded", "contracted"), POLICIES.values(), ids=POLICIES)
def test_policies_for_misaligned_spans(
    span: tuple[int, int], expanded: tuple[int, int] | None, contracted: tuple[int, int] | None
) -> None:
    given_span = [CharSpan(*span, "x")]
    for policy, expected in (("expand", expanded), ("contract", contracted)):
        found = align(TEXT, CUT, given_span, misaligned=policy)  # type: ignore[arg-type]
        assert found == (() if expected is None else (Span(*expected, "x"),))
    aligned = span == (7, 21)
    assert align(TEXT, CUT, given_span, misaligned="drop") == ((Span(2, 4, "x"),) if aligned else ())
    if not aligned:
        with pytest.raises(DataError) as caught:
            align(TEXT, CUT, given_span)
        assert f"x {span[0]}:{span[1]} {TEXT[slice(*span)]!r}" in caught.value.message
        assert "pieces-1" in caught.value.message


def test_two_spans_expanded_into_one_token() -> None:
    spans = [CharSpan(11, 15, "x"), CharSpan(16, 21, "y")]
    with pytest.raises(DataError, match="two expanded spans share the token 'York-Paris'"):
        align(TEXT, CUT, spans, misaligned="expand")
    assert align(TEXT, CUT, spans, misaligned="contract") == ()


@settings(max_examples=200)
@given(st.text("ab( )'.-\u200c台", max_size=12), st.data())
def test_spans_of_whole_tokens_are_found_and_no_others(text: str, data: st.DataObject) -> None:
    """Against the plain definition: every pair of tokens, start to end."""
    tokens = tokenize(text)
    start, end = sorted((data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text)))))
    if start == end:
        return
    whole = [(i, j + 1) for i, a in enumerate(tokens) for j, b in enumerate(tokens) if (a.start, b.end) == (start, end)]
    touched = [i for i, token in enumerate(tokens) if token.start < end and start < token.end]
    inside = [i for i, token in enumerate(tokens) if start <= token.start and token.end <= end]
    span = [CharSpan(start, end, "x")]
    assert [(s.start, s.end) for s in align(text, tokens, span, misaligned="drop")] == whole
    for policy, expected in (("expand", touched), ("contract", inside)):
        found = align(text, tokens, span, misaligned=policy)  # type: ignore[arg-type]
        assert [i for s in found for i in range(s.start, s.end)] == expected
