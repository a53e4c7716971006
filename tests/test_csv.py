"""CSV files: a token a row or a text a row, found by the names in the header; written and read back exactly."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from structseq.data.annotation.document import Notes
from structseq.data.csvfile import read_csv, write_csv
from structseq.data.example import Example
from structseq.errors import ConfigError, DataError

# The first rows of the NER corpus on Kaggle, with its typographic quotes: the name of a sentence comes once
KAGGLE = (
    "Sentence #,Word,POS,Tag\r\nSentence: 1,Thousands,NNS,O\r\n,of,IN,O\r\n,demonstrators,NNS,O\r\n"
    'Sentence: 2,"""",``,O\r\n,London,NNP,B-geo\r\n,",",",",O\r\nSentence: 3,caf\xe9,NN,O\r\n'
)


def read(content: str | bytes, **options: Any) -> list[Example]:
    return list(read_csv(io.BytesIO(content if isinstance(content, bytes) else content.encode()), **options))


def written(examples: list[Example], **options: Any) -> bytes:
    target = io.BytesIO()
    write_csv(target, examples, **options)
    return target.getvalue()


def sentences(examples: list[Example]) -> list[tuple[tuple[str, ...], tuple[str, ...] | None]]:
    return [(each.tokens, each.targets.get("tags")) for each in examples]


# -- a token a row ----------------------------------------------------------------------------------------------------


def test_the_corpus_of_kaggle(tmp_path: Path) -> None:
    file = tmp_path / "ner_dataset.csv"
    file.write_bytes(KAGGLE.encode("latin-1"))
    found = list(read_csv(file, encoding="latin-1", columns={"pos": "POS"}))
    assert sentences(found) == [
        (("Thousands", "of", "demonstrators"), ("O", "O", "O")),
        (('"', "London", ","), ("O", "B-geo", "O")),
        (("café",), ("O",)),
    ]
    assert found[1].inputs["pos"] == ("``", "NNP", ",")
    assert [each.source for each in found] == [f"{file}:{line}" for line in (2, 5, 8)]
    assert all(not each.metadata and not each.starts_document for each in found)
    with pytest.raises(DataError, match=r"ner_dataset.csv:8: .*encoding='latin-1'"):
        list(read_csv(file))


TWO = [(("a", "b"), ("O", "B-x")), (("c",), ("O",))]


@pytest.mark.parametrize(
    "content",
    [
        "word,tag\na,O\nb,B-x\n\nc,O\n",
        "\ufeffword,tag\r\n\r\na,O\r\nb,B-x\r\n\r\n\r\nc,O",
        "\n\nToken;NER\na;O\nb;B-x\n;\nc;O\n",
        " tokens\tner_tags \na\tO\nb\tB-x\n\t\nc\tO\n",
        "sentence,words,labels\n1,a,O\n1,b,B-x\n2,c,O\n",
        "sent_id,tag,word\ns1,O,a\n,B-x,b\ns2,O,c\n",
        "Sentence_ID,sentence,word,tag\n1,a b,a,O\n1,a b,b,B-x\n2,a b,c,O\n",
        ",sentence_number,word,tag\n0,1,a,O\n1,1,b,B-x\n2,2,c,O\n",
        '"word","tag"\n"a","O"\n"b","B-x"\n"",""\n"c","O"\n',
        'tag,"odd;name",word\nO,x,a\nB-x,y,b\n,,\nO,z,c\n',
    ],
)
def test_layouts_of_tokens(content: str) -> None:
    assert sentences(read(content)) == TWO
    assert sentences(read(gzip.compress(content.encode()))) == TWO
    assert [tokens for tokens, _ in sentences(read(content, tags=False))] == [("a", "b"), ("c",)]


@pytest.mark.parametrize(
    ("header", "options"),
    [
        ("mot,étiquette", {"token_column": "mot", "tag_column": "étiquette"}),
        ("mot,étiquette", {"token_column": "MOT ", "tag_column": 1}),
        ("word,pos", {"tag_column": "pos"}),
        ("word,chunk_tag", {"tag_column": "Chunk_Tag"}),
        ("word,a", {"token_column": -2, "tag_column": "a"}),
    ],
)
def test_columns_are_named(header: str, options: dict[str, Any]) -> None:
    assert sentences(read(f"{header}\na,O\nb,B-x\n\nc,O\n", **options)) == TWO


