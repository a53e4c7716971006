"""Predictors by name."""

from __future__ import annotations

from structseq.inference.classifier import Classifier
from structseq.inference.embedder import Embedder
from structseq.inference.predictor import OutputOptions, Predictor
from structseq.inference.scorer import Scorer
from structseq.inference.tagger import FrameTagger, Tagger
from structseq.inference.transducer import Transducer
from structseq.section import resolve_class
from structseq.storage import StoredModel
from structseq.tasks.answers import Classification, FrameTagging, TaggedSpan, Tagging, TextToken, Transduction

PREDICTORS: dict[str, type[Predictor]] = {
    kind.__name__: kind for kind in (Tagger, FrameTagger, Classifier, Transducer, Embedder, Scorer)
}


def predictor_of(stored: StoredModel) -> Predictor:
    """The predictor that the model's task names."""
    kind: type[Predictor] = resolve_class(PREDICTORS, stored.model.task.predictor, "predictor")
    return kind.of(stored)


__all__ = [
    "PREDICTORS",
    "Classification",
    "Classifier",
    "Embedder",
    "FrameTagger",
    "FrameTagging",
    "OutputOptions",
    "Predictor",
    "Scorer",
    "TaggedSpan",
    "Tagger",
    "Tagging",
    "TextToken",
    "Transducer",
    "Transduction",
    "predictor_of",
]
