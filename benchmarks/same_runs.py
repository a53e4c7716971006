"""What `same_weights.py` trains: small runs through every encoder, head and kind of input, and their corpora."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

# Sentences of the training and dev files
FLIGHTS, TRIPS = (400, 100), (60, 20)
STRINGS, HELD_OUT = 24, 6
DATES = ("--train", "300", "--dev", "40", "--test", "1")
VECTOR_WIDTH = 10
RECIPE = f"{FLIGHTS} {TRIPS} {STRINGS} {HELD_OUT} {DATES} {VECTOR_WIDTH}"

FILES = {
    "trips": ("train.conll", "dev.conll"),
    "dates": ("train.tsv", "dev.tsv"),
    "tones": ("train.jsonl", "dev.jsonl"),
}
LARGE_FILES = FILES["trips"]

SMALL_INPUTS = (
    "inputs.words.width=10",
    "inputs.characters.width=8",
    "inputs.characters.embedding=6",
    "inputs.affixes.shape=4",
    "inputs.affixes.width=4",
)
QUICK = ("training.batch_sentences=8", "training.learning_rate=0.02")
SMALL = (*SMALL_INPUTS, "encoder.width=12", *QUICK)
FRAMES = ("data.audio.stride=3", "encoder.width=20", *QUICK)
SYMBOLS = (
    "inputs.words.width=16",
    "inputs.characters.width=0",
    "inputs.affixes.width=0",
    "inputs.affixes.shape=0",
    "encoder.width=16",
    "head.decoder=16",
    "head.embedding=8",
    *QUICK,
)
HYBRID = ("head.type=words", "data.audio.states=3", "data.audio.silence=sil")
VECTOR = ("evaluate", "embed")


@dataclass(frozen=True)
class Run:
    """A model to train, and what it is asked afterwards.

    Attributes
    ----------
    name, corpus:
        ``corpus`` is a folder of the data; ``large`` is the one that `--data` may name.
    epochs, settings:
        Options of ``train``.
    asks:
        Commands that answer: ``evaluate``, ``tag``, ``embed``.
    init:
        A run before this one, whose model it begins with.
    dev:
        Whether there is a dev file in training; without it a share of the training data is held out.
    """

    name: str
    corpus: str
    settings: tuple[str, ...] = ()
    epochs: int = 3
    asks: tuple[str, ...] = ("evaluate", "tag")
    init: str | None = None
    dev: bool = True

    def commands(self, large: str) -> list[list[str]]:
        """Its command lines, for a folder that holds ``data``; ``large`` is the name of the large corpus."""
        train, dev = (f"data/{part}" for part in self._files(large))
        model = f"{self.name}/model"
        own = ["training.threads=1", f"training.epochs={self.epochs}", *self.settings]
        start = ["--init-from", f"{self.init}/model"] if self.init else []
        choose = ["--dev", dev] if self.dev else []
        learn = ["train", train, *choose, "--output", model, "--seed", "0", "--quiet", *start]
        return [learn + [word for setting in own for word in ("--set", setting)], *self._questions(model, dev)]

    def _files(self, large: str) -> list[str]:
        corpus, files = (large, LARGE_FILES) if self.corpus == "large" else (self.corpus, FILES[self.corpus])
        return [f"{corpus}/{file}" for file in files]

    def _questions(self, model: str, dev: str) -> list[list[str]]:
        outputs = {
            "evaluate": ["--json", f"{self.name}/evaluate.json"],
            "tag": ["--output", f"{self.name}/tag.txt"],
            "embed": ["--output", f"{self.name}/embed.npy"],
        }
        return [[ask, model, dev, *outputs[ask]] for ask in self.asks]


def of_trips(name: str, *settings: str, **more: Any) -> Run:
    return Run(name, "trips", (*SMALL, *settings), **more)


def of_tones(name: str, *settings: str, **more: Any) -> Run:
    return Run(name, "tones", (*FRAMES, *settings), **more)


def of_dates(name: str, *settings: str) -> Run:
    return Run(name, "dates", (*SYMBOLS, "head.type=generate", *settings))


RUNS = (
    Run("tagging", "large", epochs=2),
    Run("joint", "large", ("head.type=joint", "data.label=intent"), epochs=1),
    Run("classify", "large", ("head.type=classify", "data.label=intent"), 1, ("evaluate", "tag", "embed")),
    of_tones("ctc", "head.type=ctc"),
    of_tones("ctc_beam", "head.type=ctc", "head.beam=4", "inputs.frames.convolution=8", "inputs.frames.mask_time=4",
             "inputs.frames.mask_features=4", "data.audio.features=mfcc", "data.audio.centre=true"),
    of_tones("trim", "head.type=trim"),
    of_tones("words", *HYBRID),
    of_tones("frames_crf", "head.type=crf", "data.audio.silence=sil", asks=("evaluate",)),
    of_tones("autoencode_frames", "head.type=autoencode", "head.bottleneck=8", asks=VECTOR),
    of_dates("generate"),
    of_dates("generate_additive", "head.attention=additive", "head.beam=3"),
    of_dates("generate_dot", "head.attention=dot", "head.dropout=0.2", "training.mixed_precision=false"),
    of_trips("autoencode", "head.type=autoencode", "head.bottleneck=8", asks=VECTOR),
    of_trips("init_from", init="autoencode"),
    of_trips("elman", "encoder.type=elman", "encoder.activation=relu", "training.clip_by=value"),
    of_trips("jordan", "encoder.type=jordan", "encoder.outputs=7", "encoder.activation=logistic"),
    of_trips("lstm_peephole", "encoder.type=lstm_peephole", "encoder.activation=linear"),
    of_trips("gru", "encoder.type=gru", "encoder.layers=2"),
    of_trips("clockwork", "encoder.type=clockwork", "encoder.periods=[1,2,4]"),
    of_trips("scrn", "encoder.type=scrn", "encoder.context=5", "encoder.context_decay=0.9"),
    of_trips("attention", "encoder.type=attention", "encoder.attention_heads=3", "encoder.bidirectional=false"),
    of_trips("attention_on_top", "encoder.attention=1", "encoder.attention_heads=4"),
    of_trips("backwards", "encoder.bidirectional=false", "encoder.backwards=true", "inputs.word_dropout=0.1"),
    of_trips("held_out", "training.validation_fraction=0.2", dev=False),
    of_trips("softmax", "head.type=softmax", "head.scheme=BIOES"),
    of_trips("perceptron", "head.type=perceptron", "training.average=mean"),
    of_trips("svm", "head.type=svm", 'head.costs={"destination"=2.0,"O"=0.5}'),
    of_trips("hmm", "head.type=hmm"),
    of_trips("crf_costs", 'head.costs={"departure"=3.0}', "training.average=none"),
    of_trips("no_projection", "encoder.type=jordan", "encoder.outputs=tags", "encoder.bidirectional=false",
             "head.projection=none"),
    of_trips("columns", "data.columns.shape=1", "inputs.column_width=5", "inputs.words.min_count=2"),
    of_trips("vectors", "inputs.words.vectors=data/vectors.txt",
             "inputs.words.tune_vectors=true"),
    of_trips("joint_costs", "head.type=joint", "data.label=intent", "head.pooling=max", 'head.costs={"O"=0.5}'),
    of_trips("classify_last", "head.type=classify", "data.label=intent", "head.pooling=last"),
)  # fmt: skip


def make_corpora(folder: Path, checkout: Path) -> None:
    """The small corpora, by the scripts and files of ``checkout``."""
    english = checkout / "corpora" / "flights" / "en"
    for name, sizes, column in (("flights", FLIGHTS, False), ("trips", TRIPS, True)):
        for part, size in zip(("train", "dev"), sizes, strict=True):
            text = first_sentences(english / f"{part}.conll", size)
            write(folder / name / f"{part}.conll", with_column(text) if column else text)
    words = sorted({line.split("\t")[0] for line in read(folder / "trips" / "train.conll") if "\t" in line})
    write(folder / "vectors.txt", "".join(f"{word} {numbers(word)}\n" for word in words[::2]))
    generate = [str(checkout / "corpora" / "words" / "generate.py"), "dates", "--output", str(folder / "dates")]
    script(*generate, *DATES)
    tones = folder / "tones"
    script(str(checkout / "corpora" / "digits" / "generate.py"), "--output", str(tones), "--strings", str(STRINGS))
    strings = read(tones / "digits.jsonl")
    for name, lines in (("train", strings[HELD_OUT:]), ("dev", strings[:HELD_OUT])):
        write(tones / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))


def script(*command: str) -> None:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr.strip()}")


def read(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def first_sentences(path: Path, count: int) -> str:
    return "\n\n".join(path.read_text(encoding="utf-8").split("\n\n")[:count]) + "\n"


def with_column(text: str) -> str:
    """A column more between token and tag: whether the token is written in capitals, digits or otherwise."""
    rows = [line.split("\t") for line in text.split("\n")]
    return "\n".join(row[0] if len(row) == 1 else f"{row[0]}\t{kind(row[0])}\t{row[1]}" for row in rows)


def kind(token: str) -> str:
    return "capital" if token[:1].isupper() else "digit" if token[:1].isdigit() else "other"


def numbers(word: str) -> str:
    """A vector for a word, the same on every machine."""
    return " ".join(f"{byte / 256 - 0.5:.4f}" for byte in sha256(word.encode()).digest()[:VECTOR_WIDTH])


def fingerprint(run: Run, large: str, files: Sequence[Path]) -> str:
    """What the result of a run depends on, beside the revision: its commands, and the data where they are not ours."""
    digests = [sha256(path.read_bytes()).hexdigest() for path in files if run.corpus == "large"]
    commands = [each.commands(large) for each in RUNS if each.name in (run.name, run.init)]
    return json.dumps([commands, RECIPE, digests])
