"""Data frames, datasets and Parquet files become examples; texts and tokens in frames are tagged."""

from __future__ import annotations

import builtins
import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import miniature
import numpy as np
import pandas
import polars
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from structseq.data.example import Example
from structseq.data.frames import is_frame, read_frame
from structseq.data.parquet import read_parquet, write_parquet
from structseq.errors import ConfigError, DataError
from structseq.inference import Tagger

# Written by version 5.2.0 of datasets
DATASETS = Path(__file__).parent / "data" / "tools" / "datasets.parquet"
NAMES = ["O", "B-PER", "I-PER"]
ADA = [(("Ada", "Lovelace", "sang"), ("B-PER", "I-PER", "O")), (("no",), ("O",))]

Maker = Callable[[dict[str, list[Any]]], Any]


def arrays(values: dict[str, list[Any]]) -> Any:
    """As pandas reads lists from Parquet: arrays, and arrays of objects for spans; with an odd index."""
    cells = {name: [np.array(v, object) if isinstance(v, list) else v for v in each] for name, each in values.items()}
    return pandas.DataFrame(cells, index=[7] * len(next(iter(values.values()))))


KINDS: dict[str, Maker] = {
    "pandas": pandas.DataFrame,
    "arrays": arrays,
    "polars": polars.DataFrame,
    "lazy": lambda values: polars.LazyFrame(values),
    "pyarrow": pyarrow.table,
}


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Maker:
    return KINDS[request.param]


def pairs(examples: Iterator[Example]) -> list[tuple[tuple[str, ...], tuple[str, ...] | None]]:
    return [(each.tokens, each.targets.get("tags")) for each in examples]


# -- frames -----------------------------------------------------------------------------------------------------------


def test_rows_that_are_sentences(make: Maker) -> None:
    frame = make({"id": ["x", "y"], "tokens": [["a", "b"], ["c"]], "ner_tags": [["O", "B-x"], ["O"]],
                  "pos_tags": [["N", "V"], ["N"]], "n": [1, 2]})  # fmt: skip
    found = list(read_frame(frame, columns={"pos": "pos_tags"}))
    assert pairs(iter(found)) == [(("a", "b"), ("O", "B-x")), (("c",), ("O",))]
    assert [each.inputs["pos"] for each in found] == [("N", "V"), ("N",)]
    assert [each.metadata for each in found] == [{"id": "x"}, {"id": "y"}]
    assert [each.source for each in found] == ["row 0", "row 1"]
    assert pairs(read_frame(frame, tags=False)) == [(("a", "b"), None), (("c",), None)]
    assert pairs(read_frame(frame, tag_column="pos_tags"))[0][1] == ("N", "V")
    assert all(type(token) is str for example in found for token in example.tokens)


def test_rows_that_are_texts(make: Maker) -> None:
    spans = [[{"start": 3, "end": 7, "label": "city"}], [], None]
    frame = make({"text": ["to Rome", "hi", "ho"], "label": ["go", None, "x"], "spans": spans})
    found = list(read_frame(frame))
    assert pairs(iter(found)) == [(("to", "Rome"), ("O", "B-city")), (("hi",), ("O",)), (("ho",), None)]
    assert [each.metadata for each in found] == [
        {"text": "to Rome", "label": "go"}, {"text": "hi"}, {"text": "ho", "label": "x"},
    ]  # fmt: skip


def test_rows_that_are_tokens(make: Maker) -> None:
    frame = make({"Sentence #": ["s1", None, "s2"], "Word": ["a", "b", "c"], "Tag": ["O", "B-x", "O"]})
    found = list(read_frame(frame))
    assert pairs(iter(found)) == [(("a", "b"), ("O", "B-x")), (("c",), ("O",))]
    assert [each.source for each in found] == ["row 0", "row 2"]
    frame = make({"sentence_id": [1, 1, 2], "token": ["a", "b", "c"], "label": [0, 1, 0]})
    assert pairs(read_frame(frame, labels=["O", "B-x"])) == [(("a", "b"), ("O", "B-x")), (("c",), ("O",))]


def test_spans_come_before_tokens_without_tags(make: Maker) -> None:
    frame = make({"text": ["a b"], "tokens": [["a", "b"]], "spans": [[{"start": 0, "end": 1, "label": "x"}]]})
    assert pairs(read_frame(frame)) == [(("a", "b"), ("B-x", "O"))]
    assert pairs(read_frame(frame, tags=False)) == [(("a", "b"), None)]
    frame = make({"text": ["a b"], "tokens": [["a", "b"]], "tags": [["O", "O"]], "spans": [[]]})
    assert pairs(read_frame(frame)) == [(("a", "b"), ("O", "O"))]
    assert pairs(read_frame(frame, text_column="text", span_column="spans")) == [(("a", "b"), ("O", "O"))]


