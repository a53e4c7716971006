"""Labelled texts: what is a header, a label and a text; what is kept, what is written and what is refused."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from structseq.data.example import Example
from structseq.data.formats import detect_format, read, write
from structseq.data.labelled import is_labelled_header, read_labelled, write_labelled
from structseq.data.reading import with_labels
from structseq.errors import ConfigError, DataError

GOLDEN = """label\ttext
positive\tyou'll end up moved .
negative\t"a dreary movie, at 2.5 hours
"""


def examples(content: str | bytes, **options: Any) -> list[Example]:
    return list(read_labelled(io.BytesIO(content if isinstance(content, bytes) else content.encode()), **options))


def pairs(content: str | bytes, **options: Any) -> list[tuple[str, str]]:
    return [(one.metadata["label"], one.metadata["text"]) for one in examples(content, **options)]


def labelled(label: str, text: str, **further: str) -> Example:
    """A text cut at its blanks, as the reader gives it."""
    return Example({"tokens": tuple(text.split())}, metadata={"label": label, "text": text, **further})


def test_three_lines(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(GOLDEN)
    file = tmp_path / "train.tsv"
    first, second = read(file)
    assert first == Example(
        {"tokens": ("you'll", "end", "up", "moved", ".")},
        {},
        f"{file}:2",
        {"label": "positive", "text": "you'll end up moved ."},
    )
    assert second.tokens == ('"', "a", "dreary", "movie", ",", "at", "2.5", "hours")
    assert dict(second.metadata) == {"label": "negative", "text": '"a dreary movie, at 2.5 hours'}
    assert (dict(second.targets), second.source, second.starts_document) == ({}, f"{file}:3", False)
    write(tmp_path / "again.tsv", [first, second], "labelled")
    assert (tmp_path / "again.tsv").read_text() == GOLDEN


AB = [("x", "a b"), ("y", "c")]

SHAPES = {
    "no header": "x\ta b\ny\tc\n",
    "header": "label\ttext\nx\ta b\ny\tc\n",
    "header the other way round": "text\tlabel\na b\tx\nc\ty\n",
    "no final newline": "label\ttext\nx\ta b\ny\tc",
    "CRLF": "label\ttext\r\nx\ta b\r\ny\tc\r\n",
    "CRLF without a header, without a final newline": "x\ta b\r\ny\tc",
    "byte order mark": "\ufefflabel\ttext\nx\ta b\ny\tc\n",
    "byte order mark without a header": "\ufeffx\ta b\ny\tc\n",
    "byte order mark and a blank line": "\ufeff\r\nlabel\ttext\nx\ta b\ny\tc\n",
    "blank lines": "\n\nlabel\ttext\n \nx\ta b\n\t\n\r\ny\tc\n\n \t \n",
    "spaces at the ends of labels": "label\ttext\n x\ta b\ny  \tc\n",
    "packed": gzip.compress(b"label\ttext\nx\ta b\ny\tc\n"),
}


@pytest.mark.parametrize("content", SHAPES.values(), ids=SHAPES)
def test_the_same_texts_in_many_shapes(content: str | bytes) -> None:
    assert pairs(content) == AB


LINES = {
    "spaces around a text": ("x\t  a b  \n", ("x", "  a b  ")),
    "an empty text": ("x\t\n", ("x", "")),
    "an empty text in CRLF": ("x\t\r\n", ("x", "")),
    "a text of spaces": ("x\t  \n", ("x", "  ")),
    "quotes": ('x\t"a ""b"" \n', ("x", '"a ""b"" ')),
    "quotes around both": ('"x"\t"a"\n', ('"x"', '"a"')),
    "a backslash": ("x\\\ta\\tb\\n\n", ("x\\", "a\\tb\\n")),
    "a label of two words": ("very good\ta\n", ("very good", "a")),
    "a number": ("4\t5\n", ("4", "5")),
    "a sign of comments": ("# x\t# a = b\n", ("# x", "# a = b")),
    "a boundary": ("-DOCSTART-\tO\n", ("-DOCSTART-", "O")),
    "other line ends": ("x\x85\ta\u2028b\x0bc\x0cd\x1ce\n", ("x\x85", "a\u2028b\x0bc\x0cd\x1ce")),
    "a carriage return inside": ("x\ta\rb\n", ("x", "a\rb")),
    "other white space at a label's ends": ("\u00a0x\u3000\ta\n", ("\u00a0x\u3000", "a")),
    "a second byte order mark": ("\ufeff\ufeffx\ta\n", ("\ufeffx", "a")),
    "a header with capitals": ("Label\tText\npos\ta\n", ("pos", "a")),
    "capitals below a header": ("label\ttext\nLabel\tText\n", ("Label", "Text")),
    "half a header is no header": ("label\tsentence\n", ("label", "sentence")),
    "a header's names with a space are none": ("label \ttext\n", ("label", "text")),
    "a text of that name": ("label\ttext\nlabel\ta text\n", ("label", "a text")),
    "other names above a single word are none": ("intent\ttext\n", ("intent", "text")),
}


@pytest.mark.parametrize(("content", "expected"), LINES.values(), ids=LINES)
def test_lines_that_look_like_something_else(content: str, expected: tuple[str, str]) -> None:
    assert pairs(content) == [expected]


def test_further_columns_are_metadata_by_name() -> None:
    first, second = examples("id\ttext\tof film\tlabel\n7\ta b\t The Film \tx\n\tc\t\ty\n")
    assert dict(first.metadata) == {"label": "x", "text": "a b", "id": "7", "of film": " The Film "}
    assert dict(second.metadata) == {"label": "y", "text": "c", "id": "", "of film": ""}
    assert list(first.inputs) == ["tokens"]
    assert not first.targets


INTENTS = {
    "the text last": "intent\ttext\nbook\ta flight\ncancel\tit\n",
    "the text first": "\ufefftext\tintent\r\na flight\tbook\r\nit\tcancel\r\n",
    "further columns": "id\ttext\tintent\n1\ta flight\tbook\n\n2\tit\tcancel\n",
    "beside a label": "label\ttext\tintent\nx\tflight\tbook\ny\tit\tcancel\n",
}


@pytest.mark.parametrize("content", INTENTS.values(), ids=INTENTS)
@pytest.mark.parametrize("format", ["auto", "labelled"])
def test_any_column_beside_the_texts_may_be_the_label(content: str, format: str, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(content, newline="")
    found = list(read(tmp_path / "a.tsv", format))
    assert [one.label for one in with_labels(found, "intent")] == ["book", "cancel"]
    assert [one.metadata["text"].split()[-1] for one in found] == ["flight", "it"]


@pytest.mark.parametrize(
    "content",
    [
        "text\tO\nto\tO\n",
        "New\ttext\nYork\tB-x\n",
        "a text\ttext\nb\tb c\n",
        "text\nb c\n",
        "a\ttext\nb c\n",
        "\ttext\nb\tc d\n",
    ],
)
def test_what_names_no_columns_is_no_header(content: str) -> None:
    first, _, below = content.partition("\n")
    assert not is_labelled_header(first, below)
    assert detect_format(io.BytesIO(content.encode())) == "columns"


LABELS: dict[str, tuple[str, str, str]] = {
    "a number": (
        "a.jsonl",
        '{"text": "a", "intent": 3}\n',
        "found the number 3; write the label as a string, in quotes",
    ),
    "null": ("a.jsonl", '{"text": "a", "intent": null}\n', "found null; write the label as a string, in quotes"),
    "a list": ("a.jsonl", '{"text": "a", "intent": ["x"]}\n', 'found ["x"]; write the label as a string'),
    "an empty string": ("a.jsonl", '{"text": "a", "intent": ""}\n', "found an empty one; write the label there or"),
    "an empty comment": ("a.conll", "# template = 1\n# intent = \na\tO\n", "found an empty one; write the label there"),
    "an empty field": ("a.tsv", "label\ttext\tintent\nx\ta\t\n", "found an empty one; write the label there or"),
    "another key": ("a.jsonl", '{"text": "a", "topic": "x"}\n', "found 'text', 'topic'; name the key with --set"),
    "nothing": ("a.conll", "a\tO\n", "found nothing; write it as '# intent = ...' before the sentence, in JSON"),
}


@pytest.mark.parametrize(("name", "content", "words"), LABELS.values(), ids=LABELS)
def test_the_error_for_a_wrong_label_quotes_it(name: str, content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    examples = list(read(tmp_path / name))
    with pytest.raises(DataError) as caught:
        with_labels(examples, "intent")
    assert str(caught.value).startswith(f"{examples[0].source}: expected a label under 'intent', {words}")
    (tmp_path / name).unlink()  # what was read from a pipe cannot be read again
    with pytest.raises(DataError, match="expected a label under 'intent', found "):
        with_labels(examples, "intent")


def test_an_empty_text_is_an_example_without_tokens() -> None:
    for text in ("", "   ", "\u00a0"):
        (one,) = examples(f"x\t{text}\n")
        assert (len(one), one.tokens, one.metadata["text"]) == (0, (), text)


def test_lines_are_counted_from_the_first_of_the_file() -> None:
    found = examples("\n\nlabel\ttext\n\nx\ta\n\ny\tb\n")
    assert [one.source for one in found] == ["<stream>:5", "<stream>:7"]


def test_the_tokenizer_is_named() -> None:
    content = "x\tIt's 好棒, isn't it?\n"
    cut = {
        "words-1": ("It's", "好", "棒", ",", "isn't", "it", "?"),
        "characters-1": tuple("It's好棒,isn'tit?"),
        "whitespace-1": ("It's", "好棒,", "isn't", "it?"),
    }
    for name, tokens in cut.items():
        (one,) = examples(content, tokenizer=name)
        assert (one.tokens, one.metadata["text"]) == (tokens, "It's 好棒, isn't it?")
    assert examples(content)[0].tokens == cut["words-1"]
    with pytest.raises(ConfigError, match="unknown tokenizer 'words-9'; did you mean 'words-1'"):
        read_labelled(io.BytesIO(content.encode()), tokenizer="words-9")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030", "latin-1"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    corpus = [labelled("à", 'café "noir')]
    write_labelled(tmp_path / "a.tsv", corpus, encoding=encoding)
    back = list(read_labelled(tmp_path / "a.tsv", encoding=encoding, tokenizer="whitespace-1"))
    assert [replace(one, source="") for one in back] == corpus


class Pipe(io.RawIOBase):
    """Neither peeks nor seeks; gives one piece of its content at a time."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.pieces.pop(0) if self.pieces else b""
        buffer[: len(piece)] = piece
        return len(piece)


