"""The ``tag`` command: files and texts tagged as a stream, in order, with bounded memory."""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from structseq.cli.classifying import run_classify
from structseq.cli.door import one_line, remark
from structseq.cli.reading import answering_options, reader_options
from structseq.cli.transducing import run_tag_frames, run_transduce
from structseq.data.example import Example
from structseq.data.formats import detect_format, read_passages
from structseq.data.jsonl import SPAN_KEYS, TAG_KEYS, keys_of
from structseq.data.passages import Passage
from structseq.data.record import read_records
from structseq.data.textfile import BOM, Source, name_of, text_lines, writing
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError, DataError
from structseq.storage import load_model
from structseq.tagger import Tagger, Tagging

Item = TypeVar("Item")

FORMATS = ("conll", "conllu", "jsonl", "text")


def run_tag(
    model: Path,
    file: str,
    *,
    format: str | None,
    text: str | None,
    confidence: bool | None,
    output: Path | None,
    settings: Sequence[str],
    trusted: Sequence[str] = (),
) -> None:
    """Tag a file, standard input or one text, and write what comes out as it comes."""
    if text is not None and file != "-":
        raise ConfigError(f"--text and the file {file} cannot both be tagged; give one of them")
    stored = load_model(model, trusted=trusted)
    if stored.model.head.gives != "tags":
        answering = run_classify if stored.model.head.gives == "label" else run_transduce
        answering(
            stored,
            file,
            format=format,
            text=None if text is None else _decoded(text),
            confidence=confidence,
            output=output,
            settings=settings,
        )
        return
    if stored.model.reads == "frames":
        if text is not None:
            raise ConfigError("--text: this model reads recordings, not texts; give a WAV file or a list of them")
        run_tag_frames(stored, file, format=format, confidence=confidence, output=output, settings=settings)
        return
    if format is not None and format not in FORMATS:
        raise ConfigError(f"unknown --format {format!r}; known are {', '.join(FORMATS)}")
    tagger = Tagger(stored.model, tokenizer=stored.tokenizer)
    data = answering_options(settings, tagger.model)
    if confidence and not tagger.calibrated:
        remark(
            "warning: scores learned by a margin, without a dev set, are no probabilities; there are no confidences"
            " to tell"
        )
    encoding = "utf-8"
    if text is not None:
        chunks = _one_text(tagger, _decoded(text), confidence is not False, as_json=format == "jsonl")
    else:
        source: Source = sys.stdin.buffer if file == "-" else file
        name = format or _format_of(file)
        # A file that is written back keeps its encoding, as it keeps every other byte.
        encoding = data.encoding if name != "text" else "utf-8"
        chunks = _chunks(tagger, source, name, reader_options(data, tags=False), confidence)
    with writing(output or sys.stdout.buffer, encoding=encoding) as out:
        for chunk in chunks:
            out.write(chunk)


def _decoded(text: str) -> str:
    """A word of the command line as UTF-8, whatever encoding the locale names."""
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        raise ConfigError(
            "--text: expected UTF-8, found other bytes; give the text in a file with --format text"
        ) from None


def _format_of(file: str) -> str:
    if file == "-":
        return "conll"
    return {"columns": "conll"}.get(found := detect_format(file), found)


def _chunks(
    tagger: Tagger, source: Source, format: str, options: dict[str, Any], confidence: bool | None
) -> Iterator[str]:
    """The output, piece by piece."""
    if format == "text":
        return _texts(tagger, source, options["encoding"], confidence is not False)
    if format == "jsonl":
        return _records(tagger, source, options, confidence is not False)
    if format not in ("conll", "conllu"):
        told = f"this model tags sentences, found a file of the {format} format"
        raise DataError(f"{told}; give one of {', '.join(FORMATS)}", file=name_of(source) or None)
    if confidence:
        raise ConfigError(f"--confidence: {format} files have no place for probabilities; use --format jsonl or text")
    return _rewritten(tagger, read_passages(source, format, **options))


# -- column files and CoNLL-U: the text as it stands, with one column more ---------------------------------------------


def _rewritten(tagger: Tagger, passages: Iterable[Passage]) -> Iterator[str]:
    key, line = tagger.model.options.data.label, 1
    for passage, tagging in _tagged(tagger, ((passage, passage.example) for passage in passages), confidence=False):
        text = passage.text if tagging is None else passage.append(tagging.tags)
        if tagging is not None and tagging.label is not None:
            text = _with_comment(text, passage.line_of(0) - line, f"# predicted_{key} = {one_line(tagging.label)}")
        yield text
        line += passage.text.count("\n")


def _with_comment(text: str, number: int, comment: str) -> str:
    """The text with a line more, before its line ``number`` (from 0) and with the same ending."""
    mark = BOM if text.startswith(BOM) else ""
    lines = text.removeprefix(mark).split("\n")
    lines.insert(number, comment + ("\r" if lines[number].endswith("\r") else ""))
    return mark + "\n".join(lines)


