"""compare: a grid of encoders, heads and seeds on one corpus, trained side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from structseq.config import Options, load_options, parse_settings
from structseq.data.example import Example
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError
from structseq.experiment.folder import ExperimentFolder
from structseq.experiment.plan import Choice, Plan, Section, parse_choices, parse_seeds
from structseq.experiment.pool import Pool, WorkResult
from structseq.experiment.results import Comparison
from structseq.experiment.table import as_csv
from structseq.experiment.trial import Trial
from structseq.files import write_file
from structseq.run import Identity, Parts, PreparedCorpus, prepare_corpus, read_corpus
from structseq.run.corpus import Say
from structseq.run.identity import used_files
from structseq.storage.entries import json_bytes

# Called now and then with the running trials, and with every trial that ended and how many are done
OnTick = Callable[[list[Trial]], None]
OnResult = Callable[[WorkResult, int], None]
Show = Callable[[int, int], AbstractContextManager[tuple[OnTick | None, OnResult]]]


@dataclass
class Experiment:
    """A comparison to make.

    Parameters
    ----------
    files:
        Train and dev, and a test set where systems are ranked on one.
    output:
        The folder of all trials.
    encoders, heads, seeds:
        The sides of the grid, as on the command line.
    jobs:
        Trials at once; all cores where None.
    config, settings:
        Options of all trials: a file, and ``key=value`` settings over it.
    show:
        Makes the context in which progress is shown.
    say:
        Takes what the user should know, a sentence each.

    Attributes
    ----------
    reasons:
        Why trials failed, by their folder.
    trials, done:
        How many trials there are, and how many of them are finished.
    """

    files: Parts
    output: Path
    show: Show
    say: Say
    encoders: str | None = None
    heads: str | None = None
    seeds: str = "0"
    jobs: int | None = None
    config: Path | None = None
    settings: Sequence[str] = ()
    reasons: dict[Path, str] = field(init=False, default_factory=dict)
    trials: int = field(init=False, default=0)
    done: int = field(init=False, default=0)

    def run(self) -> Comparison:
        """Train what is not trained yet, and write the comparison's files."""
        plan = self._plan()
        folder = ExperimentFolder(self.output)
        folder.check()
        options = Options.of(*plan.layers)
        prepared = prepare_corpus(options, read_corpus(options, self.files), seed=0, names=self.files, say=self.say)
        plan.check(prepared.corpus.train, prepared.scheme)
        identity = Identity.of(plan.shared, 0, used_files(options, self.files), threads=1)
        try:
            with folder.opened(identity):
                trials = folder.trials(plan, identity)
                self._train(trials, prepared)
                comparison = self._compared(plan, trials, prepared)
                self._write(comparison)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._how_to_go_on(folder)) from None
        return comparison

    def _plan(self) -> Plan:
        """The grid, checked; nothing but options was read."""
        given = parse_settings(self.settings)
        common = load_options(self.config) if self.config else {}
        options = Options.of(common, given)
        tokenizer_of(options.data.tokenizer)
        encoders = self._choices(self.encoders, "encoder", given, options.encoder.type)
        heads = self._choices(self.heads, "head", given, options.head.type)
        return Plan(encoders, heads, parse_seeds(self.seeds), (common, given))

    def _choices(self, text: str | None, section: Section, given: dict[str, Any], default: str) -> tuple[Choice, ...]:
        if text is None:
            return parse_choices(default, section)
        if "type" in given.get(section, {}):
            raise ConfigError(f"--set {section}.type and --{section}s both name {section}s; leave one of them out")
        return parse_choices(text, section)

    def _train(self, trials: Sequence[Trial], prepared: PreparedCorpus) -> None:
        """Train what is not trained yet; what fails is noted and keeps nothing else from going on."""
        todo = [trial for trial in trials if trial.record is None]
        self.done, self.trials = len(trials) - len(todo), len(trials)
        jobs = min(self.jobs or cores(), max(1, len(todo)))
        self.say(f"{len(trials)} trials, {self.done} of them done before; {jobs} at once")
        if not todo:
            return
        with (
            self.show(len(trials), self.done) as (tick, told),
            closing(Pool(jobs, prepared.corpus, prepared.scheme.name).run(todo, tick=tick)) as ending,
        ):
            for ended in ending:
                self.done += ended.status == "done"
                if ended.status == "failed":
                    self.reasons[ended.work.path] = ended.reason
                told(ended, self.done)

    def _how_to_go_on(self, folder: ExperimentFolder) -> str:
        if not folder.file.exists():
            return "stopped before anything was learned; nothing was written"
        return (
            f"stopped, and everything is saved in {self.output}; {self.done} of {self.trials} trials are done, "
            "and the same command goes on from here"
        )

    # -- after --------------------------------------------------------------------------------------------------------

    def _compared(self, plan: Plan, trials: Sequence[Trial], prepared: PreparedCorpus) -> Comparison:
        records = [(trial, trial.record) for trial in trials]
        failed = [
            {"name": trial.system, "seed": trial.seed, "reason": self.reasons.get(trial.path, "it left no record")}
            for trial, record in records
            if record is None
        ]
        corpus = {
            part: _sizes(path, getattr(prepared.corpus, part)) if (path := getattr(self.files, part)) else None
            for part in ("train", "dev", "test")
        }
        found = [record for _, record in records if record is not None]
        return Comparison.of(plan, found, corpus={**corpus, "scheme": prepared.scheme.name}, failed=failed)

    def _write(self, comparison: Comparison) -> None:
        write_file(self.output / "comparison.json", json_bytes(comparison.to_dict()))
        write_file(self.output / "comparison.csv", as_csv(comparison).encode("utf-8", "backslashreplace"))


def _sizes(path: str | Path, examples: Sequence[Example]) -> dict[str, Any]:
    return {"file": str(path), "sentences": len(examples), "tokens": sum(map(len, examples))}


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