def test_texts_come_one_at_a_time() -> None:
    """A pipe's first texts are handed out before its last line, which is a bad one, is there."""
    pipe = Pipe(*[b"x\ta b\n"] * 1000, b"no tab\n")
    found = read_labelled(pipe)  # type: ignore[arg-type]
    assert next(found).source == "<stream>:1"
    assert len(pipe.pieces) > 990
    with pytest.raises(DataError, match="<stream>:1001: expected a label, a tab and a text, found no tab"):
        list(found)


# -- detection ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "a.tsv", "a.txt", "a.conll", "a.tsv.gz", "a.csv"])
def test_a_header_is_recognised_for_any_extension(name: str, tmp_path: Path) -> None:
    content = "\ufeff\nid\ttext\tlabel\r\n7\ta\tx\r\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert detect_format(tmp_path / name) == "labelled"
    (one,) = read(tmp_path / name)
    assert dict(one.metadata) == {"label": "x", "text": "a", "id": "7"}


def test_no_extension_makes_a_file_labelled(tmp_path: Path) -> None:
    for name in ("a.tsv", "a.labelled", "label.tsv", "text"):
        (tmp_path / name).write_text("x\ta\n")
        assert detect_format(tmp_path / name) == "columns"
        (one,) = read(tmp_path / name, "labelled")
        assert dict(one.metadata) == {"label": "x", "text": "a"}


