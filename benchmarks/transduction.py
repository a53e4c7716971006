"""Sequence to sequence by an attention decoder: exact match on unseen sources, and on longer ones than trained on.

    python benchmarks/transduction.py FOLDER... --seeds 0 1 2 --results FILE [--set KEY=VALUE]... [--dev-only]

Each FOLDER holds train.tsv, dev.tsv, test.tsv and perhaps longer.tsv (`source TAB target`), as
`python corpora/words/generate.py dates --output FOLDER` writes them; every character is a symbol. One recipe for all;
dev chooses the epoch, the others are looked at once when a run is done. A finished run is a line of the results file
and is not done again. One thread.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded

import console
from results import append, read_results, spread
from table import markdown, write_json

from structseq.config import Options, parse_settings
from structseq.data.example import Example
from structseq.data.pairs import read_pairs
from structseq.data.reading import Corpus
from structseq.evaluation import evaluate_transduction
from structseq.spans import PLAIN

UNSEEN = ("test", "longer")
# Characters as tokens: of a word's own features its vector alone says anything
RECIPE = (
    "head.type=generate", "inputs.words.width=64", "inputs.words.unknown_rate=0", "inputs.characters.width=0",
    "inputs.affixes.width=0", "inputs.affixes.shape=0", "inputs.dropout=0.1", "encoder.width=100",
    "encoder.dropout=0.1", "encoder.recurrent_dropout=0", "training.epochs=8", "training.batch_sentences=64",
    "training.batch_tokens=4000", "training.threads=1",
)  # fmt: skip


def main() -> None:
    arguments = parser().parse_args()
    done, found = read_results(arguments.results), []
    for folder in arguments.folders:
        parts = ["dev", *(part for part in UNSEEN if (folder / f"{part}.tsv").exists() and not arguments.dev_only)]
        for seed in arguments.seeds:
            key = {"task": folder.resolve().name, "settings": arguments.set, "seed": seed}
            row = next((row for row in done if key.items() <= row.items() and row["parts"].keys() >= set(parts)), None)
            if row is None:
                row = key | trained(folder, parts, arguments.set, seed)
                append(arguments.results, row)
            told = ", ".join(f"{part} {100 * row['parts'][part]['exact']:.2f} %" for part in parts)
            print(f"{row['task']}, seed {seed}: exact {told}; {row['seconds']:.0f} s", file=sys.stderr, flush=True)
            found.append(row | {"parts": {part: row["parts"][part] for part in parts}})
    tell(found)
    write_json(arguments.json, found)


def parser() -> argparse.ArgumentParser:
    made = console.parser(__doc__, data=False)
    made.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="holds train.tsv, dev.tsv and test.tsv")
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a structseq option; repeatable")
    made.add_argument("--results", type=Path, metavar="FILE", help="JSON lines: finished runs, read and appended to")
    made.add_argument("--dev-only", action="store_true", help="look at dev alone, to choose settings")
    return made


def trained(folder: Path, parts: Sequence[str], settings: Sequence[str], seed: int) -> dict[str, Any]:
    """Seconds of training, and what the model then gives on each of ``parts``."""
    from structseq.model import Model
    from structseq.training import train

    options = Options.of(parse_settings(RECIPE), parse_settings(settings))
    examples = {part: pairs(folder, part) for part in ("train", *parts)}
    corpus = Corpus(examples["train"], examples["dev"])
    model = Model.prepare(options, corpus.train, PLAIN, seed=seed)
    started, last = perf_counter(), None
    for last in train(model, corpus, options.training, seed=seed):
        if last.ends_epoch:
            score = 100 * (last.dev_score or 0)
            print(f"{folder.name}, seed {seed}: pass {last.epoch}, dev {score:.2f}", file=sys.stderr, flush=True)
    assert last is not None
    seconds = round(perf_counter() - started, 1)
    scores = {part: scored(model, examples[part]) for part in parts}
    return {"seconds": seconds, "best_epoch": last.best_epoch, "parts": scores}


def pairs(folder: Path, part: str) -> tuple[Example, ...]:
    return tuple(read_pairs(folder / f"{part}.tsv"))


def scored(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Exact match, symbol error rate, and seconds for all answers."""
    started = perf_counter()
    answers = list(model.predict(examples))
    seconds = round(perf_counter() - started, 2)
    report = evaluate_transduction([example.target for example in examples], answers, bootstrap=0)
    return {"exact": report.exact_match, "errors": report.error_rate, "seconds": seconds}


def tell(found: Sequence[dict[str, Any]]) -> None:
    rows = []
    for task in dict.fromkeys(row["task"] for row in found):
        own = [row for row in found if row["task"] == task]
        for part in own[0]["parts"]:
            exact, errors = ([row["parts"][part][which] for row in own] for which in ("exact", "errors"))
            lowest = f"{100 * min(exact):.2f}"
            seconds = max(row["seconds"] for row in own)
            rows.append([f"{task}, {part}", spread(exact), lowest, spread(errors), f"{seconds:.0f}"])
    print(markdown(["%", "exact match", "worst seed", "symbol error rate", "training, s"], rows))


if __name__ == "__main__":
    sys.exit(console.run(main))
