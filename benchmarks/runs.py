"""One run of an accuracy benchmark: a system trained on a folder, chosen by dev, looked at on test once."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

from folder import fingerprint, read_folder

from structseq import __version__
from structseq.config import Options, parse_settings
from structseq.data.example import Example
from structseq.data.reading import Corpus
from structseq.evaluation import entity_f1
from structseq.spans import detect


@dataclass(frozen=True)
class Run:
    """What is to be run.

    Attributes
    ----------
    folder:
        Where the data are.
    system:
        ``structseq``, ``tutorial``, ``crfsuite`` or ``majority``.
    settings:
        ``key=value`` for structseq, beside its defaults.
    seed:
        None where nothing is drawn.
    sentences:
        Only so many of each part; None for all.
    look_at_test:
        Whether the test set is tagged at the end.
    """

    folder: Path
    system: str
    settings: tuple[str, ...] = ()
    seed: int | None = None
    sentences: int | None = None
    look_at_test: bool = True

    @property
    def name(self) -> str:
        """As tables call it: the system with its settings."""
        return " ".join([self.system, *self.settings])

    def key(self) -> dict[str, Any]:
        """What a result depends on, as JSON holds it: data by their bytes, options with every default written out."""
        wanted = {**asdict(self), "folder": self.folder.resolve().name, "settings": list(self.settings)}
        options = self.options().to_dict() if self.system in ("structseq", "tutorial") else None
        versions = {"structseq": __version__, "torch": version("torch")}
        return {**wanted, "data": fingerprint(self.folder), "options": options, "versions": versions}

    def options(self) -> Options:
        return Options.of(parse_settings(self.settings))


def carry_out(run: Run) -> dict[str, Any]:
    """`Run.key`, ``training_seconds``, and ``dev`` and ``test``: entity F1 (accuracy where tags are plain), 0..1."""
    corpus = read_folder(run.folder, sentences=run.sentences)
    started = perf_counter()
    system, how = SYSTEMS[run.system](run, corpus)
    seconds = perf_counter() - started
    found: dict[str, Any] = {"training_seconds": round(seconds, 2), **how}
    found["dev"] = score(system, corpus.train, corpus.dev)
    if run.look_at_test:
        found["test"] = score(system, corpus.train, corpus.test)
    return {**run.key(), **found}


def score(system: Any, train: Sequence[Example], examples: Sequence[Example]) -> float:
    """Entity F1 of what ``system.tag`` answers, read in the scheme of the training data."""
    scheme = detect(example.tags for example in train)
    answers = system.tag([example.tokens for example in examples])
    return entity_f1([example.tags for example in examples], answers, scheme)


class _Trained:
    """A trained structseq model under the face that the baselines have."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def tag(self, sentences: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
        return list(self.model.predict([Example.of(sentence) for sentence in sentences]))


def _structseq(run: Run, corpus: Corpus) -> tuple[_Trained, dict[str, Any]]:
    from structseq.model import Model
    from structseq.training import train

    options, seed = run.options(), run.seed or 0
    model = Model.prepare(options, corpus.train, detect(example.tags for example in corpus.train), seed=seed)
    epochs = best = 0
    for progress in train(model, Corpus(corpus.train, corpus.dev), options.training, seed=seed):
        if progress.ends_epoch:
            epochs, best = progress.epoch, progress.best_epoch
            _tell(run, epochs, progress.dev_score or 0.0)
    learned = {
        name: round(float(value), 4)
        for name, value in model.head.named_buffers()
        if name in ("outside_bias", "temperature")
    }
    return _Trained(model), {"epochs": epochs, "best_epoch": best, **learned}


def _tutorial(run: Run, corpus: Corpus) -> tuple[Any, dict[str, Any]]:
    """The tutorial model with the same passes and patience as structseq's defaults, the best pass's weights kept."""
    import copy

    from tutorial import Tutorial

    from structseq.training import planned_epochs

    options = run.options().training
    tokens, tags = [e.tokens for e in corpus.train], [e.tags for e in corpus.train]
    system, best, best_epoch, weights, epoch = Tutorial(tokens, tags, seed=run.seed or 0), -1.0, 0, {}, 0
    steps = -(-len(corpus.train) // options.batch_sentences)
    for epoch in range(1, (options.epochs or planned_epochs(steps)) + 1):
        system.train_pass()
        reached = score(system, corpus.train, corpus.dev)
        _tell(run, epoch, reached)
        if reached > best:
            best, best_epoch, weights = reached, epoch, copy.deepcopy(system.network.state_dict())
        if epoch - best_epoch >= options.patience:
            break
    system.network.load_state_dict(weights)
    return system, {"epochs": epoch, "best_epoch": best_epoch}


def _crfsuite(run: Run, corpus: Corpus) -> tuple[Any, dict[str, Any]]:
    from crfsuite import CrfSuite

    return CrfSuite([e.tokens for e in corpus.train], [e.tags for e in corpus.train]), {}


def _majority(run: Run, corpus: Corpus) -> tuple[Any, dict[str, Any]]:
    from crfsuite import MajorityTag

    return MajorityTag([e.tokens for e in corpus.train], [e.tags for e in corpus.train]), {}


# What each system is trained by: (run, corpus) -> something with `tag`, and what there is to say of its training.
SYSTEMS = {"structseq": _structseq, "tutorial": _tutorial, "crfsuite": _crfsuite, "majority": _majority}


def _tell(run: Run, epoch: int, dev: float) -> None:
    """A line on stderr after each pass; ends this process where the one that asked for the run is gone."""
    asker = multiprocessing.parent_process()
    if asker is not None and not asker.is_alive():
        raise SystemExit("the benchmark was killed; its finished runs are in the results file")
    where = f"{run.folder.resolve().name} {run.name} seed {run.seed}"
    print(f"{where}: pass {epoch}, dev {100 * dev:.2f}", file=sys.stderr, flush=True)