def test_a_name_that_says_another_format_is_believed(tmp_path: Path) -> None:
    for name, format in (("a.jsonl", "jsonl"), ("a.conllu", "conllu")):
        (tmp_path / name).write_text(GOLDEN)
        assert detect_format(tmp_path / name) == format


def test_a_pipe_is_recognised_by_its_first_lines() -> None:
    assert [one.metadata["label"] for one in read(Pipe(GOLDEN.encode()))] == ["positive", "negative"]  # type: ignore[arg-type]


# -- writing -----------------------------------------------------------------------------------------------------------


def written(corpus: list[Example] | Iterator[Example], **options: Any) -> str:
    stream = io.BytesIO()
    write_labelled(stream, corpus, **options)
    return stream.getvalue().decode()


def test_the_text_is_the_metadata_s_or_the_tokens() -> None:
    kept = Example({"tokens": ("a", ",", "b")}, metadata={"text": " a,  b", "label": "x"})
    assert written([kept]) == "label\ttext\nx\t a,  b\n"
    joined = Example({"tokens": ("a", ",", "b")}, metadata={"label": "x"})
    assert written([joined]) == "label\ttext\nx\ta , b\n"
    assert written([Example({"tokens": ()}, metadata={"label": "x"})]) == "label\ttext\nx\t\n"


def test_metadata_that_all_have_are_columns_in_the_order_of_the_first() -> None:
    corpus = [
        labelled("x", "a", id="7", film="F"),
        Example({"tokens": ("b",)}, metadata={"film": "", "label": "y", "id": "8"}),
    ]
    assert written(corpus) == "label\ttext\tid\tfilm\nx\ta\t7\tF\ny\tb\t8\t\n"


