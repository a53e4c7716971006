"""Answers, as users and JSON have them: `Tagging`, `FrameTagging`, `Classification`, `Transduction`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from structseq.spans import Scheme

Style = Literal["structseq", "hf"]

# A line for people: what was found, and its probability (or log-probability) if there is one
Row = tuple[list[str], float | None]


class Answer(ABC):
    """What a predictor gives for one sequence."""

    __slots__ = ()

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """For people: lines of cells, each with its probability (or log-probability) if there is one."""

    def text_record(self) -> dict[str, Any]:
        """What JSON holds of the answer to a text."""
        return self.to_dict()

    def heading(self) -> str | None:
        """For people: a line above the rows, which are then indented; None for none."""
        return None


class TextToken(str):
    """A token cut from a text: a string that knows its place, ``text[token.start:token.end] == token``."""

    __slots__ = ("end", "start")
    start: int
    end: int

    def __new__(cls, text: str, start: int = 0, end: int = 0) -> TextToken:
        token = super().__new__(cls, text)
        token.start, token.end = start, end
        return token


@dataclass(frozen=True, slots=True)
class TaggedSpan:
    """An entity that was found.

    Attributes
    ----------
    start, end:
        Its tokens, half-open.
    label:
        Its type.
    confidence:
        Posterior probability 0..1 that the sentence holds exactly this span with this type, over all tag sequences;
        None where the head's scores are no log-probabilities, or it was not asked for.
    text:
        The text from its first to its last character; of tokens that came without a text, joined by spaces.
    start_char, end_char:
        Its place in the text, in characters, half-open; None without a text.
    """

    start: int
    end: int
    label: str
    confidence: float | None
    text: str
    start_char: int | None = None
    end_char: int | None = None

    def to_dict(self, style: Style = "structseq") -> dict[str, Any]:
        """Plain values for JSON; ``hf``: the keys of a Hugging Face token-classification pipeline."""
        if style == "hf":
            place = {"start": self.start_char, "end": self.end_char}
            return {"entity_group": self.label, "score": self.confidence, "word": self.text, **place}
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Tagging(Answer):
    """One sentence, tagged.

    Attributes
    ----------
    tokens:
        L strings; `TextToken` where they were cut from a text.
    tags:
        L tags, in the scheme of the training files, as the head decides (`TaggingHead.decide`).
    confidence:
        Posterior probability of each of `spans`, in their order; where tags are plain, of each token's tag. None where
        the head's scores are no log-probabilities (a margin's, without a temperature), or it was not asked for.
    marginals:
        For each token the probability of each tag, if asked for; None otherwise.
    scheme:
        The scheme that the tags are in.
    text:
        What the tokens were cut from; None where they came as tokens.
    label, label_confidence:
        The sentence's own label, where the model gives one, and its probability (None as for ``confidence``).
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
        """The entities, from left to right; none where tags are plain."""
        found = self.scheme.decode(self.tags)
        sure = self.confidence or (None,) * len(found)
        return tuple(self._span(s.start, s.end, s.label, c) for s, c in zip(found, sure, strict=True)) if found else ()

    def _span(self, start: int, end: int, label: str, confidence: float | None) -> TaggedSpan:
        first, last = self.tokens[start], self.tokens[end - 1]
        if self.text is not None and isinstance(first, TextToken) and isinstance(last, TextToken):
            text = self.text[first.start : last.end]
            return TaggedSpan(start, end, label, confidence, text, first.start, last.end)
        return TaggedSpan(start, end, label, confidence, " ".join(self.tokens[start:end]))

    def to_dict(self, style: Style = "structseq") -> dict[str, Any]:
        """Plain values for JSON: tokens, tags, spans, and the text and the tokens' offsets where there is one.

        ``style``: how spans are written, see `TaggedSpan.to_dict`.
        """
        values: dict[str, Any] = {
            "tokens": [str(token) for token in self.tokens],
            "tags": list(self.tags),
            "spans": [span.to_dict(style) for span in self.spans],
        }
        if self.label is not None:
            values["label"] = self.label
            if self.label_confidence is not None:
                values["label_confidence"] = self.label_confidence
        if self.text is not None:
            values["text"] = self.text
            values["offsets"] = [[t.start, t.end] for t in self.tokens if isinstance(t, TextToken)]
        if self.scheme.plain and self.confidence is not None:
            values["confidence"] = list(self.confidence)
        if self.marginals is not None:
            values["marginals"] = [dict(marginals) for marginals in self.marginals]
        return values

    def record(self) -> dict[str, Any]:
        """What a record gains: label, tags and spans; of a text, a span's ``start`` and ``end`` are characters."""
        record: dict[str, Any] = {} if self.label is None else {"label": self.label}
        if self.label_confidence is not None:
            record["label_confidence"] = self.label_confidence
        record["tags"] = list(self.tags)
        if not self.scheme.plain:
            record["spans"] = [self._span_record(span) for span in self.spans]
        elif self.confidence is not None:
            record["confidence"] = list(self.confidence)
        return record

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
    """One recording with a tag for each step.

    Attributes
    ----------
    tags:
        L tags.
    label:
        The recording's own label, if the model gives one.
    source:
        For a record: ``audio``, the recording's name.
    """

    tags: tuple[str, ...]
    label: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {**self.source, **({} if self.label is None else {"label": self.label}), "tags": list(self.tags)}

    def rows(self) -> list[Row]:
        return [([tag], None) for tag in self.tags]


@dataclass(frozen=True, slots=True)
class Classification(Answer):
    """One text, or recording, with its label.

    Attributes
    ----------
    label:
        The most probable one.
    confidence:
        Its probability 0..1; None where the scores are no log-probabilities yet (no dev set to fit a temperature on).
    probabilities:
        Of every label, in the model's order; empty where ``confidence`` is None.
    tokens:
        What was read; None for frames.
    text:
        What the tokens were cut from; None for tokens that came without a text, and for frames.
    audio:
        The recording that frames are of, by its name; None for tokens, and for frames that came without one.
    """

    label: str
    confidence: float | None
    probabilities: Mapping[str, float]
    tokens: tuple[str, ...] | None
    text: str | None = None
    audio: str | None = None

    def to_dict(self) -> dict[str, Any]:
        if self.tokens is None:
            source: dict[str, Any] = {} if self.audio is None else {"audio": self.audio}
        else:
            source = {"tokens": list(self.tokens)} if self.text is None else {"text": self.text}
        sure = {} if self.confidence is None else {"confidence": self.confidence}
        return {**source, "label": self.label, **sure}

    def rows(self) -> list[Row]:
        return [([self.label], self.confidence)]


@dataclass(frozen=True, slots=True)
class Transduction(Answer):
    """One answer of its own length.

    Attributes
    ----------
    answer:
        Its symbols.
    text:
        The symbols as a text: characters side by side, words between spaces.
    log_prob:
        Its log-probability in nats (exact, however it was found); None where the model has none.
    source:
        For a record: ``source`` or ``audio``, what was answered.
    """

    answer: tuple[str, ...]
    text: str
    log_prob: float | None
    source: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        sure = {} if self.log_prob is None else {"log_prob": self.log_prob}
        return {**self.source, "answer": self.text, **sure}

    def rows(self) -> list[Row]:
        return [([self.text], self.log_prob)]
