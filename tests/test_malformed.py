"""Malformed input through the real command line: one sentence of where and what, status 2, nothing half written."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from commandline import call, columns, sentences, tiny, write_corpus
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from structseq import cli

GOOD = columns(sentences(12))
RAGGED = "a\tO\nb\tB-x\n\nc\tO\nd\n"


class Case(NamedTuple):
    """Files to write, the command to call (FILE and OUT are filled in), and what the sentence begins with and holds."""

    name: str
    files: dict[str, str | bytes]
    words: str
    begins: str
    holds: str


TRAIN = "train FILE --output OUT"


def train(name: str, content: str | bytes, begins: str, holds: str, more: str = "", file: str = "data.conll") -> Case:
    return Case(name, {file: content}, f"train {file} --output OUT {more}", begins, holds)


def record(**values: Any) -> str:
    return json.dumps(values) + "\n"


UNREADABLE = [
    Case("no such file", {}, "train data.conll --output OUT", "data.conll: ", "there is no such file"),
    train("empty file", "", "data.conll: ", "found an empty file"),
    train("blank lines alone", "\n \n\t\n", "data.conll: ", "expected rows of tokens, found no row"),
    train("comments alone", "# a = b\n# c = d\n", "data.conll: ", "expected rows of tokens, found no row"),
    train("boundaries alone", "-DOCSTART- -X- O\n\n-DOCSTART- -X- O\n", "data.conll: ", "found no row"),
    train("one column", "a\nb\n\nc\n", "data.conll:1: ", "expected at least 2 columns, a token and its tag, found 1"),
    train("missing column", RAGGED, "data.conll:5: ", "expected 2 columns separated by tabs, as in line 1, found 1"),
    train(
        "further column",
        "a O\nb x O\n",
        "data.conll:2: ",
        "expected 2 columns separated by spaces, as in line 1, found 3",
    ),
    train("row between spaces", "a\tO\nb O\n", "data.conll:2: ", "expected 2 columns separated by tabs"),
    train("comment-like row", "a\tO\n#b\n", "data.conll:2: ", "expected 2 columns"),
    train("latin-1 bytes", b"a\tO\n\nk\xe4se\tO\n", "data.conll:3: ", "expected utf-8 text, found byte 0xe4"),
    train("UTF-16", GOOD.encode("utf-16"), "data.conll:1: ", "its byte order mark says utf-16"),
    train("cut character", "a\tO\nb\tO\n飛".encode()[:-1], "data.conll:3: ", "expected utf-8 text, found"),
    train(
        "cut gzip",
        gzip.compress(GOOD.encode())[:-12],
        "data.conll.gz: ",
        "the gzip data is damaged or cut off",
        file="data.conll.gz",
    ),
    train(
        "damaged gzip",
        b"\x1f\x8b" + os.urandom(0) + b"nonsense" * 9,
        "data.conll.gz: ",
        "the gzip data is damaged",
        file="data.conll.gz",
    ),
    train(
        "old Mac line ends",
        GOOD.replace("\n", "\r"),
        "data.conll:1: ",
        "found a bare \\r in a line; convert the line endings",
    ),
    train("empty tag", "a\tO\nb\t\n", "data.conll:2: ", "expected a tag, found an empty field"),
    train("empty token", "a\tO\n\tO\n", "data.conll:2: ", "expected a token, found an empty field"),
    train(
        "space in a token", "a\tO\nNew York\tO\n", "data.conll:2: ", "expected a token without spaces, found 'New York'"
    ),
    train("unknown encoding", GOOD, "", "unknown encoding 'klingon'", "--set data.encoding=klingon"),
    train(
        "column beyond",
        GOOD,
        "data.conll:1: ",
        "expected at least 5 columns for the tag column 4, found 2",
        "--set data.tag_column=4",
    ),
    train("token is tag", GOOD, "data.conll:1: ", "cannot be both token and tag", "--set data.tag_column=0"),
    train(
        "no such further column", GOOD, "data.conll:1: ", "columns for column 3, found 2", "--set data.columns.pos=3"
    ),
    train(
        "a recording",
        b"RIFF\x24\x08\0\0WAVEfmt \x10\0\0\0\xa4",
        "ok.wav: ",
        'expected a text file, found a WAV recording; name it in a list of recordings in JSON lines, one {"audio": ...',
        file="ok.wav",
    ),
    train("an archive", b"PK\x03\x04\x14\0\xa4", "data.zip: ", "found a zip archive; unpack it", file="data.zip"),
    train("commas", "a,O\nb c,O\n", "data.conll:2: ", "commas are not separators: write tabs"),
    Case("folder", {"sub/x": ""}, "train sub --output OUT", "sub: ", "found another folder; name the file in it"),
    Case("dev missing", {"data.conll": GOOD}, f"{TRAIN} --dev dev.conll", "dev.conll: ", "there is no such file"),
    Case(
        "dev ragged",
        {"data.conll": GOOD, "dev.conll": RAGGED},
        f"{TRAIN} --dev dev.conll",
        "dev.conll:5: ",
        "expected 2 columns",
    ),
    Case(
        "test ragged",
        {"data.conll": GOOD, "test.conll": RAGGED},
        f"{TRAIN} --test test.conll",
        "test.conll:5: ",
        "expected 2 columns",
    ),
    train("three files without tags", "a b\n", "", "expected seq.out beside seq.in, found none", file="seq.in"),
    Case(
        "three files of unequal length",
        {"seq.in": "a b\nc\n", "seq.out": "O O\n"},
        "train seq.in --output OUT",
        "",
        "seq.",
    ),
    Case(
        "three files of unequal words",
        {"seq.in": "a b\nc\n", "seq.out": "O O\nO O\n"},
        "train seq.in --output OUT",
        "seq.out:2: ",
        "expected",
    ),
]

JSON_LINES = [
    train(
        "bad JSON",
        '{"tokens": ["a"], "tags": ["O"]}\n{"tokens": [\n',
        "data.jsonl:2: ",
        "found bad JSON",
        file="data.jsonl",
    ),
    train(
        "a list",
        '["a", "b"]\n',
        "data.jsonl:1: ",
        "expected one JSON object on this line, found a list",
        "--set data.format=jsonl",
        "data.jsonl",
    ),
    train(
        "neither tokens nor text",
        record(words_="a"),
        "data.jsonl:1: ",
        "expected a record with 'tokens' or 'text'",
        file="data.jsonl",
    ),
    train(
        "unequal lists",
        record(tokens=["a", "b"], tags=["O"]),
        "data.jsonl:1: ",
        "expected 2 tags, one for each token, found 1",
        file="data.jsonl",
    ),
    train(
        "numbers for tags",
        record(tokens=["a"], ner_tags=[3]),
        "data.jsonl:1: ",
        "or write their names",
        file="data.jsonl",
    ),
    train("no tags", record(tokens=["a"]), "data.jsonl:1", "has no tags", file="data.jsonl"),
    train(
        "span within a token", record(text="to Taipei", spans=[[4, 9, "x"]]), "data.jsonl:1: ", "", file="data.jsonl"
    ),
    train(
        "spans that overlap",
        record(text="to Taipei", spans=[[0, 9, "x"], [3, 9, "y"]]),
        "data.jsonl:1: ",
        "",
        file="data.jsonl",
    ),
    train("span beyond the text", record(text="to", spans=[[0, 9, "x"]]), "data.jsonl:1: ", "", file="data.jsonl"),
    train(
        "span without a label",
        record(text="to", spans=[[0, 2]]),
        "data.jsonl:1: ",
        'expected a span [start, end, "label"]',
        file="data.jsonl",
    ),
    train(
        "half a surrogate pair",
        '{"tokens": ["\\ud800"], "tags": ["O"]}\n',
        "data.jsonl:1: ",
        "half a surrogate pair",
        file="data.jsonl",
    ),
    train(
        "a key twice", '{"text": "a", "text": "b"}', "data.jsonl:1: ", "found the key 'text' twice", file="data.jsonl"
    ),
    train(
        "a label that is a number",
        record(text="a", intent=3),
        "data.jsonl:1: ",
        "expected a label under 'intent', found the number 3; write the label as a string, in quotes",
        "--set head.type=classify --set data.label=intent",
        "data.jsonl",
    ),
    train("blank lines", "\n\n", "data.jsonl: ", "expected JSON lines, found only blank lines", file="data.jsonl"),
]

WORD = "1\ta\ta\tNOUN\t_\t_\t0\troot\t_\t_\n"
CONLLU = [
    train("nine columns", "1\ta\ta\tNOUN\t_\t_\t0\troot\t_\n", "data.conllu:1: ", "10", file="data.conllu"),
    train("numbers out of order", WORD + WORD, "data.conllu:2: ", "expected", file="data.conllu"),
    train(
        "unknown field",
        WORD,
        "",
        "unknown CoNLL-U field 'upso'; did you mean 'upos'?",
        "--set data.field=upso",
        "data.conllu",
    ),
]

TAGS = [
    train("schemes mixed", "a\tI-x\n\na\tI-x\n\na\tB-x\nb\tB-y\n\na\tB-y\n", "data.conll:", "the tags mix schemes"),
    train("spellings mixed", "a\tB-x\nb\tL-x\n\nc\tS-x\n", "data.conll:4: ", "the tags mix schemes"),
    train("a tag of no scheme", GOOD + "a\tb-x\n\n", "data.conll:", "the tags mix schemes"),
    train(
        "illegal tags",
        GOOD + "a\tO\nb\tI-to\n\nc\tI-to\n",
        "data.conll:{line}: ",
        "the first of 2 illegal tags: correct the file, or choose a repair",
        "--set data.repair=refuse",
    ),
    train(
        "no tag of the scheme named", "a\tS-x\n", "data.conll:1: ", "'S-x' is not a tag of BIO", "--set data.scheme=BIO"
    ),
    Case(
        "dev in another scheme",
        {"data.conll": GOOD, "dev.conll": "a\tNN\nb\tO\n"},
        f"{TRAIN} --dev dev.conll",
        "dev.conll:1: ",
        "expected tags in BIO, as in the model's files, found 'NN' and tags in plain",
    ),
    train(
        "one sentence and no dev",
        "a\tO\nb\tB-x\n",
        "",
        "expected at least two sentences that are not empty, to hold out one as dev set, found 1 of 1; give a dev set",
    ),
]

RUN = [
    Case("config missing", {"data.conll": GOOD}, f"{TRAIN} --config c.toml", "c.toml: ", "cannot be read"),
    Case(
        "config is no TOML",
        {"data.conll": GOOD, "c.toml": "[encoder\nwidth = 3"},
        f"{TRAIN} --config c.toml",
        "c.toml: ",
        "expected TOML",
    ),
    Case(
        "config with a key twice",
        {"data.conll": GOOD, "c.toml": "[encoder]\nwidth = 3\nwidth = 4\n"},
        f"{TRAIN} --config c.toml",
        "c.toml: ",
        "found an error",
    ),
    Case(
        "config with an unknown key",
        {"data.conll": GOOD, "c.toml": "[encoder]\nwidht = 3\n"},
        f"{TRAIN} --config c.toml",
        "unknown option encoder.widht",
        'did you mean "encoder.width"?',
    ),
    Case(
        "config of undecodable bytes",
        {"data.conll": GOOD, "c.toml": b"\xff\xfe"},
        f"{TRAIN} --config c.toml",
        "c.toml: ",
        "expected TOML",
    ),
    Case("output is a file", {"data.conll": GOOD, "OUT": "mine"}, TRAIN, "OUT: ", "is a file, not a folder"),
    Case(
        "output within a file",
        {"data.conll": GOOD, "file": "mine"},
        "train FILE --output file/out",
        "file/out: ",
        "cannot be written",
    ),
    Case(
        "output is somebody's folder",
        {"data.conll": GOOD, "OUT/thesis.tex": "years"},
        TRAIN,
        "OUT: ",
        "holds files that are not a training run",
    ),
    Case(
        "output is another program's model",
        {"data.conll": GOOD, "OUT/config.json": "{}"},
        TRAIN,
        "OUT: ",
        "holds files that are not a training run",
    ),
    Case(
        "vectors missing",
        {"data.conll": GOOD},
        f"{TRAIN} --set inputs.words.vectors=v.txt",
        "v.txt: ",
        "vectors cannot be read",
    ),
    Case(
        "vectors ragged",
        {"data.conll": GOOD, "v.txt": "a 1 2 3\nb 1 2\n"},
        f"{TRAIN} --set inputs.words.vectors=v.txt",
        "v.txt:2: ",
        "expected a word and 3 finite numbers",
    ),
    Case(
        "vectors of words",
        {"data.conll": GOOD, "v.txt": "a b c d\n"},
        f"{TRAIN} --set inputs.words.vectors=v.txt",
        "v.txt:1: ",
        "expected a word and",
    ),
    Case(
        "vectors empty",
        {"data.conll": GOOD, "v.txt": ""},
        f"{TRAIN} --set inputs.words.vectors=v.txt",
        "v.txt: ",
        "expected word vectors",
    ),
    Case(
        "a width beyond memory",
        {"data.conll": GOOD},
        f"{TRAIN} --set encoder.width=99999999999",
        "",
        "the encoder cannot be built with these options",
    ),
    Case(
        "init from nothing",
        {"data.conll": GOOD},
        f"{TRAIN} --init-from nowhere",
        "nowhere: ",
        "expected a model folder, found nothing",
    ),
]

OTHERS = [
    Case(
        "tag: model missing",
        {"data.conll": GOOD},
        "tag nowhere FILE",
        "nowhere: ",
        "expected a model folder, found nothing",
    ),
    Case(
        "tag: model is a file",
        {"data.conll": GOOD},
        "tag FILE FILE",
        "data.conll: ",
        "expected a model folder, found a file",
    ),
    Case(
        "tag: empty folder",
        {"data.conll": GOOD, "empty/.keep": ""},
        "tag empty FILE",
        "empty/config.json: ",
        "expected this file",
    ),
    Case("tag: file missing", {}, "tag MODEL data.conll", "data.conll: ", "there is no such file"),
    Case(
        "tag: ragged",
        {"data.conll": RAGGED},
        "tag MODEL FILE --output tagged.conll",
        "data.conll:5: ",
        "expected 2 columns",
    ),
    Case(
        "tag: JSON without text",
        {"a.jsonl": record(id=1)},
        "tag MODEL a.jsonl --output t.jsonl",
        "a.jsonl:1: ",
        "expected a record with",
    ),
    Case(
        "tag: bytes that are no text",
        {"a.txt": b"\xff\xfe\n"},
        "tag MODEL a.txt --format text --output t.jsonl",
        "a.txt:1: ",
        "expected utf-8 text",
    ),
    Case(
        "tag: output in no folder",
        {"data.conll": GOOD},
        "tag MODEL FILE --output no/where.conll",
        "no/where.conll: ",
        "cannot be written",
    ),
    Case(
        "tag: output is a folder",
        {"data.conll": GOOD, "sub/x": ""},
        "tag MODEL FILE --output sub",
        "sub: ",
        "found a folder",
    ),
    Case(
        "evaluate: no tags",
        {"data.conll": "a\nb\n"},
        "evaluate MODEL FILE",
        "data.conll:1: ",
        "expected at least 2 columns",
    ),
    Case(
        "evaluate: another scheme",
        {"data.conll": "a\tO\nb\tVB\n"},
        "evaluate MODEL FILE",
        "data.conll:2: ",
        "expected tags in BIO, as in the model's files, found 'VB' and tags in plain",
    ),
    Case(
        "evaluate: JSON into no folder",
        {"data.conll": GOOD},
        "evaluate MODEL FILE --json no/r.json",
        "no/r.json: ",
        "cannot be written",
    ),
    Case("check: empty file", {"data.conll": ""}, "check FILE", "data.conll: ", "found an empty file"),
    Case(
        "convert: empty file",
        {"data.conll": ""},
        "convert FILE new.conll --to BIOES",
        "data.conll: ",
        "found an empty file",
    ),
    Case(
        "convert: illegal",
        {"data.conll": GOOD + "a\tO\nb\tI-to\n"},
        "convert FILE new.conll --to BIOES --repair refuse",
        "data.conll:{line}: ",
        "--repair",
    ),
    Case(
        "convert: unknown scheme",
        {"data.conll": GOOD},
        "convert FILE new.conll --to BIOSE",
        "unknown tag scheme 'BIOSE'",
        "BIOES",
    ),
    Case(
        "convert: unknown repair",
        {"data.conll": GOOD},
        "convert FILE new.conll --repair guess",
        "option data.repair: ",
        "conlleval",
    ),
    Case(
        "convert: neighbours into IO",
        {"data.conll": "a\tB-x\nb\tB-x\n"},
        "convert FILE new.conll --to IO",
        "data.conll:1: ",
        "IO cannot keep",
    ),
    Case(
        "convert: plain into spans",
        {"data.conll": "a\tDT\nb\tNN\n"},
        "convert FILE new.conll --to BIO",
        "data.conll: ",
        "not spans",
    ),
    Case(
        "convert: blanks into columns",
        {"a.jsonl": record(tokens=["New York"], tags=["O"])},
        "convert a.jsonl new.conll",
        "new.conll: ",
        "cannot hold white space",
    ),
    Case(
        "convert: into no folder",
        {"data.conll": GOOD},
        "convert FILE no/new.conll --to BIOES",
        "no/new.conll: ",
        "cannot be written",
    ),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder; tests that damage it copy it."""
    folder = tmp_path_factory.mktemp("model")
    parts = write_corpus(folder)
    words = ["train", str(parts["train"]), "--dev", str(parts["dev"]), "--output", str(folder / "model"), "--quiet"]
    assert cli.main([*words, *tiny(1)]) == 0
    return folder / "model"


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.mark.parametrize(
    "case", [*UNREADABLE, *JSON_LINES, *CONLLU, *TAGS, *RUN, *OTHERS], ids=lambda case: case.name.replace(" ", "-")
)
def test_malformed(
    case: Case, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in case.files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    words = [{"FILE": "data.conll", "MODEL": str(model)}.get(word, word) for word in case.words.split()]
    before = tree(tmp_path)
    # Remarks on what was read may come before the sentence, unless they are not wanted.
    done = call(capsys, *words, *(["--quiet"] if words[0] == "train" else []))
    assert (done.status, done.out) == (2, "")
    line = len(GOOD.splitlines()) + 2
    assert done.sentence.startswith(f"error: {case.begins.format(line=line)}")
    assert case.holds in done.sentence
    assert tree(tmp_path) == before


def test_there_are_enough_of_them() -> None:
    assert len([*UNREADABLE, *JSON_LINES, *CONLLU, *TAGS, *RUN, *OTHERS]) + len(DAMAGES) >= 80


# -- damaged models ----------------------------------------------------------------------------------------------------


def rewrite(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return damage


def edit(name: str, **values: Any) -> Callable[[Path], None]:
    return rewrite(name, lambda content: json.dumps({**json.loads(content), **values}).encode())


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "foreign": (
        edit("config.json", model_type="bert"),
        'config.json: expected "model_type": "structseq", found \'bert\'',
    ),
    "no JSON": (rewrite("config.json", lambda c: c[:-30]), "config.json: expected JSON"),
    "a later version": (edit("config.json", format_version=99), "config.json: expected format_version"),
    "no version": (edit("config.json", format_version=None), "config.json: expected a format_version"),
    "unknown entry": (edit("config.json", hidden_size=3), "config.json: hidden_size"),
    "tags with a gap": (edit("config.json", id2label={"0": "O", "2": "B-x"}), "config.json: expected id2label"),
    "unknown tokenizer": (edit("config.json", tokenizer="words-99"), "config.json: expected a tokenizer"),
    "weights missing": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors: expected this file"),
    "weights cut": (rewrite("model.safetensors", lambda c: c[:2000]), "model.safetensors: "),
    "weights empty": (rewrite("model.safetensors", lambda c: b""), "model.safetensors: "),
    "weights changed": (rewrite("model.safetensors", lambda c: c[:-4] + b"\0\0\0\1"), "model.safetensors: "),
    "weights pickled": (rewrite("model.safetensors", lambda c: pickle.dumps(print)), "model.safetensors: "),
    "words missing": (lambda f: (f / "vocabulary" / "words.txt").unlink(), "words.txt: expected this file"),
    "a word more": (rewrite("vocabulary/words.txt", lambda c: c + b"Madrid\t1\n"), "words.txt"),
    "words undecodable": (rewrite("vocabulary/words.txt", lambda c: b"\xff" + c), "words.txt: expected UTF-8"),
    "unknown option": (edit("options.json", encoders={}), "options.json: unknown option encoders"),
    "code from outside": (edit("options.json", head={"type": "os:system"}), "options.json: head.type is 'os:system'"),
    "other widths": (edit("options.json", encoder={"width": 9}), "model.safetensors"),
    "entities damaged": (rewrite("entities.jsonl", lambda c: b"[1]\n"), "entities.jsonl:1: expected"),
    "metrics damaged": (rewrite("metrics.json", lambda c: b"[]"), "metrics.json: expected a JSON object, found a list"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_model_is_refused_with_its_entry_named(
    name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, expected_message = DAMAGES[name]
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    damage(copy)
    before = tree(tmp_path)
    for words in (["describe", copy], ["tag", copy, "--text", "fly"]):
        done = call(capsys, *words)
        assert (done.status, done.out) == (2, "")
        assert done.sentence.startswith("error: ") and expected_message in done.sentence
    assert tree(tmp_path) == before


def test_an_unfinished_run_is_no_model(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run" / "run").mkdir(parents=True)
    (tmp_path / "run" / "run" / "run.json").write_text("{}")
    done = call(capsys, "tag", tmp_path / "run", "--text", "fly")
    assert done.status == 2 and "give the folder of a finished training run" in done.sentence


def test_a_damaged_checkpoint_is_refused_and_kept(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = write_corpus(tmp_path)
    words = ["train", parts["train"], "--dev", parts["dev"], "--output", tmp_path / "out", "--quiet", *tiny(1)]
    run = tmp_path / "out" / "run"
    for content, expected_message in ((b"", "checkpoint.safetensors: "), (b"x" * 5000, "checkpoint.safetensors: ")):
        run.mkdir(parents=True)
        provenance = json.loads((model / "provenance.json").read_text())
        (run / "run.json").write_text(json.dumps(provenance["run"] | identity_now(parts)))
        (run / "checkpoint.safetensors").write_bytes(content)
        done = call(capsys, *words, "--resume")
        assert done.status == 2 and expected_message in done.sentence
        assert (run / "checkpoint.safetensors").read_bytes() == content
        shutil.rmtree(tmp_path / "out")


def identity_now(parts: dict[str, Path]) -> dict[str, Any]:
    from structseq.run.identity import digest

    return {"data": {name: {"path": str(parts[name]), "sha256": digest(parts[name])} for name in ("train", "dev")}}


# -- any bytes ---------------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        b"\n",
        b"\t",
        b" ",
        b"a",
        b"O",
        b"B-x",
        b"I-x",
        b"S-",
        b"#",
        b" = ",
        b"-DOCSTART-",
        b"\r",
        b"\xff",
        b"\x00",
        b"\xef\xbb\xbf",
        "\u00a0\u2028".encode(),
        b"\x1f\x8b",
        b"{",
        b'{"tokens": ["a"], "tags": ["O"]}\n',
        b"1\ta\t_\t_\t_\t_\t_\t_\t_\t_\n",
    ]
)
SOUP = st.lists(PIECES, max_size=40).map(b"".join)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A good file with a few bytes cut out or put in."""
    content = GOOD.encode()
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(content)))
        content = content[:place] + draw(PIECES) + content[place + draw(st.integers(0, 4)) :]
    return content


def ends_well(capsys: pytest.CaptureFixture[str], folder: Path, content: bytes) -> None:
    """check and train's reading stage end with a status, and train leaves nothing behind."""
    file = folder / "data"
    file.write_bytes(content)
    assert call(capsys, "check", file).status in (0, 1, 2)
    refused = call(capsys, "train", file, "--output", folder / "out", "--set", "training.epochs=1", "--quiet")
    assert refused.status in (0, 2) and bool(refused.err) == (refused.status == 2)
    assert len(refused.err.splitlines()) <= 1
    assert not (folder / "out").exists()


@given(st.one_of(st.binary(max_size=60), SOUP, spoiled()))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(b"# a\n")
@example(b"\xef\xbb\xbf\n")
@example(b"O\tO\n\x1c\n")
def test_no_bytes_lead_to_a_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(
        "structseq.run.train_and_save",
        lambda *parts, **options: SimpleNamespace(reports={}),
    )
    ends_well(capsys, tmp_path, content)


@given(st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_to_a_model_leads_to_a_traceback(
    capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path, data: st.DataObject
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model, copy, dirs_exist_ok=True)
    names = sorted(name for name, content in tree(copy).items() if content is not None and name != "log.jsonl")
    path = copy / data.draw(st.sampled_from(names))
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:place] + data.draw(SOUP) + content[place + data.draw(st.integers(0, 9)) :])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an older format version is read with a warning
        assert call(capsys, "describe", copy).status in (0, 2)
