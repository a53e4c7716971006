"""Gold against predicted tags: one number for every epoch, and a report that says how each of its numbers came about.

``matching`` reads both sides and matches them; ``scores``, ``mistakes`` and ``intervals`` are counted from that;
``comparison`` puts them together into a ``report``, and ``joint`` two of them where sentences have labels and tags.
``transduction`` compares answers of their own length, ``reconstruction`` frames that were said again.
"""

from structseq.evaluation.comparison import entities_of, entity_f1, evaluate
from structseq.evaluation.joint import JointReport, evaluate_jointly
from structseq.evaluation.mistakes import Confusion, Mistake
from structseq.evaluation.reconstruction import ReconstructionReport, evaluate_reconstruction
from structseq.evaluation.report import Report
from structseq.evaluation.scores import Score, Table
from structseq.evaluation.transduction import TransductionReport, evaluate_transduction

__all__ = [
    "Confusion",
    "JointReport",
    "Mistake",
    "ReconstructionReport",
    "Report",
    "Score",
    "Table",
    "TransductionReport",
    "entities_of",
    "entity_f1",
    "evaluate",
    "evaluate_jointly",
    "evaluate_reconstruction",
    "evaluate_transduction",
]
