"""Folders of documents, one or more files for each."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from structseq.data.annotation.document import Document
from structseq.data.annotation.to_examples import placed
from structseq.data.textfile import Target, atomic_write, is_path, open_writer
from structseq.errors import DataError

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


def numbered_names(documents: Sequence[Document]) -> list[str]:
    """A file name without suffix for each document: its id, else ``0001`` and so on.

    Raises `DataError` for an id that is no safe file name, or that two documents have.
    """
    names: list[str] = []
    taken: set[str] = set()
    for document in documents:
        name = document.metadata.get("id", "")
        name = str(name) if type(name) is int else name
        if not isinstance(name, str) or (name and not _SAFE.fullmatch(name)):
            raise placed(DataError(f"expected an id that can name a file, found {name!r:.60}; change it"), document)
        if name.casefold() in taken:
            raise placed(DataError(f"expected one document with the id {name!r:.60}, found two"), document)
        names.append(name)
        taken |= {name.casefold()} - {""}
    free = (name for number in range(1, 2 * len(names) + 1) if (name := f"{number:04}") not in taken)
    return [name or next(free) for name in names]


def write_files(files: Mapping[Path, str], encoding: str) -> None:
    """Each file is replaced as a whole, and none if one cannot hold its text."""
    encoded = {path: _encoded(path, text, encoding) for path, text in files.items()}
    for path, content in encoded.items():
        with atomic_write(path) as stream:
            stream.write(content)


def make_folder(target: Target) -> Path:
    assert is_path(target)
    folder = Path(target)  # type: ignore[arg-type]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot be made a folder ({error.strerror or error})", file=folder) from None
    return folder


def _encoded(path: Path, text: str, encoding: str) -> bytes:
    buffer = io.BytesIO()
    try:
        with open_writer(buffer, encoding=encoding) as file:
            file.write(text)
    except DataError as error:
        raise DataError(error.message, file=path) from None
    return buffer.getvalue()
