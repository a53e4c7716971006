"""Joint intent and slots: a label for the sequence and a tag for each step, decided together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from structseq.data.example import Example
from structseq.data.vocabulary import Vocabulary
from structseq.evaluation import evaluate_jointly
from structseq.tasks.base import Answering, Card, Report, code
from structseq.tasks.tagging import TaggingTask


class JointTask(TaggingTask):
    """A label and tags. An answer is one sequence: the label, then the tags."""

    required_targets = ("tags", "label")
    comparable = False
    title = "a tagger that labels whole sequences too"

    @classmethod
    def gold(cls, example: Example) -> tuple[str, ...]:
        return (example.label, *example.tags)

    @classmethod
    def label_inventory(cls, examples: Sequence[Example]) -> Vocabulary:
        return Vocabulary.count(Counter(example.label for example in examples), open=False)

    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        """The mean of slot F1 and the share of right labels."""
        labels = sum(one[0] == other[0] for one, other in zip(gold, answers, strict=True)) / max(len(gold), 1)
        return (labels + super().criterion([row[1:] for row in gold], [row[1:] for row in answers])) / 2

    def report(
        self, model: Answering, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] = ()
    ) -> Report:
        gold = [self.gold(example) for example in examples]
        answers = self.answers(model, examples)
        return evaluate_jointly(gold, answers, known_labels=self.labels, **self.context(examples, entities))

    def card(self) -> Card:
        tagger = super().card()
        labels = ", ".join(code(label) for label in self.labels)
        return tagger._replace(
            title="Sequence tagger and classifier", answers=f"{tagger.answers}, and the whole a label ({labels})"
        )
