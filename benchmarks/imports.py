"""Start-up: seconds for `import structseq`, and for `python -m structseq --help` from start to end.

    python benchmarks/imports.py

Medians over fresh processes, after one that writes the byte code; a bare Python's start is shown beside them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence
from time import perf_counter

import console
from table import markdown, write_json
from timing import spread

IMPORT = """
import sys, time
started = time.perf_counter()
import structseq
seconds = time.perf_counter() - started
heavy = {"torch", "numpy", "sklearn", "numba", "pydantic"} & set(sys.modules)
print(seconds, *sorted(heavy))
"""


def main() -> None:
    arguments = console.parser(__doc__, data=False, repeats=15).parse_args()
    seconds: dict[str, list[float]] = {"python -c pass": [], "import structseq": [], "python -m structseq --help": []}
    for _ in range(arguments.repeats + 1):
        seconds["python -c pass"].append(wall("-c", "pass"))
        seconds["import structseq"].append(import_seconds())
        seconds["python -m structseq --help"].append(wall("-m", "structseq", "--help"))
    seconds = {name: own[1:] for name, own in seconds.items()}
    milliseconds = {name: [1000 * s for s in own] for name, own in seconds.items()}
    rows = [[name, f"{statistics.median(own):.1f}", spread(own)] for name, own in milliseconds.items()]
    print(markdown(["start-up", "median, ms", "range, ms"], rows))
    write_json(arguments.json, {"seconds": seconds})


def import_seconds() -> float:
    """Seconds that the import statement takes, in a fresh process."""
    seconds, *heavy = python("-c", IMPORT).split()
    if heavy:
        print(f"import structseq loads {', '.join(heavy)}", file=sys.stderr)
    return float(seconds)


def wall(*arguments: str) -> float:
    """Seconds from start to end of a Python process."""
    started = perf_counter()
    python(*arguments)
    return perf_counter() - started


def python(*arguments: str) -> str:
    """What a Python process prints; ends the benchmark where it fails."""
    command: Sequence[str] = [sys.executable, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{finished.stderr.strip()}")
    return finished.stdout


if __name__ == "__main__":
    sys.exit(console.run(main))
