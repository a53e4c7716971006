"""The ``tag`` command on a model whose answer is a label: one JSON record a text, in order, with bounded memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from structseq.cli.door import one_line
from structseq.cli.reading import (
    answering_options,
    lines_of_texts,
    reader_options,
    refuse_own_source,
    texts_or_sentences,
)
from structseq.cli.transducing import recordings_in
from structseq.config import DataOptions
from structseq.data.formats import read
from structseq.data.textfile import Source, writing
from structseq.errors import ConfigError
from structseq.storage import StoredModel
from structseq.tagger import Classification, Classifier
from structseq.tagger.given import Giving

FORMATS = ("conll", "conllu", "jsonl", "labelled", "text", "threefile")


def run_classify(
    stored: StoredModel,
    file: str,
    *,
    format: str | None,
    text: str | None,
    confidence: bool | None,
    output: Path | None,
    settings: Sequence[str],
) -> None:
    """Label a file, standard input or one text. Gold labels in the file are not looked at."""
    if format is not None and format not in (*FORMATS, "audio"):
        raise ConfigError(f"unknown --format {format!r}; known are {', '.join(FORMATS)}, audio")
    data = answering_options(settings, stored.model)
    refuse_own_source(file, output)
    classifier = Classifier(stored.model, tokenizer=stored.tokenizer)
    answers = None
    if text is not None:
        given = Giving(stored.model, stored.tokenizer).text(text, "--text")
        answers = classifier.classify_many([replace(given, metadata={"text": text})])
    with writing(output or sys.stdout.buffer) as out:
        if answers and format is None:
            found = next(answers)
            sure = "" if found.confidence is None or confidence is False else f"  {found.confidence:.4f}"
            out.write(f"{one_line(found.label)}{sure}\n")
            return
        for found in answers or _answers(classifier, file, format, data, stored):
            record = found.to_dict()
            if confidence is False:
                record.pop("confidence", None)
            out.write(json.dumps(record, ensure_ascii=False) + "\n")


def _answers(
    classifier: Classifier, file: str, format: str | None, data: DataOptions, stored: StoredModel
) -> Iterator[Classification]:
    if stored.model.reads == "frames":
        return classifier.classify_many(recordings_in(file, format, data))
    source: Source = sys.stdin.buffer if file == "-" else file
    name = format or ("text" if file == "-" else texts_or_sentences(file, data))
    if name == "text":
        return classifier.classify_texts(lines_of_texts(source, data))
    examples = read(source, "columns" if name == "conll" else name, **reader_options(data, tags=False))
    return classifier.classify_many(examples)
