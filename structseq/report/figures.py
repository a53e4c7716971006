"""The comparison's figures: scores with their intervals, learning curves, transitions."""

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
from structseq.report.formatting import display_width, nats, number, visible
from structseq.report.transitions import TransitionTable

# Systems that one figure distinguishes by colour
MOST_COLOURS = len(COLOURS)
# Inches per point; a letter's width as a share of the font size, to estimate text widths
POINT, LETTER = 1 / 72, 0.6
_DASHES: Any = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
_WEAK_TO_STRONG = LinearSegmentedColormap.from_list("weak to strong", [VERMILION, "#f6f6f4", BLUE])
_SMALL = 7.5
# Maximum number of points in a line
MOST_POINTS = 200


def colours_of(systems: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Colours by name; of too many systems, one for the first and one for the others."""
    if len(systems) <= MOST_COLOURS:
        return {system["name"]: colour for system, colour in zip(systems, COLOURS, strict=False)}
    return {system["name"]: VERMILION if i == 0 else BLUE for i, system in enumerate(systems)}


def scores_figure(systems: Sequence[Mapping[str, Any]], *, on: str, score: str) -> Figure:
    """Enlarged, each seed's score, the mean and its interval; beside them, where a phone scrolls, bars from 0.

    ``on`` is "dev", "tuned_dev" or "test"; ``score`` names the axis.
    """
    names = [_lines(visible(system["name"], longest=60)) for system in systems]
    left = (max(display_width(line) for lines in names for line in lines) * LETTER * 8.5 + 14) * POINT
    row, bottom, top = 0.36, 0.5, 0.28
    height = row * len(systems) + bottom + top
    width = left + 3.0 + 0.3 + 1.35 + 0.15
    with house_style():
        figure = Figure(figsize=(width, height))
        enlarged = figure.add_axes((left / width, bottom / height, 3.0 / width, row * len(systems) / height))
        full = figure.add_axes((1 - 1.5 / width, bottom / height, 1.35 / width, row * len(systems) / height))
        _bars(full, systems, on)
        _points(enlarged, systems, on)
        for place, lines in enumerate(names):
            _draw_name(enlarged, place, lines)
        for axes, title in ((full, "from 0"), (enlarged, "enlarged")):
            axes.set_ylim(len(systems) - 0.5, -0.5)
            axes.set_title(title, loc="left", color=MUTED, fontsize=_SMALL)
            axes.set_axisbelow(True)
            axes.grid(axis="x")
            axes.set_yticks([])
        enlarged.set_xlabel(f"{score} on {on.replace('_', ' ')}, %")
        enlarged.spines["left"].set_visible(False)
    return figure


def _bars(axes: Axes, systems: Sequence[Mapping[str, Any]], on: str) -> None:
    colours = colours_of(systems)
    for place, system in enumerate(systems):
        mean, ends = _summary(system[on])
        if mean is not None:
            axes.barh(place, mean, height=0.5, color=colours[system["name"]])
            if ends:
                axes.plot(ends, [place, place], color=INK, linewidth=1.1)
    axes.set_xlim(0, 100)
    axes.set_xticks([0, 50, 100])


def _points(axes: Axes, systems: Sequence[Mapping[str, Any]], on: str) -> None:
    colours = colours_of(systems)
    for place, system in enumerate(systems):
        mean, ends = _summary(system[on])
        colour = colours[system["name"]]
        each = [100 * share for share in map(number, (system[on] or {}).get("each", ())) if share is not None]
        if ends:
            axes.plot(ends, [place, place], color=colour, linewidth=2, solid_capstyle="butt")
            for end in ends:
                axes.plot([end, end], [place - 0.13, place + 0.13], color=colour, linewidth=1.2)
            if place == 0:
                axes.axvspan(*ends, color=LINE, alpha=0.45, linewidth=0, zorder=0)
        if len(each) > 1:
            axes.plot(each, [place + 0.27] * len(each), "o", markersize=2.6, color=MUTED, markeredgewidth=0)
        if mean is not None:
            axes.plot([mean], [place], "o", markersize=5.5, color=colour, markeredgewidth=0)
    low, high = axes.dataLim.intervalx
    if not np.isfinite([low, high]).all() or low > high:
        low, high = 0.0, 100.0
    # The range is at least one percent
    margin = max(0.07 * (high - low), 0.5 - (high - low) / 2, 0.05)
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))


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
    """A line per seed over the epochs; a dot marks the best epoch.

    ``value`` is "dev" (in percent) or "loss" (on a logarithmic axis if positive). ``reference`` is drawn in grey behind
    ``systems``; ``limits`` are those of the vertical axis, ``last`` is the last epoch.
    """
    width, height = size
    left = 0.46 if not label else 0.62
    colours = colours_of(systems)
    with house_style():
        figure = Figure(figsize=size)
        axes = figure.add_axes((left / width, 0.42 / height, 1 - (left + 0.1) / width, 1 - 0.52 / height))
        if reference is not None:
            for epochs, values, _ in lines_of(reference, value):
                grey = {"color": MUTED, "alpha": 0.45, "linewidth": 0.9, "linestyle": _DASHES[2]}
                axes.plot(_thinned(epochs), _thinned(values), **grey)
        for place, system in enumerate(systems):
            for epochs, values, kept in lines_of(system, value):
                colour = colours[system["name"]]
                axes.plot(
                    _thinned(epochs), _thinned(values), color=colour, linestyle=_DASHES[place % len(_DASHES)], alpha=0.9
                )
                if kept is not None:
                    axes.plot([epochs[kept]], [values[kept]], "o", color=colour, markersize=3.6, markeredgewidth=0)
        _finish_curves(axes, systems, value, label)
        if limits is not None:
            axes.set_ylim(*limits)
        if last is not None:
            axes.set_xlim(0.5, max(last, 2) + 0.5)
    return figure


def lines_of(system: Mapping[str, Any], value: str) -> list[tuple[list[int], list[float], int | None]]:
    """Of each seed: epochs, values (NaN if missing), and the index of the best epoch (None for losses)."""
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
    """A vertical range for all curves, with every best epoch and without the lowest values; and the last epoch."""
    lines = [line for system in systems for line in lines_of(system, value)]
    values = np.array([one for _, values, _ in lines for one in values])
    values = values[np.isfinite(values)]
    if not len(values):
        return (0.0, 100.0), 1
    bests = [own[kept] for _, own, kept in lines if kept is not None and np.isfinite(own[kept])]
    low, high = min([float(np.quantile(values, 0.15)), *bests]), float(values.max())
    margin = max(0.06 * (high - low), 0.5)
    return (max(0.0, low - margin), high + margin), max(epochs[-1] for epochs, _, _ in lines)


def _thinned(values: Sequence[float]) -> Sequence[float]:
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
    """Heat map of the scores from row to column; forbidden transitions are hatched."""
    names = [[visible(name, longest=24) for name in side] for side in (table.rows, table.columns)]
    size = 8.5 if table.shown <= 20 else _SMALL
    cell = 0.42 if table.shown <= 7 else 0.22 if table.shown <= 20 else 0.155
    margin = max(display_width(name) for side in names for name in side) * LETTER * size * POINT + 0.12
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
    """Left, top, width and height of a `transitions_figure`'s cells, as shares of the figure."""
    box = figure.axes[0].get_position()
    return box.x0, 1 - box.y1, box.width, box.height


def _scale(table: TransitionTable) -> Normalize:
    """Symmetric about 0; clips beyond the 98 % quantile, because extremes make all others pale."""
    finite = np.abs(table.scores[np.isfinite(table.scores)])
    limit = float(np.quantile(finite, 0.98)) if finite.size else 1.0
    return Normalize(-(limit or 1.0), limit or 1.0, clip=True)


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


def _summary(scores: Mapping[str, Any] | None) -> tuple[float | None, tuple[float, float] | None]:
    mean = number((scores or {}).get("mean"))
    low, high = map(number, (scores or {}).get("interval") or (None, None))
    return None if mean is None else 100 * mean, None if low is None or high is None else (100 * low, 100 * high)


def _lines(name: str) -> list[str]:
    """Split a long name before the head."""
    encoder, plus, head = name.rpartition(" + ")
    return [encoder, f"+ {head}"] if plus and display_width(name) > 26 else [name]


def _draw_name(axes: Axes, place: int, lines: Sequence[str]) -> None:
    """Draw each line as a separate text, so that all fonts align it right."""
    for row, line in enumerate(lines):
        axes.annotate(
            line,
            (0, place),
            xycoords=("axes fraction", "data"),
            xytext=(-5, 10 * ((len(lines) - 1) / 2 - row)),
            textcoords="offset points",
            ha="right",
            va="center_baseline",
            parse_math=False,
            annotation_clip=False,
        )
