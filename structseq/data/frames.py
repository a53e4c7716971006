"""Data frames (pandas, polars, pyarrow, through narwhals) and datasets of Hugging Face, read as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from inspect import getattr_static
from typing import Any

from structseq.data.class_labels import features_of, named_features, with_names
from structseq.data.example import Example
from structseq.data.libraries import library
from structseq.data.table_rows import Origin, Row
from structseq.data.tables import SPANS, Table, TableOptions, with_table_options
from structseq.data.textfile import one_line
from structseq.errors import DataError

USE = "tables of this kind"
_PLAIN = frozenset((str, int, bool, bytes, type(None)))
_MISSING = ("NAType", "NaTType")  # of pandas


def is_frame(source: object) -> bool:
    """Whether `read_frame` takes it, judged by its attributes."""
    # Without a call of properties, which lazy frames warn of
    named = any(getattr_static(source, name, None) for name in ("columns", "column_names", "__narwhals_dataframe__"))
    return named and not hasattr(source, "read")


@with_table_options
def read_frame(frame: Any, **options: Any) -> Iterator[Example]:
    """Yields the examples of a data frame or a dataset; `structseq.data.tables.TableOptions` has the parameters.

    Numbers of classes become their names, if the dataset has them. Raises `DataError` that names the row, from 0;
    `ConfigError` without narwhals.
    """
    checked = TableOptions(**options)
    names, rows, features = _opened(frame)
    return Table(names, plain_rows(names, rows, features, Origin()), Origin()).examples(checked)


def _opened(frame: Any) -> tuple[list[str], Iterable[Sequence[Any]], Mapping[str, Any]]:
    """The names of the columns, the rows, and the features of columns with classes."""
    if isinstance(frame, Mapping):
        parts = ", ".join(map(repr, list(frame)[:5]))
        raise DataError(f"expected a data frame or a dataset, found {type(frame).__name__} with {parts}; choose one")
    if hasattr(frame, "features") and hasattr(frame, "column_names"):
        features = frame.features.to_dict() if frame.features else {}
        names = list(frame.column_names or features or next(iter(frame), ()))
        return names, ([row.get(name) for name in names] for row in frame), named_features(features)
    data = eager_frame(frame)
    metadata = getattr(getattr(data.to_native(), "schema", None), "metadata", None)  # of Arrow
    return [str(name) for name in data.columns], data.iter_rows(), features_of(metadata)


def eager_frame(frame: Any, *, collect: bool = True) -> Any:
    """The frame as a `narwhals.DataFrame`; a lazy one is collected, or refused."""
    narwhals = library("narwhals", USE)
    try:
        data = narwhals.from_native(frame)
        if isinstance(data, narwhals.LazyFrame):
            if not collect:
                raise DataError("expected a data frame, found a lazy one; collect it first")
            data = data.collect()
        _ = data.columns
    except DataError:
        raise
    except Exception as error:  # of the libraries below
        why = one_line(str(error))[:120]
        advice = "give a frame of pandas, polars or pyarrow, or a dataset"
        raise DataError(f"expected a data frame, found {type(frame).__name__} ({why}); {advice}") from None
    return data


def plain_rows(
    names: Sequence[str], rows: Iterable[Sequence[Any]], features: Mapping[str, Any], origin: Origin
) -> Iterator[Row]:
    """Rows of plain values, with the names of classes, numbered from 0."""
    classes = [(at, features[name]) for at, name in enumerate(names) if name in features]
    spans = [at for at, name in enumerate(names) if name.lower() in SPANS]
    for number, row in enumerate(rows):
        values = [value if type(value) is str else plain(value) for value in row]
        try:
            for at, feature in classes:
                values[at] = with_names(values[at], feature)
        except DataError as error:
            raise origin.error(error.message, number) from None
        for at in spans:
            values[at] = _as_objects(values[at])
        yield number, values


def plain(value: Any) -> Any:
    """A cell as a plain value: arrays become lists, missing values None."""
    kind = type(value)
    if kind is float:  # pandas has NaN for what is missing
        return None if value != value else value
    if kind in _PLAIN:
        return value
    if kind is list or kind is tuple:
        return list(value) if set(map(type, value)) <= {str} else [plain(item) for item in value]
    if isinstance(value, str):
        return str(value)  # NumPy has its own
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    for name in ("tolist", "to_list"):  # of arrays and of series
        if hasattr(value, name):
            return plain(getattr(value, name)())
    return None if kind.__name__ in _MISSING else value


def _as_objects(value: Any) -> Any:
    """A list of spans that is stored as an object of lists."""
    if isinstance(value, dict) and value and all(isinstance(part, list) for part in value.values()):
        lengths = set(map(len, value.values()))
        if len(lengths) == 1:
            return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    return value
