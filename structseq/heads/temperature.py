"""Calibration: one temperature for all scores of a head (Platt 2000; Guo et al. 2017, section 4.2)."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from structseq.batch import pad_targets
from structseq.heads.base import Head, HeldOut
from structseq.padded import Padded

# Bounds of the temperature
COLDEST, HOTTEST = 1e-3, 1e3

# Candidates for the bias against O in nats, mostly positive: models miss more entities than they invent
OUTSIDE_BIASES = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)

# A distribution, its padded targets, and the rows that count
Batch = tuple[Any, Tensor, Tensor]


class TemperedHead(Head):
    """Probabilities proportional to exp(score / temperature), with the temperature fitted by the likelihood of held-out
    answers. It does not change the best answer.

    Attributes
    ----------
    learns_log_probs:
        Whether scores are log-probabilities before a temperature is fitted. If not, the distribution is then marked as
        not calibrated.
    temperature_buffer:
        Name of the buffer (); 0 stands for a temperature that is needed and not fitted.
    """

    learns_log_probs: ClassVar[bool] = True
    temperature_buffer: ClassVar[str] = "temperature"

    @abstractmethod
    def chain(self, states: Padded) -> Any:
        """The distribution at temperature 1, as trained."""

    def forward(self, states: Padded) -> Any:
        distribution, temperature = self.chain(states), float(self.get_buffer(self.temperature_buffer))
        if temperature not in (0.0, 1.0):
            distribution = distribution.tempered(temperature)
        distribution.calibrated = temperature > 0
        return distribution

    def outside_biases(self) -> list[float]:
        """Candidates for the bias against O, such that a temperature changes no answer: nats of the scores as trained,
        calibrated ones if those are no log-probabilities."""
        temperature = float(self.get_buffer(self.temperature_buffer)) if self.learns_log_probs else 1.0
        return (torch.tensor(OUTSIDE_BIASES) / temperature).tolist()

    def calibrate(self, held_out: HeldOut) -> None:
        temperature = self.get_buffer(self.temperature_buffer)
        temperature.fill_(float(self.learns_log_probs))
        batches = [batch for batch in (_possible(*pair) for pair in held_out()) if len(batch[2])]
        if batches:
            temperature.fill_(fitted_temperature(batches, near_one=self.learns_log_probs))


def _possible(distribution: Any, targets: Sequence[Any | None]) -> Batch:
    """The rows whose target is known and possible; the probability of others is 0 at any temperature."""
    with torch.no_grad():
        steps = distribution.best().path.shape[1]
        table = pad_targets([() if target is None else target for target in targets], steps)
        possible = torch.isfinite(distribution.log_prob(table)).tolist()
    rows = [row for row, target in enumerate(targets) if target is not None and possible[row]]
    return distribution, table, torch.tensor(rows, dtype=torch.int64)


def fitted_temperature(batches: Sequence[Batch], *, near_one: bool = False) -> float:
    """The temperature of maximum likelihood; it is unique, because log-likelihood is concave in 1 / temperature.

    ``near_one`` adds a standard normal prior of log temperature, so that a few answers, all right, do not give 0.
    """
    from scipy.optimize import minimize_scalar  # its import takes half a second, and tagging does not need it

    def loss(exponent: float) -> float:
        temperature = math.exp(exponent)
        with torch.no_grad():
            log_probs = [each.tempered(temperature).log_prob(target)[rows] for each, target, rows in batches]
        prior = exponent**2 / 2 if near_one else 0.0
        return prior - float(torch.cat([part.double() for part in log_probs]).sum())

    bounds = math.log(COLDEST), math.log(HOTTEST)
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3}).x)
