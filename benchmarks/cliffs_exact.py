"""One memory over a thousand steps, by closed form and by automatic differentiation: where the cliffs come from.

The memory is h_1 = x, h_t = phi(w h_{t-1} + b), and the output y is the last of ``STEPS`` memories; the loss is
(y - 1)^2 / 2. `squashed` is the unit of Pascanu, Mikolov and Bengio (2013, "On the difficulty of training recurrent
neural networks", figure 6): x_t = w s(x_{t-1}) + b with the logistic s, x_0 = 1/2, fifty steps, loss
(s(x_50) - 0.7)^2. Everything here is in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

STEPS = 1000
TARGET = 1.0
Array = np.ndarray

# From rest, ReLU has a slope on its right side only; so small a bias that tanh is still a straight line there.
ALMOST_NOTHING = 1e-30

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda drive: drive,
    "relu": torch.relu,
    "tanh": torch.tanh,
}


@dataclass(frozen=True)
class Memory:
    """The linear one-memory network at given weights: each field an array like the weights.

    Attributes
    ----------
    output, loss:
        y and (y - 1)^2 / 2.
    output_slope, loss_slope:
        dy/dw and dL/dw.
    """

    output: Array
    loss: Array
    output_slope: Array
    loss_slope: Array


def closed_form(weights: Array) -> Memory:
    """y = w^(T-1) for an input of 1 in the first step and 0 in all others; dy/dw = (T-1) w^(T-2).

    >>> round(float(closed_form(np.array(1.01)).output_slope))
    20525631
    """
    output, slope = weights ** (STEPS - 1), (STEPS - 1) * weights ** (STEPS - 2)
    return Memory(output, (output - TARGET) ** 2 / 2, slope, (output - TARGET) * slope)


def by_autograd(weights: Array) -> Memory:
    """The same by running the thousand steps and differentiating them."""
    w = torch.tensor(weights, dtype=torch.float64).requires_grad_()
    y = unrolled(w.expand(STEPS - 1, *w.shape), torch.zeros(STEPS - 1), torch.ones_like(w), ACTIVATIONS["linear"])
    loss = (y - TARGET) ** 2 / 2
    (output_slope,) = torch.autograd.grad(y.sum(), w, retain_graph=True)
    (loss_slope,) = torch.autograd.grad(loss.sum(), w)
    return Memory(y.detach().numpy(), loss.detach().numpy(), output_slope.numpy(), loss_slope.numpy())


def unrolled(weights: Tensor, biases: Tensor, first: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """The last memory (N,) of networks whose steps have ``weights`` (T-1, N) and ``biases`` (T-1, N) or (T-1,)."""
    memory = first
    for weight, bias in zip(weights, biases, strict=True):
        memory = activation(weight * memory + bias)
    return memory


@dataclass(frozen=True)
class Reach:
    """How strongly the output hangs on one parameter, for networks around w = 1.

    Attributes
    ----------
    reused: (D,)
        |dy/d parameter| where one parameter serves all steps, w = 1 + distance.
    own: (D, N)
        The largest |dy/d parameter of one layer| where every layer has its own, of N networks whose weights are each
        1 + distance or 1 - distance, drawn by tossing a coin.
    """

    reused: Array
    own: Array


def reach(distances: Array, activation: str, parameter: str, *, draws: int = 100, seed: int = 0) -> Reach:
    """`Reach` of the weight (input 1, no bias) or of the bias (input 0: the memory is at rest).

    Parameters
    ----------
    distances: (D,)
        How far the weights are from 1; negative ones too.
    parameter:
        ``weight`` or ``bias``.
    """
    coins = np.random.default_rng(seed).choice([-1.0, 1.0], size=(STEPS - 1, 1, draws))
    own = _slopes(1 + distances[:, None] * coins, activation, parameter)
    reused = _slopes(np.broadcast_to(1 + distances, (STEPS - 1, len(distances))), activation, parameter)
    # Where all steps have the same value, the reused parameter's gradient is the sum of the steps' own.
    return Reach(np.abs(reused.sum(0)), np.abs(own).max(0))


def _slopes(weights: Array, activation: str, parameter: str) -> Array:
    """(T-1, ...) dy/d parameter of each step, for weights (T-1, ...)."""
    w = torch.from_numpy(np.ascontiguousarray(weights, dtype=np.float64)).requires_grad_(parameter == "weight")
    at_rest = parameter == "bias"
    b = torch.full_like(w, ALMOST_NOTHING if at_rest else 0.0, requires_grad=at_rest)
    first = torch.full_like(w[0], 0.0 if at_rest else 1.0)
    y = unrolled(w, b, first.detach(), ACTIVATIONS[activation])
    return torch.autograd.grad(y.sum(), b if at_rest else w)[0].numpy()


def moves(distance: float) -> dict[str, float]:
    """How much larger y is when a parameter of the linear network moves by ``distance`` from w = 1.

    >>> round(moves(0.01)["the weight of all steps"])
    20752
    """
    layers = STEPS - 1
    return {
        "the weight of all steps": (1 + distance) ** layers,
        "one layer's own weight": 1 + distance,
        # The steepest way to move so far in the space of all own weights is to move all of them equally.
        "all own weights together, as far in their space": float((1 + distance / np.sqrt(layers)) ** layers),
    }


def squashed(weight: Array | float, bias: Array | float, *, steps: int = 50) -> tuple[Array, Array, Array]:
    """Loss of the logistic unit and its derivatives by weight and by bias, carried forwards beside the memory."""
    w, b = np.broadcast_arrays(np.asarray(weight, dtype=np.float64), np.asarray(bias, dtype=np.float64))
    x, by_w, by_b = np.full(w.shape, 0.5), np.zeros(w.shape), np.zeros(w.shape)
    for _ in range(steps):
        s = _logistic(x)
        slope = s * (1 - s)
        x, by_w, by_b = w * s + b, s + w * slope * by_w, 1 + w * slope * by_b
    s = _logistic(x)
    upstream = 2 * (s - 0.7) * s * (1 - s)
    return (s - 0.7) ** 2, upstream * by_w, upstream * by_b


def _logistic(x: Array) -> Array:
    return (1 + np.tanh(x / 2)) / 2


@dataclass(frozen=True)
class Descent:
    """Gradient descent on `squashed`: where it stood before each update, the loss and the gradient's norm there.

    Attributes
    ----------
    weights, biases, losses, norms: (updates + 1, ...)
        ``...`` is the shape of the starts.
    """

    weights: Array
    biases: Array
    losses: Array
    norms: Array


def descend(weight: Array | float, bias: Array | float, *, rate: float, clip: float, updates: int) -> Descent:
    """Plain gradient descent from one start or many; a gradient longer than ``clip`` is cut to it (0: never)."""
    w, b = np.asarray(weight, dtype=np.float64), np.asarray(bias, dtype=np.float64)
    path = []
    for _ in range(updates + 1):
        loss, by_w, by_b = squashed(w, b)
        norm = np.hypot(by_w, by_b)
        path.append((w, b, loss, norm))
        step = rate * clip / np.maximum(norm, clip) if clip else rate
        w, b = w - step * by_w, b - step * by_b
    return Descent(*(np.stack(column) for column in zip(*path, strict=True)))
