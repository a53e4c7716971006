"""Walls in the loss of a recurrent network: where they come from, what clipping does, how far back gradients reach.

Each part writes its numbers as CSV and draws them as SVG beside them; tables go to stdout. The same command writes the
same numbers on the same machine. Finished training runs are kept under DIR/runs and not done again: begin with an empty
DIR after a change of code. Drawing needs the extra `report`. What the numbers show is written in docs/cliffs.md.

    surface     one memory over 1,000 steps, exactly; the unit of Pascanu, Mikolov and Bengio (2013) and its wall
    reuse       one weight for all steps beside a weight for each: linear, ReLU, tanh
    sgd         an Elman network by plain gradient descent, without clipping, by norm, by value
    adamw       the same task by structseq's own training
    flights     structseq's default recipe, with and without clipping, on a corpus
    distance    gradient norms by distance: Elman, LSTM, Clockwork, SCRN
"""

from __future__ import annotations

import argparse
import csv
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

import cliffs_exact as exact
import cliffs_figures as figures
import cliffs_latch as latch
import console
import numpy as np
import torch
from cliffs_distance import FARTHEST, Distances, distances, right_from_afar
from cliffs_training import Clipping, Curve, Reader, learn, learn_by_adamw, learn_flights
from folder import fingerprint
from table import markdown

SEEDS = (0, 1, 2)
SGD_RATES = (0.03, 0.1, 0.3, 1.0)
ADAMW_RATES = (0.003, 0.01)
# What the figures of training show: one rate and one seed of those in the tables.
SGD_SHOWN, ADAMW_SHOWN = (0.3, 2), (0.003, 1)
COIN = float(np.log(2))  # nats an answer
FLIGHTS_RATES = (0.002, 0.02, 0.2)
SGD_CLIPPINGS = (Clipping("norm", 0.0), Clipping("norm", 1.0), Clipping("value", 0.03))
# Its loss is a mean over all tokens, of which a tenth are answers: so are the bounds.
ADAMW_CLIPPINGS = (Clipping("norm", 0.0), Clipping("norm", 0.1), Clipping("value", 0.01))
UPDATES = 500
FLIGHTS_CLIPPINGS = (Clipping("norm", 0.0), Clipping("norm", 1.0))
ENCODERS = ("elman", "lstm", "clockwork", "scrn")
# Pascanu's unit: where the descents of the figure begin, and their rate, bound and length.
START, RATE, BOUND, DESCENT = (5.0, -2.2), 0.1, 0.5, 400


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows with a header line; floats with eight digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([f"{x:.8g}" if isinstance(x, float) else x for x in row] for row in rows)


def tell(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"\n## {title}\n\n{markdown(header, rows)}", flush=True)


# -- surface -----------------------------------------------------------------------------------------------------------


def surface(arguments: Namespace) -> None:
    _one_memory(arguments.output)
    _wall(arguments.output)


def _one_memory(output: Path) -> None:
    weights = np.linspace(0.98, 1.02, 401)
    closed, traced = exact.closed_form(weights), exact.by_autograd(weights)
    exactly = (closed.output, closed.loss, closed.output_slope, closed.loss_slope)
    header = ("weight", "output", "loss", "dy/dw", "dL/dw", "dy/dw by autograd", "dL/dw by autograd")
    rows = np.stack([weights, *exactly, traced.output_slope, traced.loss_slope], 1).tolist()
    write_csv(output / "one_memory.csv", header, rows)
    chosen = [row for row in rows if round(row[0], 4) in (0.99, 1.0, 1.01)]
    tell("One memory, 1,000 steps", header, [[f"{value:.6g}" for value in row] for row in chosen])
    figures.one_memory(output / "one_memory.svg", weights, closed)


def _wall(output: Path) -> None:
    w, b = np.meshgrid(np.linspace(4, 6, 161), np.linspace(-3, -1.6, 161))
    loss, by_w, by_b = exact.squashed(w, b)
    grid = np.stack([w, b, loss, np.hypot(by_w, by_b)], -1).reshape(-1, 4)
    write_csv(output / "wall.csv", ("weight", "bias", "loss", "gradient norm"), grid.tolist())
    ways = {"no clipping": 0.0, f"norm clipped at {BOUND}": BOUND}
    paths = {name: exact.descend(*START, rate=RATE, clip=clip, updates=DESCENT) for name, clip in ways.items()}
    rows = [
        (name, update, *(float(column[update]) for column in (d.weights, d.biases, d.losses, d.norms)))
        for name, d in paths.items()
        for update in range(DESCENT + 1)
    ]
    write_csv(output / "descents.csv", ("clipping", "update", "weight", "bias", "loss", "gradient norm"), rows)
    told = [
        [
            name,
            f"{d.norms.max():.1f}",
            str(d.norms.argmax()),
            *(f"{x[-1]:.4g}" for x in (d.weights, d.biases, d.losses)),
        ]
        for name, d in paths.items()
    ]
    header = ("descent", "largest gradient norm", "at update", "last weight", "last bias", "last loss")
    tell(f"The wall, from w = {START[0]}, b = {START[1]} at rate {RATE}", header, told)
    _starts(output)
    figures.wall(output / "wall.svg", w, b, loss, paths)


