"""doccano: labels of texts are told from spans."""

from __future__ import annotations

import json
from typing import Any

import pytest
from documents import read_back

import structseq
from structseq.data.annotation.doccano import read_json_documents
from structseq.data.annotation.document import Annotation
from structseq.errors import DataError


@pytest.mark.parametrize(
    ("record", "annotations", "labels"),
    [
        ({"label": ["flight"]}, None, ("flight",)),
        ({"label": ["flight", "hotel"]}, None, ("flight", "hotel")),
        ({"labels": ["flight"]}, None, ("flight",)),
        ({"label": "flight"}, None, ("flight",)),
        ({"label": []}, (), ()),
        ({"label": ["flight"], "entities": [[3, 7, "to"]]}, (Annotation("to", ((3, 7),)),), ("flight",)),
    ],
)
def test_strings_are_labels_of_the_text(record: dict[str, Any], annotations: Any, labels: tuple[str, ...]) -> None:
    (found,) = read_back(read_json_documents, json.dumps({"id": 1, "text": "to Rome", **record}))
    assert (found.annotations, found.labels, found.metadata) == (annotations, labels, {"id": 1})


def test_an_export_of_text_classification(tmp_path: Any) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1, "text": "to Rome", "label": ["flight"]}\n')
    (example,) = structseq.read(tmp_path / "a.jsonl")
    assert example.targets == {} and example.metadata["label"] == "flight"


def test_offsets_that_may_count_utf_16_are_named(tmp_path: Any) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "😀 to Rome now", "label": [[6, 10, "to"]]}) + "\n")
    with pytest.raises(DataError, match=r"if offsets count UTF-16 units, set data.offsets=utf16; else correct"):
        list(structseq.read(path))
    assert [each.tags for each in structseq.read(path, offsets="utf16")] == [("O", "O", "B-to", "O")]
    path.write_text(json.dumps({"text": "to Rome now", "label": [[4, 7, "to"]]}) + "\n")
    with pytest.raises(DataError, match=r"0:2.*; correct the span"):
        list(structseq.read(path))
