"""Accuracy of one label a text over several seeds, beside TF-IDF with logistic regression in the same run.

    python benchmarks/sentiment.py FOLDER --seeds 0 1 2 --results FILE [--set KEY=VALUE]... [--vectors FILE]

FOLDER holds train.tsv, dev.tsv and test.tsv (`label TAB text`). Dev chooses the epoch, and the strength of the
regression's penalty; test is looked at once when a run is done. With --vectors every seed is trained twice, with and
without these pretrained vectors, and the two are compared over the same texts and seeds. --set goes on top of `RECIPE`.
A finished run is a line of the results file and is not done again. One thread.
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
import numpy as np
from results import append, read_results, spread
from table import markdown, write_json

from structseq.config import Options, parse_settings
from structseq.data.formats import read
from structseq.data.reading import Corpus, with_labels
from structseq.evaluation.significance import mean_interval, paired_bootstrap, sentence_counts
from structseq.spans import PLAIN

PARTS = ("train", "dev", "test")
BASELINE = "TF-IDF, logistic regression"
RECIPE = (  # chosen on rt-polarity's dev
    "head.type=classify", "head.pooling=attention", "training.epochs=8", "training.weight_decay=0.3",
    "training.threads=1",
)  # fmt: skip


def main() -> None:
    arguments = parser().parse_args()
    corpus = Corpus(*(tuple(with_labels(read(arguments.folder / f"{part}.tsv"), "label")) for part in PARTS))
    done, folder = read_results(arguments.results), arguments.folder.resolve().name
    systems = {"structseq": tuple(arguments.set)}
    if arguments.vectors:
        systems["structseq, vectors"] = (*arguments.set, f"inputs.words.vectors={arguments.vectors}")
    wanted = [(name, settings, seed) for seed in arguments.seeds for name, settings in systems.items()]
    found = [baseline(corpus)]
    for name, settings, seed in wanted:
        key = {"system": name, "settings": [*RECIPE, *settings], "seed": seed, "folder": folder}
        row = next((row for row in done if key.items() <= row.items()), None)
        if row is None:
            row = key | trained(corpus, settings, seed)
            append(arguments.results, row)
        print(f"{name}, seed {seed}: dev {100 * row['dev']:.2f}, test {100 * row['test']:.2f}", file=sys.stderr)
        found.append(row)
    tell(found, corpus)
    write_json(arguments.json, found)


def parser() -> argparse.ArgumentParser:
    made = console.parser(__doc__, data=False)
    made.add_argument("folder", type=Path, help="holds train.tsv, dev.tsv and test.tsv")
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a structseq option; repeatable")
    made.add_argument("--vectors", type=Path, metavar="FILE", help="pretrained vectors, word2vec or GloVe text format")
    made.add_argument("--results", type=Path, metavar="FILE", help="JSON lines: finished runs, read and appended to")
    return made


def trained(corpus: Corpus, settings: Sequence[str], seed: int) -> dict[str, Any]:
    from structseq.model import Model
    from structseq.training import train

    options = Options.of(parse_settings(RECIPE), parse_settings(settings))
    model = Model.prepare(options, corpus.train, PLAIN, seed=seed)
    started, last = perf_counter(), None
    for last in train(model, corpus, options.training, seed=seed):
        if last.ends_epoch:
            print(f"seed {seed}: pass {last.epoch}, dev {100 * (last.dev_score or 0):.2f}", file=sys.stderr, flush=True)
    answers = {part: [label for (label,) in model.predict(getattr(corpus, part))] for part in ("dev", "test")}
    assert last is not None
    return {"seconds": round(perf_counter() - started, 1), "best_epoch": last.best_epoch, **scored(corpus, answers)}


def baseline(corpus: Corpus) -> dict[str, Any]:
    """Words and pairs of words, logarithmic counts; the penalty of logistic regression chosen on dev."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts = {part: [example.metadata["text"] for example in getattr(corpus, part)] for part in PARTS}
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    tables = {"train": words.fit_transform(texts["train"])}
    tables |= {part: words.transform(texts[part]) for part in ("dev", "test")}
    labels = [example.label for example in corpus.train]
    started, best = perf_counter(), None
    for strength in (0.3, 1.0, 3.0, 10.0, 30.0):
        system = LogisticRegression(C=strength, max_iter=1000).fit(tables["train"], labels)
        answers = {part: list(map(str, system.predict(tables[part]))) for part in ("dev", "test")}
        told = {"C": strength, **scored(corpus, answers)}
        best = told if best is None or told["dev"] > best["dev"] else best
    assert best is not None
    return {"system": BASELINE, "seed": 0, "seconds": round(perf_counter() - started, 1), **best}


def scored(corpus: Corpus, answers: dict[str, list[str]]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for part, found in answers.items():
        gold = [(example.label,) for example in getattr(corpus, part)]
        counts = sentence_counts(gold, [(label,) for label in found], PLAIN)
        rows |= {part: float(counts[:, 0].mean()), f"{part}_right": counts[:, 0].tolist()}
    return rows


def tell(found: Sequence[dict[str, Any]], corpus: Corpus) -> None:
    by_system: dict[str, dict[int, Any]] = {}
    for row in found:
        right = np.array(row["test_right"], np.int64)
        by_system.setdefault(row["system"], {})[row["seed"]] = np.stack([right, *[np.ones_like(right)] * 2], 1)
    rows = []
    for name, seeds in by_system.items():
        own = [row for row in found if row["system"] == name]
        low, high = mean_interval(list(seeds.values()))
        cells = [spread([row[part] for row in own]) for part in ("dev", "test")]
        rows.append([name, *cells, f"{100 * low:.2f} to {100 * high:.2f}", f"{own[0]['seconds']:.0f}"])
    print(markdown(["accuracy", "dev", "test", "95 % of test", "s"], rows))
    names = list(by_system)
    for one, other in zip(names[1:], names, strict=False):
        pair = paired_bootstrap(by_system[one], by_system[other])
        low, high = (100 * end for end in pair.interval)
        print(f"\n{one} against {other}: {100 * pair.difference:+.2f} ({low:+.2f} to {high:+.2f}), p = {pair.p:.4f}")


if __name__ == "__main__":
    sys.exit(console.run(main))
