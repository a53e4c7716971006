"""Predictor: a trained model as users have it, checked, loaded, saved and pickled."""

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
from structseq.inference.preprocessor import PREPROCESSORS
from structseq.inference.windows import windows
from structseq.model import Model
from structseq.storage import StoredModel, load_model, model_files, save_model


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What an answer shall hold beside itself."""

    confidence: bool = True
    marginals: bool = False


DEFAULT_OUTPUT = OutputOptions()


class Predictor:
    """A trained model with what its folder says of it. Threads may share one; pickles hold the files of its folder.

    Parameters
    ----------
    model:
        Kept as it is, in evaluation mode; do not train it further.
    tokenizer:
        Name of the tokenizer that cuts text, see `structseq.data.tokenizer`; that of the model's options where None.
    metrics, provenance, entities:
        As in `structseq.storage.save_model`; kept for saving.

    Raises
    ------
    ConfigError
        For a model of a task that another predictor answers.
    """

    look_ahead: ClassVar[int] = 256
    """Sequences that a stream is read ahead by."""
    has_confidence: ClassVar[bool] = True
    """Whether its answers may carry probabilities."""

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

    @classmethod
    def _check(cls, model: Model) -> None:
        predictor = model.task.predictor
        if not any(kind.__name__ == predictor.rpartition(":")[2] for kind in cls.__mro__):
            raise ConfigError(
                f"{cls.__name__}: expected a model of another task, found {model.task.title} of "
                f"{model.modality.sequences}; use {predictor}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The further columns that it needs beside the tokens."""
        return self.preprocessor.columns

    # -- answering ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def answer(self, examples: Sequence[Example], output: OutputOptions) -> list[Any]:
        """The answer to each example, in order."""
        raise NotImplementedError

    def answer_many(
        self, examples: Iterable[Example], output: OutputOptions = DEFAULT_OUTPUT
    ) -> Iterator[tuple[Example, Any]]:
        """Each example of a stream with its answer, in order and in bounded memory."""
        for group in windows(examples, lambda example, number: example, self.look_ahead):
            yield from zip(group, self.answer(group, output), strict=True)

    def _stream(
        self, given: Iterable[Any], prepare: Callable[[Any, int], Example], output: OutputOptions, look_ahead: int
    ) -> Iterator[Any]:
        groups = windows(given, prepare, look_ahead)  # which checks at once, not at the first answer
        return (answer for group in groups for answer in self.answer(group, output))

    def _sequences(self, given: Iterable[Any], call: str, output: OutputOptions, look_ahead: int) -> Iterator[Any]:
        """The answers to a stream of whatever `Preprocessor.example` takes; ``call`` is the method, for messages."""
        single = self.model.modality.single
        if isinstance(given, (str, bytes)):
            verb = call.removesuffix("_many")
            raise DataError(f"{call}: expected {single}s, found a text; use {verb}_text")
        return self._stream(given, lambda one, n: self.preprocessor.example(one, f"{single} {n}"), output, look_ahead)

    def _texts(self, texts: Iterable[str], call: str, output: OutputOptions, look_ahead: int) -> Iterator[Any]:
        """The answers to a stream of texts."""
        if isinstance(texts, (str, bytes)):
            raise DataError(f"{call}: expected texts, found one; use {call.removesuffix('s')}")
        return self._stream(texts, lambda one, n: self.preprocessor.text(one, f"text {n}"), output, look_ahead)

    # -- folders and pickles -----------------------------------------------------------------------------------------

    @classmethod
    def load(cls, folder: str | Path, *, trusted: Collection[str] = (), device: str = "cpu") -> Self:
        """The model in a folder; ``trusted`` as in `structseq.storage.load_model`.

        Reads a folder of an older format version with a warning. Raises `ModelFileError` for a foreign or damaged one.
        """
        return cls.of(load_model(folder, trusted=trusted), device=device)

    @classmethod
    def of(cls, stored: StoredModel, *, device: str = "cpu") -> Self:
        """A stored model with what is stored beside it."""
        return cls(
            stored.model.to(device),
            tokenizer=stored.tokenizer,
            metrics=stored.metrics,
            provenance=stored.provenance,
            entities=stored.entities,
        )

    def save(self, folder: str | Path) -> None:
        """Write the model folder; see `structseq.storage.save_model`."""
        save_model(folder, self.model, **self._metadata())

    def _metadata(self) -> dict[str, Any]:
        """What is stored beside the model."""
        return {
            "tokenizer": self.tokenizer,
            "metrics": self.metrics,
            "provenance": self.provenance,
            "entities": self.entities,
        }

    def __getstate__(self) -> dict[str, Any]:
        """The files of the model folder by name: JSON, text and safetensors, no pickled tensors."""
        trusted = list(outside_classes(self.model.options.to_dict()).values())
        return {"files": model_files(self.model, **self._metadata()), "trusted": trusted}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in state["files"].items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            self.__dict__.update(type(self).load(folder, trusted=state["trusted"]).__dict__)
