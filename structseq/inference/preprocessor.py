"""Preprocessor: makes examples of input from Python or files."""

from __future__ import annotations

import difflib
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from structseq.data.example import Example
from structseq.data.file_signatures import kind_of
from structseq.data.formats import detect_format, read, resolve_format
from structseq.data.options import DataOptions
from structseq.data.pairs import join_symbols, to_symbols, with_symbol_tokens
from structseq.data.reading import reader_options
from structseq.data.textfile import Source, name_of, peek, text_lines
from structseq.data.tokenizer import Tokenizer, tokenizer_of
from structseq.errors import ConfigError, DataError
from structseq.model import Model
from structseq.tasks.answers import TextToken

WAVES = (".wav", ".wave")

Remark = Callable[[str], None]


class Preprocessor(ABC):
    """Makes examples for one model; ``tokenizer`` is a name in `structseq.data.tokenizer.TOKENIZERS`."""

    columns: tuple[str, ...] = ()  # the columns that the model needs beside the tokens
    symbols: str | None = None  # the units that texts are cut into; None: the tokenizer's

    def __init__(self, model: Model, tokenizer: str) -> None:
        self.task, self.data = model.task, model.options.data

    @abstractmethod
    def example(self, given: Any, where: str) -> Example:
        """Convert an `Example`, a list of tokens, a mapping of columns, or frames (L, F).

        Raises `DataError` for other input; ``where`` begins the message.
        """

    @abstractmethod
    def text(self, text: Any, where: str) -> Example:
        """Tokenize a text as in training; raises `ConfigError` if the model reads recordings."""

    @abstractmethod
    def audio(self, path: str | Path, where: str) -> Example:
        """Read a WAV file; raises `ConfigError` if the model reads texts."""

    @abstractmethod
    def read(self, file: str, format: str | None, data: DataOptions, remark: Remark) -> Iterator[Example]:
        """Read the sequences of a file (``-``: standard input); ``remark`` receives warnings."""

    @abstractmethod
    def source(self, example: Example) -> dict[str, Any]:
        """The input in an output record: the text, or the recording's name."""

    def resegment(self, example: Example) -> Example:
        """Cut a file's example into symbols, as in training."""
        return example

    def join(self, symbols: Iterable[str]) -> str:
        """Symbols as a text, with spaces unless they are characters."""
        return join_symbols(symbols, self.symbols or "words")


class TokenPreprocessor(Preprocessor):
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
        return Example({"tokens": to_symbols(text, self.symbols)}, metadata={"text": text})

    def audio(self, path: str | Path, where: str) -> Example:
        raise ConfigError(f"{where}: this model reads texts, not recordings")

    def read(self, file: str, format: str | None, data: DataOptions, remark: Remark) -> Iterator[Example]:
        source: Source = sys.stdin.buffer if file == "-" else file
        if format and format != "auto":
            name = resolve_format(format)
        else:
            name = "text" if file == "-" else self.task.input_format(file, data)
        if name == "text":
            return (self.text(line, f"line {n}") for n, line in enumerate(_lines(source, data, remark), 1))
        return map(self.resegment, read(source, name, **reader_options(data, tags=False)))

    def resegment(self, example: Example) -> Example:
        return with_symbol_tokens(example, self._tokenize, self.symbols) if self.symbols else example

    def source(self, example: Example) -> dict[str, Any]:
        return {"source": self.join(example.tokens)}


class FramePreprocessor(Preprocessor):
    def example(self, given: Any, where: str) -> Example:
        if isinstance(given, Example):
            _ = given.frames
            return given
        if isinstance(given, (str, bytes, Path)):
            found = f"found {str(given)[:60]!r}; for a file use the method whose name ends in _audio"
            raise DataError(f"{where}: expected frames (L, F), {found}")
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
        first = next(examples, None)  # raises before anything is written
        return chain([] if first is None else [first], examples)

    def source(self, example: Example) -> dict[str, Any]:
        audio = example.metadata.get("audio") or example.source
        return {"audio": audio} if audio else {}


PREPROCESSORS: dict[str, type[Preprocessor]] = {"tokens": TokenPreprocessor, "frames": FramePreprocessor}


def _recording(path: str | Path, data: DataOptions) -> Example:
    from structseq.data.audio import read_audio  # needs optional libraries

    return Example({"frames": read_audio(path, options=data.audio)}, source=str(path))


