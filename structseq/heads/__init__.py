"""The table of heads by name."""

from __future__ import annotations

from structseq.heads.autoencoding import AutoencodeHead
from structseq.heads.base import Head
from structseq.heads.classifying import ClassifyHead
from structseq.heads.generating import GenerateHead
from structseq.heads.joint import JointHead
from structseq.heads.language_modelling import LanguageModelHead
from structseq.heads.segmental import SegmentsHead
from structseq.heads.tagging import CrfHead, SoftmaxHead
from structseq.heads.tempered import HmmHead, PerceptronHead, SvmHead
from structseq.heads.transcribing import CtcHead, TrimHead, WordLoopHead

# One tag per token
TAGGERS: dict[str, type[Head]] = {
    "crf": CrfHead,
    "hmm": HmmHead,
    "perceptron": PerceptronHead,
    "segments": SegmentsHead,
    "softmax": SoftmaxHead,
    "svm": SvmHead,
}
# Frames to symbols
TRANSCRIBERS: dict[str, type[Head]] = {"ctc": CtcHead, "trim": TrimHead, "words": WordLoopHead}
HEADS: dict[str, type[Head]] = {
    **TAGGERS,
    "classify": ClassifyHead,
    "joint": JointHead,
    **TRANSCRIBERS,
    "generate": GenerateHead,
    "autoencode": AutoencodeHead,
    "language_model": LanguageModelHead,
}

__all__ = [
    "HEADS", "TAGGERS", "TRANSCRIBERS", "AutoencodeHead", "ClassifyHead", "CrfHead", "CtcHead", "GenerateHead",
    "HmmHead", "JointHead", "LanguageModelHead", "PerceptronHead", "SegmentsHead", "SoftmaxHead", "SvmHead", "TrimHead",
    "WordLoopHead",
]  # fmt: skip
