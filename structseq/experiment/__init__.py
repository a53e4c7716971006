"""Experiments: train a grid of encoders, heads and seeds on one corpus, and compare the systems."""

from __future__ import annotations

from structseq.experiment.compare import Experiment, ExperimentFolder
from structseq.experiment.plan import Choice, Plan, System, parse_choices, parse_seeds
from structseq.experiment.pool import Pool, WorkResult
from structseq.experiment.results import Comparison
from structseq.experiment.trial import Record, Trial

__all__ = [
    "Choice",
    "Comparison",
    "Experiment",
    "ExperimentFolder",
    "Plan",
    "Pool",
    "Record",
    "System",
    "Trial",
    "WorkResult",
    "parse_choices",
    "parse_seeds",
]
