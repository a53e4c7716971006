"""The tagging heads by what tells them apart, and tags outside and inside a head."""

from __future__ import annotations

import itertools

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Chain
from torch import nn

from structseq.config import Options
from structseq.data.example import Example
from structseq.errors import ConfigError, DataError
from structseq.heads import HEADS, TAGGERS, CrfHead, HmmHead, PerceptronHead, SoftmaxHead, SvmHead
from structseq.heads.tagging import TaggingHead, cost_table
from structseq.padded import Padded
from structseq.section import resolve_class
from structseq.spans import SCHEMES, Span, TagSet, scheme_of
from structseq.structures.base import Independent
from structseq.structures.chain import LinearChain

WIDTH = 4
BIO = TagSet.of([["O", "B-x", "I-x", "B-y"]], scheme_of("BIO"))


def head_of(kind: type[TaggingHead], tags: TagSet = BIO, seed: int = 0) -> TaggingHead:
    torch.manual_seed(seed)
    head = kind(WIDTH, tags)
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    return head


def states_of(*lengths: int, seed: int = 0) -> Padded:
    generator = torch.Generator().manual_seed(seed)
    return Padded.of([torch.randn(length, WIDTH, generator=generator) for length in lengths])


def rows_of(chain: LinearChain) -> list[Chain]:
    tables = [part.detach().double().numpy() for part in (chain.transitions, chain.start, chain.end)]
    pairs = zip(chain.scores.detach().double().numpy(), chain.lengths.tolist(), strict=True)
    return [Chain(scores[:length], *tables) for scores, length in pairs]


# -- what tells the heads apart ----------------------------------------------------------------------------------------


def test_crf_loss_is_the_negative_log_likelihood_among_legal_sequences() -> None:
    head, states = head_of(CrfHead), states_of(4, 2, 0)
    gold = torch.tensor([[0, 1, 2, 0], [1, 3, 0, 0], [0, 0, 0, 0]])
    rows = rows_of(head(states))
    expected = [
        -oracles.log_prob(row, tuple(path[: len(row.scores)])) for row, path in zip(rows, gold.tolist(), strict=True)
    ]
    np.testing.assert_allclose(head.loss(states, gold).detach(), expected, atol=1e-5)
    assert head(states).calibrated


def test_perceptron_loss_is_how_far_the_best_outscores_gold() -> None:
    head, states = head_of(PerceptronHead), states_of(3)
    (row,) = rows_of(head(states))
    best_path, best_score = oracles.best(row)
    for path, score in oracles.scored_paths(row):
        if score == -np.inf:
            continue
        loss = float(head.loss(states, torch.tensor([path])).detach())
        assert loss == pytest.approx(best_score - score, abs=1e-5)
        assert (loss == 0) == (path == best_path), "nothing to learn exactly where gold is best"


def test_perceptron_gradient_is_best_less_gold() -> None:
    head, states = head_of(PerceptronHead), states_of(4)
    assert isinstance(head, PerceptronHead)
    best = head(states).best().path[0].tolist()
    gold = [1, 2, 0, 3] if best != [1, 2, 0, 3] else [0, 0, 0, 0]
    head.loss(states, torch.tensor([gold])).sum().backward()
    expected = np.zeros((4, 4))
    for path, sign in ((best, 1), (gold, -1)):
        for before, after in itertools.pairwise(path):
            expected[before, after] += sign
    np.testing.assert_allclose(head.crf.transitions.grad, expected, atol=1e-6)


def test_perceptron_keeps_quiet_about_confidence_and_asks_for_the_mean_of_all_weights() -> None:
    head = head_of(PerceptronHead)
    assert not head(states_of(3)).calibrated
    assert head.averaging == "mean"
    assert head_of(CrfHead).averaging == head_of(SoftmaxHead).averaging == "ema"


def test_softmax_is_trained_per_token() -> None:
    head, states = head_of(SoftmaxHead), states_of(4, 2)
    logits = head.emission(states.values)
    for gold in ([[0, 1, 2, 0], [1, 3, 0, 0]], [[2, 2, 2, 2], [2, 2, 0, 0]]):  # the second is no legal sequence
        target = torch.tensor(gold)
        loss = head.loss(states, target)
        expected = [
            nn.functional.cross_entropy(logits[b, :n], target[b, :n], reduction="sum") for b, n in ((0, 4), (1, 2))
        ]
        torch.testing.assert_close(loss, torch.stack(expected))


