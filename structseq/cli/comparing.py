"""The ``compare`` command."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from structseq.cli.entrypoint import Quiet, Settings, Trusted, remark

if TYPE_CHECKING:
    from structseq.experiment import Comparison, Trial, WorkResult
    from structseq.experiment.compare import OnResult, OnTick
    from structseq.run.corpus import Notify

FAILED = 1  # exit status if a trial failed

Train = Annotated[Path, Argument(metavar="TRAIN", help="Training data.")]
Dev = Annotated[Path, Option("--dev", metavar="FILE", help="Dev data, to choose the best epoch.")]
Output = Annotated[Path, Option("--output", "-o", metavar="DIR", help="New, or the folder of the same comparison.")]
Test = Annotated[Path | None, Option("--test", metavar="FILE", help="Data to rank the systems on; by default dev.")]
Encoders = Annotated[str | None, Option("--encoders", metavar="NAMES", help="Such as lstm,elman,lstm[layers=2].")]
Heads = Annotated[str | None, Option("--heads", metavar="NAMES", help="Such as crf,softmax,crf[scheme=BIOES].")]
Seeds = Annotated[str, Option("--seeds", metavar="NUMBERS", help="Such as 0,1,2.")]
Jobs = Annotated[
    int | None, Option("--jobs", metavar="N", min=1, help="Parallel trials of one thread; by default one per core.")
]
Config = Annotated[Path | None, Option("--config", metavar="TOML", help="Options for all trials, TOML or JSON.")]


def compare(
    train: Train,
    dev: Dev,
    output: Output,
    test: Test = None,
    encoders: Encoders = None,
    heads: Heads = None,
    seeds: Seeds = "0",
    jobs: Jobs = None,
    config: Config = None,
    settings: Settings = None,
    quiet: Quiet = False,
    trusted: Trusted = None,
) -> int:
    """Train every encoder with every head and every seed, and rank them with significance tests.

    The same command resumes after an interruption, and can add encoders, heads and seeds. DIR receives comparison.csv,
    comparison.json, report.html and all models.
    """
    from structseq.experiment.compare import Experiment
    from structseq.experiment.results import as_text
    from structseq.run import CorpusFiles

    notify: Notify = (lambda message: None) if quiet else remark
    if missing := _missing_for_page():
        notify(f"report.html will not be written, because {missing}; the same command then writes it without training")
    comparison = Experiment(
        CorpusFiles(train, dev, test), output, lambda trials, done: showing(trials, done, quiet=quiet), notify,
        encoders=encoders, heads=heads, seeds=seeds, jobs=jobs, config=config, settings=settings or [],
        trusted=trusted or [],
    ).run()  # fmt: skip
    try:
        _write_page(comparison, output, notify)
    finally:  # the table is printed even if the page fails
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(as_text(comparison, width), flush=True)
    return FAILED if comparison.failed else 0


def _write_page(comparison: Comparison, output: Path, notify: Notify) -> None:
    if not comparison.systems:
        return
    if missing := _missing_for_page():
        notify(f"report.html is not written, because {missing}, and run the same command again")
        return
    from structseq.report import write_page

    write_page(comparison.to_dict(), output / "report.html")


def _missing_for_page() -> str:
    """A clause with the command that installs what the page needs; empty if all is there."""
    missing = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
    verb = "is" if len(missing) == 1 else "are"
    return f"{' and '.join(missing)} {verb} not installed; pip install {' '.join(missing)}" if missing else ""


# -- progress ----------------------------------------------------------------------------------------------------------


@contextmanager
def showing(trials: int, done: int, *, quiet: bool) -> Iterator[tuple[OnTick | None, OnResult]]:
    """Within the block: callbacks for running trials, and for a trial that ended."""
    if quiet:
        yield None, lambda ended, done: None
    elif sys.stderr.isatty():
        with _live(trials, done) as both:
            yield both
    else:
        yield None, lambda ended, done: remark("; ".join(_lines(ended, done, trials)))


def _lines(ended: WorkResult, done: int, trials: int) -> list[str]:
    trial: Trial = ended.work
    name = f"{trial.system}, seed {trial.seed}"
    if ended.status == "failed":
        return [f"{name}: failed: {ended.reason}", *ended.warnings]
    if ended.status == "stopped":
        return [f"{name}: stopped in epoch {len(trial.epochs) + 1}"]
    record = trial.record
    found = record.scores if record else {}
    scores = ", ".join(f"{part.replace('_', ' ')} {100 * score:.2f}" for part, score in found.items())
    seconds = f"{record.training['seconds']:.1f} s" if record else ""
    return [f"{done}/{trials}  {name}: {scores}  {seconds}", *ended.warnings]


@contextmanager
def _live(trials: int, done: int) -> Iterator[tuple[OnTick, OnResult]]:
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
        table = Table("running", "epoch", "dev", "best dev", box=None, pad_edge=False)
        for trial in running:
            table.add_row(*map(Text, _progress_of(trial)))
        live.update(Group(table, bar) if running else bar, refresh=True)

    def report(ended: WorkResult, done: int) -> None:
        bar.update(task, completed=done)
        for line in _lines(ended, done, trials):
            console.print(Text(line))

    with Live(bar, console=console, auto_refresh=False) as live:
        try:
            yield tick, report
        finally:
            live.update(bar, refresh=True)


def _progress_of(trial: Trial) -> list[str]:
    name, epochs = f"{trial.system}, seed {trial.seed}", trial.epochs
    if not epochs:
        return [name, "", "", ""]
    last = epochs[-1]
    scores = ("" if last[key] is None else f"{100 * last[key]:.2f}" for key in ("dev", "best"))
    return [name, f"{last['epoch']}/{last['epochs']}", *scores]
