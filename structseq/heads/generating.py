"""Generating: a decoder that says the answer symbol by symbol and looks back at the encoder's states by attention
(Bahdanau, Cho and Bengio 2015, "Neural machine translation by jointly learning to align and translate"; Luong, Pham and
Manning 2015, "Effective approaches to attention-based neural machine translation"; Chorowski, Bahdanau, Serdyuk, Cho
and Bengio 2015, "Attention-based models for speech recognition")."""

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
from structseq.heads.sequence import SequenceHead
from structseq.padded import Padded
from structseq.section import Count
from structseq.spans.tagset import TagSet
from structseq.structures.base import Distribution
from structseq.structures.steps import END, State, Steps

KINDS = ("additive", "dot", "location")
# How many places to either side of where the step before looked "location" knows of
REACH = 3


class Attention(nn.Module):
    """How well each place of a memory fits a query, made into weights.

    Parameters
    ----------
    kind:
        ``"additive"``: v tanh(W q + U m) (Bahdanau et al. 2015, appendix A.1.2); ``"dot"``: q U m / sqrt(D) (Luong et
        al. 2015, equation 8, "general", scaled as by Vaswani et al. 2017, section 3.2.1); ``"location"``: v tanh(W q +
        U m + F w), where w are the weights that the step before gave to this place and those around it (Chorowski et
        al. 2015, equations 8 and 9): whoever knows where it looked can go on from there, however long the memory.
    query_width, memory_width:
        Of a query, D, and of a place, H.
    """

    def __init__(self, kind: str, query_width: int, memory_width: int) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ConfigError(f"head.attention: expected one of {', '.join(KINDS)}, found {kind!r}")
        self.kind = kind
        self.key = nn.Linear(memory_width, query_width, bias=False)
        if kind != "dot":
            self.query, self.weight = nn.Linear(query_width, query_width), nn.Linear(query_width, 1, bias=False)
        if kind == "location":
            self.around = nn.Linear(2 * REACH + 1, query_width, bias=False)

    def forward(self, query: Tensor, keys: Tensor, real: Tensor, before: Tensor) -> Tensor:
        """(N, T) weights of each place, which add up to 1; 0 where a place is not ``real`` (N, T), and everywhere in a
        row without one. query (N, D), keys (N, T, D) from `key`, and the weights ``before`` (N, T)."""
        if not keys.shape[1]:
            return before
        scores = self._scores(query, keys, before)
        return scores.masked_fill(~real, torch.finfo(scores.dtype).min).softmax(1) * real

    def _scores(self, query: Tensor, keys: Tensor, before: Tensor) -> Tensor:
        if self.kind == "dot":
            return (keys @ query.unsqueeze(2)).squeeze(2) / math.sqrt(query.shape[1])
        fit = self.query(query).unsqueeze(1) + keys
        if self.kind == "location":
            near = nn.functional.pad(before, (REACH, REACH)).unfold(1, 2 * REACH + 1, 1)  # (N, T, 2 REACH + 1)
            fit = fit + self.around(near)
        scores: Tensor = self.weight(torch.tanh(fit)).squeeze(2)
        return scores


