"""CRF, a drop-in for torchcrf.CRF: the same answers and errors where that layer is right, and right where it is not."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import oracles
import pytest
import torch
import torchcrf
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Chain
from torch import Tensor

from structseq import compiling
from structseq.crf import CRF
from structseq.spans import scheme_of

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
def test_an_impossible_tag_is_an_error_where_it_counts(wrong: int) -> None:
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
    transitions, first, last = np.zeros((3, 3)), np.zeros(3), np.zeros(3)
    for b, row in enumerate(counts):
        path = gold[b, mask[b]].tolist()
        for before, after in itertools.pairwise(path):
            transitions[before, after] += 1
        if path:
            first[path[0]] += 1
            last[path[-1]] += 1
        transitions, first, last = transitions - row.transitions, first - row.start, last - row.end
    for gradient, expected_counts in zip(found[1:], (transitions, first, last), strict=True):
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
    transitions, start, end = weights_of(ours)
    start = np.where(legal[0], start, -np.inf)
    transitions = np.where(legal[1], transitions, -np.inf)
    rows = [Chain(emissions[b, : lengths[b]].double().numpy(), transitions, start, end) for b in range(2)]
    np.testing.assert_allclose(chain.log_partition().detach(), [oracles.log_partition(row) for row in rows], rtol=1e-5)
    assert ours.transitions.isfinite().all(), "the parameters themselves stay as they are"
    chain.log_partition().sum().backward()
    assert ours.transitions.grad is not None and float(ours.transitions.grad[0, 2]) == 0.0


# -- every verb, by enumeration, under every kind of mask and restriction ---------------------------------------------

LABELS = ("O", "B-x", "I-x")
LEGAL = scheme_of("BIO").legal(LABELS)
RESTRICTIONS = ("free", "constraints", "allowed", "both")
restrictions = pytest.mark.parametrize("restriction", RESTRICTIONS)


class Case(NamedTuple):
    """A layer with its arguments, in its own layout and with garbage under the mask, and what they mean."""

    crf: CRF
    emissions: Tensor
    gold: Tensor
    mask: Tensor
    allowed: Tensor | None
    rows: list[Chain]  # the unmasked steps, -inf where something is forbidden
    steps: list[list[int]]  # where they stand

    def rows_first(self, found: Tensor) -> Tensor:
        return found if self.crf.batch_first else found.transpose(0, 1)


def case(name: str, restriction: str = "free", batch_first: bool = True) -> Case:
    constrained, limited = restriction in ("constraints", "both"), restriction in ("allowed", "both")
    crf = CRF(3, batch_first, constraints=LEGAL if constrained else None).double()
    crf.load_state_dict(pair(3)[0].state_dict())
    mask = torch.tensor(MASKS[name]).bool()
    emissions, gold, _ = data(*mask.shape, 3, seed=6)
    allowed = torch.rand(emissions.shape, generator=torch.Generator().manual_seed(7)) < 0.6
    allowed[..., 0] = True  # O alone is always a legal sequence
    transitions, start, end = weights_of(crf)
    if constrained:
        start, end = np.where(LEGAL.start, start, -np.inf), np.where(LEGAL.end, end, -np.inf)
        transitions = np.where(LEGAL.transitions, transitions, -np.inf)
    scores = np.where(allowed, emissions.double(), -np.inf) if limited else emissions.double().numpy()
    rows = [Chain(row[real], transitions, start, end) for row, real in zip(scores, mask.numpy(), strict=True)]
    shown = emissions.double().masked_fill(~mask.unsqueeze(-1), math.nan)
    given = laid(batch_first, shown, gold.masked_fill(~mask, -100), mask, allowed & mask.unsqueeze(-1))
    steps = [np.flatnonzero(real).tolist() for real in mask.numpy()]
    return Case(crf, *given[:3], given[3] if limited else None, rows, steps)


def possible(row: Chain) -> list[tuple[tuple[int, ...], float]]:
    return [(path, chance) for path, chance in oracles.probabilities(row) if chance > 0]


@layouts
@restrictions
@masks
def test_log_probabilities_and_entropies_are_the_enumerated(name: str, restriction: str, batch_first: bool) -> None:
    crf, emissions, gold, mask, allowed, rows, steps = given = case(name, restriction, batch_first)
    tags = given.rows_first(gold)
    expected = [oracles.log_prob(row, tuple(tags[b, steps[b]].tolist())) for b, row in enumerate(rows)]
    found = crf.log_prob(emissions, gold, mask, allowed=allowed)
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-9, atol=1e-9)
    entropies = [-sum(chance * math.log(chance) for _, chance in possible(row)) for row in rows]
    found = crf.entropy(emissions, mask, allowed=allowed)
    np.testing.assert_allclose(found.detach(), entropies, rtol=1e-9, atol=1e-9)


@layouts
@restrictions
@masks
def test_marginals_stand_at_the_callers_steps(name: str, restriction: str, batch_first: bool) -> None:
    crf, emissions, _, mask, allowed, rows, steps = given = case(name, restriction, batch_first)
    shape = given.rows_first(emissions).shape
    tags, edges = np.zeros(shape), np.zeros((shape[0], shape[1] - 1, 3, 3))
    for b, row in enumerate(rows):
        for path, chance in possible(row):
            for n, tag in enumerate(path):
                tags[b, steps[b][n], tag] += chance
                if n > 0:
                    edges[b, steps[b][n] - 1, path[n - 1], tag] += chance
    found = given.rows_first(crf.marginals(emissions, mask, allowed=allowed))
    np.testing.assert_allclose(found, tags, rtol=1e-9, atol=1e-9)
    assert not found[torch.from_numpy(tags == 0)].any(), "what cannot be has probability exactly 0"
    found = given.rows_first(crf.marginals(emissions, mask, allowed=allowed, edges=True))
    np.testing.assert_allclose(found, edges, rtol=1e-9, atol=1e-9)
    assert not found[torch.from_numpy(edges == 0)].any()


@layouts
@restrictions
@masks
def test_decoding_by_either_method(name: str, restriction: str, batch_first: bool) -> None:
    crf, emissions, _, mask, allowed, rows, _ = case(name, restriction, batch_first)
    assert crf.decode(emissions, mask, allowed=allowed) == [list(oracles.best(row)[0]) for row in rows]
    for row, path in zip(rows, crf.decode(emissions, mask, allowed=allowed, method="posterior"), strict=True):
        shares = oracles.marginals(row)
        right = {other: sum(shares[t, tag] for t, tag in enumerate(other)) for other, _ in possible(row)}
        assert right[tuple(path)] == pytest.approx(max(right.values()), abs=1e-9)


@layouts
@restrictions
@masks
def test_ranked_answers_are_the_highest(name: str, restriction: str, batch_first: bool) -> None:
    crf, emissions, _, mask, allowed, rows, steps = given = case(name, restriction, batch_first)
    found = crf.ranked(emissions, 5, mask, allowed=allowed)
    paths = found.path if batch_first else found.path.permute(1, 2, 0)
    assert paths.shape == (len(rows), 5, given.rows_first(emissions).shape[1])
    assert not paths.masked_select(~given.rows_first(mask).unsqueeze(1)).any()
    for b, row in enumerate(rows):
        scored = [(score, path) for path, score in oracles.scored_paths(row) if score > -math.inf]
        scores = sorted((score for score, _ in scored), reverse=True)[:5]
        np.testing.assert_allclose(found.score[b], scores + [-math.inf] * (5 - len(scores)), rtol=1e-9, atol=1e-9)
        answers = [tuple(paths[b, r, steps[b]].tolist()) for r in range(len(scores))]
        assert len(set(answers)) == len(answers)
        for answer, score in zip(answers, scores, strict=True):
            assert oracles.path_score(row, answer) == pytest.approx(score, abs=1e-9)


@layouts
@restrictions
@masks
def test_samples_follow_the_distribution(name: str, restriction: str, batch_first: bool) -> None:
    crf, emissions, _, mask, allowed, rows, steps = given = case(name, restriction, batch_first)
    n, generator = 2000, torch.Generator().manual_seed(1)
    found = crf.sample(emissions, mask, n=n, generator=generator, allowed=allowed)
    paths = found if batch_first else found.transpose(1, 2)
    assert paths.shape == (n, *given.rows_first(mask).shape) and paths.dtype == torch.int64
    assert not paths.masked_select(~given.rows_first(mask)).any()
    for b, row in enumerate(rows):
        counts = Counter(map(tuple, paths[:, b, steps[b]].tolist()))
        chances = dict(possible(row))
        assert set(counts) <= set(chances), "what is forbidden is never drawn"
        often = {path: chance for path, chance in chances.items() if chance * n >= 5}
        seen = [counts[path] for path in often]
        expected = [chance * n for chance in often.values()]
        rest = n - sum(expected)
        if rest >= 5:
            seen.append(n - sum(seen))
            expected.append(rest)
        statistic = sum((o - e) ** 2 / e for o, e in zip(seen, expected, strict=True))
        freedom = max(len(seen) - 1, 0)
        assert statistic <= freedom + 4.5 * math.sqrt(2 * freedom) + 1e-3
    again = crf.sample(emissions, mask, n=n, generator=generator.manual_seed(1), allowed=allowed)
    assert torch.equal(found, again)


@restrictions
@masks
def test_without_compiled_kernels_the_same(name: str, restriction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    crf, emissions, gold, mask, allowed, _, _ = case(name, restriction)

    def answers() -> list[Tensor]:
        found = [crf.marginals(emissions, mask, allowed=allowed), crf.entropy(emissions, mask, allowed=allowed)]
        found.append(crf.log_prob(emissions, gold, mask, allowed=allowed))
        found.append(crf.ranked(emissions, 3, mask, allowed=allowed).path)
        paths = crf.decode(emissions, mask, allowed=allowed)
        return [*found, torch.tensor([tag for path in paths for tag in path])]

    fast = answers()
    monkeypatch.setattr(compiling, "numba_available", lambda: False)
    for one, other in zip(fast, answers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("restriction", ["free", "both"])
def test_gradients_of_entropy_and_probability(restriction: str) -> None:
    crf, emissions, _, mask, allowed, _, _ = case("left padding and holes", restriction)
    leaf = torch.nan_to_num(emissions).requires_grad_()
    gold = torch.zeros(mask.shape, dtype=torch.int64)
    parts = (leaf, *crf.parameters())

    def entropy(*_: Tensor) -> Tensor:
        return crf.entropy(leaf, mask, allowed=allowed)

    def likelihood(*_: Tensor) -> Tensor:
        return crf(leaf, gold, mask, "none", allowed=allowed)

    assert torch.autograd.gradcheck(entropy, parts)
    assert torch.autograd.gradcheck(likelihood, parts)


# -- constraints ------------------------------------------------------------------------------------------------------


def test_constraints_are_no_part_of_a_checkpoint() -> None:
    ours = CRF(3, constraints=LEGAL)
    theirs = torchcrf.CRF(3)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(torchcrf.CRF(3).state_dict(), strict=True)
    CRF(3).load_state_dict(ours.state_dict(), strict=True)
    assert ours.constraints is not None
    for found, expected in zip(ours.constraints, (LEGAL.start, LEGAL.transitions, LEGAL.end), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["scheme", "tensors", "arrays", "lists"])
def test_constraints_of_every_kind(kind: str) -> None:
    triple = (LEGAL.start, LEGAL.transitions, LEGAL.end)
    given: Any = {
        "scheme": LEGAL,
        "tensors": tuple(torch.from_numpy(part) for part in triple),
        "arrays": triple,
        "lists": [part.tolist() for part in triple],
    }[kind]
    crf = CRF(3, True, constraints=given)
    assert repr(crf) == "CRF(num_tags=3, constraints=8 of 9 transitions)"
    assert crf.log_prob(torch.zeros(1, 2, 3), torch.tensor([[0, 2]])).tolist() == [-math.inf]
    assert crf.log_prob(torch.zeros(1, 2, 3), torch.tensor([[1, 2]])).isfinite().all()


def test_the_layer_keeps_its_constraints() -> None:
    start = torch.ones(3).bool()
    crf = CRF(3, True, constraints=(start, torch.ones(3, 3).bool(), torch.ones(3).bool()))
    start[:] = False
    assert crf.log_prob(torch.zeros(1, 1, 3), torch.tensor([[2]])).isfinite().all()


def test_a_constrained_layer_is_an_ordinary_module() -> None:
    crf, emissions, gold, mask, _, _, _ = case("holes", "constraints")
    expected = crf.log_prob(emissions, gold, mask)
    for twin in (copy.deepcopy(crf), pickle.loads(pickle.dumps(crf)), crf.to("cpu")):
        assert torch.equal(twin.log_prob(emissions, gold, mask), expected)
        assert repr(twin) == repr(crf)
    for twin in (copy.deepcopy(crf).float(), copy.deepcopy(crf).type(torch.float32), copy.deepcopy(crf).bfloat16()):
        found = twin.log_prob(emissions, gold, mask)
        np.testing.assert_allclose(found.detach().exp(), expected.detach().exp(), atol=0.02)
        assert torch.equal(found == -math.inf, expected == -math.inf)
    assert len(list(crf.parameters())) == 3


def test_what_is_forbidden_learns_nothing() -> None:
    crf = CRF(3, True, constraints=LEGAL)
    emissions = torch.randn(2, 4, 3, requires_grad=True)
    allowed = torch.ones(2, 4, 3).bool()
    allowed[0, 1, 1] = False
    crf(emissions, torch.tensor([[0, 0, 1, 2], [1, 2, 0, 0]]), allowed=allowed).backward()
    assert emissions.grad is not None and crf.transitions.grad is not None and crf.start_transitions.grad is not None
    assert float(emissions.grad[0, 1, 1]) == float(crf.transitions.grad[0, 2]) == 0.0
    assert float(crf.start_transitions.grad[2]) == 0.0
    for part in (emissions.grad, *(parameter.grad for parameter in crf.parameters())):
        assert part is not None and part.isfinite().all()


def test_forbidden_and_favoured() -> None:
    """200 nats in favour of what is not legal change nothing."""
    crf = CRF(3, True, constraints=LEGAL)
    emissions = torch.zeros(1, 6, 3)
    emissions[:, ::2, 2] = 200.0
    likelihood = crf.log_prob(emissions, torch.tensor([[0] * 6]))
    assert likelihood.isfinite().all()
    assert all(path[0] != 2 for path in crf.decode(emissions))
    assert (0, 2) not in itertools.pairwise(crf.decode(emissions)[0])


def test_the_chain_holds_the_layers_own_constraints_too() -> None:
    crf = CRF(3, True, constraints=LEGAL)
    lengths = torch.tensor([3])
    free = torch.ones(3).bool()
    no_move_to_1 = torch.tensor([[True, False, True]] * 3)
    chain = crf.chain(torch.zeros(1, 3, 3), lengths, (free, no_move_to_1, free))
    for path, possible_here in (([0, 0, 0], True), ([1, 2, 2], True), ([0, 2, 2], False), ([0, 1, 2], False)):
        assert bool(chain.log_prob(torch.tensor([path])).isfinite()) is possible_here


# -- starting from a corpus -------------------------------------------------------------------------------------------


def bigrams(sequences: list[list[int]], smoothing: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log P(first), log P(next | tag), log P(nothing | tag) of two tags, counted the long way."""
    first = np.array([smoothing + sum(row[0] == k for row in sequences) for k in range(2)])
    after = np.full((2, 3), smoothing)  # the third: nothing
    for row in sequences:
        for before, tag in itertools.pairwise([*row, 2]):
            after[before, tag] += 1
    after = np.log(after / after.sum(1, keepdims=True))
    return np.log(first / first.sum()), after[:, :2], after[:, 2]


