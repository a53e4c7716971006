"""The ``check`` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from structseq.cli.arguments import Settings
from structseq.cli.entrypoint import BAD_INPUT, remark

REFUSED = 1


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="The training file, then dev and test files.")],
    settings: Settings = None,
) -> int:
    """Check data files as training would: format, columns, scheme, types, illegal sequences, overlaps.

    Exit status 1: training would refuse a file.
    """
    from structseq.cli.reading import data_options
    from structseq.data.modality import modality_of
    from structseq.errors import DataError
    from structseq.tasks.inspection import compare_files, heading, inspect_file, type_table

    data = data_options(settings or [])
    checked, status = [], 0
    for path in files:
        try:
            checked.append(inspect_file(path, data))
        except DataError as problem:
            status = BAD_INPUT
            remark(f"error: {problem}")
            continue
        print(f"{path}", *checked[-1].lines, sep="\n", end="\n\n")
    for part in checked[1:]:
        try:
            modality_of(checked[0].examples).check(part.examples)
        except DataError as problem:
            part.refused.append(f"{checked[0].path} is of another kind: {problem}")
    if len(checked) > 1:
        print("across the files", *compare_files(checked, data), sep="\n", end="\n\n")
    if any(part.counts for part in checked):
        print(heading(checked), *type_table(checked), sep="\n")
    refused = [reason for part in checked for reason in part.refused]
    for reason in refused:
        remark(f"training would refuse: {reason}")
    return status or (REFUSED if refused else 0)
