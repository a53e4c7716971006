"""Training with checkpoints and stop on request (`fit`); scoring and saving the model (`train_and_save`)."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from structseq.config import Options, TrainingOptions
from structseq.data.reading import Corpus
from structseq.errors import ConfigError, StructseqError, TrainingError
from structseq.gate_activations import mean_gate_activations
from structseq.model import Model
from structseq.run.corpus import CorpusFiles, Notify, PreparedCorpus, ignore, warn_of_skipped
from structseq.run.folder import RunFolder
from structseq.run.identity import Identity
from structseq.run.transfer import format_transfer, transfer
from structseq.storage import load_model
from structseq.structures.chain import LinearChain
from structseq.tasks.base import Entities, Report
from structseq.training import Progress, State, train

# After so long without a message, the user gets one
SILENT_SECONDS = 4.0

# Called after every update; the second argument is the journal's record at the end of an epoch, else None.
Callback = Callable[[Progress, Mapping[str, Any] | None], None]


@dataclass(frozen=True)
class Destination:
    """Where a run is saved.

    ``identity`` is a function, because it hashes all input files, which takes time. ``command`` is the command line,
    stored in run.json. ``save_every`` is that of `fit`. Without ``resume``, an unfinished run there is an error.
    """

    folder: RunFolder
    identity: Callable[[], Identity]
    command: str = ""
    save_every: float = 60.0
    resume: bool = True


@dataclass(frozen=True)
class InitialModel:
    """The model folder whose word vocabulary and weights a run starts from; ``trusted`` as in `load_model`."""

    model: Path
    trusted: Collection[str] = ()


@dataclass(frozen=True)
class TrainingResult:
    """A trained model; ``metrics`` has ``training``, and if it was saved, both tables have dev and test if given."""

    model: Model
    outcome: Outcome
    metrics: Mapping[str, Any]
    entities: Entities
    reports: Mapping[str, Report] = field(default_factory=dict)


def train_and_save(
    prepared: PreparedCorpus,
    options: Options,
    *,
    seed: int,
    destination: Destination | None = None,
    start: InitialModel | None = None,
    names: CorpusFiles | None = None,
    show: Callable[[], AbstractContextManager[Callback | None]] = nullcontext,
    notify: Notify = ignore,
) -> TrainingResult:
    """Train a new model on ``prepared``; with a ``destination``, score it on dev and test and save it.

    ``names`` are the parts' names in messages, ``notify`` receives messages to the user, and ``show`` opens a progress
    display that yields its `Callback`. Raises as `fit` does, and `ConfigError` if the options fit no model.
    """
    corpus = prepared.corpus
    model = _build(prepared, options, seed, start, notify)
    warn_of_skipped(model, corpus.train, (names or CorpusFiles("the training data")).train, notify)
    if destination is None:
        return _fit(model, corpus, options, seed, show, notify)
    folder = destination.folder
    with folder.opened(destination.identity(), command=destination.command, resume=destination.resume):
        for warning in folder.warnings:
            notify(f"warning: {warning}; the weights may differ in their last bits from those of an uninterrupted run")
        trained = _fit(model, corpus, options, seed, show, notify, folder=folder, save_every=destination.save_every)
        trained = _score(trained, corpus)
        folder.finish(model, tokenizer=options.data.tokenizer, metrics=trained.metrics, entities=trained.entities)
    return trained


def _build(prepared: PreparedCorpus, options: Options, seed: int, start: InitialModel | None, notify: Notify) -> Model:
    source = load_model(start.model, trusted=start.trusted).model if start else None
    try:
        words = source.vocabularies.get("words") if source else None
        model = Model.prepare(options, prepared.corpus.train, prepared.scheme, seed=seed, known=words)
    except StructseqError:
        raise
    except (RuntimeError, OverflowError, TypeError, ValueError) as problem:
        first = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise ConfigError(f"no model can be built with these options: {first}") from None
    if source and start:
        theirs, own = (each.modality.input_options(each.options.data) for each in (source, model))
        different = [name for name in own if own[name] != theirs.get(name, own[name])]
        if different:
            what = ", ".join(f"{name} was {theirs[name]!r} and is {own[name]!r} now" for name in different)
            notify(f"warning: {start.model} was trained on different {model.modality.name}: {what}")
        notify(f"{start.model}: {format_transfer(transfer(source, model))}")
    return model


def _fit(
    model: Model,
    corpus: Corpus,
    options: Options,
    seed: int,
    show: Callable[[], AbstractContextManager[Callback | None]],
    notify: Notify,
    folder: RunFolder | None = None,
    save_every: float = 60.0,
) -> TrainingResult:
    _warm_up_with_notice(notify)  # before the progress bar, which would seem to hang
    with show() as callback:
        outcome = fit(
            model, corpus, options.training, seed=seed, folder=folder, save_every=save_every, callback=callback
        )
    notify(f"{outcome.reason}; {outcome.seconds:.1f} s of training")
    return TrainingResult(model, outcome, {"training": outcome.to_dict()}, model.task.entities(corpus.train))


def _score(trained: TrainingResult, corpus: Corpus) -> TrainingResult:
    model, metrics, reports = trained.model, dict(trained.metrics), {}
    for name, examples in (("dev", corpus.dev), ("test", corpus.test)):
        if not examples:
            continue
        reports[name] = model.task.report(model, examples, entities=trained.entities)
        metrics[name] = reports[name].to_dict()
        if name == "dev" and "tags" in model.task.required_targets:
            metrics |= {"gates": gates} if (gates := mean_gate_activations(model, examples)) else {}
    return replace(trained, metrics=metrics, reports=reports)


# -- fit ---------------------------------------------------------------------------------------------------------------


@dataclass
class Clock:
    """Time and tokens of a run, over all its processes, and of its current epoch."""

    seconds: float = 0.0
    tokens: int = 0
    epoch_seconds: float = 0.0
    epoch_tokens: int = 0

    def add(self, seconds: float, tokens: int) -> None:
        self.seconds += seconds
        self.epoch_seconds += seconds
        self.tokens += tokens
        self.epoch_tokens += tokens

    def end_epoch(self) -> dict[str, float]:
        """Seconds and tokens per second of the epoch; begins the next."""
        seconds, tokens = self.epoch_seconds, self.epoch_tokens
        self.epoch_seconds, self.epoch_tokens = 0.0, 0
        return {"seconds": round(seconds, 3), "tokens_per_second": round(tokens / seconds, 1)}


@dataclass(frozen=True)
class Outcome:
    """How and why training ended; ``reason`` is a clause for messages.

    ``seconds`` is the time of updates and dev scores, without checkpoints; it and ``tokens`` count all processes of the
    run. The model has the weights of ``best_epoch``, with ``best_score`` on dev, 0..1 (None without a dev set).
    """

    epochs: int
    updates: int
    best_epoch: int
    best_score: float | None
    seconds: float
    tokens: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def fit(
    model: Model,
    corpus: Corpus,
    options: TrainingOptions | None = None,
    *,
    seed: int = 0,
    folder: RunFolder | None = None,
    save_every: float = 60.0,
    callback: Callback | None = None,
) -> Outcome:
    """Train ``model`` to the end; it then has the best weights.

    Raises `Interrupted` after Ctrl-C or SIGTERM, once the current update is done (and saved, if there is a ``folder``);
    `DataError` if there is nothing to learn from; `ConfigError` for a negative seed; `TrainingError` if the loss
    diverges, the folder cannot be written, or its checkpoint is from another model.

    Parameters
    ----------
    folder:
        An opened `RunFolder`. Training resumes from its last checkpoint; the result is bit-identical to that of an
        uninterrupted run on the same machine and number of threads.
    save_every:
        Seconds after which the next update saves a checkpoint; the end of an epoch saves one too.
    callback:
        Called after every update.
    """
    warm_up()
    return _TrainingLoop(model, corpus, options or model.options.training, seed, folder, callback).run(save_every)


@dataclass
class _TrainingLoop:
    """Runs `train`; writes checkpoints and the journal."""

    model: Model
    corpus: Corpus
    options: TrainingOptions
    seed: int
    folder: RunFolder | None
    callback: Callback | None
    clock: Clock = field(default_factory=Clock)
    outcome: Outcome | None = None

    def run(self, save_every: float) -> Outcome:
        state = self._resume(self.folder) if self.folder else None
        before = saved = time.perf_counter()
        with stop_on_request() as request:
            for progress in train(self.model, self.corpus, self.options, seed=self.seed, state=state):
                now = time.perf_counter()
                self.clock.add(now - before, progress.tokens)
                before = now
                self._record(progress)
                if progress.ends_epoch or request.stop or now - saved >= save_every:
                    self._save(progress)
                    before = saved = time.perf_counter()  # saving is not training time
                if request.stop:
                    raise Interrupted
        if self.outcome is None:
            raise TrainingError("training ended without a reason; this is a bug in structseq, please report it")
        if self.folder:
            self.folder.journal.write("end", **self.outcome.to_dict() | {"update": self.outcome.updates})
        return self.outcome

    def _resume(self, folder: RunFolder) -> State | None:
        """The state of the last checkpoint; None for a new run."""
        found = folder.load()
        if found is None:
            folder.journal.truncate(-1)  # records of an attempt that saved no checkpoint
            folder.journal.write("start", update=0, seed=self.seed)
            return None
        numbers, tensors = found
        try:
            self.clock = Clock(**numbers["clock"])
            if numbers["outcome"] is not None:
                self.outcome = Outcome(**numbers["outcome"])
            state = State(numbers["training"], tensors)
            update = state.numbers["update"]
        except (KeyError, TypeError):
            message = f"{folder.checkpoint}: this is not the checkpoint of a training run; remove it to start again"
            raise TrainingError(message) from None
        folder.journal.truncate(update)
        folder.journal.write("resume", update=update, epoch=state.numbers["epoch"])
        return state

    def _record(self, progress: Progress) -> None:
        record: dict[str, Any] | None = None
        if progress.ends_epoch:
            record = {
                "epoch": progress.epoch, "epochs": progress.epochs, "loss": progress.loss, "dev": progress.dev_score,
                "best": progress.best_score, "best_epoch": progress.best_epoch,
                "learning_rate": progress.learning_rate, **self.clock.end_epoch(),
            }  # fmt: skip
            if self.folder:
                record = self.folder.journal.write("epoch", update=progress.update, **record)
        if progress.finished:
            self.outcome = Outcome(
                progress.epoch, progress.update, progress.best_epoch, progress.best_score,
                round(self.clock.seconds, 3), self.clock.tokens, progress.finished,
            )  # fmt: skip
        if self.callback:
            self.callback(progress, record)

    def _save(self, progress: Progress) -> None:
        if self.folder:
            state = progress.state()
            outcome = self.outcome and self.outcome.to_dict()
            numbers = {"training": state.numbers, "clock": asdict(self.clock), "outcome": outcome}
            self.folder.save(numbers, state.tensors)


@cache
def warm_up() -> None:
    """Compile the chain's recursions and import torch's optimizers, so that the first update is not slow."""
    scores = torch.zeros(1, 2, 2, requires_grad=True)
    zeros = torch.zeros(2)
    chain = LinearChain(scores, torch.zeros(2, 2), zeros, zeros, torch.tensor([2]))
    path = chain.best().path
    chain.log_prob(path).sum().backward()
    chain.score(path).sum().backward()
    torch.optim.AdamW([scores])


def _warm_up_with_notice(notify: Notify) -> None:
    """`warm_up`; says what it does if that takes long."""
    notice = "preparing; the first run after an installation compiles kernels, which takes up to a minute"
    timer = threading.Timer(SILENT_SECONDS, notify, [notice])
    timer.daemon = True
    timer.start()
    try:
        warm_up()
    finally:
        timer.cancel()


# -- stop on request ---------------------------------------------------------------------------------------------------


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM stopped training after an update; a run with a folder is saved."""


@dataclass
class StopRequest:
    """``stop`` becomes True on the first signal."""

    stop: bool = False


@contextmanager
def stop_on_request() -> Iterator[StopRequest]:
    """Within the block, the first SIGINT or SIGTERM sets `StopRequest.stop`; the second raises `Interrupted`.

    Outside the main thread it does nothing, because signals reach only the main thread.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if request.stop:
            raise Interrupted
        request.stop = True

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
