"""Language modelling, forwards and backwards (Peters et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from structseq.config import EncoderOptions, HeadOptions
from structseq.data.example import Example
from structseq.data.vocabulary import Axis
from structseq.heads.base import Head, full_precision
from structseq.padded import Padded
from structseq.section import Count
from structseq.spans.tagset import TagSet
from structseq.structures.base import Distribution, Ranked

# Numbers of the end of a text (in either direction) and of the unknown token
END, UNKNOWN = 0, 1
NAMES = ("<end>", "<unknown>")
# Steps whose scores over the vocabulary are in memory at once
CHUNK = 1024


class NextTokens(Distribution):
    """A distribution over texts x, in one or both directions.

    forwards:   p(x) = p(end | x_1 .. x_L) prod_t p(x_t | x_1 .. x_t-1)
    backwards:  p(x) = p(end | x_1 .. x_L) prod_t p(x_t | x_t+1 .. x_L)

    ``contexts``: by direction, the states (B, T + 1, H) that predict each token and the end of one text; probabilities
    are valid for that text only. `log_prob` and `best` use the first direction. ``lengths`` (B,) are L + 1. A target
    (B, T + 1) is the tokens, the end, then 0.
    """

    def __init__(self, contexts: Mapping[str, Tensor], lengths: Tensor, score: nn.Module) -> None:
        self.contexts, self.lengths, self.score = contexts, lengths, score
        self.first = next(iter(contexts.values()))
        self.real = Padded(self.first, lengths).mask()

    def token_log_probs(self, target: Tensor) -> dict[str, Tensor]:
        """Log-probabilities (B, T + 1) of each direction in nats; 0 for padding."""
        return {name: self._steps(context, target)[0] for name, context in self.contexts.items()}

    def log_prob(self, target: Tensor) -> Tensor:
        return self._steps(self.first, target)[0].sum(1)

    def best(self) -> Ranked:
        """(B, T + 1) the most probable token given each true context."""
        scores, path = self._steps(self.first)
        return Ranked(path, scores.sum(1))

    def _steps(self, context: Tensor, target: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, T + 1) log-probabilities of ``target`` (None: of the best tokens), and these numbers."""
        chunks = context[self.real].split(CHUNK)
        gold = None if target is None else target.to(self.real.device)[self.real].unsqueeze(1)
        gold_chunks = [None] * len(chunks) if gold is None else gold.split(CHUNK)
        results = []
        for chunk, numbers in zip(chunks, gold_chunks, strict=True):
            log_probs = full_precision(self.score(chunk)).log_softmax(-1)
            numbers = log_probs.argmax(-1, keepdim=True) if numbers is None else numbers
            results.append((log_probs.gather(1, numbers), numbers))
        values, numbers = (torch.cat(parts) for parts in zip(*results, strict=True))
        empty = values.new_zeros(self.real.shape), numbers.new_zeros(self.real.shape)
        return empty[0].masked_scatter(self.real, values), empty[1].masked_scatter(self.real, numbers)


class LanguageModelHead(Head):
    """Predicts each token from the state before it; both directions share the softmax layer (Peters et al. 2018, "Deep
    contextualized word representations", section 3.1).

    Trained by the mean of the directions' cross entropies. The initial state is learned. Rare tokens share the unknown
    token (Mikolov et al. 2010, "Recurrent neural network based language model", section 2). The encoder can initialise
    other models (Peters et al. 2017, "Semi-supervised sequence tagging with bidirectional language models").

    ``directions``: forwards, backwards, or both in this order with half of H each.
    """

    class Options(HeadOptions):
        units: Literal["words", "characters"] = Field("words", description="what texts are split into")
        min_count: Count = Field(2, description="tokens with a lower count in the training data become unknown")

    task = "language_model"
    learns_length = True

    def __init__(self, in_width: int, tags: TagSet, *, directions: Sequence[str] = ("forwards", "backwards")) -> None:
        super().__init__()
        self.tags, self.directions = tags, tuple(directions)
        self.start = nn.Parameter(torch.zeros(in_width))
        self.score = nn.Linear(in_width // len(self.directions), len(NAMES) + len(tags.labels))

    @classmethod
    def build(cls, options: HeadOptions, in_width: int, tags: TagSet, *, encoder: EncoderOptions, **_: Any) -> Self:
        one = ("backwards",) if encoder.backwards else ("forwards",)
        return cls(in_width, tags, directions=("forwards", "backwards") if encoder.bidirectional else one)

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        rows = [*((name, None) for name in NAMES), *((label,) for label in self.tags.labels)]
        return {"score.weight": [rows, None], "score.bias": [rows]}

    def target(self, example: Example) -> list[int]:
        """Tokens, then the end."""
        known = self.tags.index
        return [*(known[token] + len(NAMES) if token in known else UNKNOWN for token in example.tokens), END]

    def forward(self, states: Padded) -> NextTokens:
        values, starts = (part.chunk(len(self.directions), -1) for part in (states.values, self.start))
        contexts = {
            name: previous_states(states.with_values(own), start, name)
            for name, own, start in zip(self.directions, values, starts, strict=True)
        }
        return NextTokens(contexts, states.lengths + 1, self.score)

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        log_probs = self.forward(states).token_log_probs(target)
        return -torch.stack([each.sum(1) for each in log_probs.values()]).mean(0)

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        names = (*NAMES, *self.tags.labels)
        return [tuple([names[number] for number in path]) for path in paths]


def previous_states(states: Padded, start: Tensor, direction: str) -> Tensor:
    """(B, T + 1, H) for each token and then the end, the state read just before it; ``start`` (H,) is read first."""
    values = states.values
    first = start.to(values.dtype).expand(len(values), 1, -1)
    if direction == "forwards":
        return torch.cat([first, values], 1)
    steps, lengths = torch.arange(values.shape[1] + 1, device=values.device), states.lengths.to(values.device)
    # Put the start after each row's last state, then shift the row by one step.
    values = torch.where((steps == lengths.unsqueeze(1)).unsqueeze(2), first, nn.functional.pad(values, (0, 0, 0, 1)))
    shifted = (steps + 1) % (lengths.unsqueeze(1) + 1)
    return values[torch.arange(len(values), device=values.device).unsqueeze(1), shifted]
