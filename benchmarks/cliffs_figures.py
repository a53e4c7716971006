"""The figures of `cliffs.py`: colours after Okabe and Ito (2008), letters that are readable at half the width."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from cliffs_distance import Distances
from cliffs_exact import Descent, Memory, Reach
from cliffs_training import Curve
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
STYLE = {
    "font.size": 15,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 2.2,
    "legend.frameon": False,
    "svg.hashsalt": "structseq",  # the same names inside the file in every run
}


@contextmanager
def figure(path: Path, panels: int, *, height: float = 4.6) -> Iterator[list[Axes]]:
    """So many panels side by side, written to ``path`` as SVG at the end; the same bytes in every run."""
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(6.2 * panels, height), layout="constrained")
        yield [drawn.add_subplot(1, panels, number + 1) for number in range(panels)]
        drawn.savefig(path, metadata={"Date": None}, dpi=80)


def one_memory(path: Path, weights: np.ndarray, memory: Memory) -> None:
    """Loss and slope of the one-memory network over its weight."""
    with figure(path, 2) as (left, right):
        left.semilogy(weights, np.maximum(memory.loss, 1e-4), color=COLOURS[1])
        left.set(xlabel="weight w", ylabel="loss (y − 1)² / 2", title="Loss after 1,000 steps", ylim=(1e-4, 1e18))
        right.semilogy(weights, np.abs(memory.loss_slope) + 1e-7, color=COLOURS[0])
        right.set(xlabel="weight w", ylabel="|dL/dw|", title="Its slope", ylim=(1e-7, 1e21))
        for w in (0.99, 1.01):
            at = int(np.argmin(np.abs(weights - w)))
            for axes, values in ((left, memory.loss), (right, np.abs(memory.loss_slope))):
                axes.plot(weights[at], values[at], "o", color="black", markersize=8)
                axes.annotate(
                    f"w = {w}: {_short(values[at])}",
                    (weights[at], values[at]),
                    xytext=(0.9802 if w < 1 else 1.0085, values[at] * (300 if w < 1 else 1.0)),
                    ha="left" if w < 1 else "right",
                )


def _short(value: float) -> str:
    """Three digits, and a power of ten where there are many zeros."""
    if 1e-2 <= value < 1e4:
        return f"{value:.3g}"
    digits, power = f"{value:.2e}".split("e")
    return f"{digits} · 10" + str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def wall(path: Path, w: np.ndarray, b: np.ndarray, loss: np.ndarray, descents: Mapping[str, Descent]) -> None:
    """The surface of the logistic unit after Pascanu, Mikolov and Bengio, its wall, and descents before it.

    ``loss`` (M, N) stands over the grid ``w``, ``b`` (M, N).
    """
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(13.2, 5.2), layout="constrained")
        relief = drawn.add_subplot(1, 2, 1, projection="3d")
        relief.plot_surface(
            w, b, loss, cmap="cividis", rcount=161, ccount=161, linewidth=0, antialiased=False, rasterized=True
        )  # type: ignore[attr-defined]
        relief.view_init(elev=32, azim=-118)  # type: ignore[attr-defined]
        relief.set(xlabel="weight w", ylabel="bias b", title="Loss after 50 steps")
        relief.locator_params(nbins=5)
        relief.xaxis.labelpad = relief.yaxis.labelpad = 12
        map_ = drawn.add_subplot(1, 2, 2)
        shades = map_.pcolormesh(w, b, loss, cmap="cividis", rasterized=True, shading="nearest")
        drawn.colorbar(shades, ax=map_, label="loss")
        for (name, descent), colour, dash in zip(descents.items(), ("#FFFFFF", "#E69F00"), ("--", "-"), strict=True):
            map_.plot(descent.weights, descent.biases, dash, color=colour, label=name, lw=1.8)
        map_.plot(*_start(descents), "o", color="white", markeredgecolor="black", markersize=10)
        map_.set(xlabel="weight w", ylabel="bias b", title="Descents at the wall", xlim=(4, 6), ylim=(-3, -1.6))
        map_.legend(labelcolor="white", loc="lower right", bbox_to_anchor=(1.0, 0.63))
        drawn.savefig(path, metadata={"Date": None}, dpi=56)


def _start(descents: Mapping[str, Descent]) -> tuple[float, float]:
    first = next(iter(descents.values()))
    return first.weights[0], first.biases[0]


def reuse(path: Path, offsets: np.ndarray, found: Mapping[tuple[str, str], Reach]) -> None:
    """The gradient of a reused parameter beside those of each layer's own, by activation."""
    titles = {"weight": "By the weight, input 1", "bias": "By the bias, from rest"}
    with figure(path, 2, height=5.4) as panels:
        for axes, (parameter, title) in zip(panels, titles.items(), strict=True):
            for colour, dash, activation in zip(
                COLOURS, ("-", (0, (2, 3)), "-."), ("linear", "relu", "tanh"), strict=False
            ):
                reach, width = found[activation, parameter], {"linear": 5, "relu": 2.5, "tanh": 2.5}[activation]
                label = f"reused, {activation.replace('relu', 'ReLU')}"
                axes.semilogy(offsets, reach.reused, ls=dash, color=colour, label=label, lw=width)
            own = found["linear", parameter].own
            axes.fill_between(offsets, own.min(1), own.max(1), color="#999999", alpha=0.5, lw=0)
            axes.semilogy(offsets, np.median(own, 1), color="#555555", label="own, linear (100 draws)")
            axes.set(xlabel="w − 1 (own weights: plus or minus it)", ylabel=f"|dy/d{parameter[0]}|", title=title)
            axes.set_ylim(1e-7, 1e13)
        panels[0].legend(loc="upper left", fontsize=13)


