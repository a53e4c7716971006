"""Lines that begin with ``#`` in column files: comment or row, by the evidence of the other rows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from counted_pipe import Pipe

from structseq.data.column_writer import write_columns
from structseq.data.columns import read_blocks, read_columns, read_verbatim_columns
from structseq.data.example import Example
from structseq.data.formats import read, read_verbatim
from structseq.errors import ConfigError, DataError


def tokens(content: str, **options: Any) -> list[tuple[str, ...]]:
    return [one.tokens for one in read_columns(io.BytesIO(content.encode()), **options)]


COMMENTS = {
    "numbers as wide as the rows": ("# 1\nRom NE\nist VA\n\n# 2\nKiel NE\nist VA\n", {}),
    "one number only": ("# 1\nRom NE\nist VA\n\nKiel NE\nist VA\n", {}),
    "names among tags of spans": ("# doc-a\nRom B-LOC\nist O\n\nKiel B-LOC\nist O\n", {}),
    "three fields among tags of spans": ("# Rom ist\nRom NE B-LOC\nist VA O\n\nKiel NE B-LOC\nist VA O\n", {}),
    "a title before every sentence": ("# news\nRom NE\nist VA\n\n# news\nKiel NE\nist VA\n", {}),
    "other comments are longer": ("# a long title\nRom NE\nist VA\n\n# short\nKiel NE\nist VA\n", {}),
    "a late one": ("Rom NE\nist VA\n\n# 2\nKiel NE\nist VA\n", {}),
    "at the end": ("Rom NE\nist VA\n\nKiel NE\nist VA\n\n# 3\n", {}),
    "tabs where rows have spaces": ("#\turl\nRom NE\nist VA\n\n#\turl\nKiel NE\nist VA\n", {}),
    "an empty last field": ("#\turl\t\nRom\tNE\tx\nist\tVA\tx\n\n#\turl\t\nKiel\tNE\tx\nist\tVA\tx\n", {}),
    "no offset": ("#\turl\tO\nRom\t0\tO\nist\t4\tO\n\n#\turl\tO\nKiel\t0\tO\nist\t5\tO\n", {}),
    "no row number": ("#\tu\tO\n1\tRom\tO\n2\tist\tO\n\n#\tu\tO\n1\tKiel\tO\n2\tist\tO\n", {"token_column": 1}),
    "no row number, narrower": ("#\tu\n1\tRom\tO\n2\tist\tO\n\n1\tKiel\tO\n2\tist\tO\n", {"token_column": 1}),
    "no row number, between rows": ("1\tRom\tO\n# x O\n2\tist\tO\n\n1\tKiel\tO\n2\tist\tO\n", {"token_column": 1}),
}


@pytest.mark.parametrize(("content", "options"), COMMENTS.values(), ids=COMMENTS)
def test_comments(content: str, options: dict[str, Any]) -> None:
    assert tokens(content, **options) == [("Rom", "ist"), ("Kiel", "ist")]
    blocks = read_verbatim_columns(io.BytesIO(content.encode()), **options)
    assert "".join(block.text for block in blocks) == content


@pytest.mark.parametrize(("content", "options"), COMMENTS.values(), ids=COMMENTS)
def test_comments_stay_byte_for_byte_when_a_column_is_added(content: str, options: dict[str, Any]) -> None:
    blocks = list(read_verbatim_columns(io.BytesIO(content.encode()), **options))
    text = "".join(
        block.text if block.example is None else block.append(["X"] * len(block.example)) for block in blocks
    )
    kept = [line for line in text.split("\n") if line.startswith("#")]
    assert kept == [line for line in content.split("\n") if line.startswith("#")]


ROWS = {
    "a known tag": ("# O\nRom B-LOC\n\n# O\nKiel B-LOC\n", [("#", "Rom"), ("#", "Kiel")]),
    "a new tag of a span": ("# B-X\nRom B-LOC\nist O\n", [("#", "Rom", "ist")]),
    "one new tag": ("# SYM\nRom NE\nist VA\nda NE\n", [("#", "Rom", "ist", "da")]),
    "between rows": ("Rom NE\n# 5\nist VA\n", [("Rom", "#", "ist")]),
    "hashtags": ("#a HT\nRom NE\nist NE\n\n#b HT\nda NE\nso NE\n", [("#a", "Rom", "ist"), ("#b", "da", "so")]),
    "numbers are tokens": ("5 O\n# O\n\n7 O\n8 B-X\n", [("5", "#"), ("7", "8")]),
    "numbers are tags, too": ("# 1\nRom 0\nist 2\nda 0\n", [("#", "Rom", "ist", "da")]),
    "a tab and a new tag": ("#\tSYM\nRom\tNE\nist\tNE\nda\tNE\n", [("#", "Rom", "ist", "da")]),
    "one column": ("#\nRom\n", [("#", "Rom")]),
}


@pytest.mark.parametrize(("content", "expected"), ROWS.values(), ids=ROWS)
def test_rows(content: str, expected: list[tuple[str, ...]]) -> None:
    assert tokens(content, tag_column=None if content.startswith("#\nRom") else -1) == expected


def test_always_and_never() -> None:
    content = "# k = v\n#tag O\nRom O\n#tag O\n"
    assert tokens(content, comments="always") == [("Rom",)]
    assert tokens("# 5\nRom O\n", comments="never") == [("#", "Rom")]
    with pytest.raises(ConfigError, match="comments='no'; use one of auto, always, never"):
        tokens(content, comments="no")


def test_a_row_with_a_missing_column_names_the_option_and_the_advice_works() -> None:
    with pytest.raises(DataError, match=r"--set data\.comments=always"):
        tokens("Rom NE O\n#title here\n")
    assert tokens("Rom NE O\n#title here\n", comments="always") == [("Rom",)]


def test_what_would_be_read_as_a_comment_is_not_written() -> None:
    examples = [Example.of(["#", "Rom"], ["7", "NE"]), Example.of(["Kiel", "ist"], ["NE", "VA"])]
    with pytest.raises(DataError, match="separate by tabs"):
        write_columns(io.BytesIO(), examples, separator="space")
    write_columns(target := io.BytesIO(), examples)
    assert tokens(target.getvalue().decode()) == [("#", "Rom"), ("Kiel", "ist")]
    counted = [Example.of(["#", "Rom"], ["7", "NE"]), Example.of(["1", "2"], ["NE", "VA"])]
    write_columns(target := io.BytesIO(), counted)
    assert len(next(iter(read_blocks(io.BytesIO(target.getvalue()))))) == 2


def test_evidence_is_drawn_from_a_sample_only() -> None:
    pipe: Any = Pipe([b"# 1\n", b"a X\n", b"\n"] * 10_000)
    found = read_columns(pipe)
    next(found)
    assert pipe.given < 3000
    assert sum(1 for _ in found) == 9_999


@pytest.mark.parametrize("name", ["a.conll", "a.conllu", "a.jsonl"])
@pytest.mark.parametrize("end", ["\ufeff", "\ufeff\n", "\ufeff \r\n"])
def test_a_byte_order_mark_alone_on_a_line_is_blank(name: str, end: str, tmp_path: Path) -> None:
    row = {"a.conll": "Rom\tO\n\n", "a.conllu": "1\tRom" + "\t_" * 8 + "\n\n", "a.jsonl": '{"tokens": ["Rom"]}\n'}[name]
    (tmp_path / name).write_text(row + end, encoding="utf-8", newline="")
    assert [one.tokens for one in read(tmp_path / name)] == [("Rom",)]
    assert "".join(block.text for block in read_verbatim(tmp_path / name)) == row + end


def test_a_byte_order_mark_is_a_token_in_a_file_of_one_column() -> None:
    assert tokens("\ufeff\ufeff\nRom\n\ufeff\n", tags=False) == [("\ufeff", "Rom", "\ufeff")]
    assert tokens("Rom\n\n\ufeff", tags=False) == [("Rom",)]
