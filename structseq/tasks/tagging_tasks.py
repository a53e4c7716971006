"""Tagging (a tag for each step), classification (a label for each sequence), and both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from structseq.config import Options
from structseq.data.example import FRAMES, Example
from structseq.data.options import DataOptions
from structseq.data.reading import tagger_format
from structseq.data.remarks import HashedRows, remarks_on_file
from structseq.data.textfile import Source
from structseq.data.vocabulary import Vocabulary
from structseq.evaluation import entities_of, entity_f1, evaluate, evaluate_jointly
from structseq.evaluation.significance import sentence_counts
from structseq.spans import Scheme, TagSet
from structseq.tasks.base import (
    REPAIR_OPTION,
    Card,
    CheckedCorpus,
    CheckedGold,
    Entities,
    Report,
    Task,
    TrainedModel,
    names_as_code,
)
from structseq.tasks.legality import GoldTags, gold_in, legal_gold


class TaggingTask(Task):
    """A tag for each token or frame: spans in a tag scheme, or plain tags."""

    required_targets: ClassVar[tuple[str, ...]] = ("tags",)
    comparable = True
    noun, title = "tags", "a sequence tagger"

    @classmethod
    def input_format(cls, file: Source, data: DataOptions) -> str:
        """Also of a stream that can peek."""
        return tagger_format(file, data)

    @classmethod
    def gold(cls, example: Example) -> tuple[str, ...]:
        return example.tags

    @classmethod
    def check_corpus(
        cls, train: Sequence[Example], others: Sequence[Example], data: DataOptions, *, repair_option: str
    ) -> CheckedCorpus:
        gold, beside = GoldTags.of(train), [GoldTags.of(others)] if data.scheme == "auto" else ()
        scheme = gold.find_scheme(data, beside, option=repair_option.replace("repair", "scheme"))
        kept, remarks = legal_gold(train, scheme, data, option=repair_option)
        files = (Path(example.source.rpartition(":")[0]) for example in train[:1])
        path = next((file for file in files if file.is_file()), None)  # a pipe cannot be read again
        lengths = Counter(map(len, train))
        remarks = (*remarks, *remarks_on_file(path, data, gold.summary, scheme, lengths, HashedRows.of(train)))
        how = "named" if data.scheme != "auto" else "found from the data"
        return CheckedCorpus(kept, scheme, f"tag scheme {scheme}, {how}", remarks)

    @classmethod
    def check_gold(
        cls, examples: Sequence[Example], scheme: Scheme, data: DataOptions, *, repair_option: str = REPAIR_OPTION
    ) -> CheckedGold:
        return CheckedGold(*gold_in(examples, scheme, data, option=repair_option))

    @classmethod
    def inventory(cls, examples: Sequence[Example], scheme: Scheme, options: Options) -> TagSet:
        model_scheme = getattr(options.head, "scheme", "auto")  # a head from outside may have no such option
        return TagSet.of([example.tags for example in examples], scheme, model_scheme)

    @property
    def predictor(self) -> str:
        return "FrameTagger" if self.modality is FRAMES else "Tagger"

    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        return entity_f1(gold, answers, self.tags.file_scheme)

    def report(
        self, model: TrainedModel, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] = ()
    ) -> Report:
        answers, confidences = model.predict_with_confidence(examples)
        gold = [example.tags for example in examples]
        return evaluate(gold, answers, confidences=confidences, **self.context(examples, entities))

    def context(self, examples: Sequence[Example], entities: Collection[tuple[str, str]]) -> dict[str, Any]:
        return {
            "scheme": self.tags.file_scheme,
            "tokens": [self.modality.step_names(example) for example in examples],
            "known_entities": entities,
            "known_tags": self.tags.answer_tags(),
            "sources": [example.source for example in examples],
        }

    def counts(self, gold: Sequence[Any], answers: Sequence[Any]) -> np.ndarray:
        """(N, 3) correct, predicted and gold units of each example, for paired tests."""
        return sentence_counts(gold, answers, self.tags.file_scheme)

    def entities(self, examples: Sequence[Example]) -> Entities:
        if self.modality is FRAMES:
            return frozenset()
        return entities_of([each.tokens for each in examples], [each.tags for each in examples], self.tags.file_scheme)

    def card(self) -> Card:
        return Card(
            "token-classification",
            "accuracy" if self.tags.file_scheme.plain else "seqeval",
            "Sequence tagger",
            f"a tag in the scheme {self.tags.file_scheme.name} for each {self.modality.name.removesuffix('s')}",
            self.usage("tagger", "tag"),
        )


class JointTask(TaggingTask):
    """A label and tags, such as intent and slots; answers are sequences of the label, then the tags."""

    required_targets = ("tags", "label")
    comparable = False
    title = "a tagger that also labels whole sequences"

    @classmethod
    def gold(cls, example: Example) -> tuple[str, ...]:
        return (example.label, *example.tags)

    @classmethod
    def label_inventory(cls, examples: Sequence[Example]) -> Vocabulary:
        return Vocabulary.count(Counter(example.label for example in examples), open=False)

    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        """The mean of slot F1 and label accuracy."""
        labels = sum(one[0] == other[0] for one, other in zip(gold, answers, strict=True)) / max(len(gold), 1)
        return (labels + super().criterion([row[1:] for row in gold], [row[1:] for row in answers])) / 2

    def report(
        self, model: TrainedModel, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] = ()
    ) -> Report:
        gold = [self.gold(example) for example in examples]
        answers, confidences = model.predict_with_confidence(examples)
        context = self.context(examples, entities)
        return evaluate_jointly(gold, answers, confidences=confidences, known_labels=self.labels, **context)

    def card(self) -> Card:
        tagger, labels = super().card(), names_as_code(self.labels)
        return tagger._replace(
            title="Sequence tagger and classifier", answers=f"{tagger.answers}, and a label for the whole ({labels})"
        )


class ClassificationTask(Task):
    """A label for each sequence, as a sequence of one plain tag."""

    required_targets = ("label",)
    noun, title, summary = "labels", "a classifier", "plain labels"

    @classmethod
    def gold(cls, example: Example) -> tuple[str, ...]:
        return (example.label,)

    @property
    def predictor(self) -> str:
        return "Classifier"

    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        return entity_f1(gold, answers, self.tags.file_scheme)

    def report(
        self, model: TrainedModel, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] = ()
    ) -> Report:
        answers, confidences = model.predict_with_confidence(examples)
        return evaluate(
            [self.gold(example) for example in examples],
            answers,
            confidences=confidences,
            scheme=self.tags.file_scheme,
            tokens=[(" ".join(self.modality.step_names(example)),) for example in examples],
            known_tags=self.tags.answer_tags(),
            sources=[example.source for example in examples],
        )

    def card(self) -> Card:
        tag, one = ("audio", "recording") if self.modality is FRAMES else ("text", "text")
        usage = self.usage("classifier", "classify")
        return Card(f"{tag}-classification", "accuracy", "Classifier", f"a label for each {one}", usage)
