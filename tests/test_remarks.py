"""Gold that teaches nothing, or is read otherwise than meant, is refused or remarked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from structseq.data.formats import read
from structseq.data.options import DataOptions
from structseq.errors import DataError
from structseq.spans import remark_on_plain
from structseq.tasks.inspection import inspect_file


def remarks(path: Path, content: str, **options: Any) -> list[str]:
    path.write_text(content, encoding="utf-8")
    lines = inspect_file(path, DataOptions(**options)).lines
    return [line.removeprefix("  remark").strip() for line in lines if line.startswith("  remark ")]


def rows(*tags: str) -> str:
    return "".join(f"w{number} {tag}\n" for number, tag in enumerate(tags))


SPELLED = {
    "lower case": ("b-per", "i-per", "o", "o", "b-loc"),
    "underscores": ("B_PER", "I_PER", "O", "O"),
    "colons": ("B:PER", "I:PER", "O", "O"),
    "letters last": ("PER-B", "PER-I", "O", "LOC-B"),
    "words": ("Begin-PER", "Inside-PER", "Outside", "Outside"),
    "another O": ("B-PER", "I-PER", "_", "_", "_", "_", "_"),
    "lower o": ("B-PER", "I-PER", "o", "o", "o", "o"),
}


@pytest.mark.parametrize("tags", SPELLED.values(), ids=SPELLED)
def test_tags_that_look_like_a_scheme_in_another_spelling(tags: tuple[str, ...], tmp_path: Path) -> None:
    (remark,) = remarks(tmp_path / "a.conll", rows(*tags))
    assert f"the tags look like BIO in another spelling, such as {tags[0]!r}" in remark or (
        "the tags look like BIO in another spelling, such as" in remark and tags[0] == "B-PER"
    )
    assert "accuracy is reported and no F1" in remark
    assert not remarks(tmp_path / "a.conll", rows(*tags), scheme="plain")


def test_other_schemes_and_brackets(tmp_path: Path) -> None:
    (remark,) = remarks(tmp_path / "a.conll", rows("b_per", "e_per", "s_loc", "o"))
    assert "look like BIOES" in remark
    (remark,) = remarks(tmp_path / "a.conll", rows("(PER*", "*)", "*", "(LOC)"[:-1] + "*)"))
    assert "brackets of CoNLL-2012, such as '(PER*'" in remark


def test_stray_tags_among_span_tags(tmp_path: Path) -> None:
    (remark,) = remarks(tmp_path / "a.conll", rows("B-PER", "X", "X", "Y", "I-PER", "Z", "X"))
    assert "tags such as B-PER look like tags of spans, but 'X' (3 of 7 tags) does not" in remark


@pytest.mark.parametrize(
    "tags", [("DT", "NN", "NN-HL"), ("B", "I", "O"), ("a", "o"), ("x_y", "o"), ("S_NOM", "V_PRS"), ("B-PER", "O")]
)
def test_no_remark_on_other_tags(tags: tuple[str, ...]) -> None:
    assert remark_on_plain(dict.fromkeys(tags, 1)) == ""


NOTHING = {
    "only O": ("a.conll", rows("O", "O"), {}),
    "only _": ("a.conll", rows("_", "_"), {}),
    "no part of speech": ("a.conllu", "1\tw" + "\t_" * 8 + "\n", {}),
    "empty span lists": ("a.jsonl", '{"text": "w v", "spans": []}\n', {}),
}


@pytest.mark.parametrize(("name", "content", "options"), NOTHING.values(), ids=NOTHING)
def test_nothing_to_learn(name: str, content: str, options: dict[str, Any], tmp_path: Path) -> None:
    (remark,) = remarks(tmp_path / name, content, **options)
    assert "so there is nothing to learn or to score" in remark


def test_a_file_of_one_sentence(tmp_path: Path) -> None:
    (remark,) = remarks(tmp_path / "a.conll", rows(*["O", "B-X"] * 150))
    assert "the whole file is one sentence of 300 tokens; write a blank line after each sentence" in remark
    documents = "-DOCSTART- O\n".join([rows(*["O", "B-X"] * 400)] * 3)
    (remark,) = remarks(tmp_path / "a.conll", documents)
    assert "3 sentences with a median of 800 tokens" in remark
    record = json.dumps({"tokens": ["w"] * 900, "tags": ["O", "B-X"] * 450})
    assert not remarks(tmp_path / "a.jsonl", record)
    assert not remarks(tmp_path / "a.conll", rows(*["O", "B-X"] * 50))


def row(number: int, feats: str = "_", misc: str = "_") -> str:
    return f"{number}\tw\t_\tX\t_\t{feats}\t_\t_\t_\t{misc}\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"field": "misc:ner"},
            "'ner' in misc of some word, found NER, SpaceAfter; .* such as --set data.field=misc:NER",
        ),
        ({"field": "misc:Ne"}, "found NER, SpaceAfter"),
        ({"field": "feats:case"}, "'case' in feats of some word, found Case, Number"),
        ({"columns": {"number": "feats:Numerus"}}, "found Number, Case"),
    ],
)
def test_a_key_that_no_word_has(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.conllu"
    path.write_text(row(1, "Case=Nom|Number=Sing", "NER=B-X") + row(2, misc="SpaceAfter=No"), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        list(read(path, **options))
    assert list(read(path, **options, tags=False))
    assert list(read(path, field="misc:NER", columns={"number": "feats:Number"}))


def test_no_key_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.conllu"
    path.write_text(row(1), encoding="utf-8")
    assert next(read(path, field="misc:NER")).tags == ("O",)
    with pytest.raises(DataError, match="found no key; name another field"):
        list(read(path, field="feats:Case"))


def records(tmp_path: Path, **values: Any) -> tuple[str, ...]:
    (tmp_path / "a.jsonl").write_text(json.dumps(values), encoding="utf-8")
    return next(read(tmp_path / "a.jsonl")).tags


FULL = {
    "an empty list before a full one": {"entities": [], "label": [[0, 3, "LOC"]]},
    "an empty list after a full one": {"spans": [[0, 3, "LOC"]], "labels": []},
    "labels of the whole text": {"labels": ["news"], "label": [[0, 3, "LOC"]]},
    "the same spans twice": {"spans": [[0, 3, "LOC"]], "entities": [[0, 3, "LOC"]]},
    "other lists": {"spans": [[0, 3, "LOC"]], "relations": [], "comments": ["x"]},
}


@pytest.mark.parametrize("values", FULL.values(), ids=FULL)
def test_the_list_that_has_spans_is_read(values: dict[str, Any], tmp_path: Path) -> None:
    assert records(tmp_path, text="Rom ist", **values) == ("B-LOC", "O")


def test_the_list_that_has_a_tag_for_each_token_is_read(tmp_path: Path) -> None:
    assert records(tmp_path, tokens=["Rom", "ist"], tags=["news"], ner_tags=["B-LOC", "O"]) == ("B-LOC", "O")
    assert records(tmp_path, tokens=["Rom", "ist"], tags=["B-LOC", "O"], ner_tags=[3, 0]) == ("B-LOC", "O")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"spans": [[0, 3, "A"]], "label": [[0, 3, "B"]]}, "found 'spans' and 'label' with different values; keep one"),
        ({"annotations": [{"label": 7, "start_offset": 0, "end_offset": 3}]}, "under 'annotations'.* their numbers"),
        ({"ents": [[0, 3, "LOC"]]}, "found them under 'ents'; rename it$"),
        ({"entities": [], "ents": [{"start": 0, "end": 3, "label": "LOC"}]}, "found them under 'ents'"),
        ({"spans": [[0, 3, 7]]}, "write the name of the label instead of its number"),
    ],
)
def test_spans_that_would_be_missed_are_refused(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        records(tmp_path, text="Rom ist", **values)
    assert len(list(read(tmp_path / "a.jsonl", tags=False))) == 1


def test_two_lists_of_tags_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found 'tags' and 'ner_tags' with different values; keep one"):
        records(tmp_path, tokens=["Rom"], tags=["NE"], ner_tags=["B-LOC"])


def test_rows_that_may_be_comments(tmp_path: Path) -> None:
    content = "# SYM\nRom NE\nist VA\nda NE\n"
    (remark,) = remarks(tmp_path / "a.conll", content)
    assert "1 sentence begins with the token '#' and a tag that no other token has, such as 'SYM' in" in remark
    assert "a.conll:1; if such lines are comments, use data.comments=always" in remark
    assert not remarks(tmp_path / "a.conll", content, comments="always")
    assert not remarks(tmp_path / "a.conll", content.replace("SYM", "NE"))


def test_span_tags_in_another_column(tmp_path: Path) -> None:
    content = "Rom B-LOC NE\nist O VA\n"
    (remark,) = remarks(tmp_path / "a.conll", content)
    assert remark == (
        "column 1 has tags of spans such as B-LOC, but tags are read from column 2; to read those, use "
        "--set data.tag_column=1"
    )
    assert not remarks(tmp_path / "a.conll", content, tag_column=1)
