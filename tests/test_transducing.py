"""Answers that are sequences of their own, from training to the command line: recordings by CTC, trimming, a loop of
words; vectors of anything."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commandline import Done, call

from structseq import Corpus, Embedder, Tagger, Transducer, read
from structseq.config import Options
from structseq.data.example import Example
from structseq.errors import ConfigError, DataError
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


def test_frames_may_be_tagged_too(command: Command, tones: Path, tmp_path: Path) -> None:
    done = command("train", tones, "--dev", tones, "--output", tmp_path / "m", *set_(*SMALL, "head.type=softmax"))
    assert done.status == 0 and "accuracy" in done.out
    refused = command("tag", tmp_path / "m", tones)
    assert refused.status == 2 and "reads frames" in refused.sentence


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
    assert done.status == 0 and "symbols that training does not have, counted as misses: eleven (1)" in done.err


def test_a_damaged_width_of_frames_is_told(learned: Model, tmp_path: Path) -> None:
    Transducer(learned).save(tmp_path / "model")
    width = next((tmp_path / "model" / "vocabulary").glob("frames*"))
    assert width.read_text().split() == ["48", "0"]
    assert load_model(tmp_path / "model").model.reads == "frames"
