"""The command lines of the benchmarks: what they have in common, and faults told in a sentence."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from structseq.errors import StructseqError


def parser(description: str | None, *, data: bool = True, repeats: int | None = None) -> argparse.ArgumentParser:
    """A parser with the options that several benchmarks take.

    Parameters
    ----------
    description:
        The script's docstring.
    data:
        Whether it measures on a folder of data, with structseq's options and the first few sentences to choose.
    repeats:
        Default of ``--repeats``; None where nothing is repeated.
    """
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if data:
        made.add_argument("folder", type=Path, help="holds train.conll, dev.conll and test.conll")
        made.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="a structseq option; repeatable"
        )
        made.add_argument("--sentences", type=int, metavar="N", help="only the first N of each part, to try the script")
    if repeats is not None:
        made.add_argument("--repeats", type=int, default=repeats, metavar="N", help="turns, after one for warming up")
    made.add_argument("--json", type=Path, metavar="FILE", help="everything measured, as JSON")
    return made


def run(main: Callable[[], None]) -> int:
    """The exit status of ``main``: 2 for bad input, 130 where it was stopped by Ctrl-C."""
    try:
        main()
    except StructseqError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0
