"""Training progress on standard error: a live table and a bar on a terminal, else a line for each epoch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from structseq.run import Watch
from structseq.training import Progress

HEADINGS = ("epoch", "loss", "dev", "best", "seconds", "tokens/s")


@contextmanager
def showing(*, quiet: bool = False) -> Iterator[Watch | None]:
    """Within the block, a `Watch` that shows progress; None if ``quiet``."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _live() as watch:
            yield watch
    else:
        yield _print_line


def cells(record: Mapping[str, Any]) -> list[str]:
    """The journal record of an epoch as cells under `HEADINGS`; scores in percent."""
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
def _live() -> Iterator[Watch]:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    task = bar.add_task("epoch 1", total=None)
    records: list[Mapping[str, Any]] = []

    def watch(progress: Progress, record: Mapping[str, Any] | None) -> None:
        bar.update(task, description=f"epoch {progress.epoch}", total=progress.steps, completed=progress.step)
        if record is not None:
            records.append(record)
            fitting = max(live.console.height - 4, 1)
            live.update(Group(_table(records[-fitting:]), bar))

    with Live(bar, console=Console(stderr=True), refresh_per_second=4, vertical_overflow="visible") as live:
        try:
            yield watch
        finally:
            live.update(_table(records))


def _table(records: Sequence[Mapping[str, Any]]) -> Any:
    """The epochs so far; the best one's row is bold."""
    from rich.table import Table

    table = Table(*HEADINGS, box=None, pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for record in records:
        best = record["best_epoch"] == records[-1]["best_epoch"] == record["epoch"]
        table.add_row(*cells(record), style="bold" if best else None)
    return table
