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
from structseq.data.textfile import text_lines
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


# -- advice on encodings, followed literally ---------------------------------------------------------------------------


HALF_PAIR = b"\xed\xa0\xbd\xed\xb8\x80"


def refusal(path: Path, **options: str) -> str:
    with pytest.raises(DataError) as caught:
        list(text_lines(path, **options))
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "去\tO\n".encode() * 33 + HALF_PAIR + b"\tO\n", b"a\tO\n" + HALF_PAIR + b"\tO\n", "é\n".encode() + b"caf\xe9\n",
        "é\n".encode() * 400_000 + b"caf\xe9\n", b"caf\xe9\n" + "é\n".encode() * 600_000,
        "東京\nOsl".encode() + b"\xc3",
        "é\n".encode() * 3 + b"\xff\n" * 2, b"\xe9\n" + "ab é\n".encode() * 2 + b"\xe9\xe9\xe9\xe9\n",
    ],
)  # fmt: skip
def test_a_file_in_utf8_but_for_some_lines_is_called_that(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(content)
    message = refusal(path)
    assert "the file is UTF-8 but for " in message and "latin-1" not in message
    lines = content.split(b"\n")
    while "remove" in message:
        del lines[int(message.split(":")[1]) - 1]
        path.write_bytes(b"\n".join(lines))
        try:
            assert list(text_lines(path))
            return
        except DataError as problem:
            message = str(problem)
    pytest.fail(message)


@pytest.mark.parametrize(
    ("text", "encoding", "named"),
    [
        ("Málaga\nSão Tomé\n", "latin-1", ""), ("Málaga\n去\n", "utf-8", "ascii"), ("Ávila\n", "utf-8", "cp1252"),
        ("北京\n联通\n", "utf-16", ""), ("naïve\n" * 9, "latin-1", ""),
    ],
)  # fmt: skip
def test_an_encoding_that_is_advised_reads_the_text(tmp_path: Path, text: str, encoding: str, named: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(encoding))
    message = refusal(path, **({"encoding": named} if named else {}))
    advised = message.partition("encoding='")[2].partition("'")[0]
    assert f"--set data.encoding={advised})" in message
    assert list(text_lines(path, encoding=advised)) == text.splitlines()


@pytest.mark.parametrize(
    ("text", "encoding"), [("北京大学\n我们\n", "gb18030"), ("東京へ\n", "shift_jis"), ("“x”\n", "cp1252")]
)
def test_latin1_is_not_advised_where_it_garbles(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(encoding))
    message = refusal(path)
    assert "latin-1" not in message and encoding in message
    assert list(text_lines(path, encoding=encoding)) == text.splitlines()
