"""The comparison's figures: scores with their intervals, learning curves, transitions.

Each is a `matplotlib.figure.Figure` of its own: no window, no pyplot, nothing global. Colours are those of Okabe and
Ito (2008).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from structseq.report.drawing import BLUE, COLOURS, HATCH, INK, LINE, MUTED, VERMILION, house_style
from structseq.report.transitions import TransitionTable
from structseq.report.wording import columns, nats, number, visible

# Systems that one drawing can tell apart by colour
MOST_COLOURS = len(COLOURS)
# Points of an inch; a letter's width as a share of its size, for laying out text before it is drawn
POINT, LETTER = 1 / 72, 0.6
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
_WEAK_TO_STRONG = LinearSegmentedColormap.from_list("weak to strong", [VERMILION, "#f6f6f4", BLUE])
_SMALL = 7.5
# Epochs that a line is drawn through
MOST_POINTS = 200


def colours_of(systems: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """A colour for each system by name; where there are too many, the first in one colour and the others in another."""
    if len(systems) <= MOST_COLOURS:
        return {system["name"]: colour for system, colour in zip(systems, COLOURS, strict=False)}
    return {system["name"]: VERMILION if i == 0 else BLUE for i, system in enumerate(systems)}


def dash_of(place: int) -> Any:
    """A second sign beside the colour: how the line of the system at ``place`` is dashed."""
    return _DASHES[place % len(_DASHES)]


def scores_figure(systems: Sequence[Mapping[str, Any]], *, on: str, score: str) -> Figure:
    """Bars from nought beside the same scores enlarged: each seed's score, the mean and its interval.

    Parameters
    ----------
    systems:
        As in the comparison, in the order to be drawn, from the top.
    on:
        "dev" or "test": whose scores.
    score:
        What they are called, for the axis.
    """
    names = [_lines(visible(system["name"], longest=60)) for system in systems]
    left = (max(columns(line) for lines in names for line in lines) * LETTER * 8.5 + 14) * POINT
    row, foot, head = 0.36, 0.5, 0.28
    height = row * len(systems) + foot + head
    width = left + 1.35 + 0.3 + 3.2 + 0.15
    with house_style():
        figure = Figure(figsize=(width, height))
        whole = figure.add_axes((left / width, foot / height, 1.35 / width, row * len(systems) / height))
        near = figure.add_axes((1 - 3.35 / width, foot / height, 3.2 / width, row * len(systems) / height))
        _bars(whole, systems, on)
        _points(near, systems, on)
        for place, lines in enumerate(names):
            _name(whole, place, lines)
        for axes, title in ((whole, "from 0"), (near, "enlarged")):
            axes.set_ylim(len(systems) - 0.5, -0.5)
            axes.set_title(title, loc="left", color=MUTED, fontsize=_SMALL)
            axes.set_axisbelow(True)
            axes.grid(axis="x")
            axes.set_yticks([])
        near.set_xlabel(f"{score} on {on}, %")
        near.spines["left"].set_visible(False)
    return figure


def _bars(axes: Axes, systems: Sequence[Mapping[str, Any]], on: str) -> None:
    colours = colours_of(systems)
    for place, system in enumerate(systems):
        mean, low, high = _summary(system[on])
        if mean is None:
            continue
        axes.barh(place, 100 * mean, height=0.5, color=colours[system["name"]])
        if low is not None and high is not None:
            axes.plot([100 * low, 100 * high], [place, place], color=INK, linewidth=1.1)
    axes.set_xlim(0, 100)
    axes.set_xticks([0, 50, 100])


def _points(axes: Axes, systems: Sequence[Mapping[str, Any]], on: str) -> None:
    colours = colours_of(systems)
    for place, system in enumerate(systems):
        mean, low, high = _summary(system[on])
        colour = colours[system["name"]]
        each = [100 * share for share in map(number, (system[on] or {}).get("each", ())) if share is not None]
        if low is not None and high is not None:
            axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
            for end in (low, high):
                axes.plot([100 * end, 100 * end], [place - 0.13, place + 0.13], color=colour, linewidth=1.2)
        if len(each) > 1:
            axes.plot(each, [place + 0.27] * len(each), "o", markersize=2.6, color=MUTED, markeredgewidth=0)
        if mean is not None:
            axes.plot([100 * mean], [place], "o", markersize=5.5, color=colour, markeredgewidth=0)
    if systems:
        _, low, high = _summary(systems[0][on])
        if low is not None and high is not None:
            axes.axvspan(100 * low, 100 * high, color=LINE, alpha=0.45, linewidth=0, zorder=0)
    _widen(axes)


def curves_figure(
    systems: Sequence[Mapping[str, Any]],
    *,
    value: str,
    label: str,
    reference: Mapping[str, Any] | None = None,
    limits: tuple[float, float] | None = None,
    last: int | None = None,
    size: tuple[float, float] = (4.6, 2.9),
) -> Figure:
    """One line a seed over the epochs, one colour and dash a system; a dot marks the epoch that was kept.

    Parameters
    ----------
    value:
        "dev" (a share of one, drawn in hundredths) or "loss" (on a logarithmic axis where it is positive).
    label:
        The vertical axis.
    reference:
        A system drawn in grey behind the others, for comparing drawings with each other.
    limits, last:
        The vertical axis' ends and the last epoch, for drawings that share their axes.
    """
    width, height = size
    left = 0.46 if not label else 0.62
    colours = colours_of(systems)
    with house_style():
        figure = Figure(figsize=size)
        axes = figure.add_axes((left / width, 0.42 / height, 1 - (left + 0.1) / width, 1 - 0.52 / height))
        if reference is not None:
            for epochs, values, _ in lines_of(reference, value):
                axes.plot(
                    _thinned(epochs), _thinned(values), color=MUTED, alpha=0.45, linewidth=0.9, linestyle=dash_of(2)
                )
        for place, system in enumerate(systems):
            for epochs, values, kept in lines_of(system, value):
                colour = colours[system["name"]]
                axes.plot(_thinned(epochs), _thinned(values), color=colour, linestyle=dash_of(place), alpha=0.9)
                if kept is not None:
                    axes.plot([epochs[kept]], [values[kept]], "o", color=colour, markersize=3.6, markeredgewidth=0)
        _finish_curves(axes, systems, value, label)
        if limits is not None:
            axes.set_ylim(*limits)
        if last is not None:
            axes.set_xlim(0.5, max(last, 2) + 0.5)
    return figure


def lines_of(system: Mapping[str, Any], value: str) -> list[tuple[list[int], list[float], int | None]]:
    """(epochs, values, place of the epoch that was kept) of each seed; NaN where an epoch has no value."""
    found = []
    for curve in system.get("curves") or ():
        epochs = [int(record["epoch"]) for record in curve["epochs"]]
        numbers = [number(record.get(value)) for record in curve["epochs"]]
        scale = 100 if value == "dev" else 1
        values = [float("nan") if one is None else scale * one for one in numbers]
        best = curve.get("best_epoch")
        kept = epochs.index(best) if best in epochs and value == "dev" else None
        if any(np.isfinite(values)):
            found.append((epochs, values, kept))
    return found


def shared_limits(systems: Sequence[Mapping[str, Any]], value: str) -> tuple[tuple[float, float], int]:
    """A vertical range for all systems' curves, without the first epochs' lowest tenth, and the last epoch."""
    lines = [line for system in systems for line in lines_of(system, value)]
    values = np.array([one for _, values, _ in lines for one in values])
    values = values[np.isfinite(values)]
    if not len(values):
        return (0.0, 100.0), 1
    low, high = float(np.quantile(values, 0.15)), float(values.max())
    room = max(0.06 * (high - low), 0.5)
    return (max(0.0, low - room), high + room), max(epochs[-1] for epochs, _, _ in lines)


def _thinned(values: Sequence[float]) -> Sequence[float]:
    """No more of a long line than can be seen: every second, third, ... value."""
    return values[:: -(-len(values) // MOST_POINTS) or 1]


def _finish_curves(axes: Axes, systems: Sequence[Mapping[str, Any]], value: str, label: str) -> None:
    lines = [values for system in systems for _, values, _ in lines_of(system, value)]
    if value == "loss" and lines and min(np.nanmin(values) for values in lines) > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))


def transitions_figure(table: TransitionTable) -> Figure:
    """Heat map of the scores in nats, from the row's tag to the column's; what is forbidden is hatched."""
    names = [[visible(name, longest=24) for name in side] for side in (table.rows, table.columns)]
    size = 8.5 if table.shown <= 20 else _SMALL
    cell = 0.42 if table.shown <= 7 else 0.22 if table.shown <= 20 else 0.155
    margin = max(columns(name) for side in names for name in side) * LETTER * size * POINT + 0.12
    side = cell * len(table.rows)
    left, below, right, above = margin + 0.24, 0.1, 0.75, margin + 0.2
    width, height = left + side + right, below + side + above
    with house_style():
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((left / width, below / height, side / width, side / height))
        bar = figure.add_axes(
            (1 - 0.58 / width, (below + 0.15 * side) / height, 0.11 / width, 0.7 * side / height), frameon=False
        )
        scale = _scale(table)
        _cells(axes, table, scale)
        axes.xaxis.tick_top()
        axes.set_xticks(range(len(names[1])), names[1], rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(range(len(names[0])), names[0], fontsize=size, parse_math=False)
        axes.tick_params(length=0, pad=2)
        axes.set_xlabel("to", color=MUTED)
        axes.xaxis.set_label_position("top")
        axes.set_ylabel("from", color=MUTED)
        _scale_bar(bar, scale)
    return figure


def cells_box(figure: Figure) -> tuple[float, float, float, float]:
    """Where a `transitions_figure` has its cells: left, top, width and height as shares of the drawing."""
    box = figure.axes[0].get_position()
    return box.x0, 1 - box.y1, box.width, box.height


def _scale(table: TransitionTable) -> Normalize:
    """Even about nought, and such that a few extreme scores do not turn all others pale."""
    finite = np.abs(table.scores[np.isfinite(table.scores)])
    reach = float(np.quantile(finite, 0.98)) if finite.size else 1.0
    return Normalize(-(reach or 1.0), reach or 1.0, clip=True)


def _cells(axes: Axes, table: TransitionTable, scale: Normalize) -> None:
    size = len(table.rows)
    colours = _WEAK_TO_STRONG(scale(np.nan_to_num(table.scores)))
    colours[~np.isfinite(table.scores), 3] = 0
    axes.axhspan(-0.5, size - 0.5, facecolor="none", edgecolor=HATCH, hatch="//////", linewidth=0, zorder=0)
    axes.imshow(colours, aspect="auto", interpolation="none", zorder=1)
    axes.axhline(0.5, color=MUTED, linewidth=0.8)
    axes.axvline(size - 1.5, color=MUTED, linewidth=0.8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if table.shown <= 7:
        for i, j in np.argwhere(np.isfinite(table.scores)):
            ink = "#000000" if _luminance(colours[i, j]) > 0.2 else "#ffffff"
            axes.text(j, i, nats(table.scores[i, j]), ha="center", va="center", fontsize=_SMALL, color=ink)


def _luminance(colour: NDArray[np.float64]) -> float:
    """How light a colour looks, from 0 to 1; linear, by WCAG's weights."""
    return float(colour[:3] ** 2.2 @ (0.2126, 0.7152, 0.0722))


