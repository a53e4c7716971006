"""The ``convert`` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from structseq.cli.arguments import Settings


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="The file to read.")],
    target: Annotated[
        str, typer.Argument(metavar="OUT", help="The file to write, its format by extension; - is standard output.")
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="SCHEME",
            help="Tag scheme to write: IO, IOB1, BIO, IOE, BIOES, BILOU, BMES; as read where not given.",
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="SCHEME", help="Tag scheme of IN; found from the data where not given."),
    ] = None,
    repair: Annotated[
        str | None,
        typer.Option(
            "--repair",
            metavar="POLICY",
            help="What to do with illegal sequences: conlleval or drop; refused where not given.",
        ),
    ] = None,
    settings: Settings = None,
) -> None:
    """Write a file in another tag scheme or format.

    Between column files only the tag column is rewritten; all else stays byte for byte.
    """
    from structseq.cli.reading import data_options
    from structseq.tasks.retagging import convert_file

    data = data_options(settings or [])
    data = data.model_copy(update={"scheme": from_ or data.scheme, "repair": repair or data.repair})
    convert_file(source, sys.stdout.buffer if target == "-" else target, data, to=to)
