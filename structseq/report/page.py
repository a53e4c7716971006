"""The report page: a comparison of systems as one HTML file that asks for nothing from anywhere.

Jinja2 writes the words, with every value escaped; Matplotlib draws the figures, which stand in the page as SVG.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from structseq.report import wording
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
from structseq.report.transitions import TransitionTable, table_of
from structseq.section import dotted
from structseq.storage.atomic import write_file

# So many systems share one drawing of learning curves; more get one each
TOGETHER = 4
# Transitions and errors are shown of so many systems, the best, so that the page stays small
MOST_SHOWN = 24
# Transition matrices of at most so many tags are shown side by side, and all at once
SMALL_MATRIX = 12

SIGNIFICANT = 0.05


def write_page(comparison: Mapping[str, Any], path: Path) -> None:
    """Write the report of ``comparison`` to ``path``: whole or not at all.

    Parameters
    ----------
    comparison:
        As ``comparison.json`` holds it: scores as shares of one; null for what is not known.
    path:
        The HTML file; its folder has to be there.
    """
    write_file(Path(path), page(comparison).encode("utf-8", errors="replace"))


def page(comparison: Mapping[str, Any]) -> str:
    """The report as HTML, self-contained; nothing in the comparison's text can become markup or run."""
    template = _environment().from_string(_own_file("page.html.j2"))
    script, style = _own_file("page.js"), _own_file("page.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    systems = ranked(comparison)
    return template.render(
        comparison=comparison,
        systems=systems,
        judged_on=comparison["judged_on"],
        style=Markup(style),
        script=Markup(script),
        script_digest=digest,
        verdict=_verdict(systems),
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
    """The systems, best first by the set they are judged on; those without a score last."""
    on = comparison["judged_on"]

    def key(system: Mapping[str, Any]) -> float:
        mean = wording.number((system.get(on) or {}).get("mean"))
        return float("inf") if mean is None else -mean

    return sorted(comparison["systems"], key=key)


def _verdict(systems: Sequence[Mapping[str, Any]]) -> str:
    """Whether the best is better than the others by more than chance; empty where nothing says so."""
    found = [wording.number((system.get("against_best") or {}).get("p_holm")) for system in systems]
    known = [p for p in found if p is not None]
    close, others = sum(p >= SIGNIFICANT for p in known), len(known)
    if not others:
        return ""
    how = f"(paired bootstrap, p after Holm's correction, at {SIGNIFICANT})."
    if close == 0:
        return f"{'The other one is' if others == 1 else f'All the other {others} are'} significantly worse {how}"
    if close == others:
        return f"It cannot be told from {'the other one' if others == 1 else f'any of the other {others}'} {how}"
    return f"It cannot be told from {close} of the other {others} {how}"


def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    for name in ("percent", "interval", "p_value", "count", "duration", "nats", "plural", "visible", "number"):
        environment.filters[name] = getattr(wording, name)
    environment.filters["settings"] = lambda values: ", ".join(f"{name} = {value}" for name, value in _flat(values))
    return environment


def _own_file(name: str) -> str:
    return resources.files("structseq.report").joinpath(name).read_text(encoding="utf-8")


def _facts(comparison: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was compared on what, as (name, value)."""
    corpus = comparison["corpus"]
    for part in ("train", "dev", "test"):
        if corpus.get(part):
            sizes = f"{corpus[part]['sentences']:,} sentences, {corpus[part]['tokens']:,} tokens"
            yield part, f"{wording.visible(corpus[part]['file'])} ({sizes})"
    yield "scheme", str(corpus["scheme"])
    yield "encoders", ", ".join(map(wording.visible, comparison["encoders"]))
    yield "heads", ", ".join(map(wording.visible, comparison["heads"]))
    yield "seeds", ", ".join(map(str, comparison["seeds"]))
    yield "versions", ", ".join(f"{name} {version}" for name, version in comparison["versions"].items())
    yield "computed", str(comparison["signature"])


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Nested options as dotted names and JSON values."""
    return ((name, json.dumps(value, ensure_ascii=False, default=str)) for name, value in dotted(values))


def _scores(comparison: Mapping[str, Any], systems: Sequence[Mapping[str, Any]]) -> Markup | None:
    """The bars with their intervals; None where nothing was scored."""
    on = comparison["judged_on"]
    scored = [system for system in systems if system.get(on)]
    if not scored:
        return None
    told = "; ".join(
        f"{system['name']} {wording.percent(system[on]['mean'])} ({wording.interval(system[on]['interval'])})"
        for system in scored
    )
    alt = f"Bars: {comparison['score']} on {on} in percent, mean and 95 % interval. {told}."
    return _svg(scores_figure(scored, on=on, score=comparison["score"]), "scores", alt)


def _curves(comparison: Mapping[str, Any], systems: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Drawings of the learning curves: two of all systems, or one for each of many."""
    drawn = [system for system in systems if lines_of(system, "dev")]
    label = f"{comparison['score']} on dev, %"
    if not drawn:
        return []
    limits, last = shared_limits(drawn, "dev")
    if len(drawn) > TOGETHER:
        return [
            {
                "systems": [_swatch(system, [system])],
                "caption": None,
                "drawing": _svg(
                    curves_figure(
                        [system], value="dev", label="", limits=limits, last=last, reference=drawn[0] if i else None,
                        size=(2.9, 1.9),
                    ),
                    f"curve-{i}",
                    _told_curves([system], label),
                ),
            }
            for i, system in enumerate(drawn)
        ]  # fmt: skip
    key = [_swatch(system, drawn) for system in drawn]
    dev = curves_figure(drawn, value="dev", label=label, limits=limits, last=last)
    found = [{"systems": key, "caption": label, "drawing": _svg(dev, "curve-dev", _told_curves(drawn, label))}]
    if any(lines_of(system, "loss") for system in drawn):
        loss = curves_figure(drawn, value="loss", label="training loss", last=last)
        told = "Line chart: the training loss of every system and seed over the epochs."
        found.append({"systems": key, "caption": "training loss", "drawing": _svg(loss, "curve-loss", told)})
    return found


def _swatch(system: Mapping[str, Any], drawn: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A system as a drawing's key shows it."""
    colour = colours_of(drawn)[system["name"]]
    dashes = ("", "10 3", "2.5 2", "10 3 2.5 3")
    place = [other["name"] for other in drawn].index(system["name"])
    return {"name": system["name"], "colour": VARIABLES[colour], "dash": dashes[place % len(dashes)]}


def _told_curves(systems: Sequence[Mapping[str, Any]], label: str) -> str:
    """A line chart in words: where each system began and what it reached."""
    told = []
    for system in systems:
        lines = lines_of(system, "dev")
        best = [max(value for value in values if value == value) for _, values, _ in lines]
        epochs = max(epochs[-1] for epochs, _, _ in lines)
        reached = " and ".join(dict.fromkeys(f"{value:.1f}" for value in (min(best), max(best))))
        told.append(f"{system['name']}: {wording.plural(len(lines), 'seed')}, {epochs} epochs, best {reached}")
    return f"Line chart: {label}, over the epochs. {'; '.join(told)}."


def _transitions(systems: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The heat map of each system that has transitions, with the pairs worth naming."""
    having = [system for system in systems if system.get("transitions")][:MOST_SHOWN]
    found = []
    for i, system in enumerate(having):
        table = table_of(system["transitions"])
        strongest, weakest = table.extremes(5)
        figure = transitions_figure(table)
        alt = f"Heat map of the transition scores of {system['name']}. {_told_pairs(strongest, weakest)}"
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


def _told_pairs(strongest: Sequence[tuple[str, str, float]], weakest: Sequence[tuple[str, str, float]]) -> str:
    def told(pairs: Sequence[tuple[str, str, float]]) -> str:
        return ", ".join(f"{one} to {other} {wording.nats(score)}" for one, other, score in pairs[:3]) or "none"

    return f"Strongest: {told(strongest)}. Weakest: {told(weakest)}."


def _cells(table: TransitionTable, box: tuple[float, float, float, float]) -> str:
    """What the pointer tells over a heat map, as JSON: names, scores, and where the cells are in the drawing."""
    scores = [[None if score != score else round(float(score), 2) for score in row] for row in table.scores]
    rows, columns = ([wording.visible(name, longest=60) for name in side] for side in (table.rows, table.columns))
    return json.dumps(
        {"rows": rows, "columns": columns, "scores": scores, "box": [round(edge, 5) for edge in box]},
        ensure_ascii=False,
        separators=(",", ":"),
    )


def _errors(systems: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each system's most confident wrong answers, the surest first."""
    found: list[dict[str, Any]] = []
    for system in systems:
        if system.get("errors") and len(found) < MOST_SHOWN:
            excerpts = [excerpt_of(error) for error in system["errors"]]
            excerpts.sort(key=lambda excerpt: -(wording.number(excerpt.confidence) or 0.0))
            seed = system["seeds"][0] if system.get("seeds") else None
            found.append({"name": system["name"], "seed": seed, "excerpts": excerpts})
    return found


def _svg(figure: Any, name: str, alt: str) -> Markup:
    """Safe to stand in the page: ElementTree wrote it, and escaped every text in it."""
    return Markup(inline_svg(figure, name=name, alt=wording.visible(alt, longest=1500)))
