"""CRF, a drop-in for torchcrf.CRF: the same answers and errors where that layer is right, and right where it is not."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from collections.abc import Callable

import numpy as np
import oracles
import pytest
import torch
import torchcrf
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Chain
from torch import Tensor

from structseq.crf import CRF

REDUCTIONS = ("none", "sum", "mean", "token_mean")
MASK_TYPES = (torch.bool, torch.uint8, torch.int32, torch.int64, torch.float32, torch.float64, torch.float16)
layouts = pytest.mark.parametrize("batch_first", [False, True], ids=["steps first", "batch first"])


def pair(tags: int, batch_first: bool = True, dtype: torch.dtype = torch.float32) -> tuple[CRF, torchcrf.CRF]:
    """Ours and theirs with the same weights, drawn wide enough for mistakes to show."""
    torch.manual_seed(tags)
    theirs = torchcrf.CRF(tags, batch_first=batch_first).to(dtype)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    ours = CRF(tags, batch_first=batch_first).to(dtype)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def data(rows: int, steps: int, tags: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Emissions (B, T, K), tags (B, T) and a prefix mask, every row with one step at least."""
    generator = torch.Generator().manual_seed(seed)
    emissions = torch.randn(rows, steps, tags, generator=generator) * 2
    gold = torch.randint(tags, (rows, steps), generator=generator)
    lengths = torch.randint(1, steps + 1, (rows,), generator=generator)
    lengths[0] = steps
    return emissions, gold, torch.arange(steps) < lengths.unsqueeze(1)


def laid(batch_first: bool, *tensors: Tensor) -> list[Tensor]:
    return [tensor if batch_first else tensor.transpose(0, 1).contiguous() for tensor in tensors]


def weights_of(crf: torchcrf.CRF) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    parts = (crf.transitions, crf.start_transitions, crf.end_transitions)
    return tuple(part.detach().double().numpy() for part in parts)  # type: ignore[return-value]


def compacted(crf: torchcrf.CRF, emissions: Tensor, mask: Tensor) -> list[Chain]:
    """What a mask means: masked steps are not in the sequence."""
    rows = zip(emissions.detach().double().numpy(), mask.bool().numpy(), strict=True)
    return [Chain(scores[real], *weights_of(crf)) for scores, real in rows]


# -- where torchcrf is right, the same --------------------------------------------------------------------------------


@layouts
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("tags", [1, 2, 5])
def test_likelihood_and_gradients(tags: int, masked: bool, reduction: str, batch_first: bool) -> None:
    ours, theirs = pair(tags, batch_first)
    emissions, gold, mask = laid(batch_first, *data(4, 6, tags))
    everything = torch.ones_like(mask)  # torchcrf's own default mask is deprecated by torch
    found: list[list[Tensor]] = []
    for crf, whole in ((ours, None), (theirs, everything)):
        leaf = emissions.clone().requires_grad_()
        answer = crf(leaf, gold, mask=mask if masked else whole, reduction=reduction)
        weights = torch.arange(1.0, 1.0 + answer.numel()).reshape(answer.shape)
        gradients = torch.autograd.grad((answer * weights).sum(), [leaf, *crf.parameters()])
        found.append([answer.detach(), *gradients])
    for one, other in zip(*found, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@layouts
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("tags", [1, 2, 5])
def test_decoding(tags: int, masked: bool, batch_first: bool) -> None:
    ours, theirs = pair(tags, batch_first)
    emissions, _, mask = laid(batch_first, *data(5, 7, tags, seed=1))
    everything = torch.ones_like(mask)
    assert ours.decode(emissions, mask if masked else None) == theirs.decode(emissions, mask if masked else everything)


def test_double_precision_agrees_to_the_last_digits() -> None:
    ours, theirs = pair(4, dtype=torch.float64)
    emissions, gold, mask = data(4, 6, 4)
    torch.testing.assert_close(
        ours(emissions.double(), gold, mask), theirs(emissions.double(), gold, mask), rtol=1e-12, atol=1e-12
    )


def test_double_precision_is_differentiable_twice() -> None:
    ours, _ = pair(2, dtype=torch.float64)
    emissions, gold, mask = data(2, 3, 2)
    leaf = emissions.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda scores: ours(scores, gold, mask), leaf)
    assert torch.autograd.gradgradcheck(lambda scores: ours(scores, gold, mask), leaf)


