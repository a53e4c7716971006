"""Runs the cases of a fuzzer in processes that may die, and keeps count in a file of JSON lines.

Case N of a seed is always the same one. A batch of cases is a line of the file, and a fault is a line; the same command
goes on where the file ends. ``--case N`` runs one case alone, in this process and without a limit of time.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import gc
import json
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).parents[1]))
from results import append, read_results

SECONDS = 10.0  # of one case, on the processor: other programs may take turns
STUCK = 120  # seconds of waiting, after which a process that ignores its alarm is killed
MEMORY = 2 << 30  # bytes beyond those of the imports
SHOWN = 3  # faults of one kind that are written with their input


class Fault(Exception):
    """A promise that a case broke."""


class Hang(BaseException):
    """No `Exception`, so that what is tested cannot catch it."""


class Case(Protocol):
    """One execution; ``kind`` is the row in which it is counted."""

    kind: str

    def run(self) -> str:
        """The outcome's name; raises what must not be raised."""

    def shown(self) -> Mapping[str, Any]:
        """The input, for JSON."""


Draw = Callable[[random.Random], Case]


@dataclass(frozen=True)
class Fuzzer:
    """``start`` is called once, with a folder to write to; what it returns draws a case."""

    description: str
    executions: int
    batch: int
    start: Callable[[Path], Draw]

    def main(self) -> int:
        asked = self._arguments()
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            if not asked.report:
                draw = self.start(Path(folder))
                warnings.simplefilter("ignore")
                if asked.case is not None:
                    return _alone(draw, asked.seed, asked.case)
                _Run(draw, asked.seed, asked.results, self.batch).until(asked.executions)
        print_report(read_results(asked.results), asked.seed)
        return 0

    def _arguments(self) -> argparse.Namespace:
        formatter = argparse.RawDescriptionHelpFormatter
        parser = argparse.ArgumentParser(description=self.description, formatter_class=formatter)
        parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides all cases (0)")
        parser.add_argument("--executions", type=int, default=self.executions, metavar="N", help="how many cases")
        parser.add_argument("--results", type=Path, metavar="FILE", help="JSON lines; goes on where they end")
        parser.add_argument("--case", type=int, metavar="N", help="run this case alone, and show its input")
        parser.add_argument("--report", action="store_true", help="run nothing; count what --results has")
        return parser.parse_args()


def chance_of(seed: int, number: int) -> random.Random:
    return random.Random(f"{seed} {number}")


def _alone(draw: Draw, seed: int, number: int) -> int:
    case = draw(chance_of(seed, number))
    print(json.dumps({"kind": case.kind, **case.shown()}, indent=2, ensure_ascii=True))
    began = time.perf_counter()
    print(f"outcome: {case.run()}, {time.perf_counter() - began:.3f} s")
    return 0


@dataclass
class _Run:
    draw: Draw
    seed: int
    results: Path | None
    batch: int

    def until(self, executions: int) -> None:
        """Run the cases that the results lack."""
        known = [row for row in read_results(self.results) if row["seed"] == self.seed]
        self.noted = {(row["fault"], row["what"]) for row in known if "fault" in row}
        self.seen = collections.Counter(what for _, what in self.noted)
        first = max((row["last"] for row in known if "last" in row), default=0)
        began, start = time.perf_counter(), first
        while first < executions:
            last = min(first + self.batch, executions)
            self._cases(first, last)
            first = last
            rate = (first - start) / (time.perf_counter() - began)
            print(f"{first:,} of {executions:,}, {rate:,.0f} a second", file=sys.stderr, flush=True)

    def _cases(self, first: int, last: int) -> None:
        """One line for these cases; a case that kills its process is a fault, and the others run again."""
        while first < last:
            row, died, why = self._process(first, last)
            if row is not None:
                append(self.results, row)
                return
            self._note({"fault": died, "kind": "process", "what": why, "input": "run it with --case"})
            if died > first:
                self._cases(first, died)
            first = died + 1

    def _process(self, first: int, last: int) -> tuple[dict[str, Any] | None, int, str]:
        """The line of a batch; or None, the case in which its process ended, and why."""
        context = multiprocessing.get_context("fork")
        at = context.Value("q", first, lock=False)
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_batch, args=(self.draw, self.seed, first, last, at, sender, self.seen))
        process.start()
        sender.close()
        before, waited = -1, 0
        while True:
            if at.value != before:
                before, waited = at.value, 0
            with contextlib.suppress(EOFError):
                if receiver.poll(1.0):
                    message = receiver.recv()
                    if "fault" not in message:
                        process.join()
                        return {"seed": self.seed, **message}, last, ""
                    self._note(message)
                    continue
                waited += 1
                if waited <= STUCK:
                    continue
                process.kill()
            process.join()
            return None, at.value, f"the process ended with status {process.exitcode}"

    def _note(self, fault: Mapping[str, Any]) -> None:
        if (fault["fault"], fault["what"]) in self.noted:  # the batch of a case that killed its process runs again
            return
        self.noted.add((fault["fault"], fault["what"]))
        self.seen[fault["what"]] += 1
        if self.seen[fault["what"]] <= SHOWN:
            append(self.results, {"seed": self.seed, **fault})
            print(f"case {fault['fault']}, {fault['kind']}: {fault['what']}", file=sys.stderr, flush=True)


