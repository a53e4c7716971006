"""The ``compare`` command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from structseq.cli.arguments import Quiet, Settings
from structseq.cli.entrypoint import remark

if TYPE_CHECKING:
    from structseq.experiment import Comparison, Trial, WorkResult
    from structseq.experiment.compare import OnResult, OnTick
    from structseq.run.corpus import Say

# Exit status where a trial failed
FAILED = 1


Train = Annotated[Path, typer.Argument(metavar="TRAIN", help="The data to learn from.")]
Dev = Annotated[Path, typer.Option("--dev", metavar="FILE", help="The data to choose the best epoch by.")]
Output = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="DIR", help="Folder for all trials; new, or of the same comparison."),
]
Test = Annotated[
    Path | None, typer.Option("--test", metavar="FILE", help="What systems are ranked on; dev where not given.")
]
Encoders = Annotated[
    str | None,
    typer.Option("--encoders", metavar="NAMES", help="For example lstm,elman,lstm[layers=2;width=100]."),
]
Heads = Annotated[
    str | None, typer.Option("--heads", metavar="NAMES", help="For example crf,softmax,crf[scheme=BIOES].")
]
Seeds = Annotated[str, typer.Option("--seeds", metavar="NUMBERS", help="For example 0,1,2.")]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", metavar="N", min=1, help="Trials at once, each on one thread; all cores if not given."),
]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="TOML", help="A file of options for all trials, TOML or JSON.")
]


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
) -> int:
    """Train every encoder with every head and every seed, and say which is best and how sure that is.

    After any interruption the same command goes on; more encoders, heads or seeds may be added to the same DIR.
    It holds comparison.csv, comparison.json and report.html, and each trial's model.
    """
    from structseq.experiment.compare import Experiment
    from structseq.experiment.results import as_text
    from structseq.run import Parts

    def say(message: str) -> None:
        if not quiet:
            remark(message)

    comparison = Experiment(
        Parts(train, dev, test), output, lambda trials, done: showing(trials, done, quiet=quiet), say,
        encoders=encoders, heads=heads, seeds=seeds, jobs=jobs, config=config, settings=settings or [],
    ).run()  # fmt: skip
    try:
        _page(comparison, output, say)
    finally:  # whatever becomes of the page, here is the table
        print(as_text(comparison), flush=True)
    return FAILED if comparison.failed else 0


def _page(comparison: Comparison, output: Path, say: Say) -> None:
    """The report for a browser; without it all else is done."""
    if not comparison.systems:
        return
    try:
        from structseq.report import write_page

        write_page(comparison.to_dict(), output / "report.html")
    except ImportError as missing:
        if (missing.name or "").split(".")[0] not in ("matplotlib", "jinja2"):
            raise
        say(
            f"no report.html, because {missing.name} is not installed; pip install 'structseq[report]', "
            "and the same command writes it"
        )


# -- progress ----------------------------------------------------------------------------------------------------------


@contextmanager
def showing(trials: int, done: int, *, quiet: bool) -> Iterator[tuple[OnTick | None, OnResult]]:
    """Within the block: what is called now and then with the running trials, and with every trial that ended."""
    if quiet:
        yield None, lambda ended, done: None
    elif sys.stderr.isatty():
        with _live(trials, done) as both:
            yield both
    else:
        yield None, lambda ended, done: remark("; ".join(_lines(ended, done, trials)))


def _lines(ended: WorkResult, done: int, trials: int) -> list[str]:
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
def _live(trials: int, done: int) -> Iterator[tuple[OnTick, OnResult]]:
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

    def told(ended: WorkResult, done: int) -> None:
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
