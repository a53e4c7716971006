"""Examples: one input sequence with its answers; with its text in the file; the modality of its steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from structseq.errors import DataError

if TYPE_CHECKING:
    from structseq.data.options import DataOptions

# What to do about a missing answer
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
    """One sequence with its answers.

    Attributes
    ----------
    inputs:
        The inputs of each step, by name, all of one length L: ``"tokens"`` (strings), and further columns of a file
        (part of speech, gazetteer flags) under the user's names; or ``"frames"``, a float array (L, F).
    targets:
        Answers by name: ``"tags"`` (L strings), ``"label"`` (one, of the whole sequence), ``"target"`` (any number of
        strings: a transcript, the other side of a pair). Empty if unknown.
    source:
        ``file:line`` of the first token (or of the record), for messages; empty for examples made in Python.
    metadata:
        The ``# key = value`` lines before the sentence, in their order.
    starts_document:
        Whether a document boundary (``-DOCSTART-``, ``# newdoc``) precedes the sentence.
    """

    inputs: Mapping[str, Any]
    targets: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    starts_document: bool = False

    @property
    def tokens(self) -> tuple[str, ...]:
        """Its tokens; raises `DataError` if it is made of frames."""
        try:
            tokens: tuple[str, ...] = self.inputs["tokens"]
        except KeyError:
            raise self._lacks("tokens", "it is made of frames; use a model that reads frames") from None
        return tokens

    @property
    def frames(self) -> Any:
        """(L, F) its frames; raises `DataError` if it is made of tokens."""
        try:
            return self.inputs["frames"]
        except KeyError:
            raise self._lacks("frames", "it is made of tokens; read a list of recordings") from None

    @property
    def tags(self) -> tuple[str, ...]:
        """The gold tags; raises `DataError` if the example has none."""
        return self._target("tags", _SEGMENTS if "frames" in self.inputs else _TAGGED)

    @property
    def label(self) -> str:
        """The gold label of the whole sequence; raises `DataError` if the example has none."""
        label: str = self._target("label", "say where it stands with data.label")
        return label

    @property
    def target(self) -> tuple[str, ...]:
        """The gold output sequence; raises `DataError` if the example has none."""
        return self._target("target", _PAIRS)

    def _target(self, name: str, advice: str) -> Any:
        try:
            return self.targets[name]
        except KeyError:
            raise self._lacks(name, advice) from None

    def _lacks(self, name: str, advice: str) -> DataError:
        return DataError(f"{self.source or 'this example'} has no {name}; {advice}")

    def __len__(self) -> int:
        """Its number of steps, L."""
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
        """An example made in Python: tokens, optional gold tags, further columns by name.

        >>> Example.of(["to", "Taipei"], ["O", "B-city"]).tags
        ('O', 'B-city')
        """
        columns = {"tokens": tuple(tokens), **{name: tuple(column) for name, column in inputs.items()}}
        answers = {} if tags is None else {"tags": tuple(tags)}
        check_lengths({**columns, **answers})
        return Example(columns, answers)

    @staticmethod
    def of_frames(frames: Any, tags: Sequence[str] | None = None, *, target: Sequence[str] | None = None) -> Example:
        """An example made in Python: frames (L, F), optional gold tags for each, or a target sequence.

        >>> len(Example.of_frames([[0.1, 0.2], [0.3, 0.4]], target=["seven"]))
        2
        """
        import numpy as np  # here: text is read without it

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
    """One sentence, or the lines between two; the texts of all blocks, joined, are the file.

    ``append`` adds tags, in the scheme they are given in: a last column, a key ``predicted_tags``, a ``Predicted=`` in
    CoNLL-U's misc; ``retag`` replaces the gold tags. All else stays byte for byte.
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
    """Tokens or frames (``name``); ``sequences`` and ``single`` are the words for sequences of them in messages."""

    name: ClassVar[str]
    sequences: ClassVar[str]
    single: ClassVar[str]

    @abstractmethod
    def steps(self, example: Example) -> Any:
        """The example's steps; raises `DataError`, with its source, if it is made of others."""

    @abstractmethod
    def words(self, example: Example) -> tuple[str, ...]:
        """The steps' names in a report: the tokens, or the frames' numbers."""

    @abstractmethod
    def input_options(self, data: DataOptions) -> dict[str, Any]:
        """The options, by name, that decide what the steps of a file are; they are saved with a model."""

    def check(self, examples: Iterable[Example]) -> None:
        """Raises `DataError` for the first example that is made of other steps."""
        for example in examples:
            self.steps(example)

    def described(self, examples: Sequence[Example]) -> str:
        """The numbers of sequences and steps, for a message."""
        return f"{len(examples)} {self.sequences}, {sum(map(len, examples))} {self.name}"


class Tokens(Modality):
    name, sequences, single = "tokens", "sentences", "sentence"

    def input_options(self, data: DataOptions) -> dict[str, Any]:
        return {"data.symbols": data.symbols}

    def steps(self, example: Example) -> tuple[str, ...]:
        return example.tokens

    def words(self, example: Example) -> tuple[str, ...]:
        return example.tokens


class Frames(Modality):
    name, sequences, single = "frames", "recordings", "sequence"

    def input_options(self, data: DataOptions) -> dict[str, Any]:
        audio = data.audio.model_dump(exclude={"channels"})
        return {f"data.audio.{name}": value for name, value in audio.items()}

    def steps(self, example: Example) -> Any:
        return example.frames

    def words(self, example: Example) -> tuple[str, ...]:
        return tuple(map(str, range(len(example))))


TOKENS, FRAMES = Tokens(), Frames()


def modality_of(examples: Iterable[Example]) -> Modality:
    """The modality of a corpus: that of its first example; tokens if it is empty."""
    first = next(iter(examples), None)
    return FRAMES if first is not None and "frames" in first.inputs else TOKENS
