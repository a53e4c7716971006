"""Predictor: a trained model that is loaded, saved and pickled."""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from structseq.config import outside_classes
from structseq.data.example import Example
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError, DataError
from structseq.inference.preprocessor import PREPROCESSORS, check_names
from structseq.model import Model
from structseq.storage import StoredModel, load_model, model_files, save_model

LOOK_AHEAD_STEPS = 1 << 15  # maximum number of tokens or frames that are read ahead


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What to compute beside the answer."""

    confidence: bool = True
    marginals: bool = False


DEFAULT_OUTPUT = OutputOptions()
METADATA = ("tokenizer", "metrics", "provenance", "entities")  # stored in a folder beside the model


class Predictor:
    """A trained model with the metadata of its folder. Threads may share it.

    Raises `ConfigError` if the model's task needs another predictor.

    Parameters
    ----------
    model:
        Not copied; set to evaluation mode. Do not train it further: word vectors are computed once, here.
    tokenizer:
        Name of the tokenizer for texts; None: that of the model's options.
    metrics, provenance, entities:
        As in `structseq.storage.save_model`; kept for saving.
    """

    look_ahead: ClassVar[int] = 256  # maximum number of sequences that `answer_many` reads ahead
    has_confidence: ClassVar[bool] = True  # whether answers may have probabilities

    def __init__(
        self,
        model: Model,
        *,
        tokenizer: str | None = None,
        metrics: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        entities: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._check(model)
        self.model, self.tokenizer = model.eval(), tokenizer or model.options.data.tokenizer
        self.metrics, self.provenance = dict(metrics or {}), dict(provenance or {})
        self.entities = frozenset(entities)
        tokenizer_of(self.tokenizer)
        self.preprocessor = PREPROCESSORS[model.modality.name](model, self.tokenizer)
        self._table = model.inputs.word_table()

    @classmethod
    def _check(cls, model: Model) -> None:
        predictor = model.task.predictor
        if not any(kind.__name__ == predictor.rpartition(":")[2] for kind in cls.__mro__):
            raise ConfigError(
                f"{cls.__name__}: this model is {model.task.title} of {model.modality.sequences}; use {predictor}"
            )

    def __repr__(self) -> str:
        options, tags = self.model.options, self.model.tags
        what = tags.types or tags.labels
        names = ", ".join(what[:3]) + (", ..." if len(what) > 3 else "")
        kinds = f"{len(what)} {'types' if tags.types else self.model.task.noun}"
        return f"{type(self).__name__}({options.encoder.type} + {options.head.type}; {kinds}: {names})"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the model needs beside the tokens."""
        return self.preprocessor.columns

    def _with_columns(self, tokens: Any, columns: Mapping[str, Any], call: str) -> Example:
        check_names(columns, self.columns)
        return self.preprocessor.example({"tokens": tokens, **columns} if columns else tokens, call)

    # -- answering ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def answer(self, examples: Sequence[Example], output: OutputOptions) -> list[Any]:
        """The answers to examples, in order."""
        raise NotImplementedError

    def answer_many(
        self, examples: Iterable[Example], output: OutputOptions = DEFAULT_OUTPUT
    ) -> Iterator[tuple[Example, Any]]:
        """(example, answer) for a stream, in order and in bounded memory."""
        for group in windows(examples, lambda example, number: example, self.look_ahead):
            yield from zip(group, self.answer(group, output), strict=True)

    def _sequences(
        self, given: Iterable[Any], call: str, look_ahead: int, output: OutputOptions = DEFAULT_OUTPUT
    ) -> Iterator[Any]:
        """``call`` is the method's name, for messages."""
        single = self.model.modality.single
        if isinstance(given, (str, bytes)):
            raise DataError(f"{call}: expected {single}s, found a text; use {call.removesuffix('_many')}_text")
        return self._stream(given, lambda one, n: self.preprocessor.example(one, f"{single} {n}"), look_ahead, output)

    def _texts(
        self, texts: Iterable[str], call: str, look_ahead: int, output: OutputOptions = DEFAULT_OUTPUT
    ) -> Iterator[Any]:
        if isinstance(texts, (str, bytes)):
            raise DataError(f"{call}: expected a list of texts, found one text; use {call.removesuffix('s')}")
        return self._stream(texts, lambda one, n: self.preprocessor.text(one, f"text {n}"), look_ahead, output)

    def _stream(
        self, given: Iterable[Any], prepare: Callable[[Any, int], Example], look_ahead: int, output: OutputOptions
    ) -> Iterator[Any]:
        if look_ahead < 1:  # raised here, not at the first answer
            raise ConfigError(f"expected a look_ahead of at least one sequence, found {look_ahead}")
        groups = windows(given, prepare, look_ahead)
        return (answer for group in groups for answer in self.answer(group, output))

    # -- folders and pickles -----------------------------------------------------------------------------------------

    @classmethod
    def load(cls, folder: str | Path, *, trusted: Collection[str] = (), device: str = "cpu") -> Self:
        """Load a model folder; see `structseq.storage.load_model`."""
        return cls.of(load_model(folder, trusted=trusted), device=device)

    @classmethod
    def of(cls, stored: StoredModel, *, device: str = "cpu") -> Self:
        metadata = {name: getattr(stored, name) for name in METADATA}
        return cls(stored.model.to(device), **metadata)

    def save(self, folder: str | Path) -> None:
        """Write a model folder; see `structseq.storage.save_model`."""
        save_model(folder, self.model, **self._metadata())

    def _metadata(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in METADATA}

    def __getstate__(self) -> dict[str, Any]:
        """The files of the model folder, so that a pickle has no pickled tensors."""
        trusted = list(outside_classes(self.model.options.to_dict()).values())
        return {"files": model_files(self.model, **self._metadata()), "trusted": trusted}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in state["files"].items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            self.__dict__.update(type(self).load(folder, trusted=state["trusted"]).__dict__)


def windows(given: Iterable[Any], prepare: Callable[[Any, int], Example], size: int) -> Iterator[list[Example]]:
    """Groups of up to ``size`` examples, fewer if they are long (`LOOK_AHEAD_STEPS`).

    ``prepare`` receives an item and its number, from 1. If it raises, the items before are yielded first.
    """
    items, number, ended = iter(given), 0, False
    while not ended:
        window: list[Example] = []
        steps = 0
        problem: Exception | None = None
        try:
            while len(window) < size and steps < LOOK_AHEAD_STEPS:
                number += 1
                window.append(prepare(next(items), number))
                steps += len(window[-1])
        except StopIteration:
            ended = True
        except Exception as error:
            problem = error
        if window:
            yield window
        if problem is not None:
            raise problem
