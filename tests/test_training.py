"""Training: one seed decides everything, a resumed run has the same bits, and the best weights stay."""

from __future__ import annotations

import copy
import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

import miniature
import numpy as np
import pytest
import torch
from torch import Tensor

from structseq import compiling, training
from structseq.batch import batch_by_length
from structseq.data.example import Example
from structseq.data.reading import Corpus
from structseq.errors import ConfigError, DataError, TrainingError
from structseq.heads import TAGGERS
from structseq.model import Model
from structseq.training import Progress, State, train

CORPUS = miniature.corpus()
Layer = Mapping[str, Any]


def run(*layers: Layer, seed: int = 0, corpus: Corpus = CORPUS) -> tuple[Model, list[Progress]]:
    model = miniature.model(*layers)
    return model, list(train(model, corpus, seed=seed))


def weights(model: Model) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def options_of(**values: Any) -> Layer:
    return {"training": values}


# -- one seed decides everything ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", TAGGERS)
def test_same_seed_same_bits_other_seed_others(head: str) -> None:
    layer = {"head": {"type": head}}
    (one, history), (two, again), (other, _) = run(layer, seed=1), run(layer, seed=1), run(layer, seed=2)
    assert same(weights(one), weights(two)) and history == again
    assert not same(weights(one), weights(other))


def test_what_the_caller_draws_does_not_matter_and_is_not_touched() -> None:
    expected, _ = run()
    model = miniature.model()
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    for number, _ in enumerate(train(model, CORPUS, seed=0)):
        before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
        torch.rand(number + 1)
        torch.set_rng_state(before[0])
    torch.manual_seed(99)
    assert torch.equal(torch.get_rng_state(), before[0]), "training left the caller's chance as it was"
    random.seed(99)
    assert random.getstate() == before[1]
    assert same(weights(model), weights(expected))


@pytest.mark.parametrize("head", TAGGERS)
def test_without_numba_learning_is_the_same_up_to_rounding(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = {"head": {"type": head}}
    compiled, history = run(layer)
    monkeypatch.setattr(compiling, "numba_available", lambda: False)
    derived, again = run(layer)
    assert [progress.loss for progress in again] == pytest.approx([progress.loss for progress in history], abs=1e-3)
    state = derived.state_dict()
    for name, value in compiled.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0.02)


def test_modes_and_threads_are_the_callers_between_updates() -> None:
    model, threads = miniature.model(options_of(threads=2)), torch.get_num_threads()
    for _ in train(model, CORPUS, seed=0):
        assert torch.get_num_threads() == threads
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    assert not model.training


def test_threads_give_the_same_bits() -> None:
    (one, history), (two, again) = run(options_of(threads=1)), run(options_of(threads=2))
    assert same(weights(one), weights(two))
    assert [progress.loss for progress in history] == [progress.loss for progress in again]


def test_the_examples_of_the_batches_follow_from_seed_and_epoch() -> None:
    model = miniature.model()
    seen: dict[int, list[list[tuple[str, ...]]]] = {}
    for seed in (0, 0, 1):
        learner = copy.deepcopy(model)
        batches: list[list[tuple[str, ...]]] = []
        encode = learner.inputs.encode

        def spy(examples: list[Example], batches: Any = batches, encode: Any = encode, learner: Any = learner) -> Any:
            if learner.training:
                batches.append([example.tokens for example in examples])
            return encode(examples)

        learner.inputs.encode = spy  # type: ignore[method-assign]
        list(train(learner, CORPUS, seed=seed))
        assert seed not in seen or seen[seed] == batches
        seen[seed] = batches
    assert seen[0] != seen[1]
    steps = len(seen[0]) // 3
    epochs = [seen[0][place : place + steps] for place in range(0, len(seen[0]), steps)]
    assert epochs[0] != epochs[1] != epochs[2]
    for epoch in epochs:
        assert sorted(itertools.chain.from_iterable(epoch)) == sorted(example.tokens for example in CORPUS.train)
        assert all(len(batch) <= 4 for batch in epoch)


# -- resuming ----------------------------------------------------------------------------------------------------------


def through_a_file(state: State) -> State:
    """As a checkpoint keeps it: numbers as JSON, tensors as bytes."""
    numbers = json.loads(json.dumps(state.numbers, allow_nan=False))
    return State(numbers, {name: torch.from_numpy(value.numpy().copy()) for name, value in state.tensors.items()})


