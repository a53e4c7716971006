"""Check X and y and convert them to examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from structseq.data.example import Example
from structseq.data.tokenizer import Tokenizer
from structseq.errors import DataError
from structseq.inference.preprocessor import check_strings, kind_of_value, sentence_of, text_sentence

# The keys of the token in a dict of features
TOKEN_KEYS = ("token", "word", "text")


def examples_of(X: Any, y: Any, *, columns: Sequence[str] = (), names: tuple[str, str] = ("X", "y")) -> list[Example]:
    """One example per sentence; ``names`` are for messages.

    Raises `DataError` if X or y has the wrong form, y is missing, or lengths differ.
    """
    x_name, y_name = names
    given = X if isinstance(X, str) else _rows(X, x_name, "a list of sentences, each a list of tokens")
    sentences = token_sentences(given, x_name, columns=columns)
    if y is None:
        if not given or not all(isinstance(sentence, Example) for sentence in given):
            raise DataError(
                f"expected {y_name}, a tag list for each sentence of {x_name}, found none; training needs it"
            )
        y = [sentence.tags for sentence in sentences]
    answers = _rows(y, y_name, "a list of tag lists, one for each sentence")
    if len(answers) != len(sentences):
        raise DataError(
            f"expected as many tag lists in {y_name} as sentences in {x_name}, {len(sentences)}, found {len(answers)}"
        )
    examples = []
    for number, (sentence, tags) in enumerate(zip(sentences, answers, strict=True), start=1):
        where = f"{y_name}, sentence {number}"
        if isinstance(tags, (str, bytes)) or not isinstance(tags, Iterable):
            raise DataError(f"{where}: expected a list of tags, found {type(tags).__name__} {tags!r:.40}")
        tags = tuple(tags)
        check_strings(
            tags, where, "tags", "; give the tags' names, such as [[names[tag] for tag in tags] for tags in y]"
        )
        tags = _plain(tags)
        if len(tags) != len(sentence):
            raise DataError(f"{where}: expected {len(sentence)} tags, one for each token, found {len(tags)}")
        examples.append(Example(_plain_inputs(sentence), {"tags": tags}, sentence.source or where))
    return examples


def labelled_examples(
    X: Any, y: Any, *, columns: Sequence[str], tokenizer: Tokenizer, names: tuple[str, str] = ("X", "y")
) -> tuple[list[Example], np.ndarray]:
    """One example per text or sentence, with its label as a string; and the labels (N,) as given.

    Raises `DataError` as `examples_of`.
    """
    x_name, y_name = names
    sentences = sentences_of(X, x_name, columns=columns, tokenizer=tokenizer)
    if not sentences:
        raise DataError(f"{x_name}: expected texts or sentences, found none")
    if y is None:
        raise DataError(f"expected {y_name}, a label for each of {x_name}, found none")
    given = _rows(y, y_name, "a list of labels, one for each text")
    for place, label in enumerate(given):
        if isinstance(label, Iterable) and not isinstance(label, (str, bytes)):
            raise DataError(
                f"{y_name}: expected one label for each text, found {kind_of_value(label)} at position {place}"
            )
    labels = np.asarray(given, object if not given else None)
    kinds = {isinstance(label, str) for label in given}
    if labels.dtype == object or len(kinds) > 1:
        raise DataError(f"{y_name}: expected labels that are all strings, or all numbers")
    if np.issubdtype(labels.dtype, np.floating):
        for position in np.flatnonzero(np.isnan(labels)):
            raise DataError(f"{y_name}: expected a label for each text, found NaN at position {position}")
        labels = labels + 0.0  # -0.0 becomes 0.0, which is the same label
    if len(labels) != len(sentences):
        raise DataError(
            f"expected as many labels in {y_name} as texts in {x_name}, {len(sentences)}, found {len(labels)}"
        )
    answers = [{"label": str(label)} for label in labels.tolist()]
    return [Example(_plain_inputs(each), answer) for each, answer in zip(sentences, answers, strict=True)], labels


def token_sentences(X: Any, name: str, *, columns: Sequence[str]) -> list[Example]:
    """Sentences as examples; raises `DataError` for texts, which only the fitted predictor splits."""
    advice = "split it into tokens, such as"
    if isinstance(X, str):
        raise DataError(
            f"{name}: expected a list of sentences, each a list of tokens, found a text; {advice} [text.split()]"
        )
    examples = []
    for number, given in enumerate(_rows(X, name, "a list of sentences, each a list of tokens"), start=1):
        where = f"{name}, sentence {number}"
        if isinstance(given, str):
            raise DataError(f"{where}: expected a list of tokens, found a text; {advice} text.split()")
        examples.append(_sentence(given, columns, where))
    return examples


def sentences_of(X: Any, name: str, *, columns: Sequence[str], tokenizer: Tokenizer) -> list[Example]:
    """Texts, split by ``tokenizer``, and sentences, as examples."""
    if isinstance(X, str):
        raise DataError(f"{name}: expected a list of texts or sentences, found a text; give a list, such as [text]")
    rows = enumerate(_rows(X, name, "a list of texts or sentences"), start=1)
    return [
        text_sentence(str(each), tokenizer, columns, f"{name}, text {number}")
        if isinstance(each, str)
        else _sentence(each, columns, f"{name}, sentence {number}")
        for number, each in rows
    ]


def feature_names(X: Sequence[Any]) -> tuple[str, ...]:
    """The names of features in sentences of feature dicts, without the token, in the order in which they come.

    Raises `DataError` for a name that is no string.
    """
    names: dict[str, None] = {}
    for sentence in X:
        if _has_features(sentence):
            token = _token_key(sentence)
            names |= dict.fromkeys(name for features in sentence for name in features if name != token)
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"X: expected names of features that are strings, found {kind_of_value(name)}")
    return tuple(names)


def _sentence(given: Any, columns: Sequence[str], where: str) -> Example:
    """As `sentence_of`; of feature dicts, those without a feature have the empty string."""
    if not _has_features(given):
        return sentence_of(given, columns, where)
    token = _token_key(given)
    if token is None:
        raise DataError(
            f"{where}: expected the token itself in the feature dicts, under {', '.join(map(repr, TOKEN_KEYS))}, found "
            f"{', '.join(map(repr, list(given[0])[:8])) or 'none'}; add it"
        )
    present = {name for features in given for name in features if name != token}
    if columns and present and present.isdisjoint(columns):
        shown = ", ".join(map(repr, sorted(map(str, present))[:8]))
        raise DataError(f"{where}: expected features such as {columns[0]!r}, as in training, found {shown}")
    inputs = {"tokens": [features.get(token) for features in given]}
    for name in columns:
        inputs[name] = [_feature(features.get(name, ""), name, where) for features in given]
    return sentence_of(inputs, columns, where)


def _has_features(given: Any) -> bool:
    """An empty sentence has none, and may be one of them."""
    if isinstance(given, Example | Mapping | str | bytes) or not isinstance(given, Sequence | np.ndarray):
        return False
    return all(isinstance(item, Mapping) for item in given)


def _token_key(sentence: Sequence[Mapping[str, Any]]) -> str | None:
    return next((key for key in TOKEN_KEYS if all(key in features for features in sentence)), None)


def _feature(value: Any, name: str, where: str) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, str | bool | int | float):
        found = kind_of_value(value)
        raise DataError(f"{where}: expected the feature {name!r} to be a string, a number or a bool, found {found}")
    return str(value)


def _rows(given: Any, name: str, expected: str) -> list[Any]:
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise DataError(f"{name}: expected {expected}, found {type(given).__name__}")
    return list(given)


def _plain(values: tuple[str, ...]) -> tuple[str, ...]:
    """NumPy strings become Python's."""
    return values if set(map(type, values)) <= {str} else tuple(str(value) for value in values)


def _plain_inputs(sentence: Example) -> dict[str, Any]:
    return {name: _plain(values) for name, values in sentence.inputs.items()}
