"""Evaluation: compare gold with predicted answers, as one score for each epoch and as a full report."""

from structseq.evaluation.calibration import Bin, Calibration
from structseq.evaluation.entities import entities_of, entity_f1, evaluate
from structseq.evaluation.joint_report import JointReport, evaluate_jointly
from structseq.evaluation.mistakes import Confusion, Mistake
from structseq.evaluation.reconstruction_report import ReconstructionReport, evaluate_reconstruction
from structseq.evaluation.report import Report, Score, Table
from structseq.evaluation.transduction_report import TransductionReport, evaluate_transduction

__all__ = [
    "Bin",
    "Calibration",
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
