"""The command line.

Results go to standard output, errors and progress to standard error. Exit status: 0 success; 1 `check` found data that
training would refuse, or a trial of `compare` failed; 2 invalid input; 130 stopped by Ctrl-C or SIGTERM; 141 the output
was closed.
"""

from __future__ import annotations

from typing import Annotated

import typer

from structseq.cli.answering import embed, tag
from structseq.cli.comparing import compare
from structseq.cli.datafiles import check, convert
from structseq.cli.entrypoint import Command, Commands, run_safely
from structseq.cli.examining import describe, evaluate
from structseq.cli.options_command import options
from structseq.cli.train_command import train

app = typer.Typer(
    name="structseq",
    cls=Commands,
    help="Train, evaluate and use sequence taggers on CoNLL-style files.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (check, convert, train, evaluate, tag, embed, describe, compare, options):
    app.command(cls=Command)(command)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit status."""
    return run_safely(app, arguments)


@app.callback(invoke_without_command=True)
def structseq(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Train, evaluate and use sequence taggers on CoNLL-style files."""
    if version:
        from structseq import __version__

        print(f"structseq {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
