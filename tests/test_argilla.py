"""Argilla: submitted responses are gold, suggestions are not; what is written reads back the same."""

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

from structseq.data.annotation.argilla import is_argilla, read_argilla, write_argilla
from structseq.data.annotation.document import Annotation, Document, Notes
from structseq.errors import DataError

read = partial(read_back, read_argilla)
write = partial(written, write_argilla)

SPAN = {"start": 3, "end": 9, "label": "city"}
CITY = Annotation("city", ((3, 9),))


def record(*answers: Any, question: str = "span", **more: Any) -> dict[str, Any]:
    responses = {question: list(answers)} if answers else {}
    return {"id": "1", "fields": {"text": "to Taipei"}, "metadata": {}, "responses": responses, **more}


def answer(*spans: Any, **more: Any) -> dict[str, Any]:
    return {"value": list(spans), "user_id": "u", "status": "submitted", **more}


def read_records(*records: Any, **options: Any) -> list[Document]:
    return read(json.dumps(list(records)), **options)


def test_an_export_of_the_sdk(root: Path) -> None:
    notes = Notes()
    path = root / "tests/data/tools/argilla.json"
    first, *others = read_argilla(path, notes=notes)
    assert first == Document(
        "Ada met Bob 😀 in New York.",
        (Annotation("PER", ((0, 3),)), Annotation("LOC", ((17, 25),))),
        labels=("news",),
        metadata={"id": "doc-1", "split": "train"},
        source=f"{path}:record 1",
    )
    assert [each.annotations for each in others] == [(), (), None]
    assert others[1].metadata == {"id": "doc-3", "vectors": {"v": [0.5, 1.0]}}
    # It has no states of responses
    assert notes["records that are not completed, whose responses are taken as submitted"] == 3


def test_submitted_responses_are_gold() -> None:
    notes = Notes()
    draft, other = answer(SPAN, status="draft"), answer({**SPAN, "label": "x"})
    suggestions = {"span": {"value": [SPAN], "score": 0.5, "agent": "m"}}
    records = [
        record(answer(SPAN)),
        record(draft, suggestions=suggestions),
        record(draft, answer(SPAN), other),
        record(answer()),
        record(),
    ]
    found = read_records(*records, notes=notes)
    assert [each.annotations for each in found] == [(CITY,), None, (CITY,), (), None]
    assert notes == {
        "responses that are not submitted, left out": 2,
        "records with suggestions alone, not read as gold": 1,
        "questions with different responses, of which the first is used": 1,
    }
    notes.clear()
    second = {**SPAN, "label": "x"}
    assert read_records(record(answer(SPAN, second), answer(second, SPAN)), notes=notes)
    assert not notes


def test_questions() -> None:
    labels = {"topic": [{"value": "travel"}], "tags": [{"value": ["a", "b"]}], "stars": [{"value": 4}]}
    notes = Notes()
    (found,) = read_records(record(responses={**labels, "ner": [answer(SPAN)]}), notes=notes)
    assert (found.labels, found.annotations) == (("travel", "a", "b"), (CITY,))
    assert notes == {
        "responses that are neither spans nor labels, left out": 1,
        "labels of topic, tags, read together (data.layer)": 1,
    }
    two = record(responses={"ner": [answer(SPAN)], "pos": [answer()]})
    assert read_records(two, layer="ner")[0].annotations == (CITY,)
    with pytest.raises(DataError, match="one question with spans, found ner, pos"):
        read_records(two)


def test_the_records_of_the_server() -> None:
    user = {"user_id": "u", "status": "submitted", "values": {"span": {"value": [SPAN]}, "label": {"value": "x"}}}
    discarded = {"user_id": "v", "status": "discarded", "values": {"span": {"value": []}}}
    suggestions = [{"question_name": "span", "value": []}]
    (found,) = read_records(record(responses=[user, discarded], suggestions=suggestions))
    assert (found.annotations, found.labels) == ((CITY,), ("x",))


def test_the_text_is_the_field_text_or_the_only_string() -> None:
    (found,) = read_records(record(answer(SPAN), fields={"prompt": "to Taipei", "chat": []}))
    assert (found.text, found.metadata) == ("to Taipei", {"chat": [], "id": "1"})
    with pytest.raises(DataError, match=r"several strings \(a, b\)"):
        read_records(record(fields={"a": "x", "b": "y"}))


def test_offsets_are_told_to_be_uncertain() -> None:
    exported = record(answer({"start": 5, "end": 11, "label": "city"}), fields={"text": "😀 to Taipei"})
    notes = Notes()
    assert read_records(exported, notes=notes)[0].annotations[0].parts == ((5, 11),)
    assert notes == {"texts whose offsets are taken to count code points (data.offsets)": 1}
    assert read_records(exported, offsets="utf16")[0].annotations[0].parts == ((4, 10),)


def test_predictions_are_suggestions() -> None:
    document = Document("to Taipei", (Annotation("city", ((3, 9),), attributes={"score": 0.5}),), labels=("x",))
    (found,) = json.loads(write([document], model="m1"))
    assert found["responses"] == {}
    assert found["suggestions"] == {
        "span": {"value": [SPAN], "score": [0.5], "agent": "m1"},
        "label": {"value": "x", "score": None, "agent": "m1"},
    }