@pytest.mark.parametrize("smoothing", [1.0, 0.5, 1e-3])
def test_parameters_from_counts(smoothing: float) -> None:
    sequences = [[0, 0, 1], [0], [1, 1, 0, 0]]
    crf = CRF(2).double()
    assert crf.init_from_tags([*sequences, []], smoothing=smoothing) is crf
    start, transitions, end = bigrams(sequences, smoothing)
    np.testing.assert_allclose(crf.start_transitions.detach(), start, rtol=1e-12)
    np.testing.assert_allclose(crf.transitions.detach(), transitions, rtol=1e-12)
    np.testing.assert_allclose(crf.end_transitions.detach(), end, rtol=1e-12)
    assert all(parameter.requires_grad and parameter.dtype == torch.float64 for parameter in crf.parameters())


def test_counts_of_every_kind_of_row() -> None:
    rows = [[0, 1, 1], [1]]
    expected = CRF(2).init_from_tags(rows).state_dict()
    for same in (
        iter(rows),
        [torch.tensor(row) for row in rows],
        [np.array(row, np.uint8) for row in rows],
        [tuple(row) for row in rows],
    ):
        for name, value in CRF(2).init_from_tags(same).state_dict().items():
            assert torch.equal(value, expected[name])


def test_constraints_take_no_share_of_the_counts() -> None:
    crf = CRF(3, True, constraints=LEGAL).double().init_from_tags([[0, 1, 2], [1]])
    assert all(parameter.isfinite().all() for parameter in crf.parameters())
    legal = torch.from_numpy(LEGAL.transitions)
    shares = crf.transitions.exp().masked_fill(~legal, 0).sum(1) + crf.end_transitions.exp()
    np.testing.assert_allclose(shares.detach(), 1.0)
    np.testing.assert_allclose(crf.start_transitions.exp()[:2].sum().detach(), 1.0)


