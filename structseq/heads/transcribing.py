"""Transcribing heads: the answer is shorter than the frames it is read from. CTC (Graves et al. 2006), trimming without
a blank, and the acoustic hybrid with a hidden Markov model over a loop of words (Bourlard and Morgan 1994)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from structseq.config import HeadOptions
from structseq.data.example import Example
from structseq.data.vocabulary import Axis, axis_names
from structseq.errors import ConfigError
from structseq.heads.base import Head, HeldOut
from structseq.heads.by_token import HmmHead
from structseq.heads.sequence import SequenceHead
from structseq.heads.tagging import COSTS, PROJECTION, CrfHead, TaggingHead
from structseq.padded import Padded
from structseq.section import Count
from structseq.spans.tagset import TagSet
from structseq.structures.alignment import Ctc, trim
from structseq.structures.base import Distribution

# States of `WordLoopHead` that are no part of a word in parts.
WHOLE, SILENCE = 0, -1


class CtcHead(SequenceHead):
    """A linear layer to scores of the blank and K symbols at each frame, and connectionist temporal classification.

    Trained by the likelihood of the whole answer, wherever in the frames it is said. Inside, a symbol's number is that
    of its label and one more; 0 is the blank.

    Parameters
    ----------
    in_width:
        H.
    tags:
        The symbols, as plain tags.
    beam:
        How many prefixes are kept in answering (`Ctc.beam`); 1, and where none is given, the best path.

    Examples
    --------
    >>> from structseq.spans import PLAIN
    >>> head = CtcHead(2, TagSet(("3", "7"), PLAIN, PLAIN))
    >>> head.target(Example({"tokens": ("a", "b", "c")}, {"target": ("7", "7")}))
    [2, 2]
    >>> head.target(Example({"tokens": ("a", "b")}, {"target": ("7", "7")}))  # a blank must stand between
    >>> head.answers([[2, 2, 0], [0, 0, 0]])
    [('7', '7'), ()]
    """

    class Options(HeadOptions):
        beam: Count | None = Field(None, description="prefixes kept in the search; the best path where 1 or not given")

    task = "transcription"

    def __init__(self, in_width: int, tags: TagSet, *, beam: int | None = None) -> None:
        super().__init__()
        if beam is not None and beam < 1:
            raise ConfigError(f"head.beam: expected a number from 1 on, found {beam}")
        self.in_width, self.tags, self.beam = in_width, tags, beam
        self.emission = nn.Linear(in_width, 1 + len(tags.labels))

    def target(self, example: Example) -> list[int] | None:
        """Numbers of the gold symbols, from 1; None where one is unknown, or where the steps are too few: one for each
        symbol and one more between two equal ones."""
        numbers = super().target(example)
        least = len(example.target) + sum(one == other for one, other in pairwise(example.target))
        return None if least > len(example) else numbers

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        rows = axis_names(self.tags.labels)  # the blank, then the symbols
        return {"emission.weight": [rows, None], "emission.bias": [rows]}

    def emissions(self, states: Padded) -> Tensor:
        """(B, T, 1 + K) scores in float32 or better; what padding holds reaches neither them nor a gradient."""
        scores: Tensor = self.emission(states.values.masked_fill(~states.mask().unsqueeze(-1), 0.0))
        return scores.to(torch.promote_types(scores.dtype, torch.float32))

    def forward(self, states: Padded) -> Ctc:
        return Ctc(self.emissions(states), states.lengths)

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        """(B,) -log_prob of the targets (B, U), in nats; 0 with gradient 0 where the frames cannot hold one.

        It is torch's own recursion, in half to three quarters of the time of `Ctc.log_prob`, and in float64: in float32
        its gradient is wrong by 1e-4 after 100 frames.
        """
        scores = self.emissions(states)
        if not scores.numel():  # which torch refuses: only the empty answer is possible, and it is sure
            return scores.sum((1, 2))
        found = nn.functional.ctc_loss(
            scores.double().log_softmax(-1).transpose(0, 1),
            target,
            states.lengths,
            (target != 0).sum(1).cpu(),
            reduction="none",
            zero_infinity=True,
        )
        return found.to(scores.dtype)

    def decide(self, distribution: Distribution) -> Tensor:
        """(B, T) the answer's numbers, 0 beyond its end."""
        if isinstance(distribution, Ctc) and self.beam is not None and self.beam > 1:
            return distribution.beam(self.beam).path[:, 0]
        return distribution.best().path


# -- one tag a frame in training, a shorter answer ---------------------------------------------------------------------


class FrameHead(SequenceHead, TaggingHead):
    """A head that learns a tag for each frame and answers with the symbols that the best frame path reads."""

    class Options(HeadOptions):
        projection: Literal["linear", "none"] = PROJECTION

    task = "frame_transcription"
    predicted = Head.predicted

    def target(self, example: Example) -> list[int] | None:
        """Numbers of the frames' tags; None where one is unknown, or where they were never tagged."""
        return self.tags.encode(example.targets["tags"]) if "tags" in example.targets else None

    def log_probs(self, distribution: Distribution, answers: Sequence[tuple[str, ...]]) -> list[float] | None:
        """None: many frame paths read as one answer, and their sum is not computed."""
        return None


