"""The command line: every command on good input, options, streams and exit statuses; bad input is in test_malformed."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from commandline import Done, call, columns, python, sentences, status_unread, tiny, write_corpus

from structseq.data.formats import read
from structseq.heads import TAGGERS
from structseq.run import Callback
from structseq.storage import load_model
from structseq.training import Progress

Command = Callable[..., Done]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return lambda *words: call(capsys, *words)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus and a model trained on it; nothing in it is changed by a test."""
    from structseq import cli

    folder = tmp_path_factory.mktemp("home")
    parts = write_corpus(folder)
    words = ["train", parts["train"], "--dev", parts["dev"], "--test", parts["test"], "--output", folder / "model"]
    assert cli.main([str(word) for word in (*words, *tiny(30))]) == 0
    return folder


# -- help and options --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["check", "convert", "train", "evaluate", "tag", "describe", "compare"])
def test_every_command_helps(command: Command, name: str) -> None:
    done = command(name, "--help")
    assert done.status == 0 and done.out.startswith(f"Usage: structseq {name}") and not done.err
    assert name in command("--help").out


def test_alone_it_helps_and_tells_its_version(command: Command) -> None:
    assert "Commands:" in command().out
    assert command("--version").out.startswith("structseq 0.")


@pytest.mark.parametrize(
    ("words", "expected_message"),
    [
        (["trian"], "unknown command 'trian'; did you mean \"train\"?"),
        (["frobnicate"], "unknown command 'frobnicate'; known are check, convert, train, evaluate, tag, embed"),
        (["train", "a", "--output", "b", "--sed", "1"], "unknown option --sed; did you mean --seed?"),
        (["train", "a", "--output", "b", "--zzz"], "unknown option --zzz; --help shows the known ones"),
        (["train", "a", "--output", "b", "--seed", "1", "--seed", "2"], "option --seed is given twice; give it once"),
        (["train", "a", "--output", "b", "-o", "c"], "option --output is given twice; give it once"),
        (["train", "a", "--output", "b", "--quiet", "--quiet"], "option --quiet is given twice; give it once"),
        (["tag", "m", "--confidence", "--no-confidence"], "option --confidence is given twice; give it once"),
        (["evaluate", "m", "f", "--json", "a", "--errors", "1", "--json", "b"], "option --json is given twice"),
        (["train", "a"], "missing option '--output' / '-o' (structseq train --help shows how)"),
        (["train"], "missing argument 'TRAIN' (structseq train --help shows how)"),
        (["train", "a", "--output"], "option '--output' requires an argument"),
        (["train", "a", "b", "--output", "c"], "got unexpected extra argument"),
        (["train", "a", "--output", "b", "--seed", "-1"], "invalid value for '--seed'"),
        (["train", "a", "--output", "b", "--seed", "one"], "invalid value for '--seed'"),
        (["train", "a", "--output", "b", "--save-every", "-3"], "invalid value for '--save-every'"),
    ],
)
def test_wrong_options_are_one_sentence(command: Command, words: list[str], expected_message: str) -> None:
    done = command(*words)
    assert (done.status, done.out) == (2, "")
    assert done.sentence.startswith(f"error: {expected_message}")


@pytest.mark.parametrize(
    ("setting", "expected_message"),
    [
        ("encoder.layer=2", 'unknown option encoder.layer; did you mean "encoder.layers"?'),
        ("epochs=2", 'unknown option epochs; did you mean "training.epochs"?'),
        ("training.epochs=-1", "option training.epochs: "),
        ("training.epochs=many", "option training.epochs: "),
        ("training.epochs", "--set training.epochs: expected key=value"),
        ("=3", "--set =3: expected key=value"),
        ("head.type=crff", "unknown head.type 'crff'; did you mean \"crf\"?"),
        ("encoder.type=gpt", "unknown encoder.type 'gpt'"),
        ("encoder.type=nowhere:Thing", "encoder.type nowhere:Thing: cannot be imported"),
        ("data.scheme=BOI", "data.scheme: unknown tag scheme 'BOI': did you mean"),
        ("head.scheme=BOI", "head.scheme: unknown tag scheme 'BOI': did you mean"),
        ("head.costs.O=-1", "option head.costs.O: input should be greater than or equal to 0"),
        ("data.encoding=utf-99", "unknown encoding 'utf-99'"),
        ("encoder.attention=1", "encoder.attention_heads: expected a divisor of the width"),
        ("data.repair=guess", "option data.repair: input should be 'conlleval', 'drop' or 'refuse'"),
        ("data.format=docx", "unknown format 'docx'"),
        ("data.tokenizer=word-1", "unknown tokenizer 'word-1'"),
        ("training.device=tpu", "training.device: expected auto, cpu or cuda"),
    ],
)
def test_wrong_settings_are_one_sentence(command: Command, tmp_path: Path, setting: str, expected_message: str) -> None:
    """Before any data are read: the files are missing."""
    heads = ["--set", "encoder.attention_heads=7"] if setting.startswith("encoder.attention=") else []
    done = command(
        "train",
        tmp_path / "missing.conll",
        "--output",
        tmp_path / "model",
        "--quiet",
        *tiny(but=setting.split("=")[0]),
        *heads,
        "--set",
        setting,
    )
    assert done.status == 2
    assert done.sentence.startswith(f"error: {expected_message}")
    assert not (tmp_path / "model").exists()