def test_softmax_answers_with_the_best_legal_sequence_of_its_token_probabilities() -> None:
    head, states = head_of(SoftmaxHead), states_of(4)
    logits = head.emission(states.values).detach()
    chain = head(states)
    torch.testing.assert_close(chain.scores.exp().sum(-1), torch.ones(1, 4))
    legal = [path for path in oracles.paths(4, 4) if not scheme_of("BIO").violations([BIO.labels[k] for k in path])]
    independent = Independent(logits, states.lengths)
    score = {path: float(independent.log_prob(torch.tensor([path]))) for path in legal}
    assert tuple(chain.best().path[0].tolist()) == max(score, key=lambda path: score[path])
    # confidences are renormalised over the legal sequences
    total = np.logaddexp.reduce(list(score.values()))
    found = float(chain.log_prob(torch.tensor([legal[5]])).detach())
    assert found == pytest.approx(score[legal[5]] - total, abs=1e-5)


@pytest.mark.parametrize("name", TAGGERS)
def test_an_illegal_gold_sequence_in_training_does_not_poison_the_rest(name: str) -> None:
    """Its tags are all known, and no legal path bears them: a head that cannot represent it says None."""
    head = TAGGERS[name](WIDTH, BIO)
    example = Example.of(["a", "b", "c"], ["O", "I-x", "O"])
    target = head.target(example)
    if target is not None:
        loss = head.loss(states_of(3), torch.tensor([target]))
        assert torch.isfinite(loss).all()


def test_heads_by_name() -> None:
    assert resolve_class(HEADS, "crf", "head.type") is CrfHead
    with pytest.raises(ConfigError, match='did you mean "softmax"'):
        resolve_class(HEADS, "soft-max", "head.type")


def test_svm_loss_is_how_far_the_best_outscores_gold_by_its_cost() -> None:
    head, states = head_of(SvmHead), states_of(3)
    (row,) = rows_of(head(states))
    scored = [(path, score) for path, score in oracles.scored_paths(row) if score > -np.inf]
    for gold, own in scored:
        worst = max(score + sum(a != b for a, b in zip(path, gold, strict=True)) for path, score in scored)
        assert float(head.loss(states, torch.tensor([gold])).detach()) == pytest.approx(worst - own, abs=1e-5)


def test_costs_are_named_by_what_is_right() -> None:
    tags = TagSet.of([["O", "B-x", "I-x", "B-y"]], scheme_of("BIO"))
    table = cost_table(tags, {"x": 3.0, "O": 0.5})
    assert tags.labels == ("O", "B-x", "I-x", "B-y")
    expected = [[0, 0.5, 0.5, 0.5], [3, 0, 3, 3], [3, 3, 0, 3], [1, 1, 1, 0]]
    assert table.tolist() == expected
    with pytest.raises(ConfigError, match="expected names among x, y, O, found 'z'"):
        cost_table(tags, {"z": 1.0})
    with pytest.raises(ConfigError, match="at least 0"):
        cost_table(tags, {"x": -1.0})


def test_costs_change_the_objective_of_heads_that_know_them_and_no_other_takes_them() -> None:
    states, gold = states_of(3), torch.tensor([[1, 2, 0]])
    for kind in (CrfHead, SvmHead):
        torch.manual_seed(0)
        plain, dear = kind(WIDTH, BIO), kind(WIDTH, BIO, costs={"x": 5.0})
        dear.load_state_dict(plain.state_dict())
        assert float(dear.loss(states, gold).detach()) > float(plain.loss(states, gold).detach())
    for other in (SoftmaxHead, PerceptronHead, HmmHead):
        with pytest.raises(TypeError, match="costs"):
            other(WIDTH, BIO, costs={"x": 5.0})
    with pytest.raises(ConfigError, match="the head softmax has no such option; it belongs to crf, "):
        Options.of({"head": {"type": "softmax", "costs": {"x": 5.0}}})


def test_the_hybrid_divides_posteriors_by_priors_and_counts_its_transitions() -> None:
    head, states = head_of(HmmHead), states_of(3, 1)
    tags = [("B-x", "I-x", "O"), ("O", "B-y"), ("O",)]
    head.prepare([Example({"tokens": each}, {"tags": each}) for each in tags])
    chain = head(states)
    # Laplace's counts by hand: O 3, B-x 1, I-x 1, B-y 1, and one more of each, out of ten.
    prior = torch.tensor([4, 2, 2, 2]) / 10
    posterior = head.emissions(states).softmax(-1)
    torch.testing.assert_close(chain.scores.exp(), posterior / prior)
    # first tags: O twice, B-x once; I-x cannot begin
    torch.testing.assert_close(chain.start.exp(), torch.tensor([3, 2, 0, 1]) / 6)
    # after O: O 0, B-x 0, B-y 1, the end 2; I-x cannot follow
    torch.testing.assert_close(chain.transitions[0].exp(), torch.tensor([1, 1, 0, 2]) / 7)
    torch.testing.assert_close(chain.end[0].exp(), torch.tensor(3 / 7))
    # ways on from any tag, the end among them, are a distribution
    torch.testing.assert_close(chain.transitions.exp().sum(1) + chain.end.exp(), torch.ones(4))
    assert set(head.state_dict()) >= {"log_prior", "log_start", "log_moves", "log_end"}, "a saved model keeps them"


