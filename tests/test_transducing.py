"""Answers that are sequences of their own, from training to the command line: recordings by CTC, trimming, a loop of
words; vectors of anything."""

from __future__ import annotations

import json
import math
import pickle
import re
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commandline import Done, call, tiny

from structseq import Classifier, Corpus, Embedder, Tagger, Transducer, read
from structseq.config import Options
from structseq.data.example import Example
from structseq.errors import ConfigError, DataError, ModelFileError
from structseq.model import Model
from structseq.spans import PLAIN
from structseq.storage import load_model
from structseq.training import train

ROOT = Path(__file__).resolve().parent.parent
SMALL = (
    "data.audio.stride=4", "data.audio.mels=12", "encoder.width=16", "encoder.dropout=0", "inputs.dropout=0",
    "encoder.recurrent_dropout=0", "training.learning_rate=0.02", "training.batch_sentences=4", "training.epochs=2",
)  # fmt: skip
HEADS = {
    "ctc": ("head.type=ctc",),
    "trim": ("head.type=trim",),
    "words": ("head.type=words", "data.audio.states=2", "data.audio.silence=sil"),
}
Command = Callable[..., Done]


def set_(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of recordings of digits made of tones."""
    folder = tmp_path_factory.mktemp("tones")
    script = ROOT / "corpora" / "digits" / "generate.py"
    words = [sys.executable, script, "--output", folder / "made", "--strings", "10", "--longest", "4"]
    subprocess.run(words, check=True, capture_output=True)
    return folder / "made" / "digits.jsonl"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return lambda *words: call(capsys, *words)


@pytest.fixture(scope="module")
def learned(tones: Path) -> Model:
    """A model that has learned a few recordings by heart."""
    options = Options.of(
        {
            "data": {"audio": {"stride": 4, "mels": 12}}, "head": {"type": "ctc"},
            "encoder": {"width": 32, "dropout": 0.0, "recurrent_dropout": 0.0}, "inputs": {"dropout": 0.0},
            "training": {"learning_rate": 0.02, "epochs": 150, "batch_sentences": 2, "average": "none"},
        }
    )  # fmt: skip
    examples = tuple(read(tones, audio=options.data.audio))[:4]
    model = Model.prepare(options, examples, PLAIN, seed=0)
    for _ in train(model, Corpus(examples, examples), options.training):
        pass
    return model


# -- from Python -------------------------------------------------------------------------------------------------------


def test_recordings_are_learned_by_heart_and_kept(learned: Model, tones: Path, tmp_path: Path) -> None:
    transducer = Transducer(learned)
    examples = list(read(tones, audio=learned.options.data.audio))[:4]
    found = list(transducer.transduce_many(examples))
    assert [one.answer for one in found] == [example.target for example in examples]
    assert found[0].text == " ".join(found[0].answer) and found[0].log_prob is not None
    transducer.save(tmp_path / "model")
    again = Transducer.load(tmp_path / "model")
    assert again.symbols == transducer.symbols == learned.tags.labels
    for one, example in zip(found, examples, strict=True):
        other = again.transduce(example.frames)
        assert other.answer == one.answer and other.log_prob == pytest.approx(one.log_prob, abs=1e-4)
    heard = again.transduce_audio(tones.parent / "0001.wav")
    assert heard.answer == found[0].answer and heard.to_dict()["audio"].endswith("0001.wav")
    assert again.predict(examples) == [one.answer for one in found]


def test_the_log_probability_is_that_of_the_answer(learned: Model, tones: Path) -> None:
    example = next(read(tones, audio=learned.options.data.audio))
    distribution = learned.distribution(learned.inputs.encode([example]))
    target = learned.head.target(example)
    assert target is not None
    expected = distribution.log_prob(learned.head.pad([target])).item()
    assert Transducer(learned).transduce(example).log_prob == pytest.approx(expected, abs=1e-4)


def test_what_does_not_fit_the_model_is_said(learned: Model) -> None:
    import miniature

    transducer = Transducer(learned)
    with pytest.raises(ConfigError, match="reads recordings, not texts"):
        transducer.transduce_text("seven")
    with pytest.raises(DataError, match="expected frames"):
        transducer.transduce("seven.wav")
    with pytest.raises(DataError, match="an array of 1 dimensions"):
        transducer.transduce([1.0, 2.0])
    with pytest.raises(DataError, match=r"12|48"):
        transducer.transduce(np.zeros((5, 3)))
    with pytest.raises(DataError, match="has no frames"):
        transducer.transduce(Example.of(["a"]))
    with pytest.raises(ConfigError, match="look_ahead"):
        transducer.transduce_many([], look_ahead=0)
    with pytest.raises(ConfigError, match="use Tagger"):
        Transducer(miniature.model())
    with pytest.raises(ConfigError, match="use Transducer"):
        Tagger(learned)


def test_pickles_answer_the_same(learned: Model, tones: Path) -> None:
    import miniature

    example = next(read(tones, audio=learned.options.data.audio))
    again = pickle.loads(pickle.dumps(Transducer(learned, metrics={"dev": 1})))
    assert again.metrics == {"dev": 1} and again.transduce(example).answer == example.target
    vectors = [pickle.loads(pickle.dumps(Embedder(model))) for model in (learned, miniature.model())]
    assert np.allclose(vectors[0].embed([example]), Embedder(learned).embed([example]), atol=1e-6)
    assert isinstance(vectors[1], Embedder) and vectors[1].embed([["fly"]]).shape == (1, vectors[1].width)


def test_every_model_gives_vectors(learned: Model, tones: Path) -> None:
    import miniature

    examples = list(read(tones, audio=learned.options.data.audio))
    embedder = Embedder(learned)
    vectors = embedder.embed(examples)
    assert vectors.shape == (len(examples), embedder.width) and vectors.dtype == np.float32
    alone = np.stack([embedder.embed([example])[0] for example in examples])
    assert np.allclose(vectors, alone, atol=1e-5)
    assert embedder.embed([]).shape == (0, embedder.width)
    words = Embedder(miniature.model())
    assert words.embed([["fly", "home"], ["fly"]]).shape == (2, words.width)
    assert np.allclose(words.embed_text("fly home"), words.embed([["fly", "home"]])[0], atol=1e-6)
    with pytest.raises(ConfigError, match="reads texts, not recordings"):
        words.embed_audio("a.wav")


# -- from the command line ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
def test_train_evaluate_tag_embed_and_describe(head: str, command: Command, tones: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    done = command("train", tones, "--dev", tones, "--output", model, *set_(*SMALL, *HEADS[head]))
    assert done.status == 0 and "10 recordings" in done.err and "symbol error rate" in done.out
    report = tmp_path / "report.json"
    done = command("evaluate", model, tones, "--json", report, "--errors", "2")
    assert done.status == 0 and "twice in a row" in done.out
    rate = json.loads(report.read_text())["error_rate"]
    kept = json.loads((model / "metrics.json").read_text())["dev"]["error_rate"]
    assert rate == pytest.approx(kept)
    done = command("tag", model, tones)
    records = [json.loads(line) for line in done.out.splitlines()]
    assert len(records) == 10 and all("answer" in record and "audio" in record for record in records)
    assert all(("log_prob" in record) == (head == "ctc") for record in records)
    one = command("tag", model, tones.parent / "0001.wav", "--no-confidence")
    assert json.loads(one.out)["answer"] == records[0]["answer"] and "log_prob" not in one.out
    done = command("embed", model, tones, "--output", tmp_path / "vectors.npy")
    vectors = np.load(tmp_path / "vectors.npy")
    done = command("embed", model, tones)
    rows = [json.loads(line)["vector"] for line in done.out.splitlines()]
    assert vectors.shape == (10, 32) and np.allclose(vectors, rows, atol=1e-4)
    done = command("describe", model)
    assert done.status == 0 and head in done.out


def test_a_run_with_recordings_is_resumed_to_the_same_weights(command: Command, tones: Path, tmp_path: Path) -> None:
    words = ["train", tones, "--dev", tones, *set_(*SMALL, *HEADS["ctc"]), "--quiet"]
    assert command(*words, "--output", tmp_path / "one").status == 0
    assert command(*words, "--output", tmp_path / "one", "--resume").status == 0
    assert command(*words, "--output", tmp_path / "two").status == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]


def test_a_start_that_reads_other_frames_gives_a_warning(command: Command, tones: Path, tmp_path: Path) -> None:
    settings = set_(*SMALL, *HEADS["ctc"])
    assert command("train", tones, "--dev", tones, "--output", tmp_path / "a", *settings).status == 0
    for window, said in ((25, False), (32, True)):
        out = tmp_path / f"b{window}"
        more = [*settings, *set_(f"data.audio.window={window}"), "--init-from", tmp_path / "a"]
        done = command("train", tones, "--dev", tones, "--output", out, *more)
        assert done.status == 0 and ("was trained on different frames: data.audio.window was 25.0" in done.err) == said
        assert "all of encoder" in done.err


def test_frames_may_be_tagged_too(command: Command, tones: Path, tmp_path: Path) -> None:
    done = command("train", tones, "--dev", tones, "--output", tmp_path / "m", *set_(*SMALL, "head.type=softmax"))
    assert done.status == 0 and "accuracy" in done.out
    done = command("tag", tmp_path / "m", tones)
    records, examples = (
        [json.loads(line) for line in done.out.splitlines()],
        list(read(tones, audio=load_model(tmp_path / "m").model.options.data.audio)),
    )
    assert [record["audio"] for record in records] == [example.metadata["audio"] for example in examples]
    assert [len(record["tags"]) for record in records] == [len(example) for example in examples]
    refused = command("tag", tmp_path / "m", "--text", "seven")
    assert refused.status == 2 and "reads recordings" in refused.sentence
    refused = command("tag", tmp_path / "m", tones, "--confidence")
    assert refused.status == 2 and "--confidence" in refused.sentence


def test_a_recording_may_have_a_label_or_a_label_and_tags(command: Command, tones: Path, tmp_path: Path) -> None:
    records = [json.loads(line) for line in tones.read_text().splitlines()]
    for number, record in enumerate(records):
        record |= {"audio": str(tones.parent / record["audio"]), "mood": "odd" if number % 2 else "even"}
    listed = tmp_path / "list.jsonl"
    listed.write_text("".join(json.dumps(record) + "\n" for record in records))
    for head, keys in (("classify", {"audio", "label", "confidence"}), ("joint", {"audio", "label", "tags"})):
        model, own = tmp_path / head, ["data.label=mood", f"head.type={head}"]
        done = command("train", listed, "--dev", listed, "--output", model, *set_(*SMALL, *own))
        assert done.status == 0
        assert command("evaluate", model, listed).status == 0
        for given in (listed, records[0]["audio"]):
            done = command("tag", model, given)
            assert done.status == 0 and all(json.loads(line).keys() == keys for line in done.out.splitlines())
    cards = {head: (tmp_path / head / "README.md").read_text() for head in ("classify", "joint")}
    assert "audio-classification" in cards["classify"] and "classify_audio" in cards["classify"]
    (usage,) = re.findall(r"```python\n(.*?)```", cards["joint"], re.DOTALL)
    usage = usage.replace("path/to/this/folder", str(tmp_path / "joint")).replace('"..."', repr(records[0]["audio"]))
    exec(usage, {})
    described = command("describe", tmp_path / "classify").out
    assert "widths\n  frames  48\n" in described
    classifier = Classifier.load(tmp_path / "classify")
    examples = list(read(listed, audio=classifier.model.options.data.audio))
    heard, given = classifier.classify_audio(records[0]["audio"]), examples[0]
    assert heard.audio == records[0]["audio"] and heard.tokens is None and heard.text is None
    assert classifier.classify(given.frames).probabilities == pytest.approx(heard.probabilities)
    assert "audio" not in classifier.classify(given.frames).to_dict()
    assert [found.audio for found in classifier.classify_many(examples)] == [r["audio"] for r in records]
    with pytest.raises(ConfigError, match="reads recordings, not texts"):
        classifier.classify_text("seven")


def test_recordings_without_segments_are_passed_over_where_others_have_some(
    command: Command, tones: Path, tmp_path: Path
) -> None:
    records = [json.loads(line) for line in tones.read_text().splitlines()]
    for record in records:
        record["audio"] = str(tones.parent / record["audio"])
    del records[3]["segments"]
    listed = tmp_path / "list.jsonl"
    listed.write_text("".join(json.dumps(record) + "\n" for record in records))
    for head in ("trim", "words"):
        model = tmp_path / head
        done = command("train", listed, "--dev", tones, "--output", model, *set_(*SMALL, *HEADS[head]))
        assert done.status == 0 and "1 of 10 are skipped" in done.err and f"{listed}:4" in done.err
    for record in records:
        record.pop("segments", None)
    listed.write_text("".join(json.dumps(record) + "\n" for record in records))
    refused = command("train", listed, "--dev", tones, "--output", tmp_path / "none", *set_(*SMALL, *HEADS["trim"]))
    message = refused.err.splitlines()[-1]
    assert refused.status == 2 and f"{listed}:1" in message and "segments" in message


def test_dev_and_test_of_another_kind_are_refused_before_training(
    command: Command, tones: Path, tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("source\ttarget\n" + "ab\tba\nba\tab\n" * 4)
    for data, other, head in ((tones, pairs, "ctc"), (pairs, tones, "generate")):
        for part in ("--dev", "--test"):
            refused = command(
                "train", data, part, other, "--output", tmp_path / "m", *tiny(1), *set_(f"head.type={head}")
            )
            assert refused.status == 2 and f"{other}:" in refused.sentence and "it is made of" in refused.sentence
            assert not (tmp_path / "m").exists()
        checked = command("check", data, other)
        assert checked.status == 1 and "have different kinds of sequences" in checked.err


def test_what_inputs_are_made_by_cannot_be_set_any_more(
    command: Command, learned: Model, tones: Path, tmp_path: Path
) -> None:
    Transducer(learned).save(tmp_path / "m")
    for setting, expected_message in (
        ("data.audio.rate=16000", "--set data.audio.rate: the model was trained with 8000, found 16000"),
        ("data.audio.features=mfcc", "--set data.audio.features"),
        ("encoder.width=3", "--set encoder: expected an option of the section data"),
    ):
        for verb in (("tag",), ("evaluate",), ("embed",)):
            refused = command(*verb, tmp_path / "m", tones, *set_(setting))
            assert refused.status == 2 and expected_message in refused.sentence, refused.sentence
    stereo = _wav(tmp_path / "stereo.wav", channels=2)
    assert command("tag", tmp_path / "m", stereo).status == 2
    assert command("tag", tmp_path / "m", stereo, *set_("data.audio.channels=mean")).status == 0


def test_a_finished_model_may_search_wider(command: Command, learned: Model, tones: Path, tmp_path: Path) -> None:
    Transducer(learned).save(tmp_path / "m")
    narrow, wide = (
        [json.loads(line)["log_prob"] for line in command("tag", tmp_path / "m", tones, *own).out.splitlines()]
        for own in ((), set_("head.beam=8"))
    )
    assert all(w >= n - 1e-4 for n, w in zip(narrow, wide, strict=True))
    assert command("evaluate", tmp_path / "m", tones, *set_("head.beam=8")).status == 0
    refused = command("tag", tmp_path / "m", tones, *set_("head.beam=0"))
    assert refused.status == 2 and "head.beam" in refused.sentence


def test_answers_are_not_written_over_what_is_read(
    command: Command, learned: Model, tones: Path, tmp_path: Path
) -> None:
    Transducer(learned).save(tmp_path / "m")
    copy = tmp_path / "list.jsonl"
    copy.write_text(tones.read_text())
    for verb in ("tag", "embed"):
        refused = command(verb, tmp_path / "m", copy, "--output", copy)
        assert refused.status == 2 and "this is the input file" in refused.sentence
    assert copy.read_text() == tones.read_text()
    parts = tmp_path / "parts"
    parts.mkdir()
    for name in ("seq.in", "seq.out", "label"):
        (parts / name).write_text("a b\n")
    refused = command("tag", tmp_path / "m", parts, "--output", parts / "seq.in")
    assert refused.status == 2 and "this is the input file" in refused.sentence
    assert (parts / "seq.in").read_text() == "a b\n"


def test_a_recording_is_known_by_its_content(command: Command, learned: Model, tones: Path, tmp_path: Path) -> None:
    Transducer(learned).save(tmp_path / "m")
    named = _wav(tmp_path / "sound.wav")
    bare = named.rename(tmp_path / "sound")
    assert json.loads(command("tag", tmp_path / "m", bare).out)["audio"] == str(bare)
    words = tmp_path / "words.txt"
    words.write_text("no list\n")
    refused = command("tag", tmp_path / "m", words)
    assert refused.status == 2 and "this model reads recordings, found a file of the columns format" in refused.sentence
    for content, said in ((b"fLaC\0\0\0\x22", "found a FLAC file; convert it to WAV"), (b"\n", "found an empty one")):
        words.write_bytes(content)
        refused = command("tag", tmp_path / "m", words)
        assert refused.status == 2 and said in refused.sentence
    refused = command("tag", tmp_path / "m", "--text", "seven")
    assert (
        refused.sentence == "error: --text: this model reads recordings, not texts; give a WAV file or a list of them"
    )


def test_the_format_that_was_named_in_training_is_the_models_own(command: Command, tmp_path: Path) -> None:
    bare = tmp_path / "bare.tsv"
    bare.write_text("ab\tba\nba\tab\n" * 6)
    settings = [*tiny(1), *set_("head.type=generate", "data.format=pairs")]
    assert command("train", bare, "--dev", bare, "--output", tmp_path / "m", *settings).status == 0
    done = command("tag", tmp_path / "m", bare)
    assert [json.loads(line)["source"] for line in done.out.splitlines()] == ["ab", "ba"] * 6
    done = command("tag", tmp_path / "m", "--text", "ab", "--set", "data.symbols=words")
    assert done.status == 2 and "data.symbols" in done.sentence


def test_an_autoencoder_of_pairs_cuts_texts_as_it_learned(command: Command, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("source\ttarget\n" + "ab c\tx\nba c\ty\n" * 6)
    settings = [*tiny(1), *set_("head.type=autoencode", "head.bottleneck=4")]
    assert command("train", pairs, "--dev", pairs, "--output", tmp_path / "m", *settings).status == 0
    embedder, (first, *_) = Embedder.load(tmp_path / "m"), read(pairs)
    assert np.allclose(embedder.embed_text("ab c"), embedder.embed([first])[0], atol=1e-6)
    done = command("embed", tmp_path / "m", "--text", "ab c")
    record = json.loads(done.out)
    assert record["source"] == "ab c" and np.allclose(record["vector"], embedder.embed_text("ab c"), atol=1e-4)
    records = tmp_path / "more.jsonl"
    records.write_text('{"tokens": ["a", "b"]}\n')
    assert json.loads(command("embed", tmp_path / "m", records).out)["source"] == "ab"
    for name, text in (("text.jsonl", '{"text": "ab c"}\n'), ("l.tsv", "label\ttext\nx\tab c\n"), ("t.txt", "ab c\n")):
        (tmp_path / name).write_text(text)
        words = ["--format", "text"] if name == "t.txt" else []
        done = json.loads(command("embed", tmp_path / "m", tmp_path / name, *words).out)
        assert done == record, name
    assert "2 symbols" in command("evaluate", tmp_path / "m", records).out
    assert "4 symbols" in command("evaluate", tmp_path / "m", tmp_path / "text.jsonl").out
    refused = command("embed", tmp_path / "m", pairs, "--text", "ab c")
    assert refused.status == 2 and "give one of them" in refused.sentence


def test_check_counts_recordings_and_symbols(command: Command, tones: Path) -> None:
    done = command("check", tones)
    assert done.status == 0 and "recordings         10" in done.out and "train with head.type=ctc" in done.out


def test_a_target_longer_than_its_frames_is_passed_over_and_nothing_is_lost(
    command: Command, tones: Path, tmp_path: Path
) -> None:
    records = [json.loads(line) for line in tones.read_text().splitlines()]
    for record in records:
        record["audio"] = str(tones.parent / record["audio"])
    records[0]["text"] = " ".join(["7"] * 400)
    listed = tmp_path / "list.jsonl"
    listed.write_text("".join(json.dumps(record) + "\n" for record in records))
    done = command("train", listed, "--output", tmp_path / "m", "--dev", tones, *set_(*SMALL, *HEADS["ctc"]))
    assert done.status == 0 and "1 of 10" in done.err and f"{listed}:1" in done.err
    every = tmp_path / "every.jsonl"
    every.write_text(json.dumps(records[0]) + "\n")
    refused = command("train", every, "--output", tmp_path / "n", "--dev", tones, *set_(*SMALL, *HEADS["ctc"]))
    assert refused.status == 2 and not (tmp_path / "n").exists()


def _wav(path: Path, channels: int = 1, samples: int = 4000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\1\0" * samples * channels)
    return path


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("missing", lambda path: path),
        ("empty", lambda path: path.write_bytes(b"")),
        ("text", lambda path: path.write_text("no sound\n")),
        ("cut", lambda path: path.write_bytes(_wav(path).read_bytes()[:1000])),
        ("silent", lambda path: _wav(path, samples=0)),
        ("stereo", lambda path: _wav(path, channels=2)),
    ],
)
def test_bad_audio_is_one_sentence(
    name: str, made: Callable[[Path], object], command: Command, learned: Model, tmp_path: Path
) -> None:
    sound = tmp_path / f"{name}.wav"
    made(sound)
    Transducer(learned).save(tmp_path / "model")
    done = command("tag", tmp_path / "model", sound, "--output", tmp_path / "out.jsonl")
    assert done.status == 2 and str(sound) in done.sentence and not (tmp_path / "out.jsonl").exists()
    listed = tmp_path / "list.jsonl"
    listed.write_text(json.dumps({"audio": sound.name, "text": "7"}) + "\n")
    done = command("train", listed, "--output", tmp_path / "new", *set_(*SMALL, *HEADS["ctc"]))
    assert done.status == 2 and f"{listed}:1" in done.sentence and not (tmp_path / "new").exists()


def test_symbols_that_training_lacks_are_named(command: Command, tones: Path, tmp_path: Path) -> None:
    records = [json.loads(line) for line in tones.read_text().splitlines()]
    for record in records:
        record["audio"] = str(tones.parent / record["audio"])
    records[0]["text"] += " eleven"
    listed = tmp_path / "dev.jsonl"
    listed.write_text("".join(json.dumps(record) + "\n" for record in records))
    done = command("train", tones, "--output", tmp_path / "m", "--dev", listed, *set_(*SMALL, *HEADS["ctc"]))
    assert done.status == 0 and "symbols that are not in the training data, counted as misses: eleven (1)" in done.err


def test_the_width_of_frames_is_stored_and_a_wrong_one_found(learned: Model, tmp_path: Path) -> None:
    Transducer(learned).save(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    assert config["widths"] == {"frames": 48} and config["vocabularies"] == {}
    assert load_model(tmp_path / "model").model.widths == {"frames": 48}
    config["widths"]["frames"] = 47
    path.write_text(json.dumps(config))
    with pytest.raises(ModelFileError, match=r"model\.safetensors: expected inputs\.mean"):
        load_model(tmp_path / "model")


def test_answers_are_ranked(learned: Model, tones: Path) -> None:
    transducer, example = Transducer(learned), next(read(tones, audio=learned.options.data.audio))
    found = transducer.ranked(example, 5, beam=20)
    assert len(found) == len({answer.answer for answer in found}) == 5
    sure = [answer.log_prob for answer in found]
    assert all(p is not None for p in sure)
    distribution = learned.distribution(learned.inputs.encode([example]))
    best = distribution.beam(20, 5)
    exact = [float(distribution.log_prob(path.unsqueeze(0)).detach()) for path in best.path[0]]
    answers = [learned.head.answers([path])[0] for path in best.path[0].tolist()]
    order = sorted(range(5), key=lambda n: -exact[n])
    assert [answers[n] for n in order] == [answer.answer for answer in found]
    assert sure == pytest.approx([exact[n] for n in order], abs=1e-4)
    assert transducer.ranked(example, 1)[0].log_prob >= transducer.transduce(example).log_prob - 1e-4
    for k, beam in ((0, None), (2, 0), (True, None), (3, 2), (2.0, None)):
        with pytest.raises(ConfigError, match="of at least 1, and a beam of at least k"):
            transducer.ranked(example, k, beam=beam)


def test_answers_are_ranked_by_their_exact_probabilities(monkeypatch: pytest.MonkeyPatch, learned: Model) -> None:
    """A search ranks by the paths that it kept, which need not be the order of whole probabilities."""
    example = Example({"frames": np.zeros((6, 48), np.float32)})
    straight = Transducer(learned).ranked(example, 4, beam=4)
    search = type(learned.head).ranked
    monkeypatch.setattr(type(learned.head), "ranked", lambda self, *given: [row[::-1] for row in search(self, *given)])
    assert Transducer(learned).ranked(example, 4, beam=4) == straight
    assert len({answer.log_prob for answer in straight}) == 4


def test_tokens_may_come_with_further_columns_or_in_a_mapping() -> None:
    rows = [Example({"tokens": ("a", "b"), "pos": ("x", "y")}, {"target": ("b", "a")})] * 2
    for columns in ({}, {"pos": 1}):
        options = Options.of({"head": {"type": "generate"}, "encoder": {"width": 4}, "data": {"columns": columns}})
        model = Model.prepare(options, rows, PLAIN, seed=0)
        transducer, embedder = Transducer(model), Embedder(model)
        given = {"tokens": ["a", "b"], "pos": ["x", "y"]}
        assert transducer.transduce(given).source == {"source": "ab"}
        assert transducer.transduce(given).log_prob == transducer.transduce(rows[0]).log_prob
        assert np.array_equal(embedder.embed([given]), embedder.embed(rows[:1]))
    with pytest.raises(DataError, match="sentence 1: expected a mapping with 'tokens', found token"):
        embedder.embed([{"token": ["a"]}])
    with pytest.raises(DataError, match="expected the column 'pos', which the model was trained with, found none"):
        transducer.transduce(["a", "b"])
    with pytest.raises(DataError, match="embed_text: the model needs the column 'pos' beside the tokens"):
        embedder.embed_text("ab")


def test_a_model_that_does_not_search_says_so() -> None:
    example = Example({"frames": np.ones((4, 2), np.float32)}, {"target": ("7",), "tags": ("7",) * 4})
    model = Model.prepare(Options.of({"head": {"type": "trim"}, "encoder": {"width": 3}}), [example], PLAIN, seed=0)
    with pytest.raises(ConfigError, match="has no beam search and cannot rank answers"):
        Transducer(model).ranked(example, 3)


def test_a_decoders_answers_are_ranked() -> None:
    examples = [
        Example({"tokens": tuple("ab")}, {"target": tuple("ba")}),
        Example({"tokens": ("a",)}, {"target": ("a",)}),
    ]
    model = Model.prepare(Options.of({"head": {"type": "generate"}, "encoder": {"width": 4}}), examples, PLAIN, seed=0)
    found = Transducer(model).ranked(["a", "b"], 40, beam=200)
    sure = [answer.log_prob for answer in found]
    assert len(found) == 31 == len({answer.answer for answer in found})  # every answer of up to four symbols
    assert sure == sorted(sure, reverse=True) and sum(map(math.exp, sure)) == pytest.approx(1, abs=1e-4)
