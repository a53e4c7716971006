"""Parquet files, as data frames and ``datasets`` write them; pyarrow reads them (the extra ``parquet``)."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from structseq.data.class_labels import (
    class_feature,
    features_of,
    list_feature,
    schema_metadata,
    value_feature,
)
from structseq.data.example import Example
from structseq.data.format_limits import FormatLimits
from structseq.data.frames import USE, plain_rows
from structseq.data.libraries import library
from structseq.data.table_rows import Origin
from structseq.data.tables import Table, TableOptions, with_table_options
from structseq.data.textfile import Source, Target, atomic_write, is_path, name_of, one_line, open_binary
from structseq.errors import DataError

MAGIC = b"PAR1"

_ROWS = 1000  # read at a time
_DOCUMENT = "starts_document"


@with_table_options
def read_parquet(source: Source, **options: Any) -> Iterator[Example]:
    """Yields the examples of a Parquet file; `structseq.data.tables.TableOptions` has the parameters.

    As `structseq.data.frames.read_frame`, in bounded memory.
    """
    library("pyarrow", USE)
    return _examples(source, TableOptions(**options))


def _examples(source: Source, options: TableOptions) -> Iterator[Example]:
    with parquet_table(source) as table:
        yield from table.examples(options)


@contextmanager
def parquet_table(source: Source) -> Iterator[Table]:
    """The columns and rows of a file, which is open in the block; raises `DataError` if it cannot be read."""
    parquet, name = library("pyarrow.parquet", USE), name_of(source)
    with open_binary(source) as stream:
        seekable = stream.seekable() and not isinstance(stream, gzip.GzipFile)
        with _readable(name):
            file = parquet.ParquetFile(stream if seekable else io.BytesIO(stream.read()))
            names, features = list(file.schema_arrow.names), features_of(file.schema_arrow.metadata)
        if twice := next((each for each in names if names.count(each) > 1), None):
            raise DataError(f"expected every column once, found {twice[:60]!r} twice", file=name)
        origin = Origin(name)
        yield Table(names, plain_rows(names, _rows(file, name), features, origin), origin)


def _rows(file: Any, name: str) -> Iterator[Sequence[Any]]:
    batches = file.iter_batches(batch_size=_ROWS)
    while True:
        with _readable(name):
            batch = next(batches, None)
            columns = [] if batch is None else [column.to_pylist() for column in batch.columns]
        if batch is None:
            return
        yield from zip(*columns, strict=True)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (library("pyarrow", USE).ArrowException, OSError, EOFError, ValueError, zlib.error) as error:
        why = one_line(str(error))[:160]
        raise DataError(f"expected a Parquet file, found one that cannot be read ({why})", file=name) from None


def write_parquet(target: Target, examples: Iterable[Example]) -> None:
    """Writes a sentence a row: lists of tokens, further inputs and tags, and a column for each name in the metadata.

    Tags are numbers, with their names in the metadata of the schema: ``datasets`` reads them as classes. Raises
    `DataError`, and writes no file, for metadata under the name of a column, and unequal columns.
    """
    pyarrow, parquet = library("pyarrow", USE), library("pyarrow.parquet", USE)
    limits, rows = FormatLimits("a Parquet file", name_of(target)), list(examples)
    columns = list(_content(rows, _columns(rows, limits), pyarrow))
    fields = [(name, kind) for name, _, kind, _ in columns]
    metadata = schema_metadata({name: feature for name, *_, feature in columns})
    try:
        arrays = [pyarrow.array(values, kind) for _, values, kind, _ in columns]
    except UnicodeEncodeError:
        raise DataError("expected characters, found half a surrogate pair; correct it", file=name_of(target)) from None
    table = pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields, metadata=metadata))
    with atomic_write(target) if is_path(target) else nullcontext(target) as stream:  # type: ignore[arg-type]
        parquet.write_table(table, stream)


def _content(rows: Sequence[Example], names: Sequence[str], pyarrow: Any) -> Iterator[tuple[str, list[Any], Any, Any]]:
    """Of each column: name, values, Arrow type, feature."""
    string, strings = pyarrow.string(), pyarrow.list_(pyarrow.string())
    for name in names:
        if name != "tags":
            yield name, [list(row.inputs[name]) for row in rows], strings, list_feature(value_feature("string"))
            continue
        classes = sorted({tag for row in rows for tag in row.targets["tags"]}, key=_outside_first)
        number = {tag: place for place, tag in enumerate(classes)}
        tags = [[number[tag] for tag in row.targets["tags"]] for row in rows]
        yield name, tags, pyarrow.list_(pyarrow.int64()), list_feature(class_feature(classes))
    for name in dict.fromkeys(name for row in rows for name in row.metadata):
        yield name, [row.metadata.get(name) for row in rows], string, value_feature("string")
    if any(row.starts_document for row in rows):
        yield _DOCUMENT, [row.starts_document for row in rows], pyarrow.bool_(), value_feature("bool")


def _columns(rows: Sequence[Example], limits: FormatLimits) -> tuple[str, ...]:
    names: tuple[str, ...] = ("tokens", "tags")
    for example in rows:
        names = limits.check(example)
        for name in example.metadata:
            if not name or name in (*names, _DOCUMENT):
                raise limits.error(example, f"metadata under the key {name!r}")
    if _DOCUMENT in names or "" in names:
        raise limits.error(rows[0], f"a further input called {_DOCUMENT!r} or ''")
    return names


def _outside_first(tag: str) -> tuple[bool, str]:
    return tag != "O", tag