CORPORA: dict[str, tuple[Any, dict[str, Any], str]] = {
    "nothing": ([], {}, "sequences: expected at least one sequence of tag numbers that is not empty, found none"),
    "only empty": ([[], []], {}, "sequences: expected at least one sequence"),
    "names": ([["O", "B-x"]], {}, "expected rows of tag numbers, found ['O', 'B-x'] as sequence 0; give one list"),
    "numbers with a point": ([[0, 1], [0.5]], {}, "expected rows of tag numbers, found [0.5] as sequence 1"),
    "one long row": ([0, 1, 2], {}, "expected rows of tag numbers, found 0 as sequence 0"),
    "too high": ([[0], [0, 3]], {}, "expected tags from 0 to 2, found 3 in sequence 1 at step 1"),
    "negative": ([[-100, 0]], {}, "expected tags from 0 to 2, found -100 in sequence 0 at step 0"),
    "no smoothing": ([[0]], {"smoothing": 0.0}, "smoothing: expected a number above 0, found 0.0"),
    "no number": ([[0]], {"smoothing": math.nan}, "smoothing: expected a number above 0, found nan"),
    "illegal": ([[0], [0, 2]], {}, "found in sequence 1 at step 1 tag 2 after tag 0 of step 0, which the constraints"),
}


