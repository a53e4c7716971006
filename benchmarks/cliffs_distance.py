"""How far back gradients reach: the norm of d state_t / d input_{t-k} over the distance k.

What Bengio, Simard and Frasconi (1994, section III) and Pascanu, Mikolov and Bengio (2013, section 2.1) reason about,
measured on whole encoders.
"""

from __future__ import annotations

from dataclasses import dataclass

import cliffs_latch as latch
import numpy as np
import torch
from cliffs_training import Reader
from torch import Tensor
from torch.nn import functional

from structseq.padded import Padded

FARTHEST = 100
# Clockwork's modules of periods 1, 2, 4 and 8 are in a different phase at each of eight steps in a row.
ENDS = 8


@dataclass(frozen=True)
class Distances:
    """Frobenius norms of the (H, F) Jacobians, by distance k = 0..FARTHEST.

    Attributes
    ----------
    mean, median: (FARTHEST + 1,)
        Over rows and over the last ``ENDS`` steps of each row.
    """

    mean: np.ndarray
    median: np.ndarray


def distances(reader: Reader, *, rows: int = 8, seed: int = 1) -> Distances:
    """Measured on rows of the latch in which nothing is spoken after the first step, in float64."""
    words, _ = latch.draw(rows, torch.Generator().manual_seed(seed), steps=FARTHEST + ENDS, spoken=0.0)
    reader = reader.double()
    norms = [jacobian_norms(reader, words[:, : FARTHEST + 1 + end]) for end in range(ENDS)]
    by_distance = torch.cat([norm.flip(1)[:, : FARTHEST + 1] for norm in norms])  # (rows * ENDS, FARTHEST + 1)
    return Distances(by_distance.mean(0).numpy(), by_distance.median(0).values.numpy())


def jacobian_norms(reader: Reader, words: Tensor) -> Tensor:
    """(B, T) Frobenius norm of d state_T / d input_t for words (B, T) and each t, T the last step."""
    inputs = functional.one_hot(words, len(latch.WORDS)).to(torch.float64)
    width = reader.encoder.width
    # One copy of each row for each unit of the state, so that a single pass backwards yields every unit's gradient.
    copies = inputs.repeat_interleave(width, 0).requires_grad_()
    states = reader.encoder(Padded(copies, torch.full((len(copies),), words.shape[1]))).values
    chosen = states[:, -1].view(len(words), width, width).diagonal(dim1=1, dim2=2).sum()
    (gradient,) = torch.autograd.grad(chosen, copies)
    # (B, H, T, F) -> (B, T)
    by_unit = gradient.view(len(words), width, *gradient.shape[1:])
    return torch.linalg.vector_norm(by_unit, dim=(1, 3))


def right_from_afar(reader: Reader, *, rows: int = 200, nearest: int = 50, seed: int = 2) -> float:
    """Share of right answers, 0..1, where the word was spoken ``nearest`` to ``FARTHEST`` steps ago."""
    words, answers = latch.draw(rows, torch.Generator().manual_seed(seed), steps=FARTHEST + 1, spoken=0.0)
    with torch.no_grad():
        right = reader(words).argmax(1) == answers
    return float(right[:, nearest:][answers[:, nearest:] != latch.UNASKED].float().mean())
