"""Predictions: `Tagging`, `FrameTagging`, `Classification`, `Transduction`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from structseq.spans import Scheme

Style = Literal["structseq", "hf"]

# A line for people: its cells, and the probability (or log-probability)
Row = tuple[list[str], float | None]


class Answer(ABC):
    """A prediction for one sequence."""

    __slots__ = ()

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """Lines for people."""

    def text_record(self) -> dict[str, Any]:
        """`to_dict` for a text as input."""
        return self.to_dict()

    def heading(self) -> str | None:
        """A line above the `rows`."""
        return None


class TextToken(str):
    """A token with its character offsets: ``text[token.start:token.end] == token``."""

    __slots__ = ("end", "start")
    start: int
    end: int

    def __new__(cls, text: str, start: int = 0, end: int = 0) -> TextToken:
        token = super().__new__(cls, text)
        token.start, token.end = start, end
        return token


@dataclass(frozen=True, slots=True)
class TaggedSpan:
    """A predicted entity.

    Attributes
    ----------
    start, end:
        Half-open range of tokens.
    confidence:
        Posterior probability of the span with its label; None if not requested, or if the head is not calibrated.
    text, start_char, end_char:
        Its text and half-open range of characters; without a text, tokens joined by spaces, and None.
    """

    start: int
    end: int
    label: str
    confidence: float | None
    text: str
    start_char: int | None = None
    end_char: int | None = None

    def to_dict(self, style: Style = "structseq") -> dict[str, Any]:
        """Plain values for JSON: ``start`` and ``end`` are characters, ``start_token`` and ``end_token`` tokens.

        Characters and confidence are left out if None. ``hf``: the keys of a Hugging Face token-classification
        pipeline.
        """
        if style == "hf":
            place = {"start": self.start_char, "end": self.end_char}
            return {"entity_group": self.label, "score": self.confidence, "word": self.text, **place}
        characters = {} if self.start_char is None else {"start": self.start_char, "end": self.end_char}
        tokens = {"start_token": self.start, "end_token": self.end}
        confidence = {} if self.confidence is None else {"confidence": self.confidence}
        return {**characters, "text": self.text, **tokens, "label": self.label, **confidence}


@dataclass(frozen=True)
class Tagging(Answer):
    """A tagged sentence.

    Attributes
    ----------
    tokens:
        L strings; `TextToken` if they come from ``text``.
    tags:
        L tags in ``scheme``, that of the training files.
    confidence:
        Posterior probability of each of `spans`, or of each plain tag; None as in `TaggedSpan`.
    marginals:
        For each token the probability of each tag; None if not requested.
    label, label_confidence:
        The sentence's label and its probability, if the model predicts labels.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    confidence: tuple[float, ...] | None
    scheme: Scheme = field(repr=False)
    text: str | None = field(default=None, repr=False)
    marginals: tuple[Mapping[str, float], ...] | None = field(default=None, repr=False)
    label: str | None = None
    label_confidence: float | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def spans(self) -> tuple[TaggedSpan, ...]:
        """The entities, from left to right; empty if tags are plain."""
        spans = self.scheme.decode(self.tags)
        confidence = (self.confidence or (None,) * len(spans)) if spans else ()
        return tuple(self._span(s.start, s.end, s.label, c) for s, c in zip(spans, confidence, strict=True))

    def _span(self, start: int, end: int, label: str, confidence: float | None) -> TaggedSpan:
        first, last = self.tokens[start], self.tokens[end - 1]
        if self.text is not None and isinstance(first, TextToken) and isinstance(last, TextToken):
            text = self.text[first.start : last.end]
            return TaggedSpan(start, end, label, confidence, text, first.start, last.end)
        return TaggedSpan(start, end, label, confidence, " ".join(self.tokens[start:end]))

    def to_dict(self, style: Style = "structseq") -> dict[str, Any]:
        """Plain values for JSON; ``style`` as in `TaggedSpan.to_dict`."""
        values: dict[str, Any] = {
            "tokens": [str(token) for token in self.tokens],
            "tags": list(self.tags),
            "spans": [span.to_dict(style) for span in self.spans],
            **self._label_record(),
        }
        if self.text is not None:
            values["text"] = self.text
            values["offsets"] = [[t.start, t.end] for t in self.tokens if isinstance(t, TextToken)]
        if self.scheme.plain and self.confidence is not None:
            values["confidence"] = list(self.confidence)
        if self.marginals is not None:
            values["marginals"] = [dict(marginals) for marginals in self.marginals]
        return values

    def record(self) -> dict[str, Any]:
        """Keys for a JSON record."""
        record: dict[str, Any] = {**self._label_record(), "tags": list(self.tags)}
        if not self.scheme.plain:
            record["spans"] = [span.to_dict() for span in self.spans]
        elif self.confidence is not None:
            record["confidence"] = list(self.confidence)
        return record

    def _label_record(self) -> dict[str, Any]:
        record = {"label": self.label, "label_confidence": self.label_confidence}
        return {name: value for name, value in record.items() if value is not None}

    def heading(self) -> str | None:
        return self.text

    def text_record(self) -> dict[str, Any]:
        return {"text": self.text, "tokens": list(self.tokens), **self.record()}

    def rows(self) -> list[Row]:
        rows: list[Row] = [] if self.label is None else [([self.label], self.label_confidence)]
        if self.scheme.plain:
            units = [[token, tag] for token, tag in zip(self.tokens, self.tags, strict=True)]
        else:
            units = [[span.text, span.label, f"{span.start_char} to {span.end_char}"] for span in self.spans]
        return [*rows, *zip(units, self.confidence or [None] * len(units), strict=True)]


@dataclass(frozen=True, slots=True)
class FrameTagging(Answer):
    """L tags of a recording, and its label if the model predicts one."""

    tags: tuple[str, ...]
    label: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {**self.source, **({} if self.label is None else {"label": self.label}), "tags": list(self.tags)}

    def rows(self) -> list[Row]:
        return [([tag], None) for tag in self.tags]


@dataclass(frozen=True, slots=True)
class Classification(Answer):
    """A text or recording with its label.

    Attributes
    ----------
    label, confidence:
        The predicted label, and its probability (None if not requested, or if the head is not calibrated).
    probabilities:
        Of each label, in the model's order; empty if ``confidence`` is None.
    tokens, text, audio:
        The input: tokens, their text, or the recording's name.
    """

    label: str
    confidence: float | None
    probabilities: Mapping[str, float]
    tokens: tuple[str, ...] | None
    text: str | None = None
    audio: str | None = None

    def to_dict(self) -> dict[str, Any]:
        if self.tokens is None:
            record: dict[str, Any] = {} if self.audio is None else {"audio": self.audio}
        else:
            record = {"tokens": list(self.tokens)} if self.text is None else {"text": self.text}
        record["label"] = self.label
        return record if self.confidence is None else {**record, "confidence": self.confidence}

    def rows(self) -> list[Row]:
        return [([self.label], self.confidence)]


@dataclass(frozen=True, slots=True)
class Transduction(Answer):
    """A predicted sequence of symbols.

    Attributes
    ----------
    answer, text:
        The symbols; the same as a text, with spaces between words.
    log_prob:
        Exact log-probability in nats; None if not requested or not available.
    source:
        The input, by the key ``source`` or ``audio``.
    """

    answer: tuple[str, ...]
    text: str
    log_prob: float | None
    source: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        record = {**self.source, "answer": self.text}
        return record if self.log_prob is None else {**record, "log_prob": self.log_prob}

    def rows(self) -> list[Row]:
        return [([self.text], self.log_prob)]
