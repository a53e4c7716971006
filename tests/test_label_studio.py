"""Label Studio: exports are read with the right annotation, offsets and labels; what is written reads back the same."""

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

from structseq.data.annotation.document import Annotation, Document, Notes, Relation
from structseq.data.annotation.label_studio import is_label_studio, read_label_studio, write_label_studio
from structseq.data.formats import read_documents, write_documents
from structseq.errors import DataError

read = partial(read_back, read_label_studio)
write = partial(written, write_label_studio)


def region(start: Any = 3, end: Any = 9, copy: Any = "Taipei", label: Any = "city", **more: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": copy, "labels": [label]}
    return {"id": "a", "from_name": "label", "to_name": "text", "type": "labels", "value": value, **more}


def task(*results: Any, text: Any = "to Taipei", **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"text": text}, "annotations": [{"id": 5, "result": list(results)}], **more}


def read_tasks(*tasks: Any, **options: Any) -> list[Document]:
    return read(json.dumps(list(tasks)), **options)


CITY = Annotation("city", ((3, 9),), "a")


def test_an_export_is_read_with_its_metadata_and_the_record_as_source() -> None:
    exported = task(region(), created_at="2024-01-01T00:00:00Z", project=3, predictions=[])
    exported["data"]["source"] = "news"
    document = Document("to Taipei", (CITY,), metadata={"id": 1, "source": "news"})
    assert read_tasks(exported) == [document]
    assert read(json.dumps([exported], indent=2)) == [document]
    assert read("\ufeff" + json.dumps(exported) + "\n\n" + json.dumps(exported)) == [document] * 2  # JSON lines


def test_the_source_is_a_line_or_a_record(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task(), task()]))
    assert [each.source for each in read_label_studio(path)] == [f"{path}:record 1", f"{path}:record 2"]
    path.write_text(json.dumps(task()) + "\n" + json.dumps(task()) + "\n")
    assert [each.source for each in read_label_studio(path)] == [f"{path}:1", f"{path}:2"]


def test_cancelled_and_missing_annotations_leave_a_task_unannotated() -> None:
    notes = Notes()
    cancelled = task(region())
    cancelled["annotations"][0]["was_cancelled"] = True
    predicted = {"data": {"text": "b"}, "annotations": [], "predictions": [{"result": [region()]}]}
    found = read_tasks(cancelled, {"data": {"text": "a"}}, predicted, task(), notes=notes)
    assert [each.annotations for each in found] == [None, None, None, ()]
    assert notes == {
        "cancelled annotations, left out": 1,
        "tasks with predictions alone, not read as gold": 1,
    }


def test_of_several_annotations_the_ground_truth_is_used_else_the_newest() -> None:
    old, new = ({"result": [region(label=each)], "updated_at": f"202{n}-01-01"} for n, each in enumerate(["x", "y"]))
    notes = Notes()
    both = {"data": {"text": "to Taipei"}, "annotations": [new, old]}
    assert read_tasks(both, notes=notes)[0].annotations == (Annotation("y", ((3, 9),), "a"),)
    assert notes == {"tasks with several annotations, of which the newest is used": 1}
    notes.clear()
    assert read_tasks({**both, "annotations": [{**old, "ground_truth": True}, new]}, notes=notes)[0].annotations == (
        Annotation("x", ((3, 9),), "a"),
    )
    assert not read_tasks({**both, "annotations": [new, new]}, notes=notes)[0].labels
    assert not notes


@pytest.mark.parametrize(
    ("text", "place", "copy", "unit"),
    [
        ("😀 to Taipei", (5, 11), "Taipei", None),
        ("😀 to Taipei", (6, 12), "Taipei", "UTF-16 units"),  # before version 1.4
        ("a\r\nto Taipei", (6, 12), "Taipei", None),
        ("a\r\nto Taipei", (5, 11), "Taipei", "code points, CR LF as one"),
        ("to\nTaipei!", (0, 9), r"to\nTaipei", None),  # line ends in copies are escaped
        (r"to\nTaipei", (0, 10), r"to\nTaipei", None),
        ("to  Taipei", (0, 10), "to Taipei", None),
        ("to Taipei", (3, 9), None, None),
    ],
)
def test_offsets_are_found_by_the_copies(text: str, place: tuple[int, int], copy: str, unit: str | None) -> None:
    notes = Notes()
    (found,) = read_tasks(task(region(*place, copy), text=text), notes=notes)
    shown = text[found.annotations[0].start : found.annotations[0].end]
    assert shown.split() == (copy or "Taipei").replace("\\n", "\n" if "\n" in text else "\\n").split()
    assert list(notes) == ([f"texts whose offsets count {unit}, by the copies of their spans"] if unit else [])


