"""Feature: words to integers, each word from its spelling alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from structseq.data.vocabulary import Vocabulary
from structseq.section import Section

Numbers = NDArray[np.int64]


class FeatureOptions(Section):
    """Options of a word feature; each class adds its own."""

    type: str = Field(description='a row of the word features table, or "package.module:Class"')

    @property
    def on(self) -> bool:
        return True


class Feature(ABC):
    """Built from options and the vocabularies of `count`, plus ``words``: the counted words of the training data."""

    @abstractmethod
    def __init__(self, options: Any, vocabularies: Mapping[str, Vocabulary]) -> None: ...

    @classmethod
    def count(cls, options: Any, words: Vocabulary) -> dict[str, Vocabulary]:
        """The feature's vocabularies, by name, counted on the distinct words of the training data."""
        return {}

    @abstractmethod
    def index(self, words: Sequence[str]) -> Numbers:
        """(D, ...) integers of D words. If the second axis depends on the longest word, padding is 0."""
