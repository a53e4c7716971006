"""Generation: a decoder with attention predicts the answer symbol by symbol.

Bahdanau et al. 2015, "Neural machine translation by jointly learning to align and translate"; Luong et al. 2015,
"Effective approaches to attention-based neural machine translation"; Chorowski et al. 2015, "Attention-based models for
speech recognition".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from structseq.config import HeadOptions
from structseq.data.example import Example
from structseq.data.vocabulary import Axis, axis_names
from structseq.errors import ConfigError
from structseq.heads.base import SequenceHead, full_precision
from structseq.padded import Padded
from structseq.section import Count, Whole
from structseq.spans.tagset import TagSet
from structseq.structures.base import Distribution
from structseq.structures.steps import END, State, Steps

ATTENTION_TYPES = ("additive", "dot", "location")
# Radius, in steps, of the window over the previous weights that "location" reads
WINDOW_RADIUS = 3


class Attention(nn.Module):
    """Attention weights of memory vectors m (H wide) for a query q (D wide), by softmax over scores.

    additive: v tanh(W q + U m) (Bahdanau et al. 2015, appendix A.1.2)
    dot: q U m / sqrt(D) (Luong et al. 2015, equation 8, "general", scaled as by Vaswani et al. 2017, section 3.2.1)
    location: v tanh(W q + U m + F w), w the previous weights around this step (Chorowski et al. 2015, equations 8, 9)
    """

    def __init__(self, kind: str, query_width: int, memory_width: int) -> None:
        super().__init__()
        if kind not in ATTENTION_TYPES:
            raise ConfigError(f"head.attention: expected one of {', '.join(ATTENTION_TYPES)}, found {kind!r}")
        self.kind = kind
        self.key = nn.Linear(memory_width, query_width, bias=False)
        if kind != "dot":
            self.query, self.weight = nn.Linear(query_width, query_width), nn.Linear(query_width, 1, bias=False)
        if kind == "location":
            self.around = nn.Linear(2 * WINDOW_RADIUS + 1, query_width, bias=False)

    def forward(self, query: Tensor, keys: Tensor, real: Tensor, previous: Tensor) -> Tensor:
        """(N, T) weights; they sum to 1 over the ``real`` (N, T) steps, others are 0.

        query (N, D), keys (N, T, D) from `key`, previous weights (N, T).
        """
        if not keys.shape[1]:
            return previous
        scores = self._scores(query, keys, previous)
        return scores.masked_fill(~real, torch.finfo(scores.dtype).min).softmax(1) * real

    def _scores(self, query: Tensor, keys: Tensor, previous: Tensor) -> Tensor:
        if self.kind == "dot":
            return (keys @ query.unsqueeze(2)).squeeze(2) / math.sqrt(query.shape[1])
        hidden = self.query(query).unsqueeze(1) + keys
        if self.kind == "location":
            padded = nn.functional.pad(previous, (WINDOW_RADIUS, WINDOW_RADIUS))
            windows = padded.unfold(1, 2 * WINDOW_RADIUS + 1, 1)  # (N, T, 2 WINDOW_RADIUS + 1)
            hidden = hidden + self.around(windows)
        scores: Tensor = self.weight(torch.tanh(hidden)).squeeze(2)
        return scores


class Decoder(nn.Module):
    """An LSTM decoder with attention and input feeding.

    s_u = LSTM(s_u-1, [E y_u-1; a_u-1]),  c_u = attention(s_u, states) states,  a_u = tanh(W [s_u; c_u]),
    p(y_u) = softmax(V a_u)   (Luong et al. 2015, equations 5 and 6, and section 3.3)

    ``choices`` is K + 1: number 0 is the end and, as an input, the start.
    """

    def __init__(
        self, choices: int, memory_width: int, *, width: int, embedding: int, attention: str, dropout: float
    ) -> None:
        super().__init__()
        self.choices, self.width = choices, width
        self.embedding = nn.Embedding(choices, embedding)
        self.first = nn.Linear(2 * memory_width, 2 * width)
        self.cell = nn.LSTMCell(embedding + width, width)
        self.attention = Attention(attention, width, memory_width)
        self.looked = nn.Linear(width + memory_width, width)
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(width, choices)


class DecoderStepper:
    """`Decoder` as a `Stepper`; the state of a hypothesis is s, the LSTM's cell, a, and the attention weights."""

    def __init__(self, decoder: Decoder, states: Padded) -> None:
        self.decoder = decoder
        self.real = states.mask()
        self.memory = states.values.masked_fill(~self.real.unsqueeze(2), 0.0)
        self.keys = decoder.attention.key(self.memory)
        self.rows, self.choices = len(self.memory), decoder.choices

    def initial(self) -> tuple[Tensor, State]:
        rows = torch.arange(self.rows, device=self.memory.device)
        return self.step(torch.full_like(rows, END), rows, self._initial())

    def step(self, symbols: Tensor, rows: Tensor, state: State) -> tuple[Tensor, State]:
        source = (self.keys[rows], self.memory[rows], self.real[rows])
        state = self._step(self.decoder.embedding(symbols), state, source)
        return self._log_probs(state[2]), state

    def teacher_forced(self, target: Tensor) -> Tensor:
        return self._log_probs(torch.stack([state[2] for state in self._unrolled(target)], 1))

    def attention_weights(self, target: Tensor) -> Tensor:
        """(B, U + 1, T) attention weights for each symbol of ``target`` and the end."""
        return torch.stack([state[3] for state in self._unrolled(target)], 1)

    def _initial(self) -> State:
        """From mean and maximum of the encoder's states."""
        real = self.real.unsqueeze(2)
        mean = self.memory.sum(1) / real.sum(1).clamp(min=1)
        lowest = torch.finfo(mean.dtype).min
        highest = self.memory.masked_fill(~real, lowest).amax(1) if self.memory.shape[1] else mean
        highest = torch.where(real.any(1), highest, 0.0)
        hidden, cell = torch.tanh(self.decoder.first(torch.cat([mean, highest], 1))).chunk(2, 1)
        return hidden, cell, torch.zeros_like(hidden), torch.zeros_like(self.memory[:, :, 0])

    def _unrolled(self, target: Tensor) -> list[State]:
        """The states for each symbol of ``target`` and the end."""
        symbols = nn.functional.pad(target, (1, 0)).to(self.memory.device)  # the start, then the symbols
        vectors = self.decoder.dropout(self.decoder.embedding(symbols))
        state, states, source = self._initial(), [], (self.keys, self.memory, self.real)
        for vector in vectors.unbind(1):
            state = self._step(vector, state, source)
            states.append(state)
        return states

    def _step(self, vector: Tensor, state: State, source: tuple[Tensor, Tensor, Tensor]) -> State:
        """The state after a symbol with ``vector`` (N, E); ``source``: keys, memory, real."""
        decoder, (keys, memory, real), (hidden, cell, looked, weights) = self.decoder, source, state
        hidden, cell = decoder.cell(torch.cat([vector, looked], 1), (hidden, cell))
        weights = decoder.attention(hidden, keys, real, weights)
        context = (weights.unsqueeze(1) @ memory).squeeze(1)  # (N, H)
        looked = torch.tanh(decoder.looked(torch.cat([hidden, context], 1)))
        return hidden, cell, looked, weights

    def _log_probs(self, looked: Tensor) -> Tensor:
        return full_precision(self.decoder.score(self.decoder.dropout(looked))).log_softmax(-1)