def test_nothing_to_write_is_a_header() -> None:
    assert written([]) == "label\ttext\n"


def test_examples_may_come_from_a_generator() -> None:
    assert written(iter([labelled("x", "a"), labelled("y", "b")])) == "label\ttext\nx\ta\ny\tb\n"


LONE = Example({"tokens": ("a",)}, {}, "from.jsonl:3", {"text": "a"})

REFUSED: dict[str, tuple[Example, str]] = {
    "no label": (LONE, "an example without 'label' in its metadata (the sentence from from.jsonl:3); JSON lines hold"),
    "empty label": (labelled("", "a"), "the label '', empty or with spaces at its ends"),
    "label of spaces": (labelled("  ", "a"), "the label '  '"),
    "label with a space behind": (labelled("x ", "a"), "the label 'x '"),
    "tab in a label": (labelled("x\ty", "a"), "a tab or a line end in 'label': 'x\\ty'"),
    "newline in a label": (labelled("x\n", "a"), "a tab or a line end in 'label'"),
    "tab in a text": (labelled("x", "a\tb"), "a tab or a line end in 'text': 'a\\tb'"),
    "newline in a text": (labelled("x", "a\nb"), "a tab or a line end in 'text'"),
    "carriage return in a text": (labelled("x", "a\r"), "a tab or a line end in 'text'"),
    "tags": (replace(labelled("x", "a"), targets={"tags": ("O",)}), "the target 'tags'"),
    "another target": (replace(labelled("x", "a"), targets={"label": "x"}), "the target 'label'"),
    "a further input": (Example({"tokens": ("a",), "pos": ("N",)}, metadata=LONE.metadata), "the further input 'pos'"),
    "a document boundary": (replace(labelled("x", "a"), starts_document=True), "a document boundary"),
    "metadata more than before": (labelled("x", "a", id="7"), "the metadata 'id' in some examples and not in others"),
    "a token with a space": (
        Example({"tokens": ("New York",)}, metadata={"label": "x"}),
        "tokens that no tokenizer cuts from 'New York'",
    ),
    "an empty token": (Example({"tokens": ("a", "")}, metadata={"label": "x"}), "tokens that no tokenizer cuts"),
    "tokens of another text": (
        Example({"tokens": ("a",)}, metadata={"label": "x", "text": "A"}),
        "tokens that no tokenizer cuts from 'A'",
    ),
}


@pytest.mark.parametrize(("bad", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_back_is_refused_and_nothing_is_written(bad: Example, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        write(tmp_path / "a.tsv", [labelled("good", "b c"), bad], "labelled")
    assert caught.value.message.startswith("a labelled file cannot hold ")
    assert words in caught.value.message
    assert caught.value.file == str(tmp_path / "a.tsv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("key", "value"), [("", "a"), ("a\tb", "c"), ("a\n", "b"), ("a", "b\tc"), ("a", "\r")])
def test_metadata_that_are_no_field_are_refused(key: str, value: str) -> None:
    with pytest.raises(DataError, match=r"an empty name, a tab or a line end in"):
        written([replace(labelled("x", "a"), metadata={"label": "x", key: value})])


def test_metadata_fewer_than_before_are_refused() -> None:
    with pytest.raises(DataError, match="the metadata 'id' in some examples and not in others"):
        written([labelled("x", "a", id="7"), labelled("y", "b")])


def test_the_names_of_the_columns_are_no_example() -> None:
    with pytest.raises(DataError, match="cannot hold a row of column names, 'label, text'"):
        written([labelled("x", "a"), labelled("label", "text")])


def test_texts_of_one_file_are_cut_by_one_tokenizer() -> None:
    """Each could be read back with its own tokenizer; a file is read with one."""
    by_words = Example({"tokens": ("a", ".")}, metadata={"label": "x", "text": "a."})
    by_blanks = Example({"tokens": ("b.",)}, metadata={"label": "x", "text": "b."})
    for one in (by_words, by_blanks):
        written([one])
    with pytest.raises(DataError, match=r"tokens that no tokenizer cuts from 'b\.' and from the earlier texts"):
        written([by_words, by_blanks])


def test_a_failed_write_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(GOLDEN)
    with pytest.raises(DataError):
        write(tmp_path / "a.tsv", [labelled("x", "a"), labelled("x", "a\tb")], "labelled")
    assert (tmp_path / "a.tsv").read_text() == GOLDEN
    assert [path.name for path in tmp_path.iterdir()] == ["a.tsv"]