def test_offsets_can_be_set() -> None:
    exported = task(region(6, 12, None), text="😀 to Taipei!")
    assert read_tasks(exported, offsets="utf16")[0].annotations[0].parts == ((5, 11),)
    assert read_tasks(exported, offsets="codepoint")[0].annotations[0].parts == ((6, 12),)


def test_hypertext_has_global_offsets() -> None:
    value = {"start": "/text()[1]", "end": "/text()[1]", "startOffset": 3, "endOffset": 9, "text": "Taipei"}
    value |= {"globalOffsets": {"start": 3, "end": 9}, "hypertextlabels": ["city"]}
    assert read_tasks(task(region(type="hypertextlabels", value=value)))[0].annotations == (CITY,)


def test_the_text_is_under_text_or_the_only_string_or_the_one_that_the_copies_fit() -> None:
    results = [{"result": [region()]}]
    for data in ({"text": "to Taipei", "title": "x"}, {"content": "to Taipei"}, {"title": "x", "body": "to Taipei"}):
        (found,) = read_tasks({"data": data, "annotations": results})
        assert found.text == "to Taipei"
        assert found.annotations == (CITY,)
    second = {"data": {"title": "y", "body": "no"}}
    tasks = [second, {"data": {"title": "x", "body": "to Taipei"}, "annotations": results}]
    assert [each.text for each in read_tasks(*tasks)] == ["no", "to Taipei"]
    with pytest.raises(DataError, match=r"expected the text under 'text'.*several strings \(title, body\)"):
        read_tasks(second)


def test_attributes_relations_and_labels() -> None:
    place = {"start": 3, "end": 9}
    choice = {"from_name": "size", "to_name": "text", "id": "a"}
    other = {"id": "b", "from_name": "label", "to_name": "text", "type": "labels"}
    results = [
        region(meta={"text": ["sure?"]}, score=0.5),
        {**choice, "type": "choices", "value": {**place, "choices": ["big"]}},
        {**choice, "from_name": "tags", "type": "choices", "value": {**place, "choices": ["x", "y"]}},
        {**choice, "from_name": "note", "type": "textarea", "value": {**place, "text": ["a city"]}},
        {**choice, "from_name": "stars", "type": "rating", "value": {**place, "rating": 4}},
        {**other, "value": {"start": 0, "end": 2, "labels": ["prep", "word"]}},
        {"from_name": "topic", "to_name": "text", "id": "c", "type": "choices", "value": {"choices": ["travel"]}},
        {"from_name": "why", "to_name": "text", "id": "d", "type": "textarea", "value": {"text": ["so"]}},
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "left", "labels": ["after"]},
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "bi"},
    ]
    notes = Notes()
    attributes = {"notes": ["sure?"], "size": "big", "tags": ["x", "y"], "note": "a city", "stars": 4, "score": 0.5}
    assert read_tasks(task(*results), notes=notes)[0] == Document(
        "to Taipei",
        (
            Annotation("city", ((3, 9),), "a", attributes),
            Annotation("prep", ((0, 2),), "b"),
            Annotation("word", ((0, 2),)),
        ),
        (Relation("after", "b", "a"), Relation("", "a", "b", attributes={"direction": "bi"})),
        ("travel",),
        metadata={"id": 1},
    )
    assert notes == {"results of type textarea without a labelled place, left out": 1}


def test_several_controls() -> None:
    results = [region(), region(0, 2, "to", "ADP", id="b", from_name="pos")]
    with pytest.raises(DataError, match=r"one control with labels of spans, found those of label, pos; .*data.layer"):
        read_tasks(task(results[0]), task(results[1]))
    notes = Notes()
    assert read_tasks(task(*results), layer="pos", notes=notes)[0].annotations == (Annotation("ADP", ((0, 2),), "b"),)
    assert notes == {"regions of other controls, left out (data.layer)": 1}
    with pytest.raises(DataError, match="control 'ner', found those of label, pos"):
        read_tasks(task(*results), layer="ner")


def test_what_has_no_label_is_left_out_with_its_relations() -> None:
    bare = region(0, 2, "to", id="b")
    del bare["value"]["labels"]
    box = {"id": "c", "from_name": "box", "to_name": "image", "type": "rectanglelabels", "value": {"x": 1}}
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right", "labels": ["x"]}
    notes = Notes()
    assert read_tasks(task(region(), bare, box, relation), notes=notes)[0].relations == ()
    assert notes == {
        "regions without a label, left out": 1,
        "results of type rectanglelabels without a labelled place, left out": 1,
        "relations of results that are left out, left out": 1,
    }


