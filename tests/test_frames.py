"""Frames as inputs: normalised, masked, convolved; no row knows of its companions or of padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from structseq.data.audio import extract_frames
from structseq.data.example import Example
from structseq.errors import DataError
from structseq.features.frame_features import FrameBatch
from structseq.inputs.frame_inputs import FrameInputs

F = 3
steady = settings(deadline=None, derandomize=True, max_examples=30)
lengths_of_rows = st.lists(st.integers(0, 12), min_size=1, max_size=5)


def frames(length: int, seed: int = 0, *, at: float = 0.0, scale: float = 1.0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(at, scale, (length, F)).astype(np.float32)


def examples(lengths: Sequence[int], **options: float) -> list[Example]:
    return [Example.of_frames(frames(length, seed, **options)) for seed, length in enumerate(lengths)]


def inputs(**options: Any) -> FrameInputs:
    torch.manual_seed(0)
    made = FrameInputs(F, **options)
    made.prepare(examples([20, 30], at=5.0, scale=2.0))
    return made.eval()


def rows(made: FrameInputs, given: Sequence[Example]) -> list[Tensor]:
    """What each row holds, without its padding."""
    padded = made(made.encode(given))
    assert padded.values.shape[2] == made.width
    return [row[:length] for row, length in zip(padded.values, padded.lengths.tolist(), strict=True)]


# -- examples as numbers ----------------------------------------------------------------------------------------------


@steady
@given(lengths_of_rows)
def test_batches_hold_the_frames_and_zeros(lengths: list[int]) -> None:
    given = examples(lengths)
    batch = inputs().encode(given)
    assert batch.values.dtype == np.float32 and batch.values.shape == (len(lengths), max(lengths), F)
    assert batch.lengths.dtype == np.int64 and batch.lengths.tolist() == lengths
    for row, example in zip(batch.values, given, strict=True):
        assert (row[: len(example)] == example.frames).all() and not row[len(example) :].any()


def test_no_examples_and_no_frames_make_empty_batches() -> None:
    made = inputs(convolution=4)
    assert made(made.encode([])).values.shape == (0, 0, 4)
    assert made(made.encode(examples([0, 0]))).values.shape == (2, 0, 4)


def test_it_is_the_twin_of_inputs_for_words() -> None:
    made = inputs()
    assert made.width == made.in_width == F and inputs(convolution=7).width == 7
    assert made.column_vocabularies == {} and made.word_table() is None
    batch = made.encode(examples([3]))
    assert (made(batch, table=made.word_table()).values == made(batch).values).all()


def odd(values: Any, source: str = "list.jsonl:7") -> Example:
    return Example({"frames": values}, source=source)


BAD: dict[str, tuple[Example, str]] = {
    "another width": (odd(np.zeros((4, 5))), "expected frames of 3 numbers at list.jsonl:7, found 5; make them like"),
    "one dimension": (odd(np.zeros(4)), "expected frames (L, F) at list.jsonl:7, found an array of 1 dimensions"),
    "three dimensions": (odd(np.zeros((4, 3, 1))), "found an array of 3 dimensions"),
    "not a number": (
        odd([[0, 0, 0], [0, np.nan, 0]]),
        "expected finite numbers at list.jsonl:7, found nan as number 1 of frame 1",
    ),
    "infinite": (odd([[0, 0, np.inf]]), "found inf as number 2 of frame 0"),
    "beyond float32": (odd(np.full((1, 3), 1e300)), "found inf as number 0 of frame 0"),
    "words": (odd([["a", "b", "c"]]), "expected frames (L, F) of numbers at list.jsonl:7"),
    "ragged": (odd([[1.0, 2.0, 3.0], [1.0]]), "expected frames (L, F) of numbers at list.jsonl:7"),
    "tokens": (Example.of(["to", "Taipei"]), "this example has no frames; it is made of tokens"),
}


@pytest.mark.parametrize("kind", BAD)
def test_frames_that_are_none_are_refused_in_a_sentence(kind: str) -> None:
    example, words = BAD[kind]
    made = inputs()
    for refuse in (made.encode, FrameInputs(F).prepare):
        with pytest.raises(DataError) as caught:
            refuse([*examples([2]), example])
        assert words in str(caught.value) and "\n" not in str(caught.value)


# -- normalising ------------------------------------------------------------------------------------------------------


@steady
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.floats(-1e3, 1e3), st.floats(1e-2, 1e3))
def test_training_frames_have_mean_0_and_deviation_1(lengths: list[int], at: float, scale: float) -> None:
    given = examples([*lengths, 5], at=at, scale=scale)
    made = FrameInputs(F)
    made.prepare(given)
    every = torch.cat(rows(made.eval(), given)).double()
    slack = 1e-5 * (1 + abs(at) / scale)  # what float32 keeps of a small deviation far from 0
    torch.testing.assert_close(every.mean(0), torch.zeros(F).double(), atol=slack, rtol=0)
    torch.testing.assert_close(every.std(0, correction=0), torch.ones(F).double(), atol=slack, rtol=0)


@pytest.mark.parametrize("value", [0.0, -23.02585, 1e6])
def test_a_number_that_never_changes_keeps_its_deviation(value: float) -> None:
    values = frames(50)
    values[:, 1] = value
    made = FrameInputs(F)
    made.prepare([Example.of_frames(values[:20]), Example.of_frames(values[20:])])
    assert made.deviation[1] == 1 and made.deviation[0] != 1
    (row,) = rows(made.eval(), [Example.of_frames(values)])
    assert row[:, 1].abs().max() <= 1e-6 * max(1, abs(value))


def test_what_was_measured_is_stored_with_the_model() -> None:
    made, other = inputs(convolution=4), FrameInputs(F, convolution=4).eval()
    assert {"mean", "deviation"} <= set(made.state_dict())
    other.load_state_dict(made.state_dict())
    given = examples([6, 2])
    for one, two in zip(rows(made, given), rows(other, given), strict=True):
        assert (one == two).all()
    assert not [name for name, _ in made.named_parameters() if name in ("mean", "deviation")]  # counted, not learned


def test_frames_stay_unchanged_if_set_and_before_anything_was_measured() -> None:
    given = examples([4], at=5.0)
    made = inputs(normalise=False)
    assert (rows(made, given)[0].numpy() == given[0].frames).all()
    made = FrameInputs(F).eval()
    made.prepare([])
    assert (rows(made, given)[0].numpy() == given[0].frames).all()


# -- companions and padding -------------------------------------------------------------------------------------------

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "convolved": {"convolution": 4},
    "convolved, even window": {"convolution": 4, "window": 2},
    "convolved, wide window": {"convolution": 4, "window": 9, "normalise": False},
}


@pytest.mark.parametrize("kind", KINDS)
@steady
@given(lengths=lengths_of_rows, further=st.integers(0, 5))
def test_a_row_knows_neither_companions_nor_padding(kind: str, lengths: list[int], further: int) -> None:
    made, given = inputs(**KINDS[kind]), examples(lengths, at=5.0, scale=2.0)
    together = rows(made, given)
    batch = made.encode(given)
    noise = np.random.default_rng(1).normal(0, 1e6, (len(given), batch.values.shape[1] + further, F))
    spoiled = noise.astype(np.float32)
    for row, example in zip(spoiled, given, strict=True):
        row[: len(example)] = example.frames
    padded = made(FrameBatch(spoiled, batch.lengths)).values
    for b, (example, row) in enumerate(zip(given, together, strict=True)):
        torch.testing.assert_close(rows(made, [example])[0], row, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(padded[b, : len(example)], row, atol=1e-5, rtol=1e-5)
    backwards = rows(made, given[::-1])[::-1]
    for one, two in zip(backwards, together, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("window", [1, 2, 3, 5])
def test_the_convolution_is_the_one_of_the_textbook(window: int) -> None:
    made = inputs(convolution=4, window=window)
    (example,) = examples([6], at=5.0, scale=2.0)
    values = (example.frames - made.mean.numpy()) / made.deviation.numpy()
    assert made.convolution is not None
    weight, bias = (p.detach().numpy() for p in (made.convolution.weight, made.convolution.bias))
    expected = np.zeros((6, 4))
    for t in range(6):
        for k in range(window):
            source = t + k - (window - 1) // 2
            if 0 <= source < 6:
                expected[t] += weight[:, :, k] @ values[source]
    np.testing.assert_allclose(rows(made, [example])[0].detach().numpy(), np.maximum(expected + bias, 0), atol=1e-5)


def test_every_weight_learns() -> None:
    made = inputs(convolution=4, dropout=0.2, mask_time=2, mask_features=1).train()
    padded = made(made.encode(examples([7, 3], at=5.0, scale=2.0)))
    padded.values[padded.mask()].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


# -- in training alone ------------------------------------------------------------------------------------------------


def test_masks_are_stretches_of_steps_and_bands_of_features() -> None:
    made = FrameInputs(8, normalise=False, mask_time=4, mask_features=3).train()
    lengths = [3, 10, 20] * 100
    ones = [Example.of_frames(np.ones((length, 8))) for length in lengths]
    torch.manual_seed(1)
    masked = rows(made, ones)
    times, bands, places = set(), set(), set()
    for row in masked:
        assert set(row.unique().tolist()) <= {0.0, 1.0}
        gone = [(row == 0).all(1 - axis).nonzero().flatten().tolist() for axis in (0, 1)]  # steps, features
        for found, width in zip(gone, (len(row), 8), strict=True):
            if len(found) < width:  # where all steps are masked all features seem to be
                assert found == list(range(found[0], found[0] + len(found))) if found else True
        if len(gone[0]) < len(row):
            times.add(len(gone[0]))
            bands.add(len(gone[1]))
            places.update(gone[0] if len(row) == 20 else [])
            expected = torch.ones_like(row)
            expected[gone[0]] = 0
            expected[:, gone[1]] = 0
            assert (row == expected).all()
    assert times == {0, 1, 2, 3, 4} and bands == {0, 1, 2, 3}
    assert places == set(range(20))  # anywhere in the row, its ends too
    torch.manual_seed(1)
    assert all((one == two).all() for one, two in zip(masked, rows(made, ones), strict=True))  # by torch's own seed
    assert all((row == 1).all() for row in rows(made.eval(), ones))


def test_dropout_drops_features_of_whole_rows_in_training_alone() -> None:
    made = FrameInputs(50, normalise=False, dropout=0.5).train()
    ones = [Example.of_frames(np.ones((6, 50)))]
    torch.manual_seed(0)
    (row,) = rows(made, ones)
    assert set(row.unique().tolist()) == {0.0, 2.0} and (row == row[0]).all()
    assert (rows(made.eval(), ones)[0] == 1).all()


@pytest.mark.parametrize(
    ("samples", "expected_message"),
    [
        (np.array([100, -100] * 500, np.int16), "divide whole numbers by their range"),
        (np.array([0.1, np.nan] * 500), "expected finite samples"),
        (np.array([0.1, np.inf] * 500), "expected finite samples"),
        (np.zeros((10, 2)), "found an array of 2 dimensions"),
    ],
)
def test_values_that_are_no_samples_are_refused(samples: np.ndarray, expected_message: str) -> None:
    with pytest.raises(DataError, match=expected_message):
        extract_frames(samples)
