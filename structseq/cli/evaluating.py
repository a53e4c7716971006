"""The ``evaluate`` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from structseq.cli.arguments import ModelFolder, Settings, Trusted


def evaluate(
    model: ModelFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Data with gold tags.")],
    json: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="OUT",
            help="Write the report, errors and all, as JSON; - is standard output, instead of the text.",
        ),
    ] = None,
    errors: Annotated[int, typer.Option("--errors", metavar="N", min=0, help="How many errors to list.")] = 0,
    settings: Settings = None,
    trusted: Trusted = None,
) -> None:
    """Score a model on a file: per type, micro and macro, seen and unseen entities, confusion, errors."""
    from json import dumps

    from structseq.cli.reading import answering_options
    from structseq.data.textfile import writing
    from structseq.run import read_gold
    from structseq.storage import load_model

    stored = load_model(model, trusted=trusted or [])
    data, task = answering_options(settings or [], stored.model), stored.model.task
    options = stored.model.options.model_copy(update={"data": data})
    examples = read_gold(file, type(task), options)
    stored.model.modality.check(examples)
    task.check_gold(examples, task.tags.outer, data)
    report = task.report(stored.model, examples, entities=stored.entities)
    if json is not None:
        with writing(sys.stdout.buffer if json == "-" else json) as stream:
            stream.write(dumps(report.to_dict(errors=None), ensure_ascii=False, indent=2) + "\n")
    if json != "-":
        print(report.text(errors=errors))