def _starts(output: Path) -> None:
    """Descents from twenty places on the near side of the wall and beyond it, at three rates."""
    w, above = (x.flatten() for x in np.meshgrid((4.0, 5.0, 6.0, 7.0), (-0.3, 0.1, 0.3, 0.6, 1.0), indexing="ij"))
    b = -0.6 * w + above  # the wall is almost straight
    rows: list[list[float]] = []
    for rate in (0.1, 0.3, 1.0):
        ends = [exact.descend(w, b, rate=rate, clip=clip, updates=1000).losses[-1] for clip in (0.0, BOUND)]
        rows += np.stack([np.full_like(w, rate), w, b, *ends], 1).tolist()
    write_csv(output / "starts.csv", ("rate", "weight", "bias", "last loss", f"last loss, clipped at {BOUND}"), rows)
    thrown = [sum(row[column] > 0.05 for row in rows) for column in (3, 4)]
    print(f"\nof {len(rows)} starts end above a loss of 0.05: {thrown[0]} without clipping, {thrown[1]} with it")


# -- reuse -------------------------------------------------------------------------------------------------------------


def reuse(arguments: Namespace) -> None:
    offsets = np.linspace(-0.02, 0.02, 41)
    found = {
        (activation, parameter): exact.reach(offsets, activation, parameter)
        for activation in exact.ACTIVATIONS
        for parameter in ("weight", "bias")
    }
    rows = [
        (*key, [float(offset), float(reach.reused[i]), *np.quantile(reach.own[i], (0, 0.5, 1)).tolist()])
        for key, reach in found.items()
        for i, offset in enumerate(offsets)
    ]
    header = ("activation", "parameter", "distance", "reused", "own, least", "own, median", "own, most")
    write_csv(arguments.output / "reuse.csv", header, [(*names, *values) for *names, values in rows])
    told = [
        [activation, parameter, *(f"{value:.6g}" for value in values)]
        for activation, parameter, values in rows
        if abs(abs(values[0]) - 0.01) < 1e-9
    ]
    tell("|dy/d parameter|, one for all steps and one for each", header, told)
    moves = exact.moves(0.01)
    write_csv(arguments.output / "moves.csv", ("what moves by 0.01", "factor on y"), list(moves.items()))
    tell(
        "What a step of 0.01 from w = 1 does to y",
        ("what moves", "factor on y"),
        [[k, f"{v:.4g}"] for k, v in moves.items()],
    )
    figures.reuse(arguments.output / "reuse.svg", offsets, found)


# -- training ----------------------------------------------------------------------------------------------------------

Learn = Callable[[float, int, Clipping], Curve]


