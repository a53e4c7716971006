"""The ``tag`` and ``embed`` commands: use a model in bounded memory."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from structseq.cli.entrypoint import (
    InputFile,
    ModelFolder,
    Settings,
    Trusted,
    answering_options,
    check_output_is_not_input,
    remark,
)

if TYPE_CHECKING:
    from structseq.data.annotation.table import DocumentFormat
    from structseq.data.options import DataOptions
    from structseq.inference import OutputOptions, Predictor, Tagger

Format = Annotated[
    str | None,
    Option(
        "--format",
        metavar="NAME",
        help="Format of FILE, as in --set data.format; by default detected. Standard input is text if the model "
        "predicts no tags.",
    ),
]
Text = Annotated[str | None, Option("--text", metavar="STRING", help="Read this text instead of a file.")]
Confidence = Annotated[
    bool | None,
    Option("--confidence/--no-confidence", help="Write exact probabilities; the default, except for conll."),
]
# A string, because a path loses the slash that says folder
Output = Annotated[
    str | None,
    Option("--output", "-o", metavar="OUT", help="File to write, or a folder (OUT/); by default standard output."),
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

    conll: the predicted tag is added as last column, a predicted label as a comment. jsonl: "tags" and "spans" are
    added to each record. text: one JSON record for each line. Models that predict labels or sequences write one JSON
    record for each input, in any format. Files of annotation tools are written with predicted annotations.
    """
    from structseq.data.formats import FORMATS
    from structseq.data.textfile import open_writer
    from structseq.errors import ConfigError
    from structseq.inference import Embedder, OutputOptions, Tagger, predictor_of
    from structseq.storage import load_model

    if text is not None and file != "-":
        raise ConfigError(f"--text and the file {file} cannot both be tagged; give one of them")
    predictor = predictor_of(load_model(model, trusted=trusted or []))
    if isinstance(predictor, Embedder):
        raise ConfigError("this model only returns vectors; use structseq embed")
    if confidence and not predictor.has_confidence:
        raise ConfigError("--confidence: this model has no confidences for tags of frames; remove --confidence")
    data, encoding = answering_options(settings or [], predictor.model), "utf-8"
    wanted = OutputOptions(confidence is not False)
    if text is not None:
        chunks = _one_text(predictor, _decoded(text), wanted, as_json=format is not None)
    elif isinstance(predictor, Tagger):
        source, name = _source_and_format(predictor, file, format, data)
        if (documents := FORMATS[name].documents) and name != "jsonl":
            check_output_is_not_input(file, output)
            _tag_documents(predictor, source, documents, data, confidence, output, model.name)
            return
        chunks, encoding = _rewritten(predictor, source, name, data, confidence)
    else:
        check_output_is_not_input(file, output)
        examples = predictor.preprocessor.read(file, format, data, remark)
        chunks = (_line(answer.to_dict()) for _, answer in predictor.answer_many(examples, wanted))
    with open_writer(output or sys.stdout.buffer, encoding=encoding) as out:
        for chunk in chunks:
            out.write(chunk)


def _decoded(text: str) -> str:
    """A command-line argument as UTF-8 in any locale."""
    from structseq.errors import ConfigError

    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        raise ConfigError(
            "--text: expected UTF-8, found other bytes; give the text in a file with --format text"
        ) from None


def _one_text(predictor: Predictor, text: str, wanted: OutputOptions, *, as_json: bool) -> Iterator[str]:
    from structseq.data.textfile import one_line

    (answer,) = predictor.answer([predictor.preprocessor.text(text, "--text")], wanted)
    if as_json:
        yield _line(answer.text_record())
        return
    indent = ""
    if (heading := answer.heading()) is not None:
        yield f"{one_line(heading)}\n"
        indent = "  "
    rows = [[*cells, "" if probability is None else f"{probability:.4f}"] for cells, probability in answer.rows()]
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[n]) for row in rows if len(row) > n) for n in range(max(map(len, rows), default=0))]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        yield indent + "  ".join(cells).rstrip() + "\n"


def _source_and_format(tagger: Tagger, file: str, format: str | None, data: DataOptions) -> tuple[Any, str]:
    """The file, or a stream that can peek, and its format."""
    from structseq.data.formats import resolve_format
    from structseq.data.textfile import name_of, peekable

    source: Any = sys.stdin.buffer if file == "-" else file
    if format and format != "auto":
        return source, resolve_format(format)
    source = peekable(source) if file == "-" else file
    name = tagger.model.task.input_format(source, data)
    if name == "text":
        remark(f"{name_of(source)}: each line is read as a text; for rows with columns, add --format conll")
    return source, name


