"""The ``check`` and ``convert`` commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from structseq.cli.entrypoint import BAD_INPUT, Settings, data_options, remark

REFUSED = 1


def check(
    files: Annotated[list[Path], Argument(metavar="FILE...", help="The training file, then dev and test files.")],
    settings: Settings = None,
) -> int:
    """Check data files as training would: format, columns, scheme, types, illegal tags, overlaps.

    Exit status 1: training would refuse a file.
    """
    from structseq.errors import DataError
    from structseq.tasks.inspection import FileInspection, compare_files, heading, inspect_file, type_table

    data, status = data_options(settings or []), 0
    checked: list[FileInspection] = []
    for path in files:
        try:
            checked.append(inspect_file(path, data, checked[0] if checked else None))
        except DataError as problem:
            status = BAD_INPUT
            remark(f"error: {problem}")
            continue
        print(f"{path}", *checked[-1].lines, sep="\n", end="\n\n")
    for part in checked[1:]:
        try:
            checked[0].contents.modality.check(part.contents.samples.values())
        except DataError as problem:
            part.refused.append(f"{part.path} and {checked[0].path} have different kinds of sequences: {problem}")
    if len(checked) > 1:
        print("across the files", *compare_files(checked, data), sep="\n", end="\n\n")
    if any(part.counts for part in checked):
        print(heading(checked), *type_table(checked), sep="\n")
    refused = [reason for part in checked for reason in part.refused]
    for reason in refused:
        remark(f"training would refuse: {reason}")
    return status or (REFUSED if refused else 0)


Target = Annotated[str, Argument(metavar="OUT", help="File to write, format by extension; - is standard output.")]
To = Annotated[
    str | None,
    Option("--to", metavar="SCHEME", help="IO, IOB1, BIO, IOE, BIOES, BILOU or BMES; by default that of IN."),
]
From = Annotated[str | None, Option("--from", metavar="SCHEME", help="Tag scheme of IN; by default detected.")]
Repair = Annotated[
    str | None,
    Option("--repair", metavar="POLICY", help="Illegal tags: conlleval (the default), drop or refuse."),
]

Into = Annotated[str | None, Option("--format", metavar="FORMAT", help="Format of OUT; by default by its extension.")]
Lossy = Annotated[bool, Option("--lossy", help="Leave out what the format of OUT cannot hold, and say what.")]


def convert(
    source: Annotated[Path, Argument(metavar="IN", help="The file to read.")],
    target: Target,
    to: To = None,
    from_: From = None,
    repair: Repair = None,
    format: Into = None,
    lossy: Lossy = False,
    settings: Settings = None,
) -> None:
    """Write a file in another tag scheme or format.

    Between column files only the tag column changes.
    """
    from structseq.tasks.retagging import convert_file

    repairs = [f"data.repair={repair}"] if repair else []
    data = data_options([*(settings or []), *repairs])
    data = data.model_copy(update={"scheme": from_ or data.scheme})
    convert_file(
        source, sys.stdout.buffer if target == "-" else target, data, format=format, to=to, lossy=lossy, notify=remark
    )
