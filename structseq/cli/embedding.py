"""The ``embed`` command: one vector for each sequence, in order, with bounded memory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from structseq.cli.arguments import InputFile, ModelFolder, Settings, Trusted
from structseq.cli.entrypoint import remark

Format = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="NAME", help="Format of FILE, text for one a line; found from it where not given."
    ),
]
Text = Annotated[str | None, typer.Option("--text", metavar="STRING", help="Read this text instead of a file.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="File to write, an array where it ends in .npy, else JSON records; standard output where not given.",
    ),
]


def embed(
    model: ModelFolder,
    file: InputFile = "-",
    format: Format = None,
    text: Text = None,
    output: Output = None,
    settings: Settings = None,
    trusted: Trusted = None,
) -> None:
    """Write one vector for each sequence of a file.

    An autoencoder's bottleneck, the pooled states where a model answers with a label; of any other model the mean of
    its encoder's states.
    """
    import json

    import numpy as np

    from structseq.cli.reading import answering_options, refuse_own_source
    from structseq.data.textfile import replacing, writing
    from structseq.errors import ConfigError
    from structseq.inference import Embedder

    if text is not None and file != "-":
        raise ConfigError(f"--text and the file {file} cannot both be read; give one of them")
    embedder = Embedder.load(model, trusted=trusted or [])
    data = answering_options(settings or [], embedder.model)
    refuse_own_source(file, output)
    sequences = embedder.preprocessor
    examples = sequences.read(file, format, data, remark) if text is None else iter([sequences.text(text, "--text")])
    if output is not None and output.suffix.lower() == ".npy":
        vectors = embedder.embed(examples)
        with replacing(output) as stream:
            np.save(stream, vectors)
        remark(f"{output}: {len(vectors)} vectors of width {embedder.width}")
        return
    with writing(output or sys.stdout.buffer) as out:
        for example, vector in embedder.answer_many(examples):
            record = {**sequences.source(example), "vector": [float(f"{number:.6g}") for number in vector.tolist()]}
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
