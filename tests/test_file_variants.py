"""Files as people have them, in variants of each kind of fault: what they hold is read, or a message names the way out.

Each variant has the value or the message that is right by the documentation. No test depends on how a reader works.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from commandline import Done, call, columns, sentences, tiny, write_corpus

from structseq import Tagger, cli
from structseq.data.formats import read
from structseq.data.options import DataOptions
from structseq.data.reading import read_examples, tagger_format
from structseq.errors import DataError
from structseq.spans import scheme_of

Command = Callable[..., Done]
ROWS = sentences(8, first=50)
EMOJI = "fly from Rome 😀 to New York"
BIO = scheme_of("BIO")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return lambda *words: call(capsys, *words)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus in BIO and a model of it; nothing in it is changed by a test."""
    folder = tmp_path_factory.mktemp("home")
    parts = write_corpus(folder)
    words = ["train", parts["train"], "--dev", parts["dev"], "--output", folder / "model", "--quiet"]
    assert cli.main([str(word) for word in (*words, *tiny(8))]) == 0
    return folder


def write(path: Path, content: str | bytes | list[Any]) -> Path:
    """A list is written as JSON lines."""
    if isinstance(content, list):
        content = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pairs(path: Path, format: str = "auto", **options: Any) -> list[tuple[str, str]]:
    """Token and tag of all rows."""
    found = read(path, format, **options)
    return [pair for each in found for pair in zip(each.tokens, each.tags, strict=True)]


def in_scheme(scheme: str, rows: Sequence[tuple[list[str], list[str]]] = ROWS) -> list[tuple[list[str], list[str]]]:
    return [(tokens, list(scheme_of(scheme).encode(BIO.decode(tags), len(tags)))) for tokens, tags in rows]


# -- A: each file is read by its own scheme and scored in the model's -------------------------------------------------


OTHER_SCHEMES = {
    "BMES, packed": ("a.conll.gz", gzip.compress(columns(in_scheme("BMES")).encode())),
    "BILOU in JSON lines": ("a.jsonl", [{"words": t, "ner_tags": g} for t, g in in_scheme("BILOU")]),
    "IOE": ("a.bio", columns(in_scheme("IOE"))),
    "IO in a table": (
        "a.csv",
        "sentence,word,tag\n"
        + "".join(
            f"{n},{word},{tag}\n" for n, (t, g) in enumerate(in_scheme("IO")) for word, tag in zip(t, g, strict=True)
        ),
    ),
}


@pytest.mark.parametrize(("name", "content"), OTHER_SCHEMES.values(), ids=OTHER_SCHEMES)
def test_another_scheme_gives_the_same_score(
    command: Command, home: Path, tmp_path: Path, name: str, content: Any
) -> None:
    reports = []
    for file in (write(tmp_path / "bio.conll", columns(ROWS)), write(tmp_path / name, content)):
        done = command("evaluate", home / "model", file, "--json", "-")
        reports.append({**json.loads(done.out), "data": None, "file": None})
    assert done.status == 0 and "they are scored in BIO, the scheme of the model's files" in done.err
    for kind in ("micro", "macro", "strict"):
        assert _part(reports[0], kind) == _part(reports[1], kind) is not None


def _part(report: Any, name: str) -> Any:
    """The first value under a key, at any depth."""
    if not isinstance(report, dict):
        return None
    return report[name] if name in report else next((v for each in report.values() if (v := _part(each, name))), None)


@pytest.mark.parametrize("tag", ["VB", "b-from"])
def test_plain_tags_for_a_model_of_spans_are_refused(command: Command, home: Path, tmp_path: Path, tag: str) -> None:
    file = write(tmp_path / "a.conll", f"fly\tO\nRome\t{tag}\n")
    done = command("evaluate", home / "model", file)
    assert done.status == 2 and f"a.conll:2: expected tags in BIO, as in the model's files, found {tag!r}" in done.err


@pytest.mark.parametrize(("old", "new"), [("B-from", "b-from"), ("B-", "B_"), ("-", "."), ("\tB-to", "\tNN")])
@pytest.mark.parametrize("part", ["--dev", "--test"])
def test_another_spelling_beside_training_is_refused(
    command: Command, home: Path, tmp_path: Path, old: str, new: str, part: str
) -> None:
    file = write(tmp_path / "other.conll", columns(ROWS).replace(old, new))
    done = command("train", home / "train.conll", part, file, "--output", tmp_path / "model", *tiny(1))
    assert done.status == 2 and f"error: {file}:" in done.err and not (tmp_path / "model").exists()
    assert re.search("the model's files are in BIO|expected tags in BIO, as in the model's files, found", done.err)


# -- B: a column that cannot be what it is taken for -------------------------------------------------------------------


