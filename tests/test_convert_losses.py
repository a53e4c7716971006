"""convert loses nothing without a word: it refuses what OUT would lack, or leaves it out and counts it with --lossy."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import call

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
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"tokens": [["a"]], "tags": [["O"]], "id": [7], "x": ["b"]}), table)
    refused = call(capsys, "convert", table, out)
    assert refused.status == 2 and "found the column 'id', which would be lost" in refused.sentence
    assert call(capsys, "convert", table, out, "--lossy").status == 0