@pytest.mark.parametrize(("head", "average"), [("crf", "ema"), ("crf", "none"), *((head, "mean") for head in TAGGERS)])
def test_resuming_from_any_update_ends_in_the_same_bits(head: str, average: str) -> None:
    layers = ({"head": {"type": head}}, options_of(average=average, epochs=2, batch_sentences=6, patience=2))
    model = miniature.model(*layers)
    history, states = [], []
    for progress in train(model, CORPUS, seed=4):
        history.append(progress)
        states.append(through_a_file(progress.state()))
    assert len(states) == 6 and [progress.ends_epoch for progress in history] == [False, False, True] * 2
    expected = weights(model)
    for done, state in enumerate(states, start=1):
        again = miniature.model(*layers, seed=77)  # other first weights: the state brings its own
        rest = list(train(again, CORPUS, seed=4, state=state))
        assert rest == history[done:], f"after update {done}"
        assert same(weights(again), expected), f"after update {done}"


def test_resuming_from_a_state_of_a_resumed_run() -> None:
    model, history = run()
    state: State | None = None
    for progress in history:
        learner = miniature.model()
        here = next(train(learner, CORPUS, seed=0, state=state))
        assert here == progress
        state = through_a_file(here.state())
    assert state is not None
    learner = miniature.model()
    assert list(train(learner, CORPUS, seed=0, state=state)) == []
    assert same(weights(learner), weights(model)), "a finished run that resumes only takes the best"


def test_without_a_dev_set_too() -> None:
    corpus = Corpus(CORPUS.train)
    model, history = run(corpus=corpus)
    states = [progress.state() for progress in train(miniature.model(), corpus, seed=0)]
    again = miniature.model()
    assert list(train(again, corpus, seed=0, state=states[4])) == history[5:]
    assert same(weights(again), weights(model))


def test_a_state_is_a_copy() -> None:
    running = train(miniature.model(), CORPUS, seed=0)
    state = next(running).state()
    numbers, tensors = copy.deepcopy(state.numbers), copy.deepcopy(state.tensors)
    list(running)
    assert state.numbers == numbers and same(state.tensors, tensors)
    model = miniature.model()
    list(train(model, CORPUS, seed=0, state=state))
    assert state.numbers == numbers and same(state.tensors, tensors), "resuming from it does not use it up"


def test_asking_for_states_changes_nothing() -> None:
    expected, _ = run()
    model = miniature.model()
    for progress in train(model, CORPUS, seed=0):
        progress.state()
        progress.state()
    assert same(weights(model), weights(expected))


def state_of(*layers: Layer, updates: int = 5, seed: int = 0, corpus: Corpus = CORPUS) -> State:
    running = train(miniature.model(*layers), corpus, seed=seed)
    return next(itertools.islice(running, updates - 1, None)).state()


