"""The ``describe`` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from structseq.cli.arguments import ModelFolder, Settings, Trusted


def describe(
    model: ModelFolder,
    on: Annotated[
        Path | None,
        typer.Option("--on", metavar="FILE", help="Tagged data to watch the gates on; as on dev where not given."),
    ] = None,
    settings: Settings = None,
    trusted: Trusted = None,
) -> None:
    """Say what a model is and has learned.

    Options, tags, vocabularies, weights, scores, origin, the strongest and weakest transitions, and how far its gates
    open over each tag.
    """
    from structseq.cli.reading import data_options
    from structseq.data.reading import read_examples
    from structseq.errors import ConfigError
    from structseq.gate_activations import mean_gate_activations
    from structseq.storage import load_model
    from structseq.storage.description import description

    stored = load_model(model, trusted=trusted or [])
    task, gates, where = stored.model.task, stored.metrics.get("gates", {}), "dev"
    if on is not None:
        if "tags" not in task.required_targets:
            raise ConfigError("--on: gates are shown by tag, and this model gives none; leave --on out")
        data = data_options(settings or [], stored.model.options.data)
        examples = read_examples(on, data)
        task.check_gold(examples, task.tags.outer, data)
        gates, where = mean_gate_activations(stored.model, examples), str(on)
    print(description(model, stored, gates, where))
