"""The scikit-learn face: sentences and their tags, or texts and their labels, in; a fitted model out."""

from __future__ import annotations

from structseq.estimator.sequence_classifier import SequenceClassifier
from structseq.estimator.sequence_tagger import SequenceTagger

__all__ = ["SequenceClassifier", "SequenceTagger"]