def test_a_missing_initial_model_is_told_before_data_are_read(command: Command, tmp_path: Path) -> None:
    words = ("train", tmp_path / "missing.conll", "--output", tmp_path / "model", "--init-from", tmp_path / "none")
    assert command(*words).sentence.startswith(f"error: {tmp_path / 'none'}")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("tuned", [True, False])
def test_train_names_both_dev_scores_if_a_bias_changed_one(
    command: Command, home: Path, tmp_path: Path, tuned: bool
) -> None:
    words = ("train", home / "train.conll", "--dev", home / "dev.conll", "--output", tmp_path / "model", *tiny(1))
    done = command(*words, "--set", f"training.tune_decision={str(tuned).lower()}")
    assert done.out.startswith("tuned dev (" if tuned else "dev (")
    assert bool(re.search(r"dev [\d.]+; tuned dev [\d.]+, after the bias", done.err)) == tuned


def test_a_setting_given_twice_is_refused(command: Command, home: Path, tmp_path: Path) -> None:
    words = ("--set", "head.type=crf", "--set", "head.type=softmax")
    done = command("train", home / "train.conll", "--output", tmp_path / "model", *words)
    assert (done.status, done.sentence) == (2, "error: --set head.type is given twice; give it once")


# -- train -------------------------------------------------------------------------------------------------------------


