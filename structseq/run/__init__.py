"""A training run: corpus, journal, checkpoints, resume, stop on request.

`prepare_corpus` and `train_and_save` serve ``train``, ``compare`` and the estimators alike; `fit` is the training
within, with everything on the disk in a `RunFolder`, or nothing without one.
"""

from __future__ import annotations

from structseq.run.corpus import Parts, PreparedCorpus, prepare_corpus, read_corpus, read_gold, with_format
from structseq.run.fitting import Outcome, Watch, fit, warm_up
from structseq.run.folder import RunFolder
from structseq.run.identity import Identity
from structseq.run.split import hold_out
from structseq.run.fitting import Interrupted
from structseq.run.training_run import Destination, Start, Trained, train_and_save
from structseq.run.transfer import described, transfer

__all__ = [
    "Destination",
    "Identity",
    "Interrupted",
    "Outcome",
    "Parts",
    "PreparedCorpus",
    "RunFolder",
    "Start",
    "Trained",
    "Watch",
    "described",
    "fit",
    "hold_out",
    "prepare_corpus",
    "read_corpus",
    "read_gold",
    "train_and_save",
    "transfer",
    "warm_up",
    "with_format",
]