HIPE = (
    "TOKEN\tNE-COARSE-LIT\tNE-FINE-LIT\tNEL-LIT\tMISC\n# document_id = 1\nRom\tB-loc\tB-loc.adm\tQ220\t_\n"
    "ist\tO\tO\t_\tEndOfLine\n\n# document_id = 2\nKiel\tB-loc\tB-loc.adm\tQ1707\t_\n"
)
COLUMNS = {
    "an index that pandas wrote": ("\tword\ttag\n0\tRom\tB-loc\n1\tist\tO\n2\tKiel\tB-loc\n", {}),
    "a column of PARSEME": ("# global.columns = ID FORM UPOS PARSEME:MWE\n1\tRom\tN\tB-loc\n2\tist\tV\tO\n", {}),
    "an empty column between": ("Rom\t\tB-loc\nist\t\tO\n\nKiel\t\tB-loc\n", {}),
    "HIPE, by name": (HIPE, {"tag_column": "NE-COARSE-LIT"}),
    "a header among the sentences": ("Text O\nRom B-loc\n\nText O\n", {}),
}


@pytest.mark.parametrize(("content", "options"), COLUMNS.values(), ids=COLUMNS)
def test_columns(tmp_path: Path, content: str, options: dict[str, Any]) -> None:
    file = write(tmp_path / "a.tsv", content)
    assert ("Rom", "B-loc") in pairs(file, **options) and {tag for _, tag in pairs(file, **options)} <= {"B-loc", "O"}


REFUSED_COLUMNS: dict[str, tuple[str, dict[str, Any], str]] = {
    "HIPE": (HIPE, {}, "name the column of the tags: --set data.tag_column=1 ('B-loc')"),
    "names of annotators": ("Rom B-loc - anna\nist O - anna\n", {}, "--set data.tag_column=1 ('B-loc')"),
    "links": ("Rom\tB-loc\tQ220\nist\tO\t-\n", {}, "found '-'; name the column of the tags: --set data.tag_column=1"),
    "row numbers of GermEval": (
        "#\thttp://a.de [2009]\n1\tRom\tB-loc\tO\n2\tist\tO\tO\n\n1\tKiel\tB-loc\tO\n2\tda\tO\tO\n",
        {},
        "found the numbers of the rows; name the column of the tokens, such as --set data.token_column=1 ('Rom')",
    ),
    "CoNLL-U Plus without entities": (
        "# global.columns = ID FORM UPOS MISC\n1\tRom\tNE\t_\n2\tist\tVA\tSpaceAfter=No\n",
        {},
        "found 'MISC'; name the column of the tags: --set data.tag_column=2 ('NE')",
    ),
    "heads": (
        "ID FORM UPOS HEAD\n1 Rom NE 2\n2 ist VA 0\n",
        {},
        "name the column of the tags: --set data.tag_column=2",
    ),
    "lemmas by name": ("word lemma\nRom Rom\nist sein\n", {}, "found 'lemma'; name the column of the tags"),
    "numbers and points": (
        "1. Rom B-loc\n2. ist O\n\n1. Kiel B-loc\n",
        {},
        "found values that count, such as '1.'",
    ),
    "sentence and row": (
        "1-1\tRom\tB-loc\n1-2\tist\tO\n\n2-1\tda\tO\n",
        {},
        "such as '1-1'; name the column",
    ),
    "tens": ("10 Rom B-loc\n20 ist O\n30 da O\n\n10 Kiel B-loc\n", {}, "token_column=1 ('Rom')"),
    "names of rows": ("s1_t1\tRom\tB-loc\ns1_t2\tist\tO\n\ns2_t1\tda\tO\n", {}, "token_column=1 ('Rom')"),
    "offsets": ("0 3 Rom B-loc\n4 7 ist O\n\n0 2 da O\n", {}, "such as --set data.token_column=2 ('Rom')"),
    "offsets through the file": ("0 3 Rom B-loc\n4 7 ist O\n\n8 10 da O\n", {}, "--set data.token_column=2 ('Rom')"),
    "names of sentences": (
        "s1 Rom B-loc\ns1 ist O\n\ns2 da O\ns2 Kiel B-loc\n",
        {},
        "--set data.token_column=1 ('Rom')",
    ),
    "numbers beside words alone": ("1.\tRom\n2.\tist\n3.\tschön\n\n1.\tda\n", {}, "token_column=1 ('Rom')"),
    "tokens and tags in one": (
        "Rom/B-loc ist/O\nKiel/B-loc da/O\n",
        {},
        "found 'Rom/B-loc'; write one token",
    ),
    "parts of speech in one": ("Rom/NE ist/VA\nKiel/NE da/AD\n", {}, "found 'Rom/NE'; write one token and its tag"),
    "commas": ("Rom,B-loc\nist,O\n", {}, "commas are not separators: write tabs instead"),
}


@pytest.mark.parametrize(("content", "options", "said"), REFUSED_COLUMNS.values(), ids=REFUSED_COLUMNS)
def test_refused_columns(tmp_path: Path, content: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=r"a\.tsv:\d: ") as caught:
        pairs(write(tmp_path / "a.tsv", content), **options)
    assert said in caught.value.message