def test_other_named_columns() -> None:
    found = read("block,word,pos,tag\nx,a,N,O\ny,b,,O\n", sentence_column="block", columns={"pos": 2, "b": "block"})
    assert [each.inputs for each in found] == [
        {"tokens": ("a",), "pos": ("N",), "b": ("x",)},
        {"tokens": ("b",), "pos": ("",), "b": ("y",)},
    ]
    # A further input is no candidate for the tag
    assert sentences(read("word,ner,label\na,O,x\n", columns={"entity": "label"})) == [(("a",), ("O",))]
    assert sentences(read("word,pos\na,N\n", tag_column=None)) == [(("a",), None)]
    assert sentences(read("word,pos\na,N\n", columns={"pos": "pos"})) == [(("a",), None)]


def test_numbers_of_tags_have_names() -> None:
    assert sentences(read("word,tag\na,0\nb,2\n", labels=["O", "B-x", "I-x"])) == [(("a", "b"), ("O", "I-x"))]
    with pytest.raises(DataError, match=":3: expected the number of a tag, 0 to 1, found 2"):
        read("word,tag\na,0\nb,2\n", labels=["O", "B-x"])


def test_fields_may_have_lines_and_quotes() -> None:
    found = read('word,tag\n"a\nb",O\n"c ""d""",O\n\n"e;f\t",B-x\n')
    assert sentences(found) == [(("a\nb", 'c "d"'), ("O", "O")), (("e;f\t",), ("B-x",))]
    assert [each.source for each in found] == ["<stream>:2", "<stream>:6"]


def test_a_file_is_read_lazily_and_a_header_alone_is_empty() -> None:
    examples = read_csv(io.BytesIO(b"word,tag\na,O\n\nb,O\nc\n"))
    assert next(examples).tokens == ("a",)
    with pytest.raises(DataError, match=":5: expected 2 fields"):
        next(examples)
    assert read("word,tag\n") == []


# -- a text a row -----------------------------------------------------------------------------------------------------


def test_texts_with_labels() -> None:
    found = read('text,label,id\n"to Rome, now",flight,7\n\nhi,,8\n')
    assert [each.tokens for each in found] == [("to", "Rome", ",", "now"), ("hi",)]
    assert [each.metadata for each in found] == [
        {"text": "to Rome, now", "label": "flight", "id": "7"},
        {"text": "hi", "label": "", "id": "8"},
    ]
    assert all(not each.targets for each in found) and found[1].source == "<stream>:4"


@pytest.mark.parametrize("name", ["spans", "Entities", "SPANS"])
def test_texts_with_spans(name: str) -> None:
    spans = json.dumps([[3, 7, "city"]]), json.dumps([{"start": 0, "end": 2, "label": "x"}]), "[]", ""
    rows = "".join('to Rome,"' + each.replace('"', '""') + '"\n' for each in spans)
    found = read(f"Text,{name}\n{rows}")
    assert [each.targets.get("tags") for each in found] == [("O", "B-city"), ("B-x", "O"), ("O", "O"), None]
    assert found[0].metadata == {"text": "to Rome"}
    assert read(f"Text,{name}\n{rows}", scheme="BIOES")[0].tags == ("O", "S-city")
    assert not any(each.targets for each in read(f"Text,{name}\n{rows}", tags=False))


def test_texts_in_a_named_column() -> None:
    found = read('token,phrase,marks\nx,to Rome,"[[3,7,""city""]]"\n', text_column="phrase", span_column="marks")
    assert found[0].tokens == ("to", "Rome") and found[0].tags == ("O", "B-city")
    assert read("text,word,tag\na b,a,O\n", token_column="word")[0].tokens == ("a",)


def test_policies_for_spans() -> None:
    content = 'text,spans\nto Rome,"[[3,6,""city""]]"\n'
    with pytest.raises(DataError, match=":2: expected a span from the start of a token"):
        read(content)
    assert read(content, misaligned="expand")[0].tags == ("O", "B-city")
    assert [each.tokens for each in read('text\n"a b\nc"\n', split="lines")] == [("a", "b"), ("c",)]


