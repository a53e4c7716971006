"""A training run: corpus, journal, checkpoints, resume, stop on request."""

from __future__ import annotations

from structseq.run.corpus import (
    CorpusFiles,
    PreparedCorpus,
    check_options,
    hold_out,
    prepare_corpus,
    read_corpus,
    read_gold,
    with_format,
)
from structseq.run.folder import RunFolder
from structseq.run.identity import Identity
from structseq.run.training_run import (
    Callback,
    Destination,
    InitialModel,
    Interrupted,
    Outcome,
    TrainingResult,
    fit,
    train_and_save,
)
from structseq.run.transfer import transfer

__all__ = [
    "Callback",
    "CorpusFiles",
    "Destination",
    "Identity",
    "InitialModel",
    "Interrupted",
    "Outcome",
    "PreparedCorpus",
    "RunFolder",
    "TrainingResult",
    "check_options",
    "fit",
    "hold_out",
    "prepare_corpus",
    "read_corpus",
    "read_gold",
    "train_and_save",
    "transfer",
    "with_format",
]