KEPT_COLUMNS = {
    "years in a row": "1999 CD\n2000 CD\n2001 CD\n",
    "numbers only, three columns": "3 CD O\n5 CD O\n9 CD B-n\n",
    "a number of many digits": f"{'9' * 5000} x O\n{'9' * 5000} y O\n",
    "numbers in Chinese": "1 m O\n2 m O\n10 m B-n\n",
    "slashes": "and/or CC\n1/2 CD\nkm/h NN\n",
    "dates": "2020-01-01 CD\n2020-01-02 CD\n",
    "a lemma without a header": "fly fly\nflies fly\nto to\n",
    "spans in MISC": "form upos misc\nRom NE B-loc\nist VA O\n",
    "parts of speech, by name": "form lemma upos\nRom Rom NE\nist sein VA\n",
}


@pytest.mark.parametrize("content", KEPT_COLUMNS.values(), ids=KEPT_COLUMNS)
def test_columns_that_may_be_meant(tmp_path: Path, content: str) -> None:
    rows = [line.split() for line in content.splitlines() if line and not line.startswith("form")]
    assert pairs(write(tmp_path / "a.conll", content)) == [(row[0], row[-1]) for row in rows]


# -- C: lines that begin with a number sign ----------------------------------------------------------------------------


COMMENTS = {
    "no blank after the sign": "#id=7\nfly\tO\nRome\tB-to\n\n#id=8\nfly\tO\n",
    "carriage returns": "# text = fly Rome\r\nfly\tO\r\nRome\tB-to\r\n\r\n# text = x\r\nfly\tO\r\n",
    "a document of CoNLL-2012": "#begin document (a); part 000\nfly a O\nRome b B-to\n\n#end document\n",
    "MultiCoNER": "# id f54\tdomain=train\nfly _ _ O\nRome _ _ B-to\n\n# id ff\tdomain=train\nfly _ _ O\n",
    "at both ends": "# made by a tool 2020\n\nfly\tO\nRome\tB-to\n\n# end of file\n",
}


@pytest.mark.parametrize("content", COMMENTS.values(), ids=COMMENTS)
def test_comments_come_back_byte_for_byte(command: Command, home: Path, tmp_path: Path, content: str) -> None:
    file, out = write(tmp_path / "a.conll", content), tmp_path / "out.conll"
    assert command("tag", home / "model", file, "--output", out).status == 0
    given, got = content.encode().split(b"\n"), out.read_bytes().split(b"\n")
    assert [line for line in got if line.startswith(b"#")] == [line for line in given if line.startswith(b"#")]
    assert [token for token, _ in pairs(file)][:2] == ["fly", "Rome"]


@pytest.mark.parametrize("sign", ["##ing", "#1", "#rome", "#"])
def test_tokens_with_a_number_sign(tmp_path: Path, sign: str) -> None:
    file = write(tmp_path / "a.conll", f"{sign}\tO\nRome\tB-to\n\nfly\tO\n{sign}\tO\n")
    assert pairs(file) == [(sign, "O"), ("Rome", "B-to"), ("fly", "O"), (sign, "O")]
    assert pairs(file, comments="always") == [("Rome", "B-to"), ("fly", "O")]


# -- D: nothing to learn -----------------------------------------------------------------------------------------------


CONLLU = "1\tfly\tfly\tVERB\t_\t_\t0\troot\t_\t_\n2\tRome\tRome\tPROPN\t_\t_\t1\tobj\t_\tSpaceAfter=No\n\n"
NOTHING: dict[str, tuple[str, Any, dict[str, Any], str]] = {
    "spans under another key": (
        "a.jsonl", [{"text": "to Rome", "ents": [{"start": 3, "end": 7, "label": "to"}]}], {}, "found them under 'ents'"
    ),
    "no word has the key": ("a.conllu", CONLLU, {"field": "misc:NE"}, "--set data.field=misc:SpaceAfter"),
    "no key at all": ("a.conllu", CONLLU, {"field": "feats:Case"}, "found no key; name another field"),
    "no list of a further input": (
        "a.jsonl", [{"tokens": ["to"], "tags": ["O"]}], {"columns": {"pos": "xpos"}}, "under 'xpos', found null"
    ),
    "two lists of spans": (
        "a.jsonl", [{"text": "to Rome", "spans": [[3, 7, "to"]], "labels": [[0, 2, "to"]]}], {}, "keep one"
    ),
    "no such column": ("a.csv", "word,tag\nRome,B-to\n", {"tag_column": "ner"}, "the columns are 'word', 'tag'"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "options", "said"), NOTHING.values(), ids=NOTHING)
