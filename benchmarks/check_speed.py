"""Memory and speed of `structseq check` on large column files, beside `wc` on the same file in the same run.

    python benchmarks/check_speed.py --mb 100 300 1000

Two files of each size, made in a temporary folder and deleted: the flights corpus repeated, and varied sentences whose
vocabulary grows (fixed seed). Memory is the process's peak, which should not grow with the file. One thread. The reader
alone is timed on the smallest size.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import console
import numpy as np
from table import markdown, write_json

FLIGHTS = Path(__file__).resolve().parent.parent / "corpora" / "flights" / "en" / "train.conll"
TYPES = [f"T{number}" for number in range(18)]
TOKENS = 200_000  # made at once


def main() -> None:
    parser = console.parser(__doc__, data=False)
    parser.add_argument("--mb", type=int, nargs="+", default=[100], metavar="N", help="sizes of the files")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read(arguments.read)
        return
    makers: dict[str, Callable[[], Iterator[bytes]]] = {"repeated": repeated, "varied": varied}
    found = [
        measured(name, megabytes, maker, reader=megabytes == min(arguments.mb))
        for name, maker in makers.items()
        for megabytes in arguments.mb
    ]
    header = ["file", "MB", "wc, MB/s", "reader alone, MB/s", "check, MB/s", "check, CPU s", "peak memory, MB"]
    rows = [
        [each["file"], f"{each['mb']:.0f}", *(speed(each, what) for what in ("wc", "reader", "check")),
         f"{each['processor']:.0f}", f"{each['peak']:.0f}"]
        for each in found
    ]  # fmt: skip
    print(markdown(header, rows))
    write_json(arguments.json, found)


def speed(each: dict[str, Any], what: str) -> str:
    return f"{each['mb'] / each[what]:,.1f}" if what in each else ""


def measured(name: str, megabytes: int, maker: Callable[[], Iterator[bytes]], *, reader: bool) -> dict[str, Any]:
    """Seconds of each command, and of `check` those of the processor and its peak in MB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.conll"
        with path.open("wb") as file:
            for part in maker():
                file.write(part)
                if file.tell() >= megabytes * 1_000_000:
                    break
        found: dict[str, Any] = {"file": name, "mb": path.stat().st_size / 1e6}
        found["wc"], *_ = run(["wc", str(path)])
        if reader:
            found["reader"], *_ = run([sys.executable, __file__, "--read", str(path)])
        found["check"], found["processor"], found["peak"] = run([sys.executable, "-m", "structseq", "check", str(path)])
    print(found, file=sys.stderr, flush=True)
    return found


def run(command: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds of the processor, and peak memory in MB."""
    started = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    return perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def read(path: Path) -> None:
    """Read a file and keep nothing."""
    from structseq.data.formats import read as read_file

    for _ in read_file(path):
        pass


def repeated() -> Iterator[bytes]:
    """The flights corpus again and again."""
    text = FLIGHTS.read_bytes()
    while True:
        yield text


def varied() -> Iterator[bytes]:
    """Sentences of about 20 tokens; frequencies of words by Zipf's law, without end; entities of 18 types in BIO."""
    rng = np.random.default_rng(0)
    names = ["O", *(f"{letter}-{kind}" for kind in TYPES for letter in "BI")]
    while True:
        words = rng.zipf(1.3, TOKENS) % 0xFFFFFF
        opens, ends = rng.random(TOKENS) < 0.1, rng.random(TOKENS) < 0.05
        inside = np.roll(opens, 1) & ~opens & ~np.roll(ends, 1) & (rng.random(TOKENS) < 0.5)
        inside[0] = False
        kinds = rng.integers(len(TYPES), size=TOKENS)
        tags = np.where(opens, 1 + 2 * kinds, np.where(inside, 2 + 2 * np.roll(kinds, 1), 0))
        rows = zip(words.tolist(), tags.tolist(), ends.tolist(), strict=True)
        yield "".join([f"{word:06x}\t{names[tag]}\n{chr(10) * end}" for word, tag, end in rows]).encode() + b"\n"


if __name__ == "__main__":
    sys.exit(console.run(main))
