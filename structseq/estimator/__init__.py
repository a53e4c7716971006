"""The scikit-learn face: `SequenceTagger`; `samples` turns X and y into examples."""

from __future__ import annotations

from structseq.estimator.sequence_tagger import SequenceTagger

__all__ = ["SequenceTagger"]
