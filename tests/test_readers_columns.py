"""Column files as they occur in the wild: what is a separator, a comment, a boundary, a token, and what is kept."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from counted_pipe import Pipe

from structseq.data.columns import Block, read_blocks, read_columns
from structseq.data.example import Example
from structseq.errors import ConfigError, DataError


def examples(content: str | bytes, **options: Any) -> list[Example]:
    return list(read_columns(io.BytesIO(content if isinstance(content, bytes) else content.encode()), **options))


def blocks(content: str, **options: Any) -> list[Block]:
    return list(read_blocks(io.BytesIO(content.encode()), **options))


def pairs(content: str | bytes, **options: Any) -> list[list[tuple[str, str]]]:
    return [list(zip(one.tokens, one.tags, strict=True)) for one in examples(content, **options)]


AB = [[("a", "X"), ("b", "Y")]]

SHAPES = {
    "tabs": "a\tX\nb\tY\n",
    "spaces": "a X\nb Y\n",
    "runs of spaces": "a   X\nb Y\n",
    "spaces and tabs mixed after a first row of spaces": "a X\nb \t Y\n",
    "blanks at the ends of rows of spaces": "  a X \nb Y\t\n",
    "a space after the tag of a tab-separated row": "a\tX \nb\tY\n",
    "a space before the tag of a tab-separated row": "a\t X\nb\tY\n",
    "no final newline": "a\tX\nb\tY",
    "blank lines at the end": "a\tX\nb\tY\n\n\n \t\n",
    "blank lines at the start": "\n \n\t\na\tX\nb\tY\n",
    "CRLF": "a\tX\r\nb\tY\r\n\r\n",
    "CRLF without a final newline": "a X\r\nb Y",
    "byte order mark": "\ufeffa\tX\nb\tY\n",
    "byte order mark and a blank line": "\ufeff\na\tX\nb\tY\n",
    "byte order mark and a comment": "\ufeff# id = 1\na\tX\nb\tY\n",
    "boundary of one field": "-DOCSTART-\n\na\tX\nb\tY\n",
    "boundary of many fields": "-DOCSTART- -X- -X- O O\n\na\tX\nb\tY\n",
    "boundary without a blank line": "-DOCSTART-\tO\na\tX\nb\tY\n",
    "boundary at the end": "a\tX\nb\tY\n-DOCSTART-\tO\n",
    "boundary in small letters": "-docstart- o\n\na X\nb Y\n",
    "comment between the rows": "a\tX\n# note = here\nb\tY\n",
    "comment without a blank in tabs": "#note=here\na\tX\nb\tY\n",
    "comments alone on top": "#\n# free words, as many as they like\n#\na X\nb Y\n",
    "comments at the end": "a X\nb Y\n\n# that = all\n",
    "CoNLL-2012 marks": "#begin document (x); part 000\na X\nb Y\n\n#end document\n",
    "four columns": "a NN B-NP X\nb NN I-NP Y\n",
    "empty fields in tabs": "a\t\tX\nb\t\tY\n",
}


@pytest.mark.parametrize("content", SHAPES.values(), ids=SHAPES)
def test_the_same_sentence_in_many_shapes(content: str) -> None:
    assert pairs(content) == AB


TOKENS = {
    "# in tabs": ("#\tO\nb\tY\n", [("#", "O"), ("b", "Y")]),
    "# in spaces": ("# O\nb Y\n", [("#", "O"), ("b", "Y")]),
    "# with a part of speech": ("b NN Y\n# # O\n", [("b", "Y"), ("#", "O")]),
    "# first with a part of speech": ("# # O\nb NN Y\n", [("#", "O"), ("b", "Y")]),
    "# alone in the file": ("# O\n", [("#", "O")]),
    "#hashtag in spaces": ("#tag O\nb Y\n", [("#tag", "O"), ("b", "Y")]),
    "#key=value in spaces": ("#a=b O\nb Y\n", [("#a=b", "O"), ("b", "Y")]),
    "# with the tag =": ("b Y\n# =\n", [("b", "Y"), ("#", "=")]),
    "#newdoc": ("#newdoc\tO\n", [("#newdoc", "O")]),
    "-DOCSTART-S": ("-DOCSTART-S O\n", [("-DOCSTART-S", "O")]),
    "no-break space": ("a\u00a0b O\n\u00a0 O\n", [("a\u00a0b", "O"), ("\u00a0", "O")]),
    "U+3000": ("\u3000\tO\n", [("\u3000", "O")]),
    "zero-width characters": ("\u200b\tO\nx\u200cy\tO\n", [("\u200b", "O"), ("x\u200cy", "O")]),
    "other line ends": ("a\u2028b O\n\x85 O\n\x0b O\n\x1c O\n", [(c, "O") for c in ("a\u2028b", *"\x85\x0b\x1c")]),
    "a byte order mark inside": ("a O\n\ufeff O\n", [("a", "O"), ("\ufeff", "O")]),
    "quotes": ("\" O\n' O\n", [('"', "O"), ("'", "O")]),
}


@pytest.mark.parametrize(("content", "expected"), TOKENS.values(), ids=TOKENS)
def test_tokens_that_look_like_something_else(content: str, expected: list[tuple[str, str]]) -> None:
    assert pairs(content) == [expected]


METADATA = {
    "# sent_id = 3\na b c O\n": {"sent_id": "3"},  # four fields, as the rows have
    "# text = a b\n# x =\na O\n": {"text": "a b", "x": ""},
    "#key=value\n# other=more\na O\n": {"key": "value", "other": "more"},
    "# a key = a = b\na\tO\n": {"a key": "a = b"},
    "# newpar\n# tab = a\tb\na\tO\n": {"newpar": "", "tab": "a\tb"},
    "# newdoc id = 7\na O\n": {"newdoc id": "7"},
    "# newdoc\na O\n": {},
    "-DOCSTART- O\n\n# id = 1\n\na O\n": {"id": "1"},
    "a O\n# id = 1\nb O\n": {},
    "#newdoc\n": {},
}


@pytest.mark.parametrize(("content", "expected"), METADATA.items(), ids=list(METADATA))
def test_metadata(content: str, expected: dict[str, str]) -> None:
    (one,) = examples(content, tags="\nb" in content or "O" in content)
    assert dict(one.metadata) == expected


def test_documents_sources_and_lines() -> None:
    content = "-DOCSTART- -X- O O\n\na X\nb X\n\nc X\n\n# newdoc id = 2\nd X\n# k = v\ne X\n"
    first, second, third = examples(content.replace(" -X- O O", ""))
    assert [first.starts_document, second.starts_document, third.starts_document] == [True, False, True]
    assert [one.source for one in (first, second, third)] == ["<stream>:3", "<stream>:6", "<stream>:9"]
    assert third.tokens == ("d", "e")
    last = blocks(content)[-1]
    assert [last.line_of(0), last.line_of(1)] == [9, 11]


def test_metadata_belong_to_the_sentence_they_stand_before() -> None:
    found = examples("# i = 1\na O\n\nb O\n\n# i = 3\nc O\n")
    assert [dict(one.metadata) for one in found] == [{"i": "1"}, {}, {"i": "3"}]


def test_columns_by_number_from_either_end() -> None:
    content = "1 a NN B X\n2 b VB I Y\n"
    (one,) = examples(content, token_column=1, tag_column=-1, columns={"pos": 2, "chunk": -2})
    assert one.inputs == {"tokens": ("a", "b"), "pos": ("NN", "VB"), "chunk": ("B", "I")}
    assert one.tags == ("X", "Y")
    (same,) = examples(content, token_column=-4, tag_column=3)
    assert (same.tokens, same.tags) == (("a", "b"), ("B", "I"))


def test_no_tags() -> None:
    for content in ("a\nb\n", "a NN\nb VB\n"):
        for options in ({"tag_column": None}, {"tags": False}):
            (one,) = examples(content, **options)
            assert (one.tokens, dict(one.targets)) == (("a", "b"), {})


def test_separator_named() -> None:
    assert pairs("New York\tB\n \tO\n", separator="tab") == [[("New York", "B"), (" ", "O")]]
    assert pairs("a\t\tX\nb \t Y\n", separator="space") == AB
    with pytest.raises(ConfigError, match="unknown separator ','"):
        examples("a,b\n", separator=",")


def test_comments_switched_off() -> None:
    assert pairs("# = O\n# = O\n", comments="never") == [[("#", "O"), ("#", "O")]]


def test_a_further_input_cannot_be_called_tokens() -> None:
    with pytest.raises(ConfigError, match="cannot be called 'tokens'"):
        examples("a b\n", columns={"tokens": 1})


@pytest.mark.parametrize("packed", [False, True])
def test_gzip_is_recognised_by_content(packed: bool, tmp_path: Path) -> None:
    content = b"a X\nb Y\n"
    (tmp_path / "odd.gz").write_bytes(gzip.compress(content) if packed else content)
    assert [list(zip(one.tokens, one.tags, strict=True)) for one in read_columns(tmp_path / "odd.gz")] == AB
    assert pairs(gzip.compress(content) if packed else content) == AB


def test_a_stream_stays_open() -> None:
    stream = io.BytesIO(b"a X\n")
    list(read_columns(stream))
    assert not stream.closed


WHOLE = (
    "\ufeff# top\r\n\r\n-DOCSTART-\tO\r\n\r\n# id = 1\r\na\tNN\tX\r\n# between = rows\r\n#\tNN\tY\r\n\r\n \t\r\n"
    "-DOCSTART- -X-\r\n# id = 2\r\nc\t\tZ"
)
SPACED = "  a   X  \n# k = v\n\nb\t Y\t\n\n\n# the = end\n"


@pytest.mark.parametrize("content", [WHOLE, SPACED, *SHAPES.values()])
def test_blocks_lose_nothing(content: str) -> None:
    found = blocks(content)
    assert "".join(block.text for block in found) == content
    first_lines = [block.first_line for block in found]
    counted = [1 + sum(len(before.lines) for before in found[:i]) for i in range(len(found))]
    assert first_lines == counted


def test_append_adds_a_last_column_and_nothing_else() -> None:
    expected = WHOLE.replace("X\r", "X\tnew\r").replace("Y\r", "Y\tnew\r") + "\tnew"
    assert "".join(block.append(["new"] * len(block)) for block in blocks(WHOLE)) == expected
    expected = "  a   X new  \n# k = v\n\nb\t Y new\t\n\n\n# the = end\n"
    assert "".join(block.append(["new"] * len(block)) for block in blocks(SPACED)) == expected
    assert "".join(block.append(["new"] * len(block)) for block in blocks("a\n#\n")) == "a\tnew\n#\tnew\n"


def test_replace_rewrites_one_column_and_nothing_else() -> None:
    expected = WHOLE.replace("X\r", "new\r").replace("Y\r", "new\r").replace("\tZ", "\tnew")
    assert "".join(block.replace(-1, ["new"] * len(block)) for block in blocks(WHOLE)) == expected
    expected = WHOLE.replace("a\tNN", "a\tnew").replace("#\tNN", "#\tnew").replace("c\t\t", "c\tnew\t")
    assert "".join(block.replace(1, ["new"] * len(block)) for block in blocks(WHOLE)) == expected
    expected = "  new   X  \n# k = v\n\nnew\t Y\t\n\n\n# the = end\n"
    assert "".join(block.replace(0, ["new"] * len(block)) for block in blocks(SPACED)) == expected


@pytest.mark.parametrize("bad", [["x"], ["x", "y z"], ["x", ""], ["x", "y\n"]])
def test_what_would_break_the_rows_is_not_written(bad: list[str]) -> None:
    (block,) = blocks("a X\nb Y\n")
    for write in (block.append, lambda values: block.replace(-1, values)):
        with pytest.raises(DataError, match=r"<stream>:[12]: expected"):
            write(bad)


def test_a_long_sentence_and_many_lines() -> None:
    (long,) = examples("".join(f"word{i}\tO\n" for i in range(100_000)))
    assert len(long) == 100_000
    assert long.tokens[99_999] == "word99999"
    many = list(read_blocks(io.BytesIO(b"# k = v\na b\nc d\n\n" * 20_000)))
    assert len(many) == 20_000
    assert many[-1].line_of(1) == 4 * 20_000 - 1


def test_sentences_come_one_at_a_time() -> None:
    """A pipe's first sentences are handed out before its last lines are there."""

    pipe: Any = Pipe([b"a X\n\n\n"] * 999)
    found = read_columns(pipe)
    next(found)
    assert pipe.given < 10
    assert sum(1 for _ in found) == 998


def test_a_character_across_two_chunks() -> None:
    class Slow(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            found = self.read(1)
            buffer[: len(found)] = found
            return len(found)

    assert [one.tokens for one in read_columns(Slow("台😀 X\r\n\r\né Y".encode()))] == [("台😀",), ("é",)]
