"""Column files, written so that they are read back exactly, or refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from structseq.data.column_evidence import SAMPLE
from structseq.data.comments import BLANKS, Kind, Layout, is_boundary, is_plain_comment
from structseq.data.example import Example
from structseq.data.format_limits import FormatLimits
from structseq.data.textfile import BOM, Target, name_of, open_writer
from structseq.errors import ConfigError


def write_columns(
    target: Target, examples: Iterable[Example], *, separator: Literal["tab", "space"] = "tab", encoding: str = "utf-8"
) -> None:
    """Writes a column file: the token, the further inputs, then the tag if there is one.

    A document boundary becomes ``-DOCSTART-``, unless the metadata have ``newdoc``. Raises `DataError`, and writes no
    file, for white space in a field, an empty token or sentence, and unequal columns.
    """
    if separator not in ("tab", "space"):
        raise ConfigError(f"unknown separator {separator!r} to write; use 'tab' or 'space'")
    gap = "\t" if separator == "tab" else " "
    limits = FormatLimits("a column file", name_of(target), empty_sentences=False, blanks_in_metadata=False)
    known: list[str] = []
    hashed: list[tuple[Example, str]] = []  # sentences whose first row may be read as a comment
    with open_writer(target, encoding=encoding) as file:
        for number, example in enumerate(examples):
            names = limits.check(example)
            rows = _rows(example, names, gap, limits)
            known += [*rows, "\n"] if len(known) < SAMPLE else ()
            hashed += [(example, rows[0])] if rows[0][0] == "#" else ()
            fields = ["-DOCSTART-", *["-X-"] * (len(names) - 2), "O"][: max(len(names), 1)]
            head = write_head(example, limits, boundary=gap.join(fields) + "\n\n")
            text = "".join([*head, *rows, "\n"])
            file.write(BOM + text if number == 0 and text[0] == BOM else text)
        if hashed:
            layout = Layout(gap == "\t", len(names), 1).with_evidence(known)
            for example, row in hashed:
                if layout.kind(row, before_rows=True) is Kind.COMMENT:
                    advice = "; separate by tabs" if gap == " " else ""
                    raise limits.error(example, f"the row {row!r}, which is read as a comment{advice}")


def write_head(example: Example, limits: FormatLimits, *, boundary: str) -> Iterator[str]:
    """The lines before the rows: the document boundary and the metadata."""
    in_metadata = any(key.split(" ")[0] == "newdoc" for key in example.metadata)
    if in_metadata and not example.starts_document:
        raise limits.error(example, "metadata 'newdoc' for a sentence that starts no document")
    if example.starts_document and not in_metadata:
        yield boundary
    for key, value in example.metadata.items():
        line = f"# {key}\n" if key == "newpar" and not value else f"# {key} = {value}".rstrip(BLANKS) + "\n"
        if not is_plain_comment(line):
            raise limits.error(example, f"the metadata key {key!r}")
        yield line


def _rows(example: Example, names: Sequence[str], gap: str, limits: FormatLimits) -> list[str]:
    """Raises `DataError` if a row would be read as a boundary or a comment."""
    columns = {**example.inputs, **example.targets}
    fields = [columns[name] for name in names]
    for name, column in zip(names, fields, strict=True):
        limits.check_column(example, name, column, may_be_empty=gap == "\t" and name not in ("tokens", "tags"))
    rows = [gap.join(row) + "\n" for row in zip(*fields, strict=True)]
    if any(row[0] == "-" and is_boundary(row) for row in rows):
        raise limits.error(example, "the token -DOCSTART-, which is read as a document boundary")
    if "\t" not in rows[0] and is_plain_comment(rows[0]):
        raise limits.error(example, f"the row {rows[0]!r}, which is read as a comment; separate by tabs")
    return rows