@given(seed=st.integers(0, 2**20), rows=st.integers(1, 4), steps=st.integers(1, 6), tags=st.integers(1, 6))
@settings(max_examples=40)
def test_any_shape(seed: int, rows: int, steps: int, tags: int) -> None:
    ours, theirs = pair(tags)
    emissions, gold, mask = data(rows, steps, tags, seed)
    torch.testing.assert_close(
        ours(emissions, gold, mask, "none"), theirs(emissions, gold, mask, "none"), rtol=1e-4, atol=1e-4
    )
    assert ours.decode(emissions, mask) == theirs.decode(emissions, mask)


def test_parameters_are_theirs_by_name_shape_and_first_draw() -> None:
    torch.manual_seed(0)
    ours = CRF(5)
    torch.manual_seed(0)
    theirs = torchcrf.CRF(5)
    assert isinstance(ours, torchcrf.CRF)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)
    assert repr(ours) == repr(theirs)
    assert ours.batch_first is theirs.batch_first is False


def test_state_dicts_load_both_ways() -> None:
    ours, theirs = pair(3)
    back = torchcrf.CRF(3, batch_first=True)
    back.load_state_dict(ours.state_dict(), strict=True)
    emissions, gold, mask = data(3, 4, 3)
    torch.testing.assert_close(back(emissions, gold, mask), theirs(emissions, gold, mask))


def test_it_is_an_ordinary_module() -> None:
    ours, _ = pair(3)
    emissions, gold, mask = data(3, 4, 3)
    expected = ours(emissions, gold, mask)
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        torch.testing.assert_close(twin(emissions, gold, mask), expected)
    learner = torch.optim.SGD(ours.parameters(), lr=0.1)
    (-ours(emissions, gold, mask)).backward()
    learner.step()
    assert ours(emissions, gold, mask) > expected


MISTAKES: dict[str, Callable[[torchcrf.CRF], object]] = {
    "emissions of two dimensions": lambda crf: crf(torch.zeros(2, 3), torch.zeros(2, 3).long()),
    "emissions of another width": lambda crf: crf(torch.zeros(2, 3, 4), torch.zeros(2, 3).long()),
    "tags of another length": lambda crf: crf(torch.zeros(2, 3, 5), torch.zeros(2, 4).long()),
    "tags of another batch": lambda crf: crf(torch.zeros(2, 3, 5), torch.zeros(1, 3).long()),
    "mask of another shape": lambda crf: crf(
        torch.zeros(2, 3, 5), torch.zeros(2, 3).long(), mask=torch.ones(3, 3, dtype=torch.bool)
    ),
    "mask with the axes exchanged": lambda crf: crf(
        torch.zeros(2, 3, 5), torch.zeros(2, 3).long(), mask=torch.ones(3, 2, dtype=torch.bool)
    ),
    "unknown reduction": lambda crf: crf(torch.zeros(2, 3, 5), torch.zeros(2, 3).long(), reduction="average"),
    "decode: emissions of two dimensions": lambda crf: crf.decode(torch.zeros(2, 3)),
    "decode: emissions of another width": lambda crf: crf.decode(torch.zeros(2, 3, 4)),
    "decode: mask of another shape": lambda crf: crf.decode(torch.zeros(2, 3, 5), mask=torch.ones(2, 2).bool()),
    "no tags": lambda crf: type(crf)(0),
    "fewer than no tags": lambda crf: type(crf)(-3),
}


@layouts
@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_same_words_for_the_same_mistake(mistake: str, batch_first: bool) -> None:
    said = []
    for kind in (CRF, torchcrf.CRF):
        with pytest.raises(ValueError) as caught:
            MISTAKES[mistake](kind(5, batch_first=batch_first))
        said.append(str(caught.value))
    assert said[0] == said[1]


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_tags_of_every_integer_type(dtype: torch.dtype) -> None:
    ours, theirs = pair(3)
    emissions, gold, mask = data(3, 4, 3)
    torch.testing.assert_close(ours(emissions, gold.to(dtype), mask), theirs(emissions, gold.to(dtype), mask))


@pytest.mark.parametrize("wrong", [3, -1, -100])
def test_a_tag_that_is_none_is_an_error_where_it_counts(wrong: int) -> None:
    ours, _ = pair(3)
    emissions, gold, mask = data(3, 4, 3)
    gold[0, 2] = wrong
    with pytest.raises((IndexError, RuntimeError)):
        ours(emissions, gold, mask)


# -- where it is not, the definition ----------------------------------------------------------------------------------

