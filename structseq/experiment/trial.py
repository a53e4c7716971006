"""Trial: one system trained with one seed; Record: its results."""

from __future__ import annotations

import json
import math
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
from structseq.evaluation import evaluate
from structseq.files import write_file
from structseq.heads.tagging import TaggingHead
from structseq.inference import Tagger, Tagging
from structseq.model import Model
from structseq.padded import Padded
from structseq.run import Destination, Identity, Outcome, PreparedCorpus, RunFolder, train_and_save
from structseq.run.folder import Journal
from structseq.run.identity import versions
from structseq.spans import scheme_of
from structseq.spans.schemes import Span
from structseq.storage import load_model
from structseq.storage.entries import json_bytes
from structseq.tasks.tagging_tasks import TaggingTask

FORMAT = 2
# Tagging speed: maximum number of tokens, minimum number of passes and of seconds
MEASURED, PASSES, SECONDS = 10_000, 3, 0.5
# Number of errors that a record keeps
ERRORS = 20


@dataclass(frozen=True)
class Record:
    """Results of a finished trial, stored as ``trial.json``.

    ``training`` is the run's `Outcome`. ``curve`` has seed, best_epoch and epochs (epoch, loss, dev, seconds).
    ``parts``: for dev and test (if given) score, counts (`sentence_counts`) and predicted tags of each sentence. Dev is
    called tuned_dev if the bias for or against O, chosen on dev after training, changed its score.
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
        """Read a record; None if the file is missing or unreadable."""
        try:
            values = json.loads(path.read_bytes())
            if values["format"] == 1:  # it calls both scores dev
                best, parts = values["training"]["best_score"], dict(values["parts"])
                values |= {"format": FORMAT, "parts": {**_named_dev(parts.pop("dev"), best), **parts}}
            record = Record(**{name: values[name] for name in Record.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return record if record.format == FORMAT else None

    def part(self, name: str) -> Mapping[str, Any]:
        """A value of ``parts``; "tuned_dev" is dev where no bias changed the score."""
        return self.parts["dev" if name == "tuned_dev" and name not in self.parts else name]

    @property
    def scores(self) -> dict[str, float]:
        """Scores from 0 to 1: dev of the best epoch, tuned_dev if it differs, test if given."""
        return {"dev": self.training["best_score"]} | {name: part["score"] for name, part in self.parts.items()}

    def write(self, path: Path) -> None:
        write_file(path, json_bytes(asdict(self), indent=None))


@dataclass(frozen=True)
class Trial:
    """A training run of an experiment, which can be pickled.

    ``path`` becomes the model folder; ``options`` are all options, nested; ``trusted`` are their classes from outside
    structseq.
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
        """None until the trial is finished."""
        return Record.read(self.path / "trial.json")

    @property
    def epochs(self) -> list[dict[str, Any]]:
        return [record for record in Journal(self.path / "log.jsonl").read() if record.get("event") == "epoch"]

    def run(self, corpus: Corpus, scheme: str) -> list[str]:
        """Train or resume, and write the record; returns warnings.

        Raises `structseq.run.Interrupted`, after saving, if a signal stops it.
        """
        folder = RunFolder(self.path)
        folder.wait()
        with _one_thread():
            if folder.status == "finished":
                folder.compare(self.identity)
                folder.remove_leftovers()
                warnings: list[str] = []
            else:
                folder.check(resume=True)
                command = f"structseq compare ({self.system}, seed {self.seed})"
                destination = Destination(folder, lambda: self.identity, command=command)
                prepared = PreparedCorpus(corpus, scheme_of(scheme))
                train_and_save(prepared, Options.of(self.options), seed=self.seed, destination=destination)
                warnings = folder.warnings
            self._make_record(corpus).write(self.path / "trial.json")
        return [f"{warning}; the weights may differ in their last bits" for warning in warnings]

    def _make_record(self, corpus: Corpus) -> Record:
        """Needs only the model folder, so that a process killed before this loses nothing."""
        stored = load_model(self.path, trusted=self.trusted)
        model, tagger = stored.model, Tagger(stored.model, tokenizer=stored.tokenizer)
        outcome = Outcome(**stored.metrics["training"])
        judged = corpus.test or corpus.dev
        names = ("epoch", "loss", "dev", "seconds")
        epochs = [{name: record.get(name) for name in names} for record in self.epochs]
        return Record(
            self.system, self.encoder, self.head, self.settings, self.seed,
            scheme=model.tags.file_scheme.name,
            parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
            training=outcome.to_dict(),
            tagging_tokens_per_second=tagging_speed(tagger, judged),
            curve={"seed": self.seed, "best_epoch": outcome.best_epoch, "epochs": epochs},
            parts=_named_dev(_scored(model, corpus.dev), outcome.best_score)
            | ({"test": _scored(model, corpus.test)} if corpus.test else {}),
            transitions=learned_transitions(model),
            errors=confident_errors(tagger, judged),
            versions=versions(),
        )  # fmt: skip


