"""Transcription heads: CTC (Graves et al. 2006), trimming, and HMM hybrid (Bourlard and Morgan 1994)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from structseq.config import HeadOptions
from structseq.data.example import Example
from structseq.data.vocabulary import Axis, axis_names
from structseq.errors import ConfigError
from structseq.heads.base import Head, SequenceHead, full_precision
from structseq.heads.tagging import COSTS, PROJECTION, Cost, CrfHead, TaggingHead
from structseq.heads.tempered import HmmHead
from structseq.padded import Padded
from structseq.section import Whole
from structseq.spans.tagset import TagSet
from structseq.structures.alignment import Ctc, merge_repeats
from structseq.structures.base import Distribution

# State numbers in `WordLoopHead`: a word with one state, and silence
WHOLE, SILENCE = 0, -1


class CtcHead(SequenceHead):
    """Connectionist temporal classification: scores of the blank (number 0) and K symbols for each frame, trained by
    the likelihood of the answer summed over its alignments."""

    class Options(HeadOptions):
        beam: Whole | None = Field(
            None, ge=1, le=10_000, description="width of the prefix beam search; 1 or not given: the best path"
        )

    task = "transcription"

    def __init__(self, in_width: int, tags: TagSet, *, beam: int | None = None) -> None:
        super().__init__()
        if beam is not None and beam < 1:
            raise ConfigError(f"head.beam: expected a number from 1 on, found {beam}")
        self.in_width, self.tags, self.beam = in_width, tags, beam
        self.emission = nn.Linear(in_width, 1 + len(tags.labels))

    def target(self, example: Example) -> list[int] | None:
        """Numbers of the gold symbols, from 1; None if one is unknown or if there are too few steps: one per symbol,
        and one for the blank between equal symbols."""
        numbers = super().target(example)
        required = len(example.target) + sum(one == other for one, other in pairwise(example.target))
        return None if required > len(example) else numbers

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        rows = axis_names(self.tags.labels)  # the blank, then the symbols
        return {"emission.weight": [rows, None], "emission.bias": [rows]}

    def emissions(self, states: Padded) -> Tensor:
        """(B, T, 1 + K) scores; padding is masked, so that its NaN cannot reach gradients."""
        return full_precision(self.emission(states.values.masked_fill(~states.mask().unsqueeze(-1), 0.0)))

    def forward(self, states: Padded) -> Ctc:
        return Ctc(self.emissions(states), states.lengths)

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        """(B,) -log_prob of the targets (B, U) in nats; 0 with gradient 0 if a target needs more frames."""
        scores = self.emissions(states)
        if not scores.numel():  # torch refuses empty scores; the empty answer has probability 1
            return scores.sum((1, 2))
        # torch's recursion is faster than `Ctc.log_prob`; in float32 its gradient is wrong by 1e-4 after 100 frames.
        logits, sizes = scores.double().log_softmax(-1).transpose(0, 1), (target != 0).sum(1).cpu()
        ctc_loss = nn.functional.ctc_loss
        loss = ctc_loss(logits, target, states.lengths, sizes, reduction="none", zero_infinity=True)
        return loss.to(scores.dtype)

    def decide(self, distribution: Distribution) -> Tensor:
        if isinstance(distribution, Ctc) and self.beam is not None and self.beam > 1:
            return distribution.beam(self.beam).path[:, 0]
        return distribution.best().path


class FrameHead(SequenceHead, TaggingHead):
    """Learns one tag per frame and predicts the symbols of the best frame path."""

    class Options(HeadOptions):
        projection: Literal["linear", "none"] = PROJECTION

    task = "frame_transcription"
    predicted = Head.predicted

    def target(self, example: Example) -> list[int] | None:
        """Numbers of the frames' tags; None if there are none or one is unknown."""
        return self.tags.encode(example.targets["tags"]) if "tags" in example.targets else None

    def log_probs(self, distribution: Distribution, answers: Sequence[tuple[str, ...]]) -> list[float] | None:
        """None: the sum over an answer's frame paths is not computed."""
        return None


