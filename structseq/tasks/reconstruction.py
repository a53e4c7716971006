"""Reconstruction: the input again, from one vector."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from structseq.config import Options
from structseq.data.example import FRAMES, Example, modality_of
from structseq.data.options import DataOptions
from structseq.evaluation import evaluate_reconstruction, evaluate_transduction
from structseq.evaluation.transduction import symbol_errors
from structseq.spans import PLAIN, Scheme, TagSet
from structseq.tasks.base import Answering, Card, Checked, Report, Task

_USAGE = """\
from structseq import Embedder

embedder = Embedder.load("path/to/this/folder")
embedder.embed_{given}("...")"""


class ReconstructionTask(Task):
    """The tokens or frames of the input; no example needs an answer."""

    noun, title = "symbols", "an autoencoder"

    @classmethod
    def gold(cls, example: Example) -> Any:
        return modality_of([example]).steps(example)

    @classmethod
    def check_corpus(
        cls, train: Sequence[Example], others: Sequence[Example], data: DataOptions, *, repair_option: str
    ) -> Checked:
        return Checked(train, summary="no answers asked for")

    @classmethod
    def inventory(cls, examples: Sequence[Example], scheme: Scheme, options: Options) -> TagSet:
        if modality_of(examples) is FRAMES:
            return TagSet((), PLAIN, PLAIN)
        return super().inventory(examples, scheme, options)

    @classmethod
    def unseen(cls, known: Sequence[Example], examples: Sequence[Example]) -> dict[str, int]:
        return {}

    @property
    def predictor(self) -> str:
        return "Embedder" if self.modality is FRAMES else "Transducer"

    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        """1 - error rate of tokens, or the share of the frames' variance that is explained; at least 0."""
        if self.modality is FRAMES:
            return evaluate_reconstruction(gold, answers).criterion
        return max(0.0, 1 - symbol_errors(gold, answers))

    def report(
        self, model: Answering, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] = ()
    ) -> Report:
        gold, answers = [self.gold(example) for example in examples], self.answers(model, examples)
        if self.modality is FRAMES:
            return evaluate_reconstruction(gold, answers)
        sources = [example.source for example in examples]
        return evaluate_transduction(gold, answers, known_symbols=model.output_symbols, sources=sources)

    def card(self) -> Card:
        given = "audio" if self.modality is FRAMES else "text"
        return Card(
            "feature-extraction", "accuracy", "Autoencoder", "each sequence a vector", _USAGE.format(given=given)
        )