# what the state was made with, what resumes from it
FOREIGN: dict[str, tuple[Layer, Layer]] = {
    "a wider encoder": ({}, {"encoder": {"width": 6}}),
    "a deeper encoder": ({}, {"encoder": {"layers": 2}}),
    "a shallower encoder": ({"encoder": {"layers": 2}}, {}),
    "another head": ({}, {"head": {"type": "softmax"}}),
    "averages that are not there": (options_of(average="none"), options_of(average="ema")),
    "averages that are not wanted": (options_of(average="ema"), options_of(average="none")),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_state_of_another_model_is_refused(name: str) -> None:
    made, resumed = FOREIGN[name]
    with pytest.raises(TrainingError, match="checkpoint"):
        next(train(miniature.model(resumed), CORPUS, seed=0, state=state_of(made)))


def test_a_state_of_another_seed_is_refused() -> None:
    with pytest.raises(TrainingError, match="seed"):
        next(train(miniature.model(), CORPUS, seed=1, state=state_of(seed=0)))


def test_a_state_of_another_corpus_is_refused_and_training_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    state, smaller = state_of(updates=3), Corpus(CORPUS.train[:4], CORPUS.dev)
    calls = itertools.count()

    def counted(*arguments: Any, **more: Any) -> list[np.ndarray]:
        assert next(calls) < 50, "it asks for one epoch after another and trains none"
        return batch_by_length(*arguments, **more)

    monkeypatch.setattr(training, "batch_by_length", counted)
    with pytest.raises(TrainingError):
        list(train(miniature.model(), smaller, seed=0, state=state))


def test_a_damaged_state_is_refused() -> None:
    state = state_of()
    weight = "head.emission.weight"
    for name in (*(f"{group}.{weight}" for group in ("weights", "best", "average", "adamw.exp_avg")), "random.cpu"):
        tensors = {key: value for key, value in state.tensors.items() if key != name}
        assert len(tensors) == len(state.tensors) - 1
        with pytest.raises(TrainingError):
            next(train(miniature.model(), CORPUS, seed=0, state=State(state.numbers, tensors)))
    for number in state.numbers:
        numbers = {key: value for key, value in state.numbers.items() if key != number}
        with pytest.raises(TrainingError):
            next(train(miniature.model(), CORPUS, seed=0, state=State(numbers, state.tensors)))


# -- progress ----------------------------------------------------------------------------------------------------------


def test_progress_counts_epochs_updates_and_tokens() -> None:
    model, history = run()
    assert [progress.update for progress in history] == list(range(1, len(history) + 1))
    assert [progress.epoch for progress in history] == [1] * 4 + [2] * 4 + [3] * 4
    assert [progress.step for progress in history] == [1, 2, 3, 4] * 3
    assert {progress.steps for progress in history} == {4}
    tokens = sum(map(len, CORPUS.train))
    for epoch in (history[:4], history[4:8], history[8:]):
        assert sum(progress.tokens for progress in epoch) == tokens
        assert [progress.ends_epoch for progress in epoch] == [False] * 3 + [True]
        assert [progress.dev_score is None for progress in epoch] == [True] * 3 + [False]
        assert all(math.isfinite(progress.loss) and progress.gradient_norm > 0 for progress in epoch)
    assert [progress.finished for progress in history[:-1]] == [None] * 11
    assert history[-1].finished == f"stopped: all 3 epochs done, best epoch {history[-1].best_epoch}"
    assert "_trainer" not in repr(history[0])
    assert model.training is False


def test_loss_is_a_mean_a_token_and_falls() -> None:
    options = {"inputs": {"dropout": 0, "word_dropout": 0, "words": {"unknown_rate": 0}}, "encoder": {"dropout": 0}}
    layers = (
        options,
        {"encoder": {"recurrent_dropout": 0}},
        options_of(epochs=100, average="none", batch_sentences=100),
    )
    model = miniature.model(*layers)
    batch = model.inputs.encode(CORPUS.train)
    targets = [model.head.target(example) for example in CORPUS.train]
    padded = torch.zeros(batch.ids.shape, dtype=torch.int64)
    for row, target in zip(padded, targets, strict=True):
        row[: len(target)] = torch.tensor(target)
    expected = float(model.loss(batch, padded).sum().detach()) / sum(map(len, CORPUS.train))
    history = list(train(model, CORPUS, seed=0))
    assert history[0].loss == pytest.approx(expected, rel=1e-5)
    assert history[-1].loss < history[0].loss / 10
    assert list(model.predict(CORPUS.train)) == [example.tags for example in CORPUS.train]


def test_an_epochs_loss_is_the_mean_over_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    each: list[tuple[float, int]] = []
    step = training._Trainer._step

    def spy(self: Any, rows: np.ndarray) -> tuple[float, float, int]:
        loss, norm, tokens = step(self, rows)
        each.append((loss, tokens))
        return loss, norm, tokens

    monkeypatch.setattr(training._Trainer, "_step", spy)
    _, history = run(options_of(epochs=2))
    for epoch in (0, 1):
        part = each[4 * epoch : 4 * epoch + 4]
        mean = sum(loss * tokens for loss, tokens in part) / sum(tokens for _, tokens in part)
        assert history[4 * epoch + 3].loss == pytest.approx(mean)


# -- learning rate, clipping, averaging --------------------------------------------------------------------------------


@pytest.mark.parametrize(("warmup", "final"), [(0.0, 0.05), (0.3, 0.0), (0.5, 1.0), (0.99, 0.1)])
def test_the_rate_rises_to_its_peak_and_falls_to_its_end(warmup: float, final: float) -> None:
    _, history = run(options_of(warmup=warmup, final_rate=final, epochs=5, learning_rate=0.01))
    rates = [progress.learning_rate for progress in history]
    assert len(rates) == 20 and all(0 <= rate <= 0.01 + 1e-12 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)
    if warmup < 0.99:
        assert rates[-1] == pytest.approx(0.01 * final)
        assert max(rates) >= 0.01 * (1 - 1 / (20 * max(1 - warmup, 0.05)))
    if warmup:
        assert rates[0] == pytest.approx(0.01 / max(1, warmup * 20))
    else:
        assert rates[0] == 0.01


def gradients_after(*layers: Layer) -> Iterator[tuple[Progress, list[Tensor]]]:
    model = miniature.model(*layers)
    for progress in train(model, CORPUS, seed=0):
        yield progress, [p.grad.clone() for p in model.parameters() if p.grad is not None]


def test_clipping_by_norm() -> None:
    clipped = []
    for progress, gradients in gradients_after(options_of(clip=0.5, clip_by="norm")):
        norm = float(torch.cat([gradient.flatten() for gradient in gradients]).norm())
        assert norm == pytest.approx(min(0.5, progress.gradient_norm), rel=1e-4), (
            "the reported norm is that before clipping"
        )
        clipped.append(progress.gradient_norm > 0.5)
    assert any(clipped) and not all(clipped), "what is small enough stays as it is"


def test_clipping_by_value() -> None:
    clipped = 0
    for progress, gradients in gradients_after(options_of(clip=0.01, clip_by="value")):
        values = torch.cat([gradient.flatten() for gradient in gradients])
        assert float(values.abs().max()) == pytest.approx(0.01)
        clipped += int((values.abs() > 0.00999).sum())
        assert progress.gradient_norm > float(values.norm())
    assert clipped > 10


def test_no_clipping() -> None:
    for progress, gradients in gradients_after(options_of(clip=0)):
        norm = float(torch.cat([gradient.flatten() for gradient in gradients]).norm())
        assert norm == pytest.approx(progress.gradient_norm, rel=1e-4)


def test_the_mean_and_the_moving_average_lie_between_the_weights_that_were(monkeypatch: pytest.MonkeyPatch) -> None:
    for average in ("ema", "mean"):
        model = miniature.model(options_of(average=average, epochs=2))
        low = high = model.head.emission.weight.detach().clone()  # type: ignore[union-attr]
        for progress in train(model, Corpus(CORPUS.train), seed=0):
            now = model.head.emission.weight.detach().clone()  # type: ignore[union-attr]
            low, high = torch.minimum(low, now), torch.maximum(high, now)
            mean = progress.state().tensors["average.head.emission.weight"]
            assert ((mean >= low - 1e-6) & (mean <= high + 1e-6)).all()
            if progress.update > 2:
                assert not torch.equal(mean, now)
        assert torch.equal(model.head.emission.weight.detach(), mean), "without a dev set the last average is the model"  # type: ignore[union-attr]


def test_averaging_is_the_heads_default_unless_set() -> None:
    for head, average in (("crf", "ema"), ("perceptron", "mean"), ("softmax", "ema")):
        own, _ = run({"head": {"type": head}})
        explicit, _ = run({"head": {"type": head}}, options_of(average=average))
        assert same(weights(own), weights(explicit))


def test_frozen_weights_stay() -> None:
    model = miniature.model()
    frozen = model.head.emission.weight  # type: ignore[union-attr]
    frozen.requires_grad_(False)
    before = frozen.clone()
    list(train(model, CORPUS, seed=0))
    assert torch.equal(frozen, before)


# -- stopping, and the best --------------------------------------------------------------------------------------------


def scripted(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> list[dict[str, Tensor]]:
    """Dev scores from a list; answers the weights that were judged, epoch by epoch."""
    judged: list[dict[str, Tensor]] = []
    given = iter(scores)

    def judge(model: Model, examples: list[Example]) -> float:
        judged.append({name: p.detach().clone() for name, p in model.named_parameters()})
        return next(given)

    monkeypatch.setattr(training, "score_examples", judge)
    return judged


@pytest.mark.parametrize("average", ["none", "ema", "mean"])
def test_the_model_ends_with_the_weights_that_were_judged_best(average: str, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = scripted(monkeypatch, [0.1, 0.7, 0.3, 0.7, 0.2])
    model, history = run(options_of(epochs=5, average=average))
    ends = [progress for progress in history if progress.ends_epoch]
    assert [progress.dev_score for progress in ends] == [0.1, 0.7, 0.3, 0.7, 0.2]
    assert [progress.best_score for progress in ends] == [0.1, 0.7, 0.7, 0.7, 0.7]
    assert [progress.best_epoch for progress in ends] == [1, 2, 2, 2, 2], "the first of equals stays"
    assert same({name: p.detach() for name, p in model.named_parameters()}, judged[1])


def test_judging_leaves_the_weights_in_training_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.5] * 3)
    one, _ = run(options_of(average="ema"))
    judged, _ = run(options_of(average="ema"), corpus=Corpus(CORPUS.train))
    states = [
        [progress.state().tensors for progress in train(miniature.model(options_of(average="ema")), corpus, seed=0)]
        for corpus in (Corpus(CORPUS.train),)
    ]
    scripted(monkeypatch, [0.5] * 3)
    with_dev = [p.state().tensors for p in train(miniature.model(options_of(average="ema")), CORPUS, seed=0)]
    for plain, dev in zip(states[0], with_dev, strict=True):
        for name, value in plain.items():
            assert name.startswith("best.") or torch.equal(value, dev[name]), name
    assert one.state_dict().keys() == judged.state_dict().keys()


@pytest.mark.parametrize(
    ("scores", "patience", "epochs", "best"),
    [
        ([0.5, 0.4, 0.3, 0.9], 2, 3, 1),
        ([0.1, 0.2, 0.3, 0.3, 0.3, 0.9], 2, 5, 3),
        ([0.0, 0.0, 0.0], 1, 3, 3),  # nothing found yet: the later weights know more, and patience has not begun
        ([0.0, 0.0, 0.1, 0.0, 0.0, 0.3, 0.2, 0.0, 0.2, 0.9], 2, 9, 6),  # nor does it count passes that find nothing
        ([0.1, 0.2, 0.3, 0.4], 1, 4, 4),
    ],
)
def test_early_stopping(
    scores: list[float], patience: int, epochs: int, best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, scores)
    _, history = run(options_of(epochs=len(scores), patience=patience))
    assert history[-1].epoch == epochs and history[-1].best_epoch == best
    assert history[-1].finished is not None and f"best epoch {best}" in history[-1].finished
    if epochs < len(scores):
        assert history[-1].finished.startswith(f"stopped: no better dev score for {patience} epoch")


def test_little_data_are_read_more_often() -> None:
    planned = [training.planned_epochs(steps) for steps in (1, 2, 10, 50, 100, 500, 1000, 10**6)]
    assert planned == sorted(planned, reverse=True) and planned[-1] == 20 and planned[0] > 20
    running = train(miniature.model(options_of(epochs=0)), CORPUS, seed=0)
    progress = next(running)
    assert progress.epochs == training.planned_epochs(progress.steps)
    assert next(train(miniature.model(options_of(epochs=2)), CORPUS, seed=0)).epochs == 2


def test_how_to_decide_is_chosen_on_dev_at_the_end_and_nowhere_else() -> None:
    def bias(model: Model) -> float:
        return float(model.state_dict()["head.outside_bias"])

    (tuned, history), (neutral, again) = run(options_of(tune_decision=True)), run(options_of(tune_decision=False))
    alone, _ = run(options_of(tune_decision=True), corpus=Corpus(CORPUS.train))
    assert history == again and bias(neutral) == bias(alone) == 0.0
    assert same(dict(tuned.named_parameters()), dict(neutral.named_parameters()))
    assert bias(tuned) in tuned.head.bias_candidates()


def test_the_decision_chosen_is_the_best_of_its_neighbourhood() -> None:
    model, _ = run(options_of(epochs=2))
    dev = list(miniature.sentences(40, seed=8))
    ways = list(model.head.bias_candidates())
    scores = []
    for way in ways:
        model.head.set_bias(way)
        scores.append(training.score_examples(model, dev))
    model.tune(dev)
    chosen = ways.index(float(model.state_dict()["head.outside_bias"]))
    edged = [scores[0], *scores, scores[-1]]
    smooth = [(edged[n] + 2 * edged[n + 1] + edged[n + 2]) / 4 for n in range(len(ways))]
    assert smooth[chosen] == pytest.approx(max(smooth), abs=1e-6)
    model.tune([])
    assert ways.index(float(model.state_dict()["head.outside_bias"])) == chosen, "nothing to choose by, nothing changed"


def test_without_a_dev_set_all_epochs_are_run_and_nothing_is_scored() -> None:
    model, history = run(options_of(patience=1, epochs=4), corpus=Corpus(CORPUS.train))
    assert history[-1].epoch == 4
    assert all(progress.dev_score is None and progress.best_score is None for progress in history)
    assert model.training is False


def test_a_dev_set_of_empty_sentences_is_no_trouble() -> None:
    _, history = run(corpus=Corpus(CORPUS.train, (Example.of([], []),)))
    assert history[-1].dev_score is not None


def test_dev_tags_that_training_never_saw_are_misses_and_no_error() -> None:
    strange = Example.of(["to", "Rome"], ["O", "B-unheard-of"])
    for scheme in ("auto", "BIOES"):
        _, history = run({"head": {"scheme": scheme}}, corpus=Corpus(CORPUS.train, (strange,)))
        assert history[-1].dev_score == 0.0


def test_whoever_stops_early_keeps_the_weights_of_that_moment() -> None:
    model = miniature.model()
    running = train(model, CORPUS, seed=0)
    for progress in itertools.islice(running, 3):
        state = progress.state()
    running.close()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, state.tensors[f"weights.{name}"])


