"""train_and_save: a prepared corpus to a trained, scored and saved model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from structseq.config import Options
from structseq.data.reading import Corpus
from structseq.errors import ConfigError, StructseqError
from structseq.gate_activations import mean_gate_activations
from structseq.model import Model
from structseq.run.corpus import Parts, PreparedCorpus, Say, silent, warn_of_skipped
from structseq.run.fitting import Outcome, Watch, fit, warm_up
from structseq.run.folder import RunFolder
from structseq.run.identity import Identity
from structseq.run.transfer import described, transfer
from structseq.storage import load_model
from structseq.tasks.base import Entities, Report


@dataclass(frozen=True)
class Destination:
    """Where a run is saved.

    Attributes
    ----------
    folder:
        It ends as the model folder; a run that was stopped resumes from it.
    identity:
        Computes what makes two runs the same; it reads all files.
    command:
        The command line, for people.
    save_every:
        Seconds between checkpoints within an epoch.
    """

    folder: RunFolder
    identity: Callable[[], Identity]
    command: str = ""
    save_every: float = 60.0


@dataclass(frozen=True)
class Start:
    """A model whose words and weights a run starts from, and classes from outside that it may import."""

    model: Path
    trusted: Collection[str] = ()


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes
    ----------
    outcome:
        How training ended.
    metrics:
        The outcome, and where the model is saved its scores on dev and test.
    entities:
        (text, label) of the training data's entities.
    reports:
        On dev and test, where the model is saved.
    """

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
    start: Start | None = None,
    names: Parts | None = None,
    show: Callable[[], AbstractContextManager[Watch | None]] = nullcontext,
    say: Say = silent,
) -> Trained:
    """Train a fresh model on ``prepared``; with a ``destination``, score it on dev and test and save it.

    Parameters
    ----------
    show:
        Makes the context in which progress is shown; it gives what is called after every update.
    names, say:
        As of `structseq.run.prepare_corpus`.

    Raises
    ------
    Interrupted
        After Ctrl-C or SIGTERM, when the current update is done and saved.
    ConfigError
        If no model can be built with the options.
    TrainingError
        If the loss diverged, or the folder cannot be written or belongs to another run.
    """
    corpus = prepared.corpus
    model = _build(prepared, options, seed, start, say)
    warn_of_skipped(model, corpus.train, (names or Parts("the training data")).train, say)
    if destination is None:
        return _fitted(model, corpus, options, seed, None, show, say)
    folder = destination.folder
    with folder.opened(destination.identity(), command=destination.command):
        for doubt in folder.doubts:
            say(f"warning: {doubt}; the weights may differ in their last bits from those of an unbroken run")
        trained = _fitted(model, corpus, options, seed, destination, show, say)
        trained = _scored(trained, corpus)
        folder.finish(model, tokenizer=options.data.tokenizer, metrics=trained.metrics, entities=trained.entities)
    return trained


def _build(prepared: PreparedCorpus, options: Options, seed: int, start: Start | None, say: Say) -> Model:
    source = load_model(start.model, trusted=start.trusted).model if start else None
    try:
        known = source.vocabularies.get("words") if source else None
        model = Model.prepare(options, prepared.corpus.train, prepared.scheme, seed=seed, known=known)
    except StructseqError:
        raise
    except (RuntimeError, OverflowError, TypeError, ValueError) as problem:
        first = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise ConfigError(f"no model can be built with these options: {first}") from None
    if source and start:
        theirs, ours = (each.modality.input_options(each.options.data) for each in (source, model))
        other = [name for name in ours if ours[name] != theirs.get(name, ours[name])]
        if other:
            what = ", ".join(f"{name} {theirs[name]!r}, here {ours[name]!r}" for name in other)
            say(f"warning: {start.model} reads other {model.modality.name}: {what}")
        say(f"{start.model}: {described(transfer(source, model))}")
    return model


def _fitted(
    model: Model,
    corpus: Corpus,
    options: Options,
    seed: int,
    destination: Destination | None,
    show: Callable[[], AbstractContextManager[Watch | None]],
    say: Say,
) -> Trained:
    warm_up()  # before the bar appears, which would seem not to move
    saving = {"folder": destination.folder, "save_every": destination.save_every} if destination else {}
    with show() as watch:
        outcome = fit(model, corpus, options.training, seed=seed, watch=watch, **saving)  # type: ignore[arg-type]
    say(f"{outcome.reason}; {outcome.seconds:.1f} s of training")
    return Trained(model, outcome, {"training": outcome.to_dict()}, model.task.entities(corpus.train))


def _scored(trained: Trained, corpus: Corpus) -> Trained:
    """With reports on dev and test, and what the gates of the encoder do over the tags of dev."""
    model, metrics, reports = trained.model, dict(trained.metrics), {}
    for name, examples in (("dev", corpus.dev), ("test", corpus.test)):
        if not examples:
            continue
        report = reports[name] = model.task.report(model, examples, entities=trained.entities)
        metrics[name] = report.to_dict()
        if (
            name == "dev"
            and "tags" in model.task.required_targets
            and (gates := mean_gate_activations(model, examples))
        ):
            metrics["gates"] = gates
    return Trained(model, trained.outcome, metrics, trained.entities, reports)