def _lines(source: Source, data: DataOptions, remark: Remark) -> Iterator[str]:
    """Warns at the first tab, because the file may have columns."""
    remarked = False
    for number, line in enumerate(text_lines(source, encoding=data.encoding), 1):
        if "\t" in line and not remarked:
            remarked = True
            where = f"{name_of(source)}, line {number}"
            advice = "if the file has columns, name its format with --format"
            remark(f"{where}: the tab is read as part of the text; {advice}")
        yield line


# -- tokens from Python ------------------------------------------------------------------------------------------------


def sentence_of(given: Any, columns: Sequence[str], where: str) -> Example:
    """Convert an `Example`, a mapping of columns, or an iterable of tokens.

    Raises `DataError` for a text, for tokens that are not strings, and if one of ``columns`` is missing or has another
    length; ``where`` begins the message.
    """
    if isinstance(given, Example):
        _columns_of(given.tokens, given.inputs, columns, given.source or where)
        return given
    inputs = given if isinstance(given, Mapping) else {"tokens": given}
    if "tokens" not in inputs:
        raise DataError(f"{where}: expected a mapping with 'tokens', found {', '.join(map(str, inputs)) or 'nothing'}")
    tokens = strings(inputs["tokens"], where)
    return Example({"tokens": tokens, **_columns_of(tokens, inputs, columns, where)})


def text_sentence(text: Any, tokenizer: Tokenizer, columns: Sequence[str], where: str) -> Example:
    """Tokenize a text into `TextToken`; raises as `check_text` does."""
    check_text(text, columns, where)
    return Example({"tokens": tuple([TextToken(*token) for token in tokenizer(text)])}, metadata={"text": text})


def check_text(text: Any, columns: Sequence[str], where: str) -> None:
    """Raise `DataError` if ``text`` is not a string, or if the model needs ``columns`` beside the tokens."""
    if not isinstance(text, str):
        raise DataError(f"{where}: expected a text, found {kind_of_value(text)}; use the method for tokens")
    if columns:
        raise DataError(
            f"{where}: the model needs the column {columns[0]!r} beside the tokens, which a text does not have; "
            "give tokens and columns, or a file that has both"
        )


def check_names(given: Iterable[str], columns: Sequence[str]) -> None:
    """Raise `DataError` for a column that the model does not have."""
    for name in given:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, 1)
            known = f"did you mean {near[0]!r}?" if near else f"its columns are {', '.join(['tokens', *columns])}"
            raise DataError(f"the model has no column {name!r}; {known}")


def strings(given: Any, where: str) -> tuple[str, ...]:
    """Tokens as a tuple; raises `DataError` for a text, and for anything but strings."""
    if isinstance(given, str):
        calls = "tag_text, classify_text or transduce_text"
        raise DataError(f"{where}: expected a list of tokens, found a text; use {calls} for text, or split it first")
    if isinstance(given, (bytes, bytearray)) or not isinstance(given, Iterable):
        raise DataError(f"{where}: expected a list of tokens, found {kind_of_value(given)}")
    found = tuple(given)
    check_strings(found, where, "tokens")
    return found


def check_strings(given: tuple[Any, ...], where: str, what: str, advice: str = "") -> None:
    """Raise `DataError` for anything but strings; ``what`` they are, and ``advice``, are for the message."""
    if not set(map(type, given)) <= {str}:
        for place, each in enumerate(given):
            if not isinstance(each, str):
                found = f"{kind_of_value(each)} at position {place}"
                raise DataError(f"{where}: expected {what} that are strings, found {found}{advice}")


def _columns_of(
    tokens: tuple[str, ...], inputs: Mapping[str, Any], columns: Sequence[str], where: str
) -> dict[str, tuple[str, ...]]:
    found = {}
    for name in columns:
        if name not in inputs:
            raise DataError(f"{where}: expected the column {name!r}, which the model was trained with, found none")
        found[name] = values = strings(inputs[name], f"{where}, column {name}")
        if len(values) != len(tokens):
            wanted = f"{len(tokens)} values in column {name!r}, one for each token"
            raise DataError(f"{where}: expected {wanted}, found {len(values)}")
    return found


def kind_of_value(value: Any) -> str:
    """Type and value, for messages; a long value is left out."""
    shown = repr(value)
    return f"{type(value).__name__} {shown}" if len(shown) <= 40 else type(value).__name__
