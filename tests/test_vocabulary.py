"""Vocabulary: strings by number, open or closed, in an order that nothing but the counts decides."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.data.vocabulary import Vocabulary
from structseq.errors import DataError

strings = st.text(max_size=4)


@given(items=st.lists(strings, unique=True, max_size=20), is_open=st.booleans())
@settings(max_examples=60)
def test_numbers_lead_back_to_strings(items: list[str], is_open: bool) -> None:
    known = Vocabulary(items, open=is_open)
    assert len(known) == len(items) + is_open
    assert list(known) == items
    for place, item in enumerate(items):
        assert known[item] == place + is_open
        assert item in known
    assert known.numbers(items) == [known[item] for item in items]


def test_the_unknown_of_an_open_vocabulary_is_number_zero() -> None:
    known = Vocabulary(["a", "b"], open=True)
    assert known["c"] == 0 and known.numbers(["b", "c", "a", ""]) == [2, 0, 1, 0]
    assert "c" not in known and 0 not in known


def test_a_closed_vocabulary_refuses_strangers() -> None:
    with pytest.raises(DataError, match="found 'c'"):
        Vocabulary(["a", "b"])["c"]


def test_a_string_twice_or_a_count_too_few_is_an_error() -> None:
    for items, counts in ((["a", "a"], None), (["a", "b"], [1]), (["a"], [1, 2])):
        with pytest.raises(DataError):
            Vocabulary(items, counts)


def test_the_most_frequent_comes_first_and_equals_in_code_point_order() -> None:
    known = Vocabulary.count(["b", "a", "c", "c", "Z", "é", "中", "𝒳"])
    assert known.items == ("c", "Z", "a", "b", "é", "中", "𝒳")
    assert known.counts == (2, 1, 1, 1, 1, 1, 1)
    assert known.open


@given(words=st.lists(strings, max_size=40), least=st.integers(1, 3))
@settings(max_examples=60)
def test_counting(words: list[str], least: int) -> None:
    counter = Counter(words)
    known = Vocabulary.count(words, min_count=least)
    assert dict(zip(known.items, known.counts, strict=True)) == {w: n for w, n in counter.items() if n >= least}
    assert list(known.counts) == sorted(known.counts, reverse=True)
    assert Vocabulary.count(counter, min_count=least) == known
    assert Vocabulary.count(reversed(words), min_count=least) == known, "the order of reading does not matter"


def test_equality_and_hash() -> None:
    one = Vocabulary(["a"], [2], open=True)
    assert one == Vocabulary(["a"], [2], open=True)
    assert hash(one) == hash(Vocabulary(["a"], [2], open=True))
    assert one != Vocabulary(["a"], [3], open=True)
    assert one != Vocabulary(["a"], [2])
    assert one != ("a",)


def test_the_order_does_not_depend_on_the_hash_seed(root: Path) -> None:
    code = (
        "from structseq.data.vocabulary import Vocabulary\n"
        "print(Vocabulary.count({c for c in 'the quick brown fox jumps'}).items)"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1
