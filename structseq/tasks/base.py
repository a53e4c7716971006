"""Task: what a model predicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from structseq.config import Options
from structseq.data.annotation.document import Notes
from structseq.data.example import FRAMES, Example, Modality
from structseq.data.formats import detect_format
from structseq.data.options import DataOptions
from structseq.data.reading import read_examples, text_format, with_labels
from structseq.data.vocabulary import Vocabulary
from structseq.spans import PLAIN, Scheme, TagSet

# The command line's option for a repair; other callers pass their own.
REPAIR_OPTION = "--set data.repair={}"
# (text, type) of the entities seen in training
Entities = frozenset[tuple[str, str]]


class Report(Protocol):
    """A model's scores on one data set. ``errors``: the number of wrong answers to list, None for all."""

    @property
    def criterion(self) -> float: ...  # 0..1, higher is better

    def to_dict(self, *, errors: int | None = 0) -> dict[str, Any]: ...  # for JSON

    def text(self, errors: int | None = 0) -> str: ...  # for a terminal


class TrainedModel(Protocol):
    """The part of a model that tasks use."""

    def predict(self, examples: Sequence[Example]) -> Iterable[Any]: ...  # the best answers, in order

    def predict_with_confidence(self, examples: Sequence[Example]) -> tuple[list[Any], Any]: ...  # None: no confidences

    @property
    def output_symbols(self) -> Sequence[str]: ...


class CheckedCorpus(NamedTuple):
    """A checked training set, perhaps repaired. ``summary`` describes the answers; ``remarks`` are warnings."""

    train: Sequence[Example]
    scheme: Scheme = PLAIN
    summary: str = ""
    remarks: tuple[str, ...] = ()


class CheckedGold(NamedTuple):
    """Examples to score, their gold in the scheme of the model's files; ``remarks`` are warnings."""

    examples: Sequence[Example]
    remarks: tuple[str, ...] = ()


class Card(NamedTuple):
    """A task's parts of a model card."""

    pipeline_tag: str  # of the Hugging Face Hub
    metric: str  # name in Hugging Face evaluate
    title: str
    answers: str  # completes "It returns ..."
    usage: str  # Python


class Task(ABC):
    """What a model predicts. The class reads and checks data.

    An instance has the ``tags`` (the tags, labels or symbols that can be predicted) and scores answers.

    Attributes
    ----------
    labels:
        Labels of whole sequences, if a model predicts them beside tags.
    required_targets:
        The keys of `Example.targets` that an example needs to be scored.
    comparable:
        Whether `structseq compare` accepts heads of this task.
    noun, title, summary:
        For messages: "tags", "a sequence tagger", and a description of the answers.
    """

    required_targets: ClassVar[tuple[str, ...]] = ()
    comparable: ClassVar[bool] = False
    noun: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str] = ""

    def __init__(self, tags: TagSet, modality: Modality, *, labels: Sequence[str] = ()) -> None:
        self.tags, self.modality, self.labels = tags, modality, tuple(labels)

    # -- before there is a model -------------------------------------------------------------------------------------

    @classmethod  # noqa: B027 - most tasks allow all options
    def check_options(cls, options: Options) -> None:
        """Raise `ConfigError` for options that the task does not allow."""

    @classmethod
    def symbols(cls, options: Options) -> str | None:
        """What texts are cut into, a value of ``data.symbols``; None: tokens."""
        return options.data.symbols if options.data.format == "pairs" else None

    @classmethod
    def read(cls, path: str | Path, data: DataOptions, notes: Notes | None = None) -> list[Example]:
        """All examples of a file; raises `DataError` if one lacks a required target."""
        needs_tags = bool({"tags", "target"} & set(cls.required_targets))
        examples = read_examples(path, data, tags=needs_tags, notes=notes)
        if "target" in cls.required_targets:
            for example in examples:
                _ = example.target  # raises if there is none
        return with_labels(examples, data.label) if "label" in cls.required_targets else examples

    @classmethod
    def gold_format(cls, file: str | Path, data: DataOptions) -> str:
        """The format of a file with gold answers."""
        return "pairs" if data.format == "auto" and detect_format(file) == "pairs" else data.format

    @classmethod
    def input_format(cls, file: str | Path, data: DataOptions) -> str:
        """The format of a file to predict for; ``"text"`` means one text per line."""
        return text_format(file, data)

    @classmethod
    @abstractmethod
    def gold(cls, example: Example) -> Any:
        """The gold answer; raises `DataError` if the example has none."""

    @classmethod
    def check_corpus(
        cls, train: Sequence[Example], others: Sequence[Example], data: DataOptions, *, repair_option: str
    ) -> CheckedCorpus:
        """Check the training set; raises `DataError`, with file and line, for answers that cannot be learned.

        ``others`` are dev and test examples; ``repair_option`` is the option's name in messages.
        """
        return CheckedCorpus(train, summary=cls.summary)

    @classmethod
    def check_gold(
        cls, examples: Sequence[Example], scheme: Scheme, data: DataOptions, *, repair_option: str = REPAIR_OPTION
    ) -> CheckedGold:
        """Check the gold answers of one file; raises `DataError`, with file and line, if one cannot be scored.

        ``scheme`` is that of the model's files, ``repair_option`` as in `check_corpus`.
        """
        return CheckedGold(examples)

    @classmethod
    def inventory(cls, examples: Sequence[Example], scheme: Scheme, options: Options) -> TagSet:
        """The tags, labels or symbols of the training examples."""
        return TagSet.of([cls.gold(example) for example in examples], PLAIN)

    @classmethod
    def label_inventory(cls, examples: Sequence[Example]) -> Vocabulary | None:
        """The labels of whole sequences, if predicted beside tags."""
        return None

    @classmethod
    def unseen_counts(cls, known: Sequence[Example], examples: Sequence[Example]) -> dict[str, int]:
        """Counts of tags, labels or symbols in ``examples`` that ``known`` does not have."""
        names = {name for example in known for name in cls.gold(example)}
        return Counter(name for example in examples for name in cls.gold(example) if name not in names)

    # -- with a model ------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def predictor(self) -> str:
        """The name of a class in `structseq.inference`, or ``"package.module:Class"``."""

    def answers(self, model: TrainedModel, examples: Sequence[Example]) -> list[Any]:
        """The model's answers, in the form of `gold`."""
        return list(model.predict(examples))

    @abstractmethod
    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        """The score for early stopping, 0..1, higher is better."""

    @abstractmethod
    def report(
        self, model: TrainedModel, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] = ()
    ) -> Report:
        """Score the model's answers; ``entities``: (text, type) pairs that count as seen in training."""

    def entities(self, examples: Sequence[Example]) -> Entities:
        """The distinct (text, type) of all gold entities."""
        return frozenset()

    @abstractmethod
    def card(self) -> Card: ...

    def usage(self, variable: str, verb: str, predictor: str | None = None) -> str:
        """Python that loads the model as ``variable`` and calls ``verb`` on a text or a recording."""
        name, steps = predictor or self.predictor, "audio" if self.modality is FRAMES else "text"
        return (
            f'from structseq import {name}\n\n{variable} = {name}.load("path/to/this/folder")\n'
            f'{variable}.{verb}_{steps}("...")'
        )


def names_as_code(names: Sequence[str], limit: int = 50) -> str:
    """At most ``limit`` names as Markdown code, then the number of the others."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(map(code, names[:limit])) + more


def code(text: Any) -> str:
    """A name as Markdown code on one line, safe in a table."""
    flat = " ".join(str(text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{flat}`" if flat else "(no name)"
