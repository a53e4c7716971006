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
    """Look at data files as training would: format, columns, scheme, types, illegal sequences, overlaps.

    Exit status 1 says that training would refuse something.
    """
    from structseq.cli.reading import data_options
    from structseq.data.example import modality_of
    from structseq.errors import DataError
    from structseq.tasks.inspection import across, distribution, heading, inspect_file

    data = data_options(settings or [])
    checked, unreadable = [], False
    for path in files:
        try:
            checked.append(inspect_file(path, data))
        except DataError as problem:
            unreadable = True
            remark(f"error: {problem}")
            continue
        print(f"{path}", *checked[-1].lines, sep="\n", end="\n\n")
    for part in checked[1:]:
        try:
            modality_of(checked[0].examples).check(part.examples)
        except DataError as problem:
            part.refused.append(f"{checked[0].path} is of another kind: {problem}")
    if len(checked) > 1:
        print("across the files", *across(checked, data), sep="\n", end="\n\n")
    if any(part.counts for part in checked):
        print(heading(checked), *distribution(checked), sep="\n")
    refused = [reason for part in checked for reason in part.refused]
    for reason in refused:
        remark(f"training would refuse: {reason}")
    return BAD_INPUT if unreadable else REFUSED if refused else 0
