"""Tag the rows of a data frame: a row for each entity or token, or a new column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from structseq.data.example import Example
from structseq.data.frames import USE, eager_frame, plain
from structseq.data.libraries import library
from structseq.errors import ConfigError, DataError
from structseq.inference.preprocessor import Preprocessor
from structseq.tasks.answers import Tagging, TextToken

Layout = Literal["rows", "column"]

# The names of columns with lists of tokens
_TOKENS = ("tokens", "words")
_PLACES = ("start", "end", "start_token", "end_token")


def tag_frame(
    frame: Any,
    preprocessor: Preprocessor,
    tag: Callable[[Iterator[Example]], Iterator[Tagging]],
    *,
    plain_tags: bool,
    text: str | None,
    tokens: str | None,
    id: str | None,
    layout: Layout,
    confidence: bool,
) -> Any:
    """See `Tagger.tag_frame`; ``tag`` answers a stream of sentences."""
    if layout not in ("rows", "column"):
        raise ConfigError(f"unknown layout {layout!r}; use 'rows' or 'column'")
    if layout == "column" and id is not None:
        raise ConfigError(f"id={id!r} is for layout='rows'; with layout='column' the frame keeps its columns")
    data = eager_frame(frame, collect=False)
    kind, name = _source(data, text, tokens)
    if id is not None:
        _check(data, id, "id")
    sentences = (_texts if kind == "text" else _sentences)(preprocessor, data, name)
    records = ([*_records(each, confidence)] for each in tag(sentences))
    output = _Output(data, "tag" if plain_tags else "label", confidence)
    return (output.column(records) if layout == "column" else output.rows(records, id)).to_native()


def _source(data: Any, text: str | None, tokens: str | None) -> tuple[str, str]:
    """Whether the frame has texts or tokens, and in which column."""
    if text is not None and tokens is not None:
        raise ConfigError(f"found text={text!r} and tokens={tokens!r}; name one of them")
    if text is not None:
        return "text", _check(data, text, "text")
    if tokens is not None:
        return "tokens", _check(data, tokens, "tokens")
    found = [name for name in ("text", *_TOKENS) if name in data.columns]
    if len(found) != 1:
        both = " and ".join(map(repr, found)) or "none"
        raise DataError(
            f"expected one column 'text', 'tokens' or 'words', found {both}; name it by text=NAME or tokens=NAME; "
            f"the columns are {', '.join(map(repr, data.columns))}"
        )
    return ("text" if found == ["text"] else "tokens"), found[0]


def _check(data: Any, name: str, option: str) -> str:
    if name not in data.columns:
        listed = ", ".join(map(repr, data.columns))
        raise DataError(f"expected the column {name!r} ({option}), found none; the columns are {listed}")
    return name


def _texts(preprocessor: Preprocessor, data: Any, name: str) -> Iterator[Example]:
    for number, (value,) in enumerate(data.select(name).iter_rows()):
        text = _cell(value, number, name, str, "a text")
        yield preprocessor.text(text, f"row {number}")


def _sentences(preprocessor: Preprocessor, data: Any, name: str) -> Iterator[Example]:
    columns = [_check(data, column, "which the model was trained with") for column in preprocessor.columns]
    for number, row in enumerate(data.select(*dict.fromkeys([name, *columns])).iter_rows(named=True)):
        given = {"tokens": _cell(row[name], number, name, list, "a list of tokens")}
        given |= {column: _cell(row[column], number, column, list, "a list of strings") for column in columns}
        yield preprocessor.example(given, f"row {number}")


def _cell(value: Any, number: int, name: str, kind: type, what: str) -> Any:
    value = plain(value)
    if not isinstance(value, kind):
        found = "a missing value; fill or drop such rows" if value is None else f"{type(value).__name__} {value!r:.60}"
        raise DataError(f"row {number}: expected {what} in the column {name!r}, found {found}")
    return value


def _records(tagging: Tagging, confidence: bool) -> Iterator[dict[str, Any]]:
    """Of each entity, or of each token with a plain tag."""
    if not tagging.scheme.plain:
        for span in tagging.spans:
            places = (span.start_char, span.end_char, span.start, span.end)
            record = {**dict(zip(_PLACES, places, strict=True)), "label": span.label, "text": span.text}
            yield {**record, "confidence": span.confidence} if confidence else record
        return
    confidences = tagging.confidence or (None,) * len(tagging)
    for place, (token, tag, share) in enumerate(zip(tagging.tokens, tagging.tags, confidences, strict=True)):
        characters = (token.start, token.end) if isinstance(token, TextToken) else (None, None)
        record = dict(zip(_PLACES, (*characters, place, place + 1), strict=True)) | {"tag": tag, "text": str(token)}
        yield {**record, "confidence": share} if confidence else record


class _Output:
    """Makes frames of the same kind as ``data``."""

    def __init__(self, data: Any, label: str, confidence: bool) -> None:
        self.data, self.narwhals = data, library("narwhals", USE)
        whole, string = self.narwhals.Int64(), self.narwhals.String()
        self.kinds = {**dict.fromkeys(_PLACES, whole), label: string, "text": string}
        if confidence:
            self.kinds["confidence"] = self.narwhals.Float64()
        self.name = "tags" if label == "tag" else "spans"

    def rows(self, records: Iterator[Sequence[dict[str, Any]]], id: str | None) -> Any:
        if id in self.kinds:
            raise DataError(f"the column id={id!r} has the name of a column of the answers; rename it")
        places: list[int] = []
        columns: dict[str, list[Any]] = {name: [] for name in self.kinds}
        for number, found in enumerate(records):
            places += [number] * len(found)
            for record in found:
                for name, value in record.items():
                    columns[name].append(value)
        if id is None:
            columns, kinds = {"row": places, **columns}, {"row": self.narwhals.Int64(), **self.kinds}
            return self._frame(columns, kinds)
        # Of the frame itself, to keep the type of the column
        names = self.narwhals.maybe_reset_index(self.data.select(id)[places])
        return names.with_columns(*self._frame(columns, self.kinds).iter_columns())

    def _frame(self, columns: dict[str, list[Any]], kinds: dict[str, Any]) -> Any:
        if self.data.implementation.is_pandas_like():  # NumPy's whole numbers cannot be missing
            floats = {name: self.narwhals.Float64() for name, column in columns.items() if None in column}
            kinds = {**kinds, **floats}
        return self.narwhals.from_dict(columns, kinds, backend=self.data.implementation)

    def column(self, records: Iterator[Sequence[dict[str, Any]]]) -> Any:
        if self.name in self.data.columns:
            raise DataError(f"expected no column {self.name!r}, the name of the answers, found one; rename it")
        struct = self.narwhals.List(self.narwhals.Struct(self.kinds))
        kind = None if self.data.implementation.is_pandas_like() else struct
        values = [list(found) for found in records]
        column = self.narwhals.new_series(self.name, values, kind, backend=self.data.implementation)
        return self.data.with_columns(column)
