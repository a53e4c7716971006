"""The model card: a page that a person reads, with metadata for the Hugging Face Hub at its head."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from structseq.data.example import FRAMES
from structseq.data.textfile import visible
from structseq.model import Model
from structseq.section import flatten
from structseq.tasks.base import Card, code, names_as_code

# Test comes first: dev chose the epoch and the bias of O, so its scores are higher than those of new data.
PARTS = ("test", "dev")
MOST_TYPES, MOST_SCORES = 15, 12


def model_card(model: Model, tokenizer: str, metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """Markdown: what the model is, how to use it, scores, limits, data and licence."""
    task = model.task.card()
    files = {part: entry.get("path", part) for part, entry in _data(provenance).items()}
    parts = {part: metrics[part] for part in PARTS if isinstance(metrics.get(part), Mapping)}
    scores = [_scores(part, files.get(part), parts[part], types=part == next(iter(parts))) for part in parts]
    scores = scores or ["\n".join(_plain_rows(metrics)) if metrics else "No scores were recorded."]
    card = "\n\n".join(
        [
            _metadata(task, parts, files),
            f"# {task.title}",
            _description(model, tokenizer, task),
            f"```python\n{task.usage}\n```",
            "## Scores",
            *scores,
            "## Limits",
            _limits(model),
            "## Data and licence",
            _origin(provenance),
            "All scores are in metrics.json, the options in options.json, and the history in provenance.json.\n",
        ]
    )
    return visible(card)  # names from data and from other folders


def _metadata(task: Card, parts: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """YAML; strings are quoted as in JSON, which YAML includes."""
    lines = ["---", "library_name: structseq", f"pipeline_tag: {task.pipeline_tag}", "tags:"]
    lines += [f"- {tag}" for tag in (task.pipeline_tag, "sequence-labelling", "structseq")]
    lines += ["metrics:", f"- {task.metric}"]
    results = [
        {
            "task": {"type": task.pipeline_tag},
            "dataset": {"name": f"{files.get(part, part)} ({part})", "type": "private"},
            "metrics": [{"type": task.metric, "value": values["criterion"]}],
        }
        for part, values in parts.items()
        if "criterion" in values
    ]
    if results:
        model_index = [{"name": task.title, "results": results}]
        lines.append(f"model-index: {json.dumps(model_index, ensure_ascii=False)}")
    return "\n".join([*lines, "---"])


def _description(model: Model, tokenizer: str, task: Card) -> str:
    tags, encoder = model.tags, model.options.encoder
    ways = "bidirectional " if encoder.bidirectional else "backwards " if encoder.backwards else ""
    layers = f"{encoder.layers} layer" + ("s" if encoder.layers > 1 else "")
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    cut = f"A text is cut into {model.symbols}" if model.symbols else f"Tokens are made from text by `{tokenizer}`"
    names = "Types" if tags.types else model.task.noun.capitalize()
    return (
        f"A structseq model: {ways}{code(encoder.type)} encoder ({layers}, width {encoder.width}), "
        f"{code(model.options.head.type)} head, {parameters:,} trained parameters.\n"
        f"It returns {task.answers}. {'Its input is frames of recordings' if model.modality is FRAMES else cut}.\n\n"
        f"{names}: {names_as_code(tags.types or tags.labels) or 'none'}"
    )


def _scores(part: str, file: str | None, values: Mapping[str, Any], *, types: bool) -> str:
    counts = [f"{values[name]:,} {name}" for name in ("sentences", "tokens") if isinstance(values.get(name), int)]
    chosen = " It chose the best epoch, so these scores are a little too high." if part == "dev" else ""
    title = f"On {part}" + (f", {code(file)}" if file else "") + (f": {', '.join(counts)}." if counts else ".") + chosen
    rows = list(_entity_rows(values, MOST_TYPES if types else 0)) if values.get("table") else list(_plain_rows(values))
    signature = [f"Computed as `{values['signature']}`."] if types and values.get("signature") else []
    return "\n\n".join([title, "\n".join(rows), *_confidence(values), *signature])


def _confidence(values: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each part of a report that has confidences."""
    for name, part in (("", values), *values.items()):
        found = part.get("confidence") if isinstance(part, Mapping) else None
        if isinstance(found, Mapping) and found.get("count"):
            mean, right, ece = (f"{100 * found[each]:.2f} %" for each in ("confidence", "right", "ece"))
            what = f"Confidence of the {name}" if name else "Confidence"
            yield f"{what}: mean {mean}, right {right}, expected calibration error {ece} (10 bins of equal width)."


def _entity_rows(values: Mapping[str, Any], most: int) -> Iterator[str]:
    table = values["table"]
    yield "| type | precision | recall | F1 | gold | predicted |"
    yield "|---|---|---|---|---|---|"
    types = sorted(table["types"].items(), key=lambda item: (-item[1]["support"], item[0]))
    shown = [("all", table["micro"]), *((code(name), scores) for name, scores in types[:most])]
    for name, scores in shown:
        numbers = " | ".join(f"{100 * scores[each]:.2f}" for each in ("precision", "recall", "f1"))
        yield f"| {name} | {numbers} | {scores['support']:,} | {scores['predicted']:,} |"
    if 0 < most < len(types):
        yield f"\n{len(types) - most} rarer types are in metrics.json."


def _plain_rows(values: Mapping[str, Any]) -> Iterator[str]:
    """Single numbers, the outermost first."""
    numbers = [
        (name, value)
        for name, value in flatten(values)
        if isinstance(value, int | float) and "confidence" not in name.split(".")
    ]
    numbers.sort(key=lambda item: item[0].count("."))
    yield "| score | value |"
    yield "|---|---|"
    for name, value in numbers[:MOST_SCORES]:
        yield f"| {code(name)} | {value:.4g} |" if isinstance(value, float) else f"| {code(name)} | {value:,} |"


def _limits(model: Model) -> str:
    lines = [f"It predicts only the {'types' if model.tags.types else model.task.noun} above."]
    if model.tags.types:
        lines.append("Entities do not overlap or nest.")
    lines.append("It reads each sequence alone, without those around it.")
    lines.append("The scores hold for data like that of the test file. Check them on data of your own.")
    return "\n".join(f"- {line}" for line in lines)


def _origin(provenance: Mapping[str, Any]) -> str:
    run = _run(provenance)
    lines = [
        f"- {part}: {code(entry.get('path', ''))}, SHA-256 {code(str(entry.get('sha256', ''))[:12])}"
        for part, entry in _data(provenance).items()
    ]
    if run:
        versions = ", ".join(f"{name} {version}" for name, version in _table(run.get("versions")).items())
        lines.append(f"- made {str(provenance.get('finished', ''))[:10]} with seed {run.get('seed')}; {versions}")
    lines.append("- licence: not stated. It depends on that of the data; add `license:` to the head of this page.")
    return "\n".join(lines)


def _run(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    return _table(provenance.get("run"))


def _data(provenance: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {part: _table(entry) for part, entry in _table(_run(provenance).get("data")).items()}


def _table(value: Any) -> Mapping[str, Any]:
    """The provenance may be that of another folder, with anything in it."""
    return value if isinstance(value, Mapping) else {}