# -- what cannot be learned from ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("examples", [(), (Example.of([], []),), (Example.of(["a"], ["B-unknown"]),)], ids=len)
def test_nothing_to_learn_from(examples: tuple[Example, ...]) -> None:
    with pytest.raises(DataError, match=r"at least one example (whose answer|that is not empty)"):
        next(train(miniature.model(), Corpus(examples), seed=0))


def test_training_examples_without_tags_are_named() -> None:
    with pytest.raises(DataError, match="has no tags"):
        next(train(miniature.model(), Corpus((Example.of(["to"]),)), seed=0))


def test_sentences_that_cannot_be_learned_from_are_left_out() -> None:
    strange = (
        Example.of(["to", "Rome"], ["O", "B-unheard-of"]),
        Example.of([], []),
        Example.of(["New", "York"], ["O", "I-arrival"]),
        Example.of(["a", "b"], ["O", "no tag at all"]),
    )
    mixed = Corpus((*strange, *CORPUS.train, *strange), CORPUS.dev)
    expected, history = run()
    model, again = run(corpus=mixed)
    assert [progress.tokens for progress in again] == [progress.tokens for progress in history]
    assert same(weights(model), weights(expected))


def broken(monkeypatch: pytest.MonkeyPatch, number: float, *, at: int) -> None:
    loss, calls = Model.loss, itertools.count(1)

    def spoiled(self: Model, batch: Any, target: Tensor) -> Tensor:
        found = loss(self, batch, target)
        return found * number if next(calls) == at else found

    monkeypatch.setattr(Model, "loss", spoiled)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_training_with_a_word_and_sound_weights(
    number: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, number, at=3)
    model, history, random_state = miniature.model(), [], torch.get_rng_state()
    with pytest.raises(TrainingError, match=r"update 3; lower training\.learning_rate"):
        for progress in train(model, CORPUS, seed=0):
            history.append(progress)
    assert len(history) == 2
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_diverging_ends_with_a_word() -> None:
    with pytest.raises(TrainingError, match="lower"):
        run(options_of(learning_rate=1e30, clip=0, warmup=0, epochs=20))


