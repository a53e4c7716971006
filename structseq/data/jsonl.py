"""JSON lines: one object per line, with tokens and tags, or with a text and labelled spans of characters.

    {"tokens": ["to", "Taipei"], "tags": ["O", "B-city"]}                       also "words", "ner_tags"
    {"text": "to Taipei", "spans": [[3, 9, "city"]]}                            also "entities", "label", "labels"
    {"text": "to Taipei", "spans": [{"start": 3, "end": 9, "label": "city"}]}   also "start_offset", "end_offset"

Strings, such as the text, become metadata; lists of one string per token can be further inputs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from structseq.data.charspans import POLICIES, CharSpan, Misaligned, align
from structseq.data.columns import check_columns
from structseq.data.example import Example, VerbatimBlock, check_lengths
from structseq.data.format_limits import JSON_LINE, FormatLimits
from structseq.data.record import Record, preview, read_records
from structseq.data.textfile import Source, Target, name_of, open_writer
from structseq.data.tokenizer import Tokenizer, texts_of, tokenizer_of
from structseq.errors import ConfigError, DataError
from structseq.spans import Scheme, scheme_of

TOKEN_KEYS = ("tokens", "words")
TAG_KEYS = ("tags", "ner_tags")
SPAN_KEYS = ("spans", "entities", "label", "labels")

_RESERVED = frozenset((*TOKEN_KEYS, *TAG_KEYS, "starts_document"))


@dataclass(frozen=True, slots=True)
class Keys:
    """How a record becomes an example; a key of None stands for the usual keys."""

    tokenizer: Tokenizer  # cuts texts
    scheme: Scheme  # of tags made from spans
    misaligned: Misaligned = "error"  # for spans that cut a token, see align
    token_key: str | None = None
    tag_key: str | None = None
    text_key: str = "text"
    span_key: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)  # further inputs, name to key
    tags: bool = True  # whether tags and spans are read

    def example(self, record: Record) -> Example:
        """Raises `DataError` with the record's file and line."""
        try:
            return self._example(record)
        except DataError as error:
            raise DataError(error.message, file=record.file, line=record.line) from None

    def token_key_of(self, values: Mapping[str, Any]) -> str | None:
        """None if the record has a text instead of tokens."""
        return _key(values, self.token_key, TOKEN_KEYS)

    def tag_key_of(self, values: Mapping[str, Any]) -> str | None:
        """Of several usual keys, the one with a string for each token."""
        tokens = values.get(self.token_key_of(values) or "")
        count = len(tokens) if isinstance(tokens, list) else 0
        return _key(values, self.tag_key, TAG_KEYS, partial(_are_tags, count=count))

    def append(self, record: Record, tags: Sequence[str]) -> str:
        """The record's line with predicted tags, and with tokens if it has a text."""
        values = record.values or {}
        text = values and self.token_key_of(values) is None
        tokens = {"tokens": list(self.example(record).tokens)} if text else {}
        return record.with_values(**tokens, predicted_tags=list(tags))

    def retag(self, record: Record, tags: Sequence[str]) -> str:
        """The record's line with other tags; raises `DataError` if it has spans of characters."""
        values = record.values or {}
        if values and self.token_key_of(values) is None:
            message = "spans of characters have no tags to rewrite; write a new file with tokens and tags"
            raise DataError(message, file=record.file, line=record.line)
        return record.with_values(**{self.tag_key_of(values) or "tags": list(tags)})

    def _example(self, record: Record) -> Example:
        values = record.values or {}
        tokens = self.token_key_of(values)
        used = {tokens, *self.columns.values()}
        if tokens is not None:
            inputs, targets = {"tokens": _strings(values, tokens)}, {}
            if self.tags and (tags := self.tag_key_of(values)):
                targets["tags"] = _strings(values, tags)
            elif self.tags and any(isinstance(values.get(key), list) and values[key] for key in SPAN_KEYS):
                raise DataError("found tokens and spans but no tags; spans of characters need a text and no tokens")
        elif isinstance(values.get(self.text_key), str):
            inputs, targets = self._from_text(values)
        else:
            known = f"{self.token_key or 'tokens'!r} or {self.text_key!r}"
            raise DataError(f"expected a record with {known}, found {_listed(values)}")
        for name, key in self.columns.items():
            inputs[name] = _strings(values, key)
        check_lengths({**inputs, **targets})
        metadata = {key: v for key, v in values.items() if isinstance(v, str) and key not in used}
        return Example(inputs, targets, record.source, metadata, values.get("starts_document") is True)

    def _from_text(self, values: Mapping[str, Any]) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
        text = values[self.text_key]
        tokens = self.tokenizer(text)
        inputs = {"tokens": texts_of(tokens)}
        key = _key(values, self.span_key, SPAN_KEYS, _are_spans) if self.tags else None
        if self.tags and self.span_key is None and not (key and values[key]):
            _check_other_keys(values)
        if key is None:
            return inputs, {}
        if not isinstance(values[key], list):
            raise DataError(f"expected a list of spans under {key!r}, found {preview(values[key])}")
        spans = align(text, tokens, [_span(item) for item in values[key]], misaligned=self.misaligned)
        return inputs, {"tags": self.scheme.encode(spans, len(tokens))}


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
    encoding: str = "utf-8",
) -> Iterator[Example]:
    """Yields the records of a JSON-lines file as examples; `Keys` has the parameters.

    Raises `DataError` with file and line if a line is not a JSON object, has neither tokens nor a text, or has lists of
    unequal length; for spans as `align` does.
    """
    keys = keys_of(
        token_key=token_key, tag_key=tag_key, text_key=text_key, span_key=span_key, columns=columns, tags=tags,
        tokenizer=tokenizer, scheme=scheme, misaligned=misaligned,
    )  # fmt: skip
    return (keys.example(record) for record in read_records(source, encoding=encoding) if record.values is not None)


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
    tokenizer: str = "words-1",
    scheme: str | Scheme = "BIO",
    misaligned: Misaligned = "error",
    **keys: Any,
) -> Keys:
    """`Keys` from plain values; raises `ConfigError` for unknown names."""
    columns = check_columns(columns)
    for name, key in columns.items():
        if not isinstance(key, str):
            raise ConfigError(f"expected the key of the further input {name!r} in JSON lines, found {key!r}")
    if misaligned not in POLICIES:
        raise ConfigError(f"unknown policy misaligned={misaligned!r}; use one of {', '.join(POLICIES)}")
    tag_scheme = scheme_of(scheme) if isinstance(scheme, str) else scheme
    return Keys(columns=columns, tokenizer=tokenizer_of(tokenizer), scheme=tag_scheme, misaligned=misaligned, **keys)


