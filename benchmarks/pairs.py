"""Chosen pairs of systems from a folder of `structseq compare`, over the same sentences and seeds.

    python benchmarks/pairs.py DIR "jordan + crf" "elman + crf"  "lstm + crf" "lstm + softmax" ...

For each pair the difference of mean F1 on the test set (dev where there is none), its 95 % interval, and a two-sided p
corrected by Holm's method over the pairs named here. Systems are called as the table of `compare` calls them.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping
from pathlib import Path

import console
import numpy as np
from table import markdown, write_json

from structseq.errors import DataError
from structseq.evaluation.significance import Counts, holm_correction, paired_bootstrap
from structseq.experiment.trial import Record


def main() -> None:
    parser = console.parser(__doc__, data=False)
    parser.add_argument("folder", type=Path, help="what `structseq compare --output` wrote")
    parser.add_argument("systems", nargs="+", metavar="SYSTEM", help="an even number: pairs")
    parser.add_argument("--dev", action="store_true", help="on dev, whether or not there is a test set")
    arguments = parser.parse_args()
    if len(arguments.systems) % 2:
        raise DataError(f"expected pairs of systems, found {len(arguments.systems)} names")
    known = records(arguments.folder)
    pairs = list(zip(arguments.systems[::2], arguments.systems[1::2], strict=True))
    found = [compared(arguments.folder, known, one, other, arguments.dev) for one, other in pairs]
    corrected = holm_correction([row["p"] for row in found])
    rows = [
        [row["name"], row["one"], row["other"], f"{100 * row['difference']:+.2f}",
         f"{100 * row['low']:+.2f} to {100 * row['high']:+.2f}", f"{p:.4f}"]
        for row, p in zip(found, corrected, strict=True)
    ]  # fmt: skip
    print(markdown(["pair", "first", "second", "difference", "95 %", "p (Holm)"], rows))
    write_json(arguments.json, found)


def records(folder: Path) -> dict[str, dict[int, Record]]:
    """Finished trials by system and seed."""
    known: dict[str, dict[int, Record]] = {}
    for path in sorted(folder.glob("trials/*/trial.json")):
        record = Record.read(path)
        if record is not None:
            known.setdefault(record.system, {})[record.seed] = record
    return known


def compared(
    folder: Path, known: Mapping[str, Mapping[int, Record]], one: str, other: str, on_dev: bool
) -> dict[str, object]:
    for name in (one, other):
        if name not in known:
            raise DataError(f"expected one of {', '.join(sorted(known))}, found {name!r}", file=folder)
    first, second = known[one], known[other]
    part = "tuned_dev" if on_dev or "test" not in next(iter(first.values())).parts else "test"
    pair = paired_bootstrap(counts(first, part), counts(second, part))
    means = (statistics.fmean(record.part(part)["score"] for record in side.values()) for side in (first, second))
    shown = [f"{100 * mean:.2f}" for mean in means]
    low, high = pair.interval
    told = {"name": f"{one} against {other}", "part": part, "one": shown[0], "other": shown[1]}
    return {**told, "difference": pair.difference, "low": low, "high": high, "p": pair.p}


def counts(side: Mapping[int, Record], part: str) -> dict[int, Counts]:
    return {seed: np.array(record.part(part)["counts"], np.int64).reshape(-1, 3) for seed, record in side.items()}


if __name__ == "__main__":
    sys.exit(console.run(main))
