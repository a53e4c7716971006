"""The ``train`` command: trains, scores and saves a model."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from structseq.cli.entrypoint import Quiet, Settings, Trusted, remark

if TYPE_CHECKING:
    from structseq.config import Options
    from structseq.run import Callback, CorpusFiles, Destination, InitialModel, RunFolder, TrainingResult
    from structseq.run.corpus import Notify
    from structseq.training import Progress


Train = Annotated[Path, Argument(metavar="TRAIN", help="Training data.")]
Output = Annotated[Path, Option("--output", "-o", metavar="DIR", help="Folder for the model; new or empty.")]
Dev = Annotated[
    Path | None,
    Option("--dev", metavar="FILE", help="Dev data, to choose the best epoch; by default a share of TRAIN."),
]
Test = Annotated[Path | None, Option("--test", metavar="FILE", help="Test data, scored once, with the finished model.")]
Config = Annotated[Path | None, Option("--config", metavar="TOML", help="A file of options, TOML or JSON.")]
Seed = Annotated[int, Option("--seed", metavar="N", min=0, max=2**63 - 1, help="Seed of all random numbers.")]
Resume = Annotated[bool, Option("--resume", help="Resume the run in DIR.")]
InitFrom = Annotated[
    Path | None, Option("--init-from", metavar="MODEL", help="Start with its weights where names and widths match.")
]
SaveEvery = Annotated[float, Option("--save-every", metavar="SECONDS", min=0, help="Time between checkpoints.")]


def train(
    context: typer.Context,
    train: Train,
    output: Output,
    dev: Dev = None,
    test: Test = None,
    config: Config = None,
    settings: Settings = None,
    seed: Seed = 0,
    resume: Resume = False,
    init_from: InitFrom = None,
    save_every: SaveEvery = 60.0,
    quiet: Quiet = False,
    trusted: Trusted = None,
) -> None:
    """Train a model and score it.

    After an interruption, run the same command with --resume; the weights are the same as without interruption.
    """
    from structseq.config import Options, load_options, parse_settings
    from structseq.files import current_folder
    from structseq.run import CorpusFiles, Destination, Identity, InitialModel, RunFolder, check_options, with_format
    from structseq.storage.configuration import read_configuration

    common = load_options(config, trusted=trusted or []) if config else {}
    options = Options.of(common, parse_settings(settings or []))
    check_options(options)
    if init_from is not None:
        read_configuration(current_folder(init_from, "config.json"))  # before the data, which may take long to read
    options, files = with_format(options, train), CorpusFiles(train, dev, test)
    folder, command = RunFolder(output), shlex.join(["structseq", *context.obj])
    folder.check(resume=resume)
    identity = partial(Identity.of_run, options, seed, files, init=init_from)
    notify = _ignore if quiet else remark
    with _sigterm_as_interrupt():
        if resume and folder.status == "finished":
            folder.compare(identity())
            folder.remove_leftovers()
            notify(f"{output}: this run is already finished; nothing was done")
            return
        if resume and folder.status == "new":
            notify(f"{output}: there is nothing to resume; training starts")
        start = InitialModel(init_from, trusted or []) if init_from else None
        try:
            _train(options, files, Destination(folder, identity, command, save_every, resume), start, seed, notify)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_how_to_resume(folder, command, resume=resume)) from None


def _train(
    options: Options,
    files: CorpusFiles,
    destination: Destination,
    start: InitialModel | None,
    seed: int,
    notify: Notify,
) -> None:
    from structseq.run import prepare_corpus, read_corpus, train_and_save

    corpus = read_corpus(options, files, notify)
    prepared = prepare_corpus(options, corpus, seed=seed, names=files, describe=True, notify=notify)
    show = partial(showing, quiet=notify is _ignore)
    trained = train_and_save(
        prepared, options, seed=seed, destination=destination, start=start, names=files, show=show, notify=notify
    )
    sources = {"dev": files.dev or f"held out of {files.train}", "test": files.test}
    both = _dev_scores(trained)
    titles = {"dev": "tuned dev"} if both else {}
    texts = [
        f"{titles.get(name, name)} ({sources[name]})\n\n{report.text()}\n" for name, report in trained.reports.items()
    ]
    print(*texts, sep="\n", end="", flush=True)
    if both:
        notify(
            f"dev {both[0]}; tuned dev {both[1]}, after the bias for or against O was chosen on dev: mostly too high"
        )
    notify(f"{destination.folder.path}: the model is finished")


def _dev_scores(trained: TrainingResult) -> tuple[str, str] | None:
    """Dev of the best epoch, and after the bias for or against O was chosen; None if both are the same."""
    from structseq.heads.base import Tunable

    if (report := trained.reports.get("dev")) is None:
        return None
    best = trained.outcome.best_score
    tunable = isinstance(trained.model.head, Tunable) and trained.model.options.training.tune_decision
    if not tunable or best is None:
        return None
    found = (f"{100 * best:.2f}", f"{100 * report.criterion:.2f}")
    return None if found[0] == found[1] else found


def _ignore(message: str) -> None:
    """Replaces `remark` for --quiet."""


def _how_to_resume(folder: RunFolder, command: str, *, resume: bool) -> str:
    if folder.status == "finished":
        return f"stopped after training; the model in {folder.path} is finished"
    if not folder.checkpoint.exists():
        return "stopped before anything was learned; nothing was written"
    again = command if resume else f"{command} --resume"
    return f"stopped, and everything is saved in {folder.path}; resume with: {again}"


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# -- progress ----------------------------------------------------------------------------------------------------------

HEADINGS = ("epoch", "loss", "dev", "best", "seconds", "tokens/s")


@contextmanager
def showing(*, quiet: bool = False) -> Iterator[Callback | None]:
    """Within the block, a live table on a terminal, or a line for each epoch; nothing if quiet."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _live() as callback:
            yield callback
    else:
        yield _print_line


def cells(record: Mapping[str, Any]) -> list[str]:
    """An epoch's record under `HEADINGS`; scores in percent."""
    dev, best = record["dev"], record["best"]
    return [
        f"{record['epoch']}/{record['epochs']}",
        f"{record['loss']:.4f}",
        "-" if dev is None else f"{100 * dev:.2f}",
        "-" if best is None else f"{100 * best:.2f} ({record['best_epoch']})",
        f"{record['seconds']:.1f}",
        f"{record['tokens_per_second']:,.0f}",
    ]


def _print_line(progress: Progress, record: Mapping[str, Any] | None) -> None:
    if record is not None:
        named = zip(HEADINGS, cells(record), strict=True)
        print("  ".join(f"{heading} {cell}" for heading, cell in named), file=sys.stderr, flush=True)


@contextmanager
def _live() -> Iterator[Callback]:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    task = bar.add_task("epoch 1", total=None)
    records: list[Mapping[str, Any]] = []

    def callback(progress: Progress, record: Mapping[str, Any] | None) -> None:
        bar.update(task, description=f"epoch {progress.epoch}", total=progress.steps, completed=progress.step)
        if record is not None:
            records.append(record)
            fitting = max(live.console.height - 4, 1)
            live.update(Group(_table(records[-fitting:]), bar))

    with Live(bar, console=Console(stderr=True), refresh_per_second=4, vertical_overflow="visible") as live:
        try:
            yield callback
        finally:
            live.update(_table(records))


def _table(records: Sequence[Mapping[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(*HEADINGS, box=None, pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for record in records:
        best = record["best_epoch"] == records[-1]["best_epoch"] == record["epoch"]
        table.add_row(*cells(record), style="bold" if best else None)
    return table