def test_train_leaves_a_whole_model_with_metrics_and_origin(home: Path) -> None:
    stored = load_model(home / "model")
    assert set(stored.metrics) == {"training", "dev", "gates", "test"}
    assert stored.metrics["dev"]["criterion"] > 0.9
    run = stored.provenance["run"]
    assert (run["seed"], run["data"]["train"]["path"]) == (0, str(home / "train.conll"))
    assert len(run["data"]["dev"]["sha256"]) == 64 and run["versions"]["torch"] and run["threads"] == 1
    assert ("New York", "from") in stored.entities
    assert not (home / "model" / "run").exists()
    events = [json.loads(line) for line in (home / "model" / "log.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", *["epoch"] * (len(events) - 2), "end"]
    epochs = [event for event in events if event["event"] == "epoch"]
    assert [event["epoch"] for event in epochs] == [*range(1, len(epochs) + 1)]
    assert all(event["loss"] > 0 and event["seconds"] > 0 and 0 <= event["dev"] <= 1 for event in epochs)


def test_train_tells_progress_on_one_stream_and_results_on_the_other(
    command: Command, home: Path, tmp_path: Path
) -> None:
    words = ("train", home / "train.conll", "--dev", home / "dev.conll", "--output", tmp_path / "model", *tiny())
    done = command(*words)
    assert done.status == 0
    lines = [line for line in done.err.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2 and all("loss" in line and "dev" in line and "tokens/s" in line for line in lines)
    assert "32 sentences" in done.err and "tag scheme BIO, found from the data" in done.err
    assert f"dev ({home / 'dev.conll'})" in done.out.splitlines()[0] and "entity F1" in done.out
    assert "epoch 1/2" not in done.out
    quiet = command(*words[:5], tmp_path / "quiet", *tiny(), "--quiet")
    assert (quiet.status, quiet.err, quiet.out) == (0, "", done.out)


def test_without_dev_a_share_is_held_out_and_said(command: Command, home: Path, tmp_path: Path) -> None:
    done = command("train", home / "train.conll", "--output", tmp_path / "model", *tiny())
    assert done.status == 0
    assert "no --dev: 3 of 32 training sentences" in done.err
    assert f"dev (held out of {home / 'train.conll'})" in done.out


def test_options_come_from_a_file_and_settings_override_them(command: Command, home: Path, tmp_path: Path) -> None:
    config = tmp_path / "options.toml"
    config.write_text('[encoder]\nwidth = 12\nlayers = 2\n[head]\ntype = "softmax"\n')
    words = ("train", home / "train.conll", "--dev", home / "dev.conll", "--quiet")
    assert command(*words, "--output", tmp_path / "a", *tiny(), "--config", config).status == 0
    options = load_model(tmp_path / "a").model.options
    assert (options.encoder.width, options.encoder.layers, options.head.type) == (8, 2, "softmax")
    # The options of a finished model are a configuration too.
    assert command(*words, "--output", tmp_path / "b", "--config", tmp_path / "a" / "options.json").status == 0
    assert load_model(tmp_path / "b").model.options == options


def test_tags_that_training_lacks_are_named_and_missed(command: Command, home: Path, tmp_path: Path) -> None:
    dev = tmp_path / "dev.conll"
    dev.write_text(columns([*sentences(4), (["by", "train"], ["O", "B-means"])]))
    done = command("train", home / "train.conll", "--dev", dev, "--output", tmp_path / "model", *tiny())
    assert done.status == 0
    assert f"warning: {dev}: tags that are not in the training data, counted as misses: B-means (1)" in done.err
    assert "tags never seen in training, counted as misses: B-means (1)" in done.out


def test_plain_tags_are_scored_by_accuracy(command: Command, tmp_path: Path) -> None:
    train = tmp_path / "pos.conll"
    train.write_text("the DT\ncat NN\nsleeps VB\n\na DT\ndog NN\nruns VB\n\n" * 4)
    done = command("train", train, "--dev", train, "--output", tmp_path / "model", *tiny())
    assert done.status == 0 and "tag scheme plain" in done.err and "accuracy" in done.out
    done = command("tag", tmp_path / "model", "--text", "the dog")
    assert done.status == 0 and len(done.out.splitlines()) == 3


def test_start_from_another_model_says_what_was_taken(command: Command, home: Path, tmp_path: Path) -> None:
    words = ("train", home / "train.conll", "--dev", home / "dev.conll", "--init-from", home / "model")
    done = command(*words, "--output", tmp_path / "model", *tiny())
    assert done.status == 0
    assert f"{home / 'model'}: copied: all of words, all of characters, all of encoder, all of head" in done.err
    first = json.loads((tmp_path / "model" / "log.jsonl").read_text().splitlines()[1])
    assert first["dev"] > 0.9


def test_words_of_the_model_that_training_starts_from_stay_known(command: Command, home: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.conll"
    few.write_text("fly O\nto O\nTaipei B-to\n\nfrom O\nTaipei B-from\n")
    words = ("train", few, "--dev", home / "dev.conll", "--init-from", home / "model", "--output", tmp_path / "model")
    assert command(*words, *tiny(1)).status == 0
    models = (load_model(folder).model for folder in (home / "model", tmp_path / "model"))
    before, after = (set(model.vocabularies["words"]) for model in models)
    assert after == before | {"fly", "to", "Taipei", "from"} and len(before) > 4


def test_code_from_outside_is_imported_only_if_trusted(
    command: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside.py").write_text(
        "from structseq.heads import SoftmaxHead\n\n\nclass Own(SoftmaxHead):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ("train", home / "train.conll", "--dev", home / "dev.conll", "--quiet", *tiny(1))
    assert command(*words, "--output", tmp_path / "model", "--set", "head.type=outside:Own").status == 0
    uses = (["describe", tmp_path / "model"], ["tag", tmp_path / "model", home / "dev.conll"])
    uses += (["evaluate", tmp_path / "model", home / "dev.conll"],)
    uses += ([*words, "--output", tmp_path / "again", "--init-from", tmp_path / "model"],)
    for use in uses:
        refused = command(*use)
        assert refused.status == 2 and "head.type is 'outside:Own', a class outside structseq" in refused.sentence
        assert command(*use, "--trust", "outside:Own").status == 0


def test_a_model_is_finished_if_its_reports_are_not_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    paths = write_corpus(tmp_path)
    words = ["train", paths["train"], "--dev", paths["dev"], "--output", tmp_path / "m", *tiny(epochs=1)]
    assert status_unread(*words) == 141 and "Broken pipe" not in capsys.readouterr().err
    assert load_model(tmp_path / "m").metrics["dev"]["criterion"] >= 0


# -- evaluate and describe ---------------------------------------------------------------------------------------------


def test_evaluate_as_text_and_json(command: Command, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    done = command("evaluate", home / "model", home / "test.conll", "--json", out)
    assert done.status == 0 and done.out.startswith("entity F1") and "signature:" in done.out
    report = json.loads(out.read_text())
    assert report["sentences"] == 8 and report["seen"]["support"] + report["unseen"]["support"] == 16
    assert report["criterion"] == load_model(home / "model").metrics["test"]["criterion"]
    brief = command("evaluate", home / "model", home / "test.conll", "--brief").out.splitlines()
    assert brief == done.out.splitlines()[: len(brief)] and len(brief) == 4 and brief[0].startswith("entity F1")
    piped = command("evaluate", home / "model", home / "test.conll", "--json", "-")
    assert json.loads(piped.out) == report and not piped.err


def test_evaluate_lists_errors(command: Command, home: Path, tmp_path: Path) -> None:
    gold = tmp_path / "gold.conll"
    gold.write_text(columns([(["fly", "from", "Lima", "to", "Rome"], ["O", "O", "B-to", "O", "B-to"])]))
    done = command("evaluate", home / "model", gold, "--errors", "5")
    assert f"{gold}:1: type" in done.out and "[Lima]to" in done.out


GATES = ("input", "forget", "output")


def test_describe_tells_what_a_model_is(command: Command, home: Path) -> None:
    done = command("describe", home / "model")
    assert done.status == 0
    for expected in (
        "bidirectional lstm",
        "from, to",
        "B-from",
        "words-1",
        "training.epochs",
        "test entity F1",
        "sha256",
    ):
        assert expected in done.out
    assert "B-from -> I-from" in done.out
    assert "mean gate activations on dev" in done.out


def test_describe_watches_the_gates_on_a_file(command: Command, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.conll"
    file.write_text(columns([(["fly", "to", "Rome"], ["O", "O", "B-to"])]))
    done = command("describe", home / "model", "--on", file)
    heading, *rows = done.out[done.out.index("mean gate activations on ") :].splitlines()
    assert str(file) in heading
    columns_, *values = [re.split(r"\s{2,}", row.strip()) for row in rows]
    assert columns_ == ["tag", *(f"{gate} {way}" for way in ("forwards", "backwards") for gate in GATES)]
    assert [row[0] for row in values] == ["O", "B-to"]
    assert all(0 < float(value) < 1 for row in values for value in row[1:])
    foreign = command("describe", home / "model", "--on", tmp_path / "nothing.conll")
    assert foreign.status == 2 and "nothing.conll" in foreign.err


@pytest.mark.parametrize("stored", [3, {"input": 3}, {"input": {"O": "x"}}, {"input": {"O": 0.5}, "forget": {}}, {}])
def test_describe_leaves_out_gates_that_are_none(stored: Any, command: Command, home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "model", tmp_path / "model")
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    (tmp_path / "model" / "metrics.json").write_text(json.dumps({**metrics, "gates": stored}))
    done = command("describe", tmp_path / "model")
    assert done.status == 0 and "mean openings" not in done.out


# -- tag ---------------------------------------------------------------------------------------------------------------

WILD = (
    "\ufeff# id = 7\r\n-DOCSTART- -X- O\r\n\r\nfly\tVB\tO\r\nfrom\tIN\tO\r\n# a remark = here\r\n"
    "Lima\tNP\tB-from\r\n\r\n\r\n#\tSYM\tO\r\nto\tTO\tO\r\nRome\u00a0\tNP\tB-to"
)


def test_tag_keeps_every_byte_and_appends_one_column(command: Command, home: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "wild.conll", tmp_path / "tagged.conll"
    file.write_bytes(WILD.encode())
    done = command("tag", home / "model", file, "--output", out)
    assert (done.status, done.out, done.err) == (0, "", "")
    before, after = WILD.split("\n"), out.read_bytes().decode().split("\n")
    assert len(before) == len(after)
    tokens = [n for n, line in enumerate(before) if line.count("\t") == 2]
    for n, (old, new) in enumerate(zip(before, after, strict=True)):
        if n not in tokens:
            assert old == new
            continue
        ending = "\r" if old.endswith("\r") else ""
        kept, _, tag = new.removesuffix(ending).rpartition("\t")
        assert kept + ending == old and tag in {"O", "B-from", "I-from", "B-to", "I-to"}
    assert command("tag", home / "model", file).out == out.read_bytes().decode()


def test_tag_reads_standard_input(command: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    given("fly\nfrom\nLima\nto\nRome\n")
    assert command("tag", home / "model").out == "fly\tO\nfrom\tO\nLima\tB-from\nto\tO\nRome\tB-to\n"
    given("fly from Lima to Rome\n\n")
    records = [json.loads(line) for line in command("tag", home / "model", "-", "--format", "text").out.splitlines()]
    assert records[1] == {"text": "", "tokens": [], "tags": [], "spans": []}
    span = records[0]["spans"][0]
    assert "fly from Lima to Rome"[span["start"] : span["end"]] == span["text"] == "Lima"
    assert (span["start_token"], span["end_token"], span["label"]) == (2, 3, "from") and 0 < span["confidence"] <= 1


SAME_WIDTH = "fly from Lima to Rome\ngo from Oslo to Paris\n"


@pytest.mark.parametrize("piped", [False, True])
def test_tag_never_reads_texts_as_columns(
    command: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piped: bool
) -> None:
    file = tmp_path / "texts.txt"

    def tag(content: str, *words: str) -> Done:
        file.write_text(content, encoding="utf-8")
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
        return command("tag", home / "model", "-" if piped else file, *words)

    for content in (SAME_WIDTH, "fly to Rome\n", "fly to Rome\n\ngo to Oslo\n", "私は東京に行く。\n私は行く。\n"):
        done = tag(content)
        assert done.status == 2 and "--format text" in done.sentence and "--format conll" in done.sentence
        texts = [json.loads(line)["text"] for line in tag(content, "--format", "text").out.splitlines()]
        assert texts == content.splitlines()
        rows = tag(content, "--format", "conll").out.splitlines()
        assert [row.split()[:-1] for row in rows] == [line.split() for line in content.splitlines()]
    done = tag("fly to Rome\ngo from Oslo to Paris today\n\nleave\n")
    assert done.sentence.endswith("each line is read as a text; for rows with columns, add --format conll")
    assert [json.loads(line)["text"] for line in done.out.splitlines()][-1] == "leave"
    done = tag('{"text": "to Rome"}\n')
    assert json.loads(done.out)["spans"][0]["text"] == "Rome"
    assert tag("fly X\nto X\nRome Y\n\ngo X\n").out == "fly X O\nto X O\nRome Y B-to\n\ngo X O\n"


def test_a_long_or_compressed_stream_is_read_whole(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = columns(sentences(64) * 60)
    assert len(content) > 1 << 16
    for data in (content.encode(), gzip.compress(content.encode())):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        rows = command("tag", home / "model").out.splitlines()
        assert [row.rpartition("\t")[0] for row in rows] == content.splitlines()


def test_tag_json_lines_keep_what_they_say(command: Command, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    lines = [
        '{"text": "to  Rome", "id": 1.50}',
        "",
        '{"tokens": ["to", "Rome"], "tags": ["O", "O"]}',
        '{ "words":["fly","from","New","York","to","Rome"] }',
    ]
    file.write_text("\n".join(lines))
    done = command("tag", home / "model", file, "--no-confidence")
    assert done.status == 0
    text, blank, gold, words = done.out.split("\n")
    assert blank == "" and text.startswith('{"text": "to  Rome", "id": 1.50, "tokens": ["to", "Rome"], "tags": ')
    assert json.loads(text)["spans"] == [
        {"start": 4, "end": 8, "text": "Rome", "start_token": 1, "end_token": 2, "label": "to"}
    ]
    assert json.loads(gold)["tags"] == ["O", "O"] and json.loads(gold)["predicted_tags"] == ["O", "B-to"]
    assert json.loads(words)["tags"] == ["O", "O", "B-from", "I-from", "O", "B-to"]


def test_a_records_own_keys_are_never_written_over(command: Command, tmp_path: Path) -> None:
    data, out, file = tmp_path / "pos.conll", tmp_path / "m", tmp_path / "in.jsonl"
    data.write_text("fly\tV\nto\tP\n\nRome\tN\n\n" * 4)
    assert command("train", data, "--dev", data, "--output", out, *tiny(1)).status == 0
    file.write_text('{"tokens": ["fly"], "confidence": "annotator: sure"}\n')
    record = json.loads(command("tag", out, file).out)
    assert record["confidence"] == "annotator: sure" and {"predicted_tags", "predicted_confidence"} <= record.keys()


def test_places_are_those_of_the_cut_that_made_the_tokens(command: Command, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"text": "fly, to Rome"}\n')
    for name in ("words-1", "whitespace-1"):
        record = json.loads(command("tag", home / "model", file, "--set", f"data.tokenizer={name}").out)
        *_, span = record["spans"]
        assert record["tokens"][span["start_token"]] == span["text"] == "Rome"
        assert (span["start"], span["end"]) == (8, 12)


def test_tag_one_text(command: Command, home: Path) -> None:
    done = command("tag", home / "model", "--text", "fly from Lima to New York")
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[1][:5] == ["Lima", "from", "9", "to", "13"] and rows[2][:6] == ["New", "York", "to", "17", "to", "25"]
    record = json.loads(command("tag", home / "model", "--text", "to Rome", "--format", "jsonl").out)
    assert record["tags"] == ["O", "B-to"]


def test_tag_answers_in_order_for_all_lengths(command: Command, home: Path, tmp_path: Path) -> None:
    rows = [(["fly"] * (n % 7 + 1) + [f"w{n}"], ["O"] * (n % 7 + 2)) for n in range(1500)]
    file = tmp_path / "many.conll"
    file.write_text(columns(rows))
    done = command("tag", home / "model", file)
    kept = "".join(line.rpartition("\t")[0] + "\n" if "\t" in line else "\n" for line in done.out.splitlines())
    assert kept == file.read_text()


@pytest.mark.parametrize(
    ("words", "expected_message"),
    [
        (["--format", "docx"], "unknown format 'docx'; there are auto, columns"),
        (["FILE", "--text", "a"], "--text and the file"),
        (["FILE", "--confidence"], "--confidence: conll files cannot store probabilities"),
        (["FILE", "--set", "training.epochs=3"], "--set training: expected an option of the section data"),
    ],
)
def test_tag_refuses_what_it_cannot_do(command: Command, home: Path, words: list[str], expected_message: str) -> None:
    done = command("tag", home / "model", *[home / "test.conll" if word == "FILE" else word for word in words])
    assert (done.status, done.out) == (2, "")
    assert done.sentence.startswith(f"error: {expected_message}")


# -- check -------------------------------------------------------------------------------------------------------------


def test_check_finds_nothing_wrong_with_good_files(command: Command, home: Path) -> None:
    done = command("check", home / "train.conll", home / "dev.conll", home / "test.conll")
    assert (done.status, done.err) == (0, "")
    for expected in ("2 columns between tabs", "32, of ", "BIO, found from the data", "64 entities of 2 types", "none"):
        assert expected in done.out
    assert "sentences also occur in" in done.out and "train.conll  dev.conll  test.conll" in done.out


def test_check_finds_what_training_would_refuse_and_what_is_odd(command: Command, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "odd.conll"
    extra = [
        (["to", "Lima"], ["O", "I-to"]),
        (["to", "Oslo\u200b"], ["O", "B-to"]),
        (["by", "sea"], ["O", "O"]),
        (["by", "sea"], ["O", "B-means"]),
    ]
    file.write_text(columns([*sentences(16), *extra]))
    done = command("check", file, home / "dev.conll", "--set", "data.repair=refuse")
    line = len(columns(sentences(16)).splitlines()) + 2
    assert done.status == 1
    assert done.sentence.startswith(f"training would refuse: {file}:{line}: I-to opens an entity after O")
    assert f"{file}:{line + 3}: 'Oslo\\u200b' contains ZERO WIDTH SPACE" in done.out
    assert f"{file}:{line + 5} and {file}:{line + 8}" in done.out
    (alone,) = [line for line in done.out.splitlines() if f"tags only in {file}" in line]
    assert "B-means" in alone
    assert command("check", file, "--set", "data.repair=drop").status == 0


def test_check_looks_at_all_files_though_one_cannot_be_read(command: Command, home: Path, tmp_path: Path) -> None:
    done = command("check", home / "train.conll", tmp_path / "missing.conll", home / "dev.conll")
    assert (done.status, done.sentence) == (2, f"error: {tmp_path / 'missing.conll'}: there is no such file")
    assert "dev.conll" in done.out


# -- convert -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["BIOES", "BILOU", "bmes", "IOB1", "IOE"])
def test_convert_rewrites_the_tag_column_alone_and_comes_back(command: Command, tmp_path: Path, scheme: str) -> None:
    names = ("a.conll", "b.conll", "c.conll")
    first, second, third = (tmp_path / name for name in names)
    first.write_bytes(WILD.replace("Rome\u00a0\tNP\tB-to", "New\tNP\tB-to\r\nYork\u00a0\tNP\tI-to").encode())
    assert command("convert", first, second, "--to", scheme).status == 0
    assert first.read_bytes() != second.read_bytes()
    assert [e.tokens for e in read(first)] == [e.tokens for e in read(second)]
    assert command("convert", second, third, "--from", scheme, "--to", "BIO").status == 0
    assert third.read_bytes() == first.read_bytes()


def test_convert_between_formats(command: Command, home: Path, tmp_path: Path) -> None:
    lines, packed, folder = tmp_path / "a.jsonl", tmp_path / "b.conll.gz", tmp_path / "three"
    assert command("convert", home / "dev.conll", lines, "--to", "BIOES").status == 0
    assert json.loads(lines.read_text().splitlines()[0])["tags"][-1][0] in "SE"
    assert command("convert", lines, packed, "--to", "BIO").status == 0
    assert gzip.decompress(packed.read_bytes()).decode().strip() == (home / "dev.conll").read_text().strip()
    assert command("convert", packed, f"{folder}/").status == 0
    assert (folder / "seq.in").read_text().splitlines()[0].split() == sentences(1, first=40)[0][0]
    assert command("convert", home / "dev.conll", "-").out == (home / "dev.conll").read_text()


def test_convert_refuses_what_the_target_cannot_hold(command: Command, tmp_path: Path) -> None:
    file, out = tmp_path / "a.conll", tmp_path / "b.conll"
    file.write_text("a\tB-x\nb\tB-x\n")
    refused = command("convert", file, out, "--to", "IO")
    assert refused.status == 2 and refused.sentence.startswith(f"error: {file}:1: IO cannot keep") and not out.exists()
    file.write_text("a\tDT\nb\tNN\n")
    refused = command("convert", file, out, "--to", "BIO")
    assert refused.status == 2 and "cannot be written as BIO" in refused.sentence


@pytest.mark.parametrize("name", ["a.jsonl", "a.conllu", "a.conll.gz", "three/", "spaces.txt"])
def test_every_format_is_checked_scored_and_learned_from(
    command: Command, home: Path, tmp_path: Path, name: str
) -> None:
    if name == "spaces.txt":
        (tmp_path / name).write_text((home / "train.conll").read_text().replace("\t", " "))
    else:
        field = ("--set", "data.field=misc:NER")
        assert command("convert", home / "train.conll", f"{tmp_path}/{name}", *field).status == 0
    path = (tmp_path / name, "--set", "data.field=misc:NER")
    done = command("check", *path)
    assert (done.status, done.err) == (0, "") and "64 entities of 2 types" in done.out
    scored = command("evaluate", home / "model", *path, "--json", "-")
    assert scored.status == 0 and json.loads(scored.out)["table"]["micro"]["support"] == 64
    assert command("train", *path, "--output", tmp_path / "model", "--quiet", *tiny(1)).status == 0
    if name == "three/":
        refused = command("tag", home / "model", tmp_path / name)
        assert (
            refused.status == 2
            and "this model tags sentences, found a file of the threefile format" in refused.sentence
        )
        return
    tagged = tmp_path / f"tagged-{name}"
    assert command("tag", home / "model", *path, "--output", tagged).status == 0
    field = "misc:Predicted" if name == "a.conllu" else "upos"
    options = command("evaluate", home / "model", tagged, "--json", "-", "--set", f"data.field={field}")
    assert options.status == 0 and json.loads(options.out)["sentences"] == 32


def test_another_encoding_is_read_and_kept(command: Command, home: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "a.conll", tmp_path / "b.conll"
    file.write_bytes("fly\tO\nfrom\tO\nMálaga\tB-from\n".encode("latin-1"))
    latin = ("--set", "data.encoding=latin-1")
    assert command("check", file, *latin).status == 0
    assert command("convert", file, out, "--to", "BIOES", *latin).status == 0
    assert out.read_bytes() == file.read_bytes().replace(b"B-", b"S-")
    assert command("tag", home / "model", file, "--output", out, *latin).status == 0
    assert [line.rpartition(b"\t")[0] for line in out.read_bytes().splitlines()] == file.read_bytes().splitlines()
    records = command("tag", home / "model", file, "--format", "text", *latin).out.splitlines()
    assert json.loads(records[2])["tokens"] == ["Málaga", "B-from"]


# -- advice, followed literally ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "switch"),
    [
        ("train FILE --output OUT", "--epochs 3"), ("train FILE --output OUT", "--epochs=3"),
        ("train FILE --output OUT", "--training.epochs 3"), ("train FILE --output OUT", "--learning-rate 0.1"),
        ("check FILE", "--tag-column 1"), ("check FILE", "--encoding utf-8"),
        ("evaluate MODEL FILE", "--token_column 0"),
        ("convert FILE OUT", "--separator tab"), ("tag MODEL FILE", "--tokenizer words-1"),
    ],
)  # fmt: skip
def test_a_switch_that_is_an_option_names_it(
    command: Command, home: Path, tmp_path: Path, words: str, switch: str
) -> None:
    places = {"FILE": home / "dev.conll", "OUT": tmp_path / "out", "MODEL": home / "model"}
    line = [places.get(word, word) for word in words.split()]
    small = tiny(1, but="training.learning_rate") if words.startswith("train") else []
    refused = command(*line, *small, *switch.split())
    assert refused.status == 2
    advice = refused.sentence.partition("; use ")[2]
    assert advice.startswith("--set ") and advice.endswith(re.split("[= ]", switch)[1])
    small = tiny(1, but="training.epochs" if "epochs" in advice else "training.learning_rate") if small else []
    assert command(*line, *small, *advice.split()).status == 0


def test_a_switch_of_no_option_or_of_another_command_names_no_option(command: Command) -> None:
    assert "--set inputs.words.width=4 or --set " in command("compare", "a", "--output", "b", "--width", "4").sentence
    assert "--set training.epochs=VALUE" in command("train", "a", "--output", "b", "--epochs", "--quiet").sentence
    for words in (["evaluate", "m", "f", "--epochs", "3"], ["options", "--epochs", "3"], ["train", "a", "--zzz"]):
        assert "--set" not in command(*words).sentence


# -- streams and signals -----------------------------------------------------------------------------------------------


def test_a_process_writes_utf8_in_any_locale_and_ends_quietly_if_its_reader_does(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "long.conll"
    file.write_text("東京\tO\n\n" + columns(sentences(64) * 20), encoding="utf-8")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    words = python("tag", str(home / "model"), str(file))
    run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert run.stdout and run.stderr
    assert run.stdout.readline().decode("utf-8").startswith("東京\tO\t")
    run.stdout.close()
    error = run.stderr.read()
    run.stderr.close()
    assert (error, run.wait()) == (b"", 141)


def stopping_after(updates: int, number: signal.Signals) -> Callable[..., Any]:
    """In place of progress bars: a callback that sends this process a signal after a number of updates."""

    @contextmanager
    def showing(*, quiet: bool = False) -> Iterator[Callback]:
        def callback(progress: Progress, record: object) -> None:
            if progress.update == updates:
                signal.raise_signal(number)

        yield callback

    return showing


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(
    command: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    out = tmp_path / "my model"
    words = ["train", home / "train.conll", "--dev", home / "dev.conll", "--output", out, *tiny(5)]
    with monkeypatch.context() as patch:
        patch.setattr("structseq.cli.train_command.showing", stopping_after(6, number))
        done = command(*words)
    assert (done.status, done.out) == (130, "")
    last = done.err.splitlines()[-1]
    assert last.startswith(f"stopped, and everything is saved in {out}; resume with: structseq train ")
    assert last.endswith(" --resume") and f"'{out}'" in last
    assert {path.name for path in out.iterdir()} == {"log.jsonl", "run"}
    again = command(*words)
    assert again.status == 2 and "holds an unfinished run; resume it with --resume" in again.sentence
    assert command(*shlex.split(last.partition("structseq ")[2])).status == 0
    events = [json.loads(line)["event"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert events == ["start", "epoch", "resume", "epoch", "epoch", "epoch", "epoch", "end"]


# -- every head --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", TAGGERS)
def test_every_head_trains_tags_and_is_sure_of_itself(command: Command, tmp_path: Path, head: str) -> None:
    parts = write_corpus(tmp_path)
    model = tmp_path / "model"
    words = ["train", parts["train"], "--dev", parts["dev"], "--output", model, "--set", f"head.type={head}"]
    assert command(*words, *tiny(15)).status == 0
    scored = command("evaluate", model, parts["test"], "--json", "-")
    assert scored.status == 0 and json.loads(scored.out)["criterion"] > 0.5
    tagged = command("tag", model, "--text", "fly from Taipei to Rome", "--confidence")
    assert tagged.status == 0 and not tagged.err, "no warning: a temperature was fitted where one was needed"
    sure = [float(line.split()[-1]) for line in tagged.out.splitlines()[1:]]
    assert len(sure) == 2 and all(0 < each <= 1 for each in sure)
