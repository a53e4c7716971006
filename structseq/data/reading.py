"""Read corpora, and choose the format of a file."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from structseq.data.annotation.document import Notes
from structseq.data.column_evidence import is_span_tag
from structseq.data.comments import is_boundary, is_plain_comment
from structseq.data.example import Example, VerbatimBlock
from structseq.data.formats import detect_format, read, read_verbatim, resolve_format
from structseq.data.options import DataOptions
from structseq.data.record import read_records
from structseq.data.textfile import Source, is_path, name_of, peek, text_lines
from structseq.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Corpus:
    """Training examples, examples for choosing the best epoch, and test examples."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...] = ()
    test: tuple[Example, ...] = ()

    @staticmethod
    def read(
        train: Source, dev: Source | None = None, test: Source | None = None, *, format: str = "auto", **options: Any
    ) -> Corpus:
        """A corpus from files; ``format`` and ``options`` as in `structseq.data.formats.read`."""
        parts = [() if part is None else tuple(read(part, format, **options)) for part in (train, dev, test)]
        return Corpus(*parts)


def reader_options(data: DataOptions, *, tags: bool = True, notes: Notes | None = None) -> dict[str, Any]:
    """The keyword arguments of `formats.read`; without ``tags`` no gold tags are read, for files to predict for.

    ``notes`` count what the reader leaves out or decides.
    """
    options = data.model_dump(exclude={"format", "repair", "label"})
    # Only records with spans use the scheme, to write them as tags.
    scheme = "BIO" if data.scheme == "auto" else data.scheme
    columns = {name: options[name] or None for name in ("sentence_column", "text_column", "span_column")}
    keys = {
        "token_key": data.token_column if isinstance(data.token_column, str) else None,
        "tag_key": data.tag_column if isinstance(data.tag_column, str) else None,
        "text_key": data.text_column or "text",
        "span_key": data.span_column or None,
    }
    return {**options, **columns, **keys, "audio": data.audio, "scheme": scheme, "tags": tags, "notes": notes}


def read_examples(
    path: str | Path, data: DataOptions, *, tags: bool = True, notes: Notes | None = None
) -> list[Example]:
    """All examples of a file; raises `DataError` if it cannot be read or is empty."""
    return list(stream_examples(path, data, tags=tags, notes=notes))


def stream_examples(
    path: str | Path, data: DataOptions, *, tags: bool = True, notes: Notes | None = None
) -> Iterator[Example]:
    """As `read_examples`, one at a time."""
    example = None
    for example in read(path, data.format, **reader_options(data, tags=tags, notes=notes)):
        yield example
    if example is None:
        raise DataError("expected sentences, found none", file=path)


def with_labels(examples: Iterable[Example], key: str) -> list[Example]:
    """Copies of the examples with the metadata ``key`` as their target ``label``.

    Raises `DataError`, with file and line, if a label is missing, empty or not a string.
    """
    labelled = []
    for example in examples:
        label = example.metadata.get(key, "")
        if not label:
            file, _, number = example.source.rpartition(":")
            line = int(number) if number.isdigit() else None
            found = _found_instead(example, key, _record(file, line))
            raise DataError(f"expected a label under {key!r}, found {found}", file=file or None, line=line)
        labelled.append(replace(example, targets={**example.targets, "label": label}))
    return labelled


def _found_instead(example: Example, key: str, record: Mapping[str, Any]) -> str:
    if key in example.metadata:
        return "an empty one; write the label there or remove the example"
    if key in record:
        kind = "the number " if type(record[key]) in (int, float) else ""
        return f"{kind}{json.dumps(record[key], ensure_ascii=False)[:80]}; write the label as a string, in quotes"
    if not example.metadata:
        where = f"as '# {key} = ...' before the sentence, in JSON lines under {key!r}, or beside the text"
        return (
            f"nothing; write it {where} under a first line '{key} TAB text', or name the key with --set data.label=KEY"
        )
    return f"{', '.join(map(repr, example.metadata))}; name the key with --set data.label=KEY"


def _record(file: str, line: int | None) -> Mapping[str, Any]:
    with suppress(DataError):
        if Path(file).is_file():  # a pipe cannot be read again
            return next((found.values or {} for found in read_records(file) if found.line == line), {})
    return {}


def file_format(file: str | Path, data: DataOptions) -> str:
    """The format in the options, or the detected one."""
    return detect_format(file) if data.format == "auto" else resolve_format(data.format)


def effective_format(file: str | Path, data: DataOptions) -> str:
    """The format in the options, which can be ``"auto"``; ``pairs`` and ``labelled`` only for files without another.

    Without a header, pairs and labelled texts look like columns, so a detected format comes before these two.
    """
    if data.format not in ("pairs", "labelled"):
        return data.format
    found = detect_format(file)
    return data.format if found == "columns" else found


def text_format(file: str | Path, data: DataOptions) -> str:
    """The format of a file to predict for, by a model that takes whole texts: the named one, else the detected one.

    Raises `DataError` if the lines could be texts, one per line, or tokens of one sentence.
    """
    name = effective_format(file, data)
    if name != "auto":
        return name
    name = detect_format(file)
    if name != "columns" or _is_named_as_rows(file):
        return name
    lines = _first_lines(file, data.encoding)
    # A single token shows that this is a column file, and so does a blank line or a comment between rows.
    one_token = len(lines) == 1 and len(lines[0].split()) == 1
    between = "" in lines or any(line.startswith("# ") for line in lines)
    if one_token or (between and _columns_or_text(lines) == "columns"):
        return name
    labelled = " or --format labelled (a label and a text)" if any("\t" in line for line in lines) else ""
    raise _texts_or_rows(file, labelled)


