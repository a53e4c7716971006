"""Transcribing heads: CTC (Graves et al. 2006), trimming, and the HMM hybrid (Bourlard and Morgan 1994)."""

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
from structseq.heads.base import Head, HeldOut, SequenceHead, full_precision
from structseq.heads.tagging import COSTS, PROJECTION, CrfHead, TaggingHead
from structseq.heads.tempered import HmmHead
from structseq.padded import Padded
from structseq.section import Count
from structseq.spans.tagset import TagSet
from structseq.structures.alignment import Ctc, trim
from structseq.structures.base import Distribution

# State numbers in `WordLoopHead` of a word with one state, and of silence
WHOLE, SILENCE = 0, -1


class CtcHead(SequenceHead):
    """Connectionist temporal classification: scores of the blank (number 0) and K symbols at each frame, trained by the
    likelihood of the answer over all its alignments.

    >>> from structseq.spans import PLAIN
    >>> head = CtcHead(2, TagSet(("3", "7"), PLAIN, PLAIN))
    >>> head.target(Example({"tokens": ("a", "b", "c")}, {"target": ("7", "7")}))
    [2, 2]
    >>> head.target(Example({"tokens": ("a", "b")}, {"target": ("7", "7")}))  # a blank must lie between
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
        """Numbers of the gold symbols, from 1; None if one is unknown or the steps are too few (one a symbol, and one
        more between two equal ones)."""
        numbers = super().target(example)
        least = len(example.target) + sum(one == other for one, other in pairwise(example.target))
        return None if least > len(example) else numbers

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        rows = axis_names(self.tags.labels)  # the blank, then the symbols
        return {"emission.weight": [rows, None], "emission.bias": [rows]}

    def emissions(self, states: Padded) -> Tensor:
        """(B, T, 1 + K) scores; padding is masked, so that NaN in it reaches no gradient."""
        return full_precision(self.emission(states.values.masked_fill(~states.mask().unsqueeze(-1), 0.0)))

    def forward(self, states: Padded) -> Ctc:
        return Ctc(self.emissions(states), states.lengths)

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        """(B,) -log_prob of the targets (B, U), in nats; 0 with gradient 0 if a target needs more frames.

        By torch's recursion, in half to three quarters of the time of `Ctc.log_prob`; in float64, because in float32
        its gradient is wrong by 1e-4 after 100 frames.
        """
        scores = self.emissions(states)
        if not scores.numel():  # torch refuses empty scores; the empty answer has probability 1
            return scores.sum((1, 2))
        logits, sizes = scores.double().log_softmax(-1).transpose(0, 1), (target != 0).sum(1).cpu()
        ctc_loss = nn.functional.ctc_loss
        found = ctc_loss(logits, target, states.lengths, sizes, reduction="none", zero_infinity=True)
        return found.to(scores.dtype)

    def decide(self, distribution: Distribution) -> Tensor:
        if isinstance(distribution, Ctc) and self.beam is not None and self.beam > 1:
            return distribution.beam(self.beam).path[:, 0]
        return distribution.best().path


class FrameHead(SequenceHead, TaggingHead):
    """A head that learns a tag for each frame, and answers with the symbols of the best frame path."""

    class Options(HeadOptions):
        projection: Literal["linear", "none"] = PROJECTION

    task = "frame_transcription"
    predicted = Head.predicted

    def target(self, example: Example) -> list[int] | None:
        """Numbers of the frames' tags; None if one is unknown or there are none."""
        return self.tags.encode(example.targets["tags"]) if "tags" in example.targets else None

    def log_probs(self, distribution: Distribution, answers: Sequence[tuple[str, ...]]) -> list[float] | None:
        """None: an answer has many frame paths, and their sum is not computed."""
        return None