def test_unknown_devices_are_errors_of_options() -> None:
    for device in ("gpu", "cuda:99" if not torch.cuda.is_available() else "tpu"):
        with pytest.raises(ConfigError, match=r"training\.device"):
            next(train(miniature.model(options_of(device=device)), CORPUS, seed=0))


@pytest.mark.parametrize("seed", [0, 2**32 - 1, 2**63 - 1])
def test_any_seed(seed: int) -> None:
    running = train(miniature.model(), CORPUS, seed=seed)
    state = through_a_file(next(running).state())
    expected = next(running)
    again = miniature.model()
    assert next(train(again, CORPUS, seed=seed, state=state)) == expected


@pytest.mark.parametrize("scheme", ["plain", "IO", "BIOES"])
def test_other_schemes_learn_too(scheme: str) -> None:
    tags = {"plain": ["P", "N", "P", "N"], "IO": ["O", "I-x", "I-x", "O"], "BIOES": ["O", "B-x", "E-x", "O"]}[scheme]
    examples = tuple(Example.of([f"w{tag}{n % 3}" for tag in tags], tags) for n in range(8))
    model = miniature.model(options_of(epochs=12), examples=examples, scheme=scheme)
    history = list(train(model, Corpus(examples, examples[:2]), seed=0))
    assert history[-1].best_score == 1.0
    assert list(model.predict(examples)) == [example.tags for example in examples]


def test_one_sentence_and_one_update() -> None:
    corpus = Corpus(CORPUS.train[:1], CORPUS.dev[:1])
    _, history = run(options_of(epochs=1), corpus=corpus)
    assert len(history) == 1 and history[0].ends_epoch and history[0].finished is not None
    assert history[0].learning_rate == pytest.approx(0.02)