# -- what is wrong ----------------------------------------------------------------------------------------------------

LONG = "x" * (csv.field_size_limit() + 1)
CASES: dict[str, tuple[str | bytes, dict[str, Any], int | None, tuple[str, ...]]] = {
    "empty": ("", {}, None, ("expected a header", "found an empty file")),
    "blank": ("\n \n", {}, None, ("found only blank lines",)),
    "unknown names": ("\na,b\nx,y\n", {}, 2, ("column of tokens", "texts", "data.token_column=NAME", "'a', 'b'")),
    "two tokens": ("word,token,tag\na,b,O\n", {}, 1, ("one column of tokens", "'word' and 'token'", "token_column")),
    "two tags": ("word,tag,ner\na,b,O\n", {}, 1, ("one column of tags", "'tag' and 'ner'", "data.tag_column=NAME")),
    "tokens and texts": ("word,text,tag\na,b,O\n", {}, 1, ("tokens or texts", "'word' and 'text'", "text_column=NAME")),
    "no tag": ("word,pos\na,N\n", {}, 1, ("a column of tags", "data.tag_column=NAME", "'word', 'pos'")),
    "no such column": ("word,tag\na,O\n", {"tag_column": "ner"}, 1, ("the column 'ner' (tag_column)", "correct")),
    "no such number": ("word,tag\na,O\n", {"token_column": 2}, 1, ("the column 2 (token_column)",)),
    "no such further input": ("word,tag\na,O\n", {"columns": {"p": "pos"}}, 1, ("the column 'pos'", "columns={'p'")),
    "token and tag are one": ("word,tag\na,O\n", {"tag_column": "word"}, 1, ("two columns", "'word' for both")),
    "a name twice": ("word,tag,word\na,O,b\n", {}, 1, ("every column once", "'word' twice")),
    "half a name": ("w\0ord,tag\na,O\n", {}, 1, ("'w\\x00ord'",)),
    "field too many": ("word,tag\na,O\n,,,O\n", {}, 3, ("2 fields (word, tag)", "line 1", "found 4", "quote")),
    "field missing": ("word,tag\na,O\nb\n", {}, 3, ("expected 2 fields", "found 1 in 'b'", "add what is missing")),
    "empty token": ("word,tag\na,O\n,O\n", {}, 3, ("expected a token in the column 'word'", "empty field")),
    "empty tag": ("word,tag\na,\n", {}, 2, ("expected a tag in the column 'tag'", "empty field")),
    "open quote": ('word,tag\na,O\n"b,O\nc,O\n', {}, 3, ("closing quote", "end of the file", "twice")),
    "text after a quote": ('word,tag\n"a"b,O\n', {}, 2, ("separator after a quoted field", "twice")),
    "bare \\r": ("word,tag\na\rb,O\n", {}, 2, ("bare \\r", "convert the line endings")),
    "Mac line ends": ("word,tag\ra,O\r", {}, 1, ("bare \\r",)),
    "long field": (f"word,tag\na,O\n{LONG},O\n", {}, 3, ("at most 131,072 characters", "close its quote")),
    "latin-1": ("word,tag\na,O\né,O\n".encode("latin-1"), {}, 3, ("expected utf-8", "encoding='latin-1'")),
    "lists as text": ("tokens,tags\n['a' 'b'],['O' 'O']\n", {}, 1, ("lists written as text", "Parquet")),
    "bad JSON": ('text,spans\nto Rome,"[[3,7,""x""]"\n', {}, 2, ("as JSON", "char")),
    "Python's quotes": ("text,spans\nto Rome,\"[(3, 7, 'x')]\"\n", {}, 2, ("as JSON", "found \"[(3, 7, 'x')]\"")),
    "no list": ("text,spans\nto Rome,3\n", {}, 2, ("expected a list of spans", "found 3")),
    "key twice": ('text,spans\na,"[{""start"":0,""start"":0}]"\n', {}, 2, ("as JSON", "'start' twice")),
    "half surrogate": ('text,spans\na,"[[0,1,""\\ud800""]]"\n', {}, 2, ("half a surrogate pair",)),
    "bad span": ('text,spans\nto Rome,"[[3,70,""x""]]"\n', {}, 2, ("70",)),
    "deep JSON": ("text,spans\na," + "[" * 100_000 + "\n", {}, 2, ("as JSON",)),
}


