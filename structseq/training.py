"""Training as a generator that yields after every update."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from structseq.batch import batch_by_length
from structseq.config import TrainingOptions
from structseq.data.example import Example
from structseq.data.reading import Corpus
from structseq.errors import ConfigError, DataError, TrainingError
from structseq.model import Model


@dataclass(frozen=True)
class State:
    """Everything needed to resume training: numbers, and tensors (weights, averages, moments, random state)."""

    numbers: dict[str, Any]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Progress:
    """Training after an update; epochs, updates and steps count from 1."""

    epoch: int
    epochs: int  # the maximum
    update: int  # of the whole run
    step: int  # the update within this epoch
    steps: int  # updates of an epoch
    loss: float  # mean per decision of this update, or of the epoch that it ends; in nats for a likelihood
    tokens: int  # in this update
    learning_rate: float
    gradient_norm: float  # before clipping
    ends_epoch: bool = False
    dev_score: float | None = None  # the task's criterion of the averaged weights, 0..1; None without a dev set
    best_score: float | None = None
    best_epoch: int = 0
    finished: str | None = None  # why training stops after this update; None if it continues
    _trainer: Any = field(default=None, repr=False, compare=False)

    def state(self) -> State:
        """A copy of the current state; call it before the next update."""
        return self._trainer.state()


def train(
    model: Model, corpus: Corpus, options: TrainingOptions | None = None, *, seed: int = 0, state: State | None = None
) -> Iterator[Progress]:
    """Train ``model`` on ``corpus.train`` and yield after every update; at the end the model has the best weights.

    AdamW with linear warm-up and decay, gradient clipping, weight averaging, and early stopping on ``corpus.dev``
    (without a dev set, all epochs run). The same model, corpus, options, seed, machine and number of threads give
    identical weights, also after resuming from ``state``.

    Raises `DataError` if there is nothing to learn from, and `TrainingError` if the loss is not finite or ``state``
    belongs to another model or run.
    """
    if seed < 0:
        raise ConfigError(f"seed: expected a number from 0 on, found {seed}")
    trainer = _Trainer(model, corpus, options or model.options.training, seed)
    if state is not None:
        trainer.restore(state)
    yield from trainer.run()


class _Trainer:
    def __init__(self, model: Model, corpus: Corpus, options: TrainingOptions, seed: int) -> None:
        self.model, self.options, self.seed = model, options, seed
        self.device = choose_device(options.device)
        model.to(self.device)
        self.threads = threads_of(options)
        self.examples, self.targets = usable_examples(model, corpus.train)
        self.lengths = [len(example) for example in self.examples]
        self.dev = list(corpus.dev)
        self.steps = len(self._batches(1))
        self.epochs = options.epochs or planned_epochs(self.steps)
        self.updates = self.steps * self.epochs
        self.mean_decisions = sum(map(len, self.targets)) / self.steps if model.head.learns_length else None
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.optimizer = _adamw(self.parameters, options)
        self.averaging = model.head.averaging if options.average == "auto" else options.average
        averaged = {} if self.averaging == "none" else self.parameters
        self.average = {name: p.detach().clone() for name, p in averaged.items()}
        self.best = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.numbers: dict[str, Any] = {
            "epoch": 1, "step": 0, "update": 0, "best_score": None, "best_epoch": 0, "waited": 0, "loss_sum": 0.0,
            "decision_sum": 0, "seed": seed, "steps": self.steps, "averaging": self.averaging,
        }  # fmt: skip
        self.random = _initial_random_state(seed)

    def run(self) -> Iterator[Progress]:
        while (finished := self._finished()) is None:
            order = self._batches(self.numbers["epoch"])
            for rows in order[self.numbers["step"] :]:
                yield self._update(rows)
        self._load(self.best)
        self.model.eval()
        if self.dev:
            with self.model.on_threads(self.threads):
                if self.options.calibrate:  # first, because some biases are in calibrated nats
                    self.model.calibrate(self.dev)
                if self.options.tune_decision:
                    self.model.tune(self.dev)
        if not self.numbers["update"]:
            raise TrainingError(f"nothing was trained: {finished}")

    def _update(self, rows: np.ndarray) -> Progress:
        numbers = self.numbers
        rate = self._schedule(numbers["update"])
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with _randomness(self), self.model.on_threads(self.threads):
            loss, norm, tokens = self._step(rows)
        numbers["update"] += 1
        numbers["step"] += 1
        decisions = sum(len(self.targets[row]) for row in rows)
        numbers["loss_sum"] += loss * max(1, decisions)
        numbers["decision_sum"] += decisions
        self._average()
        counters = {key: numbers[key] for key in ("epoch", "update", "step")}
        ends_epoch, score = numbers["step"] == self.steps, None
        if ends_epoch:
            loss = numbers["loss_sum"] / max(1, numbers["decision_sum"])
            score = self._evaluate()
            numbers.update(epoch=numbers["epoch"] + 1, step=0, loss_sum=0.0, decision_sum=0)
        return Progress(
            **counters, epochs=self.epochs, steps=self.steps, loss=loss, tokens=tokens, learning_rate=rate,
            gradient_norm=norm, ends_epoch=ends_epoch, dev_score=score, best_score=numbers["best_score"],
            best_epoch=numbers["best_epoch"], finished=self._finished() if ends_epoch else None, _trainer=self,
        )  # fmt: skip

    def _step(self, rows: np.ndarray) -> tuple[float, float, int]:
        """One update; returns mean loss per decision, gradient norm, tokens."""
        model, options = self.model, self.options
        model.train()
        batch = model.inputs.encode([self.examples[row] for row in rows])
        targets = [self.targets[row] for row in rows]
        target = model.head.pad(targets).to(self.device)
        decisions = max(1, sum(map(len, targets)))
        divisor = self.mean_decisions or decisions
        mixed = options.mixed_precision and self.device.type == "cuda"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=mixed):
            loss = model.loss(batch, target).sum() / divisor
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = _clip(list(self.parameters.values()), options)
        value = float(loss.detach()) * (divisor / decisions)
        if not (np.isfinite(value) and np.isfinite(norm)):
            raise TrainingError(
                f"the loss became {value} (gradient norm {norm}) at update {self.numbers['update'] + 1}; "
                "lower training.learning_rate, or clip gradients more with training.clip"
            )
        self.optimizer.step()
        return value, norm, int(batch.lengths.sum())

    def _schedule(self, update: int) -> float:
        """Linear warm-up, then linear decay to ``final_rate``; ``update`` from 0."""
        options = self.options
        rising = max(1.0, options.warmup * self.updates)
        falling = max(1.0, self.updates - rising)
        fall = 1 - (1 - options.final_rate) * max(0.0, update + 1 - rising) / falling
        return options.learning_rate * min((update + 1) / rising, fall)

    def _average(self) -> None:
        if not self.average:
            return
        n = self.numbers["update"]
        # Polynomial-decay averaging (Shamir and Zhang 2013) gives late updates more weight.
        polynomial, exponential = 4 / (n + 3), 1 - min(self.options.average_decay, (1 + n) / (10 + n))
        share = polynomial if self.averaging == "mean" else exponential
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.values()), [p.data for p in self.parameters.values()], min(share, 1.0)
            )

    def _evaluate(self) -> float | None:
        """Score the averaged weights on dev; store the best."""
        numbers = self.numbers
        weights = self.average or {n: p.detach() for n, p in self.parameters.items()}
        score = None
        if self.dev:
            with self._with_weights(weights), self.model.on_threads(self.threads):
                score = score_examples(self.model, self.dev)
        best = numbers["best_score"]
        # A tie keeps the earlier epoch, except at score 0, where later weights have learned more.
        if score is None or best is None or score > best or score == best == 0:
            numbers["best_score"], numbers["best_epoch"], numbers["waited"] = score, numbers["epoch"], 0
            for name, value in self.best.items():
                value.copy_(weights[name])
        elif score > 0:  # CTC scores 0 for many epochs before it learns
            numbers["waited"] += 1
        return score

    def _finished(self) -> str | None:
        numbers, patience = self.numbers, self.options.patience
        best = f"best epoch {numbers['best_epoch']}"
        if numbers["step"] == 0 and numbers["epoch"] > self.epochs:
            return f"stopped: all {self.epochs} epochs done, {best}"
        if self.dev and numbers["step"] == 0 and numbers["waited"] >= patience:
            return f"stopped: no better dev score for {patience} epochs, {best}"
        return None

    def _batches(self, epoch: int) -> list[np.ndarray]:
        rng = np.random.default_rng([self.seed, epoch])
        return batch_by_length(
            self.lengths, sentences=self.options.batch_sentences, tokens=self.options.batch_tokens, rng=rng
        )

    @contextmanager
    def _with_weights(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        own = {name: p.data for name, p in self.parameters.items()}
        try:
            for name, p in self.parameters.items():
                p.data = weights[name]
            yield
        finally:
            for name, p in self.parameters.items():
                p.data = own[name]

    def _load(self, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(weights[name])

    def state(self) -> State:
        tensors = {f"weights.{name}": p.detach() for name, p in self.parameters.items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for name, p in self.parameters.items():
            for part, value in self.optimizer.state.get(p, {}).items():
                tensors[f"adamw.{part}.{name}"] = value
        tensors = {name: value.detach().cpu().clone() for name, value in tensors.items()}
        tensors |= {f"random.{kind}": value.clone() for kind, value in self.random.items()}
        return State(dict(self.numbers), tensors)

    def restore(self, state: State) -> None:
        self._check(state)
        tensors = state.tensors
        self._load({name: tensors[f"weights.{name}"] for name in self.parameters})
        for group, own in (("average", self.average), ("best", self.best)):
            for name, value in own.items():
                value.copy_(tensors[f"{group}.{name}"])
        for name, p in self.parameters.items():
            parts = {part: tensors.get(f"adamw.{part}.{name}") for part in ("step", "exp_avg", "exp_avg_sq")}
            self.optimizer.state[p] = {
                part: value.clone() if part == "step" else value.clone().to(p.device)
                for part, value in parts.items()
                if value is not None
            }
        self.numbers = dict(state.numbers)
        self.random = {kind: tensors[f"random.{kind}"].clone() for kind in self.random}

    def _check(self, state: State) -> None:
        """Raises `TrainingError` for a damaged or foreign checkpoint."""
        for key, own in self.numbers.items():
            if key not in state.numbers:
                raise TrainingError(f"the checkpoint is damaged: expected the number {key}, found none")
            if key in ("seed", "steps", "averaging") and state.numbers[key] != own:
                raise TrainingError(
                    f"the checkpoint belongs to another run: expected {key} {own}, found {state.numbers[key]}"
                )
        expected: dict[str, Tensor] = {}
        for group in ("weights", "best"):
            expected |= {f"{group}.{name}": p for name, p in self.parameters.items()}
        expected |= {f"average.{name}": value for name, value in self.average.items()}
        expected |= {f"random.{kind}": value for kind, value in self.random.items()}
        for name, p in self.parameters.items():
            # A parameter that never had a gradient has no moments.
            moments = {f"adamw.exp_avg.{name}": p, f"adamw.exp_avg_sq.{name}": p, f"adamw.step.{name}": torch.zeros(())}
            expected |= moments if moments.keys() & state.tensors.keys() else {}
        for name, value in expected.items():
            found = state.tensors.get(name)
            if found is None or found.shape != value.shape or found.dtype != value.dtype:
                what = "nothing" if found is None else f"{tuple(found.shape)} of {found.dtype}"
                wanted = f"expected {name} of shape {tuple(value.shape)} of {value.dtype}, found {what}"
                raise TrainingError(f"the checkpoint belongs to another model or is damaged: {wanted}")
        groups = ("weights.", "best.", "average.")
        extra = [name for name in state.tensors if name.startswith(groups) and name not in expected]
        if extra:
            raise TrainingError(
                f"the checkpoint belongs to another model: found {extra[0]}, which this model does not have"
            )


def planned_epochs(steps: int) -> int:
    """The default number of epochs: 20, or up to 100 if an epoch has few updates."""
    return max(20, min(100, -(-2500 // steps)))


def threads_of(options: TrainingOptions) -> int:
    """CPU threads; by default 2, or 1 if torch has only one."""
    return options.threads or min(2, torch.get_num_threads())


def usable_examples(model: Model, examples: Any) -> tuple[list[Example], list[Any]]:
    """The nonempty examples whose answer the head can predict, and their targets.

    Raises `DataError` if there are none.
    """
    pairs = [(example, model.head.target(example)) for example in examples if len(example)]
    usable = [(example, target) for example, target in pairs if target is not None]
    if not pairs:
        raise DataError("training data: expected at least one example that is not empty, found none")
    if not usable:
        raise DataError("training data: expected at least one example whose answer the model can predict, found none")
    return [example for example, _ in usable], [target for _, target in usable]


def score_examples(model: Model, examples: list[Example]) -> float:
    """The task's criterion on ``examples``, 0..1."""
    return model.task.criterion([model.task.gold(example) for example in examples], model.task.answers(model, examples))


