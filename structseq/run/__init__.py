"""A training run as its owner lives it: journal, checkpoints, going on after a kill, stopping politely.

`fit` serves the command line and the estimator alike; with a `RunFolder` everything is on the disk, without one
nothing is.
"""

from __future__ import annotations

from structseq.run.fitting import Outcome, Watch, fit, warm_up
from structseq.run.folder import RunFolder
from structseq.run.holding import hold_out
from structseq.run.identity import Identity
from structseq.run.stopping import Interrupted
from structseq.run.transfer import told, transfer

__all__ = [
    "Identity",
    "Interrupted",
    "Outcome",
    "RunFolder",
    "Watch",
    "fit",
    "hold_out",
    "told",
    "transfer",
    "warm_up",
]