def _runs(
    folder: Path, rates: Sequence[float], clippings: Sequence[Clipping], learner: Learn, *, seeds: Sequence[int] = SEEDS
) -> dict[tuple[float, int, str], Curve]:
    """The curve of each rate, seed and clipping; one that lies in ``folder`` is not learned again."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for rate, seed, way in product(rates, seeds, clippings):
        kept = folder / f"{rate} {seed} {way.name}.npz"
        if not kept.exists():
            print(f"{folder.name}: rate {rate}, seed {seed}, clipping {way.name}", file=sys.stderr, flush=True)
            unfinished = kept.with_suffix(".part.npz")
            np.savez(unfinished, **vars(learner(rate, seed, way)))
            unfinished.replace(kept)
        with np.load(kept) as arrays:
            found[rate, seed, way.name] = Curve(**arrays)
    return found


def _write_curves(path: Path, curves: Mapping[str, Curve]) -> None:
    rows = [
        (name, update, float(curve.losses[update]), float(curve.norms[update]))
        for name, curve in curves.items()
        for update in range(len(curve.losses))
    ]
    write_csv(path, ("clipping", "update", "loss", "gradient norm"), rows)


def sgd(arguments: Namespace) -> None:
    def learner(rate: float, seed: int, way: Clipping) -> Curve:
        return learn("elman", rate=rate, clipping=way, seed=seed, updates=UPDATES)[1]

    found = _runs(arguments.output / "runs" / "sgd", SGD_RATES, SGD_CLIPPINGS, learner)
    rows = [
        (*key, len(c.losses), c.worst(), c.last(), float(c.right[-50:].mean()), *_norms(c)) for key, c in found.items()
    ]
    header = ("rate", "seed", "clipping", "updates", "worst loss", "last loss", "right", "median norm", "largest norm")
    write_csv(arguments.output / "sgd_runs.csv", header, rows)
    tell("Elman, plain gradient descent", header, [_plainly(row) for row in rows])
    shown = {way.name: found[*SGD_SHOWN, way.name] for way in SGD_CLIPPINGS}
    _write_curves(arguments.output / "sgd_curves.csv", shown)
    title = f"Plain descent, rate {SGD_SHOWN[0]}"
    figures.training(arguments.output / "sgd.svg", shown, title=title, unit="an answer", coin=COIN)


def adamw(arguments: Namespace) -> None:
    def learner(rate: float, seed: int, way: Clipping) -> Curve:
        return learn_by_adamw(rate=rate, clipping=way, seed=seed, epochs=12)

    found = _runs(arguments.output / "runs" / "adamw", ADAMW_RATES, ADAMW_CLIPPINGS, learner)
    rows = [(*key, _epoch(c), float(c.right[-1]), c.worst(), *_norms(c)) for key, c in found.items()]
    header = ("rate", "seed", "clipping", "epoch of 0.99", "last dev", "worst loss", "median norm", "largest norm")
    write_csv(arguments.output / "adamw_runs.csv", header, rows)
    tell("Elman, structseq's training", header, [_plainly(row) for row in rows])
    shown = {way.name: found[*ADAMW_SHOWN, way.name] for way in ADAMW_CLIPPINGS}
    _write_curves(arguments.output / "adamw_curves.csv", shown)
    title, coin = f"AdamW, rate {ADAMW_SHOWN[0]}", latch.ASKED * COIN
    figures.training(arguments.output / "adamw.svg", shown, title=title, unit="a token", coin=coin)


def flights(arguments: Namespace) -> None:
    def learner(rate: float, seed: int, way: Clipping) -> Curve:
        return learn_flights(arguments.corpus, rate=rate, clipping=way, seed=seed, epochs=8, sentences=640)

    folder = arguments.output / "runs" / f"flights {fingerprint(arguments.corpus)}"
    found = _runs(folder, FLIGHTS_RATES, FLIGHTS_CLIPPINGS, learner, seeds=(0,))
    rows = [
        (rate, way, len(c.right), c.worst(), c.last(), float(c.right[-1]), *_norms(c))
        for (rate, _, way), c in found.items()
    ]
    header = ("rate", "clipping", "epochs", "worst loss", "last loss", "last dev", "median norm", "largest norm")
    write_csv(arguments.output / "flights_runs.csv", header, rows)
    tell("Elman with a CRF, the default recipe, 640 sentences", header, [_plainly(row) for row in rows])


def _norms(curve: Curve) -> tuple[float, float]:
    return float(np.median(curve.norms)), float(curve.norms.max())


def _epoch(curve: Curve) -> int | str:
    """The first epoch, from 1, with a dev accuracy of 0.99; ``-`` where there was none."""
    reached = np.flatnonzero(curve.right >= 0.99)
    return int(reached[0]) + 1 if len(reached) else "-"


def _plainly(row: Sequence[object]) -> list[str]:
    return [f"{x:.4g}" if isinstance(x, float) else str(x) for x in row]


# -- distance ----------------------------------------------------------------------------------------------------------


def distance(arguments: Namespace) -> None:
    found: dict[str, tuple[Distances, Distances]] = {}
    told = []
    for kind in ENCODERS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            fresh = distances(Reader(kind))
        reader, curve = learn(kind, rate=0.003, clipping=Clipping("norm", 1.0), seed=0, updates=600, optimiser="adam")
        found[kind] = (fresh, distances(reader))
        right = (float(curve.right[-50:].mean()), right_from_afar(reader))
        told.append(
            [kind, *(f"{d.mean[k]:.3g}" for d in found[kind] for k in (0, 10, 50, 100)), *(f"{r:.3f}" for r in right)]
        )
    stages = ("start", "trained")
    rows = [
        (kind, stage, k, float(d.mean[k]), float(d.median[k]))
        for kind, both in found.items()
        for stage, d in zip(stages, both, strict=True)
        for k in range(FARTHEST + 1)
    ]
    write_csv(arguments.output / "distance.csv", ("encoder", "stage", "distance", "mean norm", "median norm"), rows)
    names = [f"{stage}, {k}" for stage in stages for k in (0, 10, 50, 100)]
    tell("Mean gradient norm by distance", ("encoder", *names, "right", "right from 50 on"), told)
    write_csv(arguments.output / "distance_runs.csv", ("encoder", *names, "right", "right from 50 on"), told)
    figures.reaching(arguments.output / "distance.svg", found)


# ----------------------------------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[Namespace], None]] = {
    "surface": surface,
    "reuse": reuse,
    "sgd": sgd,
    "adamw": adamw,
    "flights": flights,
    "distance": distance,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where CSV and SVG files go")
    corpus = Path(__file__).resolve().parent.parent / "corpora" / "flights" / "en"
    parser.add_argument("--corpus", type=Path, default=corpus, metavar="FOLDER", help="for the part flights")
    parser.add_argument(
        "--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="some of them; default all"
    )
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name in arguments.parts:
        PARTS[name](arguments)


if __name__ == "__main__":
    raise SystemExit(console.run(main))