def training(path: Path, curves: Mapping[str, Curve], *, title: str, unit: str, coin: float) -> None:
    """Loss and gradient norm over the updates, by clipping; ``coin`` is what guessing loses, ``unit`` what it is of."""
    with figure(path, 2) as (left, right):
        for (name, curve), colour, dash in zip(curves.items(), COLOURS, DASHES, strict=False):
            updates = np.arange(len(curve.losses) // 10) * 10 + 5
            label = "no clipping" if name == "none" else f"clipped by {name}"
            left.semilogy(updates, _means(curve.losses), ls=dash, color=colour, label=label)
            right.semilogy(updates, _highest(curve.norms), ls=dash, color=colour, label=label)
        left.axhline(coin, color="#777777", lw=1.2)
        left.text(0, coin * 0.88, "a tossed coin", va="top", color="#555555", fontsize=13)
        left.set(xlabel="update", ylabel=f"loss (nats {unit})", title=title)
        right.set(xlabel="update", ylabel="gradient norm, before clipping", title="Highest of ten updates")
        left.legend(fontsize=13)


def _means(values: np.ndarray) -> np.ndarray:
    return values[: len(values) // 10 * 10].reshape(-1, 10).mean(1)


def _highest(values: np.ndarray) -> np.ndarray:
    return values[: len(values) // 10 * 10].reshape(-1, 10).max(1)


def reaching(path: Path, found: Mapping[str, Sequence[Distances]]) -> None:
    """Gradient norm over distance for each encoder, before and after training."""
    with figure(path, 2, height=5.0) as panels:
        for number, (axes, title) in enumerate(zip(panels, ("At the start", "After training"), strict=True)):
            for (kind, both), colour, dash in zip(found.items(), COLOURS, DASHES, strict=False):
                axes.semilogy(both[number].mean, ls=dash, color=colour, label=kind)
            axes.set(xlabel="distance k (steps)", ylabel="norm of d state(t) / d input(t − k)", title=title)
            axes.set_ylim(1e-10, 2e1)
        panels[0].legend(loc="lower left")