TEMPERED = (HmmHead, PerceptronHead, SvmHead)


@pytest.mark.parametrize("kind", TEMPERED)
def test_a_temperature_makes_confidences_fit_and_moves_no_answer(kind: type[TaggingHead]) -> None:
    head, states = head_of(kind), states_of(*range(1, 9), seed=4)
    raw = head(states)
    assert not raw.calibrated
    before = head.decide(raw)
    # Gold drawn from the same scores made three times flatter: the fitted temperature must find the three.
    drawn = raw.tempered(3.0).sample(150, torch.Generator().manual_seed(0))

    def held_out() -> list[tuple[LinearChain, list[list[int] | None]]]:
        rows = [[path[:length] for path, length in zip(each, range(1, 9), strict=True)] for each in drawn.tolist()]
        return [(raw, [*paths[:-1], None]) for paths in rows]

    head.calibrate(held_out)
    fitted = head(states)
    assert float(head.get_buffer("temperature")) == pytest.approx(3.0, rel=0.15)
    assert fitted.calibrated and torch.equal(head.decide(fitted), before)
    again = kind(WIDTH, BIO)
    again.load_state_dict(head.state_dict())
    assert again(states).calibrated, "the temperature is part of the weights"


@pytest.mark.parametrize("kind", TEMPERED)
def test_without_held_out_answers_there_is_no_temperature(kind: type[TaggingHead]) -> None:
    head, states = head_of(kind), states_of(2)
    for nothing in ([], [(head(states), [None])]):
        head.calibrate(lambda known=nothing: known)
        assert not head(states).calibrated


@pytest.mark.parametrize("kind", [CrfHead, SoftmaxHead])
def test_heads_trained_by_likelihood_are_calibrated_from_the_start(kind: type[TaggingHead]) -> None:
    head = head_of(kind)
    assert head(states_of(2)).calibrated and float(head.get_buffer("temperature")) == 1.0


@pytest.mark.parametrize("kind", [CrfHead, *TEMPERED])
def test_an_impossible_gold_sequence_does_not_stop_calibration(kind: type[TaggingHead]) -> None:
    """I-x cannot begin a sentence."""
    head, states = head_of(kind), states_of(3, 3)
    raw = head(states)
    head.calibrate(lambda: [(raw, [[0, 1, 2], None])])
    alone = float(head.get_buffer("temperature"))
    head.calibrate(lambda: [(raw, [[0, 1, 2], [2, 0, 0]])])
    assert float(head.get_buffer("temperature")) == pytest.approx(alone) and np.isfinite(alone)


# -- tags outside and inside -------------------------------------------------------------------------------------------


def test_inventory_is_closed_and_in_a_fixed_order() -> None:
    one = TagSet.of([["B-y", "I-x"], ["O"]], scheme_of("BIO"))
    other = TagSet.of([["O", "O"], ["I-x", "B-y"], ["B-y"]], scheme_of("BIO"))
    assert one.labels == other.labels
    assert set(one.labels) >= {"O", "B-x", "I-x", "B-y"} and len(set(one.labels)) == len(one.labels)
    assert one.types == ("x", "y") and len(one.edges()) == 2


def test_nothing_tagged_is_an_error() -> None:
    for sequences in ([], [[]], [(), ()]):
        with pytest.raises(DataError, match="at least one tag, label or symbol"):
            TagSet.of(sequences, scheme_of("BIO"))


def test_plain_tags_stay_plain_and_io_stays_io() -> None:
    plain = TagSet.of([["DT", "NN"]], scheme_of("plain"), "BIOES")
    assert plain.model_scheme.plain and plain.labels == ("DT", "NN") and plain.types == () and plain.edges() == []
    io = TagSet.of([["O", "I-x"]], scheme_of("IO"), "BIOES")
    assert io.model_scheme.name == "IO"
    assert TagSet.of([["O", "B-x"]], scheme_of("BIO"), "IO").model_scheme.name == "BIO", "IO would merge neighbours"


def test_spans_cannot_be_learned_as_plain_tags() -> None:
    with pytest.raises(ConfigError, match="plain"):
        TagSet.of([["O", "B-x"]], scheme_of("BIO"), "plain")


