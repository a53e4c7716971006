"""Files and folders that are replaced atomically, without following links, and a lock between processes."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from structseq.errors import ModelFileError, TrainingError

LOCK, NEW, OLD = ".lock", ".new", ".previous"
# Folders that are written within model, run and comparison folders
_OWN_FOLDERS = ("run", "vocabulary", "trials", NEW, OLD, f"{OLD}.part")
# Files that are written there one by one; what a kill leaves of them may be removed
_OWN_FILES = (
    "run.json", "checkpoint.safetensors", "log.jsonl", "trial.json", "experiment.json", "comparison.json",
    "comparison.csv", "report.html",
)  # fmt: skip
_PART = re.compile(rf"\.(?:{'|'.join(map(re.escape, _OWN_FILES))})\.[0-9a-f]{{8}}\.part")


def refuse_links(folder: Path) -> None:
    """Raise `ModelFileError` if ``folder``, or a folder of ours within it, contains a link, a pipe or a device.

    ``folder`` itself may be a link: the user named it.
    """
    folders = [folder]
    while folders:
        here = folders.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        raise ModelFileError(f"{entry.path}: is a link; replace it by the file or folder itself")
                    if entry.is_dir(follow_symlinks=False):
                        folders += [Path(entry.path)] * (entry.name in _OWN_FOLDERS or here.name == "trials")
                    elif entry.name in (NEW, OLD, f"{OLD}.part"):
                        raise ModelFileError(f"{entry.path}: is not a folder; rename or remove it")
                    elif not entry.is_file(follow_symlinks=False):
                        raise ModelFileError(f"{entry.path}: is neither a file nor a folder; remove it")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as problem:
            reason = problem.strerror or problem
            raise ModelFileError(f"{here}: cannot be read ({reason}); check its permissions") from None


def no_follow(path: str, flags: int) -> int:
    """An ``opener`` that fails for a link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces ``path`` when the block ends, with the same mode; a link is an `OSError`.

    If the block raises, ``path`` stays unchanged.
    """
    if path.parent == Path("/dev"):  # /dev/stdout is a link of the system
        path = Path(os.path.realpath(path))
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link; name the file itself", str(path))
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
            problem.filename = str(path)  # the name that the user gave
        raise
    _sync(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Replace ``path`` with ``content`` atomically."""
    with new_file(path) as file:
        file.write(content)


def is_leftover(path: Path) -> bool:
    """Whether ``path`` has the name of a lock or an unfinished file of a run or a comparison."""
    return path.name in (LOCK, f"{NEW}{LOCK}") or _PART.fullmatch(path.name) is not None


def remove_unfinished(folder: Path) -> None:
    """Remove unfinished files of a run or a comparison from ``folder``; the caller must hold its lock."""
    for path in folder.iterdir():
        if _PART.fullmatch(path.name) and stat.S_ISREG(path.lstat().st_mode):
            path.unlink()


@contextmanager
def new_folder(folder: Path, last: str) -> Iterator[Path]:
    """Make an empty folder; when the block ends, its entries replace those of the same names in ``folder``.

    ``folder`` is complete while it contains the entry ``last``, which is removed first and added last. In between,
    `current_folder` finds the old entries. If the block raises, ``folder`` stays unchanged.
    """
    new = folder / NEW if folder.exists() else _part(folder)  # an existing folder may be a mount point: not renamed
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
    """``folder``, or the folder with its old entries if a kill interrupted `new_folder`.

    Raises `ModelFileError` as `refuse_links` does.
    """
    refuse_links(folder)
    return folder / OLD if (folder / OLD).exists() and not (folder / last).exists() else folder


def recover(folder: Path, last: str) -> None:
    """Clean up after an interrupted `new_folder`; restores the old entries if the new ones are incomplete."""
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
    """Copy by hard links where possible."""
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
        shutil.rmtree(path, ignore_errors=True)  # if the folder remains, a later rename raises
    else:
        path.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    """A unique name beside ``path``, below the 255 bytes of file systems."""
    return path.with_name(f".{path.name[:40]}.{uuid4().hex[:8]}.part")


def _sync(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut."""
    if os.name == "posix":
        with suppress(PermissionError):  # the folder may be writable but not readable
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


@contextmanager
def lock(path: Path, refusal: str | None = None) -> Iterator[None]:
    """Hold the lock file ``path``, which is created and removed again; a killed process releases it.

    If another process holds it, raises `TrainingError` with the message ``refusal``; without a message, waits. Does
    nothing if the file system has no locks or the file cannot be created. A file with content, or with another name, is
    no lock: `TrainingError`.
    """
    from filelock import FileLock, Timeout  # takes 50 ms: not for every import

    _refuse_foreign(path)
    file = FileLock(path, timeout=-1 if refusal is None else 0, fallback_to_soft=False)
    if path.parent.is_dir():  # filelock would create a missing folder
        try:
            file.acquire()
        except Timeout:
            raise TrainingError(refusal) from None
        except PermissionError:
            if refusal is not None and path.exists():  # another user's lock, perhaps in use
                raise
        except (OSError, NotImplementedError):
            with suppress(OSError):
                path.unlink()
    try:
        yield
    finally:
        if file.is_locked:
            with suppress(OSError):  # Windows removes it on release
                path.unlink()  # before the release, so that a waiting process sees this and creates it again
            file.release()


def _refuse_foreign(path: Path) -> None:
    try:
        found = path.lstat()
    except OSError:
        return
    if not stat.S_ISREG(found.st_mode) or found.st_size or found.st_nlink > 1:
        raise TrainingError(f"{path}: is not a lock file of structseq; rename or remove it")