def tagger_format(source: Source, data: DataOptions) -> str:
    """The format of a file, or of a stream that can peek, to tag: the detected one.

    Raises `DataError` if the lines could be texts or rows.
    """
    name = detect_format(source)
    if name != "columns" or _is_named_as_rows(source):
        return name
    found = _columns_or_text(_first_lines(source, data.encoding))
    if found is None:
        raise _texts_or_rows(name_of(source))
    return found


def _columns_or_text(lines: Sequence[str]) -> str | None:
    """``columns``, ``text``, or None if the lines could be both."""
    rows = [line for line in lines if line and not line.startswith("#") and not is_boundary(line)]
    if not lines or any(is_boundary(line) or is_plain_comment(line) for line in lines):
        return "columns"
    tabs = any("\t" in row for row in rows)
    widths = Counter(len(row.split("\t") if tabs else row.split()) for row in rows)
    width, count = max(widths.items(), key=lambda item: item[1], default=(0, 0))
    # Rows have one width, but for mistakes, which the file's reader tells of; texts have many widths.
    if 3 * count < 2 * len(rows):
        return None if tabs else "text"
    if len(widths) == width == 1:
        return None if _are_sentences(rows) else "columns"
    # One line between blank lines may be a text; several lines of one width are rows.
    blocks = "" in lines and (tabs or any(above and below for above, below in pairwise(lines)))
    cells = tabs and width > 1 and not any(" " in row for row in rows)
    comments = any(line.startswith("# ") for line in lines)
    known = tabs or width < 2 or _have_tags([row.split() for row in rows if len(row.split()) == width])
    return "columns" if known and (blocks or cells or comments) else None


def _have_tags(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a column can hold tags: names in capitals, tags of spans, or many rows with few values at their end."""
    columns = [set(column) for column in zip(*rows, strict=True)][1:]
    named = any(any(map(str.isupper, column)) and all(map(_may_be_tag, column)) for column in columns)
    last = columns[-1]
    return named or last <= {"_", "-"} or (len(rows) >= 10 and 3 * len(last) <= len(rows))


def _may_be_tag(value: str) -> bool:
    return is_span_tag(value) or (value.isascii() and value == value.upper())


def _are_sentences(lines: Sequence[str]) -> bool:
    """Whether lines without spaces are sentences of a language that writes none, such as Chinese or Thai."""
    return any(re.search(r"\w[。！？]$", line) for line in lines) or sum(map(len, lines)) > 20 * len(lines)


def _is_named_as_rows(source: Source) -> bool:
    return Path(name_of(source).lower().removesuffix(".gz")).suffix in (".conll", ".bio", ".iob")


def _first_lines(source: Source, encoding: str) -> list[str]:
    """Lines of the first 64 KB, without blanks at their ends and without blank lines around them.

    Bytes that are no text end the lines; the file's reader tells of them.
    """
    first = peek(source) if is_path(source) else source.peek()  # type: ignore[union-attr]
    lines = []
    with suppress(DataError):
        for line in text_lines(BytesIO(first), encoding=encoding):
            lines.append(line.rstrip(" \r") if line.strip() else "")
    whole = lines if len(first) < 1 << 16 else lines[:-1] or lines
    return "\n".join(whole).strip("\n").split("\n") if any(whole) else []


def _texts_or_rows(file: str | Path, labelled: str = "") -> DataError:
    return DataError(
        "expected texts or sentences, found lines that may each be a text (--format text) or a token of one sentence "
        f"(--format conll){labelled}",
        file=file,
    )


def file_and_line(example: Example, position: int, data: DataOptions) -> tuple[str, int | None]:
    """File and line of a token; reads the file again, because comments may come between rows."""
    return files_and_lines([(example, position)], data)[0]


def files_and_lines(places: Sequence[tuple[Example, int]], data: DataOptions) -> list[tuple[str, int | None]]:
    """As `file_and_line`; reads each file once, as far as the last of its places."""
    sources = {example.source: example.source.rpartition(":") for example, _ in places}
    numbered = {source: file for source, (file, colon, first) in sources.items() if colon and first.isdigit()}
    blocks: dict[str, VerbatimBlock] = {}
    for file in dict.fromkeys(numbered.values()):
        blocks |= _blocks_at(file, {source for source in numbered if numbered[source] == file}, data)
    found: list[tuple[str, int | None]] = []
    for example, position in places:
        file, _, first = sources[example.source]
        if example.source not in numbered:
            found.append((example.source or "the data", None))
        elif example.source in blocks:
            found.append((file, blocks[example.source].line_of(position)))
        else:
            found.append((file, int(first)))
    return found


def _blocks_at(file: str, sources: set[str], data: DataOptions) -> dict[str, VerbatimBlock]:
    blocks: dict[str, VerbatimBlock] = {}
    with suppress(DataError, ConfigError):  # raised for formats with one sentence per line: its line is right
        for block in read_verbatim(file, data.format, **reader_options(data, tags=False)):
            if block.example is not None and block.example.source in sources:
                blocks[block.example.source] = block
                if len(blocks) == len(sources):
                    break
    return blocks
