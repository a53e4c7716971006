"""Runs the commands that stdin names, a JSON list of runs, in the folder where it is started; for `same_weights.py`.

One process for all, whose PYTHONPATH says which checkout. A run's output goes to ``NAME/log.txt``; where all its
commands succeeded, ``NAME/done.json`` holds its fingerprint.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import traceback
from pathlib import Path

import command

import structseq


def main() -> None:
    expected, found = (Path(path).resolve() for path in (os.environ["PYTHONPATH"], structseq.__path__[0]))
    if found.parent != expected:
        raise SystemExit(f"expected the package of {expected}, found {found}")
    terminal = os.dup(2)
    for run in json.load(sys.stdin):
        started = time.perf_counter()
        folder = Path(run["name"])
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        with (folder / "log.txt").open("w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            done = all(map(succeeds, run["commands"]))
            sys.stdout.flush()
            sys.stderr.flush()
        if done:
            (folder / "done.json").write_text(json.dumps(run["fingerprint"]), encoding="utf-8")
        failed = "" if done else ", FAILED"
        os.write(terminal, f"{run['name']}: {time.perf_counter() - started:.1f} s{failed}\n".encode())


def succeeds(words: list[str]) -> bool:
    """Run one command; a crash leaves its traceback in the log, and the next run begins."""
    try:
        return command.structseq(words) == 0
    except Exception:
        traceback.print_exc()
        return False


if __name__ == "__main__":
    main()
