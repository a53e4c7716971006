"""How often the 95 % intervals hold the true F1, and how often the paired test finds a difference where there is none.

    python benchmarks/coverage.py --results FILE

Test sets are drawn from populations whose F1 is known. Each unit (an entity, or a place where a spurious one may be
predicted) has a difficulty: a sum of normal parts of its sentence, of itself, of the system and of the seed. A unit is
right if the difficulty is below a threshold. So mistakes cluster in sentences, and systems share most of them.

With one seed, the truth is the F1 of this model. With three, it is the mean F1 over all seeds, which have an effect of
their own or not. All systems are equally good, so each significant difference is false. "best of 4" is the share of
simulations in which any of three systems is significantly worse than the best one, as `compare` corrects p.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import NormalDist
from typing import Any

import console
import numpy as np
from numpy.typing import NDArray
from results import append, read_results
from scipy.special import ndtr
from table import markdown, write_json

from structseq.evaluation.significance import (
    Counts,
    f1_of,
    holm_correction,
    mean_interval,
    paired_bootstrap,
    percentiles,
    resample,
)

LEVEL = 0.05
SYSTEMS = 4
SENTENCES = (50, 200, 1000)
# Of 1,000 sentences, how many have 0, 1, 2, ... entities: the test sets of ATIS and WNUT-17
MANY = (2, 144, 246, 205, 209, 116, 43, 28, 2, 1, 1, 0, 0, 1)
FEW = (465, 337, 138, 37, 13, 5, 3, 1, 2)


@dataclass(frozen=True)
class Population:
    """Sentences and what systems do with them.

    Attributes
    ----------
    entities:
        Frequencies of 0, 1, 2, ... entities in a sentence.
    recall, mislabelled:
        The share of entities that are right; of the others, the share that are predicted with another label or end.
    places, fired:
        Places for a spurious entity in a sentence, and the share of them at which one is predicted.
    of_sentence, of_unit, of_system:
        Parts of the variance of the difficulty, which is 1; the rest is that of the seed.
    seed_effect:
        Standard deviation of a seed's effect on all units.
    """

    entities: tuple[int, ...]
    recall: float
    mislabelled: float
    places: float
    fired: float
    of_sentence: float
    of_unit: float
    of_system: float
    seed_effect: float

    def f1(self, effect: NDArray[np.float64]) -> NDArray[np.float64]:
        """The true F1 of seeds with these effects."""
        gold = np.average(np.arange(len(self.entities)), weights=self.entities)
        right = gold * ndtr(NormalDist().inv_cdf(self.recall) + effect)
        spurious = self.places * ndtr(NormalDist().inv_cdf(self.fired) - effect)
        predicted = right + self.mislabelled * (gold - right) + spurious
        return 2 * right / (predicted + gold)

    def mean_f1(self, *, effects: bool) -> float:
        """The mean of `f1` over all seeds."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(20)
        return float(np.average(self.f1(nodes * self.seed_effect * effects), weights=weights))


POPULATIONS = {
    # As on ATIS: standard error 0.5 points of 900 sentences, seeds within 0.15 points
    "steady": Population(MANY, 0.956, 0.72, 0.3, 0.09, 0.5, 0.43, 0.055, 0.006),
    # Seeds differ by a point
    "unsteady": Population(MANY, 0.9, 0.72, 0.5, 0.12, 0.35, 0.42, 0.1, 0.06),
    # As on WNUT-17: few entities, few of them found, seeds differ by 1.4 points
    "hard": Population(FEW, 0.16, 0.35, 0.5, 0.12, 0.25, 0.5, 0.12, 0.035),
}


@dataclass(frozen=True)
class Cell:
    population: str
    sentences: int
    seeds: int
    effects: bool
    simulations: int
    resamples: int


def cells(simulations: int, resamples: int) -> list[Cell]:
    seeds = ((1, False), (3, False), (3, True))
    return [
        Cell(name, sentences, number, effects, simulations, resamples)
        for name, sentences, (number, effects) in product(POPULATIONS, SENTENCES, seeds)
    ]


def draw(population: Population, sentences: int, effects: NDArray[np.float64], random: np.random.Generator) -> Counts:
    """Counts (systems, R, sentences, 3) of a test set, for seeds with ``effects`` (systems, R)."""
    frequencies = np.array(population.entities, np.float64)
    entities = random.choice(len(frequencies), p=frequencies / frequencies.sum(), size=sentences)
    sides = (entities, random.poisson(population.places, sentences))
    owner, places = (np.repeat(np.arange(sentences), side) for side in sides)
    difficulty = _difficulty(population, np.concatenate([owner, places]), sentences, effects.shape, random)
    of_entities, of_places = np.split(difficulty, [len(owner)], axis=-1)
    right = of_entities < NormalDist().inv_cdf(population.recall) + effects[..., None]
    fired = of_places > effects[..., None] - NormalDist().inv_cdf(population.fired)
    mislabelled = ~right & (random.random(len(owner)) < population.mislabelled)
    found, wrong = _per_sentence(right, owner, sentences), _per_sentence(mislabelled, owner, sentences)
    predicted = found + wrong + _per_sentence(fired, places, sentences)
    return np.stack([found, predicted, np.broadcast_to(entities, found.shape)], axis=-1)


