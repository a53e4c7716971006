"""Batches: every row exactly once, within the budget, in an order that one seed decides."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.batch import batch_by_length, pad_targets

lengths = st.lists(st.integers(0, 40), max_size=60)
seeds = st.none() | st.integers(0, 2**32 - 1)


def rng(seed: int | None) -> np.random.Generator | None:
    return None if seed is None else np.random.default_rng(seed)


@given(lengths=lengths, sentences=st.integers(1, 8), tokens=st.integers(1, 100), seed=seeds)
@settings(max_examples=200)
def test_every_row_once_and_no_budget_broken(lengths: list[int], sentences: int, tokens: int, seed: int | None) -> None:
    groups = batch_by_length(lengths, sentences=sentences, tokens=tokens, rng=rng(seed))
    assert sorted(row for group in groups for row in group.tolist()) == list(range(len(lengths)))
    for group in groups:
        assert 1 <= len(group) <= sentences
        longest = max(lengths[row] for row in group)
        assert len(group) * longest <= tokens or len(group) == 1, "padding counts"


@given(lengths=lengths, sentences=st.integers(1, 8), tokens=st.integers(1, 100), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_rows_of_similar_length_stand_together(lengths: list[int], sentences: int, tokens: int, seed: int) -> None:
    groups = batch_by_length(lengths, sentences=sentences, tokens=tokens, rng=rng(seed))
    spans = sorted((min(lengths[r] for r in group), max(lengths[r] for r in group)) for group in groups)
    assert all(this[1] <= after[0] for this, after in itertools.pairwise(spans))


@given(lengths=lengths, sentences=st.integers(1, 8), tokens=st.integers(1, 100), seed=seeds)
@settings(max_examples=40)
def test_the_seed_decides(lengths: list[int], sentences: int, tokens: int, seed: int | None) -> None:
    one, other = (batch_by_length(lengths, sentences=sentences, tokens=tokens, rng=rng(seed)) for _ in range(2))
    assert [group.tolist() for group in one] == [group.tolist() for group in other]


@given(lengths=lengths, sentences=st.integers(1, 8), tokens=st.integers(1, 100), pair=st.tuples(seeds, seeds))
@settings(max_examples=40)
def test_there_are_as_many_batches_for_any_seed(
    lengths: list[int], sentences: int, tokens: int, pair: tuple[int | None, int | None]
) -> None:
    one, other = (batch_by_length(lengths, sentences=sentences, tokens=tokens, rng=rng(seed)) for seed in pair)
    assert len(one) == len(other)


def test_other_seeds_other_orders_and_other_company() -> None:
    rows = [5] * 40
    drawn = [
        [group.tolist() for group in batch_by_length(rows, sentences=8, tokens=100, rng=rng(seed))] for seed in range(5)
    ]
    assert len({str(order) for order in drawn}) == 5
    assert len({str(sorted(map(sorted, order))) for order in drawn}) == 5


def test_without_chance_the_longest_comes_first_and_equals_keep_their_order() -> None:
    groups = batch_by_length([2, 5, 2, 5, 1], sentences=2, tokens=100)
    assert [group.tolist() for group in groups] == [[1, 3], [0, 2], [4]]


def test_a_row_beyond_the_budget_is_a_batch_alone() -> None:
    groups = batch_by_length([100_000, 3, 3], sentences=32, tokens=2000)
    assert [group.tolist() for group in groups] == [[0], [1, 2]]


def test_empty_rows_and_no_rows() -> None:
    assert batch_by_length([], sentences=4, tokens=10) == []
    assert batch_by_length([], sentences=4, tokens=10, rng=rng(0)) == []
    assert [len(group) for group in batch_by_length([0] * 10, sentences=4, tokens=2)] == [2] * 5


def test_targets_are_padded_with_zero() -> None:
    table = pad_targets([[3, 1], [], [2]], 4)
    assert table.dtype == torch.int64
    assert table.tolist() == [[3, 1, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0]]
    assert pad_targets([], 3).shape == (0, 3) and pad_targets([[]], 0).shape == (1, 0)


def test_a_target_longer_than_its_batch_is_an_error() -> None:
    with pytest.raises(ValueError):
        pad_targets([[1, 2, 3]], 2)
