"""CSV files with a header: a token a row, or a text a row (`structseq.data.tables`).

Fields are separated by commas, semicolons or tabs, whichever the header has first, and may be quoted. A column of spans
holds JSON, as in JSON lines.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from structseq.data.example import Example
from structseq.data.format_limits import FormatLimits
from structseq.data.listed_cells import with_lists
from structseq.data.table_rows import Origin, Row
from structseq.data.tables import SENTENCES, TAG, TAGS, TOKENS, Table, TableOptions, folded, with_table_options
from structseq.data.textfile import BOM, Source, Target, name_of, open_writer, read_lines
from structseq.errors import DataError

_QUOTED = re.compile(r'"(?:[^"]|"")*(?:"|$)')
_SEPARATOR = re.compile(r"[,;\t]")
_TO_QUOTE = re.compile(r'[,"\r\n]')
_NAMES = {"tokens": "token", "tags": "tag"}

# What is wrong with a file, by the words of Python's csv
_ADVICE = {
    "field larger": "expected fields of at most {limit:,} characters, found a longer one; close its quote, or cut it",
    "unexpected end": 'expected a closing quote, found the end of the file; write a quote in a quoted field twice ("")',
    "expected after": 'expected a separator after a quoted field, found text; write a quote in it twice ("")',
    "new-line": "expected lines that end in \\n or \\r\\n, found a bare \\r in a line; convert the line endings",
}


@with_table_options
def read_csv(source: Source, *, encoding: str = "utf-8", **options: Any) -> Iterator[Example]:
    """Yields the examples of a CSV file; `structseq.data.tables.TableOptions` has the other parameters.

    Raises `DataError` with file and line for a column that is missing or could be several, rows that differ in width,
    an empty token or tag, and bad quotes.
    """
    return _examples(source, encoding, TableOptions(**options))


def _examples(source: Source, encoding: str, options: TableOptions) -> Iterator[Example]:
    yield from csv_table(source, encoding).examples(options)


def csv_table(source: Source, encoding: str) -> Table:
    """The columns and rows of a file; raises as `read_csv` does."""
    name, lines = name_of(source), _without_mark(read_lines(source, encoding=encoding))
    head: list[str] = []
    for line in lines:
        head.append(line)
        if line.strip():
            break
    else:
        found = "only blank lines" if head else "an empty file"
        raise DataError(f"expected a header that names the columns, found {found}", file=name)
    records = _records(csv.reader(chain(head, lines), delimiter=_separator(head[-1]), strict=True), name)
    number, names = next(record for record in records if record[1])
    if twice := next((each for each in names if each and names.count(each) > 1), None):
        message = f"expected every column once, found {twice[:60]!r} twice; give one another name"
        raise DataError(message, file=name, line=number)
    if not {*TOKENS, *TAGS, *SENTENCES, "text"} & {folded(each) for each in names} and any(map(TAG.fullmatch, names)):
        message = f"expected a header that names the columns, found a row with a tag, {', '.join(names)[:60]!r}; "
        raise DataError(message + "write a line such as token,tag above it", file=name, line=number)
    origin = Origin(name, lines=True, header=number)
    return Table(names, with_lists(names, _rows(records, names, origin), origin), origin)


def _without_mark(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line.removeprefix(BOM)
        break
    yield from lines


def _separator(header: str) -> str:
    """The first separator outside quotes; a comma if there is none."""
    found = _SEPARATOR.search(_QUOTED.sub("", header))
    return found.group() if found else ","


def _records(reader: Iterator[list[str]], name: str) -> Iterator[tuple[int, list[str]]]:
    """The first line of each record, and its fields."""
    while True:
        line: int = reader.line_num + 1  # type: ignore[attr-defined]
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            advice = next((text for words, text in _ADVICE.items() if words in str(error)), f"found {error}")
            raise DataError(advice.format(limit=csv.field_size_limit()), file=name, line=line) from None
        yield line, fields


def _rows(records: Iterable[tuple[int, list[str]]], names: list[str], origin: Origin) -> Iterator[Row]:
    for line, fields in records:
        if len(fields) == len(names):
            yield line, fields
        elif not "".join(fields).strip():
            yield line, [""] * len(names)
        else:
            shown = ", ".join(names)[:100]
            found = f"{len(fields)} in {', '.join(fields)[:60]!r}"
            advice = "quote fields that contain the separator" if len(fields) > len(names) else "add what is missing"
            message = f"expected {len(names)} fields ({shown}), as in line {origin.header}, found {found}; {advice}"
            raise origin.error(message, line)


def write_csv(target: Target, examples: Iterable[Example], *, encoding: str = "utf-8") -> None:
    """Writes a token a row: the number of the sentence, the token, the further inputs, then the tag if there is one.

    Raises `DataError`, and writes no file, for metadata, a document boundary, an empty token, tag or sentence, and
    unequal columns.
    """
    limits = FormatLimits("a CSV file", name_of(target), documents=False, empty_sentences=False, metadata=frozenset())
    with open_writer(target, encoding=encoding) as file:
        header: list[str] = []
        for number, example in enumerate(examples, 1):
            names = limits.check(example)
            if not header:
                header = ["sentence", *(_NAMES.get(name, name) for name in names)]
                if twice := next((name for name in header if header.count(name) > 1), None):
                    raise limits.error(example, f"a further input called {twice!r}")
                file.write(_line(header))
            columns = {**example.inputs, **example.targets}
            for name in names:
                _check(columns[name], name, example, limits)
            for row in zip(*(columns[name] for name in names), strict=True):
                file.write(_line([str(number), *row]))
        if not header:
            file.write(_line(["sentence", *_NAMES.values()]))


def _check(column: Iterable[str], name: str, example: Example, limits: FormatLimits) -> None:
    longest = csv.field_size_limit()
    for value in column:
        if not value and name in _NAMES:
            raise limits.error(example, f"an empty value in {name}")
        if len(value) > longest:
            raise limits.error(example, f"a value of more than {longest:,} characters in {name}")


def _line(fields: Iterable[str]) -> str:
    # Not csv.writer, which leaves \r without quotes if lines end in \n
    quoted = ['"' + each.replace('"', '""') + '"' if _TO_QUOTE.search(each) else each for each in fields]
    return ",".join(quoted) + "\n"
