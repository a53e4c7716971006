"""The ``compare`` command: a grid of encoders, heads and seeds on one corpus, trained side by side."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from structseq.cli.door import remark
from structseq.cli.reading import find_scheme, read_examples, repaired
from structseq.config import Options, load_options, parse_settings
from structseq.data.corpus import Corpus
from structseq.data.example import Example
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError
from structseq.experiment import Choice, Comparison, Ended, ExperimentFolder, Plan, Pool, Trial
from structseq.experiment.plan import Section, parse_choices, parse_seeds
from structseq.experiment.table import as_csv, as_text
from structseq.files import write_file
from structseq.run import Identity
from structseq.spans import Scheme
from structseq.storage.entries import json_bytes

# Exit status where a trial failed
FAILED = 1


@dataclass
class CompareCommand:
    """What the user asked of ``compare``; see `structseq.cli.compare` for the meaning of each.

    Attributes
    ----------
    reasons:
        Why trials failed, by their folder.
    trials, done:
        How many there are, and how many of them are finished.
    """

    train: Path
    dev: Path
    output: Path
    test: Path | None = None
    encoders: str | None = None
    heads: str | None = None
    seeds: str = "0"
    jobs: int | None = None
    config: Path | None = None
    settings: Sequence[str] = ()
    quiet: bool = False
    reasons: dict[Path, str] = field(init=False, default_factory=dict)
    trials: int = field(init=False, default=0)
    done: int = field(init=False, default=0)

    def run(self) -> int:
        """Do it; the table goes to standard output, the exit status says whether a trial failed."""
        plan = self._plan()
        folder = ExperimentFolder(self.output)
        folder.check()
        corpus, scheme = self._corpus(plan)
        plan.check(corpus.train, scheme)
        identity = self._identity(plan)
        try:
            with folder.opened(identity):
                trials = folder.trials(plan, identity)
                self._train(trials, corpus, scheme)
                comparison = self._compared(plan, trials, corpus, scheme)
                self._write(comparison)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._how_to_go_on(folder)) from None
        try:
            self._page(comparison)
        finally:  # whatever becomes of the page, here is the table
            print(as_text(comparison), flush=True)
        return FAILED if comparison.failed else 0

    # -- before -------------------------------------------------------------------------------------------------------

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

    def _corpus(self, plan: Plan) -> tuple[Corpus, Scheme]:
        """The data, checked: one scheme, legal training tags."""
        data = Options.of(*plan.layers).data
        train, dev = read_examples(self.train, data), read_examples(self.dev, data)
        test = read_examples(self.test, data) if self.test else []
        scheme = find_scheme(train, data, [*dev, *test])
        train, changed = repaired(train, scheme, data)
        if changed:
            self._say(f"{self.train}: {changed} illegal tag sequences were repaired by {data.repair!r}")
        known = {tag for example in train for tag in example.tags}
        for path, part in ((self.dev, dev), (self.test, test)):
            unseen = Counter(tag for example in part for tag in example.tags if tag not in known)
            if unseen:
                told = ", ".join(f"{tag} ({count})" for tag, count in unseen.most_common(10))
                self._say(f"warning: {path}: tags that training does not have, counted as misses: {told}")
        return Corpus(tuple(train), tuple(dev), tuple(test)), scheme

    def _identity(self, plan: Plan) -> Identity:
        files = {"train": self.train, "dev": self.dev, "test": self.test}
        vectors = Options.of(*plan.layers).inputs.words.vectors
        files["vectors"] = Path(vectors) if vectors else None
        return Identity.of(plan.shared, 0, {part: path for part, path in files.items() if path is not None}, threads=1)

    # -- training -----------------------------------------------------------------------------------------------------

    def _train(self, trials: Sequence[Trial], corpus: Corpus, scheme: Scheme) -> None:
        """Train what is not trained yet; what fails is noted and keeps nothing else from going on."""
        todo = [trial for trial in trials if trial.record is None]
        self.done, self.trials = len(trials) - len(todo), len(trials)
        jobs = min(self.jobs or cores(), max(1, len(todo)))
        self._say(f"{len(trials)} trials, {self.done} of them done before; {jobs} at once")
        if not todo:
            return
        with (
            showing(len(trials), self.done, quiet=self.quiet) as (tick, told),
            closing(Pool(jobs, corpus, scheme.name).run(todo, tick=tick)) as ending,
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

    def _compared(self, plan: Plan, trials: Sequence[Trial], corpus: Corpus, scheme: Scheme) -> Comparison:
        records = [(trial, trial.record) for trial in trials]
        failed = [
            {"name": trial.system, "seed": trial.seed, "reason": self.reasons.get(trial.path, "it left no record")}
            for trial, record in records
            if record is None
        ]
        files = {"train": (self.train, corpus.train), "dev": (self.dev, corpus.dev), "test": (self.test, corpus.test)}
        told = {part: self._told(path, examples) if path else None for part, (path, examples) in files.items()}
        found = [record for _, record in records if record is not None]
        return Comparison.of(plan, found, corpus={**told, "scheme": scheme.name}, failed=failed)

    def _told(self, path: Path, examples: Sequence[Example]) -> dict[str, Any]:
        return {"file": str(path), "sentences": len(examples), "tokens": sum(map(len, examples))}

    def _write(self, comparison: Comparison) -> None:
        write_file(self.output / "comparison.json", json_bytes(comparison.to_dict()))
        write_file(self.output / "comparison.csv", as_csv(comparison).encode("utf-8", "backslashreplace"))

    def _page(self, comparison: Comparison) -> None:
        """The report for a browser; without it all else is done."""
        if not comparison.systems:
            return
        try:
            from structseq.report import write_page

            write_page(comparison.to_dict(), self.output / "report.html")
        except ImportError as missing:
            if (missing.name or "").split(".")[0] not in ("matplotlib", "jinja2"):
                raise
            self._say(
                f"no report.html, because {missing.name} is not installed; pip install 'structseq[report]', "
                "and the same command writes it"
            )

    def _say(self, message: str) -> None:
        if not self.quiet:
            remark(message)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# -- progress ----------------------------------------------------------------------------------------------------------

Tick = Callable[[list[Trial]], None]
Told = Callable[[Ended, int], None]


@contextmanager
def showing(trials: int, done: int, *, quiet: bool) -> Iterator[tuple[Tick | None, Told]]:
    """Within the block: what is called now and then with the running trials, and with every trial that ended."""
    if quiet:
        yield None, lambda ended, done: None
    elif sys.stderr.isatty():
        with _live(trials, done) as both:
            yield both
    else:
        yield None, lambda ended, done: remark("; ".join(_lines(ended, done, trials)))


def _lines(ended: Ended, done: int, trials: int) -> list[str]:
    """What is told of a trial that ended."""
    trial: Trial = ended.work
    name = f"{trial.system}, seed {trial.seed}"
    if ended.status == "failed":
        return [f"{name}: failed: {ended.reason}", *ended.remarks]
    if ended.status == "stopped":
        return [f"{name}: stopped in epoch {len(trial.epochs) + 1}"]
    record = trial.record
    scores = {part: found["score"] for part, found in record.parts.items()} if record else {}
    told = ", ".join(f"{part} {100 * score:.2f}" for part, score in scores.items())
    seconds = f"{record.training['seconds']:.1f} s" if record else ""
    return [f"{done}/{trials}  {name}: {told}  {seconds}", *ended.remarks]


@contextmanager
def _live(trials: int, done: int) -> Iterator[tuple[Tick, Told]]:
    """A bar over all trials, and a line for each that is running."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar
    from rich.table import Table
    from rich.text import Text

    bar = Bar(TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    task = bar.add_task("trials", total=trials, completed=done)
    console = Console(stderr=True)

    def tick(running: list[Trial]) -> None:
        table = Table("running", "epoch", "dev", "best", box=None, pad_edge=False)
        for trial in running:
            table.add_row(*map(Text, _where(trial)))
        live.update(Group(table, bar) if running else bar, refresh=True)

    def told(ended: Ended, done: int) -> None:
        bar.update(task, completed=done)
        for line in _lines(ended, done, trials):
            console.print(Text(line))

    with Live(bar, console=console, auto_refresh=False) as live:
        try:
            yield tick, told
        finally:
            live.update(bar, refresh=True)


def _where(trial: Trial) -> list[str]:
    """How far a running trial is, from its journal."""
    name, epochs = f"{trial.system}, seed {trial.seed}", trial.epochs
    if not epochs:
        return [name, "", "", ""]
    last = epochs[-1]
    scores = ("" if last[key] is None else f"{100 * last[key]:.2f}" for key in ("dev", "best"))
    return [name, f"{last['epoch']}/{last['epochs']}", *scores]
