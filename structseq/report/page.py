"""The report page: HTML from Jinja2, with figures as inline SVG from Matplotlib; it loads no other files."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from structseq.files import write_file
from structseq.report import formatting
from structseq.report.drawing import VARIABLES, inline_svg
from structseq.report.excerpt import excerpt_of
from structseq.report.figures import (
    cells_box,
    colours_of,
    curves_figure,
    lines_of,
    scores_figure,
    shared_limits,
    transitions_figure,
)
from structseq.report.transitions import TransitionTable, transition_table
from structseq.section import flatten

# More systems than this get one figure of learning curves each
TOGETHER = 4
# Maximum number of systems whose transitions and errors are shown
MOST_SHOWN = 24
# Transition matrices with at most this many tags are shown side by side
SMALL_MATRIX = 12
SIGNIFICANT = 0.05


def write_page(comparison: Mapping[str, Any], path: Path) -> None:
    """Write the report of ``comparison`` (the contents of ``comparison.json``), atomically."""
    write_file(Path(path), render_page(comparison).encode("utf-8", errors="replace"))


def render_page(comparison: Mapping[str, Any]) -> str:
    """The report as HTML, with all text from the comparison escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    for name in ("percent", "interval", "p_value", "count", "duration", "nats", "plural", "visible", "number"):
        environment.filters[name] = getattr(formatting, name)
    environment.filters["settings"] = lambda values: ", ".join(f"{name} = {value}" for name, value in _flat(values))
    folder = resources.files("structseq.report")
    text, script, style = (
        folder.joinpath(name).read_text(encoding="utf-8") for name in ("page.html.j2", "page.js", "page.css")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    systems = ranked(comparison)
    return environment.from_string(text).render(
        comparison=comparison,
        systems=systems,
        judged_on=comparison["judged_on"],
        tuned=any(system.get("tuned_dev") for system in systems),
        style=Markup(style),
        script=Markup(script),
        script_digest=digest,
        verdict=_verdict(systems) if not comparison.get("cautions") else f"No winner: {comparison['cautions'][0]}.",
        facts=list(_facts(comparison)),
        options=list(_flat(comparison.get("options") or {})),
        scores=_scores(comparison, systems),
        curves=_curves(comparison, systems),
        transitions=_transitions(systems),
        errors=_errors(systems),
        left_out={
            part: max(0, sum(bool(system.get(part)) for system in systems) - MOST_SHOWN)
            for part in ("transitions", "errors")
        },
    )


def ranked(comparison: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The systems, best first, then those without a score."""
    on = comparison["judged_on"]

    def key(system: Mapping[str, Any]) -> float:
        mean = formatting.number((system.get(on) or {}).get("mean"))
        return float("inf") if mean is None else -mean

    return sorted(comparison["systems"], key=key)


def _verdict(systems: Sequence[Mapping[str, Any]]) -> str:
    """Whether the best system is significantly better; empty without p-values."""
    p_values = (formatting.number((system.get("against_best") or {}).get("p_holm")) for system in systems)
    known = [p for p in p_values if p is not None]
    close, others = sum(p >= SIGNIFICANT for p in known), len(known)
    if not others:
        return ""
    how = f"(paired t test, p after Holm's correction over all pairs, at {SIGNIFICANT})."
    if close == 0:
        return f"{'The other one is' if others == 1 else f'All the other {others} are'} significantly worse {how}"
    rivals = f"{close} of the other {others}"
    if close == others:
        rivals = "the other one" if others == 1 else f"any of the other {others}"
    return f"It is not significantly better than {rivals} {how}"


def _facts(comparison: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    corpus = comparison["corpus"]
    for part in ("train", "dev", "test"):
        if corpus.get(part):
            sizes = f"{corpus[part]['sentences']:,} sentences, {corpus[part]['tokens']:,} tokens"
            yield part, f"{formatting.visible(corpus[part]['file'])} ({sizes})"
    yield "scheme", str(corpus["scheme"])
    yield "encoders", ", ".join(map(formatting.visible, comparison["encoders"]))
    yield "heads", ", ".join(map(formatting.visible, comparison["heads"]))
    yield "seeds", ", ".join(map(str, comparison["seeds"]))
    yield "versions", ", ".join(f"{name} {version}" for name, version in comparison["versions"].items())
    yield "computed", str(comparison["signature"])


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((name, json.dumps(value, ensure_ascii=False, default=str)) for name, value in flatten(values))


def _scores(comparison: Mapping[str, Any], systems: Sequence[Mapping[str, Any]]) -> Markup | None:
    on = comparison["judged_on"]
    scored = [system for system in systems if system.get(on)]
    if not scored:
        return None
    values = "; ".join(
        f"{system['name']} {formatting.percent(system[on]['mean'])} ({formatting.interval(system[on]['interval'])})"
        for system in scored
    )
    alt = f"Bars: {comparison['score']} on {on.replace('_', ' ')} in percent, mean and 95 % interval. {values}."
    return _svg(scores_figure(scored, on=on, score=comparison["score"]), "scores", alt)


def _curves(comparison: Mapping[str, Any], systems: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Many systems get a figure each; a few share one of scores and one of losses."""
    with_curves = [system for system in systems if lines_of(system, "dev")]
    if not with_curves:
        return []
    label = f"{comparison['score']} on dev, %"
    limits, last = shared_limits(with_curves, "dev")
    curves: list[dict[str, Any]] = []
    if len(with_curves) > TOGETHER:
        for i, system in enumerate(with_curves):
            reference = with_curves[0] if i else None
            figure = curves_figure(
                [system], value="dev", label="", limits=limits, last=last, reference=reference, size=(2.9, 1.9)
            )
            drawing = _svg(figure, f"curve-{i}", _curves_text([system], label))
            curves.append({"systems": [_swatch(system, [system])], "caption": None, "drawing": drawing})
        return curves
    key = [_swatch(system, with_curves) for system in with_curves]
    figure = curves_figure(with_curves, value="dev", label=label, limits=limits, last=last)
    drawing = _svg(figure, "curve-dev", _curves_text(with_curves, label))
    curves.append({"systems": key, "caption": label, "drawing": drawing})
    if any(lines_of(system, "loss") for system in with_curves):
        figure = curves_figure(with_curves, value="loss", label="training loss", last=last)
        alt = "Line chart: the training loss of every system and seed over the epochs."
        curves.append({"systems": key, "caption": "training loss", "drawing": _svg(figure, "curve-loss", alt)})
    return curves


def _swatch(system: Mapping[str, Any], drawn: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    colour = colours_of(drawn)[system["name"]]
    dashes = ("", "10 3", "2.5 2", "10 3 2.5 3")
    place = [other["name"] for other in drawn].index(system["name"])
    return {"name": system["name"], "colour": VARIABLES[colour], "dash": dashes[place % len(dashes)]}


def _curves_text(systems: Sequence[Mapping[str, Any]], label: str) -> str:
    """A line chart in words, for screen readers."""
    parts = []
    for system in systems:
        lines = lines_of(system, "dev")
        best = [np.nanmax(values) for _, values, _ in lines]
        epochs = max(epochs[-1] for epochs, _, _ in lines)
        scores = " and ".join(dict.fromkeys(f"{value:.1f}" for value in (min(best), max(best))))
        parts.append(f"{system['name']}: {formatting.plural(len(lines), 'seed')}, {epochs} epochs, best {scores}")
    return f"Line chart: {label}, over the epochs. {'; '.join(parts)}."


def _transitions(systems: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for i, system in enumerate([system for system in systems if system.get("transitions")][:MOST_SHOWN]):
        table = transition_table(system["transitions"])
        strongest, weakest = table.extremes(5)
        figure = transitions_figure(table)
        alt = f"Heat map of the transition scores of {system['name']}."
        for name, pairs in (("Strongest", strongest), ("Weakest", weakest)):
            texts = [f"{one} to {other} {formatting.nats(score)}" for one, other, score in pairs[:3]]
            alt += f" {name}: {', '.join(texts) or 'none'}."
        found.append(
            {
                "name": system["name"],
                "seed": system["seeds"][0] if system.get("seeds") else None,
                "shown": table.shown,
                "of": table.of,
                "small": table.shown <= SMALL_MATRIX,
                "drawing": _svg(figure, f"transitions-{i}", alt),
                "strongest": strongest,
                "weakest": weakest,
                "cells": _cells(table, cells_box(figure)),
            }
        )
    return found


def _cells(table: TransitionTable, box: tuple[float, float, float, float]) -> str:
    """Names, scores and area of the cells as JSON, for tooltips."""
    scores = [[None if score != score else round(float(score), 2) for score in row] for row in table.scores]
    rows, columns = ([formatting.visible(name, longest=60) for name in side] for side in (table.rows, table.columns))
    return json.dumps(
        {"rows": rows, "columns": columns, "scores": scores, "box": [round(edge, 5) for edge in box]},
        ensure_ascii=False,
        separators=(",", ":"),
    )


def _errors(systems: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for system in systems:
        if system.get("errors") and len(found) < MOST_SHOWN:
            excerpts = [excerpt_of(error) for error in system["errors"]]
            excerpts.sort(key=lambda excerpt: -(formatting.number(excerpt.confidence) or 0.0))
            seed = system["seeds"][0] if system.get("seeds") else None
            found.append({"name": system["name"], "seed": seed, "excerpts": excerpts})
    return found


def _svg(figure: Any, name: str, alt: str) -> Markup:
    """`inline_svg`, in which ElementTree has escaped all text."""
    return Markup(inline_svg(figure, name=name, alt=formatting.visible(alt, longest=1500)))
