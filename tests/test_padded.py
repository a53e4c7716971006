"""Padded: rows of unequal length on the left of one tensor."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.padded import Padded


def test_rows_are_padded_with_zeros_on_the_right_in_their_order() -> None:
    batch = Padded.of([torch.tensor([1.0]), torch.tensor([2.0, 3.0, 4.0]), torch.zeros(0)])
    assert batch.values.tolist() == [[1, 0, 0], [2, 3, 4], [0, 0, 0]]
    assert batch.lengths.tolist() == [1, 3, 0] and batch.lengths.dtype == torch.int64
    assert batch.mask().tolist() == [[True, False, False], [True] * 3, [False] * 3]
    assert not batch.full


@given(
    lengths=st.lists(st.integers(0, 6), max_size=5),
    width=st.lists(st.integers(1, 3), max_size=2),
    kind=st.sampled_from([torch.float32, torch.float64, torch.int64]),
)
@settings(max_examples=60)
def test_every_row_comes_back(lengths: list[int], width: list[int], kind: torch.dtype) -> None:
    rows = [torch.randn(length, *width).mul(9).to(kind) for length in lengths]
    batch = Padded.of(rows)
    assert batch.values.shape[:2] == (len(rows), max(lengths, default=0))
    for row, values, length in zip(rows, batch.values, batch.lengths.tolist(), strict=True):
        assert values.dtype == kind and torch.equal(values[:length], row) and not values[length:].any()
    assert batch.mask().sum(1).tolist() == lengths
    assert batch.full == (len(set(lengths)) <= 1)


def test_no_rows_and_rows_of_nothing() -> None:
    assert Padded.of([]).values.shape == (0, 0)
    assert Padded.of([torch.zeros(0, 4)] * 2).values.shape == (2, 0, 4)
    assert Padded.of([torch.zeros(0, 4)] * 2).mask().shape == (2, 0)


def test_rows_may_be_longer_than_the_longest_length() -> None:
    batch = Padded(torch.ones(2, 5, 1), torch.tensor([3, 0]))
    assert batch.mask().sum(1).tolist() == [3, 0] and not batch.full


def test_other_content_for_the_same_rows() -> None:
    batch = Padded.of([torch.ones(2, 3), torch.ones(1, 3)])
    other = batch.with_values(torch.zeros(2, 2, 7))
    assert other.lengths is batch.lengths and other.values.shape == (2, 2, 7)


def test_it_cannot_be_changed() -> None:
    batch = Padded.of([torch.ones(2)])
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.lengths = torch.zeros(1)  # type: ignore[misc]


def test_gradients_flow_through() -> None:
    rows = [torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)]
    Padded.of(rows).values.sum().backward()
    assert all(row.grad is not None and row.grad.tolist() == [1.0] * len(row) for row in rows)
