"""Steps: autoregressive distributions over symbol sequences, and beam search.

Sutskever, Vinyals and Le 2014, "Sequence to sequence learning with neural networks", equation 1.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from structseq.structures.base import BeamSearchable, Ranked, draw, require_count

# The network's state: tensors with one row for each hypothesis
State = tuple[Tensor, ...]

END = 0


class Stepper(Protocol):
    """The network that predicts the next symbol: 1 to K, or 0, the end."""

    rows: int  # B
    choices: int  # K + 1

    def initial(self) -> tuple[Tensor, State]:
        """Log-probabilities (B, K + 1) of each row's first symbol, and the state."""

    def step(self, symbols: Tensor, rows: Tensor, state: State) -> tuple[Tensor, State]:
        """Log-probabilities (N, K + 1) after ``symbols`` (N,) of N hypotheses of ``rows`` (N,), and the state."""

    def teacher_forced(self, target: Tensor) -> Tensor:
        """(B, U + 1, K + 1) log-probabilities at each symbol of ``target`` (B, U) and after the last;
        differentiable."""


class Steps(BeamSearchable):
    """A distribution over symbol sequences y of at most ``longest`` symbols.

    p(y) = prod_u p(y_u | y_1 .. y_u-1, row) p(end | y, row)

    The end has probability 1 after ``longest`` (B,) symbols. A sequence (target or answer) is (.., U) int64, padded
    with 0, the end. `best` (greedy) and `beam` may miss the most probable sequence; their scores are exact. Raises
    ValueError if shapes or types do not fit, or if a target has symbols after its end.
    """

    exact = frozenset({"log_prob", "sample"})

    def __init__(self, stepper: Stepper, longest: Tensor) -> None:
        if longest.shape != (stepper.rows,) or longest.is_floating_point() or bool((longest < 0).any()):
            raise ValueError(f"longest: expected {stepper.rows} whole numbers from 0 on, found {longest}")
        self.stepper, self.longest = stepper, longest.cpu().long()

    def log_prob(self, target: Tensor) -> Tensor:
        """(B,) log-probability in nats; -inf for a target longer than ``longest``."""
        target, lengths = self._checked(target)
        steps = self.stepper.teacher_forced(target)  # (B, U + 1, K + 1)
        device = steps.device
        position = torch.arange(target.shape[1] + 1)
        # The end counts once, after the last symbol, unless it is certain there.
        counted = (position < lengths.unsqueeze(1)) | (
            (position == lengths.unsqueeze(1)) & (lengths < self.longest).unsqueeze(1)
        )
        symbols = torch.nn.functional.pad(target, (0, 1)).to(device)
        log_probs = steps.gather(2, symbols.unsqueeze(2)).squeeze(2)
        total = torch.where(counted.to(device), log_probs, 0.0).sum(1)
        return torch.where((lengths <= self.longest).to(device), total, -torch.inf)

    def best(self) -> Ranked:
        found = self.beam(1)
        return Ranked(found.path[:, 0], found.score[:, 0])

    def beam(self, width: int, k: int = 1, *, length_power: float = 0.0) -> Ranked:
        """The ``k`` best sequences of a beam search; ``width`` includes finished hypotheses (Graves 2012, section 2.5).

        ``path`` (B, k, U) is padded with 0; ``score`` (B, k) is the exact log-probability, -inf if fewer were found.
        Hypotheses are ordered by score / ((5 + length) / 6) ** ``length_power`` (Wu et al. 2016, equation 14). Ties go
        to the better prefix, then to the end, then to the lower symbol.
        """
        require_count(width, "width")
        require_count(k, "k")
        with torch.no_grad():
            found = _beam_search(self, width, k, length_power)
        path = found.path.masked_fill((found.score == -torch.inf).unsqueeze(2), END)[:, :k]
        longest = int((path != END).sum(2).max()) if path.numel() else 0
        missing = k - path.shape[1]
        path = torch.nn.functional.pad(path[:, :, :longest], (0, 0, 0, missing), value=END)
        return Ranked(path, torch.nn.functional.pad(found.score[:, :k], (0, missing), value=-torch.inf))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, B, U) independent samples, padded with 0."""
        require_count(n, "n")
        with torch.no_grad():
            rows = torch.arange(self.stepper.rows).repeat(n)
            logits, state = self.stepper.initial()
            logits, state = logits.repeat(n, 1), tuple(part.repeat(n, *[1] * (part.dim() - 1)) for part in state)
            found, unfinished = [], torch.ones(len(rows), dtype=torch.bool)
            for step in range(int(self.longest.max()) if len(rows) else 0):
                unfinished &= step < self.longest[rows]
                symbols = torch.where(unfinished, draw(logits, generator).cpu(), END)
                unfinished &= symbols != END
                if not unfinished.any():
                    break
                found.append(symbols)
                logits, state = self.stepper.step(symbols.to(logits.device), rows.to(logits.device), state)
        path = torch.stack(found, -1) if found else torch.zeros(len(rows), 0, dtype=torch.int64)
        return path.view(n, self.stepper.rows, path.shape[1])

    def _checked(self, target: Tensor) -> tuple[Tensor, Tensor]:
        if target.dim() != 2 or len(target) != self.stepper.rows or target.is_floating_point():
            raise ValueError(
                f"target: expected whole numbers of shape ({self.stepper.rows}, symbols), found {target.dtype} of "
                f"shape {tuple(target.shape)}"
            )
        target = target.cpu().long()
        lengths = (target != END).sum(1)
        inside = torch.arange(target.shape[1]) < lengths.unsqueeze(1)
        if bool((target.masked_fill(inside, END) != END).any()) or bool((inside & (target == END)).any()):
            raise ValueError("target: expected symbols padded with the end, 0; found a symbol after the end")
        if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < self.stepper.choices:
            raise ValueError(f"target: expected numbers from 0 to {self.stepper.choices - 1}, found {target.tolist()}")
        return target, lengths


class _Beam(NamedTuple):
    """W hypotheses of each row, best first, on the CPU; score -inf if there are fewer."""

    path: Tensor  # (B, W, U) symbols so far
    score: Tensor  # (B, W) float64
    length: Tensor  # (B, W) number of symbols, without the end
    unfinished: Tensor  # (B, W) booleans
    output_row: Tensor  # (B, W) the row of each unfinished hypothesis in the network's last output

    @staticmethod
    def initial(rows: int, width: int) -> _Beam:
        """One empty hypothesis."""
        score = torch.full((rows, width), -torch.inf, dtype=torch.float64)
        score[:, 0] = 0.0
        output_row = torch.arange(rows).unsqueeze(1).expand(rows, width)
        path = torch.zeros(rows, width, 0, dtype=torch.int64)
        return _Beam(path, score, torch.zeros_like(output_row), score == 0, output_row)

    def advanced(self, log_probs: Tensor, power: float) -> tuple[_Beam, Tensor]:
        """The beam after one more symbol with log-probabilities (B, W, K + 1), and that symbol (B, W)."""
        choices = log_probs.shape[2]
        extended = torch.where(self.unfinished.unsqueeze(2), self.score.unsqueeze(2) + log_probs, -torch.inf)
        extended[..., END] = torch.where(self.unfinished, extended[..., END], self.score)  # finished ones stay
        length = self.length.unsqueeze(2) + (torch.arange(choices) != END)
        ranking = (extended / ((5 + length) / 6) ** power).flatten(1) if power else extended.flatten(1)
        if self.score.shape[1] == 1:  # same result without sorting the vocabulary
            chosen = ranking.argmax(dim=1, keepdim=True)
        else:
            chosen = ranking.argsort(dim=1, descending=True, stable=True)[:, : self.score.shape[1]]
        parent, symbol = chosen // choices, chosen % choices
        path = self.path.gather(1, parent.unsqueeze(2).expand(-1, -1, self.path.shape[2]))
        score = extended.flatten(1).gather(1, chosen)
        unfinished = self.unfinished.gather(1, parent) & (symbol != END) & (score > -torch.inf)
        path, length = torch.cat([path, symbol.unsqueeze(2)], 2), length.flatten(1).gather(1, chosen)
        return _Beam(path, score, length, unfinished, self.output_row.gather(1, parent)), symbol


def _beam_search(steps: Steps, width: int, k: int, power: float) -> _Beam:
    """The beam when the ``k`` best hypotheses of each row are final."""
    stepper, beam = steps.stepper, _Beam.initial(steps.stepper.rows, width)
    logits, state = stepper.initial()
    step, device = 0, logits.device
    row = beam.output_row
    # Without a length power a further symbol cannot raise a score, so lower ranks cannot overtake finished ones.
    needed = width if power else k
    while beam.unfinished[:, :needed].any():
        log_probs = logits.double().cpu()[beam.output_row]  # (B, W, K + 1)
        at_longest = (steps.longest == step).view(-1, 1, 1)
        end = (torch.arange(log_probs.shape[2]) == END).expand_as(log_probs)
        beam, symbol = beam.advanced(torch.where(at_longest, torch.where(end, 0.0, -torch.inf), log_probs), power)
        if beam.unfinished[:, :needed].any():
            kept = beam.output_row[beam.unfinished].to(device)
            state = tuple(part[kept] for part in state)
            logits, state = stepper.step(symbol[beam.unfinished].to(device), row[beam.unfinished].to(device), state)
            output_row = torch.zeros_like(beam.output_row)
            output_row[beam.unfinished] = torch.arange(len(kept))
            beam = beam._replace(output_row=output_row)
        step += 1
    return beam
