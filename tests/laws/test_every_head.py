"""What every head must satisfy, for all types of answers: each law for each row of HEADS, on its own model."""

from __future__ import annotations

from functools import cache

import miniature
import pytest
import torch

from structseq.data.example import Example
from structseq.heads import HEADS
from structseq.model import Model
from structseq.spans import PLAIN, scheme_of
from structseq.tasks import task_of
from structseq.training import usable_examples

heads = pytest.mark.parametrize("name", HEADS)
WORDS = ("to", "Taipei", "from", "Oslo", "on", "Monday")


def examples() -> list[Example]:
    """Sentences of several lengths with every answer that a head may learn from."""
    made = []
    for n in range(8):
        tokens = tuple(WORDS[(n + k) % 6] for k in range(2 + n % 4))
        tags = tuple("B-city" if token in ("Taipei", "Oslo") else "O" for token in tokens)
        target = tuple(token for token, tag in zip(tokens, tags, strict=True) if tag != "O")
        made.append(Example({"tokens": tokens}, {"tags": tags, "label": tokens[0], "target": target}))
    return made


@cache
def rows_for(name: str) -> list[Example]:
    rows = examples()
    if name == "trim":  # which answers with the frames' tags themselves
        rows = [Example(row.inputs, {**row.targets, "tags": row.tokens, "target": row.tokens}) for row in rows]
    if name == "words":
        rows = [Example(row.inputs, {**row.targets, "tags": row.tokens, "target": row.tokens[::2]}) for row in rows]
    return rows


@cache
def model(name: str) -> Model:
    """With random weights: nothing was trained."""
    scheme = scheme_of("BIO") if "tags" in task_of(HEADS[name]).required_targets else PLAIN
    options = miniature.options({"head": {"type": name}, "data": {"columns": {}}})
    return Model.prepare(options, rows_for(name), scheme, seed=0).eval()


def usable_rows(name: str) -> list[Example]:
    kept, _ = usable_examples(model(name), rows_for(name))
    return kept


@heads
def test_losses_are_finite_and_have_gradients(name: str) -> None:
    made = model(name)
    kept = usable_rows(name)
    target = made.head.pad([made.head.target(row) for row in kept])
    losses = made.loss(made.inputs.encode(kept), target)
    assert losses.shape == (len(kept),) and bool(losses.isfinite().all()) and bool((losses >= -1e-5).all())
    gradients = torch.autograd.grad(losses.sum(), [p for p in made.parameters() if p.requires_grad], allow_unused=True)
    assert any(g is not None and bool(g.abs().sum() > 0) for g in gradients)
    assert all(bool(g.isfinite().all()) for g in gradients if g is not None)


@heads
def test_a_row_is_answered_alike_alone_and_beside_others(name: str) -> None:
    made = model(name)
    together = list(made.predict(rows_for(name)))
    assert together == [next(iter(made.predict([row]))) for row in rows_for(name)]


@heads
def test_a_loss_is_the_rows_own(name: str) -> None:
    made = model(name)
    kept = usable_rows(name)
    every = made.loss(made.inputs.encode(kept), made.head.pad([made.head.target(row) for row in kept]))
    for number, row in enumerate(kept):
        alone = made.loss(made.inputs.encode([row]), made.head.pad([made.head.target(row)]))
        torch.testing.assert_close(alone[0], every[number], rtol=1e-4, atol=1e-4)


@heads
def test_a_batch_of_nothing_is_answered_with_nothing(name: str) -> None:
    assert list(model(name).predict([])) == []


@heads
def test_vectors_have_one_width(name: str) -> None:
    made = model(name)
    vectors = made.embed(rows_for(name))
    assert vectors.shape == (len(rows_for(name)), made.embedding_width)


@heads
def test_the_task_scores_its_own_gold_as_perfect_or_not_at_all(name: str) -> None:
    """Perplexity knows no perfect answer; every other criterion is 1 for gold."""
    made = model(name)
    gold = [made.task.gold(row) for row in rows_for(name)]
    report = made.task.report(made, rows_for(name))
    assert 0.0 <= report.criterion <= 1.0 and report.text() and report.to_dict()["criterion"] == report.criterion
    if name != "language_model":
        assert made.task.criterion(gold, gold) == 1.0


@heads
def test_names_along_axes_fit_the_parameters(name: str) -> None:
    made = model(name)
    shapes = {parameter: value.shape for parameter, value in made.head.named_parameters()}
    for parameter, axes in made.head.named_axes().items():
        if parameter in shapes:
            assert len(axes) == len(shapes[parameter]), parameter
            assert all(names is None or len(names) == size for names, size in zip(axes, shapes[parameter], strict=True))


@heads
def test_its_card_and_predictor_are_there(name: str) -> None:
    from structseq.inference import PREDICTORS
    from structseq.section import resolve_class

    task = model(name).task
    assert resolve_class(PREDICTORS, task.predictor, "predictor")
    card = task.card()
    assert card.title and card.usage.startswith("from structseq") and task.noun and task.title
