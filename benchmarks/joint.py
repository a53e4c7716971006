"""Intent and slots together, and the slots' tagger alone: intent accuracy, frame accuracy and slot F1 over seeds.

    python benchmarks/joint.py FOLDER... --seeds 0 1 2 --results FILE [--set KEY=VALUE]... [--whole] [--alone]

Each FOLDER holds train.conll, dev.conll and test.conll with `# intent = NAME` before each sentence. Some intents of
ATIS are two, `atis_flight#atis_airfare`. As is usual there, the first of them is learned, and each of them is a right
answer; the strict figures beside these count the whole name alone. With --whole the whole name is learned. A frame is a
sentence with the right intent and every tag right. With --alone the tagger without intents runs too. Dev chooses the
epoch, test is looked at once when a run is done; a finished run is a line of the results file and is not done again.
One thread.
"""

from __future__ import annotations

import argparse
import dataclasses
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
from structseq.data.formats import read
from structseq.data.reading import Corpus, with_labels
from structseq.evaluation import entity_f1
from structseq.spans import scheme_of

BIO = scheme_of("BIO")
JOINT = ("head.type=joint", "training.threads=1")
ALONE = ("training.threads=1",)
BETWEEN = "#"
MEASURES = {
    "intent": "intent", "frame": "frame", "slots": "slot F1", "strict_intent": "intent, strictly",
    "strict_frame": "frame, strictly",
}  # fmt: skip


def main() -> None:
    arguments = parser().parse_args()
    parts = ["dev"] if arguments.dev_only else ["dev", "test"]
    done, found = read_results(arguments.results), []
    for folder in arguments.folders:
        for system, recipe in (("joint", JOINT), *([("alone", ALONE)] if arguments.alone else [])):
            for seed in arguments.seeds:
                key = {"corpus": folder.resolve().name, "system": system, "settings": arguments.set, "seed": seed}
                key["whole"] = arguments.whole
                row = next(
                    (row for row in done if key.items() <= row.items() and row["parts"].keys() >= {*parts}), None
                )
                if row is None:
                    row = key | trained(folder, parts, recipe, arguments.set, seed, whole=arguments.whole)
                    append(arguments.results, row)
                told = "; ".join(f"{part} {words(row['parts'][part])}" for part in parts)
                print(
                    f"{key['corpus']}, {system}, seed {seed}: {told}; {row['seconds']:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
                found.append(row)
    tell(found, parts)
    write_json(arguments.json, found)


def parser() -> argparse.ArgumentParser:
    made = console.parser(__doc__, data=False)
    made.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="holds train, dev and test.conll")
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a structseq option; repeatable")
    made.add_argument("--results", type=Path, metavar="FILE", help="JSON lines: finished runs, read and appended to")
    made.add_argument("--whole", action="store_true", help="learn intents that are two as names of their own")
    made.add_argument("--alone", action="store_true", help="the tagger without intents, too")
    made.add_argument("--dev-only", action="store_true", help="look at dev alone, to choose settings")
    return made


def sentences(folder: Path, part: str) -> tuple[Example, ...]:
    return tuple(with_labels(read(folder / f"{part}.conll"), "intent"))


def first(example: Example) -> Example:
    """With the first of its intents alone."""
    return dataclasses.replace(example, targets={**example.targets, "label": example.label.split(BETWEEN)[0]})


def trained(
    folder: Path, parts: Sequence[str], recipe: Sequence[str], settings: Sequence[str], seed: int, *, whole: bool
) -> dict[str, Any]:
    """Seconds of training, and what the model then gives on each of ``parts``; ``settings`` go over the recipe."""
    from structseq.model import Model
    from structseq.training import train

    options = Options.of(parse_settings(recipe), parse_settings(settings))
    gold = {part: sentences(folder, part) for part in ("train", *parts)}
    learned = {part: rows if whole else tuple(map(first, rows)) for part, rows in gold.items()}
    corpus = Corpus(learned["train"], learned["dev"])
    model = Model.prepare(options, corpus.train, BIO, seed=seed)
    started, last = perf_counter(), None
    for last in train(model, corpus, options.training, seed=seed):
        if last.ends_epoch:
            told = f"pass {last.epoch}, dev {100 * (last.dev_score or 0):.2f}"
            print(f"{folder.name}, seed {seed}: {told}", file=sys.stderr, flush=True)
    assert last is not None
    seconds = round(perf_counter() - started, 1)
    joint = "label" in model.task.required_targets
    scores = {part: scored(gold[part], list(model.predict(learned[part])), joint=joint) for part in parts}
    return {"seconds": seconds, "best_epoch": last.best_epoch, "parts": scores}


def scored(gold: Sequence[Example], answers: Sequence[Sequence[str]], *, joint: bool) -> dict[str, float]:
    """Shares of right intents and frames, counted as usual and strictly; slot F1."""
    tags = [answer[1:] if joint else answer for answer in answers]
    found = {"slots": entity_f1([example.tags for example in gold], tags, BIO)}
    if joint:
        slots = [tuple(row) == tuple(example.tags) for example, row in zip(gold, tags, strict=True)]
        intents = {
            "": [
                answer[0] in (example.label, *example.label.split(BETWEEN))
                for example, answer in zip(gold, answers, strict=True)
            ],
            "strict_": [answer[0] == example.label for example, answer in zip(gold, answers, strict=True)],
        }
        for way, right in intents.items():
            found[f"{way}intent"] = sum(right) / len(gold)
            found[f"{way}frame"] = sum(map(all, zip(right, slots, strict=True))) / len(gold)
    return found


def words(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {100 * scores[key]:.2f}" for key, name in MEASURES.items() if key in scores)


def tell(found: Sequence[dict[str, Any]], parts: Sequence[str]) -> None:
    rows = []
    for corpus, system in dict.fromkeys((row["corpus"], row["system"]) for row in found):
        own = [row for row in found if (row["corpus"], row["system"]) == (corpus, system)]
        seconds = f"{max(row['seconds'] for row in own):.0f}"
        for part in parts:
            scores = [row["parts"][part] for row in own]
            figures = [spread([each[key] for each in scores]) if key in scores[0] else "" for key in MEASURES]
            rows.append([f"{corpus} {part}, {system}", *figures, seconds])
    print(markdown(["%", *MEASURES.values(), "training, s"], rows))


if __name__ == "__main__":
    sys.exit(console.run(main))
