"""Example: one input, its target, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from structseq.errors import DataError


@dataclass(frozen=True, slots=True)
class Example:
    """One sequence with its answers.

    Attributes
    ----------
    inputs:
        What is known of each token, by name, all of one length L: always ``"tokens"``; further columns of a
        file (part of speech, gazetteer flags) under the names the user gave them.
    targets:
        Answers by name: ``"tags"`` (L strings), ``"label"`` (one, of the whole sequence). Empty when unknown.
    source:
        ``file:line`` of the first token (or of the record), for messages; empty when made from Python.
    metadata:
        The ``# key = value`` lines that stood before the sentence, in their order.
    starts_document:
        Whether a document boundary (``-DOCSTART-``, ``# newdoc``) stands before this sentence.
    """

    inputs: Mapping[str, tuple[str, ...]]
    targets: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    starts_document: bool = False

    @property
    def tokens(self) -> tuple[str, ...]:
        return self.inputs["tokens"]

    @property
    def tags(self) -> tuple[str, ...]:
        """The gold tags; raises `DataError` when the example has none."""
        try:
            return self.targets["tags"]
        except KeyError:
            where = self.source or "this example"
            raise DataError(f"{where} has no tags; read the file with its tag column") from None

    @property
    def label(self) -> str:
        """The gold label of the whole sequence; raises `DataError` when the example has none."""
        try:
            return self.targets["label"]
        except KeyError:
            where = self.source or "this example"
            raise DataError(f"{where} has no label; say where it stands with data.label") from None

    def __len__(self) -> int:
        return len(self.inputs["tokens"])

    @staticmethod
    def of(tokens: Sequence[str], tags: Sequence[str] | None = None, **inputs: Sequence[str]) -> Example:
        """An example made from Python: tokens, optional gold tags, further columns by name.

        >>> Example.of(["to", "Taipei"], ["O", "B-city"]).tags
        ('O', 'B-city')
        """
        columns = {"tokens": tuple(tokens), **{name: tuple(column) for name, column in inputs.items()}}
        length = len(columns["tokens"])
        answers = {} if tags is None else {"tags": tuple(tags)}
        for name, column in {**columns, **answers}.items():
            if len(column) != length:
                raise DataError(f"expected {length} {name}, one for each token, found {len(column)}")
        return Example(columns, answers)