WRONG: dict[str, tuple[dict[str, list[Any]], dict[str, Any], str]] = {
    "numbers": ({"tokens": [["a"]], "tags": [[1]]}, {}, r"^row 0: .*found numbers \[1\]; name the tags .*data.labels"),
    "number of a token's tag": ({"word": ["a"], "tag": [1]}, {}, r"^row 0: expected a tag .* found 1; .*labels="),
    "number too high": ({"word": ["a"], "tag": [1]}, {"labels": ["O"]}, "^row 0: expected the number of a tag, 0 to 0"),
    "lengths": ({"tokens": [["a"], ["b"]], "tags": [["O"], ["O", "O"]]}, {}, "^row 1: expected 1 tags.*found 2"),
    "missing tokens": ({"tokens": [["a"], None], "tags": [["O"], ["O"]]}, {}, "^row 1: .*list of tokens.*missing"),
    "missing text": ({"text": ["a", None]}, {}, "^row 1: expected a text in the column 'text', found a missing value"),
    "missing token": ({"word": ["a", None], "tag": ["O", "O"]}, {}, "^row 1: .*missing value.*keep_default_na=False"),
    "token that is a number": ({"word": [1], "tag": ["O"]}, {}, "^row 0: expected a token .*found 1; write it"),
    "nothing known": ({"a": ["x"], "b": ["y"]}, {}, "column of tokens .* or of texts .*the columns are 'a', 'b'"),
    "spans of no text": ({"tokens": [["a"]], "spans": [[{"start": 0}]]}, {}, "a text for the spans, found neither"),
    "no tags": ({"tokens": [["a"]], "pos_tags": [["N"]]}, {}, "a column of tags .*'tokens', 'pos_tags'"),
    "two tags": ({"tokens": [["a"]], "tags": [["O"]], "labels": [["O"]]}, {}, "found 'tags' and 'labels'"),
    "text and token": ({"word": ["a"], "text": ["a"]}, {}, "tokens or texts, found both, 'word' and 'text'"),
    "no such column": ({"word": ["a"]}, {"tag_column": "x"}, r"the column 'x' \(tag_column\)"),
    "bad span": ({"text": ["ab"], "spans": [[{"start": 0, "end": 9, "label": "x"}]]}, {}, "^row 0: .*9"),
    "span without a label": ({"text": ["ab"], "spans": [[{"start": 0, "end": 1}]]}, {}, "^row 0: expected a span"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_frames(case: str, make: Maker) -> None:
    values, options, said = WRONG[case]
    with pytest.raises(DataError, match=said):
        list(read_frame(make(values), **options))


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ([1], "expected a data frame, found list"),
        ({"train": 1, "test": 2}, "found dict with 'train', 'test'; choose one"),
        (pandas.DataFrame([["a", "O"]], columns=["word", "word"]), "found DataFrame .*unique column names"),
        (pandas.DataFrame([["a", "O"]]), "the columns are '0', '1'"),
        (pandas.DataFrame(), "the columns are none"),
    ],
)
def test_what_is_no_frame(frame: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        list(read_frame(frame))


def test_frames_are_told_from_files(make: Maker) -> None:
    assert is_frame(make({"word": ["a"]}))
    assert not any(map(is_frame, ("a.csv", Path("a.csv"), io.BytesIO(), None)))


def test_other_values_of_frames() -> None:
    missing = pandas.DataFrame({"text": ["a", "b"], "id": [pandas.NA, "x"], "when": [pandas.NaT, pandas.NaT]})
    assert [each.metadata for each in read_frame(missing)] == [{"text": "a"}, {"text": "b", "id": "x"}]
    tuples = pandas.DataFrame({0: [("a", "b")], "tags": [pandas.Series(["O", "O"])]})
    assert pairs(read_frame(tuples, token_column="0")) == [(("a", "b"), ("O", "O"))]
    assert pairs(read_frame(tuples, token_column="0", tag_column=-1)) == [(("a", "b"), ("O", "O"))]


def without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(module: str, *args: Any, **keywords: Any) -> Any:
        if module.partition(".")[0] == name:
            raise ImportError(f"No module named {module!r}")
        return real(module, *args, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr("importlib.import_module", lambda module: refuse(module))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = Tagger(miniature.model())
    without("narwhals", monkeypatch)
    frame = pandas.DataFrame({"text": ["a"]})
    with pytest.raises(ConfigError, match=r"need narwhals.*pip install narwhals"):
        read_frame(frame)
    with pytest.raises(ConfigError, match=r"pip install narwhals"):
        tagger.tag_frame(frame)


def test_parquet_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    without("pyarrow", monkeypatch)
    with pytest.raises(ConfigError, match=r"need pyarrow.*pip install pyarrow"):
        read_parquet(DATASETS)
    with pytest.raises(ConfigError, match=r"pip install pyarrow"):
        write_parquet("a.parquet", [])


# -- datasets ---------------------------------------------------------------------------------------------------------


class Features(dict[str, Any]):
    """Of ``datasets``, as plain values."""

    def to_dict(self) -> dict[str, Any]:
        return dict(self)


class Dataset:
    """As in ``datasets``: rows are dicts."""

    def __init__(self, features: dict[str, Any] | None, rows: list[dict[str, Any]], named: bool = True) -> None:
        self.features = None if features is None else Features(features)
        self.column_names = list(rows[0]) if named else None
        self._rows = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._rows)


def value(kind: str = "string") -> dict[str, Any]:
    return {"dtype": kind, "_type": "Value"}


CLASS = {"names": NAMES, "_type": "ClassLabel"}
SPAN = {"start": value("int64"), "end": value("int64"), "label": {"names": ["city"], "_type": "ClassLabel"}}


@pytest.mark.parametrize("kind", ["List", "Sequence", "LargeList", ""])
@pytest.mark.parametrize("kept", [list, np.array])
def test_classes_of_datasets_have_names(kind: str, kept: Any) -> None:
    tags = {"feature": CLASS, "_type": kind} if kind else [CLASS]
    rows = [
        {"tokens": ["Ada", "Lovelace", "sang"], "ner_tags": kept([1, 2, 0])},
        {"tokens": ["no"], "ner_tags": kept([0])},
    ]
    dataset = Dataset({"tokens": {"feature": value(), "_type": kind}, "ner_tags": tags}, rows)
    assert is_frame(dataset) and pairs(read_frame(dataset)) == ADA
    assert pairs(read_frame(Dataset(None, rows, named=False), labels=NAMES)) == ADA
    with pytest.raises(DataError, match=r"row 0: .*found numbers \[1, 2, 0\]"):
        list(read_frame(Dataset(None, rows)))


@pytest.mark.parametrize("key", ["spans", "entities"])
def test_spans_of_datasets(key: str) -> None:
    objects = {"text": "to Rome", key: [{"start": 3, "end": 7, "label": 0}], "label": 0}
    lists = {"text": "to Rome", key: {"start": [3], "end": [7], "label": [0]}, "label": 0}
    label = {"names": ["go"], "_type": "ClassLabel"}
    for row, feature in (
        (objects, {"feature": SPAN, "_type": "List"}),
        (lists, {"feature": SPAN, "_type": "Sequence"}),
        (lists, {name: {"feature": inner, "_type": "List"} for name, inner in SPAN.items()}),
    ):
        (found,) = read_frame(Dataset({"text": value(), key: feature, "label": label}, [row]))
        assert found.tags == ("O", "B-city") and found.metadata["label"] == "go"


def test_wrong_classes() -> None:
    features = {"tokens": {"feature": value(), "_type": "List"}, "tags": {"feature": CLASS, "_type": "List"}}
    for number, said in ((3, "row 0: expected the number of a class, 0 to 2, found 3"), (-1, "row 0: .*found null")):
        with pytest.raises(DataError, match=said):
            list(read_frame(Dataset(features, [{"tokens": ["a"], "tags": [number]}])))


# -- Parquet ----------------------------------------------------------------------------------------------------------


def test_a_file_of_datasets(tmp_path: Path) -> None:
    found = list(read_parquet(DATASETS))
    assert pairs(iter(found)) == ADA and [each.metadata for each in found] == [{"id": "0"}, {"id": "1"}]
    assert found[1].source == f"{DATASETS}:row 1"
    with DATASETS.open("rb") as stream:
        assert pairs(read_parquet(stream)) == ADA
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(DATASETS.read_bytes()))
    assert pairs(read_parquet(tmp_path / "a.parquet.gz")) == ADA
    assert pairs(read_frame(parquet.read_table(DATASETS))) == ADA
    assert pairs(read_frame(pandas.read_parquet(DATASETS), labels=NAMES)) == ADA
    with pytest.raises(DataError, match=r"row 0: .*found numbers"):
        list(read_frame(polars.read_parquet(DATASETS)))