@pytest.mark.parametrize("metadata", [{"id": 5}, {"id": "a", "vectors": {"v": [1.0]}}, {"vectors": 3}, {"id": None}])
def test_names_and_vectors_are_kept(metadata: dict[str, Any]) -> None:
    document = Document("a", metadata=metadata)
    assert read(write([document])) == [document]


@pytest.mark.parametrize("document", [Document("a", metadata={"x": b"y"}), Document("a\ud800")])
def test_what_cannot_be_written_leaves_no_file(document: Document, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write_argilla(tmp_path / "records.json", [Document("fine"), document])
    assert not list(tmp_path.iterdir())


MALFORMED = {
    "empty": ("", "an empty file"),
    "cut off": ('[{"fields": {', "found bad JSON"),
    "a value": ('"a"', "expected one JSON object on this line, found a single value"),
    "repeated key": ('[{"fields": {}, "fields": {}}]', "twice"),
    "half surrogate": (r'[{"fields": {"text": "\ud83d"}}]', "surrogate"),
    "no object": ("[3]", "found a list"),
    "no text": ([{"id": "1"}], "expected an object under 'fields'"),
    "fields": (record(fields="a"), "expected an object under 'fields'"),
    "no string": (record(fields={"text": 3}), "found no string"),
    "metadata": (record(metadata=[]), "expected an object under 'metadata'"),
    "responses": (record(responses=3), "expected an object under 'responses'"),
    "question": (record(responses={"span": 3}), "expected a list under 'span'"),
    "answer": (record(3), "expected an object in 'span'"),
    "values": (record(responses=[{"values": {"span": 3}}]), "expected an object under 'span'"),
    "user": (record(responses=[3]), "expected an object in 'responses'"),
    "no end": (record(answer({"start": 0, "label": "x"})), "expected a whole number under 'end'"),
    "start": (record(answer({**SPAN, "start": "3"})), "expected a whole number under 'start'"),
    "true": (record(answer({**SPAN, "start": True})), "expected a whole number under 'start'"),
    "beyond": (record(answer({**SPAN, "end": 10})), "expected 0 <= start < end <= 9"),
    "backwards": (record(answer({**SPAN, "end": 3})), "expected 0 <= start < end <= 9"),
    "label": (record(answer({"start": 0, "end": 1})), "expected the name of a label"),
    "no span": (record(answer(SPAN, 3)), "expected an object with start, end and label"),
    "empty label": (record({"value": ""}), "expected the name of a label"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files(name: str, tmp_path: Path) -> None:
    content, message = MALFORMED[name]
    path = tmp_path / "records.json"
    records = content if isinstance(content, list) else [content]
    path.write_text(content if isinstance(content, str) else json.dumps([record(), *records]))
    with pytest.raises(DataError, match=message) as caught:
        list(read_argilla(path))
    assert str(caught.value).startswith(str(path) if isinstance(content, str) else f"{path}:record 2: ")


@settings(max_examples=40)
@given(st.data())
def test_damaged_files_raise_nothing_but_data_errors(data: st.DataObject) -> None:
    whole = write([Document("to Taipei", (CITY,), labels=("x", "y"), metadata={"id": 1})])
    at = data.draw(st.integers(0, len(whole) - 1))
    new = data.draw(st.sampled_from([b"", b"0", b'"', b"[]", b"{}", b"null", b"-1"]))
    with suppress(DataError):
        read(whole[:at] + new + whole[at + 1 :])


def test_detection() -> None:
    assert is_argilla(record())
    assert is_argilla(json.loads(write([Document("a")]))[0])
    assert not is_argilla({"fields": {"text": "a"}})
    assert not is_argilla({"text": "a", "annotation": []})


def with_answers(**values: Any) -> dict[str, Any]:
    return {"fields": {"text": "to Taipei"}, "responses": {name: [{"value": each}] for name, each in values.items()}}


def test_answers_in_free_text_are_no_labels() -> None:
    notes = Notes()
    records = [with_answers(topic="not sure", comment="a nice one"), with_answers(topic="not sure", comment="odd")]
    assert [each.labels for each in read_records(*records, notes=notes)] == [("not sure",)] * 2
    assert notes == {"answers to 'comment', taken as free text, left out": 2}
    assert read_records(with_answers(label="not sure"))[0].labels == ("not sure",)
    assert read_records(with_answers(why="x" * 61), with_answers(why="x" * 61))[0].labels == ()


def test_labels_of_several_questions() -> None:
    notes = Notes()
    record = with_answers(topic="news", tone=["kind"], span=[SPAN])
    assert read_records(record, notes=notes)[0].labels == ("news", "kind")
    assert notes == {"labels of topic, tone, read together (data.layer)": 1}
    assert read_records(record, layer="topic")[0].labels == ("news",)
    assert read_records(record, layer="span")[0].annotations == (CITY,)
