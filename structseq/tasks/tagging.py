"""Tagging: a tag for each step."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from structseq.config import Options
from structseq.data.example import FRAMES, Example
from structseq.data.formats import detect_format
from structseq.data.options import DataOptions
from structseq.evaluation import entities_of, entity_f1, evaluate
from structseq.evaluation.significance import sentence_counts
from structseq.spans import Scheme, TagSet
from structseq.tasks.base import Answering, Card, Checked, Entities, Report, Task
from structseq.tasks.legality import find_scheme, refuse_foreign, repaired

_USAGE = """\
from structseq import {predictor}

tagger = {predictor}.load("path/to/this/folder")
tagger.tag_{given}("...")"""


class TaggingTask(Task):
    """A tag for each token or frame: spans in a tag scheme, or plain tags."""

    required_targets: ClassVar[tuple[str, ...]] = ("tags",)
    comparable = True
    noun, title = "tags", "a sequence tagger"

    @classmethod
    def file_format(cls, file: str | Path, data: DataOptions) -> str:
        return detect_format(file)

    @classmethod
    def gold(cls, example: Example) -> tuple[str, ...]:
        return example.tags

    @classmethod
    def check_corpus(
        cls, train: Sequence[Example], others: Sequence[Example], data: DataOptions, *, repair_option: str
    ) -> Checked:
        scheme = find_scheme(train, data, others)
        kept, changed = repaired(train, scheme, data, option=repair_option)
        remarks = (f"{changed} illegal tag sequences were repaired by {data.repair!r}",) if changed else ()
        how = "named" if data.scheme != "auto" else "found from the data"
        return Checked(kept, scheme, f"tag scheme {scheme}, {how}", remarks)

    @classmethod
    def check_gold(cls, examples: Sequence[Example], scheme: Scheme, data: DataOptions) -> None:
        refuse_foreign(examples, scheme, data)

    @classmethod
    def inventory(cls, examples: Sequence[Example], scheme: Scheme, options: Options) -> TagSet:
        inner = getattr(options.head, "scheme", "auto")  # a head from outside may have no such option
        return TagSet.of([example.tags for example in examples], scheme, inner)

    @property
    def predictor(self) -> str:
        return "FrameTagger" if self.modality is FRAMES else "Tagger"

    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        return entity_f1(gold, answers, self.tags.outer)

    def report(
        self, model: Answering, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] = ()
    ) -> Report:
        answers = self.answers(model, examples)
        return evaluate([example.tags for example in examples], answers, **self.context(examples, entities))

    def context(self, examples: Sequence[Example], entities: Collection[tuple[str, str]]) -> dict[str, Any]:
        """What a report on tags needs beside gold and answers."""
        return {
            "scheme": self.tags.outer,
            "tokens": [self.modality.words(example) for example in examples],
            "known_entities": entities,
            "known_tags": self.tags.known(),
            "sources": [example.source for example in examples],
        }

    def counts(self, gold: Sequence[Any], answers: Sequence[Any]) -> np.ndarray:
        """(N, 3) right, predicted and gold units of each example, for paired comparisons."""
        return sentence_counts(gold, answers, self.tags.outer)

    def entities(self, examples: Sequence[Example]) -> Entities:
        if self.modality is FRAMES:
            return frozenset()
        rows = [(example.tokens, example.tags) for example in examples]
        return entities_of([tokens for tokens, _ in rows], [tags for _, tags in rows], self.tags.outer)

    def card(self) -> Card:
        single = self.modality.name.removesuffix("s")
        return Card(
            "token-classification",
            "accuracy" if self.tags.outer.plain else "seqeval",
            "Sequence tagger",
            f"each {single} a tag in the scheme {self.tags.outer.name}",
            _USAGE.format(predictor=self.predictor, given="audio" if self.modality is FRAMES else "text"),
        )
