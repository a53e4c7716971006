"""The file formats, as a table: detects a file's format, and reads and writes all of them."""

from __future__ import annotations

import difflib
import inspect
import io
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from structseq.data.annotation.brat import is_brat
from structseq.data.annotation.cas_files import is_cas
from structseq.data.annotation.document import Document
from structseq.data.annotation.json_values import first_records
from structseq.data.annotation.table import DOCUMENT_FORMATS, DocumentFormat
from structseq.data.annotation.webanno import is_webanno
from structseq.data.column_writer import write_columns
from structseq.data.columns import read_columns, read_verbatim_columns
from structseq.data.conllu import read_conllu, read_verbatim_conllu, write_conllu
from structseq.data.csvfile import read_csv, write_csv
from structseq.data.example import Example, VerbatimBlock
from structseq.data.frames import is_frame, read_frame
from structseq.data.jsonl import read_jsonl, read_verbatim_jsonl, write_jsonl
from structseq.data.labelled import is_labelled_header, read_labelled, write_labelled
from structseq.data.pairs import is_pairs_header, read_pairs, write_pairs
from structseq.data.parquet import MAGIC, read_parquet, write_parquet
from structseq.data.plaintext import read_text, write_text
from structseq.data.recordings import is_recording_list, read_recordings, write_recordings
from structseq.data.textfile import GZIP, Source, Target, damaged_gzip, is_path, name_of, peek
from structseq.data.threefile import is_threefile, read_threefile, write_threefile
from structseq.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Format:
    """``verbatim`` reads a file to rewrite it; None if the format cannot be rewritten.

    ``documents`` reads and writes whole texts with their annotations; None if the format has sentences only.
    """

    read: Callable[..., Iterator[Example]]
    write: Callable[..., None]
    verbatim: Callable[..., Iterator[VerbatimBlock]] | None = None
    extensions: tuple[str, ...] = ()
    documents: DocumentFormat | None = None


def _of_documents(name: str) -> Format:
    format = DOCUMENT_FORMATS[name]
    return Format(format.examples, format.save_examples, None, format.extensions, format)


FORMATS: Mapping[str, Format] = {
    "columns": Format(read_columns, write_columns, read_verbatim_columns, (".conll", ".tsv", ".txt", ".bio", ".iob")),
    "conllu": Format(read_conllu, write_conllu, read_verbatim_conllu, (".conllu",)),
    "jsonl": Format(
        read_jsonl, write_jsonl, read_verbatim_jsonl, (".jsonl", ".ndjson", ".json"), DOCUMENT_FORMATS["jsonl"]
    ),
    "csv": Format(read_csv, write_csv, None, (".csv",)),
    "parquet": Format(read_parquet, write_parquet, None, (".parquet",)),
    "threefile": Format(read_threefile, write_threefile),
    "labelled": Format(read_labelled, write_labelled),
    "pairs": Format(read_pairs, write_pairs),
    "audio": Format(read_recordings, write_recordings),
    "text": Format(read_text, write_text),
    **{name: _of_documents(name) for name in DOCUMENT_FORMATS if name != "jsonl"},
}

_SAMPLE = 1 << 16  # bytes from which a format is detected
_LONG_SAMPLE = 1 << 24  # if the first record of a JSON file is longer

_BLANKS = b"\xef\xbb\xbf \t\r\n"

ALIASES = {"conll": "columns"}

_OBJECT = re.compile(rb'\{[ \t]*(?:"[^"]*"[ \t]*:|\})')


def read(source: Source, format: str = "auto", **options: Any) -> Iterator[Example]:
    """The examples of a file, a folder, a data frame or a Hugging Face dataset.

    ``format`` is one of `FORMATS`, or ``auto`` to detect it. A reader ignores ``options`` of other formats. Raises
    `ConfigError` for an unknown format and an option that no format has, `DataError` if the file is not of its format.
    """
    if is_frame(source):
        return read_frame(source, **_own_options("parquet", options, to="read"))
    source, name = _with_format(source, format)
    return FORMATS[name].read(source, **_own_options(name, options, to="read"))


def read_verbatim(source: Source, format: str = "auto", **options: Any) -> Iterator[VerbatimBlock]:
    """As `read`, but yields `VerbatimBlock`s, to write the file back with other tags."""
    source, name = _with_format(source, format)
    reader = FORMATS[name].verbatim
    if reader is None:
        raise ConfigError(f"the {name} format cannot be rewritten in place; read the file and write a new one")
    return reader(source, **_own_options(name, options, to="read"))


def write(target: Target, examples: Iterable[Example], format: str = "auto", **options: Any) -> None:
    """Writes examples to a file, with gzip if its name ends in ``.gz``.

    ``auto`` is the format of the extension, or ``columns``; ``options`` are as in `read`. Raises `DataError`, and
    writes no file, for what the format cannot store.
    """
    name = resolve_format(format) if format != "auto" else format_of_name(target) or "columns"
    FORMATS[name].write(target, examples, **_own_options(name, options, to="write"))


def read_documents(source: Source, format: str = "auto", **options: Any) -> Iterator[Document]:
    """The texts of a file with their annotations, not cut into tokens; ``format`` and ``options`` as in `read`.

    Raises `ConfigError` for a format that has sentences only.
    """
    source, name = _with_format(source, format)
    return _documents_of(name).documents(source, **options)


def write_documents(
    target: Target, documents: Iterable[Document], format: str = "auto", *, lossy: bool = False, **options: Any
) -> None:
    """Writes documents to a file, in its extension's format.

    Raises `DataError`, and writes no file, for what the format cannot hold, unless ``lossy``.
    """
    name = resolve_format(format) if format != "auto" else format_of_name(target) or "jsonl"
    _documents_of(name).save(target, documents, lossy=lossy, **options)


