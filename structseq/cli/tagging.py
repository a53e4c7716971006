"""The ``tag`` command: files and texts answered as a stream, in order, with bounded memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from structseq.cli.arguments import InputFile, ModelFolder, Settings, Trusted
from structseq.cli.entrypoint import remark

if TYPE_CHECKING:
    from structseq.data.options import DataOptions
    from structseq.inference import Predictor, Tagger

# Formats that a tagger of tokens rewrites; all other models read any format and write records.
FORMATS = ("conll", "conllu", "jsonl", "text")


Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="Format of FILE: conll, jsonl, text; labelled, pairs, threefile, audio where the model answers whole "
        "sequences. Found from FILE where not given; of standard input conll, or text without tags.",
    ),
]
Text = Annotated[str | None, typer.Option("--text", metavar="STRING", help="Tag this text instead of a file.")]
Confidence = Annotated[
    bool | None,
    typer.Option(
        "--confidence/--no-confidence", help="Whether spans carry their exact probability; on, except for conll."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="OUT", help="File to write, whole or not at all; standard output where not given."
    ),
]


def tag(
    model: ModelFolder,
    file: InputFile = "-",
    format: Format = None,
    text: Text = None,
    confidence: Confidence = None,
    output: Output = None,
    settings: Settings = None,
    trusted: Trusted = None,
) -> None:
    """Tag a file or a text.

    conll: every column and comment is kept and the predicted tag is the last column (a label, where the model gives
    sentences labels too, is a comment more). jsonl: records with "tokens" or
    "text" gain "tags" and "spans". text: one text a line becomes one JSON record a line. A model whose answer is a
    label, or a sequence of its own (of a text, of a recording), gives one JSON record a sequence, whatever the format.
    """
    from structseq.cli.reading import answering_options, refuse_own_source
    from structseq.data.textfile import writing
    from structseq.errors import ConfigError
    from structseq.inference import Embedder, Tagger, predictor_of
    from structseq.storage import load_model

    if text is not None and file != "-":
        raise ConfigError(f"--text and the file {file} cannot both be tagged; give one of them")
    predictor = predictor_of(load_model(model, trusted=trusted or []))
    if isinstance(predictor, Embedder):
        raise ConfigError("this model answers with vectors alone; use structseq embed")
    if confidence and not predictor.has_confidence:
        raise ConfigError("--confidence: tags of frames are written without; leave it out")
    data, encoding = answering_options(settings or [], predictor.model), "utf-8"
    if text is not None:
        chunks = _one_text(predictor, _decoded(text), format, confidence)
    elif isinstance(predictor, Tagger):
        chunks, encoding = _tagged(predictor, file, format, data, confidence)
    else:
        refuse_own_source(file, output)
        chunks = _records(predictor, file, format, data, confidence)
    with writing(output or sys.stdout.buffer, encoding=encoding) as out:
        for chunk in chunks:
            out.write(chunk)


def _decoded(text: str) -> str:
    """A word of the command line as UTF-8, whatever encoding the locale names."""
    from structseq.errors import ConfigError

    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        raise ConfigError(
            "--text: expected UTF-8, found other bytes; give the text in a file with --format text"
        ) from None


def _one_text(predictor: Predictor, text: str, format: str | None, confidence: bool | None) -> Iterator[str]:
    """What was found in a text, a line each; or one JSON record, if a format is named."""
    from structseq.data.textfile import one_line
    from structseq.inference import OutputOptions

    (answer,) = predictor.answer([predictor.preprocessor.text(text, "--text")], OutputOptions(confidence is not False))
    if format is not None:
        yield _line(answer.text_record())
        return
    heading = answer.heading()
    rows = [[*cells, "" if sure is None else f"{sure:.4f}"] for cells, sure in answer.rows()]
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[n]) for row in rows if len(row) > n) for n in range(max(map(len, rows), default=0))]
    if heading is not None:
        yield f"{one_line(heading)}\n"
    for row in rows:
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)).rstrip()
        yield f"{line}\n" if heading is None else f"  {line}\n"


def _tagged(
    tagger: Tagger, file: str, format: str | None, data: DataOptions, confidence: bool | None
) -> tuple[Iterator[str], str]:
    """A file with the answers in it, piece by piece, and its encoding."""
    from structseq.data.reading import reader_options
    from structseq.data.textfile import name_of
    from structseq.errors import ConfigError, DataError
    from structseq.inference.rewriting import tagged_columns, tagged_records, tagged_texts

    if format is not None and format not in FORMATS:
        raise ConfigError(f"unknown --format {format!r}; known are {', '.join(FORMATS)}")
    if confidence and not tagger.calibrated:
        remark(
            "warning: scores learned by a margin, without a dev set, are no probabilities; the answers carry no "
            "confidences"
        )
    source: Any = sys.stdin.buffer if file == "-" else file
    name = format or ("conll" if file == "-" else tagger.model.task.file_format(file, data))
    options, sure = reader_options(data, tags=False), confidence is not False
    # A file that is written back keeps its encoding, as it keeps every other byte.
    if name == "text":
        return tagged_texts(tagger, source, data.encoding, confidence=sure), "utf-8"
    if name == "jsonl":
        return tagged_records(tagger, source, options, confidence=sure), data.encoding
    if name not in ("conll", "columns", "conllu"):
        known = ", ".join(FORMATS)
        raise DataError(
            f"this model tags sentences, found a file of the {name} format; give one of {known}",
            file=name_of(source) or None,
        )
    if confidence:
        name = "conll" if name == "columns" else name
        raise ConfigError(f"--confidence: {name} files have no place for probabilities; use --format jsonl or text")
    return tagged_columns(tagger, source, name, options), data.encoding


def _records(
    predictor: Predictor, file: str, format: str | None, data: DataOptions, confidence: bool | None
) -> Iterator[str]:
    """A JSON record for each sequence; gold answers in the file are not read."""
    from structseq.inference import OutputOptions

    examples = predictor.preprocessor.read(file, format, data, remark)
    for _, answer in predictor.answer_many(examples, OutputOptions(confidence is not False)):
        yield _line(answer.to_dict())


def _line(record: dict[str, Any]) -> str:
    from json import dumps

    return dumps(record, ensure_ascii=False) + "\n"