@pytest.mark.parametrize("mistake", CORPORA)
def test_a_corpus_that_cannot_be_counted(mistake: str) -> None:
    sequences, options, words = CORPORA[mistake]
    crf = CRF(3, constraints=LEGAL)
    before = copy.deepcopy(crf.state_dict())
    with pytest.raises(ValueError, match=re.escape(words)):
        crf.init_from_tags(sequences, **options)
    assert all(torch.equal(value, before[name]) for name, value in crf.state_dict().items())


# -- one sentence for a bad call --------------------------------------------------------------------------------------

ILLEGAL = {
    "at the beginning": ([2, 0, 0], [1, 1, 1], "in row 1 at step 0 tag 2 at the beginning, which the constraints"),
    "behind padding": ([1, 2, 2], [0, 1, 1], "in row 1 at step 1 tag 2 at the beginning, which the constraints"),
    "a move": ([0, 0, 2], [1, 1, 1], "in row 1 at step 2 tag 2 after tag 0 of step 1, which the constraints"),
    "across a hole": ([0, 1, 2], [1, 0, 1], "in row 1 at step 2 tag 2 after tag 0 of step 0, which the constraints"),
    "at the end": ([0, 1, 1], [1, 1, 0], "in row 1 at step 1 tag 1 at the end, which the constraints forbid"),
    "not allowed": ([0, 0, 0], [1, 0, 1], "in row 1 at step 2 tag 0, which is not among those allowed there"),
}


