"""Experiment: run or resume a comparison; ExperimentFolder: its output folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from structseq.config import Options, load_options, outside_classes, parse_settings
from structseq.errors import ConfigError, TrainingError
from structseq.experiment.plan import Choice, Plan, Section, parse_choices, parse_seeds
from structseq.experiment.pool import Pool, WorkResult
from structseq.experiment.results import Comparison, as_csv
from structseq.experiment.trial import Trial
from structseq.files import LOCK, is_leftover, lock, refuse_links, remove_unfinished, write_file
from structseq.run import CorpusFiles, Identity, PreparedCorpus, check_options, prepare_corpus, read_corpus
from structseq.run.corpus import Notify
from structseq.run.identity import used_files
from structseq.storage.entries import json_bytes

FORMAT = 1  # version of experiment.json

# Called several times a second with the running trials
OnTick = Callable[[list[Trial]], None]
# Called with the result of each trial that ended, and the number of finished trials
OnResult = Callable[[WorkResult, int], None]
# Opens the progress display for (all trials, finished trials); yields its two callbacks
Show = Callable[[int, int], AbstractContextManager[tuple[OnTick | None, OnResult]]]


@dataclass
class Experiment:
    """A comparison to run.

    ``encoders``, ``heads`` and ``seeds`` have the syntax of the options --encoders, --heads and --seeds; ``config``
    (with ``trusted`` as in `load_options`) and ``settings`` (``key=value``) apply to all trials. ``jobs`` trials run at
    once, by default one per core. Systems are ranked on test if given, else on dev.
    """

    files: CorpusFiles
    output: Path
    show: Show
    notify: Notify
    encoders: str | None = None
    heads: str | None = None
    seeds: str = "0"
    jobs: int | None = None
    config: Path | None = None
    settings: Sequence[str] = ()
    trusted: Sequence[str] = ()
    failures: dict[Path, str] = field(init=False, default_factory=dict)  # why a trial failed, by its folder
    trial_count: int = field(init=False, default=0)
    finished_count: int = field(init=False, default=0)

    def run(self) -> Comparison:
        """Train the unfinished trials, and write ``comparison.json`` and ``comparison.csv``."""
        plan = self._plan()
        folder = ExperimentFolder(self.output)
        folder.check()
        options = Options.of(*plan.layers)
        # All trials have the same dev set, so it is drawn with one seed.
        prepared = prepare_corpus(
            options, read_corpus(options, self.files, self.notify), seed=0, names=self.files, notify=self.notify
        )
        plan.check(prepared.corpus.train, prepared.scheme)
        identity = Identity.of(plan.shared, 0, used_files(options, self.files), threads=1)
        try:
            with folder.opened(identity):
                trials = folder.trials(plan, identity)
                self._train(trials, prepared)
                comparison = self._comparison(plan, trials, prepared)
                write_file(self.output / "comparison.json", json_bytes(comparison.to_dict()))
                write_file(self.output / "comparison.csv", as_csv(comparison).encode("utf-8", "backslashreplace"))
        except KeyboardInterrupt:
            if not folder.file.exists():
                raise KeyboardInterrupt("stopped before anything was learned; nothing was written") from None
            raise KeyboardInterrupt(
                f"stopped, and everything is saved in {self.output}; "
                f"{self.finished_count} of {self.trial_count} trials are done; "
                "run the same command again to resume"
            ) from None
        return comparison

    def _plan(self) -> Plan:
        settings = parse_settings(self.settings)
        common = load_options(self.config, trusted=self.trusted) if self.config else {}
        options = Options.of(common, settings)
        check_options(options, build=False)  # of the encoders to compare, `Plan` builds each

        def choices(text: str | None, section: Section, default: str) -> tuple[Choice, ...]:
            if text is not None and "type" in settings.get(section, {}):
                raise ConfigError(f"--set {section}.type and --{section}s both name {section}s; leave one of them out")
            return parse_choices(default if text is None else text, section)

        encoders = choices(self.encoders, "encoder", options.encoder.type)
        heads = choices(self.heads, "head", options.head.type)
        return Plan(encoders, heads, parse_seeds(self.seeds), (common, settings))

    def _train(self, trials: Sequence[Trial], prepared: PreparedCorpus) -> None:
        """Train the unfinished trials; a failure does not stop the others."""
        todo = [trial for trial in trials if trial.record is None]
        self.finished_count, self.trial_count = len(trials) - len(todo), len(trials)
        jobs = min(self.jobs or cores(), max(1, len(todo)))
        self.notify(_opening(len(trials), self.finished_count, jobs))
        if not todo:
            return
        with (
            self.show(len(trials), self.finished_count) as (tick, show_result),
            closing(Pool(jobs, prepared.corpus, prepared.scheme.name).run(todo, tick=tick)) as results,
        ):
            for ended in results:
                self.finished_count += ended.status == "done"
                if ended.status == "failed":
                    self.failures[ended.work.path] = ended.reason
                show_result(ended, self.finished_count)

    def _comparison(self, plan: Plan, trials: Sequence[Trial], prepared: PreparedCorpus) -> Comparison:
        records, failed = [], []
        for trial in trials:
            if record := trial.record:
                records.append(record)
            else:
                reason = self.failures.get(trial.path, "it wrote no record")
                failed.append({"name": trial.system, "seed": trial.seed, "reason": reason})
        corpus: dict[str, Any] = {"train": None, "dev": None, "test": None, "scheme": prepared.scheme.name}
        for part in ("train", "dev", "test"):
            if path := getattr(self.files, part):
                examples = getattr(prepared.corpus, part)
                corpus[part] = {"file": str(path), "sentences": len(examples), "tokens": sum(map(len, examples))}
        return Comparison.of(plan, records, corpus=corpus, failed=failed)


def _opening(trials: int, finished: int, jobs: int) -> str:
    already = f"; {finished} {'is' if finished == 1 else 'are'} finished already" if finished else ""
    at_once = f"; up to {jobs} run at once" if jobs > 1 and trials > finished else ""
    return f"{trials} trial{'s' * (trials != 1)}{already}{at_once}"


def cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ExperimentFolder:
    """The output folder of a comparison.

    ::

        experiment.json              the options and data that all trials share
        .lock                        locked by the process that compares
        trials/NAME-SEED/            a trial: a run folder, then the finished model
        trials/NAME-SEED/trial.json  its record
        comparison.json, .csv, report.html
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def file(self) -> Path:
        return self.path / "experiment.json"

    def check(self) -> None:
        """Raise `TrainingError` if the path is a file, or a folder with files other than those of a comparison.

        Raises `ModelFileError` for a folder with links.
        """
        refuse_links(self.path)
        if not self.path.exists() or self.file.exists():
            return
        if not self.path.is_dir():
            raise TrainingError(f"{self.path}: is a file, not a folder; choose a new or empty folder for --output")
        if not all(map(is_leftover, self.path.iterdir())):
            raise TrainingError(f"{self.path}: contains other files; choose a new or empty folder for --output")

    @contextmanager
    def opened(self, identity: Identity) -> Iterator[None]:
        """Lock the folder to start or resume ``identity``. If no trial was written, remove what this call made.

        Raises `TrainingError` if the folder contains another experiment, is locked or is not writable.
        """
        self._check_all(identity)  # before anything is touched
        created = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with lock(self.path / LOCK, f"{self.path}: another process is comparing into this folder; wait for it"):
                self._check_all(identity)  # again, because another process may have written here
                remove_unfinished(self.path)
                if not self.file.exists():
                    write_file(self.file, json_bytes({"format": FORMAT, **identity.to_dict()}))
                (self.path / "trials").mkdir(exist_ok=True)
                try:
                    yield
                finally:
                    with suppress(OSError):
                        # rmdir raises if there is a trial; then experiment.json stays too.
                        (self.path / "trials").rmdir()
                        self.file.unlink()
        except BrokenPipeError:  # standard output is closed; the folder is not the cause
            raise
        except OSError as problem:
            raise TrainingError(
                f"{problem.filename or self.path}: cannot be written ({problem.strerror or problem}); "
                "choose a folder that can be written"
            ) from None
        finally:
            if created:
                with suppress(OSError):  # not empty
                    self.path.rmdir()

    def _check_all(self, identity: Identity) -> None:
        """As `check`, and `TrainingError` if the folder was made with other options or data."""
        self.check()
        if not self.file.exists():
            return
        try:
            stored = Identity.from_dict(json.loads(self.file.read_text(encoding="utf-8")))
        except (ValueError, TypeError, RecursionError):
            raise TrainingError(
                f"{self.file}: expected the options and data of a comparison, found none; choose another --output"
            ) from None
        difference = identity.difference(stored)
        if difference:
            raise TrainingError(
                f"{self.path}: cannot resume this comparison, because {difference}; "
                "use the options and data that it was started with, or choose another --output"
            )

    def trials(self, plan: Plan, identity: Identity) -> list[Trial]:
        """A trial for each system and seed; its identity is ``identity`` with that system's options and seed."""
        trials = []
        for system, seed in plan:
            options = plan.options(system).to_dict()
            path = self.path / "trials" / f"{system.folder}-{seed}"
            trial_identity = replace(identity, options=options, seed=seed)
            # The user named these classes in the options, so they may be imported.
            trusted = tuple(outside_classes(options).values())
            encoder, head = system.encoder.name, system.head.name
            trial = Trial(
                system=system.name, encoder=encoder, head=head, settings=system.settings, seed=seed, path=path,
                options=options, identity=trial_identity, trusted=trusted,
            )  # fmt: skip
            trials.append(trial)
        return trials
