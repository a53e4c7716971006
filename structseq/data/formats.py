"""The file formats, as a table: which there are, which a file is in, and one way to read and write any of them."""

from __future__ import annotations

import difflib
import inspect
import io
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from structseq.data import verbatim
from structseq.data.columns import read_columns, write_columns
from structseq.data.conllu import read_conllu, write_conllu
from structseq.data.example import Example
from structseq.data.jsonl import read_jsonl, write_jsonl
from structseq.data.labelled import is_header, read_labelled, write_labelled
from structseq.data.pairs import is_header as is_header_of_pairs
from structseq.data.pairs import read_pairs, write_pairs
from structseq.data.plaintext import read_text, write_text
from structseq.data.recordings import is_list, read_recordings, write_recordings
from structseq.data.textfile import GZIP, Source, Target, name_of, peek
from structseq.data.threefile import is_threefile, read_threefile, write_threefile
from structseq.data.verbatim import VerbatimBlock
from structseq.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Format:
    """One format: how it is read, written and, where that is possible, rewritten in place (see `VerbatimBlock`)."""

    read: Callable[..., Iterator[Example]]
    write: Callable[..., None]
    verbatim: Callable[..., Iterator[VerbatimBlock]] | None
    extensions: tuple[str, ...]


FORMATS: Mapping[str, Format] = {
    "columns": Format(read_columns, write_columns, verbatim.of_columns, (".conll", ".tsv", ".txt", ".bio", ".iob")),
    "conllu": Format(read_conllu, write_conllu, verbatim.of_conllu, (".conllu",)),
    "jsonl": Format(read_jsonl, write_jsonl, verbatim.of_jsonl, (".jsonl", ".ndjson", ".json")),
    "threefile": Format(read_threefile, write_threefile, None, ()),
    "labelled": Format(read_labelled, write_labelled, None, ()),
    "pairs": Format(read_pairs, write_pairs, None, ()),
    "audio": Format(read_recordings, write_recordings, None, ()),
    "text": Format(read_text, write_text, None, ()),
}

SAMPLE = 1 << 16  # bytes that a format is told by

ALIASES = {"conll": "columns"}

_OBJECT = re.compile(rb'\{[ \t]*(?:"[^"]*"[ \t]*:|\})')


def read(source: Source, format: str = "auto", **options: Any) -> Iterator[Example]:
    """The examples of a file (or a folder of the three-file layout), one after the other.

    ``format`` is one of `FORMATS`, or ``auto`` to tell it by name and content; ``options`` are those of the readers
    (`read_columns`, `read_conllu`, `read_jsonl`, `read_threefile`, `read_labelled`, `read_pairs`, `read_recordings`),
    of which each takes its own, so that one set serves files of several formats. Raises `ConfigError` for a format that
    there is not and an option that no format has, `DataError` for a file that is not what it claims to be.
    """
    source, name = _told(source, format)
    return FORMATS[name].read(source, **_suited(name, options, to="read"))


def read_verbatim(source: Source, format: str = "auto", **options: Any) -> Iterator[VerbatimBlock]:
    """A file as `VerbatimBlock`s, to write it back with other tags and all else kept; otherwise as `read`."""
    source, name = _told(source, format)
    reader = FORMATS[name].verbatim
    if reader is None:
        raise ConfigError(f"the {name} format cannot be rewritten in place; read it and write it anew")
    return reader(source, **_suited(name, options, to="read"))


def write(target: Target, examples: Iterable[Example], format: str = "auto", **options: Any) -> None:
    """Examples to a file, packed where its name ends in ``.gz``.

    ``auto`` goes by the name's extension, and is ``columns`` where that says nothing (labelled texts have none of their
    own: say ``format="labelled"``); ``options`` are as in `read`. Raises `DataError`, and leaves nothing half written,
    for what the format cannot hold.
    """
    name = _named(format) if format != "auto" else _by_name(target) or "columns"
    FORMATS[name].write(target, examples, **_suited(name, options, to="write"))


def detect_format(source: Source) -> str:
    """The name of the format a file is in, by its extension and its first lines; a stream must peek or seek.

    Labelled texts are told by a header that names ``label`` and ``text`` (or ``text`` and others, see `labelled`),
    pairs by one that names ``source`` and ``target``, whatever the extension of a column file; without a header they
    look like columns, and their format must be named. JSON lines are a list of recordings where the first record has
    ``audio`` and no tokens.
    """
    by_name = _by_name(source)
    if by_name in ("threefile", "conllu"):
        return by_name
    if by_name == "jsonl":
        return "audio" if _by_content(_first_bytes(source)) == "audio" else "jsonl"
    return _by_content(_first_bytes(source)) or "columns"


def _told(source: Source, format: str) -> tuple[Source, str]:
    """The source, able to peek or seek, and the name of its format."""
    if format != "auto":
        return source, _named(format)
    if not isinstance(source, str | os.PathLike) and not hasattr(source, "peek") and not source.seekable():
        source = io.BufferedReader(source)  # type: ignore[type-var]
    return source, detect_format(source)


def _named(format: str) -> str:
    name = ALIASES.get(format.lower(), format.lower())
    if name not in FORMATS:
        known = ["auto", *FORMATS, *ALIASES]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}? There are " if near else "there are "
        raise ConfigError(f"unknown format {format!r}; {hint}{', '.join(known)}")
    return name


def _by_name(source: Source) -> str | None:
    if isinstance(source, str | os.PathLike):
        if is_threefile(source):
            return "threefile"
        if Path(source).is_dir():
            message = "expected a file, or a folder with seq.in and seq.out, found another folder; name the file in it"
            raise DataError(message, file=os.fspath(source))
    name = name_of(source).lower().removesuffix(".gz")
    return next((known for known, format in FORMATS.items() if name.endswith(format.extensions or "\0")), None)


def _first_bytes(source: Source) -> bytes:
    if isinstance(source, str | os.PathLike):
        return peek(source, SAMPLE)
    if hasattr(source, "peek"):
        first = source.peek(SAMPLE)
    else:
        at = source.tell()
        first = source.read(SAMPLE)
        source.seek(at)
    return zlib.decompressobj(wbits=31).decompress(first, SAMPLE) if first[:2] == GZIP else first


def _by_content(first: bytes) -> str | None:
    """The format of a file that begins so; None where nothing speaks against columns."""
    lines = [line for line in first.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip(b" \t\r")]
    for number, line in enumerate(lines):
        content = line.strip(b" \t\r")
        if _OBJECT.match(content):
            return "audio" if is_list(content.decode("utf-8", "replace")) else "jsonl"
        fields = line.split(b"\t")
        if len(fields) == 10 and fields[0] in (b"1", b"1-2"):
            return "conllu"
        if number == 0 and is_header(*[each.decode("latin-1") for each in lines[:2]]):  # only the ASCII matters
            return "labelled"
        if number == 0 and is_header_of_pairs(line.decode("latin-1")):
            return "pairs"
        if content[:1] != b"#":
            return None
    return None


def _options(function: Callable[..., Any]) -> tuple[str, ...]:
    parameters = inspect.signature(function).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


def _suited(name: str, options: Mapping[str, Any], *, to: str) -> dict[str, Any]:
    """Those of the options that this format's reader or writer has; `ConfigError` for one that no format has."""
    own = _options(getattr(FORMATS[name], to))
    known = {option for format in FORMATS.values() for option in _options(getattr(format, to))}
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, 1)
            hint = f"did you mean {near[0]!r}? {name} has " if near else f"{name} has "
            raise ConfigError(f"no format has the option {option!r}; {hint}{', '.join(own)}")
    return {option: value for option, value in options.items() if option in own}
