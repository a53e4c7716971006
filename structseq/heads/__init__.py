"""Heads by name: one class and one row each."""

from __future__ import annotations

from structseq.heads.tagging import CrfHead, PerceptronHead, SoftmaxHead

HEADS = {"crf": CrfHead, "perceptron": PerceptronHead, "softmax": SoftmaxHead}

__all__ = ["HEADS", "CrfHead", "PerceptronHead", "SoftmaxHead"]