def choose_device(name: str) -> torch.device:
    """The device of this name; ``auto`` prefers a GPU. Raises `ConfigError` if it is unknown or there is no GPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"training.device: expected auto, cpu or cuda, found {name!r}") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"training.device: expected a GPU for {name}, but torch finds none; use auto or cpu")
    return device


def _adamw(parameters: Mapping[str, Tensor], options: TrainingOptions) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019); biases and embeddings have no weight decay."""
    decayed = [p for name, p in parameters.items() if p.dim() > 1 and "embedding" not in name]
    others = [p for name, p in parameters.items() if p.dim() <= 1 or "embedding" in name]
    groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.99), fused=True)


def _clip(parameters: list[Tensor], options: TrainingOptions) -> float:
    """Clip gradients in place; returns their norm before clipping."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))))
    if options.clip and options.clip_by == "norm" and norm > options.clip:
        torch._foreach_mul_(gradients, options.clip / norm)
    elif options.clip and options.clip_by == "value":
        torch._foreach_clamp_min_(gradients, -options.clip)
        torch._foreach_clamp_max_(gradients, options.clip)
    return norm


def _initial_random_state(seed: int) -> dict[str, Tensor]:
    states = {"cpu": torch.Generator().manual_seed(seed).get_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.Generator("cuda").manual_seed(seed).get_state()
    return states


@contextmanager
def _randomness(trainer: _Trainer) -> Iterator[None]:
    """Run with the trainer's random state, and restore the caller's."""
    caller = torch.get_rng_state()
    cuda = trainer.device.type == "cuda"
    caller_cuda = torch.cuda.get_rng_state(trainer.device) if cuda else None
    torch.set_rng_state(trainer.random["cpu"])
    if cuda:
        torch.cuda.set_rng_state(trainer.random["cuda"], trainer.device)
    try:
        yield
    finally:
        trainer.random["cpu"] = torch.get_rng_state()
        torch.set_rng_state(caller)
        if cuda and caller_cuda is not None:
            trainer.random["cuda"] = torch.cuda.get_rng_state(trainer.device)
            torch.cuda.set_rng_state(caller_cuda, trainer.device)