def test_labels_of_texts_alone_are_no_annotations_without_spans() -> None:
    topic = {"from_name": "topic", "to_name": "text", "type": "choices", "value": {"choices": ["travel"]}}
    assert read_tasks(task(topic))[0].annotations is None
    assert [each.annotations for each in read_tasks(task(topic), task(region()))] == [(), (CITY,)]


def test_the_minimal_export() -> None:
    record = {
        "text": "to Taipei", "id": 4, "label": [{"start": 3, "end": 9, "text": "Taipei", "labels": ["city"]}],
        "annotator": 1, "annotation_id": 9, "created_at": "", "updated_at": "", "lead_time": 2.5,
    }  # fmt: skip
    assert is_label_studio(record)
    empty = {key: value for key, value in record.items() if key != "label"}
    found = read_tasks(record, empty, {**empty, "annotation_id": None})
    assert [each.annotations for each in found] == [(Annotation("city", ((3, 9),)),), (), None]
    assert found[0].metadata == {"id": 4}


def test_the_minimal_export_of_the_sdk(root: Path) -> None:
    first, second = read_label_studio(root / "tests/data/tools/label_studio_min.json")
    named = [(each.label, first.text[each.start : each.end]) for each in first.annotations]
    assert named == [("PER", "Ada"), ("PER", "Bob"), ("LOC", "New York"), ("LOC", "Köln")]
    assert second.text == "nothing here"


def test_predictions_are_written_with_their_model_and_scores() -> None:
    annotations = (Annotation("city", ((3, 9),), "a", {"score": 0.5}), Annotation("x", ((0, 2),), "b", {"score": 1.0}))
    (found,) = json.loads(write([Document("to Taipei", annotations)], model="m1"))
    (prediction,) = found["predictions"]
    assert "annotations" not in found
    assert (prediction["model_version"], prediction["score"]) == ("m1", 0.75)
    assert prediction["result"][0] == region(score=0.5)


def test_offsets_are_written_in_code_points_as_label_studio_counts_them() -> None:
    (found,) = json.loads(write([Document("😀 to Taipei", (Annotation("city", ((5, 11),), "a"),))]))
    assert found["annotations"][0]["result"] == [region(5, 11)]


def test_unannotated_texts_are_written_without_annotations() -> None:
    documents = [Document("a", metadata={"id": 3}), Document("b", metadata={"id": "x"})]
    assert json.loads(write(documents)) == [{"id": 3, "data": {"text": "a"}}, {"data": {"text": "b", "id": "x"}}]
    assert write([]) == b"[]\n"


def test_tokens_are_kept_unless_the_tokenizer_cuts_them() -> None:
    cut = Document("Ada.", (), tokens=((0, 4),))
    assert json.loads(write([cut]))[0]["data"] == {"text": "Ada.", "tokens": ["Ada."]}
    assert read(write([cut])) == [cut]
    assert "tokens" not in json.loads(write([Document("Ada.", (), tokens=((0, 3), (3, 4)))]))[0]["data"]