@pytest.mark.parametrize("name", CASES)
def test_malformed_files(name: str, tmp_path: Path) -> None:
    content, options, line, words = CASES[name]
    file = tmp_path / "a.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        list(read_csv(file, **options))
    assert (caught.value.file, caught.value.line) == (str(file), line)
    for word in words:
        assert word in caught.value.message


def test_wrong_options_are_said_at_once() -> None:
    with pytest.raises(ConfigError, match="cannot be called 'tokens'"):
        read_csv("a.csv", columns={"tokens": "word"})
    with pytest.raises(ConfigError, match="a name or a number for the further input 'p'"):
        read_csv("a.csv", columns={"p": 1.5})
    with pytest.raises(ConfigError, match="misaligned='never'"):
        read_csv("a.csv", misaligned="never")


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet='word,tag;text\tspans[]{}:0123"\n\r\ufeff#-', max_size=60))
def test_any_text_is_read_or_refused(content: str) -> None:
    for text in (content, f"word,tag\n{content}", f"text,spans\n{content}"):
        try:
            read(text)
        except DataError as error:
            assert error.file == "<stream>"


# -- writing ----------------------------------------------------------------------------------------------------------

ODD = (",", ";", "\t", '"', "'", "\n", "\r", "\r\n", " ", "\\", "\0", "\ufeff", "\u2028", "\x1c", "#", "😀", "e\u0301")
words = st.sampled_from(ODD) | st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=4)


@st.composite
def corpora(draw: st.DrawFn) -> list[Example]:
    names = draw(st.sampled_from([(), ("pos",), ("word", "Tag")]))
    tagged = draw(st.booleans())
    made = []
    for length in draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)):
        column = st.lists(words, min_size=length, max_size=length).map(tuple)
        inputs = {"tokens": draw(column), **{name: draw(column) for name in names}}
        made.append(Example(inputs, {"tags": draw(column)} if tagged else {}))
    return made


@settings(max_examples=100, deadline=None)
@example([Example.of(["\ufeff", '"'], ["O", "O"], pos=["", "a\rb"])])
@given(corpora())
def test_what_is_written_is_read_back(examples: list[Example]) -> None:
    further = {name: name for name in examples[0].inputs if name != "tokens"}
    content = written(examples)
    found = read(content, columns=further)
    assert [(each.inputs, each.targets) for each in found] == [(each.inputs, each.targets) for each in examples]
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert len(rows) == 1 + sum(map(len, examples))


def test_what_is_written() -> None:
    examples = [Example.of(["to", "New York, NY"], ["O", "B-x"], pos=["P", ""]), Example.of(["."], ["O"], pos=["."])]
    assert written(examples) == b'sentence,token,pos,tag\n1,to,P,O\n1,"New York, NY",,B-x\n2,.,.,O\n'
    assert written([Example.of(["a"])]) == b"sentence,token\n1,a\n"
    assert written([]) == b"sentence,token,tag\n" and read(written([])) == []


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        (Example({"tokens": ("a",)}, {"tags": ("O",)}, "", {"id": "7"}), "the metadata 'id'"),
        (Example({"tokens": ("a",)}, {"tags": ("O",)}, starts_document=True), "a document boundary"),
        (Example({"tokens": ()}, {"tags": ()}), "a sentence without tokens"),
        (Example.of([""], ["O"]), "an empty value in tokens"),
        (Example.of(["a"], [""]), "an empty value in tags"),
        (Example.of(["a"]), r"the columns \(tokens\) after sentences with \(tokens, tags\)"),
        (Example.of(["a"], ["O"], pos=["x"]), r"the columns \(tokens, pos, tags\)"),
        (Example.of([LONG], ["O"]), "a value of more than 131,072 characters in tokens"),
        (Example({"tokens": ("a",)}, {"label": "x"}), "the target 'label'"),
        (Example.of(["\ud800"], ["O"]), "half surrogates"),
    ],
)
def test_what_csv_cannot_hold(sentence: Example, said: str, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    with pytest.raises(DataError, match=said):
        write_csv(file, [Example.of(["a"], ["O"]), sentence])
    assert not file.exists()


@pytest.mark.parametrize("name", ["sentence", "token", "tag"])
def test_further_inputs_have_other_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"a further input called '{name}'"):
        write_csv(tmp_path / "a.csv", [Example.of(["a"], ["O"], **{name: ["x"]})])


