"""Files and folders that a kill leaves old or new, and a lock that a killed process lets go of."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from structseq.errors import TrainingError
from structseq.files import (
    LOCK,
    NEW,
    OLD,
    current_folder,
    is_leftover,
    lock,
    new_file,
    new_folder,
    recover,
    remove_unfinished,
    write_file,
)

# Runs the code once for every change that it makes to the disk, each time in a child that is killed before it.
KILLED = """
import json, os, signal, sys
from pathlib import Path
from structseq import files

folder, after = Path(sys.argv[1]), {}

def kill_before(change):
    changes = 0
    def hook(event, arguments):
        nonlocal changes
        writes = event == "open" and isinstance(arguments[0], str) and arguments[1] not in ("r", "rb")
        if writes or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link"):
            changes += 1
            if changes == change:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

def child(code, change):
    child = os.fork()
    if not child:
        kill_before(change)
        code()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""

FOLDERS = (
    KILLED
    + """
def fill(content):
    with files.new_folder(folder, "last") as new:
        (new / "in").mkdir()
        for name in ("in/a", "b", "last"):
            files.write_file(new / name, content)

def seen():
    whole = files.current_folder(folder, "last")
    found = [path.read_text() for name in ("in/a", "b", "last") if (path := whole / name).exists()]
    return found if (whole / "last").exists() else None

content, change, ends = b"1", 1, []
first = sys.argv[2]
if first == "whole":
    fill(b"0")
elif first == "there":
    folder.mkdir()
while (status := child(lambda: fill(content), change)) != 0:
    ends.append(seen())
    change += 1
    if change % 2:  # every other time the folder that the kill left is put right first
        files.recover(folder, "last")
        assert seen() == ends[-1], (change, seen(), ends[-1])
    if first == "there" and seen() is None:
        assert all(path.name in (".new", ".new.lock", "in", "b") for path in folder.iterdir())
print(json.dumps([ends, seen(), sorted(path.name for path in folder.iterdir())]))
"""
)


def run(code: str, *words: object) -> Any:
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_and_keeps_its_mode_and_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    path, link = tmp_path / "there" / "file", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    with pytest.raises(OSError, match="it is a link; name the file itself"):
        write_file(link, b"new")
    assert link.is_symlink() and path.read_text() == "old"
    write_file(path, b"new")
    assert path.read_text() == "new" and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [path.name for path in path.parent.iterdir()] == ["file"]
    write_file(tmp_path / "fresh", b"")
    (tmp_path / "plain").touch()
    assert (tmp_path / "fresh").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["f" * 255, "飛" * 85])
