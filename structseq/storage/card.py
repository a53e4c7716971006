"""The model card: README.md with the front matter that model hubs read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from structseq.data.example import FRAMES
from structseq.model import Model
from structseq.tasks.base import code

_CARD = """\
---
library_name: structseq
pipeline_tag: {task}
tags:
- {task}
- sequence-labelling
- structseq
metrics:
- {metric}
---

# {title}

A structseq model: {encoder} encoder ({layers} layer(s), width {width}), {head} head, {parameters:,} trained numbers.
It gives {answers}; {steps}.

```python
{usage}
```

{what}: {tags}

## Scores

{scores}

## Provenance

{provenance}
"""


def model_card(model: Model, tokenizer: str, metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """The card's text, Markdown."""
    tags, encoder, task = model.tags, model.options.encoder, model.task.card()
    names = tags.types or tags.labels
    kind = "Types" if tags.types else model.task.noun.capitalize()
    cut = f"a text is cut into {model.symbols}" if model.symbols else f"tokens are made from text by `{tokenizer}`"
    return _CARD.format(
        task=task.pipeline_tag,
        title=task.title,
        answers=task.answers,
        usage=task.usage,
        metric=task.metric,
        encoder=("bidirectional " if encoder.bidirectional else "backwards " if encoder.backwards else "")
        + code(encoder.type),
        layers=encoder.layers,
        width=encoder.width,
        head=code(model.options.head.type),
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        steps="its steps are frames of recordings" if model.modality is FRAMES else cut,
        what=kind,
        tags=", ".join(code(name) for name in names) or "none",
        scores=_table(metrics),
        provenance=_table(provenance),
    )


def _table(values: Mapping[str, Any]) -> str:
    """Single values, nested ones by dotted name; lists belong to the JSON files."""
    rows = [f"| {code(name)} | {code(value)} |" for name, value in _single(values)]
    return "\n".join(["| | |", "|---|---|", *rows]) if rows else "None were recorded."


def _single(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _single(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            yield f"{prefix}{name}", f"{value:.4g}"
        elif value is not None and not isinstance(value, (list, tuple)):
            yield f"{prefix}{name}", str(value)
