"""Preprocessor: what users give, from Python or in files, as examples that a model reads."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from structseq.data.example import Example
from structseq.data.file_signatures import kind_of
from structseq.data.formats import FORMATS, detect_format, read
from structseq.data.options import DataOptions
from structseq.data.pairs import cut, in_symbols, joined
from structseq.data.reading import reader_options
from structseq.data.textfile import Source, name_of, peek, text_lines
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError, DataError
from structseq.inference.sentences import check_text, sentence_of, text_sentence
from structseq.model import Model

WAVES = (".wav", ".wave")

Remark = Callable[[str], None]


class Preprocessor(ABC):
    """How one model takes input.

    Parameters
    ----------
    model:
        Says how texts are cut, and how recordings become frames.
    tokenizer:
        Name of the tokenizer that cuts texts.
    """

    columns: tuple[str, ...] = ()
    """The further columns that it needs beside the tokens."""

    def __init__(self, model: Model, tokenizer: str) -> None:
        self.task, self.data = model.task, model.options.data

    @abstractmethod
    def example(self, given: Any, where: str) -> Example:
        """From an `Example`, or the steps themselves: tokens, a mapping of columns, an array of frames (L, F).

        Raises `DataError` for anything else; ``where`` is how messages begin.
        """

    @abstractmethod
    def text(self, text: Any, where: str) -> Example:
        """From a text, cut as the training data were; raises `ConfigError` for a model that reads recordings."""

    @abstractmethod
    def audio(self, path: str | Path, where: str) -> Example:
        """From a WAV file; raises `ConfigError` for a model that reads texts."""

    @abstractmethod
    def read(self, file: str, format: str | None, data: DataOptions, remark: Remark) -> Iterator[Example]:
        """The sequences of a file, ``-`` for standard input; ``remark`` takes what the user should know of it."""

    @abstractmethod
    def recut(self, example: Example) -> Example:
        """An example of a file, whose tokens a reader cut, with its text cut as the training data were."""

    @abstractmethod
    def source(self, example: Example) -> dict[str, Any]:
        """What an answer is shown with, in a record: the text, or the recording's name."""

    @abstractmethod
    def join(self, symbols: Iterable[str]) -> str:
        """Symbols as a text: characters side by side where texts are cut into them, else words between spaces."""


class TokenPreprocessor(Preprocessor):
    """For models that read tokens."""

    def __init__(self, model: Model, tokenizer: str) -> None:
        super().__init__(model, tokenizer)
        self.symbols, self._tokenize = model.symbols, tokenizer_of(tokenizer)
        self.columns = tuple(model.inputs.column_vocabularies)

    def example(self, given: Any, where: str) -> Example:
        return sentence_of(given, self.columns, where)

    def text(self, text: Any, where: str) -> Example:
        if self.symbols is None:
            return text_sentence(text, self._tokenize, self.columns, where)
        check_text(text, self.columns, where)
        return Example({"tokens": cut(text, self.symbols)}, metadata={"text": text})

    def audio(self, path: str | Path, where: str) -> Example:
        raise ConfigError(f"{where}: this model reads texts, not recordings")

    def read(self, file: str, format: str | None, data: DataOptions, remark: Remark) -> Iterator[Example]:
        known = ("conll", *FORMATS)
        if format is not None and format not in known:
            raise ConfigError(f"unknown --format {format!r}; known are {', '.join(known)}")
        source: Source = sys.stdin.buffer if file == "-" else file
        name = format or ("text" if file == "-" else self.task.file_format(file, data))
        if name == "text":
            return (self.text(line, f"line {n}") for n, line in enumerate(_lines(source, data, remark), 1))
        return map(self.recut, read(source, "columns" if name == "conll" else name, **reader_options(data, tags=False)))

    def recut(self, example: Example) -> Example:
        return in_symbols(example, self._tokenize, self.symbols) if self.symbols else example

    def source(self, example: Example) -> dict[str, Any]:
        return {"source": self.join(example.tokens)}

    def join(self, symbols: Iterable[str]) -> str:
        return joined(symbols, self.symbols or "words")


class FramePreprocessor(Preprocessor):
    """For models that read recordings."""

    def example(self, given: Any, where: str) -> Example:
        if isinstance(given, Example):
            _ = given.frames
            return given
        if isinstance(given, (str, bytes, Path)):
            raise DataError(f"{where}: expected frames (L, F), found {str(given)[:60]!r}; files have their own way in")
        try:
            return Example.of_frames(given)
        except DataError as problem:
            raise DataError(f"{where}: {problem}") from None
        except (TypeError, ValueError):
            raise DataError(f"{where}: expected frames (L, F) of numbers, found {type(given).__name__}") from None

    def text(self, text: Any, where: str) -> Example:
        raise ConfigError(f"{where}: this model reads recordings, not texts; give a WAV file or a list of them")

    def audio(self, path: str | Path, where: str) -> Example:
        return _recording(path, self.data)

    def read(self, file: str, format: str | None, data: DataOptions, remark: Remark) -> Iterator[Example]:
        if format not in (None, "audio", "jsonl"):
            raise ConfigError(f"--format {format}: this model reads recordings; give a WAV file or a list of them")
        if file == "-":
            raise DataError("expected a WAV file or a list of recordings, found standard input; name a file")
        if Path(file).suffix.lower() in WAVES or peek(file, 4) == b"RIFF":
            return iter([_recording(file, data)])
        if format is None and (found := detect_format(file)) != "audio":
            if kind := kind_of(peek(file, 512)):
                raise DataError(f"this model reads recordings, found {kind.name}; {kind.as_wav}", file=file)
            if not peek(file, 512).strip():
                raise DataError("expected a list of recordings, found an empty one", file=file)
            advice = 'give a WAV file, or a list in JSON lines, {"audio": "0001.wav"} a line'
            raise DataError(f"this model reads recordings, found a file of the {found} format; {advice}", file=file)
        examples = read(file, "audio", **reader_options(data, tags=False))
        first = next(examples, None)  # a fault in the list is found before anything is written
        return chain([] if first is None else [first], examples)

    def recut(self, example: Example) -> Example:
        return example

    def source(self, example: Example) -> dict[str, Any]:
        audio = example.metadata.get("audio") or example.source
        return {"audio": audio} if audio else {}

    def join(self, symbols: Iterable[str]) -> str:
        return joined(symbols, "words")


PREPROCESSORS: dict[str, type[Preprocessor]] = {"tokens": TokenPreprocessor, "frames": FramePreprocessor}


def _recording(path: str | Path, data: DataOptions) -> Example:
    """A WAV file as an example; raises as `structseq.data.audio.read_audio` does."""
    from structseq.data.audio import read_audio  # with its libraries, an extra

    return Example({"frames": read_audio(path, options=data.audio)}, source=str(path))


def _lines(source: Source, data: DataOptions, remark: Remark) -> Iterator[str]:
    """One text a line; a remark about the first with a tab, as lines of columns have."""
    remarked = False
    for number, line in enumerate(text_lines(source, encoding=data.encoding), 1):
        if "\t" in line and not remarked:
            remarked = True
            where = f"{name_of(source)}, line {number}"
            remark(f"{where}: the tab is read as part of the text; where columns are meant, name them with --format")
        yield line