# -- in the process of a batch -----------------------------------------------------------------------------------------


def _batch(
    draw: Draw, seed: int, first: int, last: int, at: Any, sender: Connection, seen: collections.Counter[str]
) -> None:
    _limit_memory()
    signal.signal(signal.SIGPROF, _alarm)
    gc.freeze()
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    faults: collections.Counter[str] = collections.Counter()
    slowest, began = (0.0, first), time.perf_counter()
    for number in range(first, last):
        at.value = number
        case = draw(chance_of(seed, number))
        start = time.process_time()
        outcome, problem = _outcome(case)
        slowest = max(slowest, (time.process_time() - start, number))
        counts[case.kind][outcome] += 1
        if problem:
            what, trace = problem
            faults[what] += 1
            if seen[what] + faults[what] <= SHOWN:
                fault = {"fault": number, "kind": case.kind, "what": what, "trace": trace, "input": case.shown()}
                sender.send(fault)
    seconds, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    row: dict[str, Any] = {"first": first, "last": last, "counts": counts, "faults": faults}
    sender.send({**row, "seconds": seconds, "peak_mb": peak, "slowest": slowest})
    sender.close()


def _limit_memory() -> None:
    """Bounds the address space, which the imports have filled in part."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _alarm(number: int, frame: FrameType | None) -> None:
    raise Hang(f"more than {SECONDS:.0f} seconds")


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _outcome(case: Case) -> tuple[str, tuple[str, str] | None]:
    """The outcome's name; of a fault also what it is, with its place, and the end of its traceback."""
    try:
        with _within(SECONDS):
            return case.run(), None
    except (Exception, Hang) as problem:
        frames = traceback.extract_tb(problem.__traceback__)
        own = [frame for frame in frames if "structseq" in Path(frame.filename).parts]
        place = (own or frames)[-1]
        detail = str(problem).partition("\n")[0] if isinstance(problem, Fault) else ""
        what = f"{type(problem).__name__} at {Path(place.filename).name}:{place.lineno}"
        what = f"{what}, {detail.partition(':')[0]}" if detail else what
        return "fault", (what, "".join(traceback.format_exception(problem))[-4000:])


# -- the report --------------------------------------------------------------------------------------------------------


def print_report(rows: list[dict[str, Any]], seed: int) -> None:
    """What was reached, by kind, and the faults."""
    batches = [row for row in rows if "last" in row and row["seed"] == seed]
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    faults: collections.Counter[str] = collections.Counter()
    for row in batches:
        faults.update(row["faults"])
        for kind, outcomes in row["counts"].items():
            counts[kind].update(outcomes)
    names = sorted({name for outcomes in counts.values() for name in outcomes})
    print(f"| kind | executions | {' | '.join(names)} |\n| --- |{' ---: |' * (len(names) + 1)}")
    for kind, outcomes in sorted(counts.items()):
        print(f"| {kind} | {sum(outcomes.values()):,} | {' | '.join(f'{outcomes[name]:,}' for name in names)} |")
    died = [row for row in rows if row.get("kind") == "process" and row["seed"] == seed]
    total = sum(sum(outcomes.values()) for outcomes in counts.values()) + len(died)
    slowest = max((tuple(row["slowest"]) for row in batches), default=(0.0, 0))
    peak = max((row["peak_mb"] for row in batches), default=0)
    print(f"\n{total:,} executions, {sum(row['seconds'] for row in batches):,.0f} s; at most {peak:,} MB; ", end="")
    print(f"slowest: case {slowest[1]}, {slowest[0]:.2f} s\n")
    for what, count in [*faults.most_common(), *collections.Counter(row["what"] for row in died).items()]:
        numbers = [row["fault"] for row in rows if row.get("what") == what and row["seed"] == seed]
        print(f"- {count:,} x {what}; cases {', '.join(map(str, numbers))}")
    if not faults and not died:
        print("no fault")
