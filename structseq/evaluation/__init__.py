"""Gold against predicted answers: a number for every epoch, and a report that says how its numbers were computed.

``matching`` finds the spans that both sides share; ``comparison``, ``mistakes`` and ``significance`` make a ``report``
of them. ``joint``, ``transduction``, ``reconstruction`` and ``perplexity`` report on
other kinds of answers.
"""

from structseq.evaluation.comparison import entities_of, entity_f1, evaluate
from structseq.evaluation.joint import JointReport, evaluate_jointly
from structseq.evaluation.mistakes import Confusion, Mistake
from structseq.evaluation.reconstruction import ReconstructionReport, evaluate_reconstruction
from structseq.evaluation.report import Report, Score, Table
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
