"""A model's answers on gold data as a report: seen and unseen entities apart, tags that training never saw named."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from structseq.data.example import Example
from structseq.evaluation import JointReport, Report, evaluate, evaluate_jointly
from structseq.heads.tagging import TagSet
from structseq.model import Model


def score(
    model: Model, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] | None = None
) -> Report | JointReport:
    """Answer ``examples`` and compare; ``entities`` are those of the training data, as (text, label).

    A label is scored as the one tag of a sentence of one word, which is the whole text.
    """
    tagging = "tags" in model.head.asks
    compare = evaluate_jointly if tagging and "label" in model.head.asks else evaluate
    return compare(
        [model.head.gold(example) for example in examples],
        list(model.predict(examples)),
        scheme=model.tags.outer,
        tokens=[example.tokens if tagging else (" ".join(example.tokens),) for example in examples],
        known_entities=entities if tagging else None,
        known_tags=known_tags(model.tags),
        sources=[example.source for example in examples],
    )


def known_tags(tags: TagSet) -> set[str]:
    """The tags of the user's scheme that a model can answer with."""
    if tags.inner == tags.outer:
        return set(tags.labels)
    return {"O", *(tags.outer.tag(meaning, label) for meaning in "BIES" for label in tags.types)}
