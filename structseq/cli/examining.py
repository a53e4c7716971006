"""The ``evaluate`` and ``describe`` commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from structseq.cli.entrypoint import ModelFolder, Settings, Trusted, answering_options, data_options, remark, show

Json = Annotated[
    str | None,
    Option("--json", metavar="OUT", help="Write the report as JSON; - is standard output, without text."),
]
Errors = Annotated[int, Option("--errors", metavar="N", min=0, help="Number of errors to list.")]
Brief = Annotated[bool, Option("--brief", help="Print the first lines of the report only.")]
On = Annotated[
    Path | None, Option("--on", metavar="FILE", help="Tagged data for the gate activations; by default dev.")
]


def evaluate(
    model: ModelFolder,
    file: Annotated[Path, Argument(metavar="FILE", help="Data with gold tags.")],
    json: Json = None,
    errors: Errors = 0,
    brief: Brief = False,
    settings: Settings = None,
    trusted: Trusted = None,
) -> None:
    """Score a model on a file: per type, micro and macro, seen and unseen entities, confusion, errors."""
    from json import dumps

    from structseq.data.textfile import open_writer
    from structseq.run import read_gold
    from structseq.storage import load_model

    stored = load_model(model, trusted=trusted or [])
    data, task = answering_options(settings or [], stored.model), stored.model.task
    options = stored.model.options.model_copy(update={"data": data})
    examples = read_gold(file, type(task), options, remark)
    stored.model.modality.check(examples)
    gold = task.check_gold(examples, task.tags.file_scheme, data)
    for each in gold.remarks:
        remark(f"{file}: {each}")
    report = task.report(stored.model, gold.examples, entities=stored.entities)
    if json is not None:
        with open_writer(sys.stdout.buffer if json == "-" else json) as stream:
            stream.write(dumps(report.to_dict(errors=None), ensure_ascii=False, indent=2) + "\n")
    if json != "-":
        text = report.text(errors=errors)
        show(text.partition("\n\n")[0] if brief else text)


def describe(model: ModelFolder, on: On = None, settings: Settings = None, trusted: Trusted = None) -> None:
    """Describe a model.

    Options, tags, vocabularies, weights, scores, provenance, the strongest and weakest transitions, and the mean gate
    activations at each tag.
    """
    from structseq.data.reading import read_examples
    from structseq.errors import ConfigError
    from structseq.gate_activations import mean_gate_activations
    from structseq.storage import load_model
    from structseq.storage.description import description

    stored = load_model(model, trusted=trusted or [])
    task, gates, where = stored.model.task, stored.metrics.get("gates", {}), "dev"
    if on is not None:
        if "tags" not in task.required_targets:
            raise ConfigError("--on: gates are shown by tag, and this model predicts no tags; remove --on")
        data = data_options(settings or [], stored.model.options.data)
        gold = task.check_gold(read_examples(on, data), task.tags.file_scheme, data)
        for each in gold.remarks:
            remark(f"{on}: {each}")
        gates, where = mean_gate_activations(stored.model, gold.examples), str(on)
    show(description(model, stored, gates, where))
