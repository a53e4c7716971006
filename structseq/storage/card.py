"""The model card: README.md with the front matter that model hubs read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from structseq.model import Model

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


_TAGGER = """\
from structseq import Tagger

tagger = Tagger.load("path/to/this/folder")
tagger.tag_text("...")"""
_CLASSIFIER = """\
from structseq import Classifier

classifier = Classifier.load("path/to/this/folder")
classifier.classify_{given}("...")"""
_FRAME_TAGGER = """\
from structseq import read
from structseq.storage import load_model

model = load_model("path/to/this/folder").model
examples = list(read("recordings.jsonl", audio=model.options.data.audio, tags=False))
list(model.predict(examples))"""

_TRANSDUCER = """\
from structseq import Transducer

transducer = Transducer.load("path/to/this/folder")
transducer.transduce_{given}("...")"""
_EMBEDDER = """\
from structseq import Embedder

embedder = Embedder.load("path/to/this/folder")
embedder.embed_{given}("...")"""


_READ = {"text": "text", "audio": "recording"}


def model_card(model: Model, tokenizer: str, metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """The card's text, Markdown."""
    plain = model.tags.outer.plain
    names = model.tags.labels if plain else model.tags.types
    encoder, gives = model.options.encoder, model.head.gives
    given = "audio" if model.reads == "frames" else "text"
    task, title, answers, usage, what = {
        "tags": (
            "token-classification",
            "Sequence tagger",
            f"each {'frame' if given == 'audio' else 'token'} a tag in the scheme {model.tags.outer.name}",
            _FRAME_TAGGER if given == "audio" else _TAGGER,
            "Tags" if plain else "Types",
        ),
        "label": ("text-classification", "Classifier", f"each {_READ[given]} a label", _CLASSIFIER, "Labels"),
        "target": ("text2text-generation", "Transducer", "each sequence another", _TRANSDUCER, "Symbols"),
        "inputs": ("feature-extraction", "Autoencoder", "each sequence a vector", _EMBEDDER, "Symbols"),
    }[gives]
    cut = f"a text is cut into {model.symbols}" if model.symbols else f"tokens are made from text by `{tokenizer}`"
    if "label" in model.head.asks and gives == "tags":
        title = "Sequence tagger and classifier"
        answers += f", and the whole a label ({', '.join(map(_code, model.vocabularies['labels'].items))})"
    if given == "audio":
        task = {"target": "automatic-speech-recognition", "label": "audio-classification"}.get(gives, task)
    return _CARD.format(
        task=task,
        title=title,
        answers=answers,
        usage=usage.format(given=given),
        metric={"target": "wer", "inputs": "accuracy"}.get(gives, "accuracy" if plain else "seqeval"),
        encoder=("bidirectional " if encoder.bidirectional else "backwards " if encoder.backwards else "")
        + _code(encoder.type),
        layers=encoder.layers,
        width=encoder.width,
        head=_code(model.options.head.type),
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        steps="its steps are frames of recordings" if given == "audio" else cut,
        what=what,
        tags=", ".join(_code(name) for name in names) or "none",
        scores=_table(metrics),
        provenance=_table(provenance),
    )


def _table(values: Mapping[str, Any]) -> str:
    """Single values, nested ones by dotted name; lists belong to the JSON files."""
    rows = [f"| {_code(name)} | {_code(value)} |" for name, value in _single(values)]
    return "\n".join(["| | |", "|---|---|", *rows]) if rows else "None were recorded."


def _single(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _single(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            yield f"{prefix}{name}", f"{value:.4g}"
        elif value is not None and not isinstance(value, (list, tuple)):
            yield f"{prefix}{name}", str(value)


def _code(text: Any) -> str:
    """As code, one line, whatever the user called it."""
    flat = " ".join(str(text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{flat}`" if flat else "(no name)"
