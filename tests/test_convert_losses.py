"""convert loses nothing without a word: it refuses what OUT would lack, or leaves it out and counts it with --lossy."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pytest
from commandline import call
from pyarrow import parquet

from structseq.data.formats import read_documents

SOURCES = {
    "columns": ("a.conll", "to\tTO\tO\nRome\tNNP\tB-city\n", "column 1"),
    "conllu": ("a.conllu", "1\tto\tto\tADP\tO\t_\t0\troot\t_\t_\n\n", "the field lemma"),
    "csv": ("a.csv", "word,POS,tag\nto,TO,O\nRome,NNP,B-city\n", "the column 'POS'"),
    "jsonl": ("a.jsonl", '{"tokens": ["to"], "tags": ["O"], "id": 7}\n', "the key 'id'"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_unread_parts_need_lossy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, content, part = SOURCES[name]
    (tmp_path / file).write_text(content)
    monkeypatch.chdir(tmp_path)
    out = "out.jsonl" if name != "jsonl" else "out.conll"
    words = ["convert", file, out, "--set", "data.field=xpos"]
    refused = call(capsys, *words)
    assert refused.status == 2 and part in refused.err and "--lossy" in refused.err
    assert not (tmp_path / out).exists()
    done = call(capsys, *words, "--lossy")
    assert done.status == 0 and f"{part}, left out: 1" in done.err and (tmp_path / out).exists()


def test_advice_keeps_a_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.conll").write_text(SOURCES["columns"][1])
    monkeypatch.chdir(tmp_path)
    assert call(capsys, "convert", "a.conll", "out.jsonl", "--set", "data.columns.pos=1").status == 0
    assert '"pos": ["TO", "NNP"]' in (tmp_path / "out.jsonl").read_text()


def test_tables_of_texts_keep_strings_and_name_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, texts, out = tmp_path / "a.parquet", tmp_path / "a.csv", tmp_path / "out.jsonl"
    texts.write_text('text,spans,x\nto Rome,"[[3, 7, ""city""]]",a\n')
    assert call(capsys, "convert", texts, out).status == 0
    assert '"x": "a"' in out.read_text()
    parquet.write_table(pyarrow.table({"tokens": [["a"]], "tags": [["O"]], "id": [7], "x": ["b"]}), table)
    refused = call(capsys, "convert", table, out)
    assert refused.status == 2 and "found the column 'id', which would be lost" in refused.sentence
    assert call(capsys, "convert", table, out, "--lossy").status == 0


@pytest.mark.parametrize("name", ["prodigy", "xmi", "spacy"])
def test_tokens_of_white_space_are_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "a.jsonl", tmp_path / f"out.{name}"
    source.write_text(json.dumps({"tokens": ["a", "\u2028", "\x85", "b"], "tags": ["O"] * 4}) + "\n")
    refused = call(capsys, "convert", source, out, "--format", name)
    assert refused.status == 2 and r"cannot hold tokens of white space such as '\u2028', '\x85'" in refused.sentence
    assert not out.exists()
    done = call(capsys, "convert", source, out, "--format", name, "--lossy")
    assert done.status == 0 and "tokens of white space" in done.err
    (back,) = read_documents(out, name)
    assert [back.text[slice(*place)] for place in back.tokens or ()] == ["a", "b"]
