"""Token input from Python, checked and made into examples."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from structseq.data.example import Example
from structseq.data.tokenizer import Tokenizer
from structseq.errors import DataError
from structseq.tasks.answers import TextToken


def sentence_of(given: Any, columns: Sequence[str], where: str) -> Example:
    """An example from an `Example`, a mapping of columns, or an iterable of tokens.

    ``columns``: the further columns that the model was trained with; ``where``: how messages begin. Raises `DataError`
    for a text, for tokens that are no strings, and for a column that is missing or of another length.
    """
    if isinstance(given, Example):
        _columns_of(given.tokens, given.inputs, columns, given.source or where)
        return given
    if isinstance(given, Mapping):
        if "tokens" not in given:
            raise DataError(
                f"{where}: expected a mapping with 'tokens', found {', '.join(map(str, given)) or 'nothing'}"
            )
        tokens = strings(given["tokens"], where)
        return Example({"tokens": tokens, **_columns_of(tokens, given, columns, where)})
    tokens = strings(given, where)
    return Example({"tokens": tokens, **_columns_of(tokens, {}, columns, where)})


def text_sentence(text: Any, tokenizer: Tokenizer, columns: Sequence[str], where: str) -> Example:
    """An example cut from a text, with the text in its metadata and `TextToken` as tokens.

    Raises `DataError` if it is no string, or if the model needs columns, which a text does not have.
    """
    check_text(text, columns, where)
    return Example({"tokens": tuple([TextToken(*token) for token in tokenizer(text)])}, metadata={"text": text})


def check_text(text: Any, columns: Sequence[str], where: str) -> None:
    """Raise `DataError` if ``text`` is no string, or if the model needs columns, which a text does not have."""
    if not isinstance(text, str):
        raise DataError(f"{where}: expected a text, found {_kind(text)}; tokens have a call of their own")
    if columns:
        raise DataError(
            f"{where}: the model needs the column {columns[0]!r} beside the tokens, which a text does not have; "
            "give tokens and column, or a file that has both"
        )


def check_names(given: Iterable[str], columns: Sequence[str]) -> None:
    """Raise `DataError` for a column that the model does not know, which is most likely misspelt."""
    for name in given:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, 1)
            known = f"; did you mean {near[0]!r}?" if near else f"; it knows {', '.join(columns) or 'tokens alone'}"
            raise DataError(f"the model knows no column {name!r}{known}")


def strings(given: Any, where: str) -> tuple[str, ...]:
    """Strings in a tuple; raises `DataError` for a bare text, bytes, or anything else among them."""
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


def _columns_of(
    tokens: tuple[str, ...], inputs: Mapping[str, Any], columns: Sequence[str], where: str
) -> dict[str, tuple[str, ...]]:
    found = {}
    for name in columns:
        if name not in inputs:
            raise DataError(f"{where}: expected the column {name!r}, which the model was trained with, found none")
        found[name] = values = strings(inputs[name], f"{where}, column {name}")
        if len(values) != len(tokens):
            wanted = f"{len(tokens)} values in column {name!r}, one for each token"
            raise DataError(f"{where}: expected {wanted}, found {len(values)}")
    return found


def _kind(value: Any) -> str:
    """What was found, for messages: its type, and itself if that is short."""
    shown = repr(value)
    return f"{type(value).__name__} {shown}" if len(shown) <= 40 else type(value).__name__
