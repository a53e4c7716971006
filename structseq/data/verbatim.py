"""VerbatimBlock: an example with the text that it was read from, to write the file back with other tags alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from structseq.data.columns import check_columns, read_blocks
from structseq.data.conllu import Field, example_of, read_conllu_blocks, with_field
from structseq.data.example import Example
from structseq.data.jsonl import Keys, keys_of
from structseq.data.record import Record, read_records
from structseq.data.textfile import Source
from structseq.errors import DataError

Tags = Sequence[str]


@dataclass(frozen=True, slots=True)
class VerbatimBlock:
    """One sentence, or the lines between two; the texts of all blocks, joined, are the file.

    ``append`` adds tags to the text: a last column, a key ``predicted_tags``, a ``Predicted=`` in CoNLL-U's misc;
    ``retag`` replaces the gold tags. All else stays byte for byte.
    """

    text: str
    example: Example | None  # None for trailing comments and blank lines
    append: Callable[[Tags], str]
    retag: Callable[[Tags], str]
    line_of: Callable[[int], int]  # a token's line in the file, from 1


def of_columns(
    source: Source,
    *,
    token_column: int = 0,
    tag_column: int | None = -1,
    columns: Mapping[str, int] | None = None,
    tags: bool = True,
    **options: Any,
) -> Iterator[VerbatimBlock]:
    """The blocks of a column file; parameters as in `read_columns`."""
    further, gold = check_columns(columns), tag_column if tags else None
    for block in read_blocks(source, **options):
        example = block.example(token_column, gold, further) if block.rows else None
        retag = partial(block.replace, -1 if tag_column is None else tag_column)
        yield VerbatimBlock(block.text, example, block.append, retag, block.line_of)


def of_conllu(
    source: Source,
    *,
    field: str = "upos",
    columns: Mapping[str, str | int] | None = None,
    tags: bool = True,
    encoding: str = "utf-8",
) -> Iterator[VerbatimBlock]:
    """The blocks of a CoNLL-U file; parameters as in `read_conllu`."""
    gold = Field.of(field)
    further = {name: Field.of(of) for name, of in check_columns(columns).items()}
    predicted = Field.of("misc:Predicted")
    for block in read_conllu_blocks(source, encoding=encoding):
        example = example_of(block, gold if tags else None, further) if block.rows else None
        append, retag = (partial(with_field, block, into) for into in (predicted, gold))
        yield VerbatimBlock(block.text, example, append, retag, block.line_of)


def of_jsonl(source: Source, *, encoding: str = "utf-8", **options: Any) -> Iterator[VerbatimBlock]:
    """The blocks of a JSON-lines file; parameters as in `read_jsonl`."""
    keys = keys_of(**options)
    for record in read_records(source, encoding=encoding):
        example = None if record.values is None else keys.example(record)
        append, retag = partial(_append_to_record, record, keys), partial(_retag_record, record, keys)
        yield VerbatimBlock(record.text, example, append, retag, record.line_of)


def _append_to_record(record: Record, keys: Keys, tags: Tags) -> str:
    """A record with a text also gets its tokens, which the tags are of."""
    values = record.values or {}
    text = values and keys.token_key_of(values) is None
    tokens = {"tokens": list(keys.example(record).tokens)} if text else {}
    return record.with_values(**tokens, predicted_tags=list(tags))


def _retag_record(record: Record, keys: Keys, tags: Tags) -> str:
    values = record.values or {}
    if values and keys.token_key_of(values) is None:
        message = "spans of characters have no tags to rewrite; write the examples anew, as tokens and tags"
        raise DataError(message, file=record.file, line=record.line)
    return record.with_values(**{keys.tag_key_of(values) or "tags": list(tags)})
