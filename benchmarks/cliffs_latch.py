"""A task for memory: say which of two words was spoken last, however long ago.

A row begins with ``left`` or ``right``; later steps say one of them anew (probability ``SPOKEN``), ask ``where``
(``ASKED``) or ``wait``. The answer to ``where`` is the word spoken last: one bit to be latched (Bengio, Simard and
Frasconi 1994, "Learning long-term dependencies with gradient descent is difficult", section II), with the writing,
keeping and reading that the gates of an LSTM are for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from structseq.data.example import Example

WORDS = ("wait", "left", "right", "where")
WAIT, LEFT, RIGHT, WHERE = range(4)
STEPS = 100
SPOKEN = 0.05
ASKED = 0.1
UNASKED = -100  # what torch's cross-entropy leaves out


def draw(rows: int, generator: torch.Generator, *, steps: int = STEPS, spoken: float = SPOKEN) -> tuple[Tensor, Tensor]:
    """Words (B, T) as numbers and answers (B, T): 0 for left, 1 for right, `UNASKED` where nothing was asked."""
    chance = torch.rand(rows, steps, generator=generator)
    side = torch.randint(LEFT, RIGHT + 1, (rows, steps), generator=generator)
    chance[:, 0] = -1.0
    words = torch.where(chance < spoken, side, torch.where(chance < spoken + ASKED, WHERE, WAIT))
    # The step at which something was spoken last; the first step always speaks.
    number = torch.arange(steps).expand_as(words)
    last = torch.where((words == LEFT) | (words == RIGHT), number, 0).cummax(1).values
    answers = words.gather(1, last) - LEFT
    return words, answers.masked_fill(words != WHERE, UNASKED)


def examples(rows: int, seed: int) -> tuple[Example, ...]:
    """The same as sentences with tags: ``left`` or ``right`` for a ``where``, ``-`` for everything else."""
    words, answers = draw(rows, torch.Generator().manual_seed(seed))
    tag = {UNASKED: "-", 0: "left", 1: "right"}
    return tuple(
        Example.of([WORDS[word] for word in said], [tag[answer] for answer in asked])
        for said, asked in zip(words.tolist(), answers.tolist(), strict=True)
    )