def _tag_documents(
    tagger: Tagger,
    source: Any,
    format: DocumentFormat,
    data: DataOptions,
    confidence: bool | None,
    output: str | None,
    model: str,
) -> None:
    """Write documents with predicted annotations, as their tool expects predictions."""
    from structseq.data.annotation.document import Notes, lines_of
    from structseq.data.annotation.to_examples import cutting_of
    from structseq.data.reading import reader_options
    from structseq.data.textfile import name_of
    from structseq.errors import ConfigError, DataError
    from structseq.inference.rewriting import tagged_documents

    if tagger.scheme.plain:
        message = f"{format.limits.format} holds spans, but this model has plain tags; convert the file to JSON lines"
        raise DataError(message, file=name_of(source) or None)
    _warn_of_scores(tagger, confidence)
    if output is None and format.grouped and format.extensions != (".spacy",):
        raise ConfigError(f"{format.limits.format} keeps documents in files of their own; name them with --output")
    if confidence and not format.holds_scores:
        raise ConfigError(f"--confidence: {format.limits.format} cannot hold probabilities; use --format jsonl or text")
    notes = Notes()
    options = reader_options(data, tags=False, notes=notes)
    cutting = cutting_of(
        tokenizer=data.tokenizer, split=data.split, lines=format.limits.lines, tags=False, notes=notes
    )  # fmt: skip
    documents = format.documents(source, **options)
    scores = format.holds_scores and confidence is not False and tagger.calibrated
    tagged = tagged_documents(tagger, documents, cutting, scores=scores)
    target = output or sys.stdout.buffer
    format.save(
        target, tagged, tokenizer=data.tokenizer, lossy=True, notes=notes, encoding=data.encoding, model=model
    )  # fmt: skip
    for line in lines_of(notes):
        remark(f"{name_of(source)}: {line}")


def _warn_of_scores(tagger: Tagger, confidence: bool | None) -> None:
    if confidence and not tagger.calibrated:
        remark(
            "warning: no confidences are written, because the scores of a margin-trained head are not probabilities "
            "without calibration on a dev set"
        )


def _rewritten(
    tagger: Tagger, source: Any, name: str, data: DataOptions, confidence: bool | None
) -> tuple[Iterator[str], str]:
    """The text of a file with predictions, and its encoding."""
    from structseq.data.formats import FORMATS
    from structseq.data.reading import reader_options
    from structseq.data.textfile import name_of
    from structseq.errors import ConfigError, DataError
    from structseq.inference.rewriting import tagged_columns, tagged_records, tagged_texts

    _warn_of_scores(tagger, confidence)
    options, with_confidence = reader_options(data, tags=False), confidence is not False
    if name == "text":
        return tagged_texts(tagger, source, data.encoding, confidence=with_confidence), "utf-8"
    if name == "jsonl":
        return tagged_records(tagger, source, options, confidence=with_confidence), data.encoding
    if FORMATS[name].verbatim is None:
        known = ", ".join([each for each, row in FORMATS.items() if row.verbatim or row.documents] + ["text"])
        raise DataError(
            f"this model tags sentences, found a file of the {name} format; use one of {known}",
            file=name_of(source) or None,
        )
    if confidence:
        name = "conll" if name == "columns" else name
        raise ConfigError(f"--confidence: {name} files cannot store probabilities; use --format jsonl or text")
    return tagged_columns(tagger, source, name, options), data.encoding


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


# -- embed -------------------------------------------------------------------------------------------------------------

Vectors = Annotated[
    Path | None,
    Option("--output", "-o", metavar="OUT", help="File to write: a NumPy array if it ends in .npy, else JSON records."),
]


def embed(
    model: ModelFolder,
    file: InputFile = "-",
    format: Format = None,
    text: Text = None,
    output: Vectors = None,
    settings: Settings = None,
    trusted: Trusted = None,
) -> None:
    """Write one vector for each sequence of a file.

    An autoencoder's bottleneck, a classifier's pooled states, or the mean of the encoder's states for other models.
    """
    import numpy as np

    from structseq.data.textfile import atomic_write, open_writer
    from structseq.errors import ConfigError
    from structseq.inference import Embedder

    if text is not None and file != "-":
        raise ConfigError(f"--text and the file {file} cannot both be read; give one of them")
    embedder = Embedder.load(model, trusted=trusted or [])
    data = answering_options(settings or [], embedder.model)
    check_output_is_not_input(file, output)
    sequences = embedder.preprocessor
    examples = sequences.read(file, format, data, remark) if text is None else iter([sequences.text(text, "--text")])
    if output is not None and output.suffix.lower() == ".npy":
        vectors = embedder.embed(examples)
        with atomic_write(output) as stream:
            # `numpy.save` loses the reason if it cannot write
            np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(vectors))
            stream.write(np.ascontiguousarray(vectors).data)
        remark(f"{output}: {len(vectors)} vectors of width {embedder.width}")
        return
    with open_writer(output or sys.stdout.buffer) as out:
        for example, vector in embedder.answer_many(examples):
            out.write(_line({**sequences.source(example), "vector": [float(f"{x:.6g}") for x in vector.tolist()]}))
