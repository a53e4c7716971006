"""The text of ``structseq describe``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from structseq.config import Options
from structseq.data.textfile import shown
from structseq.model import Model
from structseq.section import flatten
from structseq.storage.loading import StoredModel

# Maximum names of a list, transitions at each end, entries of the provenance, and characters of a value
SHOWN, TRANSITIONS, ENTRIES, VALUE = 40, 10, 200, 1000


def description(folder: Path, stored: StoredModel, gates: Any, where: str) -> str:
    """The text; ``gates`` are mean activations by gate and tag on the data ``where``."""
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
        (
            "scheme",
            f"{tags.file_scheme}"
            if tags.model_scheme == tags.file_scheme
            else f"{tags.file_scheme}, learned as {tags.model_scheme}",
        ),
        ("tokenizer", stored.tokenizer),
    ]
    if not tags.file_scheme.plain:
        rows.append((f"{len(tags.types)} types", _listed([label or "(no type)" for label in tags.types])))
    rows.append((f"{len(tags.labels)} {model.task.noun}", _listed(tags.labels)))
    if labels := model.task.labels:
        rows.append((f"{len(labels)} labels", _listed(labels)))
    return _table(rows)


def _sizes(model: Model) -> str:
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
    return "\n".join([*sizes, f"{trained:,} trained parameters\n{_table(weights)}"])


def _options(options: Options) -> str:
    """The options that are not the defaults."""
    types = {section: {"type": getattr(options, section).type} for section in ("encoder", "head")}
    defaults = dict(flatten(Options.of(types).to_dict())) | {
        f"{section}.type": getattr(Options(), section).type for section in types
    }
    changed = [(f"  {name}", str(value)) for name, value in flatten(options.to_dict()) if defaults.get(name) != value]
    return f"options other than the defaults\n{_table(changed)}" if changed else "options: the defaults"


def _scores(metrics: Mapping[str, Any]) -> str:
    rows = []
    for part in ("dev", "test"):
        report = metrics.get(part)
        if isinstance(report, Mapping) and isinstance(report.get("criterion"), float):
            name = "accuracy" if report.get("scheme") == "plain" else report.get("score", "entity F1")
            rows.append((f"  {part} {shown(str(name))}", f"{100 * report['criterion']:.2f}"))
    training = metrics.get("training")
    if isinstance(training, Mapping):
        names = ("epochs", "updates", "best_epoch", "tokens", "seconds")
        rows += [(f"  {name.replace('_', ' ')}", str(training[name])) for name in names if name in training]
    return f"training\n{_table(rows)}" if rows else ""


def _origin(provenance: Mapping[str, Any]) -> str:
    rows = [(f"  {name}", value) for name, value in flatten(provenance) if not name.startswith("run.options.")]
    rows = [(name, str(value)) for name, value in rows if value not in (None, "")]
    more = f"\n  and {len(rows) - ENTRIES:,} more in provenance.json" if len(rows) > ENTRIES else ""
    return f"provenance\n{_table(rows[:ENTRIES])}{more}" if rows else ""


def _transitions(model: Model) -> str:
    crf = getattr(model.head, "crf", None)
    if crf is None:
        return ""
    labels = model.tags.labels
    scores = crf.transitions.detach()
    pairs = [
        (float(scores[i, j]), f"{labels[i]} -> {labels[j]}")
        for i, j in np.argwhere(model.tags.model_scheme.legal(labels).transitions)
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1]))
    lines = [f"  {score:8.3f}  {shown(name)}" for score, name in pairs]
    if len(lines) <= 2 * TRANSITIONS:
        return "\n".join(["transitions, strongest first (in nats)", *lines])
    strongest, weakest = lines[:TRANSITIONS], lines[-TRANSITIONS:][::-1]
    return "\n".join(["strongest transitions (in nats)", *strongest, "", "weakest transitions", *weakest])


def _gates(gates: Any, where: str) -> str:
    """Empty if metrics.json has no such table."""
    if not isinstance(gates, Mapping) or not all(isinstance(column, Mapping) for column in gates.values()):
        return ""
    if not gates or len({tuple(column) for column in gates.values()}) > 1:
        return ""
    if not all(isinstance(value, float) for column in gates.values() for value in column.values()):
        return ""
    tags = list(next(iter(gates.values())))
    rows = [["tag", *gates]] + [[tag, *(f"{column[tag]:.2f}" for column in gates.values())] for tag in tags[:SHOWN]]
    table = [[shown(cell) for cell in row] for row in rows]
    first, *others = (max(map(len, column)) for column in zip(*table, strict=True))
    lines = [
        "  ".join([f"  {name:<{first}}", *(f"{cell:>{width}}" for cell, width in zip(cells, others, strict=True))])
        for name, *cells in table
    ]
    more = [f"  and {len(tags) - SHOWN} more tags"] if len(tags) > SHOWN else []
    return "\n".join([f"mean gate activations on {shown(where, VALUE)}, 0 closed to 1 open", *lines, *more])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(shown(name) for name in names[:SHOWN]) + more


def _table(rows: Sequence[tuple[str, str]]) -> str:
    """A name may be indented by two spaces."""
    names_and_values = [("  " * name.startswith("  ") + shown(name), value) for name, value in rows]
    width = max((len(name) for name, _ in names_and_values), default=0)
    return "\n".join(f"{name:<{width}}  {shown(value, VALUE)}" for name, value in names_and_values)
