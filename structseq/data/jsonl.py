"""JSON lines: one object per line, with tokens and tags, or with a text and labelled spans of characters.

    {"tokens": ["to", "Taipei"], "tags": ["O", "B-city"]}                       also "words", "ner_tags"
    {"text": "to Taipei", "spans": [[3, 9, "city"]]}                            also "entities", "label", "labels"
    {"text": "to Taipei", "spans": [{"start": 3, "end": 9, "label": "city"}]}   also "start_offset", "end_offset"

Strings, such as the text, become metadata; lists of one string per token can be further inputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from structseq.data.annotation.document import Document, Notes
from structseq.data.annotation.json_records import SPAN_KEYS, document_of, list_key, span_key_of
from structseq.data.annotation.json_values import listed
from structseq.data.annotation.offsets import Offsets
from structseq.data.annotation.policies import Fragments, Overlapping
from structseq.data.annotation.to_examples import Cutting, Split, cutting_of
from structseq.data.charspans import Misaligned
from structseq.data.columns import check_columns
from structseq.data.example import Example, VerbatimBlock, check_lengths
from structseq.data.format_limits import JSON_LINE, FormatLimits
from structseq.data.record import Record, preview, read_records
from structseq.data.textfile import Source, Target, name_of, open_writer
from structseq.errors import ConfigError, DataError
from structseq.spans import Scheme

TOKEN_KEYS = ("tokens", "words")
TAG_KEYS = ("tags", "ner_tags")

_RESERVED = frozenset((*TOKEN_KEYS, *TAG_KEYS, "starts_document"))


@dataclass(frozen=True, slots=True)
class Keys:
    """How a record becomes an example; a key of None stands for the usual keys."""

    cutting: Cutting  # of texts into tokens, and of their spans into tags
    token_key: str | None = None
    tag_key: str | None = None
    text_key: str = "text"
    span_key: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)  # further inputs, name to key
    labels: tuple[str, ...] = ()  # names of tags that are numbers
    offsets: Offsets = "auto"

    def example(self, record: Record) -> Example:
        """Raises `DataError` with the record's file and line; and if the record is cut into several sentences."""
        examples = self.examples(record)
        if len(examples) != 1:
            message = f"expected one sentence, found {len(examples)}; a file of lines of text cannot be rewritten"
            raise DataError(message, file=record.file, line=record.line)
        return examples[0]

    def examples(self, record: Record) -> list[Example]:
        """The sentences of a record, one unless ``cutting`` splits texts; raises `DataError` with file and line."""
        try:
            return [self._with_columns(example, record.values or {}) for example in self._examples(record)]
        except DataError as error:
            raise DataError(error.message, file=record.file, line=record.line) from None

    def token_key_of(self, values: Mapping[str, Any]) -> str | None:
        """The key of the tokens, if the record has some."""
        return _token_key(values, self.token_key)

    def has_text(self, values: Mapping[str, Any]) -> bool:
        """Whether the record is a text with spans, instead of tokens with tags."""
        if not isinstance(values.get(self.text_key), str):
            return False
        if self.token_key_of(values) is None:
            return True
        if not self.cutting.tags or self.token_key is not None or self.tag_key_of(values) is not None:
            return False
        spans = values.get(span_key_of(values, self.span_key) or "")
        return isinstance(spans, list) and all(isinstance(span, list | dict) for span in spans)

    def tag_key_of(self, values: Mapping[str, Any]) -> str | None:
        """Of several usual keys, the one with a string for each token; ``labels`` only if it has these."""
        tokens = values.get(self.token_key_of(values) or "")
        fits = partial(_are_tags, count=len(tokens) if isinstance(tokens, list) else 0)
        key = list_key(values, self.tag_key, TAG_KEYS, fits)
        labels = values.get("labels")
        return "labels" if key is None and tokens and isinstance(labels, list) and fits(labels) else key

    def append(self, record: Record, tags: Sequence[str]) -> str:
        """The record's line with predicted tags, and with tokens if it has a text."""
        values = record.values or {}
        text = values and self.token_key_of(values) is None
        tokens = {"tokens": list(self.example(record).tokens)} if text else {}
        return record.with_values(**tokens, predicted_tags=list(tags))

    def retag(self, record: Record, tags: Sequence[str]) -> str:
        """The record's line with other tags; raises `DataError` if it has spans of characters."""
        values = record.values or {}
        if values and self.has_text(values):
            message = "spans of characters have no tags to rewrite; write a new file with tokens and tags"
            raise DataError(message, file=record.file, line=record.line)
        return record.with_values(**{self.tag_key_of(values) or "tags": list(tags)})

    def _examples(self, record: Record) -> list[Example]:
        values = record.values or {}
        if self.has_text(values):
            return list(self.cutting.examples([self._document(record)]))
        tokens = self.token_key_of(values)
        if tokens is None:
            known = f"{self.token_key or 'tokens'!r} or {self.text_key!r}"
            raise DataError(f"expected a record with {known}, found {listed(values)}")
        inputs, targets = {"tokens": _strings(values, tokens)}, {}
        if self.cutting.tags and (tags := self.tag_key_of(values)):
            targets["tags"] = self._names(values, tags)
        elif self.cutting.tags and any(isinstance(values.get(key), list) and values[key] for key in SPAN_KEYS):
            raise DataError("found tokens and spans but no tags and no text; spans count the characters of a text")
        metadata = {key: v for key, v in values.items() if isinstance(v, str) and key != tokens}
        return [Example(inputs, targets, record.source, metadata, values.get("starts_document") is True)]

    def _document(self, record: Record) -> Document:
        values = record.values or {}
        if not self.cutting.tags:
            metadata = {key: value for key, value in values.items() if key != self.text_key}
            return Document(values[self.text_key], metadata=metadata, source=record.source)
        return document_of(
            values, self.text_key, self.span_key, source=record.source, offsets=self.offsets, notes=self.cutting.notes
        )

    def _with_columns(self, example: Example, values: Mapping[str, Any]) -> Example:
        """The example with its further inputs."""
        columns = {name: _strings(values, key) for name, key in self.columns.items()}
        inputs = {**example.inputs, **columns}
        check_lengths({**inputs, **example.targets})
        if not columns:
            return example
        metadata = {key: value for key, value in example.metadata.items() if key not in self.columns.values()}
        return replace(example, inputs=inputs, metadata=metadata)

    def _names(self, values: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """The tags, those that are numbers by their names."""
        tags = values[key]
        if not isinstance(tags, list) or not tags or not all(type(tag) is int for tag in tags):
            return _strings(values, key)
        if not self.labels:
            raise DataError(
                f"expected strings under {key!r}, found numbers {preview(tags)}; name the tags in their order with "
                """--set 'data.labels=["O","B-PER",...]', or write their names"""
            )
        if odd := [tag for tag in tags if not 0 <= tag < len(self.labels)]:
            raise DataError(
                f"expected numbers from 0 to {len(self.labels) - 1} (data.labels) under {key!r}, found {odd[0]}"
            )
        return tuple([self.labels[tag] for tag in tags])


def read_jsonl(
    source: Source,
    *,
    token_key: str | None = None,
    tag_key: str | None = None,
    text_key: str = "text",
    span_key: str | None = None,
    columns: Mapping[str, str] | None = None,
    tags: bool = True,
    tokenizer: str = "words-1",
    scheme: str | Scheme = "BIO",
    misaligned: Misaligned = "error",
    overlapping: Overlapping = "error",
    fragments: Fragments = "error",
    offsets: Offsets = "auto",
    split: Split = "auto",
    labels: Sequence[str] = (),
    notes: Notes | None = None,
    encoding: str = "utf-8",
) -> Iterator[Example]:
    """Yields the records of a JSON-lines file as examples; `Keys` and `Cutting` have the parameters.

    Raises `DataError` with file and line if a line is not a JSON object, has neither tokens nor a text, or has lists of
    unequal length; for spans as `align` does.
    """
    keys = keys_of(
        token_key=token_key, tag_key=tag_key, text_key=text_key, span_key=span_key, columns=columns, tags=tags,
        tokenizer=tokenizer, scheme=scheme, misaligned=misaligned, overlapping=overlapping, fragments=fragments,
        offsets=offsets, split=split, labels=labels, notes=notes,
    )  # fmt: skip
    records = (record for record in read_records(source, encoding=encoding) if record.values is not None)
    return (example for record in records for example in keys.examples(record))


def read_verbatim_jsonl(source: Source, *, encoding: str = "utf-8", **options: Any) -> Iterator[VerbatimBlock]:
    """As `read_jsonl`, but yields blocks."""
    keys = keys_of(**options)
    for record in read_records(source, encoding=encoding):
        example = None if record.values is None else keys.example(record)
        append, retag = partial(keys.append, record), partial(keys.retag, record)
        yield VerbatimBlock(record.text, example, append, retag, record.line_of)


def keys_of(
    *,
    columns: Mapping[str, str] | None = None,
    labels: Sequence[str] = (),
    token_key: str | None = None,
    tag_key: str | None = None,
    text_key: str = "text",
    span_key: str | None = None,
    offsets: Offsets = "auto",
    **cutting: Any,
) -> Keys:
    """`Keys` from plain values; raises `ConfigError` for unknown names."""
    columns = check_columns(columns)
    for name, key in columns.items():
        if not isinstance(key, str):
            raise ConfigError(f"expected the key of the further input {name!r} in JSON lines, found {key!r}")
    return Keys(
        cutting_of(**cutting), token_key, tag_key, text_key, span_key, columns, tuple(labels), offsets
    )  # fmt: skip


def write_jsonl(target: Target, examples: Iterable[Example], *, encoding: str = "utf-8") -> None:
    """Writes JSON lines with tokens and tags.

    Raises `DataError`, and writes no file, for metadata under the name of a column.
    """
    limits = FormatLimits(JSON_LINE, name_of(target))
    with open_writer(target, encoding=encoding) as file:
        for example in examples:
            limits.check(example, same_columns=False)
            content = {**example.inputs, **example.targets}
            for key, value in example.metadata.items():
                if key in _RESERVED or (key in content and content[key] != value):
                    raise limits.error(example, f"metadata under the key {key!r}")
                content[key] = value
            if example.starts_document:
                content["starts_document"] = True
            file.write(json.dumps(content, ensure_ascii=False) + "\n")


def _token_key(values: Mapping[str, Any], named: str | None) -> str | None:
    """Of several usual keys, the first with a list that is not empty."""
    if named is not None:
        return list_key(values, named, (), bool)
    lists = [key for key in TOKEN_KEYS if isinstance(values.get(key), list)]
    return next((key for key in lists if values[key]), next(iter(lists), None))


def _are_tags(items: list[Any], count: int) -> bool:
    return len(items) == count and all(isinstance(item, str) for item in items)


def _strings(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    column = values.get(key)
    if not isinstance(column, list):
        raise DataError(f"expected a list of strings under {key!r}, found {preview(column)}")
    for value in column:
        if not isinstance(value, str):
            raise DataError(f"expected strings under {key!r}, found {preview(value)}")
    return tuple(column)