def test_an_unknown_inner_scheme_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="BIOES"):
        TagSet.of([["O", "B-x"]], scheme_of("BIO"), "BIOEZ")


SPELLINGS = {
    "BIO": ("O", "B-x", "I-x", "I-x", "B-x", "B-y", "O"),
    "BIOES": ("O", "B-x", "I-x", "E-x", "S-x", "S-y", "O"),
    "BILOU": ("O", "B-x", "I-x", "L-x", "U-x", "U-y", "O"),
    "BMES": ("O", "B-x", "M-x", "E-x", "S-x", "S-y", "O"),
    "IOB1": ("O", "I-x", "I-x", "I-x", "B-x", "I-y", "O"),
    "IOE": ("O", "I-x", "I-x", "E-x", "E-x", "E-y", "O"),
    "IOE1": ("O", "I-x", "I-x", "E-x", "I-x", "I-y", "O"),
}


@pytest.mark.parametrize("model_scheme", ["BIO", "BIOES", "IOE"])
@pytest.mark.parametrize("file_scheme", SPELLINGS)
def test_one_sentence_in_all_schemes_inside_and_out(file_scheme: str, model_scheme: str) -> None:
    tags = TagSet.of([SPELLINGS[file_scheme]], scheme_of(file_scheme), model_scheme)
    numbers = tags.encode(SPELLINGS[file_scheme])
    assert numbers is not None
    assert tuple(tags.labels[k] for k in numbers) == SPELLINGS[model_scheme]
    assert tags.decode(numbers) == SPELLINGS[file_scheme]


@st.composite
def legal_numbers(draw: st.DrawFn, tags: TagSet) -> list[int]:
    """A walk through the model scheme's legal transitions."""
    legal = tags.model_scheme.legal(tags.labels)
    length = draw(st.integers(1, 8))
    # which tags can still reach a legal end in the steps that are left
    hopeful = [legal.end]
    for _ in range(length - 1):
        hopeful.append((legal.transitions & hopeful[-1]).any(axis=1))
    choices = np.flatnonzero(legal.start & hopeful[-1])
    walk: list[int] = []
    for left in range(length - 1, -1, -1):
        walk.append(int(draw(st.sampled_from(choices.tolist()))))
        if left:
            choices = np.flatnonzero(legal.transitions[walk[-1]] & hopeful[left - 1])
    return walk


@given(data=st.data())
@settings(max_examples=80)
def test_the_direct_table_equals_the_slow_conversion(data: st.DataObject) -> None:
    file_scheme = data.draw(st.sampled_from(["BIO", "BIOES", "BILOU", "BMES"]))
    model_scheme = data.draw(st.sampled_from(["auto", "BIOES"]))
    whole = [
        scheme_of(file_scheme).encode([Span(0, 3, "x"), Span(3, 4, "y-z"), Span(5, 7, "y-z")], 8),
        scheme_of(file_scheme).encode([Span(0, 1, "x")], 2),
    ]
    tags = TagSet.of(whole, scheme_of(file_scheme), model_scheme)
    walk = data.draw(legal_numbers(tags))
    inside = [tags.labels[k] for k in walk]
    assert not tags.model_scheme.violations(inside)
    slow = tags.file_scheme.encode(tags.model_scheme.decode(inside), len(inside))
    assert tags.decode(walk) == slow
    if tags.file_tags is not None:
        assert tuple(tags.file_tags[k] for k in walk) == slow
    back = tags.encode(slow)
    assert back == walk


def test_word_segmentation_without_o() -> None:
    tags = TagSet.of([["B", "M", "E", "S"], ["B", "E"]], scheme_of("BMES"))
    assert set(tags.labels) == {"B", "M", "E", "S"}
    for kind in TAGGERS.values():
        torch.manual_seed(0)
        head = kind(WIDTH, tags)
        states = states_of(5, 1, 2)
        for path, length in zip(head(states).best().path.tolist(), (5, 1, 2), strict=True):
            answer = head.answers([path[:length]])[0]
            assert scheme_of("BMES").violations(answer) == [] and "O" not in answer


def test_a_whole_file_of_one_tag() -> None:
    for tag, scheme in (("O", "BIO"), ("NN", "plain"), ("S-x", "BIOES")):
        tags = TagSet.of([[tag]], scheme_of(scheme))
        head = head_of(CrfHead, tags)
        states = states_of(3)
        target = torch.tensor([tags.encode([tag] * 3)])
        assert torch.isfinite(head.loss(states, target)).all()
        assert len(head.answers(head(states).best().path.tolist())[0]) == 3


def test_every_scheme_is_in_the_laws() -> None:
    assert {*SPELLINGS, "IO", "plain"} == set(SCHEMES)