def test_nothing_to_learn_is_refused(tmp_path: Path, name: str, content: Any, options: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        pairs(write(tmp_path / name, content), **options)
    assert said in str(caught.value)


def test_an_empty_list_does_not_hide_a_full_one(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [{"text": "to Rome", "spans": [], "entities": None, "labels": [[3, 7, "to"]]}])
    assert pairs(file) == [("to", "O"), ("Rome", "B-to")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", [{"id": 1, "text": "to Rome", "label": []}]),
        ("a.csv", "text,spans\nto Rome,[]\n"),
        ("a.json", '[{"id": 1, "data": {"text": "to Rome"}, "annotations": [{"result": []}]}]'),
    ],
)
def test_no_entity_is_remarked(command: Command, tmp_path: Path, name: str, content: Any) -> None:
    assert "every tag is 'O', so there is nothing to learn" in command("check", write(tmp_path / name, content)).out


def test_the_first_record_without_spans_is_named(command: Command, tmp_path: Path) -> None:
    records = [{"text": "to Rome", "label": [[3, 7, "to"]]}, {"text": "to Oslo"}, {"text": "to Lima"}]
    file = write(tmp_path / "a.jsonl", records)
    done = command("check", file)
    assert done.status == 1 and done.sentence.endswith(f"has 2 sentences without tags, the first at {file}:2")


# -- E: tags of spans in another spelling ------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["{0}.{1}", "{0}:{1}", "{1}-{0}", "{0}|{1}"])
@pytest.mark.parametrize("name", ["a.conll", "a.jsonl"])
def test_another_spelling_is_remarked(command: Command, tmp_path: Path, spelling: str, name: str) -> None:
    rows = [(t, [tag if tag == "O" else spelling.format(*tag.split("-")) for tag in g]) for t, g in ROWS]
    content = columns(rows) if name == "a.conll" else [{"tokens": t, "tags": g} for t, g in rows]
    assert "the tags look like BIO in another spelling" in command("check", write(tmp_path / name, content)).out


TRAINED = {
    "lemmas last": (
        "Rome B-to Rome\nfly O fly\n\nOslo B-to Oslo\ngo O go\n",
        "column 1 has tags of spans such as B-to",
    ),
    "confidence last": ("Rome B-to 0.98\nfly O 1.0\n\nOslo B-to 0.7\n", "column 1 has tags of spans such as B-to"),
    "entities without letters": (
        "fly O\nto O\nNew to\nYork to\nnow O\n\nfly O\nto O\nRome to\nnow O\n",
        "tags such as to beside O look like entities without a scheme",
    ),
    "en dashes": ("Rome B–to\nfly O\n\nNew B–to\nYork I–to\n", "the tags look like BIO in another spelling"),
    "a header in German": ("Wort\tEtikett\nRom\tNE\nist\tVA\n\nWort\tEtikett\nKiel\tNE\nda\tAD\n", "may be a header"),
    "NONE": ("Rome NONE\nfly NONE\n\nfly NONE\n", "every tag is 'NONE', so there is nothing to learn"),
    "nan": ("Rome nan\nfly nan\n\nfly nan\n", "every tag is 'nan', so there is nothing to learn"),
    "no end of a sentence": ("fly\tVB\nto\tTO\n" * 150, "the whole file is one sentence of 300 tokens; write a blank"),
}


@pytest.mark.parametrize(("content", "said"), TRAINED.values(), ids=TRAINED)
def test_training_and_check_remark_on_the_same(command: Command, tmp_path: Path, content: str, said: str) -> None:
    file = write(tmp_path / "a.conll", content)
    checked = command("check", file)
    assert checked.status == 0 and said in checked.out
    trained = command("train", file, "--dev", file, "--output", tmp_path / "model", *tiny(1))
    assert f"{file}: " in trained.err and trained.err.count(said) <= 2 and said in trained.err


def test_a_table_without_sentences_names_the_option(command: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "word,tag\n" + "fly,O\nRome,B-to\n" * 150)
    assert "one sentence of 300 tokens; name the column" in (said := command("check", file).out)
    assert "data.sentence_column" in said


PLAIN = {
    "punctuation to restore": "fly O\nto O\nRome COMMA\ngo O\nnow PERIOD\n",
    "parts of speech": "Rom NE\nist VA\n\nKiel NE\nda AD\n",
    "two word classes": "Rom n\nKiel n\nist v\n\nda O\n",
    "tags of one shape": "fly Verb\nto Prep\nRome Noun\nOslo Noun\n",
}


@pytest.mark.parametrize("content", PLAIN.values(), ids=PLAIN)
def test_no_remark_on_plain_tags(command: Command, tmp_path: Path, content: str) -> None:
    assert "\n  remark " not in command("check", write(tmp_path / "a.conll", content)).out


def test_no_remark_that_contradicts_a_refusal(command: Command, tmp_path: Path) -> None:
    content = columns(ROWS).replace("B-to", "B_to", 2)
    done = command("check", write(tmp_path / "a.conll", content))
    assert "training would refuse" in done.err and "mix schemes" in done.err and "plain tags" not in done.out


