"""Walls in the loss: the exact experiment against closed forms, finite differences and plain loops; what the committed
numbers say against what docs/cliffs.md says."""

from __future__ import annotations

import csv
import importlib
import sys
from collections.abc import Callable
from decimal import Decimal, getcontext
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from benchmarks import cliffs_exact as exact
from structseq.data.reading import Corpus

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs" / "figures"
LAYERS = exact.STEPS - 1


Load = Callable[[str], ModuleType]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Imports a script of benchmarks/ by name, as it is imported when one of them is run."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


def committed(name: str) -> list[dict[str, str]]:
    with (FIGURES / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


# -- one memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", ["0.99", "1", "1.01"])
def test_one_memory_equals_exact_arithmetic(weight: str) -> None:
    getcontext().prec = 50
    w = Decimal(weight)
    found = exact.closed_form(np.array(float(weight)))
    y, slope = w**LAYERS, LAYERS * w ** (LAYERS - 1)
    expected = (y, (y - 1) ** 2 / 2, slope, (y - 1) * slope)
    answers = (found.output, found.loss, found.output_slope, found.loss_slope)
    np.testing.assert_allclose([float(a) for a in answers], [float(e) for e in expected], rtol=1e-11)


def test_the_numbers_of_the_lecture() -> None:
    """One part in a hundred of the weight is eight powers of ten of the gradient."""
    below, above = exact.closed_form(np.array([0.99, 1.01])).output_slope
    assert (round(below, 4), round(above)) == (0.0440, 20525631)


def test_autograd_through_a_thousand_steps_agrees() -> None:
    weights = np.random.default_rng(0).uniform(0.98, 1.02, 50)
    traced = vars(exact.by_autograd(weights))
    for name, value in vars(exact.closed_form(weights)).items():
        np.testing.assert_allclose(traced[name], value, rtol=1e-9, atol=1e-12)


# -- reuse -------------------------------------------------------------------------------------------------------------

OFFSETS = np.array([-0.02, -0.01, 0.01, 0.02])


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_reused_weight_by_closed_form(activation: str) -> None:
    expected = exact.closed_form(1 + OFFSETS).output_slope
    np.testing.assert_allclose(exact.reach(OFFSETS, activation, "weight").reused, expected, rtol=1e-9)


@pytest.mark.parametrize("activation", ["linear", "relu", "tanh"])
def test_from_rest_every_activation_has_the_same_wall(activation: str) -> None:
    w = 1 + OFFSETS
    expected = (w**LAYERS - 1) / (w - 1)  # 1 + w + ... + w^(T-2)
    np.testing.assert_allclose(exact.reach(OFFSETS, activation, "bias").reused, expected, rtol=1e-9)


def test_tanh_has_no_wall_by_its_weight_alone() -> None:
    """What the lecture's sentence does not say: squashing does bound this one gradient."""
    assert exact.reach(np.linspace(-0.02, 0.02, 41), "tanh", "weight").reused.max() < 25


def test_own_weights_by_the_product_of_the_others() -> None:
    coins = np.random.default_rng(0).choice([-1.0, 1.0], size=(LAYERS, 1, 3))
    weights = 1 + 0.01 * coins[:, 0]
    expected = np.max(weights.prod(0) / weights, axis=0)
    found = exact.reach(np.array([0.01]), "linear", "weight", draws=3)
    np.testing.assert_allclose(found.own[0], expected, rtol=1e-9)
    assert found.reused[0] / found.own.max() > 1e6


def test_a_step_of_all_own_weights_is_the_steepest() -> None:
    found = exact.moves(0.01)
    alone = found["one layer's own weight"]
    together = found["all own weights together, as far in their space"]
    assert found["the weight of all steps"] > 1e4 > together > alone
    generator = np.random.default_rng(0)
    for _ in range(20):
        step = np.abs(generator.standard_normal(LAYERS))
        assert np.prod(1 + 0.01 * step / np.linalg.norm(step)) <= together


# -- the unit of Pascanu, Mikolov and Bengio ---------------------------------------------------------------------------


def test_the_logistic_unit_by_autograd() -> None:
    w = torch.tensor([4.2, 5.0, 5.5], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([-2.1, -2.2, -2.9], dtype=torch.float64, requires_grad=True)
    x = torch.full((3,), 0.5, dtype=torch.float64)
    for _ in range(50):
        x = w * torch.sigmoid(x) + b
    loss = (torch.sigmoid(x) - 0.7) ** 2
    by_w, by_b = torch.autograd.grad(loss.sum(), [w, b])
    found = exact.squashed(w.detach().numpy(), b.detach().numpy())
    for mine, expected in zip(found, (loss.detach(), by_w, by_b), strict=True):
        np.testing.assert_allclose(mine, expected.numpy(), rtol=1e-9)


def test_the_wall_throws_and_clipping_holds() -> None:
    thrown = exact.descend(5.0, -2.2, rate=0.1, clip=0.0, updates=400)
    held = exact.descend(5.0, -2.2, rate=0.1, clip=0.5, updates=400)
    assert thrown.norms.max() > 300 and thrown.weights[-1] > 20 and thrown.losses[-1] > 0.08
    assert held.norms.max() > 50, "the wall is met"
    assert held.losses[-1] < 0.001
    assert np.hypot(np.diff(held.weights), np.diff(held.biases)).max() <= 0.1 * 0.5 + 1e-12


def test_many_descents_at_once_are_each_alone() -> None:
    starts = np.array([[5.0, 6.0], [-2.2, -2.5]])
    together = exact.descend(*starts, rate=0.3, clip=0.5, updates=30)
    alone = exact.descend(6.0, -2.5, rate=0.3, clip=0.5, updates=30)
    np.testing.assert_allclose(together.losses[:, 1], alone.losses, rtol=1e-9)


# -- the latch ---------------------------------------------------------------------------------------------------------


def test_the_latch_by_a_plain_loop(script: Load) -> None:
    latch = script("cliffs_latch")
    words, answers = latch.draw(20, torch.Generator().manual_seed(0), steps=60)
    assert set(words[:, 0].tolist()) == {latch.LEFT, latch.RIGHT}
    for said, expected in zip(words.tolist(), answers.tolist(), strict=True):
        memory = None
        for word, answer in zip(said, expected, strict=True):
            memory = word if word in (latch.LEFT, latch.RIGHT) else memory
            assert answer == (latch.UNASKED if word != latch.WHERE else memory - latch.LEFT)


def test_the_latch_as_sentences(script: Load) -> None:
    for example in script("cliffs_latch").examples(5, 0):
        spoken = ""
        for token, tag in zip(example.tokens, example.tags, strict=True):
            spoken = token if token in ("left", "right") else spoken
            assert tag == (spoken if token == "where" else "-")


# -- training ----------------------------------------------------------------------------------------------------------


def test_clipping_does_what_its_name_says(script: Load) -> None:
    training = script("cliffs_training")
    for by, bound, expected in (("norm", 1.0, [0.6, 0.8]), ("value", 1.0, [1.0, 1.0]), ("norm", 0.0, [3.0, 4.0])):
        parameter = torch.nn.Parameter(torch.zeros(2))
        parameter.grad = torch.tensor([3.0, 4.0])
        training.Clipping(by, bound).apply([parameter])
        torch.testing.assert_close(parameter.grad, torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_a_curve_knows_its_worst_and_its_last(script: Load) -> None:
    losses = np.concatenate([np.full(50, 9.0), np.ones(30), np.full(20, 3.0), np.full(50, 0.5)])
    curve = script("cliffs_training").Curve(losses, losses, losses)
    assert (curve.worst(), curve.last()) == (3.0, 0.5)
    short = script("cliffs_training").Curve(losses[:60], losses, losses)
    assert short.worst() == np.inf, "a run that ended so early has diverged"


def test_learning_is_the_same_twice_and_hangs_on_clipping(script: Load) -> None:
    training = script("cliffs_training")

    def losses(bound: float) -> list[float]:
        way = training.Clipping("norm", bound)
        return training.learn("elman", rate=0.3, clipping=way, seed=2, updates=8)[1].losses.tolist()

    free = losses(0.0)
    assert free == losses(0.0)
    assert len(free) == 8 and free != losses(0.01)


def test_the_projects_own_training_takes_the_options(script: Load) -> None:
    latch, training = script("cliffs_latch"), script("cliffs_training")
    corpus = Corpus(latch.examples(60, 0), latch.examples(10, 1))
    settings_ = (*training.BARE, "training.epochs=2")
    curves = [
        training.run(corpus, settings_, rate=0.01, clipping=training.Clipping("norm", bound), seed=0)
        for bound in (0.0, 0.01)
    ]
    for curve in curves:
        assert (len(curve.losses), len(curve.norms), len(curve.right)) == (4, 4, 2)  # three updates an epoch, less one
    assert curves[0].norms[0] == curves[1].norms[0], "measured before clipping"
    assert curves[0].losses[-1] != curves[1].losses[-1]


def test_a_finished_run_is_not_learned_again(script: Load, tmp_path: Path) -> None:
    cliffs, training = script("cliffs"), script("cliffs_training")
    calls = []

    def learner(rate: float, seed: int, way: object) -> object:
        calls.append((rate, seed))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return training.Curve(*np.full((3, 4), rate))

    ways = [training.Clipping("norm", 0.0)]
    with pytest.raises(KeyboardInterrupt):
        cliffs._runs(tmp_path, [0.1, 0.2], ways, learner, seeds=[0])
    found = cliffs._runs(tmp_path, [0.1, 0.2], ways, learner, seeds=[0])
    assert calls == [(0.1, 0), (0.2, 0), (0.2, 0)]
    assert [curve.losses.tolist() for curve in found.values()] == [[0.1] * 4, [0.2] * 4]


# -- distance ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["elman", "lstm", "clockwork", "scrn"])
def test_norms_by_distance_equal_whole_jacobians(script: Load, kind: str) -> None:
    distance, latch, training = script("cliffs_distance"), script("cliffs_latch"), script("cliffs_training")
    torch.manual_seed(0)
    reader = training.Reader(kind, 8).double()
    words, _ = latch.draw(2, torch.Generator().manual_seed(0), steps=6)
    found = distance.jacobian_norms(reader, words)
    for row, said in enumerate(words):
        inputs = torch.nn.functional.one_hot(said, 4).double().unsqueeze(0)

        def last(values: torch.Tensor) -> torch.Tensor:
            return reader.encoder(distance.Padded(values, torch.tensor([6]))).values[0, -1]

        jacobian = torch.autograd.functional.jacobian(last, inputs)[:, 0]  # (H, T, F)
        torch.testing.assert_close(found[row], jacobian.square().sum((0, 2)).sqrt())


# -- the command and what is committed ---------------------------------------------------------------------------------


def test_the_command_writes_the_same_bytes_twice(
    script: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cliffs = script("cliffs")
    written = []
    for name in ("first", "second"):
        monkeypatch.setattr(sys, "argv", ["cliffs.py", "--output", str(tmp_path / name), "--parts", "reuse"])
        cliffs.main()
        written.append({path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())})
    assert set(written[0]) == {"moves.csv", "reuse.csv", "reuse.svg"}
    assert written[0] == written[1]
    assert "| linear     |    weight |     0.01 | 2.05256e+07 |" in capsys.readouterr().out


def test_committed_one_memory() -> None:
    rows = committed("one_memory.csv")
    w = np.array([float(row["weight"]) for row in rows])
    np.testing.assert_allclose([float(row["dL/dw"]) for row in rows], exact.closed_form(w).loss_slope, rtol=1e-4)


def test_committed_runs_show_the_jump_and_its_cure() -> None:
    """Rate 0.3: unclipped, no seed learns and two jump above a coin's loss; clipped, all answers are right."""
    coin = np.log(2)
    runs = {(row["rate"], row["seed"], row["clipping"]): row for row in committed("sgd_runs.csv")}
    free = [float(runs["0.3", seed, "none"]["last loss"]) for seed in "012"]
    assert min(free) > 0.9 * coin and sum(loss > 1.5 * coin for loss in free) == 2
    for seed in "012":
        for clipping in ("norm 1", "value 0.03"):
            assert float(runs["0.3", seed, clipping]["last loss"]) < 0.01
            assert float(runs["0.3", seed, clipping]["right"]) > 0.998


def test_committed_training_of_the_project_shows_it_too() -> None:
    """Rate 0.003, seed 1: unclipped, what was learned is lost again; clipping by norm is sooner in every run."""
    runs = {(row["rate"], row["seed"], row["clipping"]): row for row in committed("adamw_runs.csv")}
    thrown = runs["0.003", "1", "none"]
    assert thrown["epoch of 0.99"] == "7" and float(thrown["last dev"]) < 0.97
    for (rate, seed, clipping), row in runs.items():
        if clipping != "none":
            assert float(row["last dev"]) > 0.999
        if clipping == "norm 0.1":
            assert int(row["epoch of 0.99"]) < int(runs[rate, seed, "none"]["epoch of 0.99"])


@pytest.fixture(scope="module")
def said() -> list[str]:
    """The rows of all tables of the page."""
    page = (ROOT / "docs" / "cliffs.md").read_text(encoding="utf-8")
    return [line for line in page.splitlines() if line.startswith("|")]


def test_the_page_quotes_plain_descent(said: list[str]) -> None:
    for rate in ("0.03", "0.1", "0.3"):
        cells = [f"{float(row['last loss']):.3f}" for row in committed("sgd_runs.csv") if row["rate"] == rate]
        assert f"| {rate} | " + " | ".join(", ".join(cells[way::3]) for way in range(3)) + " |" in said


def test_the_page_quotes_the_projects_training(said: list[str]) -> None:
    rows = committed("adamw_runs.csv")
    for number in range(0, len(rows), 3):
        cells = [f"{row['epoch of 0.99']}, {float(row['last dev']):.3f}" for row in rows[number : number + 3]]
        assert f"| {rows[number]['rate']} | {rows[number]['seed']} | {' | '.join(cells)} |" in said


def test_the_page_quotes_flights(said: list[str]) -> None:
    rows = committed("flights_runs.csv")
    for free, clipped in zip(rows[::2], rows[1::2], strict=True):
        end = f" | {100 * float(free['last dev']):.1f} | {100 * float(clipped['last dev']):.1f} |"
        assert any(line.startswith(f"| {free['rate']} ") and line.endswith(end) for line in said)


def test_the_page_quotes_distances(said: list[str]) -> None:
    for row in committed("distance_runs.csv"):
        start = " | ".join([row["encoder"], *(row[f"start, {k}"] for k in (0, 10, 50, 100))])
        assert any(line.startswith(f"| {start} |") for line in said)


def test_figures_are_small() -> None:
    drawn = sorted(FIGURES.glob("*.svg"))
    assert drawn and all(path.stat().st_size < 100_000 for path in drawn)