# -- lists written as text --------------------------------------------------------------------------------------------

LISTS = [(("fly", "to", "Rome"), ("O", "O", "B-geo")), (("don't",), ("O",))]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (
            "Sentence #,Sentence,POS,Tag\nSentence: 1,fly to Rome,\"['V', 'P', 'N']\",\"['O', 'O', 'B-geo']\"\n"
            "Sentence: 2,don't,['V'],['O']\n",
            {"token_column": "Sentence"},
        ),
        ('tokens,tags\n"[\'fly\', \'to\', \'Rome\']","[\'O\', \'O\', \'B-geo\']"\n"[""don\'t""]","[""O""]"\n', {}),
    ],
)
def test_lists_written_as_text(content: str, options: dict[str, Any]) -> None:
    found = read(content, **options)
    assert sentences(found) == LISTS
    if options:
        found = read(content, **options, columns={"pos": "POS"})
        assert found[0].inputs["pos"] == ("V", "P", "N")


@pytest.mark.parametrize(
    "content",
    [
        "tokens,tags\n['fly' 'home'],['O' 'O']\n",  # as NumPy prints them
        "tokens,tags\n\"['fly', 'home']\",\"['O', 'O']\"\nfly,O\n",
        "word,tag\nfly home,\"['O', 'O', 'O']\"\n",
    ],
)
def test_lists_written_as_text_that_do_not_fit_are_named(content: str) -> None:
    with pytest.raises(DataError, match="lists written as text"):
        read(content)


def test_a_later_cell_that_is_no_list_is_named_with_its_line() -> None:
    row = "\"['fly', 'home']\",\"['O', 'O']\"\n"
    with pytest.raises(DataError, match=":102: expected a list in the column 'tags', found 'O'"):
        read("tokens,tags\n" + row * 100 + "\"['fly']\",O\n")


# -- a header is expected ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"token_column": "fly"}, {"token_column": 0, "tag_column": 1}])
def test_a_row_of_a_token_and_a_tag_is_no_header(options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r":1: expected a header .*found a row with a tag, 'fly, O'; write a line such"):
        read("fly,O\nRome,B-to\n", **options)


def test_other_rows_without_a_header() -> None:
    with pytest.raises(DataError, match=r"if the first row is no header, write one above it .*'fly', 'VB'"):
        read("fly,VB\nRome,NNP\n")


def test_a_word_a_row_under_text() -> None:
    content = "text,label\nfly,O\nRome,B-to\n"
    with pytest.raises(DataError, match=r"found a word a row with tags in 'label'; use .*data.token_column=text"):
        read(content)
    assert sentences(read(content, token_column="text", tag_column="label")) == [(("fly", "Rome"), ("O", "B-to"))]
    assert len(read(content, text_column="text")) == 2
    assert [each.metadata["label"] for each in read("text,label\nfly,O\nto Rome,O\n")] == ["O", "O"]


def test_the_csv_export_of_label_studio() -> None:
    spans = json.dumps([{"start": 3, "end": 7, "text": "Rome", "labels": ["city"]}]).replace('"', '""')
    content = f'text,id,{{}},annotator\nbye,1,,1\nto Rome,2,"{spans}",1\n'
    for name in ("label", "ner"):
        found = read(content.replace("{}", name))
        assert sentences(found) == [(("bye",), None), (("to", "Rome"), ("O", "B-city"))]
        assert "label" not in found[1].metadata
    with pytest.raises(DataError, match="one column of spans, found 'a' and 'b'"):
        read(f'text,a,b\nto Rome,"{spans}","{spans}"\n')


def test_numbers_of_sentences_that_come_again_are_noted() -> None:
    notes = Notes()
    assert len(read("sentence,word,tag\n1,a,O\n2,b,O\n1,c,O\n", notes=notes)) == 3
    assert notes == {"sentences with the number of an earlier one, read as new sentences": 1}
