"""Examples: one input sequence with its gold answers; blocks of a file with their text; modalities of steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from structseq.errors import DataError

if TYPE_CHECKING:
    from structseq.data.options import DataOptions

# Advice if an answer is missing
_TAGGED = (
    "read a file that has them: columns with a tag column, CoNLL-U, JSON lines with tags or spans, or seq.in beside "
    "seq.out (files of pairs and of labelled texts have none: head.type=generate or classify learns from them)"
)
_SEGMENTS = 'write "segments" in its record, [[start, end, "label"], ...] in seconds'
_PAIRS = (
    "read pairs, whose first line is the header source TAB target (or name them with data.format=pairs), or recordings "
    "with their text"
)


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One sequence with its gold answers.

    Attributes
    ----------
    inputs:
        The inputs of each step, by name, all of length L: ``"tokens"`` (strings) and further columns (part of speech,
        gazetteer flags); or ``"frames"``, a float array (L, F).
    targets:
        Answers by name: ``"tags"`` (L strings), ``"label"`` (one, of the whole sequence), ``"target"`` (any number of
        strings: a transcript, the other side of a pair). Empty if unknown.
    source:
        ``file:line`` of the first token or the record; empty for examples made in Python.
    metadata:
        Such as the ``# key = value`` lines before the sentence, in order.
    starts_document:
        Whether a document boundary comes before the sentence.
    """

    inputs: Mapping[str, Any]
    targets: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    starts_document: bool = False

    @property
    def tokens(self) -> tuple[str, ...]:
        """(L,) strings; raises `DataError` if the example has frames."""
        try:
            tokens: tuple[str, ...] = self.inputs["tokens"]
        except KeyError:
            raise self._lacks("tokens", "it is made of frames; use a model that reads frames") from None
        return tokens

    @property
    def frames(self) -> Any:
        """(L, F); raises `DataError` if the example has tokens."""
        try:
            return self.inputs["frames"]
        except KeyError:
            raise self._lacks("frames", "it is made of tokens; read a list of recordings") from None

    @property
    def tags(self) -> tuple[str, ...]:
        """(L,) strings; raises `DataError` if there are none."""
        return self._target("tags", _SEGMENTS if "frames" in self.inputs else _TAGGED)

    @property
    def label(self) -> str:
        """The gold label; raises `DataError` if there is none."""
        label: str = self._target("label", "set data.label to its key or column")
        return label

    @property
    def target(self) -> tuple[str, ...]:
        """The gold output sequence; raises `DataError` if there is none."""
        return self._target("target", _PAIRS)

    def _target(self, name: str, advice: str) -> Any:
        try:
            return self.targets[name]
        except KeyError:
            raise self._lacks(name, advice) from None

    def _lacks(self, name: str, advice: str) -> DataError:
        return DataError(f"{self.source or 'this example'} has no {name}; {advice}")

    def __len__(self) -> int:
        return len(self.inputs["tokens"] if "tokens" in self.inputs else self.inputs["frames"])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Example):
            return NotImplemented
        mine, theirs = ({**each.inputs, **each.targets} for each in (self, other))
        same = mine.keys() == theirs.keys() and all(_equal(mine[name], theirs[name]) for name in mine)
        rest = ("source", "metadata", "starts_document")
        return same and all(getattr(self, name) == getattr(other, name) for name in rest)

    __hash__ = None  # type: ignore[assignment]

    @staticmethod
    def of(tokens: Sequence[str], tags: Sequence[str] | None = None, **inputs: Sequence[str]) -> Example:
        """An example from tokens, optional gold tags, and further columns by name.

        >>> Example.of(["to", "Taipei"], ["O", "B-city"]).tags
        ('O', 'B-city')
        """
        columns = {"tokens": tuple(tokens), **{name: tuple(column) for name, column in inputs.items()}}
        answers = {} if tags is None else {"tags": tuple(tags)}
        check_lengths({**columns, **answers})
        return Example(columns, answers)

    @staticmethod
    def of_frames(frames: Any, tags: Sequence[str] | None = None, *, target: Sequence[str] | None = None) -> Example:
        """An example from frames (L, F), with optional gold tags (L,) or a target sequence."""
        import numpy as np  # not at the top: text is read without NumPy

        values = np.asarray(frames, np.float32)
        if values.ndim != 2:
            raise DataError(f"expected frames (L, F), found an array of {values.ndim} dimensions")
        answers: dict[str, Any] = {} if target is None else {"target": tuple(target)}
        if tags is not None:
            if len(tags) != len(values):
                raise DataError(f"expected {len(values)} tags, one for each frame, found {len(tags)}")
            answers["tags"] = tuple(tags)
        return Example({"frames": values}, answers)