def _documents_of(name: str) -> DocumentFormat:
    if (row := FORMATS[name].documents) is None:
        known = ", ".join(DOCUMENT_FORMATS)
        raise ConfigError(f"expected a format of texts with annotations ({known}), found {name}; use read or write")
    return row


def detect_format(source: Source) -> str:
    """The name of a file's format, by its extension and first lines; a stream must peek or seek.

    Labelled texts and pairs without a header look like columns.
    """
    by_name = format_of_name(source)
    if by_name not in (None, "columns", "csv", "jsonl"):  # these extensions are shared by several formats
        return by_name
    first = _first_bytes(source)
    by_content = _by_content(first)
    if by_content == "jsonl" or (by_content is None and first.lstrip(_BLANKS)[:1] == b"["):
        by_content = _json_format(source, first)
    if by_name == "jsonl":
        row = DOCUMENT_FORMATS.get(by_content or "")
        return by_content if by_content and (by_content == "audio" or (row and row.wrote)) else "jsonl"
    return by_content or by_name or "columns"


def _json_format(source: Source, first: bytes) -> str | None:
    """The tool that wrote a JSON file, else ``jsonl``; None for other files, such as rows that begin with a bracket."""
    records = list(first_records(first.decode("utf-8", "replace")))
    if not records and len(first) == _SAMPLE and is_path(source):  # the first record is longer
        records = list(islice(first_records(peek(source, _LONG_SAMPLE).decode("utf-8", "replace")), 1))
    if not records:
        return "jsonl" if first.lstrip(_BLANKS)[:1] == b"{" else None
    # A tool may mark some records only
    tools = (name for name, row in DOCUMENT_FORMATS.items() if row.wrote and any(map(row.wrote, records)))
    return next(tools, "jsonl")


def _with_format(source: Source, format: str) -> tuple[Source, str]:
    if format != "auto":
        return source, resolve_format(format)
    if not isinstance(source, str | os.PathLike) and not hasattr(source, "peek") and not source.seekable():
        source = io.BufferedReader(source)  # type: ignore[type-var]
    return source, detect_format(source)


def resolve_format(format: str) -> str:
    """A key of `FORMATS`, from a name or alias; raises `ConfigError` for an unknown one."""
    name = ALIASES.get(format.lower(), format.lower())
    if name not in FORMATS:
        known = ["auto", *FORMATS, *ALIASES]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}? There are " if near else "there are "
        raise ConfigError(f"unknown format {format!r}; {hint}{', '.join(known)}")
    return name


def format_of_name(source: Source | Target) -> str | None:
    """The format of a file's extension, or of a folder; None if unknown."""
    if isinstance(source, str | os.PathLike):
        if is_threefile(source):
            return "threefile"
        if Path(source).is_dir():
            if found := _format_of_folder(Path(source)):
                return found
            known = "with seq.in and seq.out, or with .ann, .xmi or WebAnno's .tsv files"
            message = f"expected a file, or a folder {known}, found another folder; name the file in it"
            raise DataError(message, file=os.fspath(source))
    name = name_of(source).lower().removesuffix(".gz")
    return next((known for known, format in FORMATS.items() if name.endswith(format.extensions or "\0")), None)


def _format_of_folder(folder: Path) -> str | None:
    if is_brat(folder):
        return "brat"
    if any(folder.glob("[!.]*.xmi")):
        return "xmi"
    table = next(folder.glob("[!.]*.tsv"), None)
    return "webanno" if table and is_webanno(peek(table, 100)) else None


def _first_bytes(source: Source) -> bytes:
    if isinstance(source, str | os.PathLike):
        return peek(source, _SAMPLE)
    if hasattr(source, "peek"):
        first = source.peek(_SAMPLE)
    else:
        at = source.tell()
        first = source.read(_SAMPLE)
        source.seek(at)
    if first[:2] != GZIP:
        return first
    try:
        return zlib.decompressobj(wbits=31).decompress(first, _SAMPLE)
    except zlib.error as error:
        raise damaged_gzip(name_of(source), error) from None


def _by_content(first: bytes) -> str | None:
    """None if the file may be columns."""
    if is_webanno(first):
        return "webanno"
    if is_cas(first):
        return "xmi"
    if first.startswith(MAGIC):
        return "parquet"
    lines = [line for line in first.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip(b" \t\r")]
    for number, line in enumerate(lines):
        content = line.strip(b" \t\r")
        if _OBJECT.match(content):
            return "audio" if is_recording_list(content.decode("utf-8", "replace")) else "jsonl"
        fields = line.split(b"\t")
        if len(fields) == 10 and fields[0] in (b"1", b"1-2"):
            return "conllu"
        # The header names are ASCII.
        if number == 0 and is_labelled_header(*[each.decode("latin-1") for each in lines[:2]]):
            return "labelled"
        if number == 0 and is_pairs_header(line.decode("latin-1")):
            return "pairs"
        if content[:1] != b"#":
            return None
    return None


@cache
def _keywords(function: Callable[..., Any]) -> list[str]:
    """The options of a reader or writer; they are keyword-only, and source, target and examples are not."""
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]


def _own_options(name: str, options: Mapping[str, Any], *, to: str) -> dict[str, Any]:
    """The options of this format; raises `ConfigError` if no format has one."""
    keywords = {key: _keywords(getattr(format, to)) for key, format in FORMATS.items()}
    known = set(chain(*keywords.values()))
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, 1)
            hint = f"did you mean {near[0]!r}? {name} has " if near else f"{name} has "
            raise ConfigError(f"no format has the option {option!r}; {hint}{', '.join(keywords[name])}")
    return {option: value for option, value in options.items() if option in keywords[name]}