def tagging_speed(tagger: Tagger, examples: Sequence[Example]) -> float:
    """Tokens per second without confidences: the median of several passes after a warm-up."""
    measured, tokens = [], 0
    for example in examples:
        measured.append(example)
        tokens += len(example)
        if tokens >= MEASURED:
            break
    seconds: list[float] = []
    while len(seconds) <= PASSES or (sum(seconds[1:]) < SECONDS and len(seconds) < 10 * PASSES):
        start = time.perf_counter()
        for _ in tagger.tag_many(measured, confidence=False):
            pass
        seconds.append(time.perf_counter() - start)
    return round(tokens / statistics.median(seconds[1:]), 1)


def _scored(model: Model, examples: Sequence[Example]) -> dict[str, Any]:
    """A value of `Record.parts`."""
    gold = [example.tags for example in examples]
    predicted = list(model.predict(examples))
    assert isinstance(model.task, TaggingTask)  # `parse_choices` rejects other tasks
    score, counts = model.task.criterion(gold, predicted), model.task.counts(gold, predicted).tolist()
    return {"score": score, "counts": counts, "predicted": list(map(list, predicted))}


def _named_dev(part: Mapping[str, Any], best_score: float | None) -> dict[str, Mapping[str, Any]]:
    """The finished model's dev under its name in `Record.parts`; ``best_score`` is that without a bias."""
    return {"dev" if part["score"] == best_score else "tuned_dev": part}


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def learned_transitions(model: Model) -> dict[str, Any] | None:
    """Scores in nats: tags (K), scores (K, K) [from, to], start (K), end (K); None where forbidden.

    Returns None for a head without a chain, or if all legal transitions have the same score, as with softmax.
    """
    if not isinstance(model.head, TaggingHead):
        return None
    with torch.inference_mode():
        states = next(model.parameters()).new_zeros(1, 1, model.encoder.width)  # a head may have no weights
        chain = model.head.chain(Padded(states, torch.tensor([1])))
    transitions, start, end = (table[0].cpu() for table in chain.tables)
    legal = transitions[transitions.isfinite()]
    if not len(legal) or bool((legal == legal[0]).all()):
        return None

    def rounded(scores: Sequence[float]) -> list[float | None]:
        return [round(score, 4) if math.isfinite(score) else None for score in scores]

    scores = [rounded(row) for row in transitions[0].tolist()]
    edges = {"start": rounded(start.tolist()), "end": rounded(end.tolist())}
    return {"tags": list(model.tags.labels), "scores": scores, **edges}


def confident_errors(tagger: Tagger, examples: Sequence[Example], *, count: int = ERRORS) -> list[dict[str, Any]]:
    """The wrong predictions with the highest confidence; none if the model is not calibrated.

    Each has confidence (0 to 1), source, tokens, predicted (type), start and end (half-open); gold (type), gold_start
    and gold_end, all None without a gold unit; and kind (`Mistake.kind`).
    """
    taggings = list(tagger.tag_many(examples, confidence=True))
    report = evaluate(
        [example.tags for example in examples],
        [tagging.tags for tagging in taggings],
        scheme=tagger.scheme,
        tokens=[example.tokens for example in examples],
        sources=[example.source for example in examples],
        bootstrap=0,
    )
    errors: list[dict[str, Any]] = []
    for mistake in report.errors:
        gold, unit = mistake.gold, mistake.predicted
        confidence = None if unit is None else _confidence(taggings[mistake.sentence], unit)
        if unit is not None and confidence is not None:
            errors.append({
                "confidence": confidence, "source": mistake.source, "tokens": list(mistake.tokens),
                "start_token": unit.start, "end_token": unit.end, "gold": gold and gold.label,
                "gold_start_token": gold and gold.start, "gold_end_token": gold and gold.end,
                "predicted": unit.label, "kind": mistake.kind,
            })  # fmt: skip
    return sorted(errors, key=lambda error: -error["confidence"])[:count]


def _confidence(tagging: Tagging, unit: Span) -> float | None:
    if tagging.confidence is None:
        return None
    if tagging.scheme.plain:
        return tagging.confidence[unit.start]
    spans = {(span.start, span.end, span.label): span.confidence for span in tagging.spans}
    return spans.get((unit.start, unit.end, unit.label))
