"""Writes pairs for sequence to sequence: the same seed gives the same bytes on every Python from 3.11 on.

python corpora/words/generate.py dates --output DIR        ways to write a date -> 1998-05-03
python corpora/words/generate.py numbers --output DIR      names of numbers -> digits; --to-words the other way
python corpora/words/generate.py reversal --output DIR     strings -> their reverse, and longer.tsv
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))  # splitmix.py, which all corpora share

from pairs import LONGER, Draw, Pair, TooManyPairs, dates, numbers, reversal, spelling, splits

SEED = 7
SIZES = {"train": 20_000, "dev": 1_000, "test": 2_000}
SHORT_SIZES = {"train": 10_000, "dev": 1_000, "test": 1_000, LONGER: 1_000}
LONGEST = 20
HEAD = "source\ttarget\n"


def positive(text: str) -> int:
    """A whole number above zero, for the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, found {text!r}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line: one command for each task."""
    result = argparse.ArgumentParser(description="Write source TAB target files for sequence to sequence.")
    commands = result.add_subparsers(dest="task", required=True, metavar="TASK")
    for task, words, sizes in (
        ("dates", "ways to write a date, to ISO 8601", SIZES),
        ("numbers", "names of whole numbers below a million, to digits", SIZES),
        ("reversal", "strings, to their reverse", SHORT_SIZES),
    ):
        add = commands.add_parser(task, help=words, description=f"Write pairs: {words}.").add_argument
        add("--output", type=Path, required=True, metavar="DIR", help="the folder to write; made where it is missing")
        add("--seed", type=int, default=SEED, help="what decides every draw (default: %(default)s)")
        for split, size in sizes.items():
            add(f"--{split}", type=positive, default=size, metavar="N", help=f"pairs in {split} (default: {size:,})")
        if task == "numbers":
            add("--to-words", action="store_true", help="from digits to names: the same pairs the other way round")
        if task == "reversal":
            add("--longest", type=positive, default=LONGEST, metavar="N", help="letters at most (default: %(default)s)")
        add("--overwrite", action="store_true", help="write over files that are there already")
    return result


def corpus(options: argparse.Namespace) -> dict[str, list[Pair]]:
    """The pairs of every split."""
    draws: dict[str, Draw] = {
        "dates": dates(options.seed),
        "numbers": spelling if getattr(options, "to_words", False) else numbers,
        "reversal": reversal(getattr(options, "longest", LONGEST)),
    }
    sizes = SHORT_SIZES if options.task == "reversal" else SIZES
    return splits(draws[options.task], {split: getattr(options, split) for split in sizes}, options.seed)


def write(path: Path, pairs: list[Pair]) -> None:
    """One file: a header, then `source TAB target` a line."""
    path.write_bytes((HEAD + "".join(f"{source}\t{target}\n" for source, target in pairs)).encode("ascii"))


def summary(path: Path, pairs: list[Pair]) -> str:
    """What a file holds, in one line."""
    sources, targets = ([len(pair[side]) for pair in pairs] for side in (0, 1))
    letters = len({letter for source, _ in pairs for letter in source})
    return (
        f"{path}: {len(pairs):,} pairs; sources of {min(sources)} to {max(sources)} characters "
        f"(mean {sum(sources) / len(sources):.1f}, {letters} different), targets of {min(targets)} to {max(targets)}"
    )


def run(options: argparse.Namespace) -> int:
    """Draw the pairs, write them, and tell what was written."""
    pairs = corpus(options)
    paths = {split: options.output / f"{split}.tsv" for split in pairs}
    there = [str(path) for path in paths.values() if path.exists()]
    if there and not options.overwrite:
        print(f"{', '.join(there)}: already there; name another folder or add --overwrite", file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    for split, path in paths.items():
        write(path, pairs[split])
        print(summary(path, pairs[split]))
    return 0


def main() -> int:
    options = parser().parse_args()
    try:
        return run(options)
    except (TooManyPairs, OSError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
