"""What a reader follows: files, functions and switches between files that `structseq train` and `tag --text` enter.

    python benchmarks/entered.py [--checkout FOLDER] [--list]

Counted with `sys.setprofile` (and `threading.setprofile`) in a process of its own for each command, which runs
`python -m structseq` on a corpus of twenty short sentences for one pass. What counts is a call of a named function in a
file of structseq, compiled kernels included; not what runs while modules are imported, no comprehension or lambda, and
not `__main__.py`.

modules
    Files with at least one such call.
functions
    Different functions called.
switches
    Calls in another file than that of the call before, in the same thread: how often who reads along turns to another
    file. They grow with the corpus, so compare only numbers of this script.

The corpus, the seed and one thread decide all numbers. --checkout names another checkout, such as that of an older
revision; --list says what was entered, file by file.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

import console
from command import structseq
from table import markdown, write_json

ROOT = Path(__file__).resolve().parent.parent
COUNT = "--count"
SENTENCES = (
    "arrive Taipei on November 2nd|O B-destination O B-date I-date",
    "leave Taipei on Monday|O B-departure O B-date",
    "fly from New York to Oslo|O O B-departure I-departure O B-destination",
    "book it|O O",
)
TRAIN, DEV = 5 * SENTENCES, SENTENCES
LEARNED = ("--set", "training.epochs=30", "--set", "training.learning_rate=0.02")
TEXT = "arrive Taipei on November 2nd"


def main() -> None:
    parser = console.parser(__doc__, data=False)
    parser.add_argument("--checkout", type=Path, default=ROOT, metavar="FOLDER", help="the one to measure; this one")
    parser.add_argument("--list", action="store_true", help="every function entered, by file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = measured(arguments.checkout.resolve(), Path(name))
    rows = [
        [command, *(f"{number:,}" for number in (len(own["entered"]), functions(own), own["switches"]))]
        for command, own in found.items()
    ]
    print(markdown(["entered by", "modules", "functions", "switches between files"], rows))
    if arguments.list:
        for command, own in found.items():
            print(f"\n{command}\n")
            print(*(f"{file}: {', '.join(names)}" for file, names in own["entered"].items()), sep="\n")
    write_json(arguments.json, found)


def functions(own: dict[str, Any]) -> int:
    return sum(map(len, own["entered"].values()))


def measured(checkout: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """What each command enters."""
    for name, sentences in (("train.conll", TRAIN), ("dev.conll", DEV)):
        (folder / name).write_text("\n".join(map(column_text, sentences)), encoding="utf-8")
    train = ["train", "train.conll", "--dev", "dev.conll", "--set", "training.threads=1", "--quiet"]
    # The model that tags has learned: it finds spans, and they have confidences.
    run(checkout, folder, ["-m", "structseq", *train, "--output", "model", *LEARNED])
    return {
        "structseq train": entered(checkout, folder, [*train, "--output", "once", "--set", "training.epochs=1"]),
        "structseq tag --text": entered(checkout, folder, ["tag", "model", "--text", TEXT]),
    }


def column_text(sentence: str) -> str:
    """A sentence of `SENTENCES` as a column file has it."""
    tokens, tags = (part.split() for part in sentence.split("|"))
    return "".join(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags, strict=True))


def entered(checkout: Path, folder: Path, command: list[str]) -> dict[str, Any]:
    """Runs one command and counts: ``entered``, the functions by file, and ``switches``."""
    output = folder / "counted.json"
    run(checkout, folder, [str(Path(__file__).resolve()), COUNT, str(output), *command])
    return json.loads(output.read_text(encoding="utf-8"))


def run(checkout: Path, folder: Path, arguments: list[str]) -> None:
    """Runs Python with the checkout's package; ends the script if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr.strip()}")


class Counter:
    """Calls of structseq's own functions, by a profile function."""

    def __init__(self, package: str) -> None:
        self.package = package + os.sep
        self.start = self.package + "__main__.py"
        self.called: dict[str, dict[Any, str]] = defaultdict(dict)
        self.switches = 0
        self.here: dict[int, str] = {}

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        file = code.co_filename
        if event != "call" or not file.startswith(self.package) or file == self.start or code.co_name.startswith("<"):
            return
        if is_import(frame):
            return
        thread = threading.get_ident()
        self.switches += self.here.get(thread, file) != file
        self.here[thread] = file
        self.called[file][code] = code.co_qualname

    def result(self) -> dict[str, Any]:
        names = {file.removeprefix(self.package): sorted(own.values()) for file, own in self.called.items()}
        return {"switches": self.switches, "entered": dict(sorted(names.items()))}


def is_import(frame: FrameType | None) -> bool:
    """Whether a call is part of a module's being imported."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def count(output: str, command: list[str]) -> int:
    """Runs a command in this process and writes what it enters; its exit status."""
    spec = importlib.util.find_spec("structseq")
    assert spec is not None and spec.origin is not None
    counter = Counter(os.path.dirname(os.path.abspath(spec.origin)))
    threading.setprofile(counter)
    sys.setprofile(counter)
    try:
        status = structseq(command)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    Path(output).write_text(json.dumps(counter.result()), encoding="utf-8")
    return status


if __name__ == "__main__":
    if sys.argv[1:2] == [COUNT]:
        sys.exit(count(sys.argv[2], sys.argv[3:]))
    sys.exit(console.run(main))
