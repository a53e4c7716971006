"""SIGKILL at random moments of `train` and `compare`, resumed until they finish: are the weights the same bits?

Trains a tiny model once unbroken, then again and again with up to six kills a run. A kill comes at any moment, while a
checkpoint is written, or while the final model is written (the run's folder is watched). Half of the kills of `compare`
spare its worker processes. Every run is a line of --results; the same command goes on where they end.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import console
from results import append, read_results

from structseq.errors import StructseqError

FLIGHTS = Path(__file__).parents[1] / "corpora" / "flights" / "en"
KILLS_A_RUN = 6
TINY = ("inputs.words.width=8", "inputs.characters.width=4", "inputs.affixes.width=2", "encoder.width=8")
DECIDING = ("model.safetensors", "config.json", "options.json")
POLL = 0.0005  # seconds between two looks at a folder

Watch = Callable[[Path], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FLIGHTS, help="holds train.conll and dev.conll (flights)")
    parser.add_argument("--kills", type=int, default=150, metavar="N", help="of train (150)")
    parser.add_argument("--compare", type=int, default=30, metavar="N", help="kills of compare (30)")
    parser.add_argument("--sentences", type=int, default=80, metavar="N", help="of training data (80)")
    parser.add_argument("--epochs", type=int, default=6, metavar="N", help="passes over the training data (6)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides the moments (0)")
    parser.add_argument("--results", type=Path, metavar="FILE", help="JSON lines; goes on where they end")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for part, count in (("train", asked.sentences), ("dev", asked.sentences // 2)):
            (place / f"{part}.conll").write_text(first(asked.folder / f"{part}.conll", count), encoding="utf-8")
        common = [str(place / "train.conll"), "--dev", str(place / "dev.conll"), "--quiet"]
        for setting in (*TINY, f"training.epochs={asked.epochs}", "training.batch_sentences=8", "training.threads=1"):
            common += ["--set", setting]
        train = Command("train", ["train", *common, "--save-every", "0"], place)
        systems = ["--encoders", "elman,gru", "--heads", "crf", "--seeds", "0", "--jobs", "1"]
        compare = Command("compare", ["compare", *common, *systems], place)
        for command, kills in ((train, asked.kills), (compare, asked.compare)):
            measure(command, kills, asked.seed, asked.results)


def first(path: Path, count: int) -> str:
    """The first sentences of a column file."""
    sentences = path.read_text(encoding="utf-8").split("\n\n")[:count]
    return "\n\n".join(sentences) + "\n\n"


@dataclass(frozen=True)
class Command:
    name: str
    words: Sequence[str]
    place: Path

    def start(self, out: Path, *, resume: bool) -> subprocess.Popen[bytes]:
        """In a session of its own, so that its workers can be found."""
        again = ["--resume"] if resume and self.name == "train" else []
        command = [sys.executable, "-m", "structseq", *self.words, "--output", str(out), *again]
        with (self.place / "errors").open("ab") as errors:
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)

    def weights(self, out: Path) -> dict[str, str]:
        """The checksums of the files that decide the answers of all models."""
        paths = [path for name in DECIDING for path in sorted(out.rglob(name)) if path.parent.name != "run"]
        return {str(path.relative_to(out)): sha256(path.read_bytes()).hexdigest() for path in paths}


def measure(command: Command, kills: int, seed: int, results: Path | None) -> None:
    """Runs until so many kills are counted; prints a row for each run, and the sum."""
    rows = [row for row in read_results(results) if row["command"] == command.name and row["seed"] == seed]
    count = sum(len(row["kills"]) for row in rows)
    if count < kills:
        durations = []
        for whole in (command.place / f"{command.name}-whole-{number}" for number in range(2)):
            began = time.monotonic()
            if command.start(whole, resume=False).wait() != 0:
                raise StructseqError(f"the unbroken {command.name} failed: {_errors(command)}")
            durations.append(time.monotonic() - began)
            weights = command.weights(whole)
        duration = min(durations)  # the first one may have compiled
        print(f"{command.name}, unbroken: {duration:.1f} s", file=sys.stderr, flush=True)
    while count < kills:
        number = len(rows)
        row = one_run(command, number, duration, weights, random.Random(f"{seed} {command.name} {number}"))
        rows.append({"command": command.name, "seed": seed, "run": number, **row})
        append(results, rows[-1])
        count += len(row["kills"])
        moments = ", ".join(f"{kill['way']} ({kill['found']})" for kill in row["kills"])
        told = "identical" if row["identical"] else f"DIFFERENT: {row['errors']}"
        print(f"{command.name} run {number}, {count} kills: {told}; {moments}", file=sys.stderr, flush=True)
    ways = [kill["way"] for row in rows for kill in row["kills"]]
    during = [kill["found"] for row in rows for kill in row["kills"]]
    print(f"{command.name}: {len(ways)} kills in {len(rows)} runs, {sum(row['identical'] for row in rows)} identical")
    for what, names in (("aimed at", ways), ("found", during)):
        print(f"  {what}: " + ", ".join(f"{name} {names.count(name)}" for name in sorted(set(names))))


def one_run(
    command: Command, number: int, duration: float, weights: Mapping[str, str], chance: random.Random
) -> dict[str, Any]:
    """Kills and resumes until the command ends by itself."""
    out = command.place / f"{command.name}-{number}"
    (command.place / "errors").unlink(missing_ok=True)
    kills: list[dict[str, Any]] = []
    status = -1
    while status < 0:
        process = command.start(out, resume=bool(kills))
        way = chance.choice(("anywhere", "checkpoint", "final model")) if len(kills) < KILLS_A_RUN else "none"
        spared = command.name == "compare" and chance.random() < 0.5
        seconds = _wait(process, out, way, duration, chance)
        if process.poll() is None and way != "none":
            _kill(process, workers=not spared)
            kills.append({"way": way, "seconds": round(seconds, 3), "spared": spared, "found": _found(out)})
        status = process.wait()
    _wait_for_workers(process)
    identical = status == 0 and command.weights(out) == weights
    errors = "" if identical else f"status {status}: {_errors(command)}"
    if identical:
        shutil.rmtree(out)
    return {"kills": kills, "identical": identical, "errors": errors}


def _wait(process: subprocess.Popen[bytes], out: Path, way: str, duration: float, chance: random.Random) -> float:
    """Until the moment to kill, or the end of the process; the seconds that it took."""
    began = time.monotonic()
    if way == "none":
        process.wait()
    elif way == "anywhere":
        try:
            process.wait(duration * chance.uniform(0.02, 1.0))
        except subprocess.TimeoutExpired:
            return time.monotonic() - began
    else:
        signs = _checkpoints if way == "checkpoint" else _finals
        before, left = signs(out), chance.choice((1, 1, 2, 5, 12)) if way == "checkpoint" else 1
        while process.poll() is None and left:
            now = signs(out)
            left -= now != before
            before = now
            time.sleep(POLL)
        time.sleep(chance.choice((0, 0, chance.uniform(0, 0.003), chance.uniform(0, 0.05))))
    return time.monotonic() - began


def _checkpoints(out: Path) -> object:
    """Changes while a checkpoint is written, and when it is complete."""
    return [entry for run in _folders(out, "run") for entry in run]


def _finals(out: Path) -> object:
    return [
        entry for folder in _folders(out, "") for entry in folder if not entry[0].startswith((".lock", "log", "run"))
    ]


def _folders(out: Path, inside: str) -> list[list[tuple[str, int]]]:
    """The entries of a run's folder, or of the folders of all trials, with their times."""
    found = []
    trials = out / "trials"
    for folder in [*trials.iterdir()] if trials.is_dir() else [out]:
        try:
            entries = sorted(os.scandir(folder / inside), key=lambda entry: entry.name)
            found.append([(entry.name, entry.stat().st_mtime_ns) for entry in entries])
        except OSError:
            continue
    return found


def _kill(process: subprocess.Popen[bytes], *, workers: bool) -> None:
    for number in [process.pid, *(_session(process.pid) if workers else ())]:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _session(leader: int) -> list[int]:
    """The living processes that a command has started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found


def _wait_for_workers(process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if not _session(process.pid):
            return
        time.sleep(0.1)
    raise StructseqError("a worker process lives on a minute after its command has ended")


def _found(out: Path) -> str:
    """What the kill left, in a word."""
    names = {str(path.relative_to(out)) for path in out.rglob("*")} if out.exists() else set()
    last = [name.rpartition("/")[2] for name in names]
    if ".new" in last or ".previous" in last:
        return "an unfinished model"
    if any(name.endswith(".part") for name in last):
        return "an unfinished file"
    if "checkpoint.safetensors" in last:
        return "a checkpoint"
    return "a model" if "config.json" in last else "a new run" if names else "nothing"


def _errors(command: Command) -> str:
    return (command.place / "errors").read_text(encoding="utf-8", errors="replace")[-2000:]


if __name__ == "__main__":
    sys.exit(console.run(main))