# -- JSON lines and texts: a record a line -----------------------------------------------------------------------------


def _records(tagger: Tagger, source: Source, options: dict[str, Any], confidence: bool) -> Iterator[str]:
    keys = keys_of(**{name: value for name, value in options.items() if name in _KEYS})
    records = read_records(source, encoding=options["encoding"])
    pairs = ((record, None if record.values is None else keys.example(record)) for record in records)
    for record, tagging in _tagged(tagger, pairs, confidence=confidence):
        values = record.values
        if tagging is None or values is None:
            yield record.text
            continue
        text = values[keys.text_key] if keys.token_key_of(values) is None else None
        answer = _answer(tagger, tagging, text, options["tokenizer"])
        # What the record says already, gold tags above all, is not overwritten, except by an answer once more.
        if any(key in values for key in (*TAG_KEYS, *SPAN_KEYS, *answer)):
            answer = {f"predicted_{name}": value for name, value in answer.items()}
        tokens = {"tokens": list(tagging.tokens)} if text is not None else {}
        yield record.with_values(**tokens, **answer)


_KEYS = {"columns", "tags", "tokenizer", "scheme", "misaligned"}


def _texts(tagger: Tagger, source: Source, encoding: str, confidence: bool) -> Iterator[str]:
    """One text a line in, one record a line out."""
    for tagging in tagger.tag_texts(text_lines(source, encoding=encoding), confidence=confidence):
        yield _record(tagger, tagging)


def _one_text(tagger: Tagger, text: str, confidence: bool, *, as_json: bool) -> Iterator[str]:
    """The text with what was found in it, a line each; or as one record."""
    tagging = tagger.tag_text(text, confidence=confidence)
    if as_json:
        yield _record(tagger, tagging)
        return
    yield f"{one_line(text)}\n"
    if tagging.label is not None:
        told = "" if tagging.label_confidence is None else f"  {tagging.label_confidence:.4f}"
        yield f"  {one_line(tagging.label)}{told}\n"
    if tagger.scheme.plain:
        rows = [[token, tag] for token, tag in zip(tagging.tokens, tagging.tags, strict=True)]
    else:
        rows = [[span.text, span.label, f"{span.start_char} to {span.end_char}"] for span in tagging.spans]
    for row, sure in zip(rows, tagging.confidence or [None] * len(rows), strict=True):
        row.append("" if sure is None else f"{sure:.4f}")
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"


def _record(tagger: Tagger, tagging: Tagging) -> str:
    """A text's answer as a line of JSON."""
    record = {
        "text": tagging.text,
        "tokens": list(tagging.tokens),
        **_answer(tagger, tagging, tagging.text, tagger.tokenizer),
    }
    return json.dumps(record, ensure_ascii=False) + "\n"


def _answer(tagger: Tagger, tagging: Tagging, text: str | None, tokenizer: str) -> dict[str, Any]:
    """Tags and spans, and the sentence's label where the model gives one; of a text, which this ``tokenizer`` has cut,
    ``start`` and ``end`` are a span's characters, as in the data that is read."""
    labelled: dict[str, Any] = {} if tagging.label is None else {"label": tagging.label}
    if tagging.label_confidence is not None:
        labelled["label_confidence"] = tagging.label_confidence
    if tagger.scheme.plain:
        sure = {} if tagging.confidence is None else {"confidence": list(tagging.confidence)}
        return {**labelled, "tags": list(tagging.tags), **sure}
    places = tokenizer_of(tokenizer)(text) if text is not None else None
    spans = []
    for span in tagging.spans:
        record: dict[str, Any] = {}
        if places is not None and text is not None:
            start, end = places[span.start].start, places[span.end - 1].end
            record |= {"start": start, "end": end, "text": text[start:end]}
        record |= {"start_token": span.start, "end_token": span.end, "label": span.label}
        if span.confidence is not None:
            record["confidence"] = span.confidence
        spans.append(record)
    return {**labelled, "tags": list(tagging.tags), "spans": spans}


# -- the stream --------------------------------------------------------------------------------------------------------


def _tagged(
    tagger: Tagger, pairs: Iterable[tuple[Item, Example | None]], *, confidence: bool
) -> Iterator[tuple[Item, Tagging | None]]:
    """Each item with the tagging of its example, in order, or None; holds what the tagger looks ahead."""
    waiting: deque[tuple[Item, bool]] = deque()

    def examples() -> Iterator[Example]:
        for item, example in pairs:
            waiting.append((item, example is not None))
            if example is not None:
                yield example

    for tagging in tagger.tag_many(examples(), confidence=confidence):
        while not waiting[0][1]:
            yield waiting.popleft()[0], None
        yield waiting.popleft()[0], tagging
    for item, _ in waiting:
        yield item, None
