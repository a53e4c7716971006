"""What holds for every head with a temperature: no answer changes, the likelihood decides, and it can be turned off."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_every_head import model, rows_for, usable_rows
from torch import Tensor

from structseq.data.reading import Corpus
from structseq.heads import HEADS
from structseq.heads.temperature import TemperedHead
from structseq.model import Model
from structseq.structures.tagged_segments import TaggedSegments
from structseq.training import train

NAMES = [name for name, kind in HEADS.items() if issubclass(kind, TemperedHead)]
heads = pytest.mark.parametrize("name", NAMES)


def temperature_of(head: Any) -> Tensor:
    temperature: Tensor = head.get_buffer(head.temperature_buffer)
    return temperature


@pytest.fixture
def sharp(name: str) -> Any:
    """The model with larger scores, so that answers differ in probability; it is put back afterwards."""
    made = model(name)
    before = {key: value.clone() for key, value in made.state_dict().items()}
    with torch.no_grad():
        for parameter in made.head.parameters():
            parameter.mul_(3)
    yield made
    made.load_state_dict(before)


def distribution_of(made: Model, name: str, copies: int = 1) -> Any:
    with torch.inference_mode():
        return made.distribution(made.inputs.encode(rows_for(name) * copies))


def drawn(distribution: Any) -> list[list[int]]:
    """An answer for each row."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(distribution, TaggedSegments):
        (found,) = (distribution._tags(each) for each in distribution.segments.sample(1, generator))
    else:
        (found,) = distribution.sample(1, generator)
    return cut(found, distribution)


def cut(paths: Tensor, distribution: Any) -> list[list[int]]:
    """Paths without padding; those of a joint head begin with a label."""
    more = paths.shape[1] - int(distribution.lengths.max())
    return [row[: more + size] for row, size in zip(paths.tolist(), distribution.lengths.tolist(), strict=True)]


def test_the_heads_are_those_of_tags_and_labels() -> None:
    assert set(HEADS) - set(NAMES) == {"ctc", "generate", "autoencode", "language_model"}


@heads
def test_calibration_changes_no_answer_and_no_loss(name: str, sharp: Model) -> None:
    head, kept = sharp.head, usable_rows(name)
    target = head.pad([head.target(row) for row in kept])

    def outcome(temperature: float) -> tuple[Any, Tensor]:
        """Answers without a bias against O and, if scores are log-probabilities, with each; and losses."""
        temperature_of(head).fill_(temperature)
        answers = []
        for bias in (0.0, *(head.bias_candidates() if head.learns_log_probs else ())):
            head.set_bias(bias)
            answers.append(list(sharp.predict(rows_for(name))))
        return answers, sharp.loss(sharp.inputs.encode(kept), target).detach()

    answers, loss = outcome(1.0)
    for temperature in (0.3, 0.9, 4.0):
        again, same_loss = outcome(temperature)
        assert again == answers and torch.equal(loss, same_loss)


@heads
def test_every_score_is_divided_and_probabilities_agree(name: str, sharp: Model) -> None:
    temperature_of(sharp.head).fill_(1.0)
    raw = distribution_of(sharp, name)
    temperature_of(sharp.head).fill_(2.5)
    found = distribution_of(sharp, name)
    best = raw.best()
    torch.testing.assert_close(found.best().score, best.score / 2.5, rtol=1e-4, atol=1e-4)
    expected = best.score / 2.5 - found.log_partition()
    torch.testing.assert_close(found.log_prob(best.path), expected, rtol=1e-4, atol=1e-4)
    assert found.calibrated


@heads
def test_on_answers_drawn_from_the_model_the_temperature_is_that_of_drawing(name: str, sharp: Model) -> None:
    head = sharp.head
    temperature_of(head).fill_(1.0)
    raw = distribution_of(sharp, name, copies=50)
    for temperature in (1.0, 2.0):
        answers = drawn(raw.tempered(temperature))
        head.calibrate(lambda gold=answers: [(raw, gold)])
        assert float(temperature_of(head)) == pytest.approx(temperature, rel=0.2)


@heads
def test_unknown_answers_are_left_out(name: str, sharp: Model) -> None:
    head = sharp.head
    raw = distribution_of(sharp, name)
    answers = drawn(raw)
    unknown, fresh = [None] * len(answers), float(head.learns_log_probs)
    for nothing in ([], [(raw, unknown)]):
        head.calibrate(lambda known=nothing: known)
        assert float(temperature_of(head)) == fresh
    head.calibrate(lambda: [(raw, answers)])
    alone = float(temperature_of(head))
    head.calibrate(lambda: [(raw, answers), (raw, unknown)])
    assert float(temperature_of(head)) == pytest.approx(alone, rel=1e-3) and alone != fresh


@pytest.mark.parametrize("name", [name for name in NAMES if HEADS[name].learns_log_probs])
def test_a_few_right_answers_do_not_make_sure(name: str, sharp: Model) -> None:
    raw = distribution_of(sharp, name)
    sharp.head.calibrate(lambda: [(raw, cut(raw.best().path, raw))])
    assert 0.02 < float(temperature_of(sharp.head)) < 1


@heads
def test_training_fits_it_on_dev_unless_told_not_to(name: str) -> None:
    rows = usable_rows(name)
    trained = []
    for calibrate in (True, False):
        options = model(name).options.model_copy(
            update={"training": model(name).options.training.model_copy(update={"calibrate": calibrate, "epochs": 1})}
        )
        scheme = model(name).tags.file_scheme
        made = Model.prepare(options, rows, scheme, seed=0)
        for _ in train(made, Corpus(rows, rows), options.training):
            pass
        trained.append(made)
    fitted, raw = trained
    assert all(torch.equal(one, other) for one, other in zip(fitted.parameters(), raw.parameters(), strict=True))
    assert float(temperature_of(raw.head)) == float(raw.head.learns_log_probs) != float(temperature_of(fitted.head)) > 0
    assert distribution_of(fitted, name).calibrated
    assert distribution_of(raw, name).calibrated == raw.head.learns_log_probs
