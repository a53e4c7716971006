"""The command line as the tests use it: called in this process, on small corpora, with a tiny model."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from structseq import cli
from structseq.errors import StructseqError
from structseq.experiment import WorkResult
from structseq.experiment.pool import reason_of

CITIES = ("Taipei", "Osaka", "New York", "Oslo", "Lima", "Cairo", "Paris", "Rome")
SETTINGS = (
    "encoder.width=8", "inputs.words.width=8", "inputs.characters.width=4", "inputs.characters.embedding=4",
    "inputs.affixes.shape=0", "inputs.affixes.width=0", "inputs.dropout=0.1", "encoder.dropout=0.1",
    "training.learning_rate=0.03", "training.batch_sentences=8", "training.patience=1000",
)  # fmt: skip


def tiny(epochs: int = 2, *, but: str = "") -> list[str]:
    """``--set`` for a model small enough to train in a moment; without the option that a test sets itself."""
    settings = (*SETTINGS, f"training.epochs={epochs}")
    return [word for setting in settings if setting.split("=")[0] != but for word in ("--set", setting)]


@dataclass(frozen=True)
class Done:
    """What a command left: its exit status and its two streams."""

    status: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line on standard error."""
        (line,) = self.err.splitlines()
        return line


def call(capsys: pytest.CaptureFixture[str], *words: object) -> Done:
    """Run a command in this process."""
    capsys.readouterr()
    status = cli.main([str(word) for word in words])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return Done(status, captured.out, captured.err)


def status_unread(*words: object) -> int:
    """A command's exit status if the reader of its output has ended."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed, redirect_stdout(closed):
        return cli.main([str(word) for word in words])


class InProcess:
    """In place of a pool of processes: all work in this one, which is quick."""

    def __init__(self, jobs: int, *shared: Any) -> None:
        self.jobs, self.shared = jobs, shared

    def run(self, work: Sequence[Any], *, tick: Callable[[list[Any]], None] | None = None) -> Iterator[WorkResult]:
        for trial in work:
            if tick:
                tick([trial])
            try:
                yield WorkResult(trial, "done", "", tuple(trial.run(*self.shared)))
            except StructseqError as problem:
                yield WorkResult(trial, "failed", reason_of(problem))
            if tick:
                tick([trial])


def sentences(count: int, *, first: int = 0) -> list[tuple[list[str], list[str]]]:
    """``count`` sentences about flights with their tags in BIO, none twice among the first 64 or so."""
    made = []
    for n in range(first, first + count):
        origin, target = CITIES[n % 8].split(), CITIES[(n // 8 + n + 1) % 8].split()
        head = ("fly", "go", "travel", "a flight")[n % 4].split()
        tokens = [*head, "from", *origin, "to", *target]
        tags = ["O"] * (len(head) + 1) + _tags(origin, "from") + ["O"] + _tags(target, "to")
        made.append((tokens, tags))
    return made


def _tags(words: Sequence[str], label: str) -> list[str]:
    return [f"B-{label}", *[f"I-{label}"] * (len(words) - 1)]


def columns(rows: Sequence[tuple[Sequence[str], Sequence[str]]]) -> str:
    """A column file of these sentences."""
    return "".join("".join(f"{token}\t{tag}\n" for token, tag in zip(*row, strict=True)) + "\n" for row in rows)


def write_corpus(folder: Path) -> dict[str, Path]:
    """train.conll, dev.conll and test.conll, 32, 8 and 8 sentences."""
    parts = {"train": sentences(32), "dev": sentences(8, first=40), "test": sentences(8, first=50)}
    paths = {}
    for name, rows in parts.items():
        paths[name] = folder / f"{name}.conll"
        paths[name].write_text(columns(rows), encoding="utf-8")
    return paths


def python(*words: str) -> list[str]:
    """The command line as a separate process."""
    return [sys.executable, "-m", "structseq", *words]
