"""Accuracy on a folder of CoNLL data over several seeds, beside CRFsuite and the majority tag.

    python benchmarks/accuracy.py FOLDER --seeds 0 1 2 --heads crf softmax --crfsuite --majority --results FILE

Every run trains with the default options (and what --set says) on train.conll, chooses by dev.conll and looks at
test.conll once, when it is done. Each finished run is a line of the results file, and a run that stands there is not
done again: a benchmark that was killed goes on where it stopped. One thread a run, so that --jobs changes no result.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded, in this process and in those of --jobs

import console
from results import append, read_results
from runs import Run, carry_out
from table import markdown, write_json


def main() -> None:
    arguments = parser().parse_args()
    wanted = planned(arguments)
    keys = [run.key() for run in wanted]
    done = [row for row in read_results(arguments.results) if any(key_of(row, key) == key for key in keys)]
    missing = [run for run, key in zip(wanted, keys, strict=True) if all(key_of(row, key) != key for row in done)]
    print(f"{len(wanted)} runs, {len(wanted) - len(missing)} of them done before", file=sys.stderr)
    for row in carried_out(missing, arguments.jobs):
        append(arguments.results, row)
        done.append(row)
        print(f"finished: {json.dumps(told(row))}", file=sys.stderr, flush=True)
    rows = summary(wanted, done)
    print(as_table(rows, arguments.folder.resolve().name))
    write_json(arguments.json, {"runs": done, "summary": rows})


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N")
    heads = "crf, hmm, perceptron, softmax, svm"
    parser.add_argument("--heads", nargs="*", default=["crf"], metavar="HEAD", help=heads)
    parser.add_argument("--tutorial", action="store_true", help="the plain tutorial model too, over the same seeds")
    parser.add_argument("--crfsuite", action="store_true", help="CRFsuite with hand-made features too")
    parser.add_argument("--majority", action="store_true", help="each word's most frequent tag too")
    parser.add_argument("--dev-only", action="store_true", help="leave the test set alone (for choosing options)")
    parser.add_argument("--results", type=Path, metavar="FILE", help="JSON lines: finished runs, read and appended to")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes; training times then tell little")
    return parser


def planned(arguments: argparse.Namespace) -> list[Run]:
    """All runs asked for, quick baselines first."""

    def run(system: str, settings: Sequence[str] = (), seed: int | None = None) -> Run:
        look = not arguments.dev_only
        return Run(arguments.folder, system, tuple(settings), seed, sentences=arguments.sentences, look_at_test=look)

    runs = [run(system) for system in ("majority", "crfsuite") if getattr(arguments, system)]
    for seed in arguments.seeds:
        runs += [run("structseq", (f"head.type={head}", *arguments.set), seed) for head in arguments.heads]
        runs += [run("tutorial", (), seed)] if arguments.tutorial else []
    return runs


def carried_out(runs: Sequence[Run], jobs: int) -> Iterator[dict[str, Any]]:
    """Each run's result as soon as it is there; with one job in this process, else each run in one of its own."""
    if jobs <= 1:
        yield from map(carry_out, runs)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for future in as_completed([pool.submit(carry_out, run) for run in runs]):
            yield future.result()


def key_of(row: dict[str, Any], key: dict[str, Any]) -> dict[str, Any]:
    """The part of a result that says what was run."""
    return {name: row.get(name) for name in key}


def told(row: dict[str, Any]) -> dict[str, Any]:
    """The part of a result that a reader of the terminal wants."""
    names = ("system", "settings", "seed", "dev", "test", "best_epoch", "epochs", "training_seconds")
    return {name: row[name] for name in names if name in row}


def summary(wanted: Sequence[Run], done: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds, one row a system."""
    rows = []
    for name in dict.fromkeys(run.name for run in wanted):
        own = [row for row in done if " ".join([row["system"], *row["settings"]]) == name]
        row: dict[str, Any] = {"system": name, "seeds": sorted(r["seed"] for r in own if r["seed"] is not None)}
        for column in ("dev", "test", "training_seconds", "epochs"):
            values = [r[column] for r in own if column in r]
            row[column] = statistics.mean(values) if values else None
            row[f"{column}_sd"] = statistics.stdev(values) if len(values) > 1 else None
        rows.append(row)
    return rows


def as_table(rows: Sequence[dict[str, Any]], data: str) -> str:
    def percent(row: dict[str, Any], column: str) -> str:
        mean, deviation = row[column], row[f"{column}_sd"]
        if mean is None:
            return "–"
        return f"{100 * mean:.2f}" + (f" ± {100 * deviation:.2f}" if deviation is not None else "")

    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.0f}"

    header = [f"{data}: system", "seeds", "dev F1", "test F1", "passes", "training, s"]
    cells = [
        [
            row["system"], " ".join(map(str, row["seeds"])) or "–", percent(row, "dev"), percent(row, "test"),
            number(row["epochs"]), number(row["training_seconds"]),
        ]
        for row in rows
    ]  # fmt: skip
    return markdown(header, cells)


if __name__ == "__main__":
    sys.exit(console.run(main))
