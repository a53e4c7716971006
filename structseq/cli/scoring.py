"""A model's answers on gold data as a report: seen and unseen entities apart, tags that training never saw named."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from structseq.data.example import Example
from structseq.evaluation import (
    JointReport,
    ReconstructionReport,
    Report,
    TransductionReport,
    evaluate,
    evaluate_jointly,
    evaluate_reconstruction,
    evaluate_transduction,
)
from structseq.heads.tagging import TagSet
from structseq.model import Model


def score(
    model: Model, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] | None = None
) -> Report | JointReport | TransductionReport | ReconstructionReport:
    """Answer ``examples`` and compare; ``entities`` are those of the training data, as (text, label).

    A label is scored as the one tag of a sentence of one word, which is the whole text; where tags are those of frames
    a frame's number stands for its word. A text that is said again is an answer of its own length.
    """
    gives, frames = model.head.gives, model.reads == "frames"
    gold = [model.head.gold(example) for example in examples]
    predicted = list(model.predict(examples))
    sources = [example.source for example in examples]
    if gives == "inputs" and frames:
        return evaluate_reconstruction([example.frames for example in examples], predicted)
    if gives in ("target", "inputs"):
        return evaluate_transduction(gold, predicted, known_symbols=model.head.symbols(), sources=sources)
    tagging = gives == "tags"
    texts = [tuple(map(str, range(len(e)))) if frames else e.tokens for e in examples]
    told: dict[str, Any] = {
        "scheme": model.tags.outer,
        "tokens": [text if tagging else (" ".join(text),) for text in texts],
        "known_entities": entities if tagging else None,
        "known_tags": known_tags(model.tags),
        "sources": sources,
    }
    if tagging and "label" in model.head.asks:
        return evaluate_jointly(gold, predicted, known_labels=model.vocabularies["labels"].items, **told)
    return evaluate(gold, predicted, **told)


def known_tags(tags: TagSet) -> set[str]:
    """The tags of the user's scheme that a model can answer with."""
    if tags.inner == tags.outer:
        return set(tags.labels)
    return {"O", *(tags.outer.tag(meaning, label) for meaning in "BIES" for label in tags.types)}
