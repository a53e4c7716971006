"""Model: inputs, encoder and head, built from options."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from structseq.batch import batches
from structseq.config import EncoderOptions, Options
from structseq.data.example import Example, Modality
from structseq.data.vocabulary import Vocabulary
from structseq.dropout import LockedDropout
from structseq.encoders import ENCODERS, SelfAttention
from structseq.encoders.base import Backwards, Bidirectional, Encoder, Stack
from structseq.features.encoding import count_vocabularies
from structseq.heads import HEADS
from structseq.heads.base import Head, Tunable
from structseq.inputs import build_inputs, count_further
from structseq.inputs.tokens import PretrainedVectors
from structseq.padded import Padded
from structseq.section import resolve_class
from structseq.spans import Scheme, TagSet
from structseq.structures.base import Distribution
from structseq.tasks import Task, task_of


class Model(nn.Module):
    """Inputs, an encoder and a head, for one task. Options, vocabularies, tags, widths and weights are the whole model.

    Parameters
    ----------
    vocabularies:
        Counts of the training data, by name: ``words``, ``characters``, ``shapes``, ``affixes``, ``vectors``,
        ``column.NAME``, ``feature.NAME.OWN``, ``labels``; of those, a model of frames has ``labels`` only.
    tags:
        The tags, labels or symbols of its answers; none if answers are frames.
    widths:
        ``frames`` or ``vectors``: the length of one, if the model reads any.
    """

    def __init__(
        self,
        options: Options,
        vocabularies: Mapping[str, Vocabulary],
        tags: TagSet,
        widths: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.options, self.vocabularies, self.tags = options, dict(vocabularies), tags
        self.widths = dict(widths or {})
        kind: type[Head] = resolve_class(HEADS, options.head.type, "head.type")
        self.inputs: Any = build_inputs(options.inputs, self.vocabularies, self.widths)
        self.encoder = build_encoder(options.encoder, self.inputs.width, tags=len(tags.labels))
        frames = self.widths.get("frames", 0)
        labels = self.vocabularies["labels"].items if "labels" in self.vocabularies else ()
        self.head: Any = kind.build(
            options.head, self.encoder.width, tags, encoder=options.encoder, labels=labels, frames=frames
        )
        self.task: Task = task_of(kind)(tags, self.modality, labels=labels)

    @staticmethod
    def prepare(
        options: Options, examples: Sequence[Example], scheme: Scheme, *, seed: int, known: Vocabulary | None = None
    ) -> Model:
        """A new model for these training examples; ``seed`` alone decides its first weights.

        ``known`` adds words with their counts, for example of a model whose weights it will take.
        """
        vocabularies, widths, vectors = count_vocabularies(options.inputs, options.data.columns, examples, known)
        vocabularies |= count_further(options.inputs, vocabularies)
        task = task_of(resolve_class(HEADS, options.head.type, "head.type"))
        tags = task.inventory(examples, scheme, options)
        if (labels := task.label_inventory(examples)) is not None:
            vocabularies["labels"] = labels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Model(options, vocabularies, tags, widths)
        model.inputs.prepare(examples)
        model.head.prepare(examples)
        if vectors is not None:
            pretrained = model.inputs.features["vectors"]
            assert isinstance(pretrained, PretrainedVectors)
            pretrained.fill(vectors)
        return model

    @property
    def modality(self) -> Modality:
        """What a step of the input is: tokens or frames."""
        modality: Modality = self.inputs.modality
        return modality

    @property
    def symbols(self) -> str | None:
        """The symbols of input texts (``data.symbols``); None if a tokenizer splits them."""
        return self.task.symbols(self.options)

    @property
    def output_symbols(self) -> Sequence[str]:
        """The symbols of its answers."""
        symbols: Sequence[str] = self.head.symbols()
        return symbols

    @contextmanager
    def on_threads(self, threads: int) -> Iterator[None]:
        """Compute on this number of threads; from 2 on, the two directions of a layer run at the same time.

        Results are the same for 1 and 2 threads. Not for a model that several threads share.
        """
        layers = [module for module in self.modules() if isinstance(module, Bidirectional)]
        outside = torch.get_num_threads()
        both_ways = threads >= 2 and bool(layers)
        try:
            torch.set_num_threads(max(1, threads // 2 if both_ways else threads))
            for layer in layers:
                layer.concurrent = both_ways
            yield
        finally:
            torch.set_num_threads(outside)
            for layer in layers:
                layer.concurrent = False

    def states(self, batch: Any, table: Tensor | None = None) -> Padded:
        """(B, T, H) states of the encoder; ``table`` as in `Inputs.forward`."""
        states: Padded = self.encoder(self.inputs(batch, table))
        return states

    def distribution(self, batch: Any, table: Tensor | None = None) -> Distribution:
        """The distribution over answers for each row."""
        distribution: Distribution = self.head(self.states(batch, table))
        return distribution

    def loss(self, batch: Any, target: Tensor) -> Tensor:
        """(B,) the head's loss of each row; ``target`` from `Head.pad`."""
        return self.head.loss(self.states(batch), target)

    def predict(
        self, examples: Sequence[Example], *, sentences: int = 64, tokens: int = 4096
    ) -> Iterator[tuple[str, ...]]:
        """The best answer for each example, in order."""
        found: list[tuple[str, ...]] = [()] * len(examples)
        for rows, distribution in self.distributions(examples, sentences, tokens):
            for row, answer in zip(rows, self.head.predicted(distribution), strict=True):
                found[row] = answer
        yield from found

    def answer(
        self, examples: Sequence[Example], table: Tensor | None = None
    ) -> list[tuple[tuple[str, ...], float | None]]:
        """For each example, in order, its answer of its own length and that answer's log-probability in nats, or None
        (`SequenceHead.log_probs`); ``table`` as in `Inputs.forward`, computed if None."""
        found: list[tuple[tuple[str, ...], float | None]] = [((), None)] * len(examples)
        for rows, distribution in self.distributions(examples, table=table):
            answers = self.head.predicted(distribution)
            sure = self.head.log_probs(distribution, answers)
            for place, row in enumerate(rows):
                found[row] = (answers[place], sure[place] if sure is not None else None)
        return found

    def ranked(
        self, examples: Sequence[Example], k: int, *, width: int, table: Tensor | None = None
    ) -> list[list[tuple[tuple[str, ...], float | None]]]:
        """For each example its ``k`` best answers (`SequenceHead.ranked`), as in `answer`, ordered by log-probability:
        a search orders them by a lower bound of it."""
        found: list[list[tuple[tuple[str, ...], float | None]]] = [[] for _ in examples]
        for rows, distribution in self.distributions(examples, table=table):
            every = self.head.ranked(distribution, k, width)
            for rank in range(max(map(len, every), default=0)):
                answers = [row[rank] if rank < len(row) else () for row in every]
                sure = self.head.log_probs(distribution, answers)
                for place, row in enumerate(rows):
                    if rank < len(every[place]):
                        found[row].append((answers[place], sure[place] if sure is not None else None))
        for row in found:
            row.sort(key=lambda answer: -math.inf if answer[1] is None else answer[1], reverse=True)
        return found

    @property
    def embedding_width(self) -> int:
        """Width of the vectors of `embed`."""
        weights = next(self.encoder.parameters(), torch.zeros(0))
        with torch.inference_mode():
            one = Padded(weights.new_zeros(1, 1, self.encoder.width), torch.ones(1, dtype=torch.int64))
            return self.head.embed(one).shape[1]

    def embed(self, examples: Sequence[Example], table: Tensor | None = None) -> np.ndarray:
        """(N, width) float32: one vector for each example (`Head.embed`); ``table`` as in `answer`."""
        found: list[np.ndarray] = [np.zeros(0, np.float32)] * len(examples)
        for rows, states in self._states(examples, 64, 4096, table):
            for row, vector in zip(rows, self.head.embed(states).float().cpu().numpy(), strict=True):
                found[row] = vector
        return np.stack(found) if found else np.zeros((0, self.embedding_width), np.float32)

    def calibrate(self, examples: Sequence[Example]) -> None:
        """Fit the head's confidences on held-out ``examples`` (`Head.calibrate`)."""

        def held_out() -> Iterator[tuple[Distribution, list[Any]]]:
            for rows, distribution in self.distributions(examples):
                yield distribution, [self.head.target(examples[row]) for row in rows]

        self.head.calibrate(held_out)

    def tune(self, examples: Sequence[Example]) -> None:
        """Choose among the head's `Tunable.decisions` by the task's criterion on held-out ``examples``.

        Scores of neighbouring ways are averaged (weights 1/4, 1/2, 1/4), so that one lucky sentence does not decide.
        """
        ways = self.head.decisions() if isinstance(self.head, Tunable) else ()
        if not ways or not examples:
            return
        answers: dict[float, list[tuple[str, ...]]] = {way: [()] * len(examples) for way in ways}
        for rows, distribution in self.distributions(examples):
            for way in ways:
                self.head.decide_by(way)
                for row, answer in zip(rows, self.head.predicted(distribution), strict=True):
                    answers[way][row] = answer
        gold = [self.task.gold(example) for example in examples]
        scores = np.pad([self.task.criterion(gold, answers[way]) for way in ways], 1, mode="edge")
        smooth = np.round(scores[:-2] / 4 + scores[1:-1] / 2 + scores[2:] / 4, 6).tolist()
        # A tie goes to the way nearest to the neutral 0.
        self.head.decide_by(max(zip(smooth, ways, strict=True), key=lambda pair: (pair[0], -abs(pair[1])))[1])

    def distributions(
        self, examples: Sequence[Example], sentences: int = 64, tokens: int = 4096, table: Tensor | None = None
    ) -> Iterator[tuple[np.ndarray, Distribution]]:
        """Batches of similar length: the rows' numbers and their distribution."""
        for rows, states in self._states(examples, sentences, tokens, table):
            yield rows, self.head(states)

    def _states(
        self, examples: Sequence[Example], sentences: int, tokens: int, table: Tensor | None = None
    ) -> Iterator[tuple[np.ndarray, Padded]]:
        """Batches of similar length: the rows' numbers and their states."""
        self.eval()
        with torch.inference_mode():
            table = self.inputs.word_table() if table is None else table
            for rows in batches([len(example) for example in examples], sentences=sentences, tokens=tokens):
                yield rows, self.states(self.inputs.encode([examples[row] for row in rows]), table)


def build_encoder(options: EncoderOptions, in_width: int, *, tags: int | None = None) -> Encoder:
    """A stack of layers; ``tags`` is the value of ``encoder.outputs="tags"``."""
    kind: type[Encoder] = resolve_class(ENCODERS, options.type, "encoder.type")
    own = options.beyond(EncoderOptions)
    heads = {} if options.attention_heads is None else {"attention_heads": options.attention_heads}
    if own.get("outputs") == "tags":
        own["outputs"] = tags
    layers: list[Encoder] = []
    for depth in range(options.layers + options.attention):
        width = layers[-1].width if layers else in_width
        below = depth < options.layers
        layer = kind if below else SelfAttention
        every: dict[str, Any] = {"recurrent_dropout": options.recurrent_dropout, **(own if below else heads)}
        one = (layer.both_ways if options.bidirectional else layer)(width, options.width, **every)
        layers.append(Backwards(one) if options.backwards else one)
    return Stack(layers, LockedDropout(options.dropout))
