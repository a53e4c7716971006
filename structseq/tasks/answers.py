"""Answers for users and JSON: `Tagging`, `FrameTagging`, `Classification`, `Transduction`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from structseq.spans import Scheme

Style = Literal["structseq", "hf"]

# A line for people: its cells, and a probability (or log-probability) if there is one
Row = tuple[list[str], float | None]


class Answer(ABC):
    """A predictor's answer for one sequence."""

    __slots__ = ()

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """Lines for people."""

    def text_record(self) -> dict[str, Any]:
        """Plain values for JSON, if a text was given."""
        return self.to_dict()

    def heading(self) -> str | None:
        """For people: a line above the rows, which are then indented."""
        return None


class TextToken(str):
    """A token cut from a text: a string with its place, ``text[token.start:token.end] == token``."""

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
        Its tokens, half-open.
    confidence:
        Posterior probability 0..1 of this span with this label, over all tag sequences; None if not requested, or if
        the head's scores are not log-probabilities.
    text, start_char, end_char:
        Its characters in the text, and their place, half-open; without a text, tokens joined by spaces, and None.
    """

    start: int
    end: int
    label: str
    confidence: float | None
    text: str
    start_char: int | None = None
    end_char: int | None = None

    def to_dict(self, style: Style = "structseq") -> dict[str, Any]:
        """Plain values for JSON; ``hf``: with the keys of a Hugging Face token-classification pipeline."""
        if style == "hf":
            place = {"start": self.start_char, "end": self.end_char}
            return {"entity_group": self.label, "score": self.confidence, "word": self.text, **place}
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Tagging(Answer):
    """A tagged sentence.

    Attributes
    ----------
    tokens:
        L strings; `TextToken` if they were cut from ``text``.
    tags:
        L tags in ``scheme``, the scheme of the training files.
    confidence:
        Posterior probability of each of `spans`, or of each tag if tags are plain; None as in `TaggedSpan`.
    marginals:
        For each token the probability of each tag; None if not requested.
    label, label_confidence:
        The sentence's label, if the model predicts one, and its probability.
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
        """Plain values for JSON: tokens, tags, spans; of a text also the text and the tokens' offsets.

        ``style``: see `TaggedSpan.to_dict`.
        """
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
        """The keys that a JSON record gains; a span's ``start`` and ``end`` are characters."""
        record: dict[str, Any] = {**self._label_record(), "tags": list(self.tags)}
        if not self.scheme.plain:
            record["spans"] = [self._span_record(span) for span in self.spans]
        elif self.confidence is not None:
            record["confidence"] = list(self.confidence)
        return record

    def _label_record(self) -> dict[str, Any]:
        record = {"label": self.label, "label_confidence": self.label_confidence}
        return {name: value for name, value in record.items() if value is not None}

    def _span_record(self, span: TaggedSpan) -> dict[str, Any]:
        record: dict[str, Any] = {}
        if span.start_char is not None:
            record |= {"start": span.start_char, "end": span.end_char, "text": span.text}
        record |= {"start_token": span.start, "end_token": span.end, "label": span.label}
        return record if span.confidence is None else {**record, "confidence": span.confidence}

    def heading(self) -> str | None:
        return self.text

    def text_record(self) -> dict[str, Any]:
        return {"text": self.text, "tokens": list(self.tokens), **self.record()}

    def rows(self) -> list[Row]:
        """The label, then each span (or token) and its tag."""
        rows: list[Row] = [] if self.label is None else [([self.label], self.label_confidence)]
        if self.scheme.plain:
            units = [[token, tag] for token, tag in zip(self.tokens, self.tags, strict=True)]
        else:
            units = [[span.text, span.label, f"{span.start_char} to {span.end_char}"] for span in self.spans]
        return [*rows, *zip(units, self.confidence or [None] * len(units), strict=True)]


@dataclass(frozen=True, slots=True)
class FrameTagging(Answer):
    """A recording with L tags, and a label if the model predicts one; ``source`` names the recording in a record."""

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
        The most probable label and its probability; None if the scores are not log-probabilities.
    probabilities:
        Of each label, in the model's order; empty if ``confidence`` is None.
    tokens, text, audio:
        The input: tokens, the text that they were cut from, or the recording's name.
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
    """An answer of its own length.

    Attributes
    ----------
    answer, text:
        Its symbols; the same as a text, with spaces between words.
    log_prob:
        Its exact log-probability in nats; None if the model has none.
    source:
        The input, for a record: ``source`` or ``audio``.
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
