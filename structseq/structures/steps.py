"""Steps: autoregressive distributions over symbol sequences, and beam search (Sutskever, Vinyals and Le 2014).

"Sequence to sequence learning with neural networks", equation 1.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from structseq.structures.base import Ranked, Searched, draw, require_count

# The network's state for some hypotheses: tensors with one row each
State = tuple[Tensor, ...]

END = 0


class Stepper(Protocol):
    """The network that predicts the next symbol; symbols are numbered from 1, and 0 is the end."""

    rows: int  # B
    choices: int  # K + 1

    def begin(self) -> tuple[Tensor, State]:
        """Log-probabilities (B, K + 1) of each row's first symbol, and the state."""

    def onward(self, symbols: Tensor, rows: Tensor, state: State) -> tuple[Tensor, State]:
        """Log-probabilities (N, K + 1) after ``symbols`` (N,) of N hypotheses for ``rows`` (N,), and the state."""

    def along(self, target: Tensor) -> Tensor:
        """(B, U + 1, K + 1) log-probabilities before each symbol of ``target`` (B, U) and after the last;
        differentiable."""


class Steps(Searched):
    """A distribution over symbol sequences y of at most ``longest`` symbols.

    p(y) = prod_u p(y_u | y_1 .. y_u-1, row) p(end | y, row)

    where the end has probability 1 after ``longest`` (B,) symbols, so that the probabilities of all sequences sum to 1.
    A sequence (target or answer) is (.., U) int64, padded with 0, the end.

    `log_prob` is exact. `best` (greedy) and `beam` may miss the most probable sequence; their scores are exact. Raises
    ValueError if shapes or types do not fit, or a target has symbols after its end.

    Examples
    --------
    >>> class Coin:  # 1 in three of five throws, else the end
    ...     rows, choices, chances = 1, 2, torch.tensor([[0.4, 0.6]]).log()
    ...     def begin(self): return self.chances, ()
    ...     def onward(self, symbols, rows, state): return self.chances.expand(len(rows), 2), ()
    ...     def along(self, target): return self.chances.expand(1, target.shape[1] + 1, 2)
    >>> steps = Steps(Coin(), longest=torch.tensor([2]))
    >>> found = steps.beam(width=3, k=3)  # nothing, 1 1, 1
    >>> found.path.tolist(), [round(float(p), 2) for p in found.score[0].exp()]
    ([[[0, 0], [1, 1], [1, 0]]], [0.4, 0.36, 0.24])
    >>> steps.best().path.tolist()  # 1 is the most probable symbol at each step
    [[1, 1]]
    """

    exact = frozenset({"log_prob", "sample"})

    def __init__(self, stepper: Stepper, longest: Tensor) -> None:
        if longest.shape != (stepper.rows,) or longest.is_floating_point() or bool((longest < 0).any()):
            raise ValueError(f"longest: expected {stepper.rows} whole numbers from 0 on, found {longest}")
        self.stepper, self.longest = stepper, longest.cpu().long()

    def log_prob(self, target: Tensor) -> Tensor:
        """(B,) in nats; -inf for a target longer than ``longest``."""
        target, lengths = self._checked(target)
        steps = self.stepper.along(target)  # (B, U + 1, K + 1)
        device = steps.device
        place = torch.arange(target.shape[1] + 1)
        # The end counts once, after the last symbol, unless its probability is 1 there.
        counted = (place < lengths.unsqueeze(1)) | (
            (place == lengths.unsqueeze(1)) & (lengths < self.longest).unsqueeze(1)
        )
        symbols = torch.nn.functional.pad(target, (0, 1)).to(device)
        each = steps.gather(2, symbols.unsqueeze(2)).squeeze(2)
        total = torch.where(counted.to(device), each, 0.0).sum(1)
        return torch.where((lengths <= self.longest).to(device), total, -torch.inf)

    def best(self) -> Ranked:
        found = self.beam(1)
        return Ranked(found.path[:, 0], found.score[:, 0])

    def beam(self, width: int, k: int = 1, *, length_power: float = 0.0) -> Ranked:
        """The ``k`` best sequences of a beam search of ``width``, finished hypotheses included (Graves 2012, section
        2.5, without its prefixes).

        ``path`` (B, k, U) is padded with 0; ``score`` (B, k) is the exact log-probability, -inf if fewer were found.
        With ``length_power`` above 0 hypotheses are ordered by score / ((5 + length) / 6) ** power (Wu et al. 2016,
        equation 14), which favours longer ones. Ties go to the better prefix, then to the end, then to the lower
        symbol. A beam as wide as the number of sequences finds them all, in order.
        """
        require_count(width, "width")
        require_count(k, "k")
        with torch.no_grad():
            found = _searched(self, width, k, length_power)
        path = found.path.masked_fill((found.score == -torch.inf).unsqueeze(2), END)[:, :k]
        longest = int((path != END).sum(2).max()) if path.numel() else 0
        missing = k - path.shape[1]
        path = torch.nn.functional.pad(path[:, :, :longest], (0, 0, 0, missing), value=END)
        return Ranked(path, torch.nn.functional.pad(found.score[:, :k], (0, missing), value=-torch.inf))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, B, U) independently drawn answers, padded with 0; reproducible by ``generator``."""
        require_count(n, "n")
        with torch.no_grad():
            rows = torch.arange(self.stepper.rows).repeat(n)
            logits, state = self.stepper.begin()
            logits, state = logits.repeat(n, 1), tuple(part.repeat(n, *[1] * (part.dim() - 1)) for part in state)
            found, going = [], torch.ones(len(rows), dtype=torch.bool)
            for step in range(int(self.longest.max()) if len(rows) else 0):
                going &= step < self.longest[rows]
                symbols = torch.where(going, draw(logits, generator).cpu(), END)
                going &= symbols != END
                if not going.any():
                    break
                found.append(symbols)
                logits, state = self.stepper.onward(symbols.to(logits.device), rows.to(logits.device), state)
        path = torch.stack(found, -1) if found else torch.zeros(len(rows), 0, dtype=torch.int64)
        return path.view(n, self.stepper.rows, path.shape[1])

    def _checked(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """The target on the CPU and its lengths."""
        if target.dim() != 2 or len(target) != self.stepper.rows or target.is_floating_point():
            raise ValueError(
                f"target: expected whole numbers of shape ({self.stepper.rows}, symbols), found {target.dtype} of "
                f"shape {tuple(target.shape)}"
            )
        target = target.cpu().long()
        lengths = (target != END).sum(1)
        inside = torch.arange(target.shape[1]) < lengths.unsqueeze(1)
        if bool((target.masked_fill(inside, END) != END).any()) or bool((inside & (target == END)).any()):
            raise ValueError("target: expected symbols and then nothing but the end, 0, found a symbol behind it")
        if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < self.stepper.choices:
            raise ValueError(f"target: expected numbers from 0 to {self.stepper.choices - 1}, found {target.tolist()}")
        return target, lengths


class _Beam(NamedTuple):
    """W hypotheses of each row, best first, on the CPU; missing ones have score -inf."""

    path: Tensor  # (B, W, U) symbols so far
    score: Tensor  # (B, W) float64
    length: Tensor  # (B, W) number of symbols, without the end
    going: Tensor  # (B, W) which are unfinished
    place: Tensor  # (B, W) the row of each unfinished one in the network's last output

    @staticmethod
    def empty(rows: int, width: int) -> _Beam:
        """Before the first symbol: one empty hypothesis."""
        score = torch.full((rows, width), -torch.inf, dtype=torch.float64)
        score[:, 0] = 0.0
        place = torch.arange(rows).unsqueeze(1).expand(rows, width)
        path = torch.zeros(rows, width, 0, dtype=torch.int64)
        return _Beam(path, score, torch.zeros_like(place), score == 0, place)

    def onward(self, each: Tensor, power: float) -> tuple[_Beam, Tensor]:
        """The best W after one more symbol with log-probabilities (B, W, K + 1), and that symbol (B, W)."""
        choices = each.shape[2]
        grown = torch.where(self.going.unsqueeze(2), self.score.unsqueeze(2) + each, -torch.inf)
        grown[..., END] = torch.where(self.going, grown[..., END], self.score)  # finished ones stay
        length = self.length.unsqueeze(2) + (torch.arange(choices) != END)
        ordered = (grown / ((5 + length) / 6) ** power).flatten(1) if power else grown.flatten(1)
        if self.score.shape[1] == 1:  # the same without sorting the vocabulary
            chosen = ordered.argmax(dim=1, keepdim=True)
        else:
            chosen = ordered.argsort(dim=1, descending=True, stable=True)[:, : self.score.shape[1]]
        parent, symbol = chosen // choices, chosen % choices
        path = self.path.gather(1, parent.unsqueeze(2).expand(-1, -1, self.path.shape[2]))
        score = grown.flatten(1).gather(1, chosen)
        going = self.going.gather(1, parent) & (symbol != END) & (score > -torch.inf)
        path, length = torch.cat([path, symbol.unsqueeze(2)], 2), length.flatten(1).gather(1, chosen)
        return _Beam(path, score, length, going, self.place.gather(1, parent)), symbol


def _searched(steps: Steps, width: int, k: int, power: float) -> _Beam:
    """The beam when the first ``k`` hypotheses of each row are final."""
    stepper, beam = steps.stepper, _Beam.empty(steps.stepper.rows, width)
    logits, state = stepper.begin()
    step, device = 0, logits.device
    owner = beam.place
    # Without a length power, growing only lowers a score: lower ranks cannot overtake.
    needed = width if power else k
    while beam.going[:, :needed].any():
        each = logits.double().cpu()[beam.place]  # (B, W, K + 1)
        sure = (steps.longest == step).view(-1, 1, 1)
        end = (torch.arange(each.shape[2]) == END).expand_as(each)
        beam, symbol = beam.onward(torch.where(sure, torch.where(end, 0.0, -torch.inf), each), power)
        if beam.going[:, :needed].any():
            alive = beam.place[beam.going].to(device)
            kept = tuple(part[alive] for part in state)
            logits, state = stepper.onward(symbol[beam.going].to(device), owner[beam.going].to(device), kept)
            place = torch.zeros_like(beam.place)
            place[beam.going] = torch.arange(len(alive))
            beam = beam._replace(place=place)
        step += 1
    return beam
