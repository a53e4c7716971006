"""Converting a file to another tag scheme or format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from structseq.data.annotation.document import Document, Notes, lines_of
from structseq.data.annotation.limits import EXAMPLE_LIMITS
from structseq.data.annotation.table import annotated
from structseq.data.annotation.to_examples import cutting_of
from structseq.data.columns import place_columns, read_blocks
from structseq.data.conllu import FIELDS
from structseq.data.csvfile import csv_table
from structseq.data.example import Example
from structseq.data.formats import FORMATS, detect_format, format_of_name, read, read_verbatim, resolve_format, write
from structseq.data.jsonl import TAG_KEYS, TOKEN_KEYS, keys_of
from structseq.data.options import DataOptions
from structseq.data.parquet import parquet_table
from structseq.data.reading import reader_options
from structseq.data.record import read_records
from structseq.data.tables import Table, TableOptions
from structseq.data.textfile import Target, name_of, open_writer
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError, DataError
from structseq.spans import Scheme, TagError, convert, repair, scheme_of
from structseq.tasks.legality import find_scheme, legal_gold, with_place

Notify = Callable[[str], None]
# Number of sentences that show what a file has
FIRST = 1000


def convert_file(
    source: Path,
    target: Target,
    data: DataOptions,
    *,
    format: str | None = None,
    to: str | None = None,
    lossy: bool = False,
    notify: Notify,
) -> None:
    """Write ``source`` to ``target`` in another format (None: by its extension) or scheme ``to`` (None: unchanged).

    Between column files only tags change. The target is replaced atomically; ``notify`` receives remarks. Raises
    `DataError` for tags that the scheme cannot express or ``data.repair`` refuses, and for what the target's format
    cannot hold, unless ``lossy``.
    """
    source_format = detect_format(source) if data.format == "auto" else resolve_format(data.format)
    into = source_format if target == str(source) else _format_of(target, format, source_format)
    data, notes = data.model_copy(update={"format": source_format}), Notes()
    if _has_documents(source, data):
        if to is not None and FORMATS[into].documents:
            raise ConfigError(f"--to {to}: {into} files have spans and no tags, so no scheme; leave it out")
        _convert_documents(source, target, data, into, to or "BIO", lossy, notes)
    else:
        _convert_examples(source, target, data, into, to, lossy, notes, notify)
    for line in lines_of(notes):
        notify(f"{source}: {line}")


def _has_documents(source: Path, data: DataOptions) -> bool:
    """Whether the file has texts with annotations, not sentences with tags."""
    if data.format != "jsonl":
        return FORMATS[data.format].documents is not None
    keys = keys_of()
    records = read_records(source, encoding=data.encoding)
    return next((keys.has_text(record.values) for record in records if record.values), False)


def _convert_documents(
    source: Path, target: Target, data: DataOptions, into: str, scheme: str, lossy: bool, notes: Notes
) -> None:
    reader, writer = FORMATS[data.format].documents, FORMATS[into].documents
    assert reader is not None
    options = reader_options(data, notes=notes)
    documents: Iterable[Document] = reader.documents(source, **options)
    fit: dict[str, Any] = {"fragments": data.fragments, "lossy": lossy, "notes": notes}
    if writer:
        writer.save(target, documents, tokenizer=data.tokenizer, encoding=data.encoding, **fit)
        return
    policies = {name: options[name] for name in ("tokenizer", "misaligned", "overlapping", "fragments", "split")}
    cutting = cutting_of(**policies, scheme=scheme, lines=reader.limits.lines, notes=notes)
    gold = annotated(documents, name_of(source), notes)
    examples = cutting.examples(EXAMPLE_LIMITS.fit(gold, tokenizer_of(data.tokenizer), **fit))
    write(target, _without_long_texts(examples, into, notes), into, encoding=data.encoding, field=data.field)


def _without_long_texts(examples: Iterable[Example], into: str, notes: Notes) -> Iterator[Example]:
    """Examples without a text of several lines where the format has a line for it; the tokens stay."""
    for example in examples:
        text = example.metadata.get("text", "")
        if into != "jsonl" and (text != text.strip(" \t\r\n") or "\n" in text or "\r" in text):
            notes["texts with line ends or white space around them, of which the tokens are kept"] += 1
            example = replace(example, metadata={k: v for k, v in example.metadata.items() if k != "text"})
        yield example


def _convert_examples(
    source: Path,
    target: Target,
    data: DataOptions,
    into: str,
    to: str | None,
    lossy: bool,
    notes: Notes,
    notify: Notify,
) -> None:
    wanted = scheme_of(to) if to else None
    examples = list(read(source, data.format, **reader_options(data, notes=notes)))
    scheme = find_scheme(examples, data, option="--from {}")
    for remark in legal_gold(examples, scheme, data, option="--repair {}")[1]:
        notify(remark)
    if wanted is not None and scheme.plain != wanted.plain:
        found = "plain tags (such as parts of speech), not spans" if scheme.plain else f"spans in {scheme}"
        raise DataError(f"the tags are {found}; they cannot be written as {wanted}", file=source)
    tags = partial(_converted, data=data, scheme=scheme, to=wanted or scheme)
    if into == data.format and FORMATS[into].verbatim is not None:
        with open_writer(target, encoding=data.encoding) as file:
            for block in read_verbatim(source, data.format, **reader_options(data)):
                file.write(block.text if block.example is None else block.retag(tags(block.example)))
        return
    for part in unread_parts(source, data):
        if not lossy:
            advice = "keep it by --set data.columns.NAME=..., or leave it out with --lossy"
            raise DataError(f"expected tokens and tags alone, found {part}, which would be lost; {advice}", file=source)
        notes[f"{part}, left out"] += 1
    options: dict[str, Any] = {"field": data.field, "tokenizer": data.tokenizer, "scheme": wanted or scheme}
    retagged = (replace(each, targets={**each.targets, "tags": tags(each)}) for each in examples)
    write(target, retagged, into, **options, lossy=lossy, notes=notes)


def unread_parts(source: Path, data: DataOptions) -> list[str]:
    """The parts of a file that its examples lack: columns, fields, keys; by its first sentences."""
    readers = {
        "columns": _unread_columns, "conllu": _unread_fields, "jsonl": _unread_keys, "csv": _unread_in_csv,
        "parquet": _unread_in_parquet,
    }  # fmt: skip
    return list(readers[data.format](source, data)) if data.format in readers else []


def _unread_columns(source: Path, data: DataOptions) -> Iterator[str]:
    blocks = read_blocks(source, encoding=data.encoding, separator=data.separator, comments=data.comments)
    placed = place_columns(blocks, data.token_column, data.tag_column)
    for block, token, tag in islice((each for each in placed if each[0].rows), 1):
        used = {block.column_index(each) for each in (token, tag, *data.columns.values()) if isinstance(each, int)}
        yield from (f"column {number}" for number in range(block.width) if number not in used)


def _unread_fields(source: Path, data: DataOptions) -> Iterator[str]:
    used = {"id", "form", *(str(field).partition(":")[0] for field in (data.field, *data.columns.values()))}
    blocks = islice(read_verbatim(source, "conllu", encoding=data.encoding), FIRST)
    rows = [row.split("\t") for block in blocks for row in block.text.splitlines() if row[:1].isdecimal()]
    for number, name in enumerate(FIELDS):
        if name not in used and any(row[number : number + 1] not in ([], ["_"]) for row in rows):
            yield f"the field {name}"


def _unread_keys(source: Path, data: DataOptions) -> Iterator[str]:
    used = {*TOKEN_KEYS, *TAG_KEYS, "starts_document", *map(str, data.columns.values())}
    records = islice((record.values or {} for record in read_records(source, encoding=data.encoding)), FIRST)
    keys = {key: value for values in records for key, value in values.items()}
    yield from (f"the key {key!r}" for key, value in keys.items() if key not in used and not isinstance(value, str))


def _unread_in_csv(source: Path, data: DataOptions) -> Iterator[str]:
    yield from _unread_in_table(csv_table(source, data.encoding), data)


def _unread_in_parquet(source: Path, data: DataOptions) -> Iterator[str]:
    with parquet_table(source) as table:
        yield from _unread_in_table(table, data)


def _unread_in_table(table: Table, data: DataOptions) -> Iterator[str]:
    known = [each.name for each in fields(TableOptions)]
    options = TableOptions(**{name: value for name, value in reader_options(data).items() if name in known})
    yield from (f"the column {name!r}" for name in table.unread(options))


def _converted(example: Example, *, data: DataOptions, scheme: Scheme, to: Scheme) -> tuple[str, ...]:
    tags = repair(example.tags, scheme, "conlleval" if data.repair == "refuse" else data.repair)
    try:
        return convert(tags, scheme, to)
    except TagError as problem:
        raise with_place(problem, [example], data) from None
    except DataError as problem:
        raise DataError(problem.message, file=example.source or None) from None


def _format_of(target: Target, named: str | None, source_format: str) -> str:
    """The target's format: the named one, or that of its extension; of a stream: ``source_format``."""
    if named is not None:
        return resolve_format(named)
    if not isinstance(target, str):
        return source_format
    if target.endswith("/") or Path(target).is_dir():
        return "threefile"
    return format_of_name(target) or "columns"
