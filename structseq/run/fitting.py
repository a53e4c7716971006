"""fit: train a model to the end, with a journal, checkpoints and polite stopping where a folder is given."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch

from structseq.config import TrainingOptions
from structseq.data.reading import Corpus
from structseq.errors import TrainingError
from structseq.model import Model
from structseq.run.folder import RunFolder
from structseq.run.stopping import Interrupted, stop_on_request
from structseq.structures.chain import LinearChain
from structseq.training import Progress, State, train

# Called after every update; the second value is the journal's record where an epoch ended.
Watch = Callable[[Progress, Mapping[str, Any] | None], None]


@dataclass
class Clock:
    """Time and tokens of a run, over kills and resumptions; ``epoch_`` since the last epoch's end."""

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
        """Seconds and tokens per second of the epoch that ended."""
        rate = self.epoch_tokens / self.epoch_seconds
        told = {"seconds": round(self.epoch_seconds, 3), "tokens_per_second": round(rate, 1)}
        self.epoch_seconds, self.epoch_tokens = 0.0, 0
        return told


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    epochs, updates:
        How many were made.
    best_epoch, best_score:
        The epoch whose weights the model holds, and its dev score 0..1 (None without a dev set).
    seconds, tokens:
        Spent in training, and learned from, over all of the run's processes.
    reason:
        Why it ended, as a sentence.
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
    watch: Watch | None = None,
) -> Outcome:
    """Train ``model`` to the end; it then holds the best weights.

    Parameters
    ----------
    folder:
        An opened `RunFolder`: the run goes on from its last checkpoint, if there is one, and ends bit-identical to an
        unbroken one on the same machine and number of threads. None keeps everything in memory.
    save_every:
        Seconds of training after which a checkpoint is written within an epoch; every epoch's end has one.
    watch:
        Called after every update with its `Progress` and, at an epoch's end, the journal's record.

    Raises
    ------
    Interrupted
        After Ctrl-C or SIGTERM, when the update under way is done and saved.
    TrainingError
        The loss diverged, the folder cannot be written, or its checkpoint is another model's.
    """
    warm_up()
    return _Fitting(model, corpus, options or model.options.training, seed, folder, watch).run(save_every)


class _Fitting:
    """What `fit` keeps between two updates."""

    def __init__(
        self,
        model: Model,
        corpus: Corpus,
        options: TrainingOptions,
        seed: int,
        folder: RunFolder | None,
        watch: Watch | None,
    ) -> None:
        self.model, self.corpus, self.options, self.seed = model, corpus, options, seed
        self.folder, self.watch = folder, watch
        self.clock = Clock()
        self.outcome: Outcome | None = None

    def run(self, save_every: float) -> Outcome:
        state = self._begin()
        before = saved = time.perf_counter()
        with stop_on_request() as request:
            for progress in train(self.model, self.corpus, self.options, seed=self.seed, state=state):
                now = time.perf_counter()
                self.clock.add(now - before, progress.tokens)
                before = now
                self._tell(progress)
                if progress.ends_epoch or request.stop or now - saved >= save_every:
                    self._save(progress)
                    before = saved = time.perf_counter()
                if request.stop:
                    raise Interrupted
        return self._end()

    def _begin(self) -> State | None:
        """Where the last process left off; None at the beginning."""
        found = self.folder.load() if self.folder else None
        if self.folder is None:
            return None
        if found is None:
            self.folder.journal.cut(-1)
            self.folder.journal.write("start", update=0, seed=self.seed)
            return None
        numbers, tensors = found
        try:
            self.clock = Clock(**numbers["clock"])
            if numbers["outcome"] is not None:
                self.outcome = Outcome(**numbers["outcome"])
            state = State(numbers["training"], tensors)
            update = state.numbers["update"]
        except (KeyError, TypeError):
            message = f"{self.folder.checkpoint}: is no checkpoint of a training run; remove it to start afresh"
            raise TrainingError(message) from None
        self.folder.journal.cut(update)
        self.folder.journal.write("resume", update=update, epoch=state.numbers["epoch"])
        return state

    def _tell(self, progress: Progress) -> None:
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
        if self.watch:
            self.watch(progress, record)

    def _save(self, progress: Progress) -> None:
        if self.folder is None:
            return
        state = progress.state()
        outcome = self.outcome.to_dict() if self.outcome else None
        clock = {field.name: getattr(self.clock, field.name) for field in fields(self.clock)}
        self.folder.save({"training": state.numbers, "clock": clock, "outcome": outcome}, state.tensors)

    def _end(self) -> Outcome:
        if self.outcome is None:
            raise TrainingError("training ended without saying why; this is a fault of structseq")
        if self.folder:
            self.folder.journal.write("end", **self.outcome.to_dict() | {"update": self.outcome.updates})
        return self.outcome


def warm_up() -> None:
    """Compile the chain's recursions, or read them from the cache, and let torch load what its optimisers want.

    So that the first update's time is its own.
    """
    scores = torch.zeros(1, 2, 2, requires_grad=True)
    zeros = torch.zeros(2)
    chain = LinearChain(scores, torch.zeros(2, 2), zeros, zeros, torch.tensor([2]))
    path = chain.best().path
    chain.log_prob(path).sum().backward()
    chain.score(path).sum().backward()
    torch.optim.AdamW([scores])