@layouts
@pytest.mark.parametrize("fault", ILLEGAL)
def test_an_illegal_gold_path_is_named(fault: str, batch_first: bool) -> None:
    path, real, words = ILLEGAL[fault]
    end = np.array([True, False, True])
    crf = CRF(3, batch_first, constraints=(LEGAL.start, LEGAL.transitions, end))
    gold, mask = torch.tensor([[0, 0, 0], path]), torch.tensor([[1, 1, 1], real])
    allowed = torch.ones(2, 3, 3).bool()
    if fault == "not allowed":
        allowed[1, 1:, 0] = False
    emissions, gold, mask, allowed = laid(batch_first, torch.zeros(2, 3, 3), gold, mask, allowed)
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        crf(emissions, gold, mask, allowed=allowed)
    assert "correct the tags, mask the step or allow the transition" in str(caught.value)
    assert crf.log_prob(emissions, gold, mask, allowed=allowed).isneginf().tolist() == [False, True]


def test_an_impossible_emission_is_no_illegal_path() -> None:
    """-inf that the caller put into the emissions is answered with -inf, not refused."""
    crf = CRF(3, True, constraints=LEGAL)
    emissions = torch.zeros(2, 2, 3)
    emissions[0, 1, 0] = -math.inf
    found = crf(emissions, torch.zeros(2, 2).long(), reduction="none")
    assert found.isneginf().tolist() == [True, False]