class TrimHead(FrameHead, CrfHead):
    """A tag for each frame, under a conditional random field, and repeats made one (`trim`), without a blank.

    It is there for comparison: it cannot answer the same symbol twice in a row. The field learns that tags stay; each
    frame on its own would waver between two and say both again and again, which hides what trimming itself costs.
    """

    class Options(FrameHead.Options):
        costs: dict[str, float] = COSTS

    def prepare(self, examples: Sequence[Example]) -> None:
        """Raises `ConfigError` where the frames bear tags that no target says."""
        foreign = sorted(set(self.tags.labels) - {symbol for example in examples for symbol in example.target})
        if foreign:
            raise ConfigError(
                f"head.type: trim answers with the frames' tags themselves; expected each of them in a target, found "
                f"{', '.join(map(repr, foreign[:5]))}; tag frames with whole words and no silence, or use head.type "
                "words"
            )
        super().prepare(examples)

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        return [tuple([self.tags.labels[number] for number in trim(path)]) for path in paths]


class WordLoopHead(FrameHead, HmmHead):
    """The acoustic hybrid: posteriors of the frames' tags over their priors, and Viterbi over a loop of words.

    What the tags are is read from the training data: a tag that some target says is a word; where "7" is said, "7.1",
    "7.2", ... are the states that it goes through, each of them for a frame or more; every other tag is silence, which
    says nothing. A path stays in a state or takes the word's next, from a word's last state to the first of any word or
    to silence, and from silence to the first of any word. It begins with a word's first state or with silence, and ends
    anywhere: a recording may be cut off. Within that, moves are counted on the training data.

    Two equal words in a row are told apart by their states, or by silence between them: where a word has one state and
    there is no silence, they are one.
    """

    def __init__(self, in_width: int, tags: TagSet, **options: Any) -> None:
        super().__init__(in_width, tags, **options)
        # (K,) the number of a tag's state within its word, from 1; or `WHOLE`; or `SILENCE`
        self.register_buffer("state", torch.zeros(len(tags.labels), dtype=torch.int64))
        # Registered anew, to be stored: the tags' names alone no longer say what is legal.
        for name in ("legal_start", "legal_transitions"):
            self.register_buffer(name, self.get_buffer(name))

    def symbols(self) -> tuple[str, ...]:
        return tuple(sorted({word for word, _ in self._parts() if word is not None}))

    def prepare(self, examples: Sequence[Example]) -> None:
        said = {symbol for example in examples for symbol in example.target}
        self.get_buffer("state").copy_(torch.tensor([state_of(tag, said) for tag in self.tags.labels]))
        parts = self._parts()
        last = {word: max(state for other, state in parts if other == word) for word, _ in parts}
        begins = torch.tensor([state <= 1 for _, state in parts])
        ends = torch.tensor([state == last[word] for word, state in parts])
        moves = [[one == other or _next(one) == other for other in parts] for one in parts]
        self.get_buffer("legal_start").copy_(begins)
        self.get_buffer("legal_transitions").copy_(torch.tensor(moves) | (ends.unsqueeze(1) & begins))
        super().prepare(examples)

    def calibrate(self, held_out: HeldOut) -> None:
        """By the frame paths that the loop allows: a word said in fewer frames than it has states leaves one out, and
        no temperature makes that possible."""

        def allowed() -> Iterator[tuple[Distribution, list[Any | None]]]:
            for distribution, targets in held_out():
                yield distribution, [target if target and self._allows(target) else None for target in targets]

        super().calibrate(allowed)

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        """The words that frame paths go through; one begins where the word changes or its state's number falls."""
        parts = self._parts()
        return [read_words([parts[number] for number in path]) for path in paths]

    def _parts(self) -> list[tuple[str | None, int]]:
        """For each tag the word that it is of, None for silence, and which state of it."""
        states = self.get_buffer("state").tolist()
        return [_part(tag, state) for tag, state in zip(self.tags.labels, states, strict=True)]

    def _allows(self, path: Sequence[int]) -> bool:
        numbers = torch.as_tensor(path)
        start, moves, _ = self.legal
        return bool(start[numbers[0]] & moves[numbers[:-1], numbers[1:]].all())


def state_of(tag: str, said: Collection[str]) -> int:
    """Which state of its word a tag is, from 1; `WHOLE` where it is the word; `SILENCE` where ``said`` has no such
    word.

    >>> [state_of(tag, {"7", "a.2"}) for tag in ("7", "7.3", "a.2", "sil", "8.1", ".5")]
    [0, 3, 0, -1, -1, -1]
    """
    if tag in said:
        return WHOLE
    word, _, number = tag.rpartition(".")
    numbered = number.isascii() and number.isdigit() and int(number) > 0
    return int(number) if numbered and word in said else SILENCE


def read_words(parts: Iterable[tuple[str | None, int]]) -> tuple[str, ...]:
    """The words of a path of (word, state), silence being (None, ..).

    >>> read_words([("7", 1), ("7", 2), ("7", 2), ("7", 1), (None, -1), ("3", 0), ("3", 0), (None, -1), ("3", 0)])
    ('7', '7', '3', '3')
    """
    words: list[str] = []
    before: tuple[str | None, int] = (None, SILENCE)
    for word, state in parts:
        if word is not None and (word != before[0] or state < before[1]):
            words.append(word)
        before = word, state
    return tuple(words)


def _part(tag: str, state: int) -> tuple[str | None, int]:
    if state == SILENCE:
        return None, SILENCE
    return (tag if state == WHOLE else tag.rpartition(".")[0]), state


def _next(part: tuple[str | None, int]) -> tuple[str | None, int] | None:
    """What follows within a word."""
    word, state = part
    return None if word is None else (word, state + 1)
