"""Plain text, a text a line: what reading gives, what writing refuses, and that the two are each other's way back."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from structseq.data.example import Example
from structseq.data.formats import read, write
from structseq.data.plaintext import looks_like_columns, read_text, write_text
from structseq.data.tokenizer import tokenize
from structseq.errors import ConfigError, DataError


def text(line: str) -> Example:
    return Example({"tokens": tuple([token.text for token in tokenize(line)])}, metadata={"text": line})


def test_a_text_a_line_cut_by_the_tokenizer() -> None:
    one, other = read_text(io.BytesIO("\ufeffTo Oslo.\r\n \n\n don't\n".encode()))
    assert (one.tokens, other.tokens) == (("To", "Oslo", "."), ("don't",))
    assert (one.metadata["text"], other.metadata["text"]) == ("To Oslo.", " don't")
    assert (one.source, other.source) == ("<stream>:1", "<stream>:4") and not one.targets
    (characters,) = read_text(io.BytesIO(b"to a"), tokenizer="characters-1")
    assert characters.tokens == ("t", "o", "a")


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_a_text_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="expected a text on each line, found none"):
        list(read_text(io.BytesIO(content)))


def test_an_unknown_tokenizer_is_found_before_anything_is_read() -> None:
    with pytest.raises(ConfigError, match="unknown tokenizer"):
        read_text(io.BytesIO(b""), tokenizer="words")


lines = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), min_size=1)


@given(st.lists(lines.filter(lambda line: line.strip() and line[-1] != "\r" and line[0] != "\ufeff"), min_size=1))
def test_what_is_written_is_read_back(given: list[str]) -> None:
    target = io.BytesIO()
    write(target, map(text, given), "text")
    found = list(read(io.BytesIO(target.getvalue()), "text"))
    assert [(each.tokens, each.metadata) for each in found] == [(text(line).tokens, {"text": line}) for line in given]


def test_tokens_without_a_text_stand_between_spaces(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", [Example.of(["to", "Oslo."])])
    assert (tmp_path / "a.txt").read_text() == "to Oslo.\n"


@pytest.mark.parametrize(
    ("example", "what"),
    [
        (Example.of(["a"], ["O"]), "the target 'tags'"),
        (Example.of(["a"], pos=["N"]), "the further input 'pos'"),
        (Example({"tokens": ("a",)}, metadata={"label": "x"}), "the metadata 'label'"),
        (Example.of([]), "a blank text"),
        (Example.of(["a\n"]), "a line end"),
        (Example.of(["\ufeffa"]), "a byte order mark"),
        (Example.of(["a b", "c"]), "tokens that no tokenizer cuts"),
        (Example({"tokens": ("a",)}, starts_document=True), "a document boundary"),
    ],
)
def test_what_cannot_be_read_back_is_refused_and_leaves_no_file(example: Example, what: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"a file of texts cannot hold .*{what}"):
        write_text(tmp_path / "a.txt", [Example.of(["b"]), example])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("a O\nb O\n\nc O\n", True), ("a\n\nb\n", True), ("a\tO\n", True), ("a b\n", False), ("a b\nc d\n", False),
        ("a b\n\nc\n", False), ("a\n\n\n", False), ("", False),
    ],
)  # fmt: skip
def test_columns_are_distinguished_from_texts(content: str, columns: bool) -> None:
    assert looks_like_columns(io.BytesIO(content.encode())) == columns
