"""Streams in windows: bounded, in order, and an item that cannot be read costs no answer before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import miniature
import pytest

from structseq import Classifier, Tagger, Transducer
from structseq.data.example import Example
from structseq.errors import ConfigError, DataError
from structseq.inference.predictor import LOOK_AHEAD_STEPS, windows
from structseq.model import Model
from structseq.spans import PLAIN, scheme_of


def example(length: int) -> Example:
    return Example({"tokens": ("a",) * length})


def prepared(item: Any, number: int) -> Example:
    if item is None:
        raise DataError(f"item {number}")
    return example(item)


def test_windows_have_the_set_size_and_smaller_where_items_are_long() -> None:
    assert [len(window) for window in windows([1] * 7, prepared, 3)] == [3, 3, 1]
    half = LOOK_AHEAD_STEPS // 2
    assert [len(window) for window in windows([half, half, 1, 1], prepared, 3)] == [2, 2]
    assert list(windows([], prepared, 3)) == []


def test_no_more_is_read_than_a_window() -> None:
    read = []

    def items() -> Iterator[int]:
        for number in range(10):
            read.append(number)
            yield 1

    next(windows(items(), prepared, 4))
    assert len(read) == 4


def test_an_error_comes_after_the_window_before_it() -> None:
    stream = windows([1, 1, None, 1], prepared, 8)
    assert len(next(stream)) == 2
    with pytest.raises(DataError, match="item 3"):
        next(stream)
    with pytest.raises(DataError, match="item 1"):
        next(windows([None], prepared, 8))


SENTENCES = [["to", "Taipei"], ["from", "Oslo"], "a text where tokens belong", ["to", "Oslo"]]


@pytest.mark.parametrize(("head", "predictor", "call"), [
    ("crf", Tagger, "tag_many"),
    ("classify", Classifier, "classify_many"),
    ("generate", Transducer, "transduce_many"),
])  # fmt: skip
def test_every_predictor_answers_what_came_before_a_bad_item(head: str, predictor: type, call: str) -> None:
    targets = {"tags": ("O", "B-city"), "label": "fly", "target": ("x", "y")}
    other = {"tags": ("O", "O"), "label": "stay", "target": ("y",)}
    examples = [Example({"tokens": ("to", "Taipei")}, targets), Example({"tokens": ("in", "Oslo")}, other)]
    scheme = scheme_of("BIO") if head == "crf" else PLAIN
    options = miniature.options({"head": {"type": head}, "data": {"columns": {}}})
    many = getattr(predictor(Model.prepare(options, examples, scheme, seed=0)), call)
    with pytest.raises(ConfigError, match="look_ahead of at least one"):  # at once, before the first answer
        many(SENTENCES, look_ahead=0)
    answers = many(SENTENCES)
    assert [next(answers) is not None for _ in range(2)] == [True, True]
    with pytest.raises(DataError, match="sentence 3: expected a list of tokens, found a text"):
        next(answers)