def test_a_file_may_have_the_longest_name(tmp_path: Path, name: str) -> None:
    write_file(tmp_path / name, b"new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"old")
    with pytest.raises(KeyboardInterrupt), new_file(tmp_path / "file") as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert (tmp_path / "file").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_written_has_the_name_that_the_user_knows(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"")
    for path in (tmp_path / "no" / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError) as caught:
            write_file(path, b"")
        assert caught.value.filename == str(path)


def test_what_a_kill_leaves_is_known_and_swept(tmp_path: Path) -> None:
    code = KILLED + "print(child(lambda: files.write_file(folder, b'new'), 2))"
    assert run(code, tmp_path / "log.jsonl") == -9
    (part,) = tmp_path.iterdir()
    assert is_leftover(part) and is_leftover(tmp_path / LOCK)
    assert not any(
        map(is_leftover, [tmp_path / "file", tmp_path / ".hidden", tmp_path / "a.part", tmp_path / "a.lock"])
    )
    (tmp_path / "a.part").touch()
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.part"]


# -- folders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "old"), [("whole", ["0"] * 3), ("there", None), ("nothing", None)])
def test_a_folder_killed_before_any_change_is_old_or_new(tmp_path: Path, first: str, old: list[str] | None) -> None:
    ends, last, names = run(FOLDERS, tmp_path / "folder", first)
    new = ["1"] * 3
    assert len(ends) > 10 and ends[0] == old and all(end in (old, new) for end in ends)
    assert ends == sorted(ends, key=lambda end: end == new), "from the old to the new and never back"
    assert last == new and names == ["b", "in", "last"]


def test_other_entries_of_a_folder_stay_and_namesakes_of_another_kind_go(tmp_path: Path) -> None:
    for name in ("last", "file/inside"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    (tmp_path / "folder").write_text("old")
    (tmp_path / "kept").mkdir()
    with new_folder(tmp_path, "last") as new:
        (new / "folder").mkdir()
        write_file(new / "file", b"new")
        write_file(new / "last", b"new")
    assert (tmp_path / "folder").is_dir()
    assert (tmp_path / "file").read_text() == (tmp_path / "last").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "kept", "last"]


def test_a_folder_without_links_is_set_aside_as_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*arguments: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    def stop(source: Path, target: Path, rename: Callable[..., None] = os.rename) -> None:
        if target.name == "last":
            assert (current_folder(tmp_path, "last"), (tmp_path / OLD / "last").read_text()) == (tmp_path / OLD, "old")
        rename(source, target)

    write_file(tmp_path / "last", b"old")
    monkeypatch.setattr(os, "link", unsupported)
    monkeypatch.setattr(os, "rename", stop)
    with new_folder(tmp_path, "last") as new:
        write_file(new / "last", b"new")
    assert current_folder(tmp_path, "last") == tmp_path and (tmp_path / "last").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_nothing_is_put_back_where_nothing_was_set_aside(tmp_path: Path) -> None:
    (tmp_path / NEW).mkdir()
    (tmp_path / "mine").touch()
    recover(tmp_path, "last")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    recover(tmp_path / "nowhere", "last")
    assert not (tmp_path / "nowhere").exists()


# -- lock --------------------------------------------------------------------------------------------------------------

HOLDS = """
import sys, time
from pathlib import Path
from structseq.files import lock

with lock(Path(sys.argv[1]), "taken"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Any:
    """Another process that holds ``tmp_path/.lock`` until it reads a line."""
    command = [sys.executable, "-c", HOLDS, str(tmp_path / LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def refused(path: Path) -> bool:
    try:
        with lock(path, "somebody is here"):
            return False
    except TrainingError as problem:
        assert str(problem) == "somebody is here"
        return True


def test_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert refused(tmp_path / LOCK)
    holder.kill()
    holder.wait()
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    assert not refused(tmp_path / LOCK) and not list(tmp_path.iterdir())


def test_who_waits_comes_next(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    waits = subprocess.Popen(
        [sys.executable, "-c", HOLDS.replace(', "taken"', ""), str(tmp_path / LOCK)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with pytest.raises(subprocess.TimeoutExpired):
        waits.wait(1)
    holder.communicate("\n")
    assert waits.communicate(timeout=60)[0] == "held\n" and waits.returncode == 0
    assert not list(tmp_path.iterdir())


def test_within_a_process_too_and_for_any_error_of_the_block(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock(tmp_path / LOCK):
        assert refused(tmp_path / LOCK)
        raise ZeroDivisionError
    assert not refused(tmp_path / LOCK) and not list(tmp_path.iterdir())


def test_the_folder_of_a_lock_may_go_while_it_is_held(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with lock(tmp_path / "folder" / LOCK):
        remove_unfinished(tmp_path / "folder")
        os.rename(tmp_path / "folder", tmp_path / "other")
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_no_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def unsupported(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with lock(tmp_path / LOCK, "taken"), lock(tmp_path / LOCK, "taken"):
        assert not list(tmp_path.iterdir())


def test_where_no_lock_can_be_made_no_process_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "no" / LOCK, tmp_path / "file" / LOCK):
        with lock(path, "taken"):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_lock_of_another_user_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*arguments: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("filelock.FileLock.acquire", denied)
    with lock(tmp_path / LOCK, "taken"):
        pass
    (tmp_path / LOCK).touch()
    with lock(tmp_path / LOCK):
        pass
    with pytest.raises(PermissionError), lock(tmp_path / LOCK, "taken"):
        pass
