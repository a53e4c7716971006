"""A label and tags scored together: every verb of the triangular chain against enumeration of all pairs."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from structseq.spans import scheme_of
from structseq.structures.chain import EdgePattern, LinearChain
from structseq.structures.triangular import TriangularChain

LABELS, STEPS, TAGS, LENGTHS = 2, 3, 3, (3, 1, 0, 2)
ROWS = len(LENGTHS)
INF = math.inf
Pair = tuple[int, ...]


def made(kind: str = "shared", dtype: torch.dtype = torch.float64, seed: int = 0) -> TriangularChain:
    """Random scores; garbage beyond each row's length."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    lengths = torch.tensor(LENGTHS).repeat_interleave(LABELS)
    scores = normal(ROWS * LABELS, STEPS, TAGS)
    scores[torch.arange(STEPS) >= lengths.unsqueeze(1)] = math.nan
    own = (ROWS * LABELS,) if kind == "a table for each row" else ()
    transitions, start, end = normal(*own, TAGS, TAGS), normal(*own, TAGS), normal(*own, TAGS)
    if kind == "constrained":
        transitions[0, 2] = transitions[2, 2] = start[2] = -INF
    labels = normal(ROWS, LABELS)
    if kind == "a label forbidden":
        labels[1, 0] = -INF
    return TriangularChain(labels, LinearChain(scores, transitions, start, end, lengths))


class Row(NamedTuple):
    """All answers of a row, 0 beyond its length, with what `score` says of them."""

    pairs: list[Pair]
    totals: Tensor

    @property
    def shares(self) -> Tensor:
        return self.totals.double().softmax(0)


def rows_of(found: TriangularChain) -> list[Row]:
    every = list(itertools.product(range(LABELS), *[range(TAGS)] * STEPS))
    scores = {pair: found.score(torch.tensor([pair] * ROWS)).detach() for pair in every}
    rows = []
    for row, length in enumerate(LENGTHS):
        own = [pair for pair in every if not any(pair[1 + length :])]
        rows.append(Row(own, torch.stack([scores[pair][row] for pair in own])))
    return rows


@pytest.fixture(params=["shared", "a table for each row", "constrained", "a label forbidden"])
def found(request: pytest.FixtureRequest) -> TriangularChain:
    return made(str(request.param))


