"""Findings: what a trained model shows of itself, its learned transitions and the errors that it is most sure of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from structseq.data.example import Example
from structseq.evaluation import Mistake, evaluate
from structseq.heads.tagging import TaggingHead
from structseq.inference import Tagger, Tagging
from structseq.model import Model
from structseq.padded import Padded

# How many errors are kept
ERRORS = 20


def learned_transitions(model: Model) -> dict[str, Any] | None:
    """The chain's scores in nats: tags (K), scores (K, K) [from, to], start (K), end (K); None stands for forbidden.

    None for a head whose legal transitions are all worth the same, such as softmax: it learned nothing of them.
    """
    if not isinstance(model.head, TaggingHead):
        return None
    with torch.inference_mode():
        states = next(model.parameters()).new_zeros(1, 1, model.encoder.width)  # a head may have no weights
        chain = model.head.chain(Padded(states, torch.tensor([1])))
    transitions, start, end = (table.cpu() for table in chain.tables)
    moves, start, end = transitions[0, 0], start[0], end[0]
    legal = moves[moves.isfinite()]
    if not len(legal) or bool((legal == legal[0]).all()):
        return None
    scores = [_scores(row) for row in moves.tolist()]
    return {
        "tags": list(model.tags.labels),
        "scores": scores,
        "start": _scores(start.tolist()),
        "end": _scores(end.tolist()),
    }


def confident_errors(tagger: Tagger, examples: Sequence[Example], *, count: int = ERRORS) -> list[dict[str, Any]]:
    """The wrong answers that the model is surest of, the surest first; none where its scores are no probabilities.

    Each has confidence (0..1), source, tokens, start and end of what was predicted (half-open), predicted (its type),
    gold (the type of what stands there in truth, or None), gold_start and gold_end, and kind (`Mistake.kind`).
    """
    taggings = list(tagger.tag_many(examples, confidence=True))
    report = evaluate(
        [example.tags for example in examples],
        [tagging.tags for tagging in taggings],
        scheme=tagger.scheme,
        tokens=[example.tokens for example in examples],
        sources=[example.source for example in examples],
        bootstrap=0,
    )
    found = [(_confidence(taggings[mistake.sentence], mistake), mistake) for mistake in report.errors]
    sure = [(confidence, mistake) for confidence, mistake in found if confidence is not None]
    sure.sort(key=lambda pair: -pair[0])  # stable: among equals the order of the text
    return [_told(confidence, mistake) for confidence, mistake in sure[:count]]


def _confidence(tagging: Tagging, mistake: Mistake) -> float | None:
    """How sure the model is of the unit that it predicted; None where it predicted nothing."""
    if mistake.predicted is None or tagging.confidence is None:
        return None
    if tagging.scheme.plain:
        return tagging.confidence[mistake.predicted.start]
    unit = mistake.predicted
    for span in tagging.spans:
        if (span.start, span.end, span.label) == (unit.start, unit.end, unit.label):
            return span.confidence
    return None


def _told(confidence: float, mistake: Mistake) -> dict[str, Any]:
    gold, predicted = mistake.gold, mistake.predicted
    assert predicted is not None
    return {
        "confidence": confidence,
        "source": mistake.source,
        "tokens": list(mistake.tokens),
        "start": predicted.start,
        "end": predicted.end,
        "gold": None if gold is None else gold.label,
        "gold_start": None if gold is None else gold.start,
        "gold_end": None if gold is None else gold.end,
        "predicted": predicted.label,
        "kind": mistake.kind,
    }


def _scores(row: Sequence[float]) -> list[float | None]:
    return [round(score, 4) if math.isfinite(score) else None for score in row]
