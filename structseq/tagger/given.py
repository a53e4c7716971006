"""What users give to a model whose answer is a sequence or a vector: texts, tokens, frames, recordings, examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from structseq.data.options import AudioOptions
from structseq.data.example import Example
from structseq.data.pairs import cut, in_symbols, joined
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError, DataError
from structseq.model import Model
from structseq.tagger.sentences import sentence_of

LOOK_AHEAD_STEPS = 1 << 15  # tokens or frames that a stream is read ahead by at most


class Giving:
    """How one model takes what users give: checked, and made into examples.

    Parameters
    ----------
    model:
        It says whether steps are tokens or frames, and how texts are cut: into `Model.symbols`, or by the tokenizer.
    tokenizer:
        Its name.
    """

    def __init__(self, model: Model, tokenizer: str) -> None:
        self.reads, self.data = model.reads, model.options.data
        self._symbols = model.symbols
        self._tokenize = tokenizer_of(tokenizer)
        self._columns = tuple(model.inputs.column_vocabularies) if self.reads == "tokens" else ()

    def example(self, given: Any, where: str) -> Example:
        """From an `Example`, a list of tokens, a mapping of columns, or an array of frames (L, F); raises `DataError`
        for anything else, and for a column that the model needs and that is not there."""
        if self.reads == "frames":
            if isinstance(given, Example):
                _ = given.frames
                return given
            if isinstance(given, (str, bytes, Path)):
                raise DataError(
                    f"{where}: expected frames (L, F), found {str(given)[:60]!r}; files have their own way in"
                )
            try:
                return Example.of_frames(given)
            except DataError as problem:
                raise DataError(f"{where}: {problem}") from None
            except (TypeError, ValueError):
                raise DataError(f"{where}: expected frames (L, F) of numbers, found {type(given).__name__}") from None
        sentence = sentence_of(given, self._columns, where)
        return given if isinstance(given, Example) else Example({"tokens": sentence.tokens, **sentence.columns})

    def in_symbols(self, example: Example) -> Example:
        """An example of a file, whose tokens a reader cut from its text, cut anew where this model has a cut of its
        own."""
        return in_symbols(example, self._tokenize, self._symbols) if self._symbols else example

    def text(self, text: Any, where: str) -> Example:
        """From a text, cut as the training data were."""
        if self.reads == "frames":
            raise ConfigError(f"{where}: this model reads recordings, not texts; give a WAV file or a list of them")
        if not isinstance(text, str):
            raise DataError(f"{where}: expected a text, found {type(text).__name__}")
        if self._columns:
            raise DataError(
                f"{where}: the model needs the column {self._columns[0]!r} beside the tokens, which a text has not; "
                "give it both, or a file that has both"
            )
        tokens = cut(text, self._symbols) if self._symbols else tuple(token.text for token in self._tokenize(text))
        return Example({"tokens": tokens})

    def audio(self, path: str | Path, where: str) -> Example:
        """From a recording."""
        if self.reads == "tokens":
            raise ConfigError(f"{where}: this model reads texts, not recordings")
        return recording(path, options=self.data.audio)

    def shown(self, example: Example) -> dict[str, Any]:
        """What an answer is given beside, in a record: the source's text, or the recording's name."""
        if self.reads == "frames":
            audio = example.metadata.get("audio")
            return {"audio": audio or example.source} if audio or example.source else {}
        return {"source": self.join(example.tokens)}

    def join(self, symbols: Iterable[str]) -> str:
        """Symbols as a text: characters side by side where pairs are cut into them, else words between spaces."""
        return joined(symbols, (self._symbols or "words") if self.reads == "tokens" else "words")


def recording(path: str | Path, *, options: AudioOptions) -> Example:
    """A WAV file as an example; raises as `structseq.data.audio.read_audio` does."""
    from structseq.data.audio import read_audio  # with its libraries, an extra

    return Example({"frames": read_audio(path, options=options)}, source=str(path))


def windows(given: Iterable[Example], size: int) -> Iterator[Sequence[Example]]:
    """So many examples at a time, fewer where they are long; raises `ConfigError` for a ``size`` below 1, at once."""
    if size < 1:
        raise ConfigError(f"expected a look_ahead of at least one sequence, found {size}")
    return _windows(iter(given), size)


def _windows(stream: Iterator[Example], size: int) -> Iterator[Sequence[Example]]:
    window: list[Example] = []
    steps = 0
    for example in stream:
        window.append(example)
        steps += len(example)
        if len(window) == size or steps >= LOOK_AHEAD_STEPS:
            yield window
            window, steps = [], 0
    if window:
        yield window