@pytest.mark.parametrize(
    "document",
    [
        Document("a b", tokens=((0, 1),)),
        Document("a", metadata={"x": {1, 2}}),
        Document("a\ud800"),
    ],
)
def test_what_cannot_be_written_leaves_no_file(document: Document, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write_label_studio(tmp_path / "tasks.json", [Document("fine"), document])
    assert not list(tmp_path.iterdir())


MALFORMED = {
    "empty file": ("", "an empty file"),
    "cut off": ('[{"data": {"text": "a"', "found bad JSON"),
    "no JSON": ("to Taipei", "bad JSON"),
    "a value": ("3", "expected one JSON object on this line, found a single value"),
    "no objects": ("[[1]]", "found a list"),
    "no task": ('[{"text": "a"}]', "expected an object under 'data', found keys 'text'"),
    "data": ('[{"data": ["a"]}]', "expected an object under 'data'"),
    "repeated key": ('[{"data": {"text": "a", "text": "b"}}]', "twice"),
    "half surrogate": (r'[{"data": {"text": "\ud800"}}]', "surrogate"),
    "too deep": ("[" * 100_000, "bad JSON|recursion|nested"),
    "second line": ('{"data": {"text": "a"}}\n{"data"', ":2: .*bad JSON"),
    "no text": ([{"data": {"n": 1}}], "found no string"),
    "annotations": ([{"data": {"text": "a"}, "annotations": [7]}], "expected an object in 'annotations'"),
    "result": ([{"data": {"text": "a"}, "annotations": [{"result": {}}]}], "expected a list under 'result'"),
    "type": ([task(region(type=None))], "expected a string under 'type'"),
    "value": ([task(region(value=[]))], "expected an object under 'value'"),
    "start": ([task(region("3"))], "'globalOffsets'|whole number"),
    "end": ([task(region(end=None))], "expected a whole number under 'end'"),
    "true": ([task(region(True))], "expected a whole number under 'start'"),
    "backwards": ([task(region(9, 3))], "expected 0 <= start < end <= 9"),
    "beyond": ([task(region(3, 99))], "expected 0 <= start < end <= 9"),
    "huge": ([task(region(3, 2**80))], "expected 0 <= start < end <= 9"),
    "other copy": ([task(region(copy="Tainan"))], "expected 'Tainan' at 3 to 9"),
    "copy": ([task(region(copy=["a"]))], "expected a string under 'text'"),
    "label": ([task(region(label=5))], "expected the name of a label"),
    "labels": ([task(region(value={"start": 0, "end": 1, "labels": "x"}))], "expected a list under 'labels'"),
    "meta": ([task(region(meta=3))], "expected an object under 'meta'"),
    "id": ([task(region(id=[]))], "expected a string under 'id'"),
    "no id": ([task(region(), {"type": "relation", "from_id": "a"})], "expected a string under 'to_id'"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files(name: str, tmp_path: Path) -> None:
    content, message = MALFORMED[name]
    path = tmp_path / "export.json"
    path.write_text(content if isinstance(content, str) else json.dumps([task(), *content]))
    with pytest.raises(DataError, match=message) as caught:
        list(read_label_studio(path))
    where = str(path) if isinstance(content, str) else f"{path}:record 2: "
    assert str(caught.value).startswith(where)


@settings(max_examples=40)
@given(st.data())
def test_damaged_exports_raise_nothing_but_data_errors(data: st.DataObject) -> None:
    whole = write([Document("to Taipei", (CITY,), (Relation("r", "a", "a"),), ("x",))])
    at = data.draw(st.integers(0, len(whole) - 1))
    new = data.draw(st.sampled_from([b"", b"0", b'"', b"[]", b"{}", b"null", b"-1"]))
    with suppress(DataError):
        read(whole[:at] + new + whole[at + 1 :])


def test_detection() -> None:
    assert is_label_studio({"data": {"text": "a"}})
    assert not is_label_studio({"text": "a", "label": [[0, 1, "x"]], "id": 1})
    assert not is_label_studio({"data": "a"})


def test_notes_of_regions_are_kept_by_other_formats(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps([task(region(meta={"text": ["sure?"]}))]))
    for name in ("jsonl", "prodigy"):
        write_documents(tmp_path / name, read_documents(tmp_path / "in.json"), name)
        (found,) = read_documents(tmp_path / name, name)
        assert found.annotations == (Annotation("city", ((3, 9),), "a", {"notes": ["sure?"]}),)
    write_documents(tmp_path / "out.json", [found], "label-studio")
    (back,) = json.loads((tmp_path / "out.json").read_text())
    assert back["annotations"][0]["result"][0] == region(meta={"text": ["sure?"]})


@pytest.mark.parametrize("address", ["/data/upload/1/a.jpg", "https://x.org/a.wav", "s3://bucket/a.png"])
def test_projects_of_images_are_named(address: str) -> None:
    box = {"id": "c", "from_name": "box", "to_name": "image", "type": "rectanglelabels", "value": {"x": 1}}
    with pytest.raises(DataError, match="expected a text, found an address under 'image'"):
        read_tasks({"data": {"image": address}, "annotations": [{"result": [box]}]})


def test_html_is_named() -> None:
    place = {"start": "/p[1]/text()[1]", "end": "/p[1]/text()[1]", "startOffset": 3, "endOffset": 9}
    for more in ({"globalOffsets": {"start": 3, "end": 9}}, {}):
        value = {**place, **more, "text": "Taipei", "hypertextlabels": ["city"]}
        with pytest.raises(DataError, match=r"found HTML .*HTML is not read"):
            read_tasks(task(region(type="hypertextlabels", value=value), text="<p>to Taipei</p>"))
