"""Resumes damaged run folders, each a training that was stopped after its second checkpoint.

Nothing but an error of structseq may be raised. If a run of which bytes were damaged is resumed, its final weights are
those of the undamaged one; hostile changes (of values, with everything else made to fit) may lead to others, which are
numbers. An option `--case N` runs one case alone.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from driver import Draw, Fault, Fuzzer
from models import TINY, compile_kernels
from mutation import changed, json_text, mutated

from structseq.config import Options
from structseq.errors import StructseqError
from structseq.run import CorpusFiles, Destination, Identity, PreparedCorpus, RunFolder, prepare_corpus, read_corpus
from structseq.run.training_run import train_and_save

Files = dict[str, bytes]

CHECKPOINT, RUN, LOG = "run/checkpoint.safetensors", "run/run.json", "log.jsonl"
SENTENCES = 8


class _Stopped(BaseException):
    """Stands for a kill."""


@dataclass(frozen=True)
class _Training:
    """What each case resumes."""

    options: Options
    names: CorpusFiles
    prepared: PreparedCorpus
    identity: Identity
    place: Path

    def run(self, stop_after: int | None = None) -> bytes:
        """The final weights; raises `_Stopped` after that many updates."""
        folder = RunFolder(self.place)
        folder.check(resume=True)
        destination = Destination(folder, lambda: self.identity, save_every=0.0)

        def watch(progress: Any, record: Any) -> None:
            if stop_after is not None and progress.update >= stop_after:
                raise _Stopped

        train_and_save(self.prepared, self.options, seed=0, destination=destination, show=lambda: nullcontext(watch))
        return (self.place / "model.safetensors").read_bytes()


@dataclass
class Resuming:
    kind: str
    files: Mapping[str, bytes]
    whole: Mapping[str, bytes]
    changes: Sequence[str]
    training: _Training
    weights: bytes  # of the undamaged run

    def shown(self) -> Mapping[str, Any]:
        found = {name: data for name, data in self.files.items() if self.whole.get(name) != data}
        missing = [name for name in self.whole if name not in self.files]
        return {"changes": self.changes, "missing": missing, "files": {n: repr(d[:3000]) for n, d in found.items()}}

    def run(self) -> str:
        _write(self.training.place, self.files)
        try:
            weights = self.training.run()
        except StructseqError as problem:
            str(problem)
            return "refused"
        if weights == self.weights:
            return "same weights"
        if self.kind == "damage":
            raise Fault("a damaged run led to other weights")
        values = weights[8 + int.from_bytes(weights[:8], "little") :]
        if not all(map(math.isfinite, struct.unpack(f"<{len(values) // 4}f", values[: len(values) // 4 * 4]))):
            raise Fault("the final weights are not finite")
        return "other weights"


def _write(place: Path, files: Mapping[str, bytes]) -> None:
    shutil.rmtree(place, ignore_errors=True)
    (place / "run").mkdir(parents=True)
    for name, data in files.items():
        (place / name).write_bytes(data)


def start(folder: Path) -> Draw:
    torch.set_num_threads(1)  # a process with threads cannot be forked
    compile_kernels()
    data = folder / "train.conll"
    rows = ["to O\nTaipei B-city\non O\nMay B-day\n2nd I-day\n", "from O\nRome B-city\n"]
    data.write_text("\n".join(rows * (SENTENCES // 2)), encoding="utf-8")
    names = CorpusFiles(data, data)
    training = {"epochs": 3, "batch_sentences": 4, "threads": 1}
    options = Options.of(TINY, {"data": {"format": "columns"}, "training": training})
    prepared = prepare_corpus(options, read_corpus(options, names), seed=0, names=names)
    made = _Training(options, names, prepared, Identity.of_run(options, 0, names), folder / "run")
    weights = made.run()
    shutil.rmtree(made.place)
    files = _stopped(made)
    _write(made.place, files)
    if made.run() != weights:
        raise SystemExit("expected the weights of an uninterrupted run, found others")
    return partial(_draw, made, files, weights)


def _stopped(training: _Training) -> Files:
    """The files of a run that was killed after its fourth update."""
    found: Files = {}

    def keep() -> None:
        for path in training.place.rglob("*"):
            if path.is_file() and path.suffix != ".lock":
                found[str(path.relative_to(training.place))] = path.read_bytes()

    try:
        training.run(stop_after=4)
    except _Stopped:
        keep()
    return found


def _draw(training: _Training, whole: Files, weights: bytes, chance: random.Random) -> Resuming:
    files = dict(whole)
    kind = "damage" if chance.random() < 0.5 else "hostile"
    changes: list[str] = []
    for _ in range(chance.choice((1, 1, 2))):
        change = _bytes if kind == "damage" else chance.choice(_CHANGES)
        changes.append(change.__name__.strip("_"))
        change(files, chance)
    return Resuming(kind, files, whole, changes, training, weights)


def _bytes(files: Files, chance: random.Random) -> None:
    name = chance.choice([CHECKPOINT, CHECKPOINT, *files])
    files[name] = mutated(files.get(name, b""), chance, files.get(RUN, b""))


def _values(files: Files, chance: random.Random) -> None:
    name = chance.choice([name for name in (RUN, LOG) if name in files] or [RUN])
    lines = files.get(name, b"{}").splitlines() if name == LOG else [files.get(name, b"{}")]
    try:
        lines = [json_text(changed(json.loads(line), chance), chance) for line in lines]
    except (ValueError, RecursionError):
        return
    files[name] = b"\n".join(lines) + b"\n"


def _numbers(files: Files, chance: random.Random) -> None:
    """Numbers and names in the checkpoint's header."""
    data = files.get(CHECKPOINT, b"")
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size])
        metadata = header["__metadata__"]
        key = chance.choice(list(metadata))
        if chance.random() < 0.8:
            metadata[key] = json.dumps(changed(json.loads(metadata[key]), chance))
        else:
            header = changed(header, chance)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return
    text = json.dumps(header).encode()
    files[CHECKPOINT] = struct.pack("<Q", len(text)) + text + data[8 + size :]


def _tensors(files: Files, chance: random.Random) -> None:
    data = bytearray(files.get(CHECKPOINT, b""))
    size = 8 + int.from_bytes(data[:8], "little")
    for _ in range(chance.choice((1, 10))):
        at = size + 4 * chance.randrange(max(1, (len(data) - size) // 4))
        data[at : at + 4] = struct.pack("<f", chance.choice((math.nan, math.inf, -math.inf, 3e38, 1e20, 0.0)))
    files[CHECKPOINT] = bytes(data)


def _files(files: Files, chance: random.Random) -> None:
    name = chance.choice(list(files))
    if chance.random() < 0.5:
        del files[name]
    else:
        files[name] = chance.choice((b"", b"[" * 100_000, b"{}", b"null", b"\xff", b"9" * 5000, b'{"format": 1}'))


_CHANGES: Sequence[Callable[[Files, random.Random], None]] = (_bytes, _values, _numbers, _numbers, _tensors, _files)

FUZZER = Fuzzer(__doc__ or "", 10_000, 200, start)

if __name__ == "__main__":
    sys.exit(FUZZER.main())
