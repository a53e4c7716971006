"""Seconds for one training pass, structseq's `train` against the plain tutorial model of the same widths.

    python benchmarks/training_speed.py FOLDER              the two in turns, one process, one thread
    python benchmarks/training_speed.py FOLDER --threads    structseq: default threads, quiet and busy, and one thread

Words 100, characters 50, one bidirectional layer of 200 each way, CRF, batches of 32 sentences. The machine must be
quiet.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import console
from folder import read_folder
from table import markdown, write_json
from timing import circumstances, interleave, ratio, spread

from structseq.__main__ import set_threading_defaults

HERE = Path(__file__).resolve().parent

QUIET, BUSY, ALONE = "default, quiet", "default, other core busy", "one thread, quiet"


def main() -> None:
    parser = console.parser(__doc__, repeats=5)
    parser.add_argument("--threads", action="store_true", help="the command line's default threads, quiet and busy")
    arguments = parser.parse_args()
    write_json(arguments.json, threads(arguments) if arguments.threads else against_tutorial(arguments))


# --- against the tutorial model, one thread ---------------------------------------------------------------------------


def against_tutorial(arguments: argparse.Namespace) -> dict[str, Any]:
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded, which is why its importers are imported here
    import torch
    from passes import structseq_passes, tutorial_passes

    torch.set_num_threads(1)
    corpus = read_folder(arguments.folder, sentences=arguments.sentences)
    seconds = interleave(
        {
            "structseq": structseq_passes(corpus, arguments.set, passes=arguments.repeats + 1),
            "tutorial": tutorial_passes(corpus),
        },
        repeats=arguments.repeats,
    )
    faster = ratio(seconds["tutorial"], seconds["structseq"])
    tokens = sum(len(example) for example in corpus.train)
    rows = [
        [name, f"{statistics.median(own):.3f}", spread(own), f"{tokens / statistics.median(own):,.0f}"]
        for name, own in seconds.items()
    ]
    print(markdown([f"one training pass, {len(corpus.train)} sentences", "median, s", "range, s", "tokens/s"], rows))
    print(f"\nstructseq is {faster:.2f} times faster than the tutorial model.")
    return {"seconds": seconds, "times_faster": faster, "tokens": tokens, **circumstances()}


# --- threads, quiet and busy ------------------------------------------------------------------------------------------


def threads(arguments: argparse.Namespace) -> dict[str, Any]:
    """Three circumstances in turns, two processes: the idle one of them sleeps."""
    read_folder(arguments.folder, sentences=1)  # a fault in the data is told here, not in a subprocess
    default = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    one = {**default, "OMP_NUM_THREADS": "1"}
    set_threading_defaults(default)
    with worker(arguments, default) as several, worker(arguments, one) as single:

        def beside_another() -> None:
            with spinning():
                several.one_pass()

        rivals = {QUIET: several.one_pass, BUSY: beside_another, ALONE: single.one_pass}
        seconds = interleave(rivals, repeats=arguments.repeats)
        count = several.threads
    slower, faster = ratio(seconds[BUSY], seconds[QUIET]), ratio(seconds[ALONE], seconds[QUIET])
    rows = [[name, f"{statistics.median(own):.3f}", spread(own)] for name, own in seconds.items()]
    print(markdown([f"one training pass of structseq, default: {count} threads", "median, s", "range, s"], rows))
    print(
        f"\nBusy takes {slower:.2f} times as long as quiet; one thread takes {faster:.2f} times as long as the default."
    )
    return {"seconds": seconds, "busy_times_slower": slower, "default_times_faster": faster, "threads": count}


class Worker:
    """A `pass_worker` process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.threads = int(self._answer()["threads"])

    def one_pass(self) -> None:
        """Have one pass trained, and wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.write("pass\n")
        self.process.stdin.flush()
        self._answer()

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the training process ended; its own words are above")
        answer: dict[str, float] = json.loads(line)
        return answer


@contextmanager
def worker(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Iterator[Worker]:
    passes = 2 * (arguments.repeats + 1)
    given = [arguments.folder, arguments.sentences or 0, passes, *arguments.set]
    command = [sys.executable, str(HERE / "pass_worker.py"), *map(str, given)]
    process = subprocess.Popen(command, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Worker(process)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def spinning() -> Iterator[None]:
    """Another process keeps one core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(console.run(main))
