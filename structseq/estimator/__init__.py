"""Estimators for scikit-learn: SequenceTagger and SequenceClassifier."""

from __future__ import annotations

from structseq.estimator.sequence_classifier import SequenceClassifier
from structseq.estimator.sequence_tagger import SequenceTagger

__all__ = ["SequenceClassifier", "SequenceTagger"]