def write_jsonl(
    target: Target,
    examples: Iterable[Example],
    *,
    layout: Literal["tokens", "spans"] = "tokens",
    tokenizer: str = "words-1",
    scheme: str | Scheme = "BIO",
    encoding: str = "utf-8",
) -> None:
    """Writes JSON lines with tokens and tags, or (``layout="spans"``) with a text and spans of characters.

    The text is ``metadata["text"]``, or the tokens joined by spaces. Raises `DataError`, and writes no file, for
    metadata under the name of a column, tokens that the tokenizer does not cut from the text, and illegal tags.
    """
    if layout not in ("tokens", "spans"):
        raise ConfigError(f"unknown layout {layout!r}; use 'tokens' or 'spans'")
    tokenize, tag_scheme = tokenizer_of(tokenizer), scheme_of(scheme) if isinstance(scheme, str) else scheme
    limits = FormatLimits(JSON_LINE, name_of(target), inputs=layout == "tokens")
    with open_writer(target, encoding=encoding) as file:
        for example in examples:
            limits.check(example, same_columns=False)
            content = {**example.inputs, **example.targets}
            if layout == "spans":
                content = _text_record(example, tokenize, tag_scheme, limits)
            for key, value in example.metadata.items():
                if key in _RESERVED or (key in content and content[key] != value):
                    raise limits.error(example, f"metadata under the key {key!r}")
                content[key] = value
            if example.starts_document:
                content["starts_document"] = True
            file.write(json.dumps(content, ensure_ascii=False) + "\n")


