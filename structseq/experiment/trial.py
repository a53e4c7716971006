"""Trial: one system trained with one seed, in a folder of its own; and the record of what came of it."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from structseq.config import Options
from structseq.data.example import Example
from structseq.data.reading import Corpus
from structseq.experiment.findings import confident_errors, learned_transitions
from structseq.files import write_file
from structseq.inference import Tagger
from structseq.model import Model
from structseq.run import Destination, Identity, Outcome, PreparedCorpus, RunFolder, train_and_save
from structseq.run.identity import versions
from structseq.run.journal import Journal
from structseq.spans import Scheme, scheme_of
from structseq.storage import load_model
from structseq.storage.entries import json_bytes
from structseq.tasks.tagging import TaggingTask

FORMAT = 1
# Tokens that the speed of tagging is measured on at most; passes at least, and seconds that all of them should take
MEASURED, PASSES, SECONDS = 10_000, 3, 0.5


@dataclass(frozen=True)
class Record:
    """What a finished trial leaves in ``trial.json``: all that a comparison needs, and the tags to compare by.

    Attributes
    ----------
    system, encoder, head, settings, seed:
        What was tried.
    scheme:
        Of the tags, the user's own.
    parameters:
        Numbers that were trained.
    training:
        The run's `Outcome`: epochs, updates, best_epoch, best_score, seconds, tokens, reason.
    tagging_tokens_per_second:
        On one thread, without confidences; median of a few passes.
    curve:
        seed, best_epoch and epochs (epoch, loss, dev, seconds each).
    parts:
        For dev and test (where given): score 0..1, counts (`sentence_counts`) and the predicted tags, by sentence.
    transitions, errors:
        See `structseq.experiment.findings`.
    versions:
        Of Python and the libraries.
    """

    system: str
    encoder: str
    head: str
    settings: Mapping[str, Any]
    seed: int
    scheme: str
    parameters: int
    training: Mapping[str, Any]
    tagging_tokens_per_second: float
    curve: Mapping[str, Any]
    parts: Mapping[str, Mapping[str, Any]]
    transitions: Mapping[str, Any] | None
    errors: Sequence[Mapping[str, Any]]
    versions: Mapping[str, str]
    format: int = FORMAT

    @staticmethod
    def read(path: Path) -> Record | None:
        """The record in a file; None where there is none, or none that can be read."""
        try:
            values = json.loads(path.read_bytes())
            record = Record(**{name: values[name] for name in Record.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if record.format == FORMAT else None

    def write(self, path: Path) -> None:
        """All of it, on the disk, or nothing."""
        write_file(path, json_bytes(asdict(self), indent=None))


@dataclass(frozen=True)
class Trial:
    """One training run of an experiment; plain values, so that another process can be told of it.

    Attributes
    ----------
    system, encoder, head, settings, seed, path:
        What is tried, and the folder that becomes its model.
    options:
        All options, resolved, as a nested table.
    identity:
        What the run is known by; see `structseq.run.Identity`.
    trusted:
        Code from outside that the user named.
    """

    system: str
    encoder: str
    head: str
    settings: Mapping[str, Any]
    seed: int
    path: Path
    options: Mapping[str, Any]
    identity: Identity
    trusted: tuple[str, ...] = ()

    @property
    def record(self) -> Record | None:
        """What it left; None while it is not finished."""
        return Record.read(self.path / "trial.json")

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The journal's records of the epochs so far."""
        return [record for record in Journal(self.path / "log.jsonl").read() if record.get("event") == "epoch"]

    def run(self, corpus: Corpus, scheme: str) -> list[str]:
        """Train to the end, or go on from where an earlier process stopped; remarks worth telling.

        Raises `structseq.run.Interrupted` when stopped politely, with everything saved.
        """
        folder, remarks = RunFolder(self.path), list[str]()
        folder.wait()
        with _one_thread():
            if folder.status == "finished":
                folder.compare(self.identity)
                folder.tidy()
            else:
                remarks = self._train(folder, corpus, scheme_of(scheme))
            self._recorded(corpus).write(self.path / "trial.json")
        return remarks

    def _train(self, folder: RunFolder, corpus: Corpus, scheme: Scheme) -> list[str]:
        folder.check(resume=True)
        train_and_save(
            PreparedCorpus(corpus, scheme),
            Options.of(self.options),
            seed=self.seed,
            destination=Destination(
                folder, lambda: self.identity, command=f"structseq compare ({self.system}, seed {self.seed})"
            ),
        )
        return [f"{doubt}; the weights may differ in their last bits" for doubt in folder.doubts]

    def _recorded(self, corpus: Corpus) -> Record:
        """The record, made from the finished model folder alone, so that a kill on the way loses nothing."""
        stored = load_model(self.path, trusted=self.trusted)
        model, tagger = stored.model, Tagger(stored.model, tokenizer=stored.tokenizer)
        outcome = Outcome(**stored.metrics["training"])
        judged = corpus.test or corpus.dev
        kept = ("epoch", "loss", "dev", "seconds")
        epochs = [{name: record.get(name) for name in kept} for record in self.epochs]
        return Record(
            self.system, self.encoder, self.head, self.settings, self.seed,
            scheme=model.tags.outer.name,
            parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
            training=outcome.to_dict(),
            tagging_tokens_per_second=tagging_speed(tagger, judged),
            curve={"seed": self.seed, "best_epoch": outcome.best_epoch, "epochs": epochs},
            parts={name: _part(model, examples) for name, examples in _parts(corpus)},
            transitions=learned_transitions(model),
            errors=confident_errors(tagger, judged),
            versions=versions(),
        )  # fmt: skip


def tagging_speed(tagger: Tagger, examples: Sequence[Example]) -> float:
    """Tokens a second on this process's threads, without confidences: the median of a few passes after a first."""
    measured, tokens = [], 0
    for example in examples:
        measured.append(example)
        tokens += len(example)
        if tokens >= MEASURED:
            break
    seconds: list[float] = []
    while len(seconds) <= PASSES or (sum(seconds[1:]) < SECONDS and len(seconds) < 10 * PASSES):
        begun = time.perf_counter()
        for _ in tagger.tag_many(measured, confidence=False):
            pass
        seconds.append(time.perf_counter() - begun)
    return round(tokens / statistics.median(seconds[1:]), 1)


def _parts(corpus: Corpus) -> Iterator[tuple[str, Sequence[Example]]]:
    yield "dev", corpus.dev
    if corpus.test:
        yield "test", corpus.test


def _part(model: Model, examples: Sequence[Example]) -> dict[str, Any]:
    """Score, counts and predicted tags of each sentence."""
    gold = [example.tags for example in examples]
    predicted = list(model.predict(examples))
    assert isinstance(model.task, TaggingTask)  # `Plan` takes no others
    counts = model.task.counts(gold, predicted)
    return {
        "score": model.task.criterion(gold, predicted),
        "counts": counts.tolist(),
        "predicted": [list(tags) for tags in predicted],
    }


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
