"""Pairs of source and target: what reading gives, what writing refuses, and that the two are each other's way back."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.data.example import Example
from structseq.data.formats import detect_format, read, write
from structseq.data.pairs import join_symbols, read_pairs, to_symbols, write_pairs
from structseq.errors import ConfigError, DataError


def pair(source: str, target: str, symbols: str = "characters") -> Example:
    return Example({"tokens": to_symbols(source, symbols)}, {"target": to_symbols(target, symbols)})


def found(content: str, **options: object) -> list[Example]:
    return list(read_pairs(io.BytesIO(content.encode()), **options))  # type: ignore[arg-type]


def test_a_header_names_the_columns_and_others_are_metadata() -> None:
    (one,) = found("note\ttarget\tsource\r\n\r\nhard\tba\ta b\r\n")
    assert one.tokens == ("a", " ", "b") and one.target == ("b", "a")
    assert one.metadata == {"note": "hard"} and one.source.endswith(":3")


def test_the_two_names_may_be_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text("TARGET\tId\tSource\nba\t7\tab\ntarget\t8\tsource\n")
    assert detect_format(path) == "pairs"
    one, other = read(path)
    assert (one.tokens, one.target, one.metadata) == (("a", "b"), ("b", "a"), {"Id": "7"})
    assert other.metadata == {"Id": "8"}


def test_the_error_for_a_target_in_columns_explains_pairs(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("ab\tba\n")
    (one,) = read(tmp_path / "train.tsv")
    with pytest.raises(DataError, match=r"train\.tsv:1 has no target; .* source TAB target .*data\.format=pairs"):
        one.target  # noqa: B018 - raises
    for content, format in (("source\ttarget\nab\tba\n", "pairs"), ("label\ttext\nx\ta\n", "labelled")):
        (tmp_path / "train.tsv").write_text(content)
        (one,) = read(tmp_path / "train.tsv", format)
        with pytest.raises(DataError, match=r"has no tags; read a file that has them: columns .*pairs.* have none"):
            one.tags  # noqa: B018 - raises


def test_words_are_separated_by_white_space() -> None:
    (one,) = found("seven  two\t7 2\n", symbols="words")
    assert one.tokens == ("seven", "two") and one.target == ("7", "2")
    assert join_symbols(one.target, "words") == "7 2"


def test_a_target_may_be_missing_only_with_tags_false() -> None:
    (alone, both) = found("abc\nde\ted\n", tags=False)
    assert alone.tokens == ("a", "b", "c") and not alone.targets and both.target == ("e", "d")
    with pytest.raises(DataError, match=r"expected 2 fields .* found 1 in 'abc'"):
        found("abc\n")


@pytest.mark.parametrize(
    ("content", "expected_message"),
    [
        ("", "found no such line"),
        ("\n \n", "found no such line"),
        ("source\ttarget\n", "found no such line"),
        ("source\ttarget\na\tb\tc\n", r":2: expected 2 fields .* as in the header in line 1, found 3"),
        ("source\tsource\ttarget\nx\ty\tz\n", ":1: expected a header with every column named once"),
        ("source\t\ttarget\nx\ty\tz\n", ":1: expected a header with every column named once"),
        ("source\tSource\ttarget\nx\ty\tz\n", ":1: expected a header with every column named once"),
        ("source\ttarget\na\tb\nsource\ttarget\n", r":3: expected a pair, found a header \(source, target\) below"),
        ("a\tb\nSource\tTarget\nc\td\n", ":2: expected a pair, found a header .*; remove it, or keep"),
        ("id\tsource\ttarget\n1\ta\tb\nid\tsource\ttarget\n", r":3: .* found a header \(id, source, target\)"),
        ("a\tb\tc\n", ":1: expected 2 fields .*; name the columns in a first line, the header source TAB target"),
    ],
)
def test_the_error_for_a_wrong_pair_has_its_line(content: str, expected_message: str) -> None:
    with pytest.raises(DataError, match=expected_message):
        found(content)


def test_unknown_symbols_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of characters, words, found 'bytes'"):
        found("a\tb\n", symbols="bytes")


def test_the_header_tells_the_format(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    write(path, [pair("ab", "ba")], "pairs")
    assert detect_format(path) == "pairs" and [e.target for e in read(path)] == [("b", "a")]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r\ufeff"), max_size=6)


@given(st.lists(st.tuples(TEXT.filter(lambda text: text.strip(" ") != ""), TEXT), min_size=1, max_size=4))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_what_is_written_is_read_again(pairs: list[tuple[str, str]]) -> None:
    examples = [pair(*each) for each in pairs]
    stream = io.BytesIO()
    write_pairs(stream, examples)
    again = list(read_pairs(io.BytesIO(stream.getvalue())))
    assert [(e.tokens, e.target) for e in again] == [(e.tokens, e.target) for e in examples]


@pytest.mark.parametrize(
    "example",
    [
        Example.of(["a"]),
        Example.of(["a"], ["O"]),
        Example({"tokens": ("ab",)}, {"target": ("c",)}),
        Example({"tokens": ("a",)}, {"target": ("\t",)}),
        Example({"tokens": (" ",)}, {"target": ()}),
        Example({"tokens": ("a",), "pos": ("N",)}, {"target": ("c",)}),
        Example({"tokens": ("a",)}, {"target": ("c",)}, metadata={"note": "x"}),
        pair("source", "Target"),
    ],
)
def test_what_a_file_of_pairs_cannot_hold_is_refused_and_nothing_is_left(example: Example, tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    with pytest.raises(DataError):
        write_pairs(path, [pair("a", "b"), example])
    assert not path.exists()


def test_frames_are_refused_by_every_writer_of_text(tmp_path: Path) -> None:
    for name in ("out.conll", "out.jsonl", "out.conllu"):
        with pytest.raises(DataError, match="cannot hold frames"):
            write(tmp_path / name, [Example.of_frames([[0.5]], target=["7"])])
        assert not (tmp_path / name).exists()
