"""Which column of a column file holds tokens and which holds tags."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from structseq.data.columns import read_columns, read_verbatim_columns
from structseq.data.formats import read
from structseq.errors import DataError

WANTED = [[("Rom", "B-LOC"), ("ist", "O")], [("Kiel", "B-LOC"), ("da", "O")]]


def pairs(content: str, **options: Any) -> list[list[tuple[str, str]]]:
    found = read_columns(io.BytesIO(content.encode()), **options)
    return [list(zip(one.tokens, one.tags, strict=True)) for one in found]


def options_in(message: str) -> dict[str, int]:
    """The first options of each name that a message gives."""
    found = re.findall(r"--set data\.(\w+)=(-?\d+)", message)
    return {name: int(value) for name, value in reversed(found)}


NAMED = {
    "header": "TOKEN\tNER\nRom\tB-LOC\nist\tO\n\nKiel\tB-LOC\nda\tO\n",
    "header and a blank line": "word tag\n\nRom B-LOC\nist O\n\nKiel B-LOC\nda O\n",
    "header in mixed case, tags first": "Label Word\nB-LOC Rom\nO ist\n\nB-LOC Kiel\nO da\n",
    "header after a comment": "# k = v\nToken\tNE-COARSE\tMISC\nRom\tB-LOC\t_\nist\tO\tx\n\nKiel\tB-LOC\t_\nda\tO\t_\n",
    "header of fewer fields": "word tag\nRom B-LOC x\nist O x\n\nKiel B-LOC x\nda O x\n",
    "header that begins with #": "#FORM\tNER\nRom\tB-LOC\nist\tO\n\nKiel\tB-LOC\nda\tO\n",
    "header with numbers": "id form ner\n1 Rom B-LOC\n2 ist O\n\n1 Kiel B-LOC\n2 da O\n",
    "global.columns": "# global.columns = ID FORM NER\n1\tRom\tB-LOC\n2\tist\tO\n\n1\tKiel\tB-LOC\n2\tda\tO\n",
    "global.columns, ranges": (
        "# global.columns = ID FORM X:NE\n1-2\tRomist\t_\n1\tRom\tB-LOC\n2\tist\tO\n\n"
        "1\tKiel\tB-LOC\n1.1\tx\t_\n2\tda\tO\n"
    ),
}


@pytest.mark.parametrize("content", NAMED.values(), ids=NAMED)
def test_names_of_columns(content: str) -> None:
    assert pairs(content) == WANTED


@pytest.mark.parametrize("content", NAMED.values(), ids=NAMED)
def test_named_columns_are_rewritten_and_read_again(content: str) -> None:
    blocks = list(read_verbatim_columns(io.BytesIO(content.encode()), tags=False))
    assert "".join(block.text for block in blocks) == content
    text = "".join(
        block.text if block.example is None else block.append(["X"] * len(block.example)) for block in blocks
    )
    again = [one.tokens for one in read_columns(io.BytesIO(text.encode()), tags=False)]
    assert again == [("Rom", "ist"), ("Kiel", "da")]
    assert [one.example.tokens for one in blocks if one.example] == [("Rom", "ist"), ("Kiel", "da")]


def test_other_columns_can_be_named() -> None:
    content = "TOKEN\tNER\tPOS\nRom\tB-LOC\tNE\nist\tO\tVA\n"
    assert pairs(content) == [[("Rom", "B-LOC"), ("ist", "O")]]
    assert pairs(content, tag_column=2) == [[("Rom", "NE"), ("ist", "VA")]]


def test_a_first_row_whose_fields_occur_again_is_no_header() -> None:
    assert pairs("Word NE\nist VA\n\nRom NE\nda VA\n")[0] == [("Word", "NE"), ("ist", "VA")]


REFUSED = {
    "row numbers": "1\tRom\tNN\tB-LOC\n2\tist\tVA\tO\n\n1\tKiel\tNN\tB-LOC\n2\tda\tAD\tO\n",
    "row numbers from 0": "0 Rom B-LOC\n1 ist O\n\n0 Kiel B-LOC\n1 da O\n",
    "row numbers through the file": "1 Rom B-LOC\n2 ist O\n\n3 Kiel B-LOC\n4 da O\n",
    "swapped": "B-LOC Rom\nO ist\n\nB-LOC Kiel\nO da\n",
    "empty last column": "Rom\tB-LOC\t\nist\tO\tx\n\nKiel\tB-LOC\t\nda\tO\t\n",
    "the same note in every row": "Rom B-LOC ann\nist O ann\n\nKiel B-LOC ann\nda O ann\n",
    "notes in the last column": "Rom NN B-LOC _\nist VA O _\n\nKiel NN B-LOC Note\nda AD O _\n",
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
def test_a_column_that_cannot_be_meant_is_refused_and_the_advice_works(content: str) -> None:
    with pytest.raises(DataError) as caught:
        pairs(content)
    assert caught.value.line == 1
    assert pairs(content, **options_in(caught.value.message)) == WANTED


def test_the_name_of_a_document_as_token() -> None:
    content = "".join(f"doc.1 w{number} B-LOC\n" for number in range(30))
    with pytest.raises(DataError, match=r"found 'doc\.1' in every row") as caught:
        pairs(content)
    assert pairs(content, **options_in(caught.value.message))[0][:2] == [("w0", "B-LOC"), ("w1", "B-LOC")]


def test_swapped_parts_of_speech() -> None:
    content = "NE Rom\nVA ist\nAD da\n\nNE Kiel\nVA war\nAD dort\n\nNE Bonn\nVA wird\nAD gut\n"
    with pytest.raises(DataError, match="swap them") as caught:
        pairs(content)
    assert pairs(content, **options_in(caught.value.message))[0] == [("Rom", "NE"), ("ist", "VA"), ("da", "AD")]


def test_several_columns_of_tags_are_all_named() -> None:
    with pytest.raises(DataError, match=r"tag_column=1 \('B-L'\), --set data.tag_column=2 \('B-c'\)"):
        pairs("Rom B-L B-c _\nist O O _\n")
    with pytest.raises(DataError, match=r"found 'MISC'.*tag_column=1 .*tag_column=2 "):
        pairs("TOKEN NE-COARSE NE-FINE MISC\nRom B-L B-c _\nist O O x\n")


KEPT = {
    "numbers are tokens": ("1 O\n2 B-X\n\n1 O\n", {}),
    "numbers are tokens, named from the right": ("1 NUM O\n2 NUM B-X\n", {"token_column": -3}),
    "numbers that do not count": ("7 NUM O\n2 NUM B-X\n", {}),
    "years": ("1999 CD O\nwas V O\n\n2000 CD O\n", {}),
    "a part of speech after chunks": ("Rom B-NP NE\nist O VA\n", {}),
    "few tokens and many tags": ("a X\nb Y\nc Z\n", {}),
    "all O beside chunks": ("Rom NE B-NP O\nist VA O O\n", {}),
}


@pytest.mark.parametrize(("content", "options"), KEPT.values(), ids=KEPT)
def test_columns_as_named(content: str, options: dict[str, Any]) -> None:
    rows = [[tuple(line.split(" ")) for line in part.split("\n") if line] for part in content.split("\n\n")]
    assert pairs(content, **options) == [[(row[0], row[-1]) for row in part] for part in rows]


def test_row_numbers_beside_words_alone() -> None:
    with pytest.raises(DataError, match=r"found the numbers of the rows.*data\.token_column=1 \('Rom'\)"):
        pairs("1\tRom\n2\tist\n\n1\tKiel\n2\tda\n")


def test_an_empty_tag_names_the_option() -> None:
    with pytest.raises(DataError, match=r"found an empty field; write a tag there, or .* --set data\.tag_column"):
        pairs("Rom\tB-LOC\nist\t\n")


@pytest.mark.parametrize("width", [2, 9, 11, 13])
def test_another_number_of_columns_in_a_conllu_file_gives_options_that_work(width: int, tmp_path: Path) -> None:
    rows = [["1", "Rom", *["_"] * (width - 3), "B-LOC"], ["2", "ist", *["_"] * (width - 3), "O"]]
    rows = [[row[0], row[1], *row[2:]][: width if width > 2 else 3] for row in rows]
    path = tmp_path / "a.conllu"
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(DataError, match=r"data\.format=columns, --set data\.token_column=1"):
        list(read(path))
    (one,) = read(path, "columns", token_column=1, tag_column=len(rows[0]) - 1)
    assert (one.tokens, one.tags) == (("Rom", "ist"), ("B-LOC", "O"))


def test_rows_of_ranges_get_no_tag_of_their_own() -> None:
    content = "1-2\tzum\t_\n1\tzu\tO\n2\tdem\tO\n\n"
    (block,) = read_verbatim_columns(io.BytesIO(content.encode()), token_column=1)
    assert block.example is not None and block.example.tokens == ("zu", "dem")
    assert block.append(["A", "B"]) == "1-2\tzum\t_\t_\n1\tzu\tO\tA\n2\tdem\tO\tB\n\n"
