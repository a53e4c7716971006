"""Tagging: one sentence with its tags, its spans and how sure the model is of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from structseq.spans import Scheme

Style = Literal["structseq", "hf"]


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
class Tagging:
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