@layouts
def test_an_unknown_tag_is_named_at_the_callers_step(batch_first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    crf = CRF(3, batch_first)
    gold, mask = torch.tensor([[0, -100, 0], [-100, 1, -100]]), torch.tensor([[1, 0, 1], [0, 1, 1]])
    given = laid(batch_first, torch.zeros(2, 3, 3), gold, mask)
    words = "expected tags from 0 to 2, found -100 in row 1 at step 2; give it a tag or mask the step"
    for compiled in (compiling.numba_available(), False):
        monkeypatch.setattr(compiling, "numba_available", lambda compiled=compiled: compiled)
        with pytest.raises(IndexError, match=re.escape(words)):
            crf(*given)


@pytest.mark.parametrize("verb", ["decode", "posterior", "sample"])
def test_no_answer_is_invented(verb: str) -> None:
    crf = CRF(2, True)
    allowed = torch.ones(2, 3, 2).bool()
    allowed[1, 1] = False
    calls: dict[str, Callable[[], object]] = {
        "decode": lambda: crf.decode(torch.zeros(2, 3, 2), allowed=allowed),
        "posterior": lambda: crf.decode(torch.zeros(2, 3, 2), allowed=allowed, method="posterior"),
        "sample": lambda: crf.sample(torch.zeros(2, 3, 2), allowed=allowed),
    }
    with pytest.raises(ValueError, match="expected a possible tag sequence for every row, found none for row 1"):
        calls[verb]()
    mask = torch.tensor([[1, 1, 1], [1, 0, 1]])
    assert len(crf.decode(torch.zeros(2, 3, 2), mask, allowed=allowed)) == 2, "masked, it is no fault"


SCORES, GOLD = torch.zeros(2, 3, 5), torch.zeros(2, 3).long()
FREE = (torch.ones(5).bool(), torch.ones(5, 5).bool(), torch.ones(5).bool())
BAD_CALLS: dict[str, tuple[Callable[[CRF], object], str]] = {
    "integer emissions": (lambda crf: crf(SCORES.long(), GOLD), "emissions: expected floating-point scores, found"),
    "integer emissions decoded": (lambda crf: crf.decode(SCORES.int()), "emissions: expected floating-point scores"),
    "tags with a point": (lambda crf: crf(SCORES, GOLD.float()), "tags: expected whole numbers, found torch.float32"),
    "true and false for tags": (lambda crf: crf(SCORES, GOLD.bool()), "tags: expected whole numbers, found torch.bool"),
    "tags of three dimensions": (
        lambda crf: crf(SCORES, GOLD.unsqueeze(2)),
        "the first two dimensions of emissions and tags must match, got (2, 3) and (2, 3, 1)",
    ),
    "allowed as numbers": (
        lambda crf: crf.decode(SCORES, allowed=torch.ones(2, 3, 5)),
        "allowed: expected booleans of the emissions' shape (2, 3, 5), found torch.float32 of shape (2, 3, 5)",
    ),
    "allowed of another shape": (
        lambda crf: crf.marginals(SCORES, allowed=torch.ones(2, 5).bool()),
        "allowed: expected booleans of the emissions' shape (2, 3, 5), found torch.bool of shape (2, 5)",
    ),
    "unknown method": (
        lambda crf: crf.decode(SCORES, method="greedy"),
        "method: expected viterbi or posterior, found 'greedy'",
    ),
    "no answers": (lambda crf: crf.ranked(SCORES, 0), "k: expected a whole number from 1 on, found 0"),
    "no samples": (lambda crf: crf.sample(SCORES, n=0), "n: expected a whole number from 1 on, found 0"),
    "constraints of no kind": (
        lambda crf: CRF(5, constraints=cast(Any, "BIO")),
        "constraints: expected the result of scheme.legal(labels), or three boolean tables",
    ),
    "constraints for fewer tags": (
        lambda crf: CRF(5, constraints=LEGAL),
        "constraints: expected start as booleans of shape (5,), found torch.bool of shape (3,)",
    ),
    "constraints as numbers": (
        lambda crf: CRF(5, constraints=(FREE[0], FREE[1].float(), FREE[2])),
        "constraints: expected transitions as booleans of shape (5, 5), found torch.float32 of shape (5, 5)",
    ),
    "no tag may begin": (
        lambda crf: CRF(5, constraints=(~FREE[0], *FREE[1:])),
        "constraints: expected a tag that may start a row, found none",
    ),
    "no tag may end": (
        lambda crf: CRF(5, constraints=(*FREE[:2], ~FREE[2])),
        "constraints: expected a tag that may end a row, found none",
    ),
}


@layouts
@pytest.mark.parametrize("mistake", BAD_CALLS)
def test_a_bad_call_gets_one_sentence(mistake: str, batch_first: bool) -> None:
    call, words = BAD_CALLS[mistake]
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        call(CRF(5, batch_first))
    assert "\n" not in str(caught.value) and not str(caught.value).endswith(".")


@layouts
@pytest.mark.parametrize(("rows", "steps"), [(0, 3), (2, 0), (0, 0), (2, 1)])
def test_the_shapes_of_nothing_and_of_one_step(rows: int, steps: int, batch_first: bool) -> None:
    crf = CRF(3, batch_first, constraints=LEGAL)
    whole = torch.ones(rows, steps).bool()
    emissions, gold, mask, allowed = laid(
        batch_first, torch.zeros(rows, steps, 3), whole.long() * 0, whole, torch.ones(rows, steps, 3).bool()
    )
    for real, limit in ((None, None), (mask, allowed)):
        assert crf.marginals(emissions, real, allowed=limit).shape == emissions.shape
        edges = crf.marginals(emissions, real, allowed=limit, edges=True)
        expected = (rows, max(steps - 1, 0)) if batch_first else (max(steps - 1, 0), rows)
        assert edges.shape == (*expected, 3, 3)
        assert crf.sample(emissions, real, n=4, allowed=limit).shape == (4, *gold.shape)
        ranked = crf.ranked(emissions, 4, real, allowed=limit)
        assert ranked.path.shape == ((rows, 4, steps) if batch_first else (steps, rows, 4))
        assert ranked.score.shape == (rows, 4)
        assert crf.log_prob(emissions, gold, real, allowed=limit).shape == (rows,)
        assert crf.entropy(emissions, real, allowed=limit).shape == (rows,)
