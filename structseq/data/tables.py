"""Tables: which columns hold tokens, tags, texts or spans, and examples made of their rows.

A row is a token (a column names its sentence, or blank rows come between sentences), a sentence (lists of tokens and
tags), or a text (and a list of spans).
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, TypeVar

from structseq.data.annotation.document import Notes
from structseq.data.annotation.offsets import Offsets
from structseq.data.annotation.policies import Fragments, Overlapping
from structseq.data.annotation.to_examples import Split
from structseq.data.charspans import Misaligned
from structseq.data.columns import check_columns
from structseq.data.example import Example
from structseq.data.jsonl import TOKEN_KEYS, Keys, keys_of
from structseq.data.record import Record, reject_duplicate_keys
from structseq.data.table_rows import Origin, Roles, Row, TokenRows
from structseq.errors import ConfigError, DataError
from structseq.spans import Scheme

Column = int | str

TOKENS = ("token", "tokens", "word", "words")
TAGS = ("tag", "tags", "ner", "ner_tag", "ner_tags", "label", "labels")
SENTENCES = (
    *("sentence #", "sentence_id", "sentence id", "sent_id", "sentence_number", "sentence number", "sentence_idx"),
    "sentence",
)
SPANS = ("spans", "entities")

# Rows that show what the columns hold
_SAMPLE = 100
_SPAN = re.compile(r'\s*\[\s*\{[^{}]*"start"\s*:\s*\d')
TAG = re.compile(r"O|[BIESLUM]-\S+")
_LIST = re.compile(r"""\[\s*['"].*['"]\s*\]""", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """Columns, by name or number; the others as in `structseq.data.jsonl.read_jsonl`.

    The columns of tokens (0), tags (-1), sentences, texts and spans (None) are found by their names. ``columns`` are
    further inputs by name.
    """

    token_column: Column = 0
    tag_column: Column | None = -1
    sentence_column: Column | None = None
    text_column: Column | None = None
    span_column: Column | None = None
    columns: Mapping[str, Column] | None = None
    tags: bool = True
    labels: Sequence[str] = ()
    tokenizer: str = "words-1"
    scheme: str | Scheme = "BIO"
    misaligned: Misaligned = "error"
    overlapping: Overlapping = "error"
    fragments: Fragments = "error"
    offsets: Offsets = "auto"
    split: Split = "auto"
    notes: Notes | None = None

    def __post_init__(self) -> None:
        self._keys()  # raises for unknown names
        for name, column in check_columns(self.columns).items():
            if isinstance(column, bool) or not isinstance(column, int | str):
                raise ConfigError(f"expected a name or a number for the further input {name!r}, found {column!r}")

    def keys(self, names: Sequence[str], roles: Roles) -> Keys:
        """For rows that are sentences or texts."""
        sentences = roles.rows == "sentences"
        tokens, tags, spans = (None if at is None else names[at] for at in (roles.tokens, roles.tags, roles.spans))
        return self._keys(
            token_key=tokens if sentences else None,
            tag_key=tags,
            text_key="text" if roles.text is None else names[roles.text],
            span_key=spans,
            columns={name: names[at] for name, at in roles.further.items()},
            tags=self.tags and self.tag_column is not None and not (sentences and roles.tags is None),
            labels=self.labels,
        )

    def _keys(self, **options: Any) -> Keys:
        return keys_of(
            tokenizer=self.tokenizer, scheme=self.scheme, misaligned=self.misaligned, overlapping=self.overlapping,
            fragments=self.fragments, offsets=self.offsets, split=self.split, notes=self.notes, **options,
        )  # fmt: skip


Reader = TypeVar("Reader", bound=Callable[..., Any])


def with_table_options(reader: Reader) -> Reader:
    """Puts the keywords of `TableOptions` into the signature, in the place of ``**options``."""
    signature = inspect.signature(reader)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    keywords = inspect.signature(TableOptions).parameters.values()
    reader.__signature__ = signature.replace(parameters=[*own, *keywords])  # type: ignore[attr-defined]
    return reader


@dataclass(frozen=True, slots=True)
class Table:
    """The names of the columns, and the rows, which can be read once."""

    names: Sequence[str]
    rows: Iterable[Row]
    origin: Origin

    def examples(self, options: TableOptions) -> Iterator[Example]:
        """Raises `DataError` that names the row."""
        roles, rows, _ = self._found(options)
        if roles.rows == "tokens":
            notes = Notes() if options.notes is None else options.notes
            yield from TokenRows(self.names, roles, self.origin, options.labels, notes).sentences(rows)
        else:
            yield from _records(self.names, rows, roles, self.origin, options)

    def unread(self, options: TableOptions) -> list[str]:
        """The names of the columns that are no part of the examples."""
        roles, _, first = self._found(options)
        used = {roles.tokens, roles.tags, roles.sentence, roles.text, roles.spans, *roles.further.values()}
        strings = [at for at in first if roles.rows != "tokens" and isinstance(first[at], str)]  # metadata
        others = (name for at, name in enumerate(self.names) if at in first and at not in (*used, *strings))
        return [name for name in others if name and not (name == "starts_document" and roles.rows == "sentences")]

    def _found(self, options: TableOptions) -> tuple[Roles, Iterator[Row], Mapping[int, Any]]:
        """The roles, all rows, and of each column the first value that is not missing."""
        rows, names = iter(self.rows), self.names
        head: list[Row] = []
        first: dict[int, Any] = {}
        for row in rows:
            head.append(row)
            first |= {at: value for at, value in enumerate(row[1]) if value not in (None, "") and at not in first}
            if len(first) == len(names) or len(head) == _SAMPLE:
                break
        try:
            roles = _Finder(names, first, options).roles()
        except DataError as error:
            raise self.origin.error(error.message, self.origin.header) from None
        if roles.rows == "texts" and roles.spans is None and options.text_column is None:
            head += islice(rows, _SAMPLE) if self._tag_beside_word(roles, head) is not None else ()
            tag = self._tag_beside_word(roles, head)
            if tag is not None and len(head) > 1:
                text, tags = (self.names[at] for at in (roles.text or 0, tag))
                advice = f"--set data.token_column={text} --set data.tag_column={tags}, or text_column={text}"
                raise self.origin.error(
                    f"expected texts in the column {text!r}, found a word a row with tags in {tags!r}; use {advice}",
                    self.origin.header,
                )
        return roles, chain(head, rows), first

    def _tag_beside_word(self, roles: Roles, rows: Sequence[Row]) -> int | None:
        """The column with a tag of a scheme in each row, if each text is a word."""
        full = [values for _, values in rows if any(values)]
        words = all(
            isinstance(values[roles.text or 0], str) and not set(" \t\n") & {*values[roles.text or 0]}
            for values in full
        )
        tags = [at for at, name in enumerate(self.names) if folded(name) in TAGS and at != roles.text]
        return next((at for at in tags if words and all(TAG.fullmatch(str(values[at])) for values in full)), None)


@dataclass(frozen=True, slots=True)
class _Finder:
    """Finds the roles of the columns."""

    names: Sequence[str]
    first: Mapping[int, Any]
    options: TableOptions

    def roles(self) -> Roles:
        options = self.options
        further = {
            name: self._at(column, f"columns={{{name!r}: ...}}") for name, column in (options.columns or {}).items()
        }
        used = set(further.values())
        tokens, text = self._tokens(used), self._text(used)
        explicit = (options.token_column != 0, options.text_column is not None)
        if tokens is not None and text is not None and explicit != (True, True) and any(explicit):
            tokens, text = (tokens, None) if explicit[0] else (None, text)
        lists = tokens is not None and isinstance(self.first.get(tokens), list)
        if tokens is not None and text is not None and not lists:
            raise self._error(
                f"tokens or texts, found both, {self.names[tokens]!r} and {self.names[text]!r}; name one by "
                "token_column=NAME or text_column=NAME"
            )
        if tokens is not None and not (text is not None and self._spans_instead(used)):
            return self._token_roles(tokens, lists, further)
        if text is None:
            raise self._error(
                "a header with a column of tokens (token, word) or of texts (text), found none; if the first row is no "
                "header, write one above it (token,tag); else name the column of the tokens by token_column=NAME "
                "(--set data.token_column=NAME), or that of the texts by text_column=NAME"
            )
        spans = None if options.span_column is None else self._at(options.span_column, "span_column")
        if spans is None:
            spans = self._only(self._spans({*used, text}), "column of spans", "span_column")
        return Roles("texts", further, tokens, text=text, spans=spans)

    def _spans(self, used: set[int]) -> list[int]:
        """The column of the usual name, else those that hold spans as Label Studio writes them to CSV."""
        found = self._named(SPANS, used)
        if len(found) == 1 or any(isinstance(self.first.get(at), list) for at in self._named(TAGS, used)):
            return found if len(found) == 1 else []
        return [at for at, value in self.first.items() if at not in used and _SPAN.match(str(value))]

    def _spans_instead(self, used: set[int]) -> bool:
        """Whether there are spans of characters and no tags."""
        options = self.options
        if not options.tags or options.tag_column != -1 or options.token_column != 0:
            return False
        spans, tags = ([isinstance(self.first.get(at), list) for at in self._named(n, used)] for n in (SPANS, TAGS))
        return any(spans) and not any(tags)

    def _token_roles(self, tokens: int, lists: bool, further: Mapping[str, int]) -> Roles:
        used = {tokens, *further.values()}
        sentence = None
        if not lists:
            if self.options.sentence_column is not None:
                sentence = self._at(self.options.sentence_column, "sentence_column")
            elif found := self._named(SENTENCES, used):
                sentence = min(found, key=lambda at: SENTENCES.index(folded(self.names[at])))
        used |= set() if sentence is None else {sentence}
        tags = self._tags(used, len(self.first[tokens]) if lists else None)
        if tags == tokens:
            raise self._error(f"two columns for tokens and tags, found {self.names[tokens]!r} for both")
        for at, what in ((tokens, "a token"), (tags, "a tag")):
            if at is not None and not lists and _LIST.fullmatch(str(self.first.get(at, ""))):
                raise DataError(
                    f"expected {what} in each row of {self.names[at]!r}, found lists written as text, "
                    f"{str(self.first[at])[:60]!r}, in some rows or without commas; write Parquet or JSON lines"
                )
        return Roles("sentences" if lists else "tokens", further, tokens, tags, sentence)

    def _tokens(self, used: set[int]) -> int | None:
        if self.options.token_column != 0:
            return self._at(self.options.token_column, "token_column")
        found = self._named(TOKENS, used)
        found = [at for at in found if isinstance(self.first.get(at), list)] or found
        return self._only(found, "column of tokens", "token_column")

    def _text(self, used: set[int]) -> int | None:
        if self.options.text_column is not None:
            return self._at(self.options.text_column, "text_column")
        found = [at for at in self._named(("text",), used) if not isinstance(self.first.get(at), list)]
        return self._only(found, "column of texts", "text_column")

    def _tags(self, used: set[int], length: int | None) -> int | None:
        """``length``: the number of tokens in a list."""
        column, lists = self.options.tag_column, length is not None
        if column is None or not self.options.tags:
            return None
        if column != -1:
            return self._at(column, "tag_column")
        found = [at for at in self._named(TAGS, used) if isinstance(self.first.get(at), list) == lists]
        if found:
            return self._only(found, "column of tags", "tag_column")
        others = [at for at, name in enumerate(self.names) if name and at not in used]
        if length is not None:  # a list of another length cannot be tags
            if any(isinstance(self.first.get(at), list) for at in self._named(SPANS, used)):
                raise self._error("tags for the tokens, or a text for the spans, found neither")
            others = [at for at in others if _is_list_of(self.first.get(at), length)]
        if others:
            raise self._error(
                "a column of tags (tag, ner_tags), found none; name it by tag_column=NAME (--set data.tag_column=NAME)"
            )
        return None

    def _named(self, known: Sequence[str], used: set[int]) -> list[int]:
        return [at for at, name in enumerate(self.names) if at not in used and folded(name) in known]

    def _only(self, found: Sequence[int], what: str, option: str) -> int | None:
        if len(found) > 1:
            named = " and ".join(repr(self.names[at]) for at in found)
            advice = f"{option}=NAME" if option == "text_column" else f"{option}=NAME (--set data.{option}=NAME)"
            raise self._error(f"one {what}, found {named}; name it by {advice}")
        return found[0] if found else None

    def _at(self, column: Column, option: str) -> int:
        """The place of a column that was named."""
        if isinstance(column, int):
            if -len(self.names) <= column < len(self.names):
                return column % len(self.names)
        elif column in self.names:
            return self.names.index(column)
        elif len(same := [at for at, name in enumerate(self.names) if folded(name) == folded(column)]) == 1:
            return same[0]
        raise self._error(f"the column {column!r} ({option}), found none; correct the name")

    def _error(self, expected: str) -> DataError:
        listed = ", ".join(repr(name[:40]) for name in self.names[:20]) + ", ..." * (len(self.names) > 20)
        return DataError(f"expected {expected}; the columns are {listed or 'none'}")


def folded(name: str) -> str:
    return name.strip().casefold()


def _is_list_of(value: Any, length: int) -> bool:
    return isinstance(value, list) and len(value) == length and all(type(item) in (str, int) for item in value)


def _records(
    names: Sequence[str], rows: Iterable[Row], roles: Roles, origin: Origin, options: TableOptions
) -> Iterator[Example]:
    """Examples of rows that are sentences or texts."""
    keys, what = options.keys(names, roles), "a text" if roles.rows == "texts" else "a list of tokens"
    untagged = replace(keys, tag_key=None, span_key=None, cutting=replace(keys.cutting, tags=False))
    main, answer = (roles.text, roles.spans) if roles.rows == "texts" else (roles.tokens, roles.tags)
    assert main is not None
    decoded = _json_columns(names, roles) if origin.lines or roles.spans is not None else []
    others = TOKEN_KEYS if roles.rows == "texts" and roles.tokens is None and not origin.lines else ()
    for number, values in rows:
        if origin.lines and not any(values):
            continue
        if values[main] is None:
            missing = f"expected {what} in the column {names[main]!r}, found a missing value; fill or drop such rows"
            raise origin.error(missing, number)
        record = {name: value for name, value in zip(names, values, strict=True) if name and value is not None}
        for name in others:
            record.pop(name, None)
        try:
            record |= {names[at]: _decoded(values[at], names[at]) for at in decoded if isinstance(values[at], str)}
            bare = answer is not None and record.get(names[answer]) is None
            examples = (untagged if bare else keys).examples(Record("", record))
        except DataError as error:
            raise origin.error(error.message, number) from None
        for example in examples:
            yield replace(example, source=origin.source(number))


def _json_columns(names: Sequence[str], roles: Roles) -> list[int]:
    """The columns that hold spans, in a text file as JSON."""
    if roles.spans is not None:
        return [roles.spans]
    return [at for at, name in enumerate(names) if name in SPANS and at not in roles.further.values()]


def _decoded(value: str, name: str) -> Any:
    if not value.strip():
        return None
    try:
        decoded = json.loads(value, object_pairs_hook=reject_duplicate_keys)
        json.dumps(decoded, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as problem:
        what = str(problem) if not isinstance(problem, UnicodeEncodeError) else "half a surrogate pair"
        message = f'expected spans in the column {name!r} as JSON, such as [[0, 5, "label"]], found {value[:60]!r}'
        raise DataError(f"{message} ({what}); correct it") from None
    return decoded
