"""Connected digits by CTC, by trimming, and by a hybrid with a hidden Markov model; strings with a repeat apart.

    python benchmarks/digits.py FOLDER --seeds 0 1 2 --results FILE [--systems ctc trim words] [--set KEY=VALUE]...

FOLDER holds train.jsonl, dev.jsonl and test.jsonl, as `python corpora/digits/connect.py RECORDINGS --output FOLDER`
writes them. One encoder, one recipe; dev chooses the epoch, test is looked at once when a run is done. Trimming learns
a digit for every frame, the nearest one's between two; the hybrid learns three states a digit, and silence. A finished
run is a line of the results file and is not done again. One thread.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded

import console
from results import append, read_results, spread
from table import markdown, write_json

from structseq.config import Options, parse_settings
from structseq.data.formats import read
from structseq.data.reading import Corpus
from structseq.evaluation import evaluate_transduction
from structseq.spans import PLAIN

PARTS = ("train", "dev", "test")
RECIPE = ("data.audio.stride=3", "encoder.width=100", "training.epochs=20", "training.threads=1")
SYSTEMS: Mapping[str, Sequence[str]] = {
    "ctc": ("head.type=ctc",),
    "trim": ("head.type=trim",),
    "words": ("head.type=words", "data.audio.states=3", "data.audio.silence=sil"),
}


def main() -> None:
    arguments = parser().parse_args()
    done, found = read_results(arguments.results), []
    for name in arguments.systems:
        settings = [*RECIPE, *SYSTEMS[name], *arguments.set]
        missing = [seed for seed in arguments.seeds if row_of(done, name, settings, seed, arguments.folder) is None]
        corpus = recordings(arguments.folder, settings) if missing else None
        for seed in arguments.seeds:
            row = row_of(done, name, settings, seed, arguments.folder)
            if row is None and corpus is not None:
                row = key(name, settings, seed, arguments.folder) | trained(corpus, settings, seed)
                append(arguments.results, row)
            assert row is not None
            told = ", ".join(f"{part} {100 * row[part]['all']:.2f} %" for part in ("dev", "test"))
            print(f"{name}, seed {seed}: digit error rate {told}; {row['seconds']:.0f} s", file=sys.stderr, flush=True)
            found.append(row)
    tell(found)
    write_json(arguments.json, found)


def parser() -> argparse.ArgumentParser:
    made = console.parser(__doc__, data=False)
    made.add_argument("folder", type=Path, help="holds train.jsonl, dev.jsonl and test.jsonl")
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N")
    made.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS), metavar="NAME")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a structseq option; repeatable")
    made.add_argument("--results", type=Path, metavar="FILE", help="JSON lines: finished runs, read and appended to")
    return made


def key(name: str, settings: Sequence[str], seed: int, folder: Path) -> dict[str, Any]:
    return {"system": name, "settings": list(settings), "seed": seed, "folder": folder.resolve().name}


def row_of(
    done: Sequence[dict[str, Any]], name: str, settings: Sequence[str], seed: int, folder: Path
) -> dict[str, Any] | None:
    wanted = key(name, settings, seed, folder)
    return next((row for row in done if wanted.items() <= row.items()), None)


def recordings(folder: Path, settings: Sequence[str]) -> Corpus:
    audio = Options.of(parse_settings(settings)).data.audio
    return Corpus(*(tuple(read(folder / f"{part}.jsonl", "audio", audio=audio)) for part in PARTS))


def trained(corpus: Corpus, settings: Sequence[str], seed: int) -> dict[str, Any]:
    from structseq.model import Model
    from structseq.training import train

    options = Options.of(parse_settings(settings))
    model = Model.prepare(options, corpus.train, PLAIN, seed=seed)
    started, last = perf_counter(), None
    for last in train(model, corpus, options.training, seed=seed):
        if last.ends_epoch:
            print(f"seed {seed}: pass {last.epoch}, dev {100 * (last.dev_score or 0):.2f}", file=sys.stderr, flush=True)
    assert last is not None
    seconds = round(perf_counter() - started, 1)
    parts = {part: scored(model, getattr(corpus, part)) for part in ("dev", "test")}
    return {"seconds": seconds, "best_epoch": last.best_epoch, **parts}


def scored(model: Any, examples: Sequence[Any]) -> dict[str, Any]:
    """Digit error rates: of all strings, of those with a digit twice in a row, of the others; and single errors."""
    gold = [example.target for example in examples]
    report = evaluate_transduction(gold, list(model.predict(examples)), bootstrap=0)
    parts = {"all": report.every, "repeat": report.repeated, "none": report.others}
    rates = {name: part.error_rate for name, part in parts.items()}
    counts = {f"{name}_edits": [part.substitutions, part.deletions, part.insertions] for name, part in parts.items()}
    return {**rates, **counts, "exact": report.exact_match}


def tell(found: Sequence[dict[str, Any]]) -> None:
    rows = []
    for name in dict.fromkeys(row["system"] for row in found):
        own = [row for row in found if row["system"] == name]
        rates = [spread([row["test"][which] for row in own]) for which in ("all", "none", "repeat")]
        left_out = sum(row["test"]["repeat_edits"][1] for row in own) / len(own)
        dev, seconds = spread([row["dev"]["all"] for row in own]), max(row["seconds"] for row in own)
        rows.append(
            [name, dev, *rates, f"{left_out:.1f}", spread([row["test"]["exact"] for row in own]), f"{seconds:.0f}"]
        )
    heads = ["digit error rate, %", "dev", "test", "no repeat", "a repeat", "left out of these", "strings right", "s"]
    print(markdown(heads, rows))


if __name__ == "__main__":
    sys.exit(console.run(main))