def test_many_rows_are_read_in_pieces(tmp_path: Path) -> None:
    words = [f"w{n}" for n in range(2500)]
    parquet.write_table(
        pyarrow.table({"sentence": [n // 5 for n in range(2500)], "word": words}), tmp_path / "a.parquet"
    )
    found = list(read_parquet(tmp_path / "a.parquet"))
    assert len(found) == 500 and found[-1].source.endswith(":row 2495")
    assert [token for each in found for token in each.tokens] == words


@pytest.mark.parametrize(
    "data",
    [
        b"", b"PAR1", b"PAR1xxxxPAR1", b"word,tag\na,O\n", DATASETS.read_bytes()[:-9], DATASETS.read_bytes()[9:],
        DATASETS.read_bytes()[:40] + bytes(60) + DATASETS.read_bytes()[100:],
    ],
)  # fmt: skip
def test_damaged_files(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(DataError, match=r"a.parquet: expected a Parquet file, found one that cannot be read"):
        list(read_parquet(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    "metadata", [b"{", b"[]", b'{"info": 3}', b'{"info": {"features": {"tags": {"_type": "ClassLabel"}}}}']
)
def test_odd_metadata_has_no_names(metadata: bytes, tmp_path: Path) -> None:
    table = pyarrow.table({"tokens": [["a"]], "tags": [[0]]}).replace_schema_metadata({"huggingface": metadata})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet:row 0: expected strings under 'tags', found numbers"):
        list(read_parquet(tmp_path / "a.parquet"))


def test_what_is_written(tmp_path: Path) -> None:
    examples = [
        Example({"tokens": ("a", "b"), "pos": ("N", "")}, {"tags": ("I-x", "O")}, "", {"text": "a b", "id": "1"}, True),
        Example({"tokens": (), "pos": ()}, {"tags": ()}, "", {"label": "go"}),
    ]
    write_parquet(tmp_path / "a.parquet", examples)
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.to_pylist()[0] == {
        "tokens": ["a", "b"], "pos": ["N", ""], "tags": [1, 0], "text": "a b", "id": "1", "label": None,
        "starts_document": True,
    }  # fmt: skip
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["tags"]["feature"] == {"names": ["O", "I-x"], "_type": "ClassLabel"}
    assert list(features) == table.column_names and features["starts_document"]["dtype"] == "bool"


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=4)


@st.composite
def corpora(draw: st.DrawFn) -> list[Example]:
    names = draw(st.sampled_from([(), ("pos",), ("label", "words")]))
    tagged = draw(st.booleans())
    keys = st.sampled_from(["id", "text", "label ", "spans", "Tags", "word", "é"])
    made = []
    for length in draw(st.lists(st.integers(0, 3), max_size=4)):
        column = st.lists(texts, min_size=length, max_size=length).map(tuple)
        inputs = {"tokens": draw(column), **{name: draw(column) for name in names}}
        targets = {"tags": draw(column)} if tagged else {}
        made.append(Example(inputs, targets, "", draw(st.dictionaries(keys, texts, max_size=2)), draw(st.booleans())))
    return made


@settings(max_examples=60, deadline=None)
@given(corpora())
def test_what_is_written_is_read_back(examples: list[Example]) -> None:
    target = io.BytesIO()
    write_parquet(target, examples)
    further = {name: name for name in (examples[0].inputs if examples else ()) if name != "tokens"}
    found = list(read_parquet(io.BytesIO(target.getvalue()), columns=further))
    assert len(found) == len(examples)
    for one, other in zip(found, examples, strict=True):
        assert (one.inputs, one.targets, one.metadata) == (other.inputs, other.targets, other.metadata)
        assert one.starts_document == other.starts_document


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        (Example({"tokens": ("a",)}, {"tags": ("O",)}, "", {"tags": "x"}), "metadata under the key 'tags'"),
        (
            Example({"tokens": ("a",)}, {"tags": ("O",)}, "", {"starts_document": "x"}),
            "metadata under the key 'starts_",
        ),
        (Example({"tokens": ("a",)}, {"tags": ("O",)}, "", {"": "x"}), "metadata under the key ''"),
        (Example.of(["a"]), r"the columns \(tokens\) after sentences with \(tokens, tags\)"),
        (Example({"tokens": ("a",)}, {"label": "x"}), "the target 'label'"),
        (Example.of(["\ud800"], ["O"]), "half a surrogate pair"),
        (Example({"frames": np.zeros((1, 2))}), "frames"),
    ],
)
def test_what_parquet_cannot_hold(sentence: Example, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        write_parquet(tmp_path / "a.parquet", [Example.of(["a"], ["O"]), sentence])
    assert not list(tmp_path.iterdir())


# -- tagging ----------------------------------------------------------------------------------------------------------

SAME: dict[str, Maker] = {name: KINDS[name] for name in ("pandas", "arrays", "polars", "pyarrow")}
TEXTS = ["from Rome to Oslo", "", "on Monday 😀"]
SPAN_COLUMNS = ["start", "end", "start_token", "end_token", "label", "text", "confidence"]


@pytest.fixture(params=SAME)
def same(request: pytest.FixtureRequest) -> Maker:
    return SAME[request.param]


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger(miniature.model())


@pytest.fixture(scope="module")
def plain() -> Tagger:
    examples = tuple([Example.of(["a", "b"], ["N", "V"])] * 3)
    return Tagger(miniature.model(examples=examples, scheme="plain"))


def columns(frame: Any) -> dict[str, list[Any]]:
    """With None for missing values, and plain lists."""
    if isinstance(frame, pandas.DataFrame):
        return {name: [None if v is None or v != v else v for v in frame[name].tolist()] for name in frame.columns}
    return frame.to_pydict() if isinstance(frame, pyarrow.Table) else frame.to_dict(as_series=False)


def expected(tagger: Tagger, texts: list[str]) -> list[dict[str, Any]]:
    return [
        {"row": row, **span.to_dict()}
        for row, text in enumerate(texts)
        for span in tagger.tag_text(text).spans
    ]  # fmt: skip


def test_a_row_for_each_entity(tagger: Tagger, same: Maker) -> None:
    frame = same({"text": TEXTS, "key": ["u", "v", "w"]})
    found = tagger.tag_frame(frame)
    assert type(found) is type(frame)
    values, wanted = columns(found), expected(tagger, TEXTS)
    assert list(values) == ["row", *SPAN_COLUMNS] and len(wanted) > 2
    assert values == {name: [pytest.approx(each[name]) if name == "confidence" else each[name] for each in wanted]
                      for name in values}  # fmt: skip
    assert [TEXTS[n][s:e] for n, s, e in zip(values["row"], values["start"], values["end"], strict=True)] == values[
        "text"
    ]
    named = columns(tagger.tag_frame(frame, text="text", id="key", confidence=False))
    assert list(named) == ["key", *SPAN_COLUMNS[:-1]]
    assert named["key"] == ["uvw"[row] for row in values["row"]]


def test_tokens_have_no_characters(tagger: Tagger, same: Maker) -> None:
    sentences = [["from", "Rome"], [], ["to", "Oslo"]]
    values = columns(tagger.tag_frame(same({"words": sentences})))
    spans = [(row, span) for row, tagging in enumerate(tagger.tag_many(sentences)) for span in tagging.spans]
    assert values["row"] == [row for row, _ in spans] and set(values["start"]) | set(values["end"]) == {None}
    assert values["start_token"] == [span.start for _, span in spans]
    assert values["label"] == [span.label for _, span in spans] and values["text"] == [span.text for _, span in spans]


def test_a_row_for_each_plain_tag(plain: Tagger, same: Maker) -> None:
    values = columns(plain.tag_frame(same({"text": ["a  b", "", "c"]})))
    assert list(values) == ["row", *SPAN_COLUMNS[:4], "tag", "text", "confidence"]
    assert values["text"] == ["a", "b", "c"] and values["row"] == [0, 0, 2]
    assert (values["start"], values["end"]) == ([0, 3, 0], [1, 4, 1])
    assert (values["start_token"], values["end_token"]) == ([0, 1, 0], [1, 2, 1])
    assert values["tag"] == [tag for text in ("a b", "c") for tag in plain.tag_text(text).tags]


def test_a_new_column(tagger: Tagger, plain: Tagger, same: Maker) -> None:
    frame = same({"text": TEXTS, "key": ["u", "v", "w"]})
    found = tagger.tag_frame(frame, layout="column")
    assert type(found) is type(frame)
    values = columns(found)
    assert list(values) == ["text", "key", "spans"] and values["text"] == TEXTS
    wanted = expected(tagger, TEXTS)
    rows = [{"row": row, **each} for row, spans in enumerate(values["spans"]) for each in spans]
    assert [{**each, "confidence": pytest.approx(each["confidence"])} for each in rows] == wanted
    if isinstance(frame, pandas.DataFrame):
        assert found.index.equals(frame.index)
    tags = columns(plain.tag_frame(frame, layout="column", confidence=False))["tags"]
    assert [[each["tag"] for each in row] for row in tags] == [list(plain.tag_text(text).tags) for text in TEXTS]


def test_no_rows(tagger: Tagger, same: Maker) -> None:
    frame = same({"text": ["a"], "id": ["x"]})[:0]
    assert list(columns(tagger.tag_frame(frame))) == ["row", *SPAN_COLUMNS]
    assert list(columns(tagger.tag_frame(frame, id="id"))) == ["id", *SPAN_COLUMNS]
    assert list(columns(tagger.tag_frame(frame, layout="column"))) == ["text", "id", "spans"]


def test_the_id_keeps_its_type(tagger: Tagger) -> None:
    ids = pandas.Categorical(["u", "v", "w"])
    found = tagger.tag_frame(pandas.DataFrame({"text": TEXTS, "id": ids}), id="id")
    assert found["id"].dtype == ids.dtype and found.index.tolist() == list(range(len(found)))


def test_further_columns(same: Maker) -> None:
    tagger = Tagger(miniature.model({"data": {"columns": {"pos": 1}}}))
    frame = same({"tokens": [["from", "Rome"]], "pos": [["P", "N"]]})
    (tagging,) = tagger.tag_many([{"tokens": ["from", "Rome"], "pos": ["P", "N"]}])
    assert columns(tagger.tag_frame(frame))["label"] == [span.label for span in tagging.spans]
    with pytest.raises(DataError, match=r"the column 'pos' .*the model was trained with"):
        tagger.tag_frame(same({"tokens": [["from", "Rome"]]}))
    with pytest.raises(DataError, match="row 0: the model needs the column 'pos'"):
        tagger.tag_frame(same({"text": ["from Rome"]}))


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        ({"text": ["a", None]}, {}, "^row 1: expected a text in the column 'text', found a missing value"),
        ({"tokens": [["a"], None]}, {}, "^row 1: expected a list of tokens .*missing value"),
        ({"tokens": ["a b"]}, {}, "^row 0: expected a list of tokens in the column 'tokens', found str 'a b'"),
        ({"text": [["a"]]}, {}, "^row 0: expected a text in the column 'text', found list"),
        ({"tokens": [[1, 2]]}, {}, "^row 0: expected tokens that are strings, found int 1"),
        ({"a": ["b"]}, {}, "one column 'text', 'tokens' or 'words', found none; .*the columns are 'a'"),
        ({"text": ["b"], "words": [["b"]]}, {}, "found 'text' and 'words'; name it"),
        ({"a": ["b"]}, {"text": "b"}, r"the column 'b' \(text\), found none; the columns are 'a'"),
        ({"text": ["b"]}, {"id": "x"}, r"the column 'x' \(id\)"),
        ({"text": ["b"], "start": [1]}, {"id": "start"}, "id='start' has the name of a column of the answers"),
        ({"text": ["b"], "spans": [1]}, {"layout": "column"}, "expected no column 'spans'"),
    ],
)
def test_frames_that_cannot_be_tagged(
    values: dict[str, list[Any]], options: dict[str, Any], said: str, tagger: Tagger, same: Maker
) -> None:
    with pytest.raises(DataError, match=said):
        tagger.tag_frame(same(values), **options)


def test_wrong_calls(tagger: Tagger) -> None:
    frame = polars.DataFrame({"text": ["a"]})
    wide: Any = "wide"
    with pytest.raises(ConfigError, match="unknown layout 'wide'"):
        tagger.tag_frame(frame, layout=wide)
    with pytest.raises(ConfigError, match="name one of them"):
        tagger.tag_frame(frame, text="text", tokens="text")
    with pytest.raises(ConfigError, match="id='text' is for layout='rows'"):
        tagger.tag_frame(frame, id="text", layout="column")
    with pytest.raises(DataError, match="found a lazy one; collect it first"):
        tagger.tag_frame(frame.lazy())


def test_spans_written_as_json() -> None:
    label = json.dumps([{"start": 3, "end": 7, "labels": ["city"]}])
    frame = pandas.DataFrame({"text": ["to Rome"], "label": [label]})
    assert [each.tags for each in read_frame(frame)] == [("O", "B-city")]
