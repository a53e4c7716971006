"""What every head must satisfy: each law for each row of TAGGERS, in every scheme outside and inside."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
import torch
from task_for_head import task_for
from torch import Tensor

from structseq.data.example import Example
from structseq.errors import DataError
from structseq.heads import TAGGERS
from structseq.heads.base import Head
from structseq.padded import Padded
from structseq.spans import SCHEMES, Span, TagSet, scheme_of

WIDTH = 6
LENGTHS = (5, 1, 0, 3)
# (scheme of the files, scheme of the model)
PAIRS = [(file_scheme, "auto") for file_scheme in SCHEMES] + [("BIO", "BIOES"), ("IO", "BIOES"), ("plain", "BIOES")]
PAIRS += [("BIOES", "BIO"), ("IOB1", "BIO"), ("BMES", "IOE")]

heads = pytest.mark.parametrize("name", TAGGERS)
pairs = pytest.mark.parametrize(("file_scheme", "model_scheme"), PAIRS, ids=lambda part: part)


@cache
def corpus(file_scheme: str, seed: int = 0) -> tuple[tuple[str, ...], ...]:
    """Legal tag sequences of many lengths, entities of three types, one of them hyphenated."""
    scheme, rng = scheme_of(file_scheme), np.random.default_rng(seed)
    if scheme.plain:
        return tuple(tuple(rng.choice(["DT", "NN", "NN-HL", "."], size=n).tolist()) for n in rng.integers(1, 8, 30))
    sentences = []
    for length in rng.integers(1, 9, 40).tolist():
        spans, place = [], int(rng.integers(0, 2))
        while place < length:
            end = min(length, place + int(rng.integers(1, 4)))
            spans.append(Span(place, end, str(rng.choice(["x", "y", "a-b"]))))
            place = end + int(rng.integers(1 if file_scheme == "IO" else 0, 3))
        sentences.append(scheme.encode(spans, length))
    return tuple(sentences)


@cache
def tag_set(file_scheme: str = "BIO", model_scheme: str = "auto") -> TagSet:
    return TagSet.of(corpus(file_scheme), scheme_of(file_scheme), model_scheme)


def head_of(name: str, tags: TagSet, seed: int = 0, spread: float = 1.0) -> Head:
    """A head with random weights, far from anything trained."""
    torch.manual_seed(seed)
    head: Head = TAGGERS[name](WIDTH, tags)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=spread)
    return head


def states_of(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> Padded:
    generator = torch.Generator().manual_seed(seed)
    return Padded.of([torch.randn(length, WIDTH, generator=generator) for length in lengths])


def numbered(head: Head, states: Padded, seed: int = 0) -> Tensor:
    """A legal answer for each row, as numbers padded with 0: the best one of another head."""
    with torch.no_grad():
        return head_of("crf", head.tags, seed + 100)(states).best().path  # type: ignore[attr-defined]


# -- answers -----------------------------------------------------------------------------------------------------------


@pairs
@heads
def test_answers_are_legal_however_wild_the_weights(name: str, file_scheme: str, model_scheme: str) -> None:
    tags, scheme = tag_set(file_scheme, model_scheme), scheme_of(file_scheme)
    known = set(itertools.chain.from_iterable(corpus(file_scheme)))
    lengths = (9, 1, 0, 2, 3, 4, 17, 1, 2, 2)
    for seed, spread in ((0, 0.1), (1, 3.0), (2, 100.0)):
        head = head_of(name, tags, seed, spread).eval()
        states = states_of(lengths, seed)
        with torch.inference_mode():
            paths = head(states).best().path.tolist()
        answers = head.answers([path[:length] for path, length in zip(paths, lengths, strict=True)])
        assert [len(answer) for answer in answers] == list(lengths)
        for answer in answers:
            assert isinstance(answer, tuple) and all(isinstance(tag, str) for tag in answer)
            assert scheme.violations(answer) == []
            if scheme.plain or tags.model_scheme == tags.file_scheme:
                assert set(answer) <= {*known, *tags.labels}
            assert {span.label for span in scheme.decode(answer)} <= {"x", "y", "a-b"}


@pairs
@heads
def test_training_sequences_are_understood_and_given_back(name: str, file_scheme: str, model_scheme: str) -> None:
    tags = tag_set(file_scheme, model_scheme)
    head = head_of(name, tags)
    for gold in corpus(file_scheme):
        target = head.target(Example.of(["w"] * len(gold), gold))
        assert target is not None and len(target) == len(gold)
        assert head.answers([target]) == [gold]


@pairs
@heads
def test_training_sequences_have_a_finite_loss(name: str, file_scheme: str, model_scheme: str) -> None:
    head = head_of(name, tag_set(file_scheme, model_scheme), spread=10)
    rows = corpus(file_scheme)
    targets = [head.target(Example.of(["w"] * len(gold), gold)) for gold in rows]
    states = states_of(tuple(len(gold) for gold in rows))
    target = torch.zeros(states.values.shape[:2], dtype=torch.int64)
    for row, numbers in zip(target, targets, strict=True):
        row[: len(numbers)] = torch.tensor(numbers)
    loss = head.loss(states, target)
    assert torch.isfinite(loss).all() and (loss >= -1e-3).all()
    loss.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in head.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("file_scheme", [name for name in SCHEMES if name != "plain"])
@heads
def test_every_length_has_an_answer_however_small_the_inventory(name: str, file_scheme: str) -> None:
    """One tag seen is enough, whichever it was: the inventory closes itself."""
    scheme = scheme_of(file_scheme)
    whole = scheme.complete(["O", *scheme.encode([Span(0, 3, "x")], 3)])
    for model_scheme in ("auto", "BIOES"):
        for seen in ([tag] for tag in whole):
            tags = TagSet.of([seen], scheme, model_scheme)
            head = head_of(name, tags, spread=5)
            lengths = (1, 2, 3, 4)
            chain = head(states_of(lengths))
            assert torch.isfinite(chain.log_partition()).all()
            torch.testing.assert_close(chain.marginals().sum(-1).sum(1), torch.tensor([1.0, 2, 3, 4]))
            for path, length in zip(chain.best().path.tolist(), lengths, strict=True):
                assert scheme.violations(head.answers([path[:length]])[0]) == []


@pairs
@heads
def test_a_tag_never_seen_in_training_has_no_target(name: str, file_scheme: str, model_scheme: str) -> None:
    head = head_of(name, tag_set(file_scheme, model_scheme))
    unseen = "XX" if scheme_of(file_scheme).plain else scheme_of(file_scheme).encode([Span(0, 1, "unseen")], 1)[0]
    known = corpus(file_scheme)[0]
    assert head.target(Example.of(["w"] * (len(known) + 1), (*known, unseen))) is None


@pairs
@heads
def test_a_tag_outside_the_scheme_has_no_target_either(name: str, file_scheme: str, model_scheme: str) -> None:
    assert head_of(name, tag_set(file_scheme, model_scheme)).target(Example.of(["w"], ["Q-x"])) is None


@heads
def test_an_example_without_tags_is_an_error_that_says_where(name: str) -> None:
    with pytest.raises(DataError, match=r"train\.conll:7 has no tags"):
        head_of(name, tag_set()).target(Example({"tokens": ("w",)}, source="train.conll:7"))


# -- the distribution --------------------------------------------------------------------------------------------------


def small_head(name: str, spread: float = 1.0) -> Head:
    return head_of(name, TagSet.of([["O", "B-x", "I-x", "B-y"]], scheme_of("BIO")), spread=spread)


@heads
def test_probabilities_of_all_sequences_sum_to_one_and_the_best_is_best(name: str) -> None:
    head = small_head(name)
    chain = head(states_of((4,)))
    every = list(itertools.product(range(len(head.tags.labels)), repeat=4))  # type: ignore[attr-defined]
    found = torch.stack([chain.log_prob(torch.tensor([path]))[0] for path in every]).detach()
    assert float(found.exp().sum()) == pytest.approx(1.0, abs=1e-5)
    best = chain.best()
    assert tuple(best.path[0].tolist()) == every[int(found.argmax())]
    scheme = scheme_of("BIO")
    for path, log_prob in zip(every, found.tolist(), strict=True):
        legal = not scheme.violations(head.answers([path])[0])
        assert (log_prob > -math.inf) == legal, "what is illegal has probability exactly 0, and nothing else has"


@heads
def test_a_distribution_says_whether_its_scores_are_log_probabilities(name: str) -> None:
    assert isinstance(small_head(name)(states_of()).calibrated, bool)


@pytest.mark.parametrize("garbage", [1e4, math.nan, math.inf])
@heads
def test_padding_and_neighbours_do_not_matter(name: str, garbage: float) -> None:
    head = small_head(name)
    states = states_of()
    target = numbered(head, states)
    dirty = states.with_values(states.values.masked_fill(~states.mask().unsqueeze(-1), garbage))
    loss, path = head.loss(states, target).detach(), head(states).best().path
    dirty_target = target.masked_fill(~states.mask(), 2)
    torch.testing.assert_close(head.loss(dirty, dirty_target).detach(), loss)
    assert torch.equal(head(dirty).best().path, path)
    for b, length in enumerate(LENGTHS):
        alone = Padded(states.values[b : b + 1, :length], states.lengths[b : b + 1])
        torch.testing.assert_close(head.loss(alone, target[b : b + 1, :length]).detach()[0], loss[b])
        if length:
            assert torch.equal(head(alone).best().path[0], path[b, :length])


@heads
def test_padding_gives_and_gets_no_gradient(name: str) -> None:
    found = []
    for garbage in (0.0, 1e3):
        head = small_head(name)
        states = states_of()
        values = states.values.masked_fill(~states.mask().unsqueeze(-1), garbage).requires_grad_()
        head.loss(states.with_values(values), numbered(head, states)).sum().backward()
        assert values.grad is not None and not values.grad[~states.mask()].any()
        found.append([values.grad, *(p.grad for p in head.parameters() if p.grad is not None)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spread", [1.0, 10.0, 30.0])
@pytest.mark.parametrize("file_scheme", ["BIO", "BIOES"])
@heads
def test_float32_answers_what_float64_answers(name: str, file_scheme: str, spread: float) -> None:
    """Scores of a hundred nats under legal transitions, where a scaled recursion runs out of float32."""
    chain = head_of(name, tag_set(file_scheme), spread=spread)(states_of(tuple(map(len, corpus(file_scheme)))))
    exact = chain.with_weights(tuple(part.detach().double() for part in chain.weights))
    torch.testing.assert_close(chain.log_partition().double(), exact.log_partition(), rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(chain.marginals().double(), exact.marginals(), rtol=0, atol=1e-4)
    assert torch.equal(chain.best().path, exact.best().path)


# -- the loss ----------------------------------------------------------------------------------------------------------


@heads
def test_loss_is_one_number_a_row_never_negative_and_zero_for_nothing(name: str) -> None:
    head = small_head(name)
    states = states_of()
    loss = head.loss(states, numbered(head, states))
    assert loss.shape == (4,) and loss.dtype == torch.float32
    assert (loss >= 0).all() and loss[2] == 0.0


@pytest.mark.parametrize(("rows", "steps"), [(0, 0), (0, 3), (2, 0), (2, 3)])
@heads
def test_nothing_to_learn_or_answer(name: str, rows: int, steps: int) -> None:
    head = small_head(name)
    empty = Padded(torch.zeros(rows, steps, WIDTH), torch.zeros(rows, dtype=torch.int64))
    assert head.loss(empty, torch.zeros(rows, steps, dtype=torch.int64)).tolist() == [0.0] * rows
    assert head(empty).best().path.shape == (rows, steps)
    assert head.answers([[]] * rows) == [()] * rows


@heads
def test_loss_reaches_every_parameter(name: str) -> None:
    reached: set[str] = set()
    head = small_head(name)
    for seed in range(20):  # a perceptron learns from its mistakes alone
        states = states_of((6, 6, 6, 6), seed)
        head.zero_grad()
        head.loss(states, numbered(head, states, seed)).sum().backward()
        reached |= {key for key, p in head.named_parameters() if p.grad is not None and p.grad.any()}
    if name == "softmax":
        assert "emission.weight" in reached
    assert reached == {key for key, _ in head.named_parameters()}


@heads
def test_following_the_gradient_makes_the_gold_answer_best(name: str) -> None:
    head = small_head(name)
    states = states_of((5, 4))
    target = numbered(head, states)
    learner = torch.optim.SGD(head.parameters(), lr=0.2)
    for _ in range(200):
        learner.zero_grad()
        head.loss(states, target).sum().backward()
        learner.step()
    assert torch.equal(head(states).best().path, target)
    assert float(head.loss(states, target).sum().detach()) < 0.5


@heads
def test_loss_is_the_same_in_double_precision(name: str) -> None:
    head = small_head(name)
    states = states_of()
    target = numbered(head, states)
    single = head.loss(states, target).detach()
    double = head.double().loss(states.with_values(states.values.double()), target).detach()
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


@heads
def test_autocast_leaves_the_structured_part_in_float32(name: str) -> None:
    head = small_head(name)
    states = states_of()
    target = numbered(head, states)
    with torch.autocast("cpu", torch.bfloat16):
        loss, chain = head.loss(states, target), head(states)
    assert loss.dtype == torch.float32
    assert chain.best().score.dtype == torch.float32 and chain.marginals().dtype == torch.float32
    torch.testing.assert_close(loss, head.loss(states, target), rtol=0.1, atol=0.1)


# -- deciding otherwise than by the most probable answer ---------------------------------------------------------------


@pairs
@heads
def test_every_way_of_deciding_is_legal_and_the_neutral_one_is_the_best_path(
    name: str, file_scheme: str, model_scheme: str
) -> None:
    head, states, lengths = head_of(name, tag_set(file_scheme, model_scheme)), states_of((9, 1, 0, 4)), (9, 1, 0, 4)
    chain = head(states)
    best = chain.best().path
    assert torch.equal(head.decide(chain), best)
    ways = head.bias_candidates()
    assert not ways or 0.0 in ways
    for way in ways:
        head.set_bias(way)
        paths = head.decide(chain)
        assert paths.shape == best.shape and paths.dtype == torch.int64
        for answer in head.answers([path[:length] for path, length in zip(paths.tolist(), lengths, strict=True)]):
            assert scheme_of(file_scheme).violations(answer) == []
        if way == 0.0:
            assert torch.equal(paths, best)


@heads
def test_deciding_leaves_probabilities_alone_and_is_part_of_the_weights(name: str) -> None:
    head, twin, states = small_head(name), small_head(name), states_of((6, 6, 6))
    target = numbered(head, states)
    before = [head(states).marginals(), head(states).log_prob(target).detach(), head.loss(states, target).detach()]
    ways = head.bias_candidates()
    head.set_bias(ways[-1])
    after = [head(states).marginals(), head(states).log_prob(target).detach(), head.loss(states, target).detach()]
    for one, other in zip(after, before, strict=True):
        assert torch.equal(one, other)
    twin.load_state_dict(head.state_dict(), strict=True)
    assert torch.equal(twin.decide(twin(states)), head.decide(head(states)))


@heads
def test_the_readier_the_more_entities(name: str) -> None:
    head, states = small_head(name), states_of((8,) * 20)
    outside = [label == "O" for label in head.tags.labels].index(True)  # type: ignore[attr-defined]
    counts = []
    for way in sorted(head.bias_candidates()):
        head.set_bias(way)
        counts.append(int((head.decide(head(states)) == outside).sum()))
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


# -- the rest of what a head promises ----------------------------------------------------------------------------------


@pairs
@heads
def test_the_criterion_is_one_for_gold_and_less_for_anything_else(
    name: str, file_scheme: str, model_scheme: str
) -> None:
    head = head_of(name, tag_set(file_scheme, model_scheme))
    gold = list(corpus(file_scheme))
    assert task_for(head).criterion(gold, gold) == 1.0
    other = [gold[1 - number] if number < 2 else tags for number, tags in enumerate(gold)]
    other = [(tags * 9)[: len(right)] for tags, right in zip(other, gold, strict=True)]
    assert other != gold
    assert 0.0 <= task_for(head).criterion(gold, other) < 1.0


@heads
def test_averaging_is_one_of_the_trainers(name: str) -> None:
    assert small_head(name).averaging in {"ema", "mean"}


@heads
def test_weights_survive_a_state_dict_and_hold_nothing_that_follows_from_the_tags(name: str) -> None:
    one, other = head_of(name, tag_set(), seed=0), head_of(name, tag_set(), seed=1)
    assert not [key for key in one.state_dict() if "legal" in key]
    other.load_state_dict(one.state_dict(), strict=True)
    states = states_of()
    torch.testing.assert_close(other(states).log_partition(), one(states).log_partition(), rtol=0, atol=0)