@pytest.mark.parametrize("part", ["--dev", "--test"])
def test_no_entity_beside_training_is_remarked(command: Command, home: Path, tmp_path: Path, part: str) -> None:
    file = write(tmp_path / "other.conll", "fly\tO\nhome\tO\n")
    done = command("train", home / "train.conll", part, file, "--output", tmp_path / "model", *tiny(1))
    assert f"{file}: every tag is 'O', so there is nothing to learn or to score" in done.err


def test_no_entity_to_score_is_remarked(command: Command, home: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "other.conll", "fly\tO\nhome\tO\n")
    done = command("evaluate", home / "model", file)
    assert f"{file}: every tag is 'O', so there is nothing to learn or to score" in done.err


def test_words_for_the_letters_are_remarked(command: Command, tmp_path: Path) -> None:
    content = columns(ROWS).replace("B-", "BEGIN-").replace("I-", "INSIDE-").replace("\tO\n", "\tOUTSIDE\n")
    assert "such as 'BEGIN-from' for B-from" in command("check", write(tmp_path / "a.conll", content)).out


@pytest.mark.parametrize(("stray", "of"), [("B_to", "B-to"), ("o", "O"), ("0", "O"), ("X", "O"), ("B-", "B-to")])
def test_a_stray_tag_among_many_is_named_with_its_line(command: Command, tmp_path: Path, stray: str, of: str) -> None:
    content = columns(ROWS).replace(f"\t{of}\n", f"\t{stray}\n", 1)
    line = 1 + [each.split("\t")[-1] for each in content.split("\n")].index(stray)
    done = command("check", write(tmp_path / "a.conll", content))
    assert done.status == 1 and f"{stray} is not a span tag ({tmp_path / 'a.conll'}:{line})" in done.err


# -- F: advice ---------------------------------------------------------------------------------------------------------


ENCODED = {
    "saved by Windows": ("Zürich\tB-to\n".encode("utf-16"), "utf-16", "Zürich"),
    "German": ("Zürich\tB-to\n".encode("latin-1"), "latin-1", "Zürich"),
    "quotes of Windows": ("“Rom”\tB-to\n".encode("cp1252"), "cp1252", "“Rom”"),
    "Chinese": ("东京\tB-to\n".encode("gb18030"), "gb18030", "东京"),
    "Japanese": ("東京\tB-to\n".encode("shift_jis"), "shift_jis", "東京"),
}


@pytest.mark.parametrize(("content", "encoding", "token"), ENCODED.values(), ids=ENCODED)
def test_a_message_names_the_encoding_and_it_works(tmp_path: Path, content: bytes, encoding: str, token: str) -> None:
    file = write(tmp_path / "a.conll", content)
    with pytest.raises(DataError, match=r"a\.conll:1: ") as caught:
        pairs(file)
    assert encoding in caught.value.message and ("latin-1" in caught.value.message) == (encoding == "latin-1")
    assert pairs(file, encoding=encoding) == [(token, "B-to")]


def test_offsets_of_latin_1_in_a_document_of_brat(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "to Zürich\n".encode("latin-1"))
    file = write(tmp_path / "a.ann", "T1\tto 3 9\tZürich\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"--set data\.encoding=latin-1"):
        pairs(file)
    assert pairs(file, encoding="latin-1") == [("to", "O"), ("Zürich", "B-to")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--epochs", "3"], "--set training.epochs=3"),
        (["--dropout", ".1"], "--set encoder.dropout=.1"),
        (["--format", "conll"], "--set data.format=conll"),
        (["--set", "epochs=3"], 'did you mean "training.epochs"'),
        (["--set", "data.scheme=iob"], "which can mean IOB1 or IOB2"),
    ],
)
def test_options_of_other_tools(command: Command, home: Path, tmp_path: Path, words: list[str], said: str) -> None:
    done = command("train", home / "train.conll", "--output", tmp_path / "model", *words)
    assert done.status == 2 and said in done.sentence and not (tmp_path / "model").exists()


# -- G: illegal tags ---------------------------------------------------------------------------------------------------


def bmes(*last: str) -> str:
    """Legal sentences in BMES, then one with these tags."""
    return "a\tB-x\nb\tM-x\nc\tE-x\nd\tS-x\n\n" * 5 + "".join(f"e\t{tag}\n" for tag in last) + "\n"


@pytest.mark.parametrize(
    ("illegal", "repaired"),
    [
        (["M-x", "E-x"], ["B-x", "I-x"]),
        (["O", "E-x"], ["O", "B-x"]),
        (["B-x", "O"], ["B-x", "O"]),
        (["B-x", "M-y", "E-y"], ["B-x", "B-y", "I-y"]),
    ],
)
def test_illegal_tags_are_read_as_conlleval_reads_them(
    command: Command, tmp_path: Path, illegal: list[str], repaired: list[str]
) -> None:
    file, out = write(tmp_path / "a.conll", bmes(*illegal)), tmp_path / "out.conll"
    done = command("convert", file, out, "--to", "BIO")
    assert [tag for _, tag in pairs(out)][-len(illegal) :] == repaired
    assert "read as conlleval reads them" in done.sentence and f"the first is at {file}:" in done.sentence
    assert command("convert", file, out, "--to", "BIO", "--repair", "refuse").status == 2