def close(one: Tensor, other: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(one.double(), other.double(), rtol=tolerance, atol=tolerance)


def test_score_is_the_sum_that_it_says() -> None:
    found = made()
    pair, row = (1, 2, 0, 1), 0
    scores, tags = found.tags.scores[row * LABELS + 1], found.tags
    expected = found.labels[row, 1] + tags.start[2] + scores[0, 2] + tags.transitions[2, 0] + scores[1, 0]
    expected = expected + tags.transitions[0, 1] + scores[2, 1] + tags.end[1]
    close(found.score(torch.tensor([pair] * ROWS))[row], expected)


def test_probabilities_and_sums(found: TriangularChain) -> None:
    for b, row in enumerate(rows_of(found)):
        close(found.log_partition()[b], row.totals.logsumexp(0))
        each = torch.stack([found.log_prob(torch.tensor([pair] * ROWS))[b] for pair in row.pairs])
        close(each.exp(), row.shares)
        close(each.exp().sum(), torch.tensor(1.0))


def test_marginals(found: TriangularChain) -> None:
    labels, tags = found.label_marginals(), found.marginals()
    for b, row in enumerate(rows_of(found)):
        for label in range(LABELS):
            close(labels[b, label], sum(p for pair, p in zip(row.pairs, row.shares, strict=True) if pair[0] == label))
        for step, tag in itertools.product(range(STEPS), range(TAGS)):
            own = [p for pair, p in zip(row.pairs, row.shares, strict=True) if pair[1 + step] == tag]
            close(tags[b, step, tag], torch.stack(own).sum() if step < LENGTHS[b] else torch.tensor(0.0))


def test_best_and_ranked(found: TriangularChain) -> None:
    best, ranked = found.best(), found.ranked(7)
    for b, row in enumerate(rows_of(found)):
        order = row.totals.argsort(descending=True, stable=True)
        assert tuple(best.path[b].tolist()) == row.pairs[int(order[0])]
        close(best.score[b], row.totals[order[0]])
        possible = [int(n) for n in order if torch.isfinite(row.totals[n])][:7]
        assert [tuple(path) for path in ranked.path[b].tolist()][: len(possible)] == [row.pairs[n] for n in possible]
        close(ranked.score[b, : len(possible)], row.totals[possible])
        assert torch.isneginf(ranked.score[b, len(possible) :]).all() and not ranked.path[b, len(possible) :].any()


def test_entropy(found: TriangularChain) -> None:
    expected = [-(row.shares * row.shares.clamp(min=1e-300).log()).sum() for row in rows_of(found)]
    close(found.entropy(), torch.stack(expected))


def test_samples_are_as_frequent_as_they_are_probable() -> None:
    found, count = made(), 4000
    drawn = found.sample(count, torch.Generator().manual_seed(3))
    assert drawn.shape == (count, ROWS, 1 + STEPS)
    assert torch.equal(drawn, found.sample(count, torch.Generator().manual_seed(3)))
    for b, row in enumerate(rows_of(found)):
        seen = [sum(tuple(pair) == one for pair in drawn[:, b].tolist()) for one in row.pairs]
        assert sum(seen) == count
        often = [(n, count * float(p)) for n, p in zip(seen, row.shares, strict=True) if count * p > 5]
        rest = count - sum(expected for _, expected in often)
        cells = [*often, (count - sum(n for n, _ in often), rest)] if rest > 5 else often
        total = sum(n for n, _ in cells)
        expected = [e * total / sum(e for _, e in cells) for _, e in cells]
        assert len(cells) < 2 or chisquare([n for n, _ in cells], expected).pvalue > 1e-4


def test_span_probabilities(found: TriangularChain) -> None:
    scheme, labels = scheme_of("BIO"), ("O", "B-x", "I-x")
    edges = scheme.edges(labels, "x")
    pattern = EdgePattern(edges.start, edges.opens, edges.continues, edges.closes, edges.end)
    spans = [(0, 0, 1, 0), (0, 0, 2, 0), (0, 1, 3, 0), (1, 0, 1, 0), (3, 0, 2, 0), (3, 1, 2, 0)]
    shares, rows = found.span_probabilities(spans, [pattern]), rows_of(found)
    for (b, start, end, _), share in zip(spans, shares, strict=True):
        own = []
        for pair, p in zip(rows[b].pairs, rows[b].shares, strict=True):
            tags = [labels[k] for k in pair[1 : 1 + LENGTHS[b]]]
            if any((span.start, span.end) == (start, end) for span in scheme.decode(tags)):
                own.append(p)
        close(share, torch.stack(own).sum())
    assert found.span_probabilities([], [pattern]).shape == (0,)
    with pytest.raises(IndexError, match="rows from 0 to 3"):
        found.span_probabilities([(4, 0, 1, 0)], [pattern])


def test_spans_under_an_impossible_label_are_those_of_the_others() -> None:
    found = made()
    scores = found.tags.scores.clone()
    scores[1] = -INF  # nothing is possible under label 1 of row 0
    found = found.with_tags(found.tags.with_scores(scores))
    edges = scheme_of("BIO").edges(("O", "B-x", "I-x"), "x")
    pattern = EdgePattern(edges.start, edges.opens, edges.continues, edges.closes, edges.end)
    alone = LinearChain(scores[:1], found.tags.transitions, found.tags.start, found.tags.end, torch.tensor([3]))
    close(found.span_probabilities([(0, 0, 1, 0)], [pattern]), alone.span_probabilities([(0, 0, 1, 0)], [pattern]))
    close(found.label_marginals()[0], torch.tensor([1.0, 0.0]))


def test_no_rows() -> None:
    tags = LinearChain(torch.zeros(0, 2, 3), torch.zeros(3, 3), torch.zeros(3), torch.zeros(3), torch.zeros(0).long())
    found = TriangularChain(torch.zeros(0, 2), tags)
    assert found.sample(2).shape == (2, 0, 3) and found.best().path.shape == (0, 3)
    assert found.marginals().shape == (0, 2, 3) and found.label_marginals().shape == (0, 2)
    assert found.log_prob(torch.zeros(0, 3, dtype=torch.int64)).shape == (0,)


def test_gradients_are_marginals_less_the_target() -> None:
    labels = torch.randn(ROWS, LABELS, dtype=torch.float64, requires_grad=True)
    scores = torch.randn(ROWS * LABELS, STEPS, TAGS, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor(LENGTHS).repeat_interleave(LABELS)
    transitions, edge = torch.randn(TAGS, TAGS, dtype=torch.float64), torch.randn(TAGS, dtype=torch.float64)
    target = torch.tensor([[1, 2, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 2, 0]])

    def log_prob(labels: Tensor, scores: Tensor) -> Tensor:
        return TriangularChain(labels, LinearChain(scores, transitions, edge, edge, lengths)).log_prob(target)

    assert torch.autograd.gradcheck(log_prob, (labels, scores))
    found = TriangularChain(labels, LinearChain(scores, transitions, edge, edge, lengths))
    (gradient,) = torch.autograd.grad(found.log_prob(target).sum(), labels)
    close(gradient, torch.eye(LABELS)[target[:, 0]] - found.label_marginals())


def test_float32_keeps_its_digits_over_a_long_row() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = 5 * torch.randn(LABELS, 2000, TAGS, generator=generator)
    transitions, edge, lengths = (
        torch.randn(TAGS, TAGS, generator=generator),
        torch.zeros(TAGS),
        torch.tensor([2000] * LABELS),
    )
    labels = torch.zeros(1, LABELS)
    found = TriangularChain(labels, LinearChain(scores, transitions, edge, edge, lengths))
    exact = TriangularChain(
        labels.double(), LinearChain(scores.double(), transitions.double(), edge.double(), edge.double(), lengths)
    )
    path = found.best().path
    assert abs(float(found.log_prob(path)) - float(exact.log_prob(path))) < 1e-2
    assert float(found.log_prob(path)) <= 0


def test_a_row_in_which_nothing_is_possible() -> None:
    lengths = torch.tensor([2, 2])
    tags = LinearChain(torch.full((2, 2, 2), -INF), torch.zeros(2, 2), torch.zeros(2), torch.zeros(2), lengths)
    found = TriangularChain(torch.zeros(1, 2, requires_grad=True), tags)
    answer = torch.zeros(1, 3, dtype=torch.int64)
    assert torch.isneginf(found.log_partition()).all() and torch.isneginf(found.log_prob(answer)).all()
    assert not found.label_marginals().any() and not torch.isnan(found.marginals()).any()


@pytest.mark.parametrize(
    ("labels", "rows", "expected_message"),
    [
        (torch.zeros(2, 0), 0, "at least one label"),
        (torch.zeros(2), 2, "of shape"),
        (torch.zeros(2, 2, dtype=torch.int64), 4, "floating-point"),
        (torch.zeros(2, 2), 3, "expected 4 rows, one for each label of each row, found 3"),
        (torch.zeros(1, 2), 2, "the same length under all labels"),
    ],
)
def test_wrong_shapes(labels: Tensor, rows: int, expected_message: str) -> None:
    tags = LinearChain(
        torch.zeros(rows, 2, 2), torch.zeros(2, 2), torch.zeros(2), torch.zeros(2), torch.arange(rows) % 3
    )
    with pytest.raises(ValueError, match=expected_message):
        TriangularChain(labels, tags)


def test_wrong_targets() -> None:
    found = made()
    for target, expected_message in (
        (torch.zeros(ROWS, STEPS, dtype=torch.int64), "a label and its tags"),
        (torch.full((ROWS, 1 + STEPS), 2), "expected labels from 0 to 1"),
    ):
        for verb in (found.log_prob, found.score):
            with pytest.raises(ValueError, match=expected_message):
                verb(target)
