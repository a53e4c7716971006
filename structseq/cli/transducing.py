"""The ``tag`` command on a model whose answer is a sequence of its own, and the ``embed`` command: one JSON record a
sequence, in order, with bounded memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from structseq.cli.door import one_line, remark
from structseq.cli.reading import (
    answering_options,
    lines_of_texts,
    reader_options,
    refuse_own_source,
    texts_or_sentences,
    told_format,
)
from structseq.config import DataOptions
from structseq.data.example import Example
from structseq.data.formats import FORMATS, detect_format, read
from structseq.data.file_signatures import kind_of
from structseq.data.textfile import Source, peek, replacing, writing
from structseq.errors import ConfigError, DataError
from structseq.storage import StoredModel, load_model
from structseq.tagger import Embedder, Transducer, Transduction
from structseq.tagger.given import Giving, recording, windows

WAVES = (".wav", ".wave")
LOOK_AHEAD = 256


def run_transduce(
    stored: StoredModel,
    file: str,
    *,
    format: str | None,
    text: str | None,
    confidence: bool | None,
    output: Path | None,
    settings: Sequence[str],
) -> None:
    """Answer a file, standard input or one text. Gold answers in the file are not looked at."""
    if (stored.model.head.gives, stored.model.reads) == ("inputs", "frames"):
        raise ConfigError("this model draws its recordings again and answers nothing; use structseq embed")
    data = answering_options(settings, stored.model)
    refuse_own_source(file, output)
    transducer = Transducer(stored.model, tokenizer=stored.tokenizer)
    given = None if text is None else Giving(stored.model, stored.tokenizer).text(text, "--text")
    if given is not None and format is None:
        found = transducer.transduce(given)
        sure = "" if found.log_prob is None or confidence is False else f"  {found.log_prob:.4f}"
        with writing(output or sys.stdout.buffer) as out:
            out.write(f"{one_line(found.text)}{sure}\n")
        return
    answers: Iterator[Transduction]
    if given is not None:
        answers = iter([transducer.transduce(given)])
    else:
        answers = transducer.transduce_many(given_in(stored, file, format, data))
    with writing(output or sys.stdout.buffer) as out:
        for found in answers:
            record = found.to_dict()
            if confidence is False:
                record.pop("log_prob", None)
            out.write(json.dumps(record, ensure_ascii=False) + "\n")


def run_tag_frames(
    stored: StoredModel,
    file: str,
    *,
    format: str | None,
    confidence: bool | None,
    output: Path | None,
    settings: Sequence[str],
) -> None:
    """Write a record for each recording with a tag for each of its steps, and its label where the model gives one.

    Raises `ConfigError` where confidences are asked for, which a tag of each frame does not carry.
    """
    if confidence:
        raise ConfigError("--confidence: tags of frames are written without; leave it out")
    data, model = answering_options(settings, stored.model), stored.model
    refuse_own_source(file, output)
    giving = Giving(model, stored.tokenizer)
    with writing(output or sys.stdout.buffer) as out:
        for group in windows(recordings_in(file, format, data), LOOK_AHEAD):
            for example, answer in zip(group, model.predict(group), strict=True):
                own = {"label": answer[0]} if "label" in model.head.asks else {}
                record = {**giving.shown(example), **own, "tags": list(answer[len(own) :])}
                out.write(json.dumps(record, ensure_ascii=False) + "\n")


def run_embed(
    model: Path,
    file: str,
    *,
    format: str | None,
    text: str | None,
    output: Path | None,
    settings: Sequence[str],
    trusted: Sequence[str] = (),
) -> None:
    """Write one vector for each sequence of a file, or of one text: an array where the output's name ends in .npy, else
    records."""
    if text is not None and file != "-":
        raise ConfigError(f"--text and the file {file} cannot both be read; give one of them")
    stored = load_model(model, trusted=trusted)
    data = answering_options(settings, stored.model)
    refuse_own_source(file, output)
    embedder = Embedder(stored.model, tokenizer=stored.tokenizer)
    giving = Giving(stored.model, stored.tokenizer)
    examples = given_in(stored, file, format, data) if text is None else iter([giving.text(text, "--text")])
    if output is not None and output.suffix.lower() == ".npy":
        vectors = embedder.embed(examples)
        with replacing(output) as stream:
            np.save(stream, vectors)
        remark(f"{output}: {len(vectors)} vectors of width {embedder.width}")
        return
    with writing(output or sys.stdout.buffer) as out:
        for group in windows(examples, LOOK_AHEAD):
            for example, vector in zip(group, embedder.embed(group), strict=True):
                record = {**giving.shown(example), "vector": [float(f"{number:.6g}") for number in vector.tolist()]}
                out.write(json.dumps(record, ensure_ascii=False) + "\n")


def given_in(stored: StoredModel, file: str, format: str | None, data: DataOptions) -> Iterator[Example]:
    """The sequences of a file as the model reads them: recordings, or texts of any format, or one text a line."""
    giving = Giving(stored.model, stored.tokenizer)
    if stored.model.reads == "frames":
        return recordings_in(file, format, data)
    source: Source = sys.stdin.buffer if file == "-" else file
    known = ("text", "conll", *FORMATS)
    if format is not None and format not in known:
        raise ConfigError(f"unknown --format {format!r}; known are {', '.join(known)}")
    name = format or _format_of(file, stored, data)
    if name == "text":
        return (giving.text(line, f"line {number}") for number, line in enumerate(lines_of_texts(source, data), 1))
    examples = read(source, "columns" if name == "conll" else name, **reader_options(data, tags=False))
    return map(giving.in_symbols, examples)


def _format_of(file: str, stored: StoredModel, data: DataOptions) -> str:
    """The format that was named, in training or now, else what the file looks like; of standard input, and of what
    looks like columns where pairs were learned, one text a line."""
    if file == "-":
        return "text"
    if stored.model.head.gives in ("label", "inputs"):
        return texts_or_sentences(file, data)
    name = told_format(file, data)
    if name != "auto":
        return name
    name = detect_format(file)
    return "text" if name == "columns" and stored.model.head.gives == "target" else name


def recordings_in(file: str, format: str | None, data: DataOptions) -> Iterator[Example]:
    """One recording, or the recordings of a list."""
    if format not in (None, "audio", "jsonl"):
        raise ConfigError(f"--format {format}: this model reads recordings; give a WAV file or a list of them")
    if file == "-":
        raise DataError("expected a WAV file or a list of recordings, found standard input; name a file")
    if Path(file).suffix.lower() in WAVES or peek(file, 4) == b"RIFF":
        return iter([recording(file, options=data.audio)])
    if format is None and (found := detect_format(file)) != "audio":
        if kind := kind_of(peek(file, 512)):
            raise DataError(f"this model reads recordings, found {kind.name}; {kind.as_wav}", file=file)
        if not peek(file, 512).strip():
            raise DataError("expected a list of recordings, found an empty one", file=file)
        advice = 'give a WAV file, or a list in JSON lines, {"audio": "0001.wav"} a line'
        raise DataError(f"this model reads recordings, found a file of the {found} format; {advice}", file=file)
    examples = read(file, "audio", **reader_options(data, tags=False))
    first = next(examples, None)  # what is wrong with the list is told before anything is written
    return chain([] if first is None else [first], examples)
