"""What every file format must satisfy: each law for each row of FORMATS that writes."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pytest

from structseq.data.annotation.table import DOCUMENT_FORMATS
from structseq.data.example import Example
from structseq.data.formats import FORMATS, detect_format, read, read_verbatim, write
from structseq.errors import DataError

TAGGED = [
    Example.of(["arrive", "Taipei"], ["O", "B-city"]),
    Example.of(["on", "November", "2nd"], ["O", "B-date", "I-date"]),
]
PAIR = [Example({"tokens": tuple("ab")}, {"target": tuple("ba")}), Example({"tokens": ("c",)}, {"target": ()})]
TEXTS = ["you 'll end up moved .", "dull"]
# What each format can hold, and the options that it is read with
SAMPLES: dict[str, tuple[list[Example], dict[str, Any]]] = {
    "columns": (TAGGED, {}),
    "conllu": (TAGGED, {"field": "xpos"}),
    "jsonl": (TAGGED, {}),
    "csv": (TAGGED, {}),
    "threefile": (
        [
            Example(each.inputs, each.targets, metadata={"intent": name})
            for each, name in zip(TAGGED, "ab", strict=True)
        ],
        {},
    ),
    "labelled": (
        [Example({"tokens": tuple(text.split())}, {}, "", {"label": "x", "text": text}) for text in TEXTS],
        {"tokenizer": "whitespace-1"},
    ),
    "pairs": (PAIR, {}),
    "text": (
        [Example({"tokens": tuple(text.split())}, {}, "", {"text": text}) for text in TEXTS],
        {"tokenizer": "whitespace-1"},
    ),
}
ELSEWHERE = {"audio", "parquet"}  # frames cannot be made sound again; test_frames_tables.py has Parquet

formats = pytest.mark.parametrize("name", SAMPLES)


def file_of(name: str, folder: Path) -> Path:
    extensions = FORMATS[name].extensions
    return folder / ("corpus" + (extensions[0] if extensions else ""))


def written(name: str, folder: Path) -> tuple[Path, list[Example], dict[str, Any]]:
    """A file (or folder) of the format, what is in it, and how it is read."""
    examples, options = SAMPLES[name]
    path = file_of(name, folder)
    if name == "threefile":
        path.mkdir()
    write(path, examples, name, **{key: value for key, value in options.items() if key == "field"})
    return path, examples, options


def contents(examples: list[Example]) -> list[tuple[Any, Any, Any]]:
    return [(dict(each.inputs), dict(each.targets), dict(each.metadata)) for each in examples]


def test_every_row_is_held_to_the_laws() -> None:
    assert {*SAMPLES, *ELSEWHERE, *DOCUMENT_FORMATS} == set(FORMATS)  # test_document_laws.py has the laws of the last


@formats
def test_what_is_written_is_read_back(name: str, tmp_path: Path) -> None:
    path, examples, options = written(name, tmp_path)
    assert contents(list(read(path, name, **options))) == contents(examples)


@formats
def test_every_example_says_where_it_is_from(name: str, tmp_path: Path) -> None:
    path, _, options = written(name, tmp_path)
    for example in read(path, name, **options):
        file, _, line = example.source.rpartition(":")
        assert file.startswith(str(path)) and int(line) >= 1


@formats
def test_gold_answers_are_optional_with_tags_false(name: str, tmp_path: Path) -> None:
    path, examples, options = written(name, tmp_path)
    found = list(read(path, name, **options, tags=False))
    assert [each.tokens for each in found] == [each.tokens for each in examples]
    assert not any("tags" in each.targets for each in found)


@formats
def test_its_own_extension_is_believed(name: str, tmp_path: Path) -> None:
    path, _, _ = written(name, tmp_path)
    if FORMATS[name].extensions or path.is_dir():
        assert detect_format(path) == name


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "threefile"])
def test_gzip_and_streams_are_read_alike(name: str, tmp_path: Path) -> None:
    path, examples, options = written(name, tmp_path)
    packed = tmp_path / f"packed{path.suffix}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for source in (packed, io.BytesIO(path.read_bytes())):
        assert contents(list(read(source, name, **options))) == contents(examples)


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "threefile"])
def test_bytes_that_are_no_text_are_refused_with_their_line(name: str, tmp_path: Path) -> None:
    path, _, options = written(name, tmp_path)
    path.write_bytes(path.read_bytes() + b"\n\xff\xfe bad\n")
    with pytest.raises(DataError, match="utf-8") as caught:
        list(read(path, name, **options))
    assert caught.value.file == str(path) and caught.value.line is not None


@pytest.mark.parametrize("name", [name for name, row in FORMATS.items() if row.verbatim is not None])
def test_blocks_joined_are_the_file(name: str, tmp_path: Path) -> None:
    path, examples, options = written(name, tmp_path)
    blocks = list(read_verbatim(path, name, **options))
    assert "".join(block.text for block in blocks) == path.read_text(encoding="utf-8")
    assert [block.example.tokens for block in blocks if block.example] == [each.tokens for each in examples]