LETTERS = {
    "words in BMES": ("a\tB\nb\tM\nc\tE\nd\tS\n\n" * 45 + "e\tM\nf\tE\n", "BMES", 1),
    "words in BIES": ("a\tB\nb\tI\nc\tE\nd\tS\n\n" * 5 + "e\tB\nf\tO\n", "BIOES", 1),
    "one type in BIO": ("a\tB\nb\tI\nc\tO\n\n" * 5 + "e\tO\nf\tI\n", "BIO", 1),
    "a small file in BIOES": ("a\tB-x\nb\tE-x\n\nc\tS-x\n\nd\tB-x\ne\tO\n", "BIOES", 1),
    "a small file in BILOU": ("a\tB-x\nb\tL-x\n\nc\tU-x\nd\tU-x\ne\tO\n\nf\tB-x\ng\tO\nh\tL-x\n", "BILOU", 2),
}


@pytest.mark.parametrize(("content", "scheme", "count"), LETTERS.values(), ids=LETTERS)
def test_an_illegal_tag_does_not_hide_the_scheme(
    command: Command, tmp_path: Path, content: str, scheme: str, count: int
) -> None:
    done = command("check", write(tmp_path / "a.conll", content))
    assert done.status == 0 and f"{scheme}, found from the data" in done.out
    assert f"{count}; training reads them as conlleval does" in done.out


def test_entities_of_illegal_tags_are_dropped_on_demand(command: Command, tmp_path: Path) -> None:
    file, out = write(tmp_path / "a.conll", bmes("M-x", "E-x")), tmp_path / "out.conll"
    assert "their entities are dropped" in command("convert", file, out, "--to", "BIO", "--repair", "drop").err
    assert [tag for _, tag in pairs(out)][-2:] == ["O", "O"]


@pytest.mark.parametrize("policy", ["conlleval", "drop"])
def test_scores_count_entities_of_illegal_tags(command: Command, home: Path, tmp_path: Path, policy: str) -> None:
    file = write(tmp_path / "a.conll", columns(ROWS).replace("B-to", "I-to"))
    done = command("evaluate", home / "model", file, "--brief", "--set", f"data.repair={policy}")
    assert "16 entities" in done.out
    assert done.sentence.startswith(f"{file}: illegal tags: 8, read as conlleval reads them; the first is at {file}:6:")


# -- H: plain text -----------------------------------------------------------------------------------------------------


KINDS = {
    "a letter": ("Dear Anna,\nthank you for the book.\nBob\n", "text"),
    "subtitles": ("1\n00:01,0 --> 00:02,0\nFly to Rome\n\n2\n00:03,0 --> 00:04,0\nFly to Oslo now\n", "text"),
    "greetings": ("hello world\ngood morning\nfly home\n", None),
    "numbers before sentences": ("1. fly to Rome\n2. fly to Oslo\n", None),
    "a list": ("- fly to Rome\n- fly to Oslo\n", None),
    "a log": ("2020-01-01 fly to Rome\n2020-01-02 fly to Oslo\n", None),
    "paragraphs of one line": ("Fly to Rome now\n\nFly to Oslo now\n\nFly to Lima now\n", None),
    "numbers, tabs, texts": ("1\tFly to Rome\n2\tFly to Oslo\n", None),
    "a title": ("# Title\n\nFly to Rome\nFly to Oslo\n", None),
    "a heading and a line": ("# x\nfly to Rome\n", None),
    "a poem": ("Red is rose\nBlue is sea\n\nSweet is sugar\nSo is tea\n", None),
    "sentences of two words": ("Rome is.\nI fly.\n\nHe is.\n", None),
    "keys and values": ("Name: Anna\nCity: Rome\n\nName: Bob\nCity: Oslo\n", None),
    "one word a line": ("fly\nto\nRome\n", "columns"),
    "rows": ("fly VB O\nto TO O\n\nRome NNP B-to\n", "columns"),
    "rows with lemmas": ("# x\nfly VB fly\nto TO to\n. . .\n\nRome NNP rome\n", "columns"),
    "rows of span tags": ("fly O\n. O\n\nRome B-to\nnow O\n", "columns"),
    "rows of GENIA": ("IL-2 B-DNA\ngene I-DNA\n\nIL-2 B-protein\n, O\n", "columns"),
    "rows without tags": ("fly _\nto _\n\nRome _\nnow _\n", "columns"),
    "word classes of Chinese": ("台北 ns\n很 d\n好 a\n\n" * 4, "columns"),
}


