"""Model: inputs, encoder and head, built from options."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from structseq.batch import batch_by_length
from structseq.config import EncoderOptions, Options
from structseq.data.example import Example, Modality
from structseq.data.vocabulary import Vocabulary
from structseq.dropout import LockedDropout
from structseq.encoders import ENCODERS, SelfAttention
from structseq.encoders.base import Backwards, Bidirectional, Encoder, Stack
from structseq.features.encoding import count_vocabularies
from structseq.heads import HEADS
from structseq.heads.base import Head, Tunable
from structseq.heads.confidences import Confidences
from structseq.inputs import build_inputs, count_custom_vocabularies
from structseq.inputs.token_inputs import PretrainedVectors
from structseq.padded import Padded
from structseq.section import resolve_class
from structseq.spans import Scheme, TagSet
from structseq.structures.base import Distribution
from structseq.structures.chain import TagDistribution
from structseq.structures.triangular import TriangularChain
from structseq.tasks import Task, task_of

# The threads of OpenMP do not survive a fork, and a forked process would wait for them for ever
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

# Enough for one parameter; all their distributions are in memory at once
CALIBRATION_EXAMPLES = 2000


class Model(nn.Module):
    """Inputs, an encoder and a head for one task.

    Parameters
    ----------
    vocabularies:
        Vocabularies of the training data by name: ``words``, ``characters``, ``shapes``, ``affixes``, ``vectors``,
        ``column.NAME``, ``feature.NAME.OWN``, ``labels``; for frames, ``labels`` only.
    tags:
        The tags, labels or symbols that the model predicts.
    widths:
        Width of ``frames`` or pretrained ``vectors``, if the model reads them.
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
        head: type[Head] = resolve_class(HEADS, options.head.type, "head.type")
        self.inputs: Any = build_inputs(options.inputs, self.vocabularies, self.widths)
        self.encoder = build_encoder(options.encoder, self.inputs.width, tags=len(tags.labels))
        frames = self.widths.get("frames", 0)
        labels = self.vocabularies["labels"].items if "labels" in self.vocabularies else ()
        self.head: Any = head.build(
            options.head, self.encoder.width, tags, encoder=options.encoder, labels=labels, frames=frames
        )
        self.task: Task = task_of(head)(tags, self.modality, labels=labels)

    @staticmethod
    def prepare(
        options: Options, examples: Sequence[Example], scheme: Scheme, *, seed: int, known: Vocabulary | None = None
    ) -> Model:
        """A new model for these training examples; ``seed`` determines the initial weights.

        ``known`` adds words with counts, for example those of a pretrained model.
        """
        vocabularies, widths, vectors = count_vocabularies(options.inputs, options.data.columns, examples, known)
        vocabularies |= count_custom_vocabularies(options.inputs, vocabularies)
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
        """Tokens or frames."""
        modality: Modality = self.inputs.modality
        return modality

    @property
    def symbols(self) -> str | None:
        """How input texts are split (``data.symbols``); None if a tokenizer splits them."""
        return self.task.symbols(self.options)

    @property
    def output_symbols(self) -> Sequence[str]:
        """See `Head.symbols`."""
        symbols: Sequence[str] = self.head.symbols()
        return symbols

    @contextmanager
    def on_threads(self, threads: int) -> Iterator[None]:
        """Use this number of threads; from 2 on, the directions of a layer run concurrently.

        Results are the same for 1 and 2 threads. Not safe if several threads use the model.
        """
        layers = [module for module in self.modules() if isinstance(module, Bidirectional)]
        threads_before = torch.get_num_threads()
        concurrent = threads >= 2 and bool(layers)
        try:
            torch.set_num_threads(max(1, threads // 2 if concurrent else threads))
            for layer in layers:
                layer.concurrent = concurrent
            yield
        finally:
            torch.set_num_threads(threads_before)
            for layer in layers:
                layer.concurrent = False

    def states(self, batch: Any, table: Tensor | None = None) -> Padded:
        """(B, T, H) encoder states; ``table`` as in `Inputs.forward`."""
        states: Padded = self.encoder(self.inputs(batch, table))
        return states

    def distribution(self, batch: Any, table: Tensor | None = None) -> Distribution:
        distribution: Distribution = self.head(self.states(batch, table))
        return distribution

    def loss(self, batch: Any, target: Tensor) -> Tensor:
        """(B,) loss of each row; ``target`` from `Head.pad`."""
        return self.head.loss(self.states(batch), target)

    def predict(
        self, examples: Sequence[Example], *, sentences: int = 64, tokens: int = 4096
    ) -> Iterator[tuple[str, ...]]:
        """The best answer for each example, in order."""
        answers: list[tuple[str, ...]] = [()] * len(examples)
        for rows, distribution in self.distributions(examples, sentences, tokens):
            for row, answer in zip(rows, self.head.predicted(distribution), strict=True):
                answers[row] = answer
        yield from answers

    def predict_with_confidence(
        self, examples: Sequence[Example]
    ) -> tuple[list[tuple[str, ...]], list[tuple[float, ...]] | None]:
        """The answers of `predict`, and for each the probabilities of its spans or plain tags, those of a joint head
        after that of the label; None for other heads, and if the head is not calibrated."""
        answers: list[tuple[str, ...]] = [()] * len(examples)
        shares: list[tuple[float, ...] | None] = [()] * len(examples)
        units = Confidences(self.tags)
        for rows, distribution in self.distributions(examples):
            found = _confidences(units, distribution, self.head.decide(distribution))
            for i, (row, answer) in enumerate(zip(rows, self.head.predicted(distribution), strict=True)):
                answers[row], shares[row] = answer, found[i] if found is not None else None
        known = [share for share in shares if share is not None]
        return answers, known if len(known) == len(answers) else None

    def answer(
        self, examples: Sequence[Example], table: Tensor | None = None
    ) -> list[tuple[tuple[str, ...], float | None]]:
        """The answer of a `SequenceHead` for each example, in order, and its log-probability in nats (None if it cannot
        be computed); ``table`` as in `Inputs.forward`."""
        results: list[tuple[tuple[str, ...], float | None]] = [((), None)] * len(examples)
        for rows, distribution in self.distributions(examples, table=table):
            answers = self.head.predicted(distribution)
            log_probs = self.head.log_probs(distribution, answers)
            for i, row in enumerate(rows):
                results[row] = (answers[i], log_probs[i] if log_probs is not None else None)
        return results

    def ranked(
        self, examples: Sequence[Example], k: int, *, width: int, table: Tensor | None = None
    ) -> list[list[tuple[tuple[str, ...], float | None]]]:
        """The ``k`` best answers for each example (`SequenceHead.ranked`), as in `answer`, sorted by their exact
        log-probability."""
        results: list[list[tuple[tuple[str, ...], float | None]]] = [[] for _ in examples]
        for rows, distribution in self.distributions(examples, table=table):
            ranked = self.head.ranked(distribution, k, width)
            for rank in range(max(map(len, ranked), default=0)):
                answers = [row[rank] if rank < len(row) else () for row in ranked]
                log_probs = self.head.log_probs(distribution, answers)
                for i, row in enumerate(rows):
                    if rank < len(ranked[i]):
                        results[row].append((answers[i], log_probs[i] if log_probs is not None else None))
        for row in results:
            row.sort(key=lambda answer: -math.inf if answer[1] is None else answer[1], reverse=True)
        return results

    @property
    def embedding_width(self) -> int:
        weights = next(self.encoder.parameters(), torch.zeros(0))
        with torch.inference_mode():
            states = Padded(weights.new_zeros(1, 1, self.encoder.width), torch.ones(1, dtype=torch.int64))
            return self.head.embed(states).shape[1]

    def embed(self, examples: Sequence[Example], table: Tensor | None = None) -> np.ndarray:
        """(N, width) float32: one vector per example (`Head.embed`); ``table`` as in `answer`."""
        vectors: list[np.ndarray] = [np.zeros(0, np.float32)] * len(examples)
        for rows, states in self._states(examples, 64, 4096, table):
            for row, vector in zip(rows, self.head.embed(states).float().cpu().numpy(), strict=True):
                vectors[row] = vector
        return np.stack(vectors) if vectors else np.zeros((0, self.embedding_width), np.float32)

    def calibrate(self, examples: Sequence[Example]) -> None:
        """Call `Head.calibrate` with held-out ``examples``, or with every n-th of more than `CALIBRATION_EXAMPLES`."""
        examples = examples[:: max(1, -(-len(examples) // CALIBRATION_EXAMPLES))]

        def held_out() -> Iterator[tuple[Distribution, list[Any]]]:
            for rows, distribution in self.distributions(examples):
                yield distribution, [self.head.target(examples[row]) for row in rows]

        self.head.calibrate(held_out)

    def tune(self, examples: Sequence[Example]) -> None:
        """Choose among `Tunable.bias_candidates` by the task's criterion on held-out ``examples``.

        Scores of neighbouring candidates are averaged (weights 1/4, 1/2, 1/4) to reduce noise.
        """
        candidates = self.head.bias_candidates() if isinstance(self.head, Tunable) else ()
        if not candidates or not examples:
            return
        answers: dict[float, list[tuple[str, ...]]] = {bias: [()] * len(examples) for bias in candidates}
        for rows, distribution in self.distributions(examples):
            for bias in candidates:
                self.head.set_bias(bias)
                for row, answer in zip(rows, self.head.predicted(distribution), strict=True):
                    answers[bias][row] = answer
        gold = [self.task.gold(example) for example in examples]
        scores = np.pad([self.task.criterion(gold, answers[bias]) for bias in candidates], 1, mode="edge")
        smooth = np.round(scores[:-2] / 4 + scores[1:-1] / 2 + scores[2:] / 4, 6).tolist()
        # A tie goes to the candidate nearest to the neutral 0.
        self.head.set_bias(max(zip(smooth, candidates, strict=True), key=lambda pair: (pair[0], -abs(pair[1])))[1])

    def distributions(
        self, examples: Sequence[Example], sentences: int = 64, tokens: int = 4096, table: Tensor | None = None
    ) -> Iterator[tuple[np.ndarray, Distribution]]:
        """Batches of similar length: row numbers and their distribution."""
        for rows, states in self._states(examples, sentences, tokens, table):
            yield rows, self.head(states)

    def _states(
        self, examples: Sequence[Example], sentences: int, tokens: int, table: Tensor | None = None
    ) -> Iterator[tuple[np.ndarray, Padded]]:
        self.eval()
        with torch.inference_mode():
            table = self.inputs.word_table() if table is None else table
            for rows in batch_by_length([len(example) for example in examples], sentences=sentences, tokens=tokens):
                yield rows, self.states(self.inputs.encode([examples[row] for row in rows]), table)


def _confidences(units: Confidences, distribution: Distribution, paths: Tensor) -> list[tuple[float, ...]] | None:
    if not distribution.calibrated:
        return None
    if isinstance(distribution, TriangularChain):
        labels = distribution.label_marginals().double().gather(1, paths[:, :1]).squeeze(1).tolist()
        own = units.of(distribution, paths[:, 1:].cpu().numpy())
        return [(label, *shares) for label, shares in zip(labels, own, strict=True)]
    return units.of(distribution, paths.cpu().numpy()) if isinstance(distribution, TagDistribution) else None


def build_encoder(options: EncoderOptions, in_width: int, *, tags: int | None = None) -> Encoder:
    """The stack of layers; ``tags`` is the width for ``encoder.outputs="tags"``."""
    encoder: type[Encoder] = resolve_class(ENCODERS, options.type, "encoder.type")
    encoder_options = options.options_beyond(EncoderOptions)
    if encoder_options.get("outputs") == "tags":
        encoder_options["outputs"] = tags
    attention_options = {} if options.attention_heads is None else {"attention_heads": options.attention_heads}
    layers: list[Encoder] = []
    for depth in range(options.layers + options.attention):
        width = layers[-1].width if layers else in_width
        kind, own = (encoder, encoder_options) if depth < options.layers else (SelfAttention, attention_options)
        build: Any = kind.bidirectional if options.bidirectional else kind
        layer = build(width, options.width, recurrent_dropout=options.recurrent_dropout, **own)
        layers.append(Backwards(layer) if options.backwards else layer)
    return Stack(layers, LockedDropout(options.dropout))
