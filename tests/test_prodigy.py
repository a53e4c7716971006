"""Prodigy: accepted records are gold, others are not; what is written reads back the same."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from documents import read_back, written
from hypothesis import given, settings
from hypothesis import strategies as st

import structseq
from structseq.data.annotation.document import Annotation, Document, Notes, Relation
from structseq.data.annotation.prodigy import is_prodigy, read_prodigy, write_prodigy
from structseq.data.annotation.table import DOCUMENT_FORMATS
from structseq.errors import DataError

read = partial(read_back, read_prodigy)
write = partial(written, write_prodigy)

TOKENS = [
    {"text": "to", "start": 0, "end": 2, "id": 0, "ws": True},
    {"text": "Taipei", "start": 3, "end": 9, "id": 1, "ws": False},
]
CITY = {"start": 3, "end": 9, "token_start": 1, "token_end": 1, "label": "city"}
HASHES = {"_input_hash": -400334998, "_task_hash": 1861007191, "_view_id": "ner_manual", "_session_id": None}


def record(**more: Any) -> dict[str, Any]:
    return {"text": "to Taipei", "tokens": TOKENS, "spans": [CITY], **HASHES, "answer": "accept", **more}


def read_records(*records: Any, **options: Any) -> list[Document]:
    return read("".join(json.dumps(each) + "\n" for each in records), **options)


def test_a_record_of_ner_manual() -> None:
    meta = {"source": "x.txt", "pattern": 3}
    document = Document(
        "to Taipei", (Annotation("city", ((3, 9),)),), tokens=((0, 2), (3, 9)), metadata={**HASHES, "meta": meta}
    )
    assert read_records(record(meta=meta)) == [document]
    (again,) = map(json.loads, write([document]).splitlines())
    assert again == record(meta=meta)


def test_what_is_not_accepted_is_not_gold() -> None:
    notes = Notes()
    records = [record(answer="reject"), record(answer="ignore"), record(answer="reject", label="x")]
    found = read_records(*records, notes=notes)
    assert [(each.annotations, each.labels) for each in found] == [(None, ())] * 3
    assert notes == {
        "records with the answer reject, not read as gold": 2,
        "records with the answer ignore, not read as gold": 1,
    }
    assert read(write(found)) == found


def test_a_file_for_annotation_has_no_answers() -> None:
    found = read_records({"text": "a", "spans": [{"start": 0, "end": 1, "label": "x"}]}, {"text": "b"})
    assert [each.annotations for each in found] == [(Annotation("x", ((0, 1),)),), None]
    accepted = read_records({"text": "b", "answer": "accept", "_view_id": "ner_manual"})
    assert accepted[0].annotations == ()


def test_questions_about_one_span_are_not_gold() -> None:
    notes = Notes()
    assert read_records(record(_view_id="ner"), notes=notes)[0].annotations is None
    assert notes == {"records of the view ner, whose spans are not read as gold": 1}


def test_attributes_of_spans() -> None:
    span = {"start": 0, "end": 9, "label": "trip", "type": "span", "source": "model", "score": 0.5}
    (found,) = read_records(record(spans=[span]))
    assert found.annotations == (Annotation("trip", ((0, 9),), attributes={"source": "model", "score": 0.5}),)


def test_the_tokens_tell_what_offsets_count() -> None:
    notes = Notes()
    tokens = [{"text": "😀", "start": 0, "end": 2, "id": 0}, {"text": "ab", "start": 2, "end": 4, "id": 1}]
    span = {"start": 2, "end": 4, "label": "x"}
    (found,) = read_records({"text": "😀ab", "tokens": tokens, "spans": [span]}, notes=notes)
    assert found.tokens == ((0, 1), (1, 3))
    assert found.annotations == (Annotation("x", ((1, 3),)),)
    assert notes == {"texts whose offsets count UTF-16 units, by the copies of their spans": 1}


def test_tokens_of_white_space_are_left_out() -> None:
    notes = Notes()
    tokens = [{"text": text, "start": n, "end": n + 1, "id": n, "ws": False} for n, text in enumerate("a\nb")]
    spans = [{"start": 2, "end": 3, "label": "x"}]
    (found,) = read_records({"text": "a\nb", "tokens": tokens, "spans": spans}, notes=notes)
    assert (found.tokens, found.annotations[0].parts) == (((0, 1), (2, 3)), ((2, 3),))
    assert not notes


def test_relations() -> None:
    prep = {"start": 0, "end": 2, "token_start": 0, "token_end": 0, "label": "prep"}
    arrow = {"head": 1, "child": 0, "head_span": CITY, "child_span": prep, "label": "case", "color": "#ffd882"}
    lost = {"head": 1, "child": 0, "head_span": CITY, "child_span": {"start": 0, "end": 1, "label": None}, "label": "x"}
    notes = Notes()
    (found,) = read_records(record(spans=[prep, CITY], relations=[arrow, lost]), notes=notes)
    first, second = (each.id for each in found.annotations)
    assert found.relations == (Relation("case", second, first, attributes={"color": "#ffd882"}),)
    assert notes == {"relations of tokens without an annotation, left out": 1}
    assert read(write([found])) == [found]
    (again,) = map(json.loads, write([found]).splitlines())
    assert [(each["head"], each["child"]) for each in again["relations"]] == [(1, 0)]


def test_labels_of_texts() -> None:
    options = [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}]
    records = [
        {"text": "x", "label": "pos", "answer": "accept"},
        {"text": "x", "options": options, "accept": ["a", "b"], "answer": "accept"},
        {"text": "x", "options": options, "accept": [], "answer": "accept"},
        {"text": "x", "options": options, "accept": [1], "answer": "accept"},
    ]
    found = read_records(*records)
    assert [each.labels for each in found] == [("pos",), ("a", "b"), (), ()]
    assert [each.annotations for each in found] == [None] * 4
    assert read(write(found)) == found


def test_predictions_have_no_answer() -> None:
    document = Document("to Taipei", (Annotation("city", ((3, 9),), attributes={"score": 0.5}),), metadata=HASHES)
    (found,) = map(json.loads, write([document], model="m1").splitlines())
    assert found == {
        "text": "to Taipei", "spans": [{"start": 3, "end": 9, "label": "city", "source": "m1", "score": 0.5}],
        "_input_hash": -400334998, "_view_id": "ner_manual", "_session_id": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [
        Document("a", metadata={"x": object()}),
        Document("a\udfff"),
        *[Document("a", (), metadata=each) for each in ({"label": "x"}, {"answer": "reject"}, {"_view_id": "ner"})],
    ],
)
def test_what_cannot_be_written_leaves_no_file(document: Document, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        DOCUMENT_FORMATS["prodigy"].save(tmp_path / "tasks.jsonl", [Document("fine"), document])
    assert not list(tmp_path.iterdir())


def with_token(**more: Any) -> dict[str, Any]:
    return record(tokens=[TOKENS[0], {**TOKENS[1], **more}])


MALFORMED = {
    "empty": ("", "an empty file"),
    "cut off": ('{"text": "a"', "bad JSON"),
    "array": ("[]", "found an empty list"),
    "repeated key": ('{"text": "a", "text": "b"}', "twice"),
    "half surrogate": (r'{"text": "\udc00"}', "surrogate"),
    "no text": ({"spans": []}, "expected a string under 'text', found keys 'spans'"),
    "text": ({"text": 3}, "expected a string under 'text', found 3"),
    "answer": (record(answer=True), "expected a string under 'answer'"),
    "tokens": (record(tokens=["to"]), "expected an object in 'tokens'"),
    "token": (with_token(text="Tainan"), "expected 'Tainan' at 3 to 9"),
    "token text": (with_token(text=3), "expected a string under 'text'"),
    "token start": (with_token(start=-1), "expected 0 <= start < end <= 9"),
    "token order": (with_token(text="o Taipei", start=1), "expected tokens in order"),
    "spans": (record(spans={}), "expected a list under 'spans'"),
    "span": (record(spans=[3]), "expected an object in 'spans'"),
    "label": (record(spans=[{"start": 0, "end": 2}]), "expected the name of a label"),
    "empty label": (record(spans=[{**CITY, "label": ""}]), "expected the name of a label"),
    "start": (record(spans=[{**CITY, "start": 1.5}]), "expected a whole number under 'start'"),
    "no end": (record(spans=[{"start": 1, "label": "x"}]), "expected a whole number under 'end'"),
    "beyond": (record(spans=[{**CITY, "end": 10}]), "expected 0 <= start < end <= 9"),
    "copy": (record(spans=[{**CITY, "text": "Tainan"}]), "expected 'Tainan' at 3 to 9"),
    "span id": (record(spans=[{**CITY, "id": []}]), "expected a string under 'id'"),
    "relation": (record(relations=[{"child": 0, "label": "x"}]), "expected an object under 'head_span'"),
    "head_span": (record(relations=[{"head_span": 3}]), "expected an object under 'head_span'"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files(name: str, tmp_path: Path) -> None:
    content, message = MALFORMED[name]
    path = tmp_path / "records.jsonl"
    path.write_text(content if isinstance(content, str) else json.dumps(record()) + "\n" + json.dumps(content))
    with pytest.raises(DataError, match=message) as caught:
        list(read_prodigy(path))
    assert str(caught.value).startswith(f"{path}:2: " if isinstance(content, dict) else str(path))


@settings(max_examples=40)
@given(st.data())
def test_damaged_files_raise_nothing_but_data_errors(data: st.DataObject) -> None:
    arrow = {"head": 1, "child": 1, "head_span": CITY, "child_span": CITY, "label": "x"}
    whole = json.dumps(record(relations=[arrow], accept=["x"]))
    at = data.draw(st.integers(0, len(whole) - 1))
    new = data.draw(st.sampled_from(["", "0", '"', "[]", "{}", "null", "-1"]))
    with suppress(DataError):
        read(whole[:at] + new + whole[at + 1 :])


def test_detection() -> None:
    assert is_prodigy(record())
    assert is_prodigy({"text": "a", "tokens": TOKENS})
    assert is_prodigy({"text": "a", "answer": "accept"})
    assert not is_prodigy({"text": "a", "spans": [[0, 1, "x"]]})
    assert not is_prodigy({"tokens": ["a"], "tags": ["O"]})
    assert not is_prodigy({"tokens": []})


def test_rejected_records_are_found_after_one_without_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    bare, rejected = {"text": "to Taipei", "spans": [CITY]}, {"text": "to Taipei", "spans": [CITY], "answer": "reject"}
    path.write_text(json.dumps(bare) + "\n" + json.dumps(rejected) + "\n")
    assert [each.tags for each in structseq.read(path)] == [("O", "B-city")]
    with pytest.raises(DataError, match=r"a.jsonl:2: .*the answer reject.*data.format=prodigy"):
        list(structseq.read(path, "jsonl"))