@dataclass(frozen=True, slots=True)
class VerbatimBlock:
    """One sentence, or the lines between two; the joined texts of all blocks are the file.

    ``append`` adds tags: as a last column, under the key ``predicted_tags``, or as ``Predicted=`` in CoNLL-U's misc;
    ``retag`` replaces the gold tags. Both keep all other bytes.
    """

    text: str
    example: Example | None  # None for trailing comments and blank lines
    append: Callable[[Sequence[str]], str]
    retag: Callable[[Sequence[str]], str]
    line_of: Callable[[int], int]  # a token's line in the file, from 1


def _equal(one: Any, other: Any) -> bool:
    if hasattr(one, "shape") and hasattr(other, "shape"):
        return one.shape == other.shape and bool((one == other).all())
    return bool(type(one) is type(other) and one == other)


def check_lengths(columns: Mapping[str, Sequence[str]]) -> None:
    """Raises `DataError` if a column is not as long as ``"tokens"``."""
    length = len(columns["tokens"])
    for name, column in columns.items():
        if len(column) != length:
            raise DataError(f"expected {length} {name}, one for each token, found {len(column)}")


class Modality(ABC):
    """What the steps of a sequence are; ``sequences`` and ``single`` are words for messages."""

    name: ClassVar[str]
    sequences: ClassVar[str]
    single: ClassVar[str]

    @abstractmethod
    def steps(self, example: Example) -> Any:
        """The example's steps; raises `DataError`, with its source, if it has another modality."""

    @abstractmethod
    def step_names(self, example: Example) -> tuple[str, ...]:
        """Names of the steps in a report."""

    @abstractmethod
    def input_options(self, data: DataOptions) -> dict[str, Any]:
        """The options that define the steps of a file, by name; they are saved with a model."""

    def check(self, examples: Iterable[Example]) -> None:
        for example in examples:
            self.steps(example)

    def summary(self, examples: Sequence[Example]) -> str:
        return f"{len(examples)} {self.sequences}, {sum(map(len, examples))} {self.name}"


class Tokens(Modality):
    name, sequences, single = "tokens", "sentences", "sentence"

    def input_options(self, data: DataOptions) -> dict[str, Any]:
        return {"data.symbols": data.symbols}

    def steps(self, example: Example) -> tuple[str, ...]:
        return example.tokens

    def step_names(self, example: Example) -> tuple[str, ...]:
        return example.tokens


class Frames(Modality):
    name, sequences, single = "frames", "recordings", "sequence"

    def input_options(self, data: DataOptions) -> dict[str, Any]:
        audio = data.audio.model_dump(exclude={"channels"})
        return {f"data.audio.{name}": value for name, value in audio.items()}

    def steps(self, example: Example) -> Any:
        return example.frames

    def step_names(self, example: Example) -> tuple[str, ...]:
        return tuple(map(str, range(len(example))))


TOKENS, FRAMES = Tokens(), Frames()


def modality_of(examples: Iterable[Example]) -> Modality:
    """The modality of the first example; tokens if there is none."""
    first = next(iter(examples), None)
    return FRAMES if first is not None and "frames" in first.inputs else TOKENS
