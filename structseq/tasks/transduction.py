"""Transduction: a sequence of its own length for each sequence (Graves 2012, "Sequence transduction with recurrent
neural networks")."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from structseq.config import Options
from structseq.data.example import FRAMES, Example
from structseq.data.formats import detect_format
from structseq.data.options import DataOptions
from structseq.data.reading import named_format
from structseq.evaluation import evaluate_transduction
from structseq.evaluation.transduction import exact_match, symbol_errors
from structseq.spans import PLAIN, Scheme, TagSet
from structseq.tasks.base import Answering, Card, Checked, Report, Task

_USAGE = """\
from structseq import Transducer

transducer = Transducer.load("path/to/this/folder")
transducer.transduce_{given}("...")"""


class TransductionTask(Task):
    """Symbols from tokens or frames: a date from its description, digits from a recording."""

    required_targets = ("target",)
    noun, title = "symbols", "a transducer"

    @classmethod
    def symbols(cls, options: Options) -> str:
        return options.data.symbols

    @classmethod
    def file_format(cls, file: str | Path, data: DataOptions) -> str:
        name = named_format(file, data)
        name = detect_format(file) if name == "auto" else name
        return "text" if name == "columns" and data.format == "auto" else name

    @classmethod
    def gold(cls, example: Example) -> tuple[str, ...]:
        return example.target

    @classmethod
    def check_corpus(
        cls, train: Sequence[Example], others: Sequence[Example], data: DataOptions, *, repair_option: str
    ) -> Checked:
        return Checked(train, summary="answers of their own length")

    @property
    def predictor(self) -> str:
        return "Transducer"

    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        """The mean of the share of right answers and of 1 - symbol error rate, which is at least 0."""
        return (exact_match(gold, answers) + max(0.0, 1 - symbol_errors(gold, answers))) / 2

    def report(
        self, model: Answering, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] = ()
    ) -> Report:
        return evaluate_transduction(
            [self.gold(example) for example in examples],
            self.answers(model, examples),
            known_symbols=model.output_symbols,
            sources=[example.source for example in examples],
        )

    def card(self) -> Card:
        recordings = self.modality is FRAMES
        return Card(
            "automatic-speech-recognition" if recordings else "text2text-generation",
            "wer",
            "Transducer",
            "each sequence another",
            _USAGE.format(given="audio" if recordings else "text"),
        )


class TranscriptionTask(TransductionTask):
    """What was said in a sequence that is longer than its answer, as the frames of a recording are."""

    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        """1 - symbol error rate, at least 0."""
        return max(0.0, 1 - symbol_errors(gold, answers))


class FrameTranscriptionTask(TranscriptionTask):
    """The same, read from a tag for each frame. The tags are for training, and some examples may lack them."""

    @classmethod
    def inventory(cls, examples: Sequence[Example], scheme: Scheme, options: Options) -> TagSet:
        tagged = [example for example in examples if "tags" in example.targets] or examples
        return TagSet.of([example.tags for example in tagged], PLAIN)
