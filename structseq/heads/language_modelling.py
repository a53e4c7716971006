"""Language modelling: the next token from those before it, forwards and backwards (Peters et al. 2017)."""

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

# Numbers of the end of a text (either one), and of all rare tokens
END, UNKNOWN = 0, 1
NAMES = ("<end>", "<unknown>")
# Steps whose scores (over the whole vocabulary) are in memory at once
CHUNK = 1024


class NextTokens(Distribution):
    """A distribution over texts x, token by token, in one or both directions.

    forwards:   p(x) = p(end | x_1 .. x_L) prod_t p(x_t | x_1 .. x_t-1)
    backwards:  p(x) = p(end | x_1 .. x_L) prod_t p(x_t | x_t+1 .. x_L)

    Contexts come from one text, and probabilities hold for that text only. A target is (B, T + 1): numbers of the
    tokens, then the end, 0 beyond.

    ``contexts`` are, by direction, (B, T + 1, H) the states that predict each token and the end; `log_prob` and `best`
    use the first direction. ``lengths`` (B,) are L + 1. ``score`` is the layer to scores of the vocabulary.
    """

    def __init__(self, contexts: Mapping[str, Tensor], lengths: Tensor, score: nn.Module) -> None:
        self.contexts, self.lengths, self.score = contexts, lengths, score
        self.first = next(iter(contexts.values()))
        self.real = Padded(self.first, lengths).mask()

    def token_log_probs(self, target: Tensor) -> dict[str, Tensor]:
        """By direction, (B, T + 1) log-probabilities of the tokens and the end in nats; 0 beyond."""
        return {name: self._steps(context, target)[0] for name, context in self.contexts.items()}

    def log_prob(self, target: Tensor) -> Tensor:
        return self._steps(self.first, target)[0].sum(1)

    def best(self) -> Ranked:
        """(B, T + 1) the most probable token at each step, given the true tokens before it."""
        scores, path = self._steps(self.first)
        return Ranked(path, scores.sum(1))

    def _steps(self, context: Tensor, target: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, T + 1) log-probabilities of ``target`` (if None, of the best numbers), and these numbers; 0 beyond.

        Computed for real steps only, in pieces, because a vocabulary is wide.
        """
        pieces = context[self.real].split(CHUNK)
        right = None if target is None else target.to(self.real.device)[self.real].unsqueeze(1)
        numbers = [None] * len(pieces) if right is None else right.split(CHUNK)
        found = []
        for piece, chosen in zip(pieces, numbers, strict=True):
            each = full_precision(self.score(piece)).log_softmax(-1)
            chosen = each.argmax(-1, keepdim=True) if chosen is None else chosen
            found.append((each.gather(1, chosen), chosen))
        values, chosen = (torch.cat(parts) for parts in zip(*found, strict=True))
        empty = values.new_zeros(self.real.shape), chosen.new_zeros(self.real.shape)
        return empty[0].masked_scatter(self.real, values), empty[1].masked_scatter(self.real, chosen)


class LanguageModelHead(Head):
    """The next token from the state before it, by a linear layer and softmax that both directions share (Peters et al.
    2018, "Deep contextualized word representations", section 3.1). The state before a text is a learned vector. Its
    encoder may start other models (Peters et al. 2017, "Semi-supervised sequence tagging with bidirectional language
    models").

    Trained by the mean of the directions' cross entropies. All rare tokens share one number, the unknown (Mikolov et
    al. 2010, "Recurrent neural network based language model", section 2).

    ``directions`` says how the encoder reads: forwards, backwards, or both in this order, with half of H for each.
    """

    class Options(HeadOptions):
        units: Literal["words", "characters"] = Field("words", description="what texts are cut into")
        min_count: Count = Field(2, description="rarer tokens of the training data are the unknown")

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
        """Numbers of the tokens, then the end."""
        known = self.tags.number
        return [*(known[token] + len(NAMES) if token in known else UNKNOWN for token in example.tokens), END]

    def forward(self, states: Padded) -> NextTokens:
        values, starts = (part.chunk(len(self.directions), -1) for part in (states.values, self.start))
        contexts = {
            name: before(states.with_values(own), start, name)
            for name, own, start in zip(self.directions, values, starts, strict=True)
        }
        return NextTokens(contexts, states.lengths + 1, self.score)

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        """(B,) the mean of the directions' -log p of the text, in nats."""
        found = self.forward(states).token_log_probs(target)
        return -torch.stack([each.sum(1) for each in found.values()]).mean(0)

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        """Tokens, or `NAMES` for the end and the unknown."""
        names = (*NAMES, *self.tags.labels)
        return [tuple([names[number] for number in path]) for path in paths]


def before(states: Padded, start: Tensor, direction: str) -> Tensor:
    """(B, T + 1, H) the state read just before each token in this direction, and before the end.

    ``start`` (H,) is the state before the first token read.

    >>> states = Padded(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([3]))
    >>> [before(states, torch.zeros(1), way).flatten().tolist() for way in ("forwards", "backwards")]
    [[0.0, 1.0, 2.0, 3.0], [2.0, 3.0, 0.0, 1.0]]
    """
    values = states.values
    first = start.to(values.dtype).expand(len(values), 1, -1)
    if direction == "forwards":
        return torch.cat([first, values], 1)
    steps, lengths = torch.arange(values.shape[1] + 1, device=values.device), states.lengths.to(values.device)
    # The start behind each row's last state; then the row is shifted by one step.
    values = torch.where((steps == lengths.unsqueeze(1)).unsqueeze(2), first, nn.functional.pad(values, (0, 0, 0, 1)))
    turned = (steps + 1) % (lengths.unsqueeze(1) + 1)
    return values[torch.arange(len(values), device=values.device).unsqueeze(1), turned]
