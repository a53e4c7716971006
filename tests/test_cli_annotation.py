"""tag and convert on files of annotation tools, by the real command line."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from commandline import call, tiny, write_corpus

from structseq import cli
from structseq.data.annotation.document import Document
from structseq.data.annotation.table import DOCUMENT_FORMATS
from structseq.data.formats import read, read_documents, write_documents
from structseq.errors import DataError

TEXTS = ("go to Taipei 😀 now", "leave Rome")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    files = write_corpus(folder)
    call = ["train", str(files["train"]), "--dev", str(files["dev"]), "--output", str(folder / "m"), "--quiet"]
    assert cli.main([*call, *tiny(5)]) == 0
    return folder / "m"


@pytest.mark.parametrize("name", [name for name in DOCUMENT_FORMATS if name != "jsonl"])
def test_tag_writes_predictions_that_are_read_again(
    name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = DOCUMENT_FORMATS[name]
    extension = (row.extensions or (".json",))[0]
    source = tmp_path / "in" if row.grouped and name != "spacy" else tmp_path / f"in{extension}"
    target = f"{tmp_path / 'out'}/" if source.suffix == "" else str(tmp_path / f"out{extension}")
    if source.suffix == "":
        source.mkdir()
    write_documents(source, [Document(text, ()) for text in TEXTS], name, lossy=True)
    done = call(capsys, "tag", model, source, "--format", name, "--output", target)
    assert done.status == 0, done.err
    back = list(read_documents(target, name))
    assert [document.text for document in back] == list(TEXTS)
    if row.holds_scores and name == "label-studio":
        tasks = json.loads(Path(target).read_text(encoding="utf-8"))
        results = [result for task in tasks for result in task["predictions"][0]["result"]]
        assert results and all(0 < result["score"] <= 1 for result in results)
        assert all(
            TEXTS[0 if result["value"]["text"] in TEXTS[0] else 1][result["value"]["start"] : result["value"]["end"]]
            == result["value"]["text"]
            for result in results
        )
    elif name in ("brat", "doccano"):
        assert sum(len(document.annotations or ()) for document in back) > 0


def test_a_tool_with_two_files_needs_an_output(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_documents(tmp_path / "a.ann", [Document("go to Rome", ())])
    done = call(capsys, "tag", model, tmp_path / "a.ann")
    assert done.status == 2 and "--output" in done.sentence


@pytest.mark.parametrize("name", ["label-studio", "prodigy"])
def test_texts_with_labels_alone_are_checked(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.json"
    write_documents(file, [Document("go to Rome", labels=("travel",)), Document("eat pizza", labels=("food",))], name)
    done = call(capsys, "check", file)
    assert done.status == 0 and "travel" in done.out, (done.err, done.out)
    write_documents(file, [Document("go to Rome", metadata={"_input_hash": 1})], name)
    refused = call(capsys, "check", file)
    assert refused.status == 2 and "structseq tag takes them" in refused.sentence


@pytest.mark.parametrize("name", ["auto", "parquet", "spacy", "xmi", "webanno", "jsonl", "csv"])
@pytest.mark.parametrize("damage", ["cut", "changed", "head", "no data"])
def test_damaged_gzip_is_a_data_error(name: str, damage: str, tmp_path: Path) -> None:
    whole = gzip.compress(bytes(range(256)) * 9)
    data = {
        "cut": whole[:-20], "changed": whole[:12] + bytes(40) + whole[52:], "head": whole[:2] + b"x" + whole[3:],
        "no data": whole[:2],
    }[damage]  # fmt: skip
    path = tmp_path / "a"
    path.write_bytes(data)
    for source in (path, io.BytesIO(data)):
        with pytest.raises(DataError):
            list(read(source, name))
