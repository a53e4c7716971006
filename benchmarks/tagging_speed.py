"""Tokens a second from lists of strings to tags: structseq, the bare LSTM inside it, the tutorial model, CRFsuite.

    python benchmarks/tagging_speed.py FOLDER [--model MODEL]

Words 100, characters 50, one bidirectional layer of 200 each way, CRF (or the model given); the test set; one thread,
all in turns in one process. The bare LSTM is torch's `nn.LSTM` alone on ready tensors: what would remain if all else
cost nothing. It is run on batches of the shapes that structseq's tagger makes, and on batches of 32 sentences of
similar length. CRFsuite's time includes its feature extraction. The machine must be quiet.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded

import console
import numpy as np
import torch
from crfsuite import CrfSuite
from folder import read_folder
from passes import speed_options
from table import markdown, write_json
from timing import circumstances, interleave, spread
from torch import nn
from tutorial import Tutorial
from widths import BATCH

from structseq.batch import batch_by_length
from structseq.data.reading import Corpus
from structseq.inference import Tagger
from structseq.inference.batch_tagger import even_batches
from structseq.model import Model
from structseq.spans import detect
from structseq.training import train

Sentences = Sequence[Sequence[str]]
Shape = tuple[int, int]  # rows, steps

PLAIN = "structseq, confidences off"
SURE = "structseq, confidences on"
BARE = "bare LSTM, structseq's batches"
BARE_32 = f"bare LSTM, batches of {BATCH} by length"
TUTORIAL = "tutorial model"
CRFSUITE = "CRFsuite with its features"


def main() -> None:
    arguments = parser().parse_args()
    torch.set_num_threads(1)
    corpus = read_folder(arguments.folder, sentences=arguments.sentences)
    tagger = Tagger.load(arguments.model) if arguments.model else trained(corpus, arguments.passes, arguments.set)
    sentences = [list(example.tokens) for example in corpus.test] * arguments.times
    tokens = sum(map(len, sentences))
    seconds = interleave(rivals(tagger, corpus, sentences, arguments.iterations), repeats=arguments.repeats)
    speeds = {name: tokens / statistics.median(own) for name, own in seconds.items()}
    print(markdown(["tagging", "tokens/s", "of the bare LSTM", "of CRFsuite", "range, s"], table(speeds, seconds)))
    write_json(arguments.json, {"seconds": seconds, "tokens": tokens, "tokens_per_second": speeds, **circumstances()})


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, repeats=9)
    parser.add_argument("--model", type=Path, metavar="DIR", help="a model folder; else one is trained for --passes")
    parser.add_argument("--passes", type=int, default=2, metavar="N", help="training passes of structseq's model")
    parser.add_argument("--iterations", type=int, default=30, metavar="N", help="of CRFsuite's training")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="tag the test set N times in a turn")
    return parser


def trained(corpus: Corpus, passes: int, settings: Sequence[str]) -> Tagger:
    """A tagger after ``passes`` over the training data: little trained, but not on random weights."""
    options = speed_options([*settings, f"training.epochs={passes}"])
    model = Model.prepare(options, corpus.train, detect(example.tags for example in corpus.train), seed=0)
    for progress in train(model, Corpus(corpus.train), options.training, seed=0):
        if progress.ends_epoch:
            print(f"training: pass {progress.epoch} of {passes}, loss {progress.loss:.3f}", file=sys.stderr, flush=True)
    return Tagger(model, tokenizer=options.data.tokenizer)


def rivals(tagger: Tagger, corpus: Corpus, sentences: Sentences, iterations: int) -> dict[str, Callable[[], object]]:
    """All that is timed, by name; each tags every sentence once."""
    learned = [example.tokens for example in corpus.train], [example.tags for example in corpus.train]
    tutorial = Tutorial(*learned)  # as first drawn: neither the network's speed nor Viterbi's depends on the weights
    print("training CRFsuite", file=sys.stderr, flush=True)
    crfsuite = CrfSuite(*learned, iterations=iterations)
    lengths = [len(sentence) for sentence in sentences]
    groups = batch_by_length(lengths, sentences=BATCH, tokens=sum(lengths))
    similar = [(len(rows), max(lengths[row] for row in rows)) for rows in groups]
    return {
        PLAIN: lambda: tags(tagger, sentences),
        SURE: lambda: confidences(tagger, sentences),
        BARE: bare_lstm(tagger.model, shapes(sentences)),
        BARE_32: bare_lstm(tagger.model, similar),
        TUTORIAL: lambda: tutorial.tag(sentences),
        CRFSUITE: lambda: crfsuite.tag(sentences),
    }


def tags(tagger: Tagger, sentences: Sentences) -> list[tuple[str, ...]]:
    """Each sentence's tags: as much as the rivals answer."""
    return [tagging.tags for tagging in tagger.tag_many(sentences, confidence=False)]


def confidences(tagger: Tagger, sentences: Sentences) -> list[tuple[object, ...]]:
    """Each sentence's tags, its spans, and the probability of each (of each tag, where tags are plain)."""
    return [(found.tags, found.spans, found.confidence) for found in tagger.tag_many(sentences, confidence=True)]


def shapes(sentences: Sentences) -> list[Shape]:
    """Rows and steps of every batch that the tagger makes of these sentences, in one window."""
    lengths = np.array([len(sentence) for sentence in sentences])
    seen = [(len(rows), int(lengths[rows].max())) for rows in even_batches(lengths)]
    real, padded = int(lengths.sum()), sum(rows * steps for rows, steps in seen)
    print(f"structseq's batches: {len(seen)}, {padded - real} of {padded} steps are padding", file=sys.stderr)
    return seen


def bare_lstm(model: Model, shapes: Sequence[Shape]) -> Callable[[], object]:
    """torch's LSTM of the model's own widths over ready tensors of these shapes, padding and all, nothing else."""
    encoder = model.options.encoder
    lstm = nn.LSTM(
        model.inputs.width, encoder.width, encoder.layers, batch_first=True, bidirectional=encoder.bidirectional
    ).eval()
    ready = [torch.randn(rows, steps, model.inputs.width) for rows, steps in shapes]

    def run() -> None:
        with torch.inference_mode():
            for batch in ready:
                lstm(batch)

    return run


def table(speeds: dict[str, float], seconds: dict[str, list[float]]) -> list[list[Any]]:
    return [
        [name, f"{speed:,.0f}", f"{speed / speeds[BARE]:.0%}", f"{speed / speeds[CRFSUITE]:.2f}", spread(seconds[name])]
        for name, speed in speeds.items()
    ]


if __name__ == "__main__":
    sys.exit(console.run(main))
