"""Autoencoding: a decoder reconstructs a sequence from one vector.

Text: Dai and Le 2015, "Semi-supervised sequence learning". Speech: Chung et al. 2016, "Audio Word2Vec".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from structseq.config import HeadOptions
from structseq.data.example import Example
from structseq.data.vocabulary import Axis, axis_names
from structseq.errors import ConfigError
from structseq.features.frame_features import FeatureStats
from structseq.heads.base import SequenceHead, full_precision
from structseq.heads.classifying import Pooling
from structseq.padded import Padded
from structseq.section import Count
from structseq.spans.tagset import TagSet
from structseq.structures.base import Distribution, Ranked
from structseq.structures.steps import END, State, Steps


class Normals(Distribution):
    """Independent normal distributions of variance 1 over frames, with means (B, T, F) and lengths (B,).

    log p(x) = -1/2 sum_t sum_f ((x_tf - mean_tf)^2 + log 2 pi)
    """

    def __init__(self, mean: Tensor, lengths: Tensor) -> None:
        self.mean, self.lengths = mean, lengths

    def log_prob(self, target: Tensor) -> Tensor:
        real = Padded(self.mean, self.lengths).mask().unsqueeze(2)
        squares = torch.where(real, target - self.mean, 0.0).square() + math.log(2 * math.pi) * real
        return -squares.sum((1, 2)) / 2

    def best(self) -> Ranked:
        return Ranked(self.mean, self.log_prob(self.mean))


class TokenDecoder(nn.Module):
    """Generates symbols; each step reads the vector and the previous symbol.

    ``choices`` is K + 1: number 0 is the end and, as an input, the start. ``word_dropout``: the probability of hiding
    the previous symbol in training (Bowman et al. 2016, "Generating sentences from a continuous space", section 3.1).
    """

    def __init__(self, choices: int, *, vector: int, width: int, embedding: int, word_dropout: float) -> None:
        super().__init__()
        self.choices, self.word_dropout = choices, word_dropout
        self.embedding = nn.Embedding(choices, embedding)
        self.first = nn.Linear(vector, 2 * width)
        self.lstm = nn.LSTM(embedding + vector, width, batch_first=True)
        self.score = nn.Linear(width, choices)

    def run(self, symbols: Tensor, vector: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, State]:
        """Log-probabilities (N, U, K + 1) after each of ``symbols`` (N, U), and the state (hidden, cell, vector)."""
        previous = self.embedding(symbols)
        if self.training and self.word_dropout:
            kept = torch.rand(previous.shape[:2], device=previous.device) >= self.word_dropout
            previous = previous * kept.unsqueeze(2)
        vectors = vector.unsqueeze(1).expand(-1, symbols.shape[1], -1)
        outputs, (hidden, cell) = self.lstm(torch.cat([previous, vectors], 2), tuple(s.unsqueeze(0) for s in state))
        return full_precision(self.score(outputs)).log_softmax(-1), (hidden[0], cell[0], vector)


class TokenStepper:
    """`TokenDecoder` as a `Stepper` for vectors (B, D)."""

    def __init__(self, decoder: TokenDecoder, vectors: Tensor) -> None:
        self.decoder, self.vectors = decoder, vectors
        self.rows, self.choices = len(vectors), decoder.choices

    def _initial(self) -> tuple[Tensor, Tensor]:
        hidden, cell = torch.tanh(self.decoder.first(self.vectors)).chunk(2, 1)
        return hidden.contiguous(), cell.contiguous()

    def initial(self) -> tuple[Tensor, State]:
        symbols = torch.full((self.rows, 1), END, device=self.vectors.device)
        logits, state = self.decoder.run(symbols, self.vectors, self._initial())
        return logits[:, 0], state

    def step(self, symbols: Tensor, rows: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, cell, vector = state
        logits, state = self.decoder.run(symbols.unsqueeze(1), vector, (hidden, cell))
        return logits[:, 0], state

    def teacher_forced(self, target: Tensor) -> Tensor:
        symbols = nn.functional.pad(target, (1, 0)).to(self.vectors.device)
        return self.decoder.run(symbols, self.vectors, self._initial())[0]


class FrameDecoder(nn.Module):
    """Generates frames; each step reads the vector, its relative position and the length."""

    def __init__(self, frames: int, *, vector: int, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(vector + 2, width, batch_first=True)
        self.frame = nn.Linear(width, frames)

    def forward(self, vectors: Tensor, lengths: Tensor, steps: int) -> Tensor:
        """(B, ``steps``, F) from vectors (B, D)."""
        if not steps or not len(vectors):
            return vectors.new_zeros(len(vectors), steps, self.frame.out_features)
        with torch.autocast(vectors.device.type, enabled=False):  # bfloat16 is too coarse for positions
            vectors = vectors.to(self.frame.weight)
            sizes = lengths.to(vectors).clamp(min=1).view(-1, 1, 1)
            position = torch.arange(steps, device=vectors.device).to(vectors).view(1, -1, 1) / sizes
            position = torch.cat([position, sizes.log().expand(-1, steps, -1)], 2)
            return self.frame(self.lstm(torch.cat([vectors.unsqueeze(1).expand(-1, steps, -1), position], 2))[0])


class AutoencodeHead(SequenceHead):
    """Learns one vector per sequence by reconstruction of its tokens or frames.

    With dropout on the inputs it is a denoising autoencoder (Chung et al. 2016, section 2.3). ``frames`` is F, or 0 for
    tokens. ``embedding`` and ``dropout`` are for tokens only.
    """

    class Options(HeadOptions):
        bottleneck: Count = Field(100, description="width of the vector that encodes a sequence")
        decoder: Count = Field(200, description="width of the decoder's state")
        embedding: Count | None = Field(None, description="width of a token's vector in the decoder; 64 if not given")
        dropout: float | None = Field(
            None, ge=0, lt=1, description="probability of hiding the previous token from the decoder; 0.5 if not given"
        )

    task = "reconstruction"

    def __init__(
        self,
        in_width: int,
        tags: TagSet,
        *,
        frames: int = 0,
        bottleneck: int = 100,
        decoder: int = 200,
        embedding: int | None = None,
        dropout: float | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("embedding", embedding), ("dropout", dropout)):
            if frames and value is not None:
                raise ConfigError(
                    f"head.{name}: expected no value for an autoencoder of frames, found {value}; leave it out"
                )
        embedding, dropout = 64 if embedding is None else embedding, 0.5 if dropout is None else dropout
        self.tags, self.frames = tags, frames
        self.pooling = Pooling("last", in_width)
        self.bottleneck = nn.Linear(self.pooling.width, bottleneck)
        widths = {"vector": bottleneck, "width": decoder}
        self.drawing = FrameDecoder(frames, **widths) if frames else None
        choices = 1 + len(tags.labels)
        self.saying = None if frames else TokenDecoder(choices, **widths, embedding=embedding, word_dropout=dropout)
        self.register_buffer("longest", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(frames))
        self.register_buffer("deviation", torch.ones(frames))

    @classmethod
    def build(cls, options: HeadOptions, in_width: int, tags: TagSet, *, frames: int = 0, **_: Any) -> Self:
        return cls(in_width, tags, frames=frames, **options.options_beyond(HeadOptions))

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        if self.frames:
            return {}
        rows = axis_names(self.tags.labels)
        weights = {f"saying.{layer}.weight": [rows, None] for layer in ("embedding", "score")}
        return {**weights, "saying.score.bias": [rows]}

    def prepare(self, examples: Sequence[Example]) -> None:
        self.get_buffer("longest").fill_(max(map(len, examples), default=0))
        if self.frames:
            stats = FeatureStats.of([np.asarray(example.frames, np.float32) for example in examples], self.frames)
            for name, value in stats._asdict().items():
                self.get_buffer(name).copy_(torch.from_numpy(value))

    def target(self, example: Example) -> Any | None:
        """Numbers of the tokens (None if one is unknown), or normalised frames."""
        if self.frames:
            mean, deviation = (self.get_buffer(name).cpu().numpy() for name in ("mean", "deviation"))
            return (np.asarray(example.frames, np.float32) - mean) / deviation
        return self.numbers(example.tokens)

    def pad(self, targets: Sequence[Any]) -> Tensor:
        if not self.frames:
            return super().pad(targets)
        table = torch.zeros(len(targets), max(map(len, targets), default=0), self.frames)
        for row, target in zip(table, targets, strict=True):
            row[: len(target)] = torch.as_tensor(target)
        return table

    def embed(self, states: Padded) -> Tensor:
        vectors: Tensor = self.bottleneck(self.pooling(states))
        return vectors

    def forward(self, states: Padded) -> Distribution:
        vectors = self.embed(states)
        if self.drawing is not None:
            return Normals(self.drawing(vectors, states.lengths, states.values.shape[1]), states.lengths)
        assert self.saying is not None
        longest = torch.full((len(vectors),), 2 * int(self.get_buffer("longest")))
        return Steps(TokenStepper(self.saying, vectors), longest)

    def predicted(self, distribution: Distribution) -> list[Any]:
        """Tokens, or frames (L, F) in input units."""
        if isinstance(distribution, Normals):
            frames = distribution.mean * self.get_buffer("deviation") + self.get_buffer("mean")
            lengths = distribution.lengths.tolist()
            return [row[:length].float().cpu().numpy() for row, length in zip(frames, lengths, strict=True)]
        return super().predicted(distribution)

    def log_probs(self, distribution: Distribution, answers: Sequence[tuple[str, ...]]) -> list[float] | None:
        return None if isinstance(distribution, Normals) else super().log_probs(distribution, answers)
