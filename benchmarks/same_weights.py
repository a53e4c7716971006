"""Does this checkout train the same weights as another revision, bit for bit, and answer the same?

    python benchmarks/same_weights.py REVISION [--data FOLDER] [--cache FOLDER] [--checkout FOLDER] [--only NAME ...]

Trains small runs (`same_runs.py`: every encoder, every head, tokens and frames) with both, one thread and seed 0, and
compares `model.safetensors` tensor by tensor, then what `evaluate --json`, `tag` and `embed` say of dev. With --data
the large runs (tagging, joint, classify) learn from FOLDER/atis, else from a piece of corpora/flights. --cache keeps
what REVISION trained, and the corpora, so that the next check trains this checkout alone.

Exit status 1 if a run fails, or if a tensor differs or is missing. A tensor with another name and the same content is
renamed. Where only one has it, a single number or a tensor of whole numbers (a buffer) is listed, anything else is
missing. Answers that differ are reported and do not change the exit status.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import console
import numpy as np
from safetensors.numpy import load_file
from same_runs import FILES, LARGE_FILES, RECIPE, RUNS, Run, fingerprint, make_corpora
from table import markdown, write_json

ROOT = Path(__file__).resolve().parent.parent
WORKER = ROOT / "benchmarks" / "same_worker.py"
# Options that this checkout calls by another name than the revisions before it: {old: new}.
RENAMED: dict[str, str] = {}
NEAR = 1e-5


class Weights(NamedTuple):
    """What came out of comparing two files of weights, by the names of tensors; ``renamed`` are (before, now)."""

    same: list[str]
    different: list[str]
    missing: list[str]
    renamed: list[tuple[str, str]]
    buffers: list[str]

    @property
    def ok(self) -> bool:
        return not self.different and not self.missing

    def verdict(self) -> str:
        counts: dict[str, Sequence[Any]] = {
            "same": self.same, "DIFFERENT": self.different, "MISSING": self.missing,
            "renamed": self.renamed, "buffers of one alone": self.buffers,
        }  # fmt: skip
        return ", ".join(f"{len(names)} {what}" for what, names in counts.items() if names)

    def details(self) -> Iterator[str]:
        for what in ("different", "missing", "buffers"):
            yield from (f"{what}: {name}" for name in getattr(self, what))
        yield from (f"renamed: {before} -> {now}" for before, now in self.renamed)


def main() -> None:
    arguments = parser().parse_args()
    chosen = [run for run in RUNS if not arguments.only or run.name in arguments.only]
    chosen = [run for run in RUNS if run in chosen or run.name in {each.init for each in chosen}]
    atis = arguments.data and (arguments.data / "atis").resolve()
    commit = git("rev-parse", "--verify", f"{arguments.revision}^{{commit}}").decode().strip()
    with kept(arguments.cache) as cache, tempfile.TemporaryDirectory() as name:
        before, now = cache / commit, Path(name)
        data = corpora(cache, exported(before, commit), atis)
        large, files = ("atis", [atis / file for file in LARGE_FILES]) if atis else ("flights", [])
        wanted = {run.name: fingerprint(run, large, files) for run in chosen}
        jobs = [{"name": run.name, "commands": run.commands(large), "fingerprint": wanted[run.name]} for run in chosen]
        train(before, data, before / "checkout", [job for job in jobs if not is_done(before, job)])
        train(now, data, arguments.checkout.resolve(), [{**job, "commands": renamed(job["commands"])} for job in jobs])
        found = {run.name: compared(run, before, now) for run in chosen}
    report(found, commit)
    write_json(arguments.json, found)
    if not all(own["ok"] for own in found.values()):
        raise SystemExit(1)


def parser() -> Any:
    made = console.parser(__doc__, data=False)
    made.add_argument("revision", metavar="REVISION", help="a commit, tag or branch of this repository")
    made.add_argument("--data", type=Path, metavar="FOLDER", help="holds atis/train.conll and atis/dev.conll")
    made.add_argument("--only", nargs="+", metavar="NAME", choices=[run.name for run in RUNS], help="these runs alone")
    made.add_argument("--checkout", type=Path, default=ROOT, metavar="FOLDER", help="compared instead of this one")
    made.add_argument("--cache", type=Path, metavar="FOLDER", help="where what REVISION trained is kept")
    return made


@contextmanager
def kept(cache: Path | None) -> Iterator[Path]:
    """The folder of the cache; a temporary one where none is named."""
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        yield cache.resolve()
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


# -- training ----------------------------------------------------------------------------------------------------------


def git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True)
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)} failed: {done.stderr.decode().strip()}")
    return done.stdout


def exported(folder: Path, commit: str) -> Path:
    """The package and the corpora of a commit, exported into ``folder`` unless they are there."""
    target = folder / "checkout"
    if not target.exists():
        partial = folder / "checkout.partial"
        with tarfile.open(fileobj=io.BytesIO(git("archive", "--format=tar", commit, "structseq", "corpora"))) as tar:
            tar.extractall(partial, filter="data")
        partial.rename(target)
    return target


def corpora(cache: Path, source: Path, atis: Path | None) -> Path:
    """The folder of the corpora, made unless it is there; ``atis`` appears in it."""
    data = cache / f"data-{sha256(RECIPE.encode()).hexdigest()[:8]}"
    if not data.exists():
        with tempfile.TemporaryDirectory(dir=cache) as name:
            made = Path(name) / "data"
            make_corpora(made, source)
            made.rename(data)
    link = data / "atis"
    if atis:
        if not all((atis / file).is_file() for file in FILES["trips"]):
            raise SystemExit(f"{atis}: expected train.conll and dev.conll")
        if not link.is_symlink() or link.readlink() != atis:  # another check may be reading by it
            link.unlink(missing_ok=True)
            link.symlink_to(atis)
    return data


def is_done(folder: Path, job: dict[str, Any]) -> bool:
    done = folder / job["name"] / "done.json"
    return done.exists() and json.loads(done.read_text(encoding="utf-8")) == job["fingerprint"]


def renamed(commands: Sequence[Sequence[str]]) -> list[list[str]]:
    """The commands with the names that options have now."""
    return [[word if "=" not in word else _renamed(word) for word in command] for command in commands]


def _renamed(setting: str) -> str:
    name, _, value = setting.partition("=")
    return f"{RENAMED.get(name, name)}={value}"


def train(folder: Path, data: Path, checkout: Path, jobs: Sequence[dict[str, Any]]) -> None:
    """Carry out the jobs in ``folder`` with the package of ``checkout``."""
    if not jobs:
        return
    print(f"{len(jobs)} runs with {checkout}", file=sys.stderr, flush=True)
    link = folder / "data"
    link.unlink(missing_ok=True)
    link.symlink_to(data)
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(WORKER)], input=json.dumps(list(jobs)), text=True, cwd=folder, env=environment
    )
    if done.returncode:
        raise SystemExit(f"training with {checkout} ended with {done.returncode}")


# -- comparing ---------------------------------------------------------------------------------------------------------


def compared(run: Run, before: Path, now: Path) -> dict[str, Any]:
    """What there is to say of a run."""
    for side, folder in (("before", before / run.name), ("now", now / run.name)):
        if not (folder / "done.json").exists():
            log = (folder / "log.txt").read_text(encoding="utf-8").strip().splitlines()
            return {"ok": False, "weights": f"FAILED {side}", "details": log[-3:], "answers": {}}
    weights = compare(*(tensors(folder / run.name) for folder in (before, now)))
    names = {"evaluate": "evaluate.json", "tag": "tag.txt", "embed": "embed.npy"}
    answers = {ask: answer(*(folder / run.name / names[ask] for folder in (before, now))) for ask in run.asks}
    details = [*weights.details(), *(f"{ask}: {verdict}" for ask, verdict in answers.items() if verdict != "same")]
    return {"ok": weights.ok, "weights": weights.verdict(), "details": details, "answers": answers}


def tensors(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model" / "model.safetensors")


def compare(before: dict[str, np.ndarray], now: dict[str, np.ndarray]) -> Weights:
    """Tensor by tensor."""
    common = sorted(before.keys() & now.keys())
    same = [name for name in common if alike(before[name], now[name])]
    left, added = sorted(before.keys() - now.keys()), sorted(now.keys() - before.keys())
    pairs = []
    for name in left:
        twin = next((other for other in added if alike(before[name], now[other])), None)
        if twin is not None:
            pairs.append((name, twin))
            added.remove(twin)
    alone = {name: before[name] for name in left if name not in dict(pairs)} | {name: now[name] for name in added}
    buffers = [name for name, values in alone.items() if values.ndim == 0 or values.dtype.kind in "iub"]
    different = [name for name in common if name not in same]
    return Weights(same, different, [name for name in alone if name not in buffers], pairs, buffers)


def alike(one: np.ndarray, two: np.ndarray) -> bool:
    """The same bits in the same shape."""
    return one.shape == two.shape and one.dtype == two.dtype and one.tobytes() == two.tobytes()


def answer(before: Path, now: Path) -> str:
    """How two files of answers compare."""
    if before.read_bytes() == now.read_bytes():
        return "same"
    if before.suffix == ".npy":
        one, two = np.load(before), np.load(now)
        near = one.shape == two.shape and np.allclose(one, two, rtol=0, atol=NEAR)
        return "within 1e-5" if near else "DIFFERENT"
    texts = [path.read_text(encoding="utf-8") for path in (before, now)]
    one, two = (json.loads(text) if before.suffix == ".json" else text.splitlines() for text in texts)
    place = first_difference(one, two)
    return "same but for the form" if place is None else f"DIFFERENT at {place}"


def first_difference(one: Any, two: Any, place: str = "") -> str | None:
    """Where two values from JSON first differ; None where they do not."""
    if isinstance(one, dict) and isinstance(two, dict):
        if one.keys() != two.keys():
            return f"{place}: keys {sorted(one.keys() ^ two.keys())}"
        places = [(f"{place}.{name}", one[name], two[name]) for name in one]
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        places = [(f"{place}[{i}]", *both) for i, both in enumerate(zip(one, two, strict=True))]
    else:
        return None if one == two else f"{place}: {one!r}, now {two!r}"
    return next((found for name, *both in places if (found := first_difference(both[0], both[1], name))), None)


def report(found: dict[str, dict[str, Any]], commit: str) -> None:
    print(f"before: {commit}\n")
    rows = [
        [name, own["weights"], "; ".join(f"{ask} {said.split(' at ')[0]}" for ask, said in own["answers"].items())]
        for name, own in found.items()
    ]
    print(markdown(["run", "tensors", "answers"], rows))
    for name, own in found.items():
        if own["details"]:
            print(f"\n{name}\n")
            print(*own["details"], sep="\n")
    wrong = [name for name, own in found.items() if not own["ok"]]
    verdict = f"not the same: {', '.join(wrong)}" if wrong else "all the same"
    print(f"\n{len(found)} runs: {verdict}")


if __name__ == "__main__":
    sys.exit(console.run(main))
