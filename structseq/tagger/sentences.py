"""What users give to be tagged, checked and brought to one form."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from structseq.data.example import Example
from structseq.data.tokenizer import Tokenizer
from structseq.errors import DataError
from structseq.tagger.tagging import TextToken


@dataclass(frozen=True, slots=True)
class Sentence:
    """Tokens and the model's further columns, all of one length; the text that the tokens were cut from, if any."""

    tokens: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    text: str | None = None


def sentence_of(given: Any, columns: Sequence[str], where: str) -> Sentence:
    """A sentence from an `Example`, a mapping of columns, or an iterable of tokens.

    ``columns``: the further columns that the model was trained with; ``where``: how messages begin. Raises `DataError`
    for a text, for tokens that are no strings, and for a column that is missing or of another length.
    """
    if isinstance(given, Example):
        return _with_columns(given.tokens, given.inputs, columns, given.source or where)
    if isinstance(given, Mapping):
        if "tokens" not in given:
            raise DataError(
                f"{where}: expected a mapping with 'tokens', found {', '.join(map(str, given)) or 'nothing'}"
            )
        return _with_columns(strings(given["tokens"], where), given, columns, where)
    return _with_columns(strings(given, where), {}, columns, where)


def text_sentence(text: Any, tokenizer: Tokenizer, columns: Sequence[str], where: str) -> Sentence:
    """A sentence cut from a text; `DataError` where it is no string, or the model needs columns that a text has not."""
    if not isinstance(text, str):
        raise DataError(f"{where}: expected a text, found {_kind(text)}; tokens have a call of their own")
    if columns:
        raise DataError(
            f"{where}: the model needs the column {columns[0]!r} beside the tokens, which a text has not; "
            "give tokens and column"
        )
    return Sentence(tuple(TextToken(*token) for token in tokenizer(text)), {}, text)


def check_names(given: Iterable[str], columns: Sequence[str]) -> None:
    """`DataError` for a column that the model does not know, which is most likely misspelt."""
    for name in given:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, 1)
            known = f"; did you mean {near[0]!r}?" if near else f"; it knows {', '.join(columns) or 'tokens alone'}"
            raise DataError(f"the model knows no column {name!r}{known}")


def strings(given: Any, where: str) -> tuple[str, ...]:
    """Strings in a tuple; `DataError` for a bare text, bytes, or anything else among them."""
    if isinstance(given, str):
        calls = "tag_text, classify_text or transduce_text"
        raise DataError(f"{where}: expected a list of tokens, found a text; use {calls} for text, or split it first")
    if isinstance(given, (bytes, bytearray)) or not isinstance(given, Iterable):
        raise DataError(f"{where}: expected a list of tokens, found {_kind(given)}")
    found = tuple(given)
    if not set(map(type, found)) <= {str}:
        for place, token in enumerate(found):
            if not isinstance(token, str):
                raise DataError(f"{where}: expected tokens that are strings, found {_kind(token)} at position {place}")
    return found


def _with_columns(tokens: tuple[str, ...], inputs: Mapping[str, Any], columns: Sequence[str], where: str) -> Sentence:
    if not columns:
        return Sentence(tokens, {})
    found = {}
    for name in columns:
        if name not in inputs:
            raise DataError(f"{where}: expected the column {name!r}, which the model was trained with, found none")
        found[name] = values = strings(inputs[name], f"{where}, column {name}")
        if len(values) != len(tokens):
            wanted = f"{len(tokens)} values in column {name!r}, one for each token"
            raise DataError(f"{where}: expected {wanted}, found {len(values)}")
    return Sentence(tokens, found)


def _kind(value: Any) -> str:
    """What was found, for messages: its type, and itself where that is short."""
    shown = repr(value)
    return f"{type(value).__name__} {shown}" if len(shown) <= 40 else type(value).__name__
