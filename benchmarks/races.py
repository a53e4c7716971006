"""Two commands on one folder, started at random offsets: does one win, does the other say so, is nothing lost?

Pairs of two kinds of training (new, with --resume), two comparisons, and training with tagging from or into the folder.
A server that imported everything once forks each command, so that its start takes no time. With --json FILE a run that
was stopped goes on where it was. Prints how pairs ended, and every pair that ended wrongly.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import console
from results import append, read_results

from structseq import cli
from structseq.experiment import WorkResult, compare
from structseq.experiment.pool import PRELOADED
from structseq.storage import load_model

KINDS = ("train", "resume", "compare", "tag")
SETTINGS = (
    "encoder.width=8", "inputs.words.width=8", "inputs.characters.width=4", "training.batch_sentences=4",
    "training.threads=1", "training.epochs=2",
)  # fmt: skip
TEXT = "from Taipei to Rome"
LEFT = (".lock", ".new", ".new.lock", ".previous", "run")  # names of unfinished work
SECONDS = 300.0  # after so long a command hangs


@dataclass
class Command:
    """A command in a process of its own: its words, and how it ended."""

    words: list[str]
    said: Path
    process: BaseProcess | None = None
    status: int | None = None

    def start(self, *, in_process: bool) -> Command:
        self.process = _context().Process(target=_run, args=(self.words, self.said, in_process))
        self.process.start()
        return self

    def wait(self) -> Command:
        assert self.process is not None
        self.process.join(SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.status = self.process.exitcode
        return self

    @property
    def lines(self) -> list[str]:
        """Standard error."""
        return self.said.with_suffix(".err").read_text(encoding="utf-8").splitlines()

    @property
    def refused(self) -> bool:
        """Whether it ended with one sentence."""
        return self.status == 2 and len(self.lines) == 1 and self.lines[0].startswith("error: ")


def _context() -> ForkServerContext | SpawnContext:
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, "structseq.cli.train_command", "structseq.experiment.compare"])
    return context


def _run(words: list[str], said: Path, in_process: bool) -> None:
    for stream, suffix in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(said.with_suffix(suffix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
    if in_process:
        compare.Pool = InProcess  # type: ignore[assignment, misc]
    sys.exit(cli.main(words))


class InProcess:
    """In place of `structseq.experiment.Pool`: trials in the process of the comparison."""

    def __init__(self, jobs: int, *shared: Any) -> None:
        self.shared = shared

    def run(self, work: Sequence[Any], *, tick: Callable[[list[Any]], None] | None = None) -> Iterator[WorkResult]:
        for trial in work:
            yield WorkResult(trial, "done", "", tuple(trial.run(*self.shared)))


class Races:
    """A corpus, and what each command makes alone, in ``place``."""

    def __init__(self, place: Path, *, in_process: bool) -> None:
        self.place, self.in_process = place, in_process
        for part, count in (("train", 24), ("dev", 6)):
            rows = [f"from O\n{city} B-city\nto O\n{other} B-city\n" for city, other in _cities(count)]
            (place / f"{part}.conll").write_text("\n".join(rows), encoding="utf-8")
        self.seconds: dict[str, float] = {}
        self.weights: dict[str, bytes] = {}
        for name, words in {
            "warm": self.train(0, "warm"), "0": self.train(0, "0"), "1": self.train(1, "1"),
            "compare": self.compare("compare"), "tag": ["tag", str(place / "0"), "--text", TEXT],
        }.items():  # fmt: skip
            began = time.perf_counter()
            command = Command(words, place / f"alone-{name}").start(in_process=in_process).wait()
            assert command.status == 0, command.lines
            self.seconds[name] = time.perf_counter() - began
        for name, folder in (("0", "0"), ("1", "1"), ("compare", "compare/trials/lstm+crf-0")):
            self.weights[name] = (place / folder / "model.safetensors").read_bytes()
        self.answer = (place / "alone-tag.out").read_bytes()

    def train(self, seed: int, output: str, *more: str) -> list[str]:
        return self._words("train", output, "--seed", str(seed), *more)

    def compare(self, output: str, *more: str) -> list[str]:
        return self._words("compare", output, "--jobs", "1", *more)

    def _words(self, command: str, output: str, *more: str) -> list[str]:
        files = [str(self.place / "train.conll"), "--dev", str(self.place / "dev.conll")]
        words = [command, *files, "--output", str(self.place / output), "--quiet", *more]
        return [*words, *(word for setting in SETTINGS for word in ("--set", setting))]

    def pair(self, kind: str, chance: random.Random) -> dict[str, Any]:
        """Run two commands; ``wrong`` says what is wrong with how they ended, or is empty."""
        folder = self.place / "pair"
        shutil.rmtree(folder, ignore_errors=True)
        (self.place / "tags.jsonl").unlink(missing_ok=True)
        into = chance.random() < 0.5
        other = chance.random() < 0.5
        pairs = {
            "train": [self.train(seed, "pair") for seed in (0, 1)],
            "resume": [self.train(0, "pair", "--resume")] * 2,
            "compare": [self.compare("pair"), self.compare("pair", *(["--set", "training.clip=0.5"] * other))],
            "tag": [self.train(0, "pair"), self._tagging(folder, into)],
        }
        commands = [Command(words, self.place / f"said-{n}") for n, words in enumerate(pairs[kind])]
        alone = self.seconds["compare" if kind == "compare" else "0"]
        offset = chance.uniform(0, 1.2 * alone) * (chance.random() < 0.8)  # one in five at the same time
        if kind != "tag" and chance.random() < 0.5:
            commands.reverse()
        commands[0].start(in_process=self.in_process)
        time.sleep(offset)
        commands[1].start(in_process=self.in_process)
        for command in commands:
            command.wait()
        commands.sort(key=lambda command: command.said)
        wrong = self._wrong(kind, folder, commands, into=into)
        statuses = [command.status for command in commands]
        said = [command.lines[-1].replace(str(self.place), "") if command.lines else "" for command in commands]
        return {"offset": round(offset, 3), "statuses": statuses, "said": said, "wrong": wrong}

    def _tagging(self, folder: Path, into: bool) -> list[str]:
        if into:
            return ["tag", str(self.place / "0"), str(self.place / "dev.conll"), "-o", str(folder / "tags.conll")]
        return ["tag", str(folder), "--text", TEXT]

    def _wrong(self, kind: str, folder: Path, commands: Sequence[Command], *, into: bool) -> str:
        for command in commands:
            if command.status != 0 and not command.refused:
                return f"a command ended with {command.status}: {' '.join(command.lines)[:300]}"
        done = [n for n, command in enumerate(commands) if command.status == 0]
        if not done:
            return "none has won"
        if kind == "train" and len(done) > 1:
            return "both have trained into the folder"
        if kind == "tag":
            return self._wrong_tag(folder, commands, into=into)
        if kind == "compare":
            return self._wrong_compare(folder, commands)
        return self._wrong_model(folder, str(done[0]) if kind == "train" else "0")

    def _wrong_tag(self, folder: Path, commands: Sequence[Command], *, into: bool) -> str:
        train, tag = commands
        if train.status != 0:  # there was a file of another program
            return "" if into and (folder / "tags.conll").exists() else "training was refused without a reason"
        if tag.status == 0 and into and not (folder / "tags.conll").exists():
            return "the tags are lost"
        if tag.status == 0 and not into and tag.said.with_suffix(".out").read_bytes() != self.answer:
            return "another answer"
        return self._wrong_model(folder, "0")

    def _wrong_compare(self, folder: Path, commands: Sequence[Command]) -> str:
        tables = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
        if tables["failed"] or len(tables["systems"]) != 1 or not (folder / "report.html").exists():
            return "the comparison is not whole"
        if commands[0].status != 0:  # the second one has other options
            load_model(folder / "trials" / "lstm+crf-0")
            return ""
        return self._wrong_model(folder / "trials" / "lstm+crf-0", "compare")

    def _wrong_model(self, folder: Path, name: str) -> str:
        load_model(folder)
        if left := [each for each in LEFT if (folder / each).exists()] + list(folder.glob(".*.part")):
            return f"left behind: {left[0]}"
        ours = (folder / "model.safetensors").read_bytes() == self.weights[name]
        return "" if ours else "the model is not that of the command which said that it had finished"


def _cities(count: int) -> list[tuple[str, str]]:
    names = ("Taipei", "Rome", "Oslo", "Lima", "Cairo")
    return [(names[n % 5], names[(n // 5 + n + 1) % 5]) for n in range(count)]


def run(asked: argparse.Namespace) -> dict[tuple[str, int], dict[str, Any]]:
    """The rows of all pairs by kind and number, those of an earlier call included."""
    rows = {(row["kind"], row["pair"]): row for row in read_results(asked.json) if row["seed"] == asked.seed}
    with tempfile.TemporaryDirectory() as place:
        races = Races(Path(place), in_process=asked.in_process)
        for number in range(asked.pairs):
            for kind in [kind for kind in asked.kinds if (kind, number) not in rows]:
                found = races.pair(kind, random.Random(f"{asked.seed} {kind} {number}"))
                rows[kind, number] = {"kind": kind, "pair": number, "seed": asked.seed, **found}
                append(asked.json, rows[kind, number])
    return {key: row for key, row in rows.items() if key[0] in asked.kinds and key[1] < asked.pairs}


def main() -> None:
    parser = console.parser(__doc__, data=False)
    parser.add_argument("--pairs", type=int, default=200, metavar="N", help="pairs of each kind (200)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="which pairs (all)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides the offsets (0)")
    parser.add_argument("--in-process", action="store_true", help="trials of compare in its own process: faster")
    asked = parser.parse_args()
    rows = run(asked)
    print("| commands | pairs | both done | the second alone | the first alone | wrong |")
    print("|---|---:|---:|---:|---:|---:|")
    for kind in asked.kinds:
        own = [row for row in rows.values() if row["kind"] == kind]
        ends = Counter(tuple(status == 0 for status in row["statuses"]) for row in own)
        wrong = sum(bool(row["wrong"]) for row in own)
        cells = (len(own), ends[True, True], ends[False, True], ends[True, False], wrong)
        print(f"| {kind} | {' | '.join(map(str, cells))} |")
    for row in rows.values():
        if row["wrong"]:
            print(f"{row['kind']} {row['pair']}: {row['wrong']}; {row['said']}")


if __name__ == "__main__":
    sys.exit(console.run(main))