def _difficulty(
    population: Population, owner: Counts, sentences: int, shape: tuple[int, ...], random: np.random.Generator
) -> NDArray[np.float64]:
    """(systems, R, units), standard normal; ``owner`` (units,) is each unit's sentence."""
    normal, units, systems = random.standard_normal, len(owner), shape[0]
    shared = population.of_sentence + population.of_unit + population.of_system
    # Half of what a system finds harder than others lies in whole sentences
    half = np.sqrt(population.of_system / 2)
    return (
        np.sqrt(population.of_sentence) * normal(sentences)[owner]
        + np.sqrt(population.of_unit) * normal(units)
        + half * (normal((systems, 1, sentences))[..., owner] + normal((systems, 1, units)))
        + np.sqrt(1 - shared) * normal((*shape, units))
    )


def _per_sentence(found: NDArray[np.bool_], owner: Counts, sentences: int) -> Counts:
    rows = [np.bincount(owner, row, sentences) for row in found.reshape(-1, len(owner))]
    return np.array(rows, np.int64).reshape(*found.shape[:-1], sentences)


def measured(cell: Cell) -> dict[str, float]:
    """Shares of simulations: whose interval holds the truth, or lies above it or below it; with false differences."""
    population = POPULATIONS[cell.population]
    truth = population.mean_f1(effects=cell.effects)
    place = (list(POPULATIONS).index(cell.population), cell.sentences, cell.seeds, int(cell.effects))
    random = np.random.default_rng(place)
    found = []
    for simulation in range(cell.simulations):
        effects = population.seed_effect * cell.effects * random.standard_normal((SYSTEMS, cell.seeds))
        counts = draw(population, cell.sentences, effects, random)
        found.append({**_held(counts[0], truth, cell.resamples, simulation), **_false(counts, cell, simulation)})
    return {name: float(np.mean([row[name] for row in found])) for name in found[0]}


def _held(counts: Counts, truth: float, resamples: int, seed: int) -> dict[str, float]:
    low, high = mean_interval(list(counts), resamples=resamples, seed=seed)
    # The percentile interval over sentences, to compare with
    drawn = resample(counts.transpose(1, 0, 2).reshape(counts.shape[1], -1), resamples, seed)
    bottom, top = percentiles(f1_of(drawn.reshape(resamples, -1, 3)).mean(1))
    held = {"coverage": low <= truth <= high, "above": truth < low, "below": high < truth, "width": high - low}
    return {**held, "percentile": bottom <= truth <= top}


def _false(counts: Counts, cell: Cell, seed: int) -> dict[str, float]:
    def p(one: int, other: int) -> float:
        first, second = (dict(enumerate(counts[system])) for system in (one, other))
        return paired_bootstrap(first, second, resamples=cell.resamples, seed=seed).p

    best = int(f1_of(counts.sum(2)).mean(1).argmax())
    against = {other: p(other, best) for other in range(SYSTEMS) if other != best}
    # The first two systems, chosen before anything was measured
    single = against[1 - best] if best < 2 else p(0, 1)
    several = list(against.values())
    return {
        "level": single < LEVEL,
        "best_of_4": min(holm_correction(several, SYSTEMS * (SYSTEMS - 1) // 2)) < LEVEL,
        "best_of_4_as_if_named_before": min(holm_correction(several)) < LEVEL,
    }


def main() -> None:
    arguments = _arguments()
    known = {tuple(row["cell"].values()): row for row in read_results(arguments.results)}
    rows: list[dict[str, Any]] = []
    for cell in cells(arguments.simulations, arguments.resamples):
        row = known.get(tuple(asdict(cell).values()))
        if row is None:
            start = time.process_time()
            row = {"cell": asdict(cell), **measured(cell)}
            row["seconds"] = round(time.process_time() - start, 1)
            append(arguments.results, row)
        print(row, file=sys.stderr)
        rows.append(row)
    shown = ("coverage", "percentile", "level", "best_of_4", "best_of_4_as_if_named_before")
    heads = ["population", "sentences", "seeds", "seeds differ", *(name.replace("_", " ") for name in shown)]
    print(markdown(heads, [[*_named(row["cell"]), *(f"{100 * row[name]:.1f}" for name in shown)] for row in rows]))
    write_json(arguments.json, rows)


def _named(cell: dict[str, Any]) -> list[str]:
    return [cell["population"], f"{cell['sentences']:,}", str(cell["seeds"]), "yes" if cell["effects"] else "no"]


def _arguments() -> argparse.Namespace:
    parser = console.parser(__doc__, data=False)
    parser.add_argument("--results", type=Path, metavar="FILE", help="finished cells, a line each; not measured again")
    parser.add_argument("--simulations", type=int, default=1000, metavar="N", help="test sets of each cell")
    parser.add_argument("--resamples", type=int, default=300, metavar="N", help="of the bootstrap")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(console.run(main))