MASKS = {
    "holes": [[1, 0, 1, 1, 0], [1, 1, 0, 0, 1], [1, 1, 1, 1, 1]],
    "left padding": [[0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]],
    "left padding and holes": [[0, 1, 0, 1, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 1]],
    "empty rows": [[0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]],
    "nothing at all": [[0] * 5] * 3,
    "one step each": [[0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0]],
}
masks = pytest.mark.parametrize("name", MASKS)


@layouts
@masks
def test_masked_steps_are_absent(name: str, batch_first: bool) -> None:
    ours, _ = pair(3, batch_first)
    emissions, gold, _ = data(3, 5, 3, seed=4)
    mask = torch.tensor(MASKS[name], dtype=torch.bool)
    rows = compacted(ours, emissions, mask)
    expected = [
        oracles.log_prob(row, tuple(tags[real].tolist())) for row, tags, real in zip(rows, gold, mask, strict=True)
    ]
    leaf = emissions.clone().requires_grad_()
    scores, tags, real = laid(batch_first, leaf, gold, mask)
    likelihood = ours(scores, tags, real, reduction="none")
    np.testing.assert_allclose(likelihood.detach(), expected, atol=1e-5)
    assert (likelihood <= 0).all()
    assert ours.decode(scores, real) == [list(oracles.best(row)[0]) for row in rows]
    counts = [oracles.gradients(row) for row in rows]
    found = torch.autograd.grad(
        likelihood.sum(), [leaf, ours.transitions, ours.start_transitions, ours.end_transitions]
    )
    for b, row in enumerate(counts):
        real_gold = np.eye(3)[gold[b, mask[b]].numpy()]
        np.testing.assert_allclose(found[0][b, mask[b]], real_gold - row.scores, atol=1e-5)
        assert not found[0][b, ~mask[b]].any()
    moves, first, last = np.zeros((3, 3)), np.zeros(3), np.zeros(3)
    for b, row in enumerate(counts):
        path = gold[b, mask[b]].tolist()
        for before, after in itertools.pairwise(path):
            moves[before, after] += 1
        if path:
            first[path[0]] += 1
            last[path[-1]] += 1
        moves, first, last = moves - row.transitions, first - row.start, last - row.end
    for gradient, expected_counts in zip(found[1:], (moves, first, last), strict=True):
        np.testing.assert_allclose(gradient, expected_counts, atol=1e-5)


@masks
@pytest.mark.parametrize("dtype", MASK_TYPES, ids=str)
def test_every_type_of_mask_means_the_same(name: str, dtype: torch.dtype) -> None:
    ours, _ = pair(3)
    emissions, gold, _ = data(3, 5, 3)
    mask = torch.tensor(MASKS[name])
    truth = mask.bool()
    assert torch.equal(ours(emissions, gold, mask.to(dtype), "none"), ours(emissions, gold, truth, "none"))
    assert ours.decode(emissions, mask.to(dtype)) == ours.decode(emissions, truth)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions_count_unmasked_steps(reduction: str) -> None:
    ours, _ = pair(3)
    emissions, gold, _ = data(3, 5, 3)
    mask = torch.tensor(MASKS["left padding and holes"]).bool()
    each = ours(emissions, gold, mask, "none")
    expected = {"none": each, "sum": each.sum(), "mean": each.sum() / 3, "token_mean": each.sum() / 5}[reduction]
    torch.testing.assert_close(ours(emissions, gold, mask, reduction), expected)