@pytest.mark.parametrize(("content", "format"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a", "-"])
def test_lines_that_may_be_texts(tmp_path: Path, content: str, format: str | None, name: str) -> None:
    raw = content.encode()
    source: Any = write(tmp_path / name, gzip.compress(raw) if name.endswith(".gz") else raw)
    source = io.BufferedReader(io.BytesIO(raw)) if name == "-" else source
    if format is not None:
        assert tagger_format(source, DataOptions()) == format
        return
    with pytest.raises(DataError, match=r"--format text.*--format conll"):
        tagger_format(source, DataOptions())


# -- I: characters and tokens ------------------------------------------------------------------------------------------


def test_spans_count_characters_and_tokens(home: Path) -> None:
    found = Tagger.load(home / "model").tag_text(EMOJI).to_dict()
    assert found["spans"]
    for span in found["spans"]:
        assert EMOJI[span["start"] : span["end"]] == span["text"]
        assert found["offsets"][span["start_token"]][0] == span["start"]
        assert found["offsets"][span["end_token"] - 1][1] == span["end"]


RECORDS: dict[str, tuple[str, Any, list[str]]] = {
    "tokens": ("a.jsonl", [{"tokens": EMOJI.split()}], []),
    "a text": ("a.jsonl", [{"text": EMOJI}], []),
    "a text with spans": ("a.jsonl", [{"text": EMOJI, "label": [[9, 13, "from"]]}], []),
    "a list of texts": ("a.json", json.dumps([{"text": EMOJI}, {"text": EMOJI}], indent=1), []),
    "a line": ("a.txt", f"{EMOJI}\n", ["--format", "text"]),
}


@pytest.mark.parametrize(("name", "content", "words"), RECORDS.values(), ids=RECORDS)
def test_spans_of_every_record(
    command: Command, home: Path, tmp_path: Path, name: str, content: Any, words: list[str]
) -> None:
    out = tmp_path / "out.jsonl"
    assert command("tag", home / "model", write(tmp_path / name, content), "--output", out, *words).status == 0
    for record in map(json.loads, out.read_text(encoding="utf-8").splitlines()):
        spans = record.get("predicted_spans", record.get("spans"))
        assert spans
        for span in spans:
            assert " ".join(record["tokens"][span["start_token"] : span["end_token"]]) == span["text"]
            assert ("start" in span) == ("end" in span) == ("text" in record)
            assert "text" not in record or record["text"][span["start"] : span["end"]] == span["text"]


# -- files of annotation tools -----------------------------------------------------------------------------------------


def region(start: int, end: int, copy: str, label: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": copy, "labels": [label]}
    return {"id": copy, "from_name": "ner", "to_name": "text", "type": "labels", "value": value}


def task(*annotations: dict[str, Any], **values: Any) -> str:
    return json.dumps([{"id": 1, "data": {"text": EMOJI}, "annotations": annotations, **values}])


WANTED = [("Rome", "B-from"), ("New", "B-to"), ("York", "I-to")]
BOTH = [{"start": 9, "end": 13, "label": "from"}, {"start": 19, "end": 27, "label": "to"}]
UTF16 = [region(9, 13, "Rome", "from"), region(20, 28, "New York", "to")]
TSV = (
    "#FORMAT=WebAnno TSV 3.3\n#T_SP=de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity|identifier|value\n\n\n"
    f"#Text={EMOJI}\n1-1\t0-3\tfly\t_\t_\t\n1-2\t4-8\tfrom\t_\t_\t\n1-3\t9-13\tRome\t*\tfrom\t\n"
    "1-4\t14-16\t😀\t_\t_\t\n1-5\t17-19\tto\t_\t_\t\n1-6\t20-23\tNew\t*[1]\tto[1]\t\n1-7\t24-28\tYork\t*[1]\tto[1]\t\n"
)
TOOLS: dict[str, tuple[str, Any]] = {
    "doccano, ids of numbers": (
        "a.jsonl",
        [{"id": 4, "text": EMOJI, "Comments": [], "relations": [{"id": 1, "from_id": 10, "to_id": 11, "type": "leg"}],
          "entities": [{"id": 10, "label": "from", "start_offset": 9, "end_offset": 13},
                       {"id": 11, "label": "to", "start_offset": 19, "end_offset": 27}]}],
    ),
    "doccano, packed, with a byte order mark": (
        "a.jsonl.gz",
        gzip.compress(("\ufeff" + json.dumps({"id": None, "text": EMOJI, "label": [[9, 13, "from"], [19, 27, "to"]]}))
                      .encode()),
    ),
    "Label Studio, another annotator skipped it": (
        "a.json", task({"id": 1, "result": UTF16}, {"id": 2, "was_cancelled": True, "result": []}),
    ),
    "Label Studio, predictions beside": (
        "a.json", task({"result": UTF16}, predictions=[{"result": [region(0, 3, "fly", "verb")]}]),
    ),
    "Label Studio, JSON-MIN": (
        "a.json",
        json.dumps([{"text": EMOJI, "id": 1, "ner": [each["value"] for each in UTF16], "annotator": 1,
                     "annotation_id": 3, "created_at": "x", "updated_at": "y", "lead_time": 1.2}]),
    ),
    "Prodigy, rejected too": (
        "a.jsonl",
        [{"text": EMOJI, "spans": BOTH, "answer": "accept", "_input_hash": 1, "_view_id": "ner_manual"},
         {"text": EMOJI, "spans": BOTH[:1], "answer": "reject", "_input_hash": 1, "_view_id": "ner_manual"}],
    ),
    "Argilla, a draft, a discarded one, a suggestion": (
        "a.json",
        json.dumps([
            {"id": str(n), "fields": {"text": EMOJI}, "metadata": {}, "suggestions": {"span": {"value": BOTH[:1]}},
             "responses": {"span": [{"value": value, "user_id": "u", "status": status}]}}
            for n, (value, status) in enumerate([(BOTH, "submitted"), (BOTH[:1], "discarded"), (BOTH[:1], "draft")])
        ]),
    ),
    "WebAnno, from Windows": ("a.tsv", TSV.replace("\n", "\r\n")),
    "JSON lines in a table": (
        "a.csv", f'text,entities,author\n{EMOJI},"[[9, 13, ""from""], [19, 27, ""to""]]",Anna\n',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), TOOLS.values(), ids=TOOLS)
def test_exports(tmp_path: Path, name: str, content: Any) -> None:
    assert [pair for pair in pairs(write(tmp_path / name, content)) if pair[1] != "O"] == WANTED


@pytest.mark.parametrize("counted", ["\r\n", "\n"])
def test_lines_of_windows_in_brat(tmp_path: Path, counted: str) -> None:
    text = "fly today\r\nfrom Rome 😀 to New York\r\n"
    places = {copy: text.replace("\r\n", counted).index(copy) for copy in ("Rome", "New York")}
    write(tmp_path / "a.txt", text)
    lines = [
        f"T{n}\t{label} {places[copy]} {places[copy] + len(copy)}\t{copy}\n"
        for n, (copy, label) in enumerate([("Rome", "from"), ("New York", "to")], 1)
    ]
    file = write(tmp_path / "a.ann", "".join(lines))
    assert [pair for pair in pairs(file) if pair[1] != "O"] == WANTED
    assert len(list(read(file))) == 2


def test_events_and_equivalences_of_brat_come_back(command: Command, tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "leave Rome or Oslo Airport\n")
    lines = (
        "T1\tplace 6 10;19 26\tRome Airport\nT2\tplace 14 26\tOslo Airport\nT3\tact 0 5\tleave\nE1\tact:T3 Theme:T1\n"
        "R1\tor Arg1:T1 Arg2:T2\nA1\tNegated E1\nA2\tCertainty T1 high\nN1\tReference T1 Wiki:1\tRome\n*\tEquiv T1 T2\n"
        "#1\tAnnotatorNotes T1\tunsure 😀\n"
    )
    file = write(tmp_path / "a.ann", lines)
    assert command("convert", file, tmp_path / "b.jsonl").status == 0
    assert command("convert", tmp_path / "b.jsonl", tmp_path / "c.ann").status == 0
    assert sorted((tmp_path / "c.ann").read_text(encoding="utf-8").splitlines()) == sorted(lines.splitlines())


@pytest.mark.parametrize(("end", "option"), [(".conll", "relations"), (".csv", "relations"), (".tsv", "relations")])
def test_what_a_format_cannot_hold_is_named(command: Command, tmp_path: Path, end: str, option: str) -> None:
    name, content = TOOLS["doccano, ids of numbers"]
    content = [{key: value for key, value in content[0].items() if key != "Comments"}]
    file, out = write(tmp_path / name, content), tmp_path / f"out{end}"
    done = command("convert", file, out, *(["--format", "webanno"] if end == ".tsv" else []))
    assert done.status == 2 and f"cannot hold {option} such as" in done.sentence and "--lossy" in done.sentence
    assert not out.exists()


@pytest.mark.parametrize(
    ("record", "settings"),
    [
        ({"tokens": ["to", "Rome"], "labels": ["O", "B-to"]}, {}),
        ({"words": ["to", "Rome"], "entity_tags": ["O", "B-to"]}, {"tag_column": "entity_tags"}),
        ({"form": ["to", "Rome"], "ner": ["O", "B-to"]}, {"token_column": "form", "tag_column": "ner"}),
        ({"content": "to Rome", "marks": [[3, 7, "to"]]}, {"text_column": "content", "span_column": "marks"}),
    ],
)
def test_keys_of_json_lines_are_named_as_columns_are(
    record: dict[str, Any], settings: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(record) + "\n")
    data = DataOptions(**settings)
    (example,) = read_examples(path, data)
    assert (example.tokens, example.tags) == (("to", "Rome"), ("O", "B-to"))