class TrimHead(FrameHead, CrfHead):
    """A CRF over frames that merges repeated tags into one symbol (`merge_repeats`), as a baseline for `CtcHead`.

    Without a blank, it cannot predict a symbol twice in a row.
    """

    class Options(FrameHead.Options):
        costs: dict[str, Cost] = COSTS

    def prepare(self, examples: Sequence[Example]) -> None:
        """Raises `ConfigError` if a frame tag does not occur in any target."""
        foreign = sorted(set(self.tags.labels) - {symbol for example in examples for symbol in example.target})
        if foreign:
            raise ConfigError(
                "head.type trim: expected frame tags that are symbols of the targets, found "
                f"{', '.join(map(repr, foreign[:5]))}; tag frames with whole words and without silence, or use "
                "head.type words"
            )
        super().prepare(examples)

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        return [tuple([self.tags.labels[number] for number in merge_repeats(path)]) for path in paths]


class WordLoopHead(FrameHead, HmmHead):
    """`HmmHead` over frames, with a loop of words.

    A symbol of the training targets is a word. The word "7" has the states "7.1", "7.2", ... in this order, or the one
    state "7". All other tags are silence. A path stays in a state for one or more frames, then moves to the word's next
    state; from a last state it moves to any first state or to silence, and from silence to any first state. It starts
    in a first state or in silence, and may end anywhere, because a recording may be cut off.

    A word with one state that is repeated without silence is predicted once.
    """

    def __init__(self, in_width: int, tags: TagSet, **options: Any) -> None:
        super().__init__(in_width, tags, **options)
        # (K,) the state number of each tag within its word, from 1; or `WHOLE`; or `SILENCE`
        self.register_buffer("state", torch.zeros(len(tags.labels), dtype=torch.int64))
        # Registered again, so that they are stored: legal transitions depend on the training data.
        for name in ("legal_start", "legal_transitions"):
            self.register_buffer(name, self.get_buffer(name))

    def symbols(self) -> tuple[str, ...]:
        return tuple(sorted({word for word, _ in self._parts() if word is not None}))

    def prepare(self, examples: Sequence[Example]) -> None:
        words = {symbol for example in examples for symbol in example.target}
        self.get_buffer("state").copy_(torch.tensor([state_number(tag, words) for tag in self.tags.labels]))
        parts = self._parts()
        last = {word: max(state for other, state in parts if other == word) for word, _ in parts}
        is_first = torch.tensor([state <= 1 for _, state in parts])
        is_last = torch.tensor([state == last[word] for word, state in parts])
        within_word = [[other in ((word, state), (word, state + 1)) for other in parts] for word, state in parts]
        self.get_buffer("legal_start").copy_(is_first)
        self.get_buffer("legal_transitions").copy_(torch.tensor(within_word) | (is_last.unsqueeze(1) & is_first))
        super().prepare(examples)

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        parts = self._parts()
        return [read_words([parts[number] for number in path]) for path in paths]

    def _parts(self) -> list[tuple[str | None, int]]:
        """Word (None for silence) and state number of each tag."""
        states = self.get_buffer("state").tolist()
        words = [
            None if state == SILENCE else tag if state == WHOLE else tag.rpartition(".")[0]
            for tag, state in zip(self.tags.labels, states, strict=True)
        ]
        return list(zip(words, states, strict=True))


def state_number(tag: str, words: Collection[str]) -> int:
    """State number of a tag, from 1; `WHOLE` if the tag is a word; `SILENCE` otherwise."""
    if tag in words:
        return WHOLE
    word, _, number = tag.rpartition(".")
    numbered = number.isascii() and number.isdigit() and int(number) > 0
    return int(number) if numbered and word in words else SILENCE


def read_words(parts: Iterable[tuple[str | None, int]]) -> tuple[str, ...]:
    """The words of a path of (word, state) pairs; a word also starts if the state number falls."""
    words: list[str] = []
    previous: tuple[str | None, int] = (None, SILENCE)
    for word, state in parts:
        if word is not None and (word != previous[0] or state < previous[1]):
            words.append(word)
        previous = word, state
    return tuple(words)
