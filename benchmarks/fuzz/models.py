"""Model folders so small that loading one takes milliseconds, one for each kind of head and encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from structseq.config import Options
from structseq.data.example import Example
from structseq.errors import StructseqError
from structseq.model import Model
from structseq.spans import scheme_of
from structseq.storage import model_files
from structseq.structures.chain import LinearChain

Files = dict[str, bytes]

TINY: dict[str, Any] = {
    "inputs": {
        "words": {"width": 4},
        "characters": {"width": 4, "embedding": 3},
        "affixes": {"shape": 2, "width": 2, "min_count": 1},
    },
    "encoder": {"width": 4},
    "training": {"threads": 1},
}

KINDS: Mapping[str, dict[str, Any]] = {
    "crf": {},
    "two layers, attention": {"encoder": {"layers": 2, "attention": 1, "attention_heads": 2}},
    "BIOES": {"head": {"type": "crf", "scheme": "BIOES"}},
    "softmax": {"head": {"type": "softmax"}, "encoder": {"type": "gru"}},
    "hmm": {"head": {"type": "hmm"}, "encoder": {"type": "elman"}},
    "svm": {"head": {"type": "svm"}, "encoder": {"type": "lstm_peephole"}},
    "segments": {"head": {"type": "segments"}},
    "self-attention": {"encoder": {"type": "attention", "attention_heads": 2}},
    "clockwork": {"encoder": {"type": "clockwork"}},
    "scrn": {"encoder": {"type": "scrn"}},
    "jordan": {"encoder": {"type": "jordan", "bidirectional": False}},
    "columns": {"data": {"columns": {"pos": 1}}},
    "classify": {"head": {"type": "classify"}},
    "joint": {"head": {"type": "joint"}},
    "generate": {"head": {"type": "generate"}},
    "autoencode": {"head": {"type": "autoencode"}},
    "language model": {"head": {"type": "language_model"}, "encoder": {"bidirectional": False}},
    "frames": {"head": {"type": "softmax"}},
    "ctc": {"head": {"type": "ctc"}},
}


def folders() -> Iterator[tuple[str, Files]]:
    """The files of each model, by its kind."""
    for name, options in KINDS.items():
        examples = _frames() if name in ("frames", "ctc") else _sentences()
        try:
            scheme = scheme_of("plain" if name in ("frames", "ctc") else "BIO")
            model = Model.prepare(Options.of(TINY, options), examples, scheme, seed=0)
        except StructseqError as problem:
            raise SystemExit(f"{name}: {problem}") from None
        entities = [("Taipei", "city")]
        yield name, model_files(model, tokenizer="words-1", metrics={"dev": {"f1": 0.5}}, entities=entities)


def _sentences() -> list[Example]:
    made = []
    for city in ("Taipei", "Rome", "Oslo"):
        inputs = {"tokens": ("to", city, "on", "May", "2nd"), "pos": ("P", "N", "P", "N", "N")}
        tags = ("O", "B-city", "O", "B-day", "I-day")
        made.append(Example(inputs, {"tags": tags, "label": "book", "target": ("a", "b")}, metadata={"label": "book"}))
    return made


def _frames() -> list[Example]:
    frames = [[0.5, 0.1, -0.3], [0.2, 0.0, 0.9], [0.1, 0.1, 0.1], [0.0, 1.0, 0.0]]
    tagged = Example.of_frames(frames, ["a", "a", "b", "b"])
    return [Example(tagged.inputs, {**tagged.targets, "target": ("a", "b")})] * 2


def compile_kernels() -> None:
    """Compiles those for scores that no linear scale holds, which only damaged weights have; it takes seconds."""
    for number in (1e4, 1e30, float("nan")):
        scores, moves, start, end = (torch.tensor(values).mul(number).requires_grad_() for values in _PARTS)
        chain = LinearChain(scores, moves, start, end, torch.tensor([3, 1]))
        path = chain.best().path
        (chain.log_prob(path) + chain.score(path) + chain.log_partition()).sum().backward()
        chain.edge_marginals()


# Scores, transitions, start and end of two sentences
_PARTS = ([[[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]]] * 2, [[-1.0, 1.0], [1.0, -1.0]], [1.0, -1.0], [-1.0, 1.0])