class TrimHead(FrameHead, CrfHead):
    """A CRF over frames whose repeated tags become one symbol (`trim`), without a blank; a baseline for `CtcHead`.

    It cannot answer the same symbol twice in a row. The CRF keeps neighbouring frames on one tag; independent frames
    would alternate between tags and repeat symbols.
    """

    class Options(FrameHead.Options):
        costs: dict[str, float] = COSTS

    def prepare(self, examples: Sequence[Example]) -> None:
        """Raises `ConfigError` if frames have tags that are in no target."""
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

    A tag that is in a target of the training data is a word; if "7" is a word, "7.1", "7.2", ... are its states in
    order, each lasting one frame or more; every other tag is silence. A path stays in a state or moves to the word's
    next one; from a word's last state it moves to the first state of any word or to silence, and from silence to the
    first state of any word. It begins with a first state or silence, and may end anywhere, because a recording may be
    cut off. Legal transitions have the counts of the training data.

    Two equal words in a row differ by their states, or by silence between them; a word of one state that is repeated
    without silence is one word.
    """

    def __init__(self, in_width: int, tags: TagSet, **options: Any) -> None:
        super().__init__(in_width, tags, **options)
        # (K,) the number of a tag's state in its word, from 1; or `WHOLE`; or `SILENCE`
        self.register_buffer("state", torch.zeros(len(tags.labels), dtype=torch.int64))
        # Registered again, so that they are stored: the tags' names do not determine what is legal.
        for name in ("legal_start", "legal_transitions"):
            self.register_buffer(name, self.get_buffer(name))

    def symbols(self) -> tuple[str, ...]:
        return tuple(sorted({word for word, _ in self._parts() if word is not None}))

    def prepare(self, examples: Sequence[Example]) -> None:
        words = {symbol for example in examples for symbol in example.target}
        self.get_buffer("state").copy_(torch.tensor([state_of(tag, words) for tag in self.tags.labels]))
        parts = self._parts()
        last = {word: max(state for other, state in parts if other == word) for word, _ in parts}
        begins = torch.tensor([state <= 1 for _, state in parts])
        ends = torch.tensor([state == last[word] for word, state in parts])
        moves = [[other in ((word, state), (word, state + 1)) for other in parts] for word, state in parts]
        self.get_buffer("legal_start").copy_(begins)
        self.get_buffer("legal_transitions").copy_(torch.tensor(moves) | (ends.unsqueeze(1) & begins))
        super().prepare(examples)

    def calibrate(self, held_out: HeldOut) -> None:
        """Fit the temperature on the frame paths that the loop allows; a word of fewer frames than states is not."""

        def allowed() -> Iterator[tuple[Distribution, list[Any | None]]]:
            for distribution, targets in held_out():
                yield distribution, [target if target and self._allows(target) else None for target in targets]

        super().calibrate(allowed)

    def answers(self, paths: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        """The words of frame paths; one begins where the word changes or its state number falls."""
        parts = self._parts()
        return [read_words([parts[number] for number in path]) for path in paths]

    def _parts(self) -> list[tuple[str | None, int]]:
        """For each tag its word (None for silence) and its state number."""
        states = self.get_buffer("state").tolist()
        words = [
            None if state == SILENCE else tag if state == WHOLE else tag.rpartition(".")[0]
            for tag, state in zip(self.tags.labels, states, strict=True)
        ]
        return list(zip(words, states, strict=True))

    def _allows(self, path: Sequence[int]) -> bool:
        numbers = torch.as_tensor(path)
        start, moves, _ = self.legal
        return bool(start[numbers[0]] & moves[numbers[:-1], numbers[1:]].all())


def state_of(tag: str, words: Collection[str]) -> int:
    """The state number of a tag, from 1; `WHOLE` if it is a word; `SILENCE` if ``words`` has no such word.

    >>> [state_of(tag, {"7", "a.2"}) for tag in ("7", "7.3", "a.2", "sil", "8.1", ".5")]
    [0, 3, 0, -1, -1, -1]
    """
    if tag in words:
        return WHOLE
    word, _, number = tag.rpartition(".")
    numbered = number.isascii() and number.isdigit() and int(number) > 0
    return int(number) if numbered and word in words else SILENCE


def read_words(parts: Iterable[tuple[str | None, int]]) -> tuple[str, ...]:
    """The words of a path of (word, state) pairs; silence is (None, ..).

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
