"""A tagger with few labels, from random weights and from an autoencoder that read all sentences without their tags.

    python benchmarks/few_labels.py FOLDER --output DIR [--share 0.05] [--seeds 0 1 2] [--set KEY=VALUE]...
        [--start-set KEY=VALUE]...

FOLDER holds train.conll, dev.conll and test.conll. For each seed an autoencoder learns to say the training sentences
again, and the seed draws the share of them that keeps its tags, which both taggers learn from. All of dev chooses the
epoch, so that both have more labels than their share; what is compared is their start. Everything is written into DIR
by the commands of structseq (`train`, `--init-from`), and what is finished there is not done again. One thread.
"""

from __future__ import annotations

import io
import json
import os
import random
import statistics
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded

import console
from results import spread
from table import markdown, write_json

from structseq import cli
from structseq.data.column_writer import write_columns
from structseq.data.columns import read_columns

STARTS = ("random", "autoencoder")


def main() -> None:
    arguments = parser().parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    found = [row for seed in arguments.seeds for row in measured(arguments, seed)]
    tell(found)
    write_json(arguments.json, found)


def parser() -> Any:
    made = console.parser(__doc__, data=False)
    made.add_argument("folder", type=Path, help="holds train.conll, dev.conll and test.conll")
    made.add_argument("--output", type=Path, required=True, metavar="DIR", help="for the parts and the models")
    made.add_argument("--share", type=float, default=0.05, metavar="X", help="of the training sentences")
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the taggers")
    made.add_argument("--start-set", action="append", default=[], metavar="KEY=VALUE", help="one of the autoencoder")
    return made


def measured(arguments: Any, seed: int) -> list[dict[str, Any]]:
    """Entity F1 of both taggers of a seed."""
    folder, output = arguments.folder, arguments.output
    dev, test = folder / "dev.conll", folder / "test.conll"
    few, start = output / f"few-{seed}.conll", output / f"autoencoder-{seed}"
    examples = list(read_columns(folder / "train.conll"))
    drawn = sorted(random.Random(seed).sample(range(len(examples)), round(arguments.share * len(examples))))
    write_columns(few, [examples[n] for n in drawn])
    own = ["head.type=autoencode", "training.epochs=10", *arguments.start_set]
    train(folder / "train.conll", "--dev", dev, "--output", start, "--seed", seed, settings=own)
    rows = []
    for kind in STARTS:
        model = output / f"{kind}-start-{seed}"
        init = ["--init-from", start] if kind == "autoencoder" else []
        told = train(
            few, "--dev", dev, "--test", test, "--output", model, "--seed", seed, *init, settings=arguments.set
        )
        scores = {part: told[part]["table"]["micro"]["f1"] for part in ("dev", "test")}
        row = {"start": kind, "seed": seed, "sentences": len(drawn), **scores, "seconds": told["training"]["seconds"]}
        print(f"{kind}, seed {seed}: dev {100 * row['dev']:.2f}, test {100 * row['test']:.2f}", file=sys.stderr)
        rows.append(row)
    return rows


def train(*words: Any, settings: Sequence[str]) -> dict[str, Any]:
    """What `structseq train` measured; a folder that holds a finished model is left as it is."""
    output = Path(words[words.index("--output") + 1])
    report = output / "metrics.json"
    if not report.exists():
        told = [*map(str, words), "--quiet", "--resume", "--set", "training.threads=1"]
        last = {one.partition("=")[0]: one for one in settings}.values()  # of what is set twice
        with redirect_stdout(io.StringIO()):  # its reports are in the folder
            status = cli.main(["train", *told, *(word for one in last for word in ("--set", one))])
        if status:
            sys.exit(status)
    measured: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return measured


def tell(found: Sequence[dict[str, Any]]) -> None:
    rows = []
    for kind in STARTS:
        own = [row for row in found if row["start"] == kind]
        each = ", ".join(f"{100 * row['test']:.2f}" for row in own)
        seconds = f"{max(row['seconds'] for row in own):.0f}"
        rows.append([kind, *(spread([row[part] for row in own]) for part in ("dev", "test")), each, seconds])
    print(
        markdown([f"start ({found[0]['sentences']} sentences)", "dev F1", "test F1", "each seed", "training, s"], rows)
    )
    pairs = zip(*([row["test"] for row in found if row["start"] == kind] for kind in STARTS), strict=True)
    gains = [100 * (other - one) for one, other in pairs]
    told = ", ".join(f"{gain:+.2f}" for gain in gains)
    print(f"\ngain on test, seed by seed: {told}; mean {statistics.fmean(gains):+.2f}")


if __name__ == "__main__":
    sys.exit(console.run(main))
