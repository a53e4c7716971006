"""An Elman network learns with and without clipping: by plain gradient descent, and by structseq's own training.

Pascanu, Mikolov and Bengio (2013, section 3.2) clip the norm; clipping each value is Mikolov's older way (2012).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cliffs_latch as latch
import numpy as np
import torch
from folder import read_folder
from torch import Tensor, nn
from torch.nn import functional

from structseq.config import Options, parse_settings
from structseq.data.reading import Corpus
from structseq.encoders import ENCODERS
from structseq.errors import TrainingError
from structseq.model import Model
from structseq.padded import Padded
from structseq.spans import detect
from structseq.training import train

WIDTH = 50
ROWS = 20


@dataclass(frozen=True)
class Clipping:
    """A way of clipping: ``by`` "norm" or "value", at ``bound``; 0 is none.

    >>> Clipping("norm", 1.0).name, Clipping("norm", 0.0).name
    ('norm 1', 'none')
    """

    by: str
    bound: float

    @property
    def name(self) -> str:
        return f"{self.by} {self.bound:g}" if self.bound else "none"

    def apply(self, parameters: Iterable[nn.Parameter]) -> None:
        if self.bound and self.by == "norm":
            nn.utils.clip_grad_norm_(parameters, self.bound)
        elif self.bound:
            nn.utils.clip_grad_value_(parameters, self.bound)


@dataclass(frozen=True)
class Curve:
    """A training run, update by update, up to the last loss that was a number.

    Attributes
    ----------
    losses:
        Nats an answer (a token, for structseq's own training), before the update.
    norms:
        The gradient's norm before clipping.
    right:
        Share of right answers, 0..1, of each update; of structseq's own training the dev score after each epoch, and
        losses and norms leave out the update that ends an epoch, whose own loss is not told.
    """

    losses: np.ndarray
    norms: np.ndarray
    right: np.ndarray

    def worst(self, *, after: int = 50, window: int = 20) -> float:
        """The highest mean loss of ``window`` updates in a row, the first ``after`` left out."""
        kept = self.losses[after:]
        return float(np.convolve(kept, np.ones(window) / window, mode="valid").max()) if len(kept) >= window else np.inf

    def last(self, window: int = 50) -> float:
        """The mean loss of the last ``window`` updates."""
        return float(self.losses[-window:].mean())


class Reader(nn.Module):
    """An encoder of ENCODERS over one-hot words, and a linear layer that answers."""

    def __init__(self, kind: str, width: int = WIDTH) -> None:
        super().__init__()
        self.encoder = ENCODERS[kind](len(latch.WORDS), width)
        self.answer = nn.Linear(self.encoder.width, 2)

    def states(self, words: Tensor) -> Tensor:
        """(B, T, H) for words (B, T)."""
        inputs = functional.one_hot(words, len(latch.WORDS)).to(self.answer.weight.dtype)
        states: Tensor = self.encoder(Padded(inputs, torch.full((len(words),), words.shape[1]))).values
        return states

    def forward(self, words: Tensor) -> Tensor:
        """(B, 2, T) scores of the answers."""
        scores: Tensor = self.answer(self.states(words))
        return scores.transpose(1, 2)


def learn(
    kind: str, *, rate: float, clipping: Clipping, seed: int, updates: int, optimiser: str = "sgd"
) -> tuple[Reader, Curve]:
    """A `Reader` trained on fresh rows of the latch; stops early where the loss is no number any more.

    Parameters
    ----------
    optimiser:
        ``sgd``, plain, without momentum; or ``adam``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = Reader(kind)
    generator = torch.Generator().manual_seed(seed)
    step = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimiser](reader.parameters(), lr=rate)
    found = []
    for _ in range(updates):
        words, answers = latch.draw(ROWS, generator)
        scores = reader(words)
        loss = functional.cross_entropy(scores, answers, ignore_index=latch.UNASKED)
        step.zero_grad()
        loss.backward()
        gradients = [p.grad for p in reader.parameters() if p.grad is not None]
        norm = float(torch.linalg.vector_norm(torch.cat([gradient.flatten() for gradient in gradients])))
        if not (np.isfinite(loss.item()) and np.isfinite(norm)):
            break
        asked = answers != latch.UNASKED
        found.append((loss.item(), norm, float((scores.argmax(1) == answers)[asked].float().mean())))
        clipping.apply(reader.parameters())
        step.step()
    return reader, Curve(*np.array(found).reshape(-1, 3).T)


# Nothing random but the first weights and the order, nothing averaged, one rate throughout: the curve of the bare
# network.
BARE = (
    "encoder.type=elman",
    f"encoder.width={WIDTH}",
    "encoder.bidirectional=false",
    "encoder.dropout=0",
    "encoder.recurrent_dropout=0",
    "inputs.dropout=0",
    "inputs.words.width=8",
    "inputs.words.unknown_rate=0",
    "inputs.characters.width=0",
    "inputs.affixes.width=0",
    "inputs.affixes.shape=0",
    "head.type=softmax",
    f"training.batch_sentences={ROWS}",
    "training.warmup=0",
    "training.final_rate=1",
    "training.weight_decay=0",
    "training.average=none",
    "training.patience=100",
    "training.threads=1",
    "training.device=cpu",
)


def learn_by_adamw(*, rate: float, clipping: Clipping, seed: int, epochs: int) -> Curve:
    """structseq's own training (AdamW) of an Elman network on 1,000 rows of the latch as tagged sentences."""
    corpus = Corpus(latch.examples(1000, 0), latch.examples(100, 1))
    return run(corpus, (*BARE, f"training.epochs={epochs}"), rate=rate, clipping=clipping, seed=seed)


def learn_flights(folder: Path, *, rate: float, clipping: Clipping, seed: int, epochs: int, sentences: int) -> Curve:
    """The default recipe with an Elman network and a CRF on a folder's first sentences."""
    corpus = read_folder(folder, sentences=sentences)
    settings = ("encoder.type=elman", "training.threads=1", "training.device=cpu", f"training.epochs={epochs}")
    return run(corpus, settings, rate=rate, clipping=clipping, seed=seed)


def run(corpus: Corpus, settings: Iterable[str], *, rate: float, clipping: Clipping, seed: int) -> Curve:
    """The curve of structseq's training with ``settings``, the rate and the clipping."""
    told = (f"training.learning_rate={rate}", f"training.clip={clipping.bound}", f"training.clip_by={clipping.by}")
    options = Options.of(parse_settings([*settings, *told]))
    model = Model.prepare(options, corpus.train, detect(example.tags for example in corpus.train), seed=seed)
    losses, norms, right = [], [], []
    try:
        for progress in train(model, corpus, options.training, seed=seed):
            if progress.ends_epoch:  # its loss is the epoch's mean, not this update's
                right.append(progress.dev_score or 0.0)
            else:
                losses.append(progress.loss)
                norms.append(progress.gradient_norm)
    except TrainingError:  # the loss is no number any more
        pass
    return Curve(np.array(losses), np.array(norms), np.array(right))
