"""Heads by name: one class and one row each."""

from __future__ import annotations

from structseq.heads.by_token import HmmHead, SoftmaxHead
from structseq.heads.tagging import CrfHead
from structseq.heads.tempered import PerceptronHead, SvmHead

HEADS = {"crf": CrfHead, "hmm": HmmHead, "perceptron": PerceptronHead, "softmax": SoftmaxHead, "svm": SvmHead}

__all__ = ["HEADS", "CrfHead", "HmmHead", "PerceptronHead", "SoftmaxHead", "SvmHead"]
