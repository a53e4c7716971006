"""Classification: one label for a whole sequence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from structseq.data.example import FRAMES, Example
from structseq.data.options import DataOptions
from structseq.evaluation import entity_f1, evaluate
from structseq.tasks.base import Answering, Card, Checked, Report, Task

_USAGE = """\
from structseq import Classifier

classifier = Classifier.load("path/to/this/folder")
classifier.classify_{given}("...")"""


class ClassificationTask(Task):
    """A label for each text or recording. It is a sequence of one plain tag, and scored as such."""

    required_targets = ("label",)
    noun, title = "labels", "a classifier"

    @classmethod
    def gold(cls, example: Example) -> tuple[str, ...]:
        return (example.label,)

    @classmethod
    def check_corpus(
        cls, train: Sequence[Example], others: Sequence[Example], data: DataOptions, *, repair_option: str
    ) -> Checked:
        return Checked(train, summary="plain labels")

    @property
    def predictor(self) -> str:
        return "Classifier"

    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        return entity_f1(gold, answers, self.tags.outer)

    def report(
        self, model: Answering, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] = ()
    ) -> Report:
        return evaluate(
            [self.gold(example) for example in examples],
            self.answers(model, examples),
            scheme=self.tags.outer,
            tokens=[(" ".join(self.modality.words(example)),) for example in examples],
            known_tags=self.tags.known(),
            sources=[example.source for example in examples],
        )

    def card(self) -> Card:
        recordings = self.modality is FRAMES
        return Card(
            "audio-classification" if recordings else "text-classification",
            "accuracy",
            "Classifier",
            f"each {'recording' if recordings else 'text'} a label",
            _USAGE.format(given="audio" if recordings else "text"),
        )
