"""Files and folders that are replaced whole or not at all, and the lock that keeps a second process out.

A kill or a power cut at any moment leaves the old or the new. What it leaves besides (`leftover`) is harmless.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from structseq.errors import TrainingError

LOCK, NEW, OLD = ".lock", ".new", ".previous"


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` when the block ends; if the block raises, ``path`` is as it was.

    A link stays a link, and a file that is replaced leaves its mode to the new one.
    """
    path = Path(os.path.realpath(path))
    part = _part(path)
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, part)
        os.replace(part, path)
    except BaseException as problem:
        with suppress(OSError):
            part.unlink()
        if isinstance(problem, OSError) and problem.filename == str(part):
            problem.filename = str(path)  # the name that the user knows
        raise
    _sync(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Write ``path`` as `new_file` does."""
    with new_file(path) as file:
        file.write(content)


def leftover(path: Path) -> bool:
    """Whether ``path`` is, by its name, a lock or what a killed process had not finished."""
    return path.name.startswith(".") and path.name.endswith((".part", ".lock"))


def sweep(folder: Path) -> None:
    """Remove what a killed process had not finished in ``folder``, which the caller has locked."""
    for part in folder.glob(".*.part"):
        _remove(part)


@contextmanager
def new_folder(folder: Path, last: str) -> Iterator[Path]:
    """An empty folder; when the block ends, its entries take the place of their namesakes in ``folder``.

    ``folder`` counts as whole while it has the entry ``last``, which goes first and comes last; in between, `current_folder`
    finds the old entries set aside. Entries without a namesake stay. If the block raises, ``folder`` is as it was.
    ``folder`` itself is never renamed: it may be where a disk is mounted.
    """
    new = folder / NEW if folder.exists() else _part(folder)
    with lock(folder / f"{NEW}{LOCK}"):
        _recover(folder, last)
        new.mkdir(parents=True)
        try:
            yield new
            if new.parent == folder:
                _fill(folder, new, last)
            else:
                os.rename(new, folder)
                _sync(folder.parent)
        finally:
            _remove(new)


def current_folder(folder: Path, last: str) -> Path:
    """``folder``, or its old entries where a kill left them set aside."""
    return folder / OLD if (folder / OLD).exists() and not (folder / last).exists() else folder


def recover(folder: Path, last: str) -> None:
    """Put back what a kill left set aside, and remove what else it left of `new_folder`."""
    with lock(folder / f"{NEW}{LOCK}"):
        _recover(folder, last)


def _recover(folder: Path, last: str) -> None:
    _remove(folder / NEW)
    if current_folder(folder, last) != folder:
        _copy(folder / OLD, folder / NEW)
        _move(folder / NEW, folder, last)
        _remove(folder / NEW)
    _remove(folder / OLD)
    _remove(folder / f"{OLD}.part")


def _fill(folder: Path, new: Path, last: str) -> None:
    names, whole = os.listdir(new), (folder / last).exists()
    try:
        if whole:
            _copy(folder, folder / f"{OLD}.part")
            os.rename(folder / f"{OLD}.part", folder / OLD)
            _sync(folder)
            (folder / last).unlink()
            _sync(folder)
        _move(new, folder, last)
    except BaseException:
        if whole:
            _recover(folder, last)
        else:
            for name in names:
                _remove(folder / name)
        raise
    _remove(folder / OLD)


def _move(source: Path, folder: Path, last: str) -> None:
    for name in sorted(os.listdir(source), key=lambda name: (name == last, name)):
        if name == last:
            _sync(folder)
        _remove(folder / name)
        os.rename(source / name, folder / name)
    _sync(folder)


def _copy(source: Path, target: Path) -> None:
    """The same files under a second name, or copies where the file system cannot link."""
    ignored = shutil.ignore_patterns(".*.part", ".*.lock", LOCK, NEW)
    shutil.copytree(source, target, symlinks=True, copy_function=_link, ignore=ignored)
    for inside, _, _ in os.walk(target):
        _sync(Path(inside))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except (OSError, NotImplementedError):
        shutil.copy2(source, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)  # what needs the place free says so
    else:
        path.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    """A name beside ``path`` that nobody else has; short, for file systems allow 255 bytes."""
    return path.with_name(f".{path.name[:40]}.{uuid4().hex[:8]}.part")


def _sync(folder: Path) -> None:
    """Make renames in ``folder`` last through a power cut, where the system can."""
    if os.name == "posix":
        with suppress(PermissionError):  # a folder that may be written and not read
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


@contextmanager
def lock(path: Path, held: str | None = None) -> Iterator[None]:
    """Hold the lock file ``path``, which is made and removed again. A process that is killed lets go of it.

    If another process holds it, a `TrainingError` says ``held``; without ``held`` the call waits for that process.
    On a file system without locks, and where the file cannot be made, nobody is kept out.
    """
    from filelock import FileLock, Timeout  # takes 50 ms, which reading a file should not cost

    file = FileLock(path, timeout=-1 if held is None else 0, fallback_to_soft=False)
    if path.parent.is_dir():  # or filelock would make it
        try:
            file.acquire()
        except Timeout:
            raise TrainingError(held) from None
        except PermissionError:
            if held is not None and path.exists():  # another user's, who may be at work
                raise
        except (OSError, NotImplementedError):
            with suppress(OSError):
                path.unlink()
    try:
        yield
    finally:
        if file.is_locked:
            with suppress(OSError):  # Windows removes it on release
                path.unlink()  # while it is held: who has opened it already finds it gone, and makes it anew
            file.release()