class Decoder(nn.Module):
    """A recurrent network over the symbols said so far, with an attention to the encoder's states, in which each step
    knows what the one before it looked at.

    s_u = LSTM(s_u-1, [E y_u-1; a_u-1]),  c_u = attention(s_u, states) states,  a_u = tanh(W [s_u; c_u]),
    p(y_u) = softmax(V a_u)   (Luong et al. 2015, equations 5 and 6, and section 3.3, "input feeding")

    Parameters
    ----------
    choices:
        K + 1: the symbols, and the end, which is number 0. Its vector stands for the beginning, for behind the end
        nothing is said.
    memory_width:
        H.
    width, embedding:
        Of the state, and of a symbol's vector.
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


class Decoding:
    """A decoder before one batch of states: the `Stepper` of its answers.

    What it remembers of a hypothesis is s, the LSTM's cell, a, and where it looked.

    Parameters
    ----------
    decoder:
        The network.
    states:
        (B, T, H) what it looks at; padding is never read.
    """

    def __init__(self, decoder: Decoder, states: Padded) -> None:
        self.decoder = decoder
        self.real = states.mask()
        self.memory = states.values.masked_fill(~self.real.unsqueeze(2), 0.0)
        self.keys = decoder.attention.key(self.memory)
        self.rows, self.choices = len(self.memory), decoder.choices

    def begin(self) -> tuple[Tensor, State]:
        rows = torch.arange(self.rows, device=self.memory.device)
        return self.onward(torch.full_like(rows, END), rows, self._initial())

    def onward(self, symbols: Tensor, rows: Tensor, state: State) -> tuple[Tensor, State]:
        places = (self.keys[rows], self.memory[rows], self.real[rows])
        state = self._step(self.decoder.embedding(symbols), state, places)
        return self._told(state[2]), state

    def along(self, target: Tensor) -> Tensor:
        return self._told(torch.stack([state[2] for state in self._walked(target)], 1))

    def attended(self, target: Tensor) -> Tensor:
        """(B, U + 1, T) how much the decoder looks at each state before each symbol of ``target`` and before its
        end."""
        return torch.stack([state[3] for state in self._walked(target)], 1)

    def _initial(self) -> State:
        """From the mean and the highest value of each number of the states."""
        real = self.real.unsqueeze(2)
        mean = self.memory.sum(1) / real.sum(1).clamp(min=1)
        lowest = torch.finfo(mean.dtype).min
        highest = self.memory.masked_fill(~real, lowest).amax(1) if self.memory.shape[1] else mean
        highest = torch.where(real.any(1), highest, 0.0)
        hidden, cell = torch.tanh(self.decoder.first(torch.cat([mean, highest], 1))).chunk(2, 1)
        return hidden, cell, torch.zeros_like(hidden), torch.zeros_like(self.memory[:, :, 0])

    def _walked(self, target: Tensor) -> list[State]:
        """The state before each symbol of ``target`` and before its end, as `begin` and `onward` would reach it."""
        symbols = nn.functional.pad(target, (1, 0)).to(self.memory.device)  # the beginning, then what was said
        vectors = self.decoder.dropout(self.decoder.embedding(symbols))
        state, found, places = self._initial(), [], (self.keys, self.memory, self.real)
        for vector in vectors.unbind(1):
            state = self._step(vector, state, places)
            found.append(state)
        return found

    def _step(self, vector: Tensor, state: State, places: tuple[Tensor, Tensor, Tensor]) -> State:
        """One symbol on, of which ``vector`` (N, E) is what it was; ``places`` to look at: keys, memory, real."""
        decoder, (keys, memory, real), (hidden, cell, looked, weights) = self.decoder, places, state
        hidden, cell = decoder.cell(torch.cat([vector, looked], 1), (hidden, cell))
        weights = decoder.attention(hidden, keys, real, weights)
        context = (weights.unsqueeze(1) @ memory).squeeze(1)  # (N, H)
        looked = torch.tanh(decoder.looked(torch.cat([hidden, context], 1)))
        return hidden, cell, looked, weights

    def _told(self, looked: Tensor) -> Tensor:
        """Log-probabilities (.., K + 1) from a (.., D)."""
        scores: Tensor = self.decoder.score(self.decoder.dropout(looked))
        return scores.to(torch.promote_types(scores.dtype, torch.float32)).log_softmax(-1)


class GenerateHead(SequenceHead):
    """A sequence of symbols of its own length, said by a decoder that looks at the states (`Decoder`); trained on the
    right symbols before each (teacher forcing). An answer has at most twice as many
    symbols as the longest of the training data, or, of a long source, twice as many for each of its steps as 99 of 100
    answers there had; behind them its end is sure.

    Parameters
    ----------
    in_width:
        H.
    tags:
        The symbols, as plain tags.
    attention:
        See `Attention`.
    decoder, embedding:
        Width of the decoder's state, and of a symbol's vector.
    dropout:
        On symbols' vectors, and on what each step knows.
    beam:
        How many hypotheses are kept in answering (`Steps.beam`); 1: the most probable symbol at each step.

    Raises
    ------
    ConfigError
        For a ``beam`` below 1, or an attention that there is not.
    """

    class Options(HeadOptions):
        attention: Literal["additive", "dot", "location"] = Field(
            "location", description="how the decoder looks at the encoder's states"
        )
        decoder: Count = Field(128, description="width of the decoder's state")
        embedding: Count = Field(32, description="width of a symbol's vector")
        dropout: float = Field(0.1, ge=0, lt=1, description="dropout in the decoder")
        beam: Count = Field(1, description="answers kept in the search; 1: the best symbol at each step")

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
        return {
            "decoder.embedding.weight": [rows, None],
            "decoder.score.weight": [rows, None],
            "decoder.score.bias": [rows],
        }

    def prepare(self, examples: Sequence[Example]) -> None:
        """Count the longest answer, and how many symbols 99 of 100 have at most for each step of their source."""
        counts = [(len(example.target), len(example)) for example in examples]
        rates = sorted(symbols / steps for symbols, steps in counts if steps)
        self.get_buffer("longest").fill_(max((symbols for symbols, _ in counts), default=0))
        self.get_buffer("a_step").fill_(rates[math.ceil(0.99 * len(rates)) - 1] if rates else 0.0)

    def forward(self, states: Padded) -> Steps:
        longest, a_step = int(self.get_buffer("longest")), float(self.get_buffer("a_step"))
        most = (2 * a_step * states.lengths.double()).ceil().long().clamp(min=2 * longest)
        return Steps(Decoding(self.decoder, states), most)

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        """(B,) -log_prob of the targets (B, U), in nats."""
        return -self.forward(states).log_prob(target)

    def attended(self, states: Padded, target: Tensor) -> Tensor:
        """(B, U + 1, T) how much the decoder looks at each state in saying ``target`` (B, U) and its end."""
        return Decoding(self.decoder, states).attended(target)

    def decide(self, distribution: Distribution) -> Tensor:
        """(B, U) the answer's numbers, 0 beyond its end."""
        assert isinstance(distribution, Steps)
        return distribution.beam(self.beam).path[:, 0]
