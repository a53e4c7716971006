"""Modality: what the steps of a sequence are, tokens of a text or frames of a recording."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from structseq.data.example import Example
from structseq.data.options import DataOptions


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
