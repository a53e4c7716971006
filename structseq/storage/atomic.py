"""Files and folders that are there whole or not at all: written beside, forced to the disk, then renamed into place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


def write_file(path: Path, content: bytes) -> None:
    """Write ``path`` so that a kill at any moment leaves the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        write_through(temporary, content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_through(path: Path, content: bytes) -> None:
    """Write a new file and wait until the disk has it."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside ``folder``; it takes ``folder``'s place when the block ends without an exception.

    What was in the old folder and has no namesake in the new one is kept, as hard links, so that open files stay the
    same. A folder cannot be renamed onto a full one: the old one steps aside first, and `standing` finds it there if
    the process was killed between the two renames.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    previous = aside(folder)
    if previous.exists() and not folder.exists():
        os.rename(previous, folder)
    new = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
    new.mkdir()
    try:
        yield new
        if folder.exists():
            _keep_others(folder, new)
        for inside, _, _ in os.walk(new):
            _sync_folder(Path(inside))
        _swap(new, folder, previous)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def aside(folder: Path) -> Path:
    """Where the old folder waits while the new one takes its place."""
    return folder.with_name(f".{folder.name}.previous")


def standing(folder: Path) -> Path:
    """``folder``, or the old one set aside where a kill left nothing in its place."""
    return aside(folder) if not folder.exists() and aside(folder).exists() else folder


def _swap(new: Path, folder: Path, previous: Path) -> None:
    if not folder.exists():
        os.rename(new, folder)
    else:
        shutil.rmtree(previous, ignore_errors=True)
        try:
            os.rename(folder, previous)
            os.rename(new, folder)
        except BaseException:
            if previous.exists() and not folder.exists():
                os.rename(previous, folder)
            raise
    _sync_folder(folder.parent)
    shutil.rmtree(previous, ignore_errors=True)


def _keep_others(old: Path, new: Path) -> None:
    for entry in old.iterdir():
        if (new / entry.name).exists():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, new / entry.name, symlinks=True, copy_function=_link)
        else:
            _link(str(entry), str(new / entry.name))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(source, target, follow_symlinks=False)


def _sync_folder(folder: Path) -> None:
    """Force a folder's own entries to the disk; Windows has no such call."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
