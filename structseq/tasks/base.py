"""Task: what is asked of a sequence, and everything that depends on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from structseq.config import Options
from structseq.data.example import Example, Modality
from structseq.data.formats import detect_format
from structseq.data.options import DataOptions
from structseq.data.reading import format_of_texts
from structseq.data.vocabulary import Vocabulary
from structseq.spans import PLAIN, Scheme, TagSet

Entities = frozenset[tuple[str, str]]


class Report(Protocol):
    """A score that says how it was computed."""

    @property
    def criterion(self) -> float:
        """The one number, 0..1, more is better."""
        ...

    def to_dict(self, *, errors: int | None = 0) -> dict[str, Any]:
        """Plain values for JSON; ``errors``: how many to list, None for all."""
        ...

    def text(self, errors: int | None = 0) -> str:
        """The report for a terminal."""
        ...


class Answering(Protocol):
    """A trained model, as a task sees it."""

    def predict(self, examples: Sequence[Example]) -> Iterable[Any]:
        """The best answer to each example, in order."""
        ...

    @property
    def output_symbols(self) -> Sequence[str]:
        """What its answers are made of."""
        ...


class Checked(NamedTuple):
    """A training set that is fit to learn from.

    Attributes
    ----------
    train:
        The examples, with tags repaired if options say so.
    scheme:
        Of their tags; plain if they have none.
    summary:
        What the answers are, for a message.
    remarks:
        What was changed, a sentence each.
    """

    train: Sequence[Example]
    scheme: Scheme = PLAIN
    summary: str = ""
    remarks: tuple[str, ...] = ()


class Card(NamedTuple):
    """What a model card says of a task: tags of model hubs, words, and how the model is used."""

    pipeline_tag: str
    metric: str
    title: str
    answers: str
    usage: str


class Task(ABC):
    """One kind of question, with the inventory that a model answers it with.

    Parameters
    ----------
    tags:
        The tags, labels or symbols of the answers.
    modality:
        What the steps of the sequences are.
    labels:
        Of whole sequences, where a model gives them beside tags.

    Attributes
    ----------
    required_targets:
        The answers that an example must have to be scored, by their names in `Example.targets`.
    comparable:
        Whether systems can be compared unit by unit (`structseq compare`).
    noun:
        What an answer is made of, in the plural: tags, labels, symbols.
    title:
        What a model for this task is called, with its article.
    """

    required_targets: ClassVar[tuple[str, ...]] = ()
    comparable: ClassVar[bool] = False
    noun: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, tags: TagSet, modality: Modality, *, labels: Sequence[str] = ()) -> None:
        self.tags, self.modality, self.labels = tags, modality, tuple(labels)

    # -- before there is a model -------------------------------------------------------------------------------------

    @classmethod  # noqa: B027 - most tasks suit all options
    def check_options(cls, options: Options) -> None:
        """Raise `ConfigError` for options under which the question has no honest answer."""

    @classmethod
    def symbols(cls, options: Options) -> str | None:
        """The symbols that texts are cut into (`structseq.data.pairs.SYMBOLS`); None where the tokenizer cuts them."""
        return options.data.symbols if options.data.format == "pairs" else None

    @classmethod
    def corpus_format(cls, file: str | Path, data: DataOptions) -> str:
        """The format to learn or score by: the named one, or pairs, whose symbols are part of the model; else
        ``auto``."""
        return "pairs" if data.format == "auto" and detect_format(file) == "pairs" else data.format

    @classmethod
    def file_format(cls, file: str | Path, data: DataOptions) -> str:
        """The format of a file to answer, ``"text"`` for one text a line."""
        return format_of_texts(file, data)

    @classmethod
    @abstractmethod
    def gold(cls, example: Example) -> Any:
        """The right answer, by name; raises `DataError` if the example has none."""

    @classmethod
    def check_corpus(
        cls, train: Sequence[Example], others: Sequence[Example], data: DataOptions, *, repair_option: str
    ) -> Checked:
        """The training set, fit to learn from; ``others`` are dev and test, ``repair_option`` is how a repair is named.

        Raises `DataError`, with file and line, for answers that cannot be learned.
        """
        return Checked(train)

    @classmethod  # noqa: B027
    def check_gold(cls, examples: Sequence[Example], scheme: Scheme, data: DataOptions) -> None:
        """Raise `DataError`, with file and line, at the first gold answer that cannot be scored."""

    @classmethod
    def inventory(cls, examples: Sequence[Example], scheme: Scheme, options: Options) -> TagSet:
        """The closed inventory of answers that the training examples need."""
        return TagSet.of([cls.gold(example) for example in examples], PLAIN)

    @classmethod
    def label_inventory(cls, examples: Sequence[Example]) -> Vocabulary | None:
        """The labels of whole sequences, where answers have them beside tags."""
        return None

    @classmethod
    def unseen(cls, known: Sequence[Example], examples: Sequence[Example]) -> dict[str, int]:
        """The parts of gold answers in ``examples`` that none in ``known`` has, and how often each occurs."""
        names = {name for example in known for name in cls.gold(example)}
        counts: dict[str, int] = {}
        for example in examples:
            for name in cls.gold(example):
                if name not in names:
                    counts[name] = counts.get(name, 0) + 1
        return counts

    # -- with a model ------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def predictor(self) -> str:
        """The class of `structseq.inference` that answers for it, or ``"package.module:Class"``."""

    def answers(self, model: Answering, examples: Sequence[Example]) -> list[Any]:
        """What is compared with gold: the model's answers."""
        return list(model.predict(examples))

    @abstractmethod
    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        """The one number that early stopping watches, 0..1, more is better."""

    @abstractmethod
    def report(
        self, model: Answering, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] = ()
    ) -> Report:
        """The model's answers compared with gold; ``entities`` are those of the training data, as (text, label)."""

    def entities(self, examples: Sequence[Example]) -> Entities:
        """(text, label) of each entity of training examples, to score seen and unseen ones apart."""
        return frozenset()

    @abstractmethod
    def card(self) -> Card:
        """What the model card says."""


def code(text: Any) -> str:
    """A name as code in Markdown, on one line."""
    flat = " ".join(str(text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{flat}`" if flat else "(no name)"
