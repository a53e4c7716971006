"""Check X and y and convert them to examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from structseq.data.example import Example
from structseq.data.tokenizer import Tokenizer
from structseq.errors import DataError
from structseq.inference.preprocessor import check_strings, kind_of_value, sentence_of, text_sentence


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
        examples.append(sentence_of(given, columns, where))
    return examples


def sentences_of(X: Any, name: str, *, columns: Sequence[str], tokenizer: Tokenizer) -> list[Example]:
    """Texts, split by ``tokenizer``, and sentences, as examples."""
    if isinstance(X, str):
        raise DataError(f"{name}: expected a list of texts or sentences, found a text; give a list, such as [text]")
    rows = enumerate(_rows(X, name, "a list of texts or sentences"), start=1)
    return [
        text_sentence(str(each), tokenizer, columns, f"{name}, text {number}")
        if isinstance(each, str)
        else sentence_of(each, columns, f"{name}, sentence {number}")
        for number, each in rows
    ]


def _rows(given: Any, name: str, expected: str) -> list[Any]:
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise DataError(f"{name}: expected {expected}, found {type(given).__name__}")
    return list(given)


def _plain(values: tuple[str, ...]) -> tuple[str, ...]:
    """NumPy strings become Python's."""
    return values if set(map(type, values)) <= {str} else tuple(str(value) for value in values)


def _plain_inputs(sentence: Example) -> dict[str, Any]:
    return {name: _plain(values) for name, values in sentence.inputs.items()}