def _text_record(example: Example, tokenize: Tokenizer, scheme: Scheme, limits: FormatLimits) -> dict[str, Any]:
    text = example.metadata.get("text", " ".join(example.tokens))
    tokens = tokenize(text)
    if texts_of(tokens) != tuple(example.tokens):
        raise limits.error(example, f"tokens that the tokenizer does not cut from {text[:60]!r}")
    if "tags" not in example.targets:
        return {"text": text}
    spans = scheme.decode(example.tags)
    if scheme.encode(spans, len(tokens)) != example.tags:
        raise limits.error(example, f"tags that {scheme.name} does not write for their spans")
    return {"text": text, "spans": [[tokens[s.start].start, tokens[s.end - 1].end, s.label] for s in spans]}


def _key(
    values: Mapping[str, Any], named: str | None, usual: tuple[str, ...], fits: Callable[[list[Any]], bool] = bool
) -> str | None:
    """The key ``named``, or the first usual one with a list that fits, else with a list.

    Raises `DataError` if ``named`` is missing, or different lists fit, except for tokens.
    """
    if named is not None:
        if named not in values:
            raise DataError(f"expected the key {named!r}, found {_listed(values)}")
        return named
    lists = [key for key in usual if isinstance(values.get(key), list)]
    full = [key for key in lists if fits(values[key])]
    if usual != TOKEN_KEYS and any(values[key] != values[full[0]] for key in full):
        found = " and ".join(map(repr, full))
        raise DataError(f"expected one of the keys {', '.join(usual)}, found {found} with different values; keep one")
    return next(iter(full or lists), None)


def _are_tags(items: list[Any], count: int) -> bool:
    return len(items) == count and all(isinstance(item, str) for item in items)


def _are_spans(items: list[Any]) -> bool:
    return bool(items) and all(isinstance(item, list | dict) for item in items)


def _check_other_keys(values: Mapping[str, Any]) -> None:
    """Raises `DataError` if there are spans under a key that is not a usual one."""
    for key, items in values.items():
        if key in SPAN_KEYS or not isinstance(items, list) or not _are_spans(items):
            continue
        parts = [_parts(item) for item in items]
        if all(type(start) is int and type(end) is int for start, end, _ in parts):
            numbered = any(type(label) is int for *_, label in parts)
            names = ", and write the names of the labels instead of their numbers" if numbered else ""
            usual = ", ".join(map(repr, SPAN_KEYS))
            raise DataError(f"expected spans under one of the keys {usual}, found them under {key!r}; rename it{names}")


def _listed(values: Mapping[str, Any]) -> str:
    return "keys " + ", ".join(repr(key)[:40] for key in list(values)[:8]) if values else "no keys"


def _strings(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    column = values.get(key)
    if not isinstance(column, list):
        raise DataError(f"expected a list of strings under {key!r}, found {preview(column)}")
    for value in column:
        if not isinstance(value, str):
            number = isinstance(value, int) and not isinstance(value, bool)
            hint = "; write the names of the tags instead of their numbers" if number else ""
            raise DataError(f"expected strings under {key!r}, found {preview(value)}{hint}")
    return tuple(column)


def _span(item: Any) -> CharSpan:
    start, end, label = _parts(item)
    whole = type(start) is int and type(end) is int
    if not whole or not isinstance(label, str) or not label:
        hint = "; write the name of the label instead of its number" if whole and type(label) is int else ""
        raise DataError(
            f'expected a span [start, end, "label"] or an object with these keys, found {preview(item)}{hint}'
        )
    return CharSpan(start, end, label)


def _parts(item: Any) -> tuple[Any, Any, Any]:
    """Start, end and label of a span; None for what is missing. Raises `DataError` for the keys of older versions."""
    if isinstance(item, list) and len(item) == 3:
        return item[0], item[1], item[2]
    if isinstance(item, dict):
        if "start_char" in item or "end_char" in item:
            raise DataError(
                "expected characters under 'start' and 'end', found a span that has them under 'start_char' and "
                "'end_char'; rename 'start' to 'start_token', 'end' to 'end_token', then 'start_char' to 'start' and "
                "'end_char' to 'end'"
            )
        start, end = (item.get(side, item.get(f"{side}_offset")) for side in ("start", "end"))
        return start, end, item.get("label")
    return None, None, None
