"""Feature: words -> integers, each word from its spelling alone."""

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
    """A further word feature: which one. A kind adds its own options."""

    type: str = Field(description='a row of the word features table, or "package.module:Class"')

    @property
    def on(self) -> bool:
        """Whether the model has the feature."""
        return True


class Feature(ABC):
    """What is known of a word from its spelling, as integers.

    Parameters
    ----------
    options:
        The feature's section.
    vocabularies:
        What `count` returned, and ``words``: each distinct word of the training data with its count.
    """

    @abstractmethod
    def __init__(self, options: Any, vocabularies: Mapping[str, Vocabulary]) -> None: ...

    @classmethod
    def count(cls, options: Any, words: Vocabulary) -> dict[str, Vocabulary]:
        """The vocabularies that it needs, by name, counted on the distinct words of the training data."""
        return {}

    @abstractmethod
    def index(self, words: Sequence[str]) -> Numbers:
        """(D, ...) integers of D words; where the second axis is as long as the longest word needs, padding is 0."""