@layouts
@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e30])
@masks
def test_what_lies_under_the_mask_never_leaks(name: str, garbage: float, batch_first: bool) -> None:
    ours, _ = pair(3, batch_first)
    emissions, gold, _ = data(3, 5, 3)
    mask = torch.tensor(MASKS[name]).bool()
    dirty_scores = emissions.masked_fill(~mask.unsqueeze(-1), garbage)
    dirty_tags = gold.masked_fill(~mask, -100)
    found = []
    for scores, tags in ((emissions, gold), (dirty_scores, dirty_tags)):
        leaf = scores.clone().requires_grad_()
        shown, answers, real = laid(batch_first, leaf, tags, mask)
        likelihood = ours(shown, answers, real, "none")
        found.append([likelihood.detach(), *torch.autograd.grad(likelihood.sum(), [leaf, *ours.parameters()])])
        found[-1].append(torch.tensor([tag for path in ours.decode(shown, real) for tag in path]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@layouts
def test_tags_beyond_the_mask_may_be_any_number(batch_first: bool) -> None:
    ours, theirs = pair(4, batch_first)
    emissions, gold, mask = data(3, 5, 4)
    expected = theirs(*laid(batch_first, emissions, gold, mask))
    for garbage in (-100, 4, 10**9):
        dirty = gold.masked_fill(~mask, garbage)
        torch.testing.assert_close(ours(*laid(batch_first, emissions, dirty, mask)), expected)


@layouts
@pytest.mark.parametrize(("rows", "steps"), [(0, 3), (2, 0), (0, 0)])
def test_nothing_to_tag(rows: int, steps: int, batch_first: bool) -> None:
    ours, _ = pair(3, batch_first)
    mask = torch.ones(rows, steps, dtype=torch.bool)
    emissions, gold, mask = laid(batch_first, torch.zeros(rows, steps, 3), torch.zeros(rows, steps).long(), mask)
    for given_mask in (None, mask):
        assert ours(emissions, gold, given_mask, "none").tolist() == [0.0] * rows
        assert ours(emissions, gold, given_mask).tolist() == 0.0
        assert ours.decode(emissions, given_mask) == [[]] * rows


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_layer_computes_in_float32(dtype: torch.dtype) -> None:
    """torchcrf in bfloat16 gets half of the tags and hundreds of nats wrong at this length."""
    half, _ = pair(9, dtype=dtype)
    exact = CRF(9, batch_first=True).double()
    exact.load_state_dict(half.state_dict())
    emissions = torch.randn(2, 512, 9, generator=torch.Generator().manual_seed(0)).to(dtype)
    gold = torch.randint(9, (2, 512), generator=torch.Generator().manual_seed(1))
    found = half(emissions, gold, reduction="none")
    torch.testing.assert_close(found.double(), exact(emissions.double(), gold, reduction="none"), rtol=1e-5, atol=1e-3)
    agree = np.equal(half.decode(emissions), exact.decode(emissions.double()))
    assert agree.mean() > 0.995
    found.sum().backward()
    assert half.transitions.grad is not None and half.transitions.grad.dtype == dtype


def test_minus_infinity_forbids_without_poisoning_gradients() -> None:
    ours, _ = pair(3)
    with torch.no_grad():
        ours.transitions[:, 2] = -math.inf
        ours.start_transitions[2] = -math.inf
    emissions, gold, mask = data(3, 5, 3)
    leaf = emissions.requires_grad_()
    ours(leaf, gold.clamp(max=1), mask).backward()
    for part in (leaf.grad, *(parameter.grad for parameter in ours.parameters())):
        assert part is not None and torch.isfinite(part).all()
    assert all(2 not in path for path in ours.decode(emissions, mask))


def test_the_callers_tensors_stay_untouched() -> None:
    ours, _ = pair(3)
    emissions, gold, _ = data(1, 5, 3)  # a batch of one, where a reshape can be a view
    for batch_first in (True, False):
        ours.batch_first = batch_first
        mask = torch.tensor([[0, 1, 0, 1, 1]]).bool()
        given_tensors = laid(batch_first, emissions.clone(), gold.masked_fill(~mask, -100), mask)
        before = [tensor.clone() for tensor in given_tensors]
        ours(*given_tensors)
        ours.decode(given_tensors[0], given_tensors[2])
        for now, then in zip(given_tensors, before, strict=True):
            assert torch.equal(now, then) and not now.requires_grad


def test_decoding_tracks_no_gradients_and_works_in_every_mode() -> None:
    ours, _ = pair(3)
    emissions, _, mask = data(3, 5, 3)
    expected = ours.decode(emissions, mask)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert ours.decode(emissions, mask) == expected
            assert ours.decode(emissions.clone(), mask.clone()) == expected
    assert ours.decode(emissions.requires_grad_(), mask) == expected


def test_the_chain_under_legal_transitions() -> None:
    ours, _ = pair(3)
    emissions, _, _ = data(2, 4, 3)
    legal = torch.tensor([1, 1, 0]).bool(), torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 1]]).bool(), torch.ones(3).bool()
    lengths = torch.tensor([4, 2])
    chain = ours.chain(emissions, lengths, legal)
    moves, start, end = weights_of(ours)
    start = np.where(legal[0], start, -np.inf)
    moves = np.where(legal[1], moves, -np.inf)
    rows = [Chain(emissions[b, : lengths[b]].double().numpy(), moves, start, end) for b in range(2)]
    np.testing.assert_allclose(chain.log_partition().detach(), [oracles.log_partition(row) for row in rows], rtol=1e-5)
    assert ours.transitions.isfinite().all(), "the parameters themselves stay as they are"
    chain.log_partition().sum().backward()
    assert ours.transitions.grad is not None and float(ours.transitions.grad[0, 2]) == 0.0
