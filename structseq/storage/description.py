"""A stored model in words: what it is, where it comes from, which transitions it learned, what its gates do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from structseq.config import Options
from structseq.data.textfile import one_line
from structseq.model import Model
from structseq.section import dotted
from structseq.storage.loading import StoredModel

# Rows of a long list that are shown; transitions at each end
SHOWN, TRANSITIONS = 40, 10


def description(folder: Path, stored: StoredModel, gates: Any, where: str) -> str:
    """The text; ``gates`` are the mean activations of the encoder's gates over the tags of the data ``where``."""
    model = stored.model
    parts = [_what(folder, stored), _sizes(model), _options(model.options), _scores(stored.metrics)]
    parts += [_origin(stored.provenance), _transitions(model), _gates(gates, where)]
    return "\n\n".join(part for part in parts if part)


def _what(folder: Path, stored: StoredModel) -> str:
    model = stored.model
    encoder, tags = model.options.encoder, model.tags
    ways = "bidirectional " if encoder.bidirectional else "backwards " if encoder.backwards else ""
    on_top = f", {encoder.attention} layer(s) of self-attention on top" if encoder.attention else ""
    rows = [
        ("model", f"{folder} (format version {stored.format_version})"),
        ("encoder", f"{ways}{encoder.type}, {encoder.layers} layer(s) of width {encoder.width}{on_top}"),
        ("head", model.options.head.type),
        ("scheme", f"{tags.outer}" if tags.inner == tags.outer else f"{tags.outer}, learned as {tags.inner}"),
        ("tokenizer", stored.tokenizer),
    ]
    if not tags.outer.plain:
        rows.append((f"{len(tags.types)} types", _listed([label or "(no type)" for label in tags.types])))
    rows.append((f"{len(tags.labels)} {model.task.noun}", _listed(tags.labels)))
    if labels := model.task.labels:
        rows.append((f"{len(labels)} labels", _listed(labels)))
    return _table(rows)


def _sizes(model: Model) -> str:
    """Vocabularies, widths, and numbers that were trained, by part."""
    known = [(f"  {name}", f"{len(vocabulary.items):,}") for name, vocabulary in model.vocabularies.items()]
    widths = [(f"  {name}", f"{width:,}") for name, width in model.widths.items()]
    sizes = [f"{title}\n{_table(rows)}\n" for title, rows in (("vocabularies", known), ("widths", widths)) if rows]
    parts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        words = name.removeprefix("inputs.features.").removeprefix("inputs.").split(".")
        part = words[0] if parameter.requires_grad else f"{words[0]} (frozen)"
        parts[part] = parts.get(part, 0) + parameter.numel()
    trained = sum(count for part, count in parts.items() if not part.endswith("(frozen)"))
    weights = [(f"  {part}", f"{count:,}") for part, count in parts.items()]
    return "\n".join([*sizes, f"{trained:,} trained numbers\n{_table(weights)}"])


def _options(options: Options) -> str:
    """The options that are not the defaults."""
    types = {section: {"type": getattr(options, section).type} for section in ("encoder", "head")}
    defaults = dict(dotted(Options.of(types).to_dict())) | {
        f"{section}.type": getattr(Options(), section).type for section in types
    }
    changed = [(f"  {name}", str(value)) for name, value in dotted(options.to_dict()) if defaults.get(name) != value]
    return f"options other than the defaults\n{_table(changed)}" if changed else "options: the defaults"


def _scores(metrics: Mapping[str, Any]) -> str:
    rows = []
    for part in ("dev", "test"):
        report = metrics.get(part)
        if isinstance(report, Mapping) and isinstance(report.get("criterion"), float):
            name = "accuracy" if report.get("scheme") == "plain" else report.get("score", "entity F1")
            rows.append((f"  {part} {one_line(str(name))}", f"{100 * report['criterion']:.2f}"))
    training = metrics.get("training")
    if isinstance(training, Mapping):
        names = ("epochs", "updates", "best_epoch", "tokens", "seconds")
        rows += [(f"  {name.replace('_', ' ')}", str(training[name])) for name in names if name in training]
    return f"training\n{_table(rows)}" if rows else ""


def _origin(provenance: Mapping[str, Any]) -> str:
    rows = [(f"  {name}", value) for name, value in dotted(provenance) if not name.startswith("run.options.")]
    told = [(name, str(value)) for name, value in rows if value not in (None, "")]
    return f"provenance\n{_table(told)}" if told else ""


def _transitions(model: Model) -> str:
    """The legal transitions with the highest and the lowest learned scores; none where the head has no such scores."""
    crf = getattr(model.head, "crf", None)
    if crf is None:
        return ""
    labels = model.tags.labels
    legal = model.tags.inner.legal(labels).transitions
    scores = crf.transitions.detach()
    found = [
        (float(scores[i, j]), f"{one} -> {other}")
        for i, one in enumerate(labels)
        for j, other in enumerate(labels)
        if legal[i, j]
    ]
    found.sort(key=lambda pair: (-pair[0], pair[1]))
    if len(found) <= 2 * TRANSITIONS:
        return f"transitions, strongest first (in nats)\n{_scored(found)}"
    strongest, weakest = found[:TRANSITIONS], found[-TRANSITIONS:][::-1]
    return f"strongest transitions (in nats)\n{_scored(strongest)}\n\nweakest transitions\n{_scored(weakest)}"


def _gates(openings: Any, where: str) -> str:
    """Mean openings, a row a tag and a column a gate; nothing where there are none, or what was stored is none."""
    if not isinstance(openings, Mapping) or not all(isinstance(column, Mapping) for column in openings.values()):
        return ""
    told = [all(isinstance(value, float) for value in column.values()) for column in openings.values()]
    if not told or not all(told) or len({tuple(column) for column in openings.values()}) > 1:
        return ""
    columns = list(openings)
    tags = [str(tag) for tag in openings[columns[0]]][:SHOWN]
    rows = [["tag", *columns], *([tag, *(f"{openings[gate][tag]:.2f}" for gate in columns)] for tag in tags)]
    widths = [max(len(one_line(row[place])) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join(
            [f"{one_line(row[0]):<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    more = len(openings[columns[0]]) - len(tags)
    left = f"\n  and {more} more tags" if more > 0 else ""
    return f"mean openings of the gates on {where}, 0 shut to 1 open\n" + "\n".join(f"  {row}" for row in lines) + left


def _scored(pairs: Sequence[tuple[float, str]]) -> str:
    return "\n".join(f"  {score:8.3f}  {one_line(name)}" for score, name in pairs)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(one_line(name) for name in names[:SHOWN]) + more


def _table(rows: Sequence[tuple[str, str]]) -> str:
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(
        f"{one_line(name) if name[:1] != ' ' else name:<{width}}  {one_line(value)}" for name, value in rows
    )
