"""Files and folders of documents, one or more files for each."""

from __future__ import annotations

import io
import os
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

from structseq.data.annotation.document import Document, errors_at
from structseq.data.textfile import Source, Target, atomic_write, name_of, open_binary, open_writer
from structseq.errors import DataError

T = TypeVar("T")

_SAFE = re.compile(r"\w(?:[\w .+-]{0,150}[\w+-])?")


def members(folder: Path, suffix: str) -> list[Path]:
    """The files of a folder with this suffix, by name; raises `DataError` if there are none."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == suffix and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", file=folder) from None
    if not paths:
        raise DataError(f"expected {suffix} files, found none in this folder", file=folder)
    return paths


def is_folder(target: Target) -> bool:
    """Whether a target names a folder: it exists, or the path ends with a separator."""
    if isinstance(target, str | os.PathLike):
        name = os.fspath(target)
        return name.endswith(("/", os.sep)) or os.path.isdir(name)
    return False


def single(documents: Sequence[T], name: str) -> T:
    """The only document, for a file that holds one; raises `DataError` for another number."""
    if len(documents) != 1:
        message = f"expected one document for one file, found {len(documents)}; name a folder (a path that ends in /)"
        raise DataError(message, file=name)
    return documents[0]


def numbered_names(documents: Sequence[Document]) -> list[str]:
    """A file name without suffix for each document: its id, else ``0001`` and so on.

    Raises `DataError` for an id that is no safe file name, or that two documents have.
    """
    names: list[str] = []
    taken: set[str] = set()
    for document in documents:
        name = document.metadata.get("id", "")
        name = str(name) if type(name) is int else name
        with errors_at(document.source):
            if not isinstance(name, str) or (name and not _SAFE.fullmatch(name)):
                raise DataError(f"expected an id that can name a file, found {name!r:.60}; change it")
            if name.casefold() in taken:
                raise DataError(f"expected one document with the id {name!r:.60}, found two; change one of them")
        names.append(name)
        taken |= {name.casefold()} - {""}
    free = (name for number in range(1, 2 * len(names) + 1) if (name := f"{number:04}") not in taken)
    return [name or next(free) for name in names]


def write_folder(target: Target, files: Mapping[str, bytes]) -> None:
    """Writes files to a new or empty folder; raises `DataError` for another one."""
    folder = Path(name_of(target))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        full = any(folder.iterdir())
    except OSError as error:
        raise DataError(f"cannot be made a folder ({error.strerror or error})", file=folder) from None
    if full:
        raise DataError("expected a new or empty folder, found one with files; name another or empty it", file=folder)
    for name, content in files.items():
        write_bytes(folder / name, content)


def read_bytes(source: Source) -> bytes:
    """Raises `DataError` with the name of a file that cannot be read."""
    try:
        with open_binary(source) as stream:
            return stream.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read ({error})", file=name_of(source)) from None


def write_bytes(target: Target, content: bytes) -> None:
    """Replaces a file as a whole; a stream stays open."""
    with atomic_write(target) if isinstance(target, str | os.PathLike) else nullcontext(target) as stream:
        stream.write(content)


def write_texts(
    target: Target,
    documents: Iterable[Document],
    suffix: str,
    render: Callable[[Document], Mapping[str, str]],
    encoding: str,
) -> None:
    """Writes ``render(document)``, contents by suffix, for each document to a folder, or for one beside the target.

    Files in a folder have the ids of documents as names. ``suffix`` is that of the target. Raises `DataError`, and
    writes no file, if the encoding lacks a character.
    """
    found = list(documents)
    names = numbered_names(found) if is_folder(target) else [name_of(target)]
    if not is_folder(target):
        single(found, name_of(target))
    contents = []
    for document in found:
        with errors_at(document.source):
            contents.append(render(document))
    texts = {(name, end): text for name, each in zip(names, contents, strict=True) for end, text in each.items()}
    files = {key: _encoded(text, encoding, "".join(key)) for key, text in texts.items()}
    if is_folder(target):
        write_folder(target, {name + end: content for (name, end), content in files.items()})
        return
    for (name, end), content in files.items():
        write_bytes(target if end == suffix else Path(name).with_suffix(end), content)


def _encoded(text: str, encoding: str, name: str) -> bytes:
    buffer = io.BytesIO()
    buffer.name = name
    with open_writer(buffer, encoding=encoding) as file:
        file.write(text)
    return buffer.getvalue()