class GenerateHead(SequenceHead):
    """Predicts symbols with a `Decoder`; trained with teacher forcing.

    The maximum length is twice that of the longest training answer or, if more, twice the steps of the input times the
    99th percentile of symbols per step in training.
    """

    class Options(HeadOptions):
        attention: Literal["additive", "dot", "location"] = Field(
            "location", description="score of the decoder's attention to the encoder's states"
        )
        decoder: Count = Field(128, description="width of the decoder's state")
        embedding: Count = Field(32, description="width of a symbol's vector")
        dropout: float = Field(0.1, ge=0, lt=1, description="dropout in the decoder")
        beam: Whole = Field(1, ge=1, le=10_000, description="width of the beam search; 1: the best symbol at each step")

    def __init__(
        self,
        in_width: int,
        tags: TagSet,
        *,
        attention: str = "location",
        decoder: int = 128,
        embedding: int = 32,
        dropout: float = 0.1,
        beam: int = 1,
    ) -> None:
        super().__init__()
        if beam < 1:
            raise ConfigError(f"head.beam: expected a number from 1 on, found {beam}")
        self.tags, self.beam = tags, beam
        self.decoder = Decoder(
            1 + len(tags.labels), in_width, width=decoder, embedding=embedding, attention=attention, dropout=dropout
        )
        self.register_buffer("longest", torch.zeros((), dtype=torch.int64))
        self.register_buffer("a_step", torch.zeros((), dtype=torch.float64))

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        rows = axis_names(self.tags.labels)
        weights = {f"decoder.{layer}.weight": [rows, None] for layer in ("embedding", "score")}
        return {**weights, "decoder.score.bias": [rows]}

    def prepare(self, examples: Sequence[Example]) -> None:
        counts = [(len(example.target), len(example)) for example in examples]
        rates = sorted(symbols / steps for symbols, steps in counts if steps)
        self.get_buffer("longest").fill_(max((symbols for symbols, _ in counts), default=0))
        self.get_buffer("a_step").fill_(rates[math.ceil(0.99 * len(rates)) - 1] if rates else 0.0)

    def forward(self, states: Padded) -> Steps:
        longest, a_step = int(self.get_buffer("longest")), float(self.get_buffer("a_step"))
        most = (2 * a_step * states.lengths.double()).ceil().long().clamp(min=2 * longest)
        return Steps(DecoderStepper(self.decoder, states), most)

    def attention_weights(self, states: Padded, target: Tensor) -> Tensor:
        return DecoderStepper(self.decoder, states).attention_weights(target)

    def decide(self, distribution: Distribution) -> Tensor:
        assert isinstance(distribution, Steps)
        return distribution.beam(self.beam).path[:, 0]
