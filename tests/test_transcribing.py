"""Answers shorter than their frames: CTC's loss against enumeration and torch, trimming's blind spot, and the loop of
words by hand-made paths."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import miniature
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from task_for_head import task_for
from torch import Tensor, nn

from structseq.config import Options
from structseq.data.example import Example
from structseq.data.reading import Corpus
from structseq.errors import ConfigError
from structseq.heads.base import Head
from structseq.heads.transcribing import SILENCE, CtcHead, FrameHead, TrimHead, WordLoopHead, state_number
from structseq.model import Model
from structseq.padded import Padded
from structseq.spans import PLAIN, TagSet
from structseq.storage import load_model, save_model
from structseq.training import train, usable_examples

WIDTH = 4
DIGITS = TagSet(("3", "7"), PLAIN, PLAIN)
ANSWERS = [list(answer) for length in range(5) for answer in itertools.product((1, 2), repeat=length)]


def plain(*labels: str) -> TagSet:
    return TagSet(labels, PLAIN, PLAIN)


def head_of(kind: type[Head] = CtcHead, tags: TagSet = DIGITS, seed: int = 0, **options: object) -> Head:
    torch.manual_seed(seed)
    head = kind(WIDTH, tags, **options)
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    return head


def states_of(*lengths: int, seed: int = 0, dtype: torch.dtype = torch.float32, width: int = WIDTH) -> Padded:
    """Random rows; NaN in the padding."""
    generator = torch.Generator().manual_seed(seed)
    rows = Padded.of([torch.randn(length, width, generator=generator, dtype=dtype) for length in lengths])
    return rows.with_values(rows.values.masked_fill(~rows.mask().unsqueeze(-1), math.nan))


def example(target: str, steps: int = 9, tags: str = "") -> Example:
    answers: dict[str, tuple[str, ...]] = {"target": tuple(target.split())}
    return Example({"tokens": ("x",) * steps}, answers | ({"tags": tuple(tags.split())} if tags else {}))


def read(path: tuple[int, ...]) -> list[int]:
    """What a frame path says."""
    return [label for label, _ in itertools.groupby(path) if label != 0]


def enumerated(scores: Tensor) -> dict[tuple[int, ...], float]:
    """Probability of every answer to a row of scores (L, K), all frame paths added up."""
    chances = scores.double().softmax(-1).tolist()
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        answer = tuple(read(path))
        found[answer] = found.get(answer, 0.0) + math.prod(row[k] for row, k in zip(chances, path, strict=True))
    return found


def likelihood(head: Head, states: Padded, target: Tensor) -> Tensor:
    """-log_prob, as the distribution has it."""
    return -head(states).log_prob(target)


# -- the loss ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 4])
def test_log_prob_and_loss_are_the_sum_over_all_frame_paths(length: int) -> None:
    head, states = head_of(), states_of(length)
    truth = enumerated(head.emission(states.values[0]).detach())
    assert sum(truth.values()) == pytest.approx(1)
    for answer in ANSWERS:
        target = torch.tensor([answer], dtype=torch.int64)
        expected = truth.get(tuple(answer), 0.0)
        assert float(head(states).log_prob(target).detach().exp()) == pytest.approx(expected, abs=1e-6)
        if expected:
            assert float(head.loss(states, target).detach()) == pytest.approx(-math.log(expected), abs=1e-5)


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.float64, 1e-9)])
def test_the_loss_is_torchs_and_the_distributions_to_the_gradient(dtype: torch.dtype, near: float) -> None:
    head, states = head_of().to(dtype), states_of(30, 11, 5, 2, dtype=dtype)
    target = torch.tensor([[1, 1, 2, 1, 2], [2, 2, 2, 0, 0], [1, 2, 1, 0, 0], [0, 0, 0, 0, 0]])

    def torchs(head: Head, states: Padded, target: Tensor) -> Tensor:
        scores = head.emission(states.values.nan_to_num()).double().log_softmax(-1).transpose(0, 1)
        lengths = (target != 0).sum(1)
        return nn.functional.ctc_loss(scores, target, states.lengths, lengths, reduction="none").to(dtype)

    weights = torch.tensor([1.0, 0.5, 2.0, 3.0], dtype=dtype)
    found = []
    for way in (type(head).loss, likelihood, torchs):
        head.zero_grad()
        losses = way(head, states, target)
        (losses * weights).sum().backward()
        found.append([losses.detach(), *(parameter.grad.clone() for parameter in head.parameters())])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=near, atol=near)


def test_long_rows_in_single_precision_lose_nothing_in_the_gradient() -> None:
    head, states = head_of(), states_of(300)
    target = torch.tensor([[1, 1, 2, 1, 2, 2]])
    head.loss(states, target).sum().backward()
    single = [parameter.grad.clone() for parameter in head.parameters()]
    head.zero_grad()
    likelihood(head.double(), states.with_values(states.values.double()), target).sum().backward()
    for one, parameter in zip(single, head.parameters(), strict=True):
        torch.testing.assert_close(one.double(), parameter.grad, rtol=2e-6, atol=2e-5)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 9), st.lists(st.integers(1, 2), max_size=5)), min_size=1, max_size=4))
def test_the_loss_of_any_rows_is_the_distributions_and_never_infinite(rows: list[tuple[int, list[int]]]) -> None:
    head, states = head_of().double(), states_of(*(length for length, _ in rows), dtype=torch.float64)
    target = head.pad([answer for _, answer in rows])
    expected = likelihood(head, states, target).detach()
    losses = head.loss(states, target)
    fits = torch.tensor([
        len(answer) + sum(a == b for a, b in itertools.pairwise(answer)) <= length for length, answer in rows
    ])  # fmt: skip
    assert torch.equal(expected.isfinite(), fits)
    torch.testing.assert_close(losses, torch.where(fits, expected, 0.0), rtol=1e-9, atol=1e-9)


def test_what_frames_cannot_hold_teaches_nothing_and_changes_no_other_row() -> None:
    head, states = head_of(), states_of(4, 2, 3)
    target = torch.tensor([[1, 2, 0], [1, 1, 0], [1, 2, 1]])
    values = states.values.clone().requires_grad_()
    losses = head.loss(states.with_values(values), target)
    losses.sum().backward()
    assert losses[1] == 0 and (losses[[0, 2]] > 0).all()
    assert not values.grad[1].any() and values.grad[0].any() and values.grad[2, :3].any()
    together = [parameter.grad.clone() for parameter in head.parameters()]
    head.zero_grad()
    kept = Padded(states.values[[0, 2]], states.lengths[[0, 2]])
    head.loss(kept, target[[0, 2]]).sum().backward()
    for one, parameter in zip(together, head.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad)


def test_nothing_is_read_beyond_a_rows_end() -> None:
    head, states = head_of(), states_of(5, 2)
    target = torch.tensor([[1, 2], [2, 0]])
    values = states.values.clone().requires_grad_()
    losses = head.loss(states.with_values(values), target)
    losses.sum().backward()
    assert losses.isfinite().all() and values.grad.isfinite().all() and not values.grad[1, 2:].any()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())
    alone = head.loss(Padded(states.values[1:, :2], torch.tensor([2])), target[1:])
    torch.testing.assert_close(losses[1:], alone)


def test_empty_targets_and_rows_without_frames() -> None:
    head, states = head_of(), states_of(3, 1)
    silent = head.emission(states.values).log_softmax(-1)[..., 0]
    expected = -torch.stack([silent[0].sum(), silent[1, 0]])
    for target in (torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64)):
        torch.testing.assert_close(head.loss(states, target), expected)
    no_frames = head.loss(states_of(3, 0), torch.tensor([[1], [0]]))
    assert no_frames[0] > 0 and no_frames[1] == 0
    nothing = Padded(torch.zeros(2, 0, WIDTH), torch.zeros(2, dtype=torch.int64))
    loss = head.loss(nothing, torch.zeros(2, 0, dtype=torch.int64))
    loss.sum().backward()
    assert loss.tolist() == [0, 0] and not any(parameter.grad.any() for parameter in head.parameters())
    assert head.predicted(head(nothing)) == [(), ()] and head.log_probs(head(nothing), [(), ()]) == [0, 0]


# -- targets and answers -----------------------------------------------------------------------------------------------


def test_targets_that_frames_can_hold_are_numbered_from_one() -> None:
    head = head_of()
    assert head.target(example("7 3 7")) == [2, 1, 2]
    assert head.target(example("", 0)) == []
    assert head.target(example("7 3", 2)) == [2, 1]
    assert head.target(example("7 7", 3)) == [2, 2] and head.target(example("3 7 7 7", 6)) == [1, 2, 2, 2]
    assert head.target(example("7 9")) is None, "a symbol that training never saw"
    assert head.target(example("7 7", 2)) is None and head.target(example("3 7 7 7", 5)) is None
    assert head.pad([[2, 1, 2], [], [1]]).tolist() == [[2, 1, 2], [0, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("seed", range(6))
def test_a_beam_wide_enough_answers_the_most_probable_of_all(seed: int) -> None:
    head, states = head_of(seed=seed, beam=64), states_of(4, 2, 0, seed=seed)
    distribution = head(states)
    expected = []
    for row, length in zip(states.values, states.lengths.tolist(), strict=True):
        truth = enumerated(head.emission(row[:length]).detach())
        expected.append(max(truth.items(), key=lambda item: item[1]))
    found = head.predicted(distribution)
    assert found == [tuple(DIGITS.labels[k - 1] for k in answer) for answer, _ in expected]
    chances = [math.log(chance) for _, chance in expected]
    assert head.log_probs(distribution, found) == pytest.approx(chances, abs=1e-5)


def test_best_path_unless_a_beam_is_set() -> None:
    # Saying nothing is the best path of two frames; three paths that say 3 are more probable together.
    values = torch.tensor([[[0.6, 0.4 - 1e-9, 1e-9]] * 2]).log()
    found = {}
    for beam in (None, 1, 2, 8):
        head = CtcHead(3, DIGITS, beam=beam)
        with torch.no_grad():
            head.emission.weight.copy_(torch.eye(3))
            head.emission.bias.zero_()
        found[beam] = head.predicted(head(Padded(values, torch.tensor([2]))))
    assert found == {None: [()], 1: [()], 2: [("3",)], 8: [("3",)]}
    with pytest.raises(ConfigError, match=r"head\.beam: expected a number from 1 on, found 0"):
        CtcHead(3, DIGITS, beam=0)


def test_criterion_is_one_less_the_error_rate_and_never_below_zero() -> None:
    gold = [("7", "7", "3"), ("3",)]
    for kind, tags in ((CtcHead, DIGITS), (TrimHead, DIGITS), (WordLoopHead, plain("3.1", "7.1"))):
        head = head_of(kind, tags)
        task = task_for(head)
        assert task.criterion(gold, gold) == 1
        assert task.criterion(gold, [("7", "3"), ("3",)]) == 0.75
        assert task.criterion(gold, [("3",) * 9, ()]) == 0
        assert kind is WordLoopHead or head.symbols() == ("3", "7")


# -- fitting a few rows ------------------------------------------------------------------------------------------------

SAID = ("7 7 3", "3", "", "7 3 3 7")
# Which symbol each of ten frames is nearest to; what trimming learns from
TAGGED = ("7 7 7 7 7 7 7 3 3 3", "3 3 3 3 3 3 3 3 3 3", "7 7 7 7 7 7 7 7 7 7", "7 7 3 3 3 3 3 3 7 7")


def fitted(head: Head, states: Padded, target: Tensor, updates: int = 150) -> float:
    """The loss after a number of updates."""
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(updates):
        optimizer.zero_grad()
        loss = head.loss(states, target).sum()
        loss.backward()
        optimizer.step()
    return float(head.loss(states, target).detach().sum())


def test_ctc_learns_a_few_rows_by_heart_the_same_symbol_twice_and_none_at_all() -> None:
    torch.manual_seed(0)
    head, states = CtcHead(64, DIGITS), states_of(10, 10, 10, 10, width=64)
    target = head.pad([head.target(example(said)) for said in SAID])
    before = float(head.loss(states, target).detach().sum())
    after = fitted(head, states, target)
    assert before > 20 and after < 0.05
    distribution = head(states)
    found = head.predicted(distribution)
    assert found == [tuple(said.split()) for said in SAID]
    assert sum(head.log_probs(distribution, found)) == pytest.approx(-after, abs=1e-4)


def test_trimming_learns_its_frames_by_heart_and_still_never_says_a_symbol_twice() -> None:
    torch.manual_seed(0)
    head, states = TrimHead(64, DIGITS), states_of(10, 10, 10, 10, width=64)
    given_rows = [example(said, 10, tags) for said, tags in zip(SAID, TAGGED, strict=True)]
    head.prepare(given_rows)
    target = head.pad([head.target(row) for row in given_rows])
    assert fitted(head, states, target) < 0.1
    distribution = head(states)
    assert distribution.best().path.tolist() == target.tolist(), "every frame is right"
    assert head.predicted(distribution) == [("7", "3"), ("3",), ("7",), ("7", "3", "7")]
    assert task_for(head).criterion([row.target for row in given_rows], head.predicted(distribution)) == 1 - 3 / 8


# -- what a frame's tag may be -----------------------------------------------------------------------------------------


def test_frame_heads_learn_tags_and_answer_for_targets() -> None:
    for kind in (TrimHead, WordLoopHead):
        head = head_of(kind)
        assert issubclass(kind, FrameHead) and task_for(head).required_targets == ("target",)
        row = example("7", 3, "7 7 3")
        assert (task_for(head).gold(row), head.target(row)) == (("7",), [1, 1, 0])
        assert head.target(example("7", 2, "7 8")) is None and head.target(example("7", 2)) is None


def test_trimming_refuses_tags_that_are_no_symbols() -> None:
    head = head_of(TrimHead, plain("7", "sil"))
    with pytest.raises(ConfigError, match="symbols of the targets, found 'sil'; tag frames with whole"):
        head.prepare([example("7", 2, "7 sil")])


# -- the loop of words -------------------------------------------------------------------------------------------------

LOOP = plain("3.1", "3.2", "7.1", "7.2", "7.3", "sil")
RECORDING = example("7 7 3", 12, "sil 7.1 7.2 7.2 7.3 7.1 7.2 7.3 3.1 3.1 3.2 sil")


def loop_of(tags: TagSet = LOOP, *rows: Example, seed: int = 0) -> WordLoopHead:
    head = head_of(WordLoopHead, tags, seed=seed)
    assert isinstance(head, WordLoopHead)
    head.prepare(rows or (RECORDING,))
    return head


def said(head: WordLoopHead, path: str) -> str:
    (words,) = head.answers([[head.tags.index[tag] for tag in path.split()]])
    return " ".join(words)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("sil 7.1 7.2 7.2 7.3 7.1 7.2 7.3 3.1 3.1 3.2 sil", "7 7 3"),
        ("7.1 7.1 7.1", "7"),  # cut off within it
        ("3.1 3.2 3.1 3.2 sil 3.1 3.2", "3 3 3"),
        ("7.1 7.2 7.3 sil sil 7.1 7.2 7.3", "7 7"),
        ("7.1 7.2 7.3 3.1 3.2 7.1", "7 3 7"),
        ("sil sil", ""),
        ("", ""),
    ],
)
def test_words_of_hand_made_paths(path: str, words: str) -> None:
    assert said(loop_of(), path) == words


def test_words_in_one_piece_are_read_like_trimming_and_silence_parts_them() -> None:
    head = loop_of(plain("3", "7", "sil"), example("7 3 3", 6, "7 7 sil 3 sil 3"))
    assert said(head, "7 7 3 sil 3 3 sil sil 3 7") == "7 3 3 3 7" and head.symbols() == ("3", "7")
    assert bool(head.legal[1].all()) and bool(head.legal[0].all()), "from every word to every word"


def test_dots_in_words_are_no_states() -> None:
    tags = plain("3.5", "a.b", "x.1.1", "x.1.2")
    head = loop_of(tags, example("3.5 a.b x.1", 4, "3.5 a.b x.1.1 x.1.2"))
    assert said(head, "3.5 3.5 a.b x.1.1 x.1.2 x.1.1") == "3.5 a.b x.1 x.1"
    assert head.symbols() == ("3.5", "a.b", "x.1")
    assert [state_number(tag, {"7"}) for tag in ("7.0", "7.x", "7.²", "7.1", "7.12")] == [SILENCE] * 3 + [1, 12]


def test_the_loop_allows_exactly_what_it_says() -> None:
    head = loop_of()
    start, transitions, end = head.legal
    names = LOOP.labels
    allowed = {(names[i], names[j]) for i, j in transitions.nonzero().tolist()}
    firsts, lasts = ("3.1", "7.1", "sil"), ("3.2", "7.3", "sil")
    expected = {(tag, tag) for tag in names} | {("3.1", "3.2"), ("7.1", "7.2"), ("7.2", "7.3")}
    assert allowed == expected | set(itertools.product(lasts, firsts))
    assert [names[i] for i in start.nonzero().flatten().tolist()] == list(firsts) and bool(end.all())
    # Smoothing gives no chance to what is forbidden, and one to all that is not.
    assert torch.equal(head.get_buffer("log_moves").isfinite(), transitions)
    assert torch.equal(head.get_buffer("log_start").isfinite(), start)
    onward = head.get_buffer("log_moves").exp().sum(1) + head.get_buffer("log_end").exp()
    torch.testing.assert_close(onward, torch.ones(len(names)))


def test_a_word_said_too_fast_leaves_the_loop_as_it_is_and_calibration_whole() -> None:
    fast = example("7 3", 5, "7.1 7.3 3.1 3.2 sil")  # a state was left out
    head = loop_of(LOOP, RECORDING, fast)
    number = LOOP.index
    assert not head.legal[1][number["7.1"], number["7.3"]]
    assert head.target(fast) is not None, "its frames are learned from all the same"
    states = states_of(12, 5)
    known = [head.target(RECORDING), head.target(fast)]
    head.calibrate(lambda: [(head(states.with_values(states.values.nan_to_num())), known)])
    alone = loop_of(LOOP, RECORDING, fast)
    alone.calibrate(lambda: [(alone(states.with_values(states.values.nan_to_num())), [known[0], None])])
    assert float(head.get_buffer("temperature")) == float(alone.get_buffer("temperature")) > 1e-2


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(0, 1000), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_every_answer_comes_from_a_legal_path(seed: int, lengths: list[int]) -> None:
    head, states = loop_of(seed=seed % 7), states_of(*lengths, seed=seed)
    distribution = head(states.with_values(10 * states.values.nan_to_num()))
    start, transitions, _ = head.legal
    for path, words, length in zip(
        distribution.best().path.tolist(), head.predicted(distribution), lengths, strict=True
    ):
        tags = [LOOP.labels[k] for k in path[:length]]
        assert start[path[0]] and all(transitions[a, b] for a, b in itertools.pairwise(path[:length])), tags
        # A word begins where its first state is entered.
        entered = [
            tag for before, tag in itertools.pairwise(["sil", *tags]) if tag.endswith(".1") and tag != before
        ]  # fmt: skip
        assert words == tuple(tag.removesuffix(".1") for tag in entered)


def test_what_the_training_data_said_of_words_travels_with_the_weights() -> None:
    head, fresh = loop_of(), WordLoopHead(WIDTH, LOOP)
    fresh.load_state_dict(head.state_dict())
    assert fresh.symbols() == ("3", "7") and said(fresh, "sil 7.1 7.2 sil") == "7"
    for one, other in zip(fresh.legal, head.legal, strict=True):
        assert torch.equal(one, other)


# -- through the trainer -----------------------------------------------------------------------------------------------


def recordings(count: int, seed: int = 0) -> tuple[Example, ...]:
    """Strings of two symbols, each a raised feature for three or four frames; a frame between that raises neither."""
    chance = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        symbols = [str(s) for s in chance.choice(["3", "7"], chance.integers(1, 5))]
        tags: list[str] = []
        for symbol in symbols:
            long = int(chance.integers(3, 5))
            tags += [f"{symbol}.{1 + 2 * place // long}" for place in range(long)] + ["sil"]
        frames = [[tag.startswith("3"), tag.startswith("7"), tag.endswith(".1")] for tag in tags]
        noisy = np.asarray(frames, np.float32) + 0.1 * chance.standard_normal((len(tags), 3)).astype(np.float32)
        made.append(Example.of_frames(noisy, tags, target=symbols))
    return tuple(made)


def model_of(kind: str, examples: tuple[Example, ...], **head: object) -> Model:
    settings_ = {
        "head": {"type": kind, **head},
        "inputs": {"dropout": 0.0},
        "encoder": {"width": 8, "dropout": 0.0, "recurrent_dropout": 0.0},
        "training": {"epochs": 18, "learning_rate": 0.03},
    }
    return Model.prepare(Options.of(miniature.TINY, settings_), examples, PLAIN, seed=0)


def whole_words(examples: tuple[Example, ...]) -> tuple[Example, ...]:
    """With each frame's word for a tag, silence being the word's before it."""
    made = []
    for one in examples:
        words = [tag.split(".")[0] for tag in one.tags]
        tags = [word if word != "sil" else words[place - 1] for place, word in enumerate(words)]
        made.append(Example.of_frames(one.frames, tags, target=one.target))
    return tuple(made)


@pytest.mark.parametrize(("kind", "options"), [("ctc", {}), ("ctc", {"beam": 4}), ("words", {}), ("trim", {})])
def test_trained_stored_and_loaded(kind: str, options: dict[str, object], tmp_path: Path) -> None:
    rows, held_out = recordings(60), recordings(20, 1)
    if kind == "trim":
        rows, held_out = whole_words(rows), whole_words(held_out)
    model = model_of(kind, rows, **options)
    *_, last = train(model, Corpus(rows, held_out), model.options.training, seed=0)
    assert last.best_score is not None
    answers = list(model.predict(held_out))
    if kind == "trim":
        assert answers == [tuple(read_without_blank(row.target)) for row in held_out], "right but for repeats"
    else:
        assert last.best_score == 1 and answers == [row.target for row in held_out]
    save_model(tmp_path / "m", model, tokenizer="words-1")
    loaded = load_model(tmp_path / "m").model
    assert list(loaded.predict(held_out)) == answers and loaded.head.symbols() == ("3", "7")


def read_without_blank(symbols: tuple[str, ...]) -> list[str]:
    return [symbol for symbol, _ in itertools.groupby(symbols)]


def test_the_trainer_leaves_out_what_cannot_be_said_and_learns_the_rest() -> None:
    rows = recordings(12)
    odd = (
        Example.of_frames(rows[0].frames[:2], target=["7", "7"]),  # longer than its frames
        Example.of_frames(rows[0].frames, target=["8"]),  # unknown, as of a file read later
        Example.of_frames(rows[0].frames, target=[]),  # silence is an answer
    )
    model = model_of("ctc", rows)
    kept, targets = usable_examples(model, (*rows, *odd))
    assert len(kept) == 13 and targets[-1] == []
    for progress in itertools.islice(train(model, Corpus((*rows, *odd), rows), seed=0), 4):
        assert math.isfinite(progress.loss) and math.isfinite(progress.gradient_norm)
