"""What every format of an annotation tool must satisfy: each law for each row of DOCUMENT_FORMATS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from documents import alike, documents
from hypothesis import given, settings

from structseq.data.annotation.document import Annotation, Document, Notes, Relation
from structseq.data.annotation.table import DOCUMENT_FORMATS
from structseq.data.formats import read, write
from structseq.data.options import DataOptions
from structseq.data.tokenizer import tokenize, tokenizer_of
from structseq.errors import DataError
from structseq.tasks.retagging import convert_file

formats = pytest.mark.parametrize("name", DOCUMENT_FORMATS)
TOKENIZER = tokenizer_of("words-1")


def target_of(name: str, folder: Path) -> Path:
    return folder / ("corpus" + (DOCUMENT_FORMATS[name].extensions or (".json",))[0])


@formats
@settings(max_examples=30)
@given(document=documents())
def test_a_document_is_read_back_or_refused_by_name(name: str, document: Document) -> None:
    row = DOCUMENT_FORMATS[name]
    with TemporaryDirectory() as folder:
        target = target_of(name, Path(folder))
        (fitting,) = row.limits.fit([document], TOKENIZER, lossy=True, fragments="hull", notes=Notes())
        try:
            row.save(target, [fitting])
        except DataError as refusal:
            assert "cannot" in refusal.message or "expected" in refusal.message
            assert not list(Path(folder).iterdir())
            return
        (back,) = row.documents(target)
    assert alike(back) == alike(_as_held(fitting, back))


def _as_held(document: Document, back: Document) -> Document:
    """The document with the tokens of ``back`` if it left them to the tokenizer."""
    cut = tuple([(token.start, token.end) for token in tokenize(document.text)])
    if document.tokens in (None, cut) and back.tokens in (None, cut):
        return replace(document, tokens=back.tokens)
    return document


TEXT = "Fly 👨\u200d👩\u200d👧 to São Paulo, e\u0301te\u0301 2024.\r\nFrom Zürich 😀 to Oslo"
SPANS = {"São Paulo": "city", "Zürich 😀": "city", "2024": "date", "👨\u200d👩\u200d👧": "who"}
SAMPLE = Document(
    TEXT,
    tuple([Annotation(label, ((TEXT.index(part), TEXT.index(part) + len(part)),)) for part, label in SPANS.items()]),
)


def entities(path: Path, name: str) -> list[tuple[str, str]]:
    """The label and text of each entity."""
    found = []
    for example in read(path, name):
        tags = example.tags
        for n, tag in enumerate(tags):
            if tag.startswith("B-"):
                last = n + 1
                while last < len(tags) and tags[last].startswith("I-"):
                    last += 1
                found.append((tag[2:], "".join(example.tokens[n:last])))
    return sorted(found)


WANTED = sorted((label, "".join(token.text for token in tokenize(part))) for part, label in SPANS.items())


@pytest.mark.parametrize("other", [*DOCUMENT_FORMATS, "columns", "conllu"])
@formats
def test_convert_keeps_the_entities_from_any_format_to_any_other(name: str, other: str, tmp_path: Path) -> None:
    row = DOCUMENT_FORMATS[name]
    source = target_of(name, tmp_path)
    (tmp_path / "out").mkdir()
    row.save(source, row.limits.fit([SAMPLE], TOKENIZER, lossy=True, notes=Notes()))
    assert entities(source, name) == WANTED
    target = target_of(other, tmp_path / "out") if other in DOCUMENT_FORMATS else tmp_path / "out" / f"a.{other}"
    data = DataOptions(format=name, field="xpos")
    convert_file(source, str(target), data, format=other, lossy=True, notify=lambda message: None)
    found = entities(target, other) if other != "conllu" else _of_conllu(target)
    assert found == WANTED
    back = tmp_path / "back"
    back.mkdir()
    again = target_of(name, back)
    data = DataOptions(format=other, field="xpos")
    convert_file(target, str(again), data, format=name, lossy=True, notify=lambda message: None)
    assert entities(again, name) == WANTED


def _of_conllu(path: Path) -> list[tuple[str, str]]:
    examples = list(read(path, "conllu", field="xpos"))
    copy = path.with_suffix(".jsonl")
    write(copy, examples, "jsonl")
    return entities(copy, "jsonl")


SEVERAL = [name for name, row in DOCUMENT_FORMATS.items() if row.limits.unannotated and name != "jsonl"]


@pytest.mark.parametrize("name", SEVERAL)
def test_texts_that_nobody_annotated_are_left_out_of_gold(name: str, tmp_path: Path) -> None:
    row, target, notes = DOCUMENT_FORMATS[name], target_of(name, tmp_path), Notes()
    row.save(target, [SAMPLE, Document("to Oslo")])
    assert len(list(read(target, name, notes=notes, split="none"))) == 1
    assert notes["texts without annotations, left out"] == 1
    assert len(list(read(target, name, tags=False, split="none"))) == 2


ODD = {"yes": True, "no": False, "n": 0.5, "lines": "a\nb", "none": None, "list": [1, [2]], "a b": "c", "big": 1 << 70}


@formats
def test_lossy_leaves_out_and_counts_what_is_refused(name: str, tmp_path: Path) -> None:
    row, target, notes = DOCUMENT_FORMATS[name], target_of(name, tmp_path), Notes()
    annotations = (Annotation("city", ((3, 7),), "T1", ODD), Annotation("a\rb", ((0, 2),), "T2", {"note": "x"}))
    document = Document("to Oslo", annotations, (Relation("near", "T1", "T2"),), metadata={"id": "x"})
    row.save(target, [document], lossy=True, notes=notes)
    (back,) = row.documents(target)
    assert "city" in [each.label for each in back.annotations or ()]
    lost = {each: count for each, count in notes.items() if "left out" in each}
    if not lost:
        row.save(target, [document])
        return
    with pytest.raises(DataError, match=r"cannot hold .*; leave it out with --lossy"):
        row.save(target, [document])


@pytest.mark.parametrize("name", [name for name, row in DOCUMENT_FORMATS.items() if row.named])
def test_the_id_is_the_name_of_a_file_in_a_folder(name: str, tmp_path: Path) -> None:
    row, document = DOCUMENT_FORMATS[name], Document("to Oslo", (), metadata={"id": "x"})
    with pytest.raises(DataError, match=r"cannot hold metadata such as 'id'; leave it out with --lossy"):
        row.save(target_of(name, tmp_path), [document])
    row.save(f"{tmp_path / 'out'}/", [document])
    assert [each.metadata["id"] for each in row.documents(tmp_path / "out")] == ["x"]


@pytest.mark.parametrize("name", ["brat", "webanno", "xmi"])
def test_a_folder_with_files_is_not_written_to(name: str, tmp_path: Path) -> None:
    (tmp_path / "old.txt").touch()
    with pytest.raises(DataError, match="expected a new or empty folder, found one with files"):
        DOCUMENT_FORMATS[name].save(f"{tmp_path}/", [Document("to Oslo", ())])
    assert len(list(tmp_path.iterdir())) == 1