def _scale_bar(axes: Axes, scale: Normalize) -> None:
    ends = (float(scale.vmin or 0), float(scale.vmax or 0))
    shades = _WEAK_TO_STRONG(np.linspace(1, 0, 64))[:, None, :]
    axes.imshow(shades, aspect="auto", extent=(0, 1, *ends), interpolation="none")
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, min_n_ticks=3))
    axes.tick_params(length=2, pad=2, labelsize=_SMALL)
    axes.set_title("nats", fontsize=_SMALL, color=MUTED, pad=4)


def _summary(scores: Mapping[str, Any] | None) -> tuple[float | None, float | None, float | None]:
    """Mean and both ends of its interval, each None where it is not known."""
    if scores is None:
        return None, None, None
    low, high = scores.get("interval") or (None, None)
    return number(scores.get("mean")), number(low), number(high)


def _lines(name: str) -> list[str]:
    """A long name over two lines, parted before its head."""
    encoder, plus, head = name.rpartition(" + ")
    return [encoder, f"+ {head}"] if plus and columns(name) > 26 else [name]


def _name(axes: Axes, place: int, lines: Sequence[str]) -> None:
    """A row's name at its left; each line is a text of its own, so that it ends at the bar in any browser's font."""
    for row, line in enumerate(lines):
        axes.annotate(
            line,
            (0, place),
            xytext=(-5, 10 * ((len(lines) - 1) / 2 - row)),
            textcoords="offset points",
            ha="right",
            va="center_baseline",
            parse_math=False,
            annotation_clip=False,
        )


def _widen(axes: Axes) -> None:
    """Leave room at both sides, and show at least one point of a hundred."""
    low, high = axes.dataLim.intervalx
    if not np.isfinite([low, high]).all() or low > high:
        low, high = 0.0, 100.0
    room = max(0.07 * (high - low), 0.5 - (high - low) / 2, 0.05)
    axes.set_xlim(low - room, high + room)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
