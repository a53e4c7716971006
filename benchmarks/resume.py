"""Kill -9 at random moments of training, resumed each time: are the weights those of an unbroken run, to the last bit?

Trains once unbroken; then as often as --kills says it trains anew, kills the process (start-up and saving included) at
a moment drawn evenly over the unbroken duration, and goes on with --resume. Prints one row a kill, and the sum.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import console
from folder import PARTS

from structseq.errors import ConfigError, StructseqError

FIRST, LAST = 0.02, 0.98


def main() -> None:
    parser = console.parser(__doc__)
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="how many moments (10)")
    parser.add_argument("--epochs", type=int, default=3, metavar="N", help="passes over the training data (3)")
    parser.add_argument("--save-every", type=float, default=2.0, metavar="S", help="seconds between checkpoints (2)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides the moments (0)")
    asked = parser.parse_args()
    if asked.sentences:
        raise ConfigError("--sentences: a run is told its files by name; give a folder with shorter files")
    train, dev, _ = (asked.folder / f"{part}.conll" for part in PARTS)
    words = ["train", str(train), "--dev", str(dev), "--quiet", "--save-every", str(asked.save_every)]
    for setting in (f"training.epochs={asked.epochs}", *asked.set):
        words += ["--set", setting]
    with tempfile.TemporaryDirectory() as place:
        found = measure(words, Path(place), asked.kills, random.Random(asked.seed))
    alike = sum(row["identical"] for row in found)
    print(f"\n{alike} of {len(found)} bit-identical")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measure(words: list[str], place: Path, kills: int, chance: random.Random) -> list[dict[str, object]]:
    """One row a kill."""
    began = time.perf_counter()
    started(words, place / "whole").wait()
    duration = time.perf_counter() - began
    print(f"unbroken: {duration:.1f} s", file=sys.stderr)
    print("| killed after, s | it had saved | weights |\n| ---: | ---: | --- |")
    found = []
    for number in range(kills):
        out = place / f"killed-{number}"
        moment = duration * chance.uniform(FIRST, LAST)
        run = started(words, out)
        try:
            run.wait(moment)
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
        killed = run.returncode < 0
        saved = (out / "run" / "checkpoint.safetensors").exists()
        if started([*words, "--resume"], out).wait() != 0:
            raise StructseqError(f"the resumed run {number + 1} ended with an error; its own words are above")
        identical = files(out) == files(place / "whole")
        told = "a checkpoint" if saved else "nothing yet" if killed else "all: it had ended"
        print(f"| {moment:.2f} | {told} | {'bit-identical' if identical else 'DIFFERENT'} |", flush=True)
        found.append({"seconds": moment, "killed": killed, "checkpoint": saved, "identical": identical})
    return found


def started(words: list[str], out: Path) -> subprocess.Popen[bytes]:
    """A training process of its own; what it prints on standard output is passed over."""
    command = [sys.executable, "-m", "structseq", *words, "--output", str(out)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def files(model: Path) -> dict[str, bytes]:
    """The files that decide the model's answers."""
    names = ["model.safetensors", "config.json", "options.json"]
    return {name: (model / name).read_bytes() for name in names}


if __name__ == "__main__":
    sys.exit(console.run(main))
