"""The Makefile's promises, kept with a stand-in for Python that records its calls.

Nothing is installed here: the stand-in makes a "virtual environment" that holds a copy of itself.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")

STAND_IN = """#!/bin/sh
case "$*" in
  *version_info*) exit ${OLD:-0} ;;
  *ensurepip*) exit ${VENVLESS:-0} ;;
  *"-m venv"*) echo "venv" >> "$LOG"; mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  *"-m pip"*) echo "pip $*" >> "$LOG"; exit ${PIP_FAILS:-0} ;;
  *) echo "run $*" >> "$LOG" ;;
esac
"""


class Clone:
    """A folder with the Makefile and what it reads, and nothing but the stand-in to run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder / name)
        self.python = folder.parent / "bin" / "python3.13"
        self.python.parent.mkdir()
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)
        for tool in ("sh", "rm", "mkdir", "cp", "touch", "grep", "sed", "find", "make"):
            place = shutil.which(tool)
            assert place, f"this test needs {tool}"
            (self.python.parent / tool).symlink_to(place)
        self.log = folder.parent / "log"

    def make(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        return subprocess.run(
            ["make", *words],
            cwd=self.folder,
            env={"PATH": str(self.python.parent), "LOG": str(self.log), **environment},
            capture_output=True,
            text=True,
        )

    def did(self) -> list[str]:
        """First words of what the stand-in did in the last call: venv, pip, run."""
        return [line.split()[0] for line in self.log.read_text().splitlines()]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    folder = tmp_path / "a clone"
    folder.mkdir()
    return Clone(folder)


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What stderr has beside make's own word on the failed target: exactly one line."""
    assert done.returncode == 2, done
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    return line


def test_first_call_makes_installs_and_runs(clone: Clone) -> None:
    done = clone.make("test")
    assert done.returncode == 0, done.stderr
    assert clone.did() == ["venv", "pip", "run"]
    installation, run = clone.log.read_text().splitlines()[1:]
    assert installation.endswith("install --constraint constraints.txt --editable .[test,lint]")
    assert run == "run -m pytest --numprocesses 2"


def test_second_call_only_runs(clone: Clone) -> None:
    clone.make("test")
    clone.make("test")
    assert clone.did() == ["run"]
    clone.make("lint")
    assert clone.did() == ["run", "run", "run"]


def test_demo_needs_no_test_tools_and_test_serves_demo(clone: Clone) -> None:
    assert clone.make("demo").returncode == 0
    assert clone.did() == ["venv", "pip", "run", "run"]
    assert "--editable .\n" in clone.log.read_text()
    clone.make("test")
    assert clone.did() == ["pip", "run"]
    clone.make("demo")
    assert "pip" not in clone.did()


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_install_again_in_place(clone: Clone, name: str) -> None:
    clone.make("test")
    later = (clone.folder / ".venv" / ".dev").stat().st_mtime + 10
    os.utime(clone.folder / name, (later, later))
    clone.make("test")
    assert clone.did() == ["pip", "run"]


def test_failed_installation_is_said_and_begun_afresh(clone: Clone) -> None:
    assert "pip could not install" in sentence(clone.make("test", PIP_FAILS="1"))
    assert clone.did() == ["venv", "pip"]
    assert clone.make("test").returncode == 0
    assert clone.did() == ["venv", "pip", "run"]


@pytest.mark.parametrize("left", [".venv/.unfinished", ".venv/lib/python3.13/.unfinished"])
def test_cut_off_installation_is_begun_afresh(clone: Clone, left: str) -> None:
    """Killed while pip ran, or before there was so much as a Python in it: nothing of it is trusted."""
    (clone.folder / left).parent.mkdir(parents=True)
    (clone.folder / left).touch()
    (clone.folder / ".venv" / ".unfinished").touch()
    assert clone.make("test").returncode == 0
    assert clone.did() == ["venv", "pip", "run"]
    assert not (clone.folder / ".venv" / "lib").exists()


def test_moved_clone_makes_its_environment_again(clone: Clone) -> None:
    clone.make("test")
    clone.folder = clone.folder.rename(clone.folder.with_name("elsewhere"))
    clone.make("test")
    assert clone.did() == ["venv", "pip", "run"]


def test_lost_python_makes_its_environment_again(clone: Clone) -> None:
    clone.make("test")
    (clone.folder / ".venv" / "bin" / "python").unlink()
    clone.make("test")
    assert clone.did() == ["venv", "pip", "run"]


def test_environment_of_the_user_is_never_touched(clone: Clone) -> None:
    mine = clone.folder / ".venv" / "mine"
    mine.parent.mkdir()
    mine.touch()
    assert "was not made by this Makefile" in sentence(clone.make("test"))
    assert clone.make("clean").returncode == 0
    assert mine.exists()
    assert clone.make("test", "VENV=other").returncode == 0
    assert mine.exists() and (clone.folder / "other" / ".dev").exists()


def test_clean_removes_its_own_environment(clone: Clone) -> None:
    clone.make("test")
    assert clone.make("clean").returncode == 0
    assert not (clone.folder / ".venv").exists()


def test_no_python_is_said(clone: Clone) -> None:
    clone.python.unlink()
    assert sentence(clone.make("test")).startswith("None of python3.11 ")


def test_only_old_pythons_is_said(clone: Clone) -> None:
    assert "is a Python 3.11 or newer that runs: install one" in sentence(clone.make("demo", OLD="1"))


def test_missing_venv_module_is_said(clone: Clone) -> None:
    assert sentence(clone.make("test", VENVLESS="1")).startswith("python3.13 cannot make virtual environments")


@pytest.mark.parametrize("python", ["/nonexistent", "python3.12"])
def test_named_python_is_checked_too(clone: Clone, python: str) -> None:
    assert sentence(clone.make("test", f"PYTHON={python}")).startswith(f"PYTHON={python} is not a Python 3.11")


def test_named_python_is_used_and_another_one_makes_a_new_environment(clone: Clone) -> None:
    clone.make("test")
    other = clone.python.with_name("other")
    shutil.copy(clone.python, other)
    clone.make("test", f"PYTHON={other}")
    assert clone.did() == ["venv", "pip", "run"]
    clone.make("test", f"PYTHON={other}")
    assert clone.did() == ["run"]
    clone.make("test")
    assert clone.did() == ["run"]


def test_torch_index_is_for_torch_alone_and_remembered(clone: Clone) -> None:
    clone.make("test", "TORCH_INDEX=https://example.org/cpu")
    _, torch, rest, _ = clone.log.read_text().splitlines()
    assert torch.endswith("--constraint constraints.txt --no-deps --index-url https://example.org/cpu torch")
    assert "--index-url" not in rest
    clone.make("test")
    assert clone.did() == ["run"]
    clone.make("test", "TORCH_INDEX=https://example.org/other")
    assert clone.did() == ["venv", "pip", "pip", "run"]


def test_demo_resumes_where_it_stopped_and_is_not_trained_twice(clone: Clone) -> None:
    (clone.folder / "demo" / "flights-en").mkdir(parents=True)
    clone.make("demo")
    train, tag = [line for line in clone.log.read_text().splitlines() if line.startswith("run")]
    assert train.endswith("--output demo/flights-en --set training.epochs=15 --resume")
    assert tag == "run -m structseq tag demo/flights-en -"
    (clone.folder / "demo" / "flights-en" / "config.json").touch()
    clone.make("demo")
    assert clone.log.read_text().startswith("run -m structseq evaluate demo/flights-en corpora/flights/en/test.conll")
    clone.make("clean-demo")
    clone.make("demo")
    assert "--resume" not in clone.log.read_text()


def test_nothing_newer_than_make_3_81_is_used() -> None:
    """What later versions brought: .ONESHELL, .RECIPEPREFIX, != and ::=, $(file ...), `define name =`, and others."""
    text = "\n".join(line for line in (ROOT / "Makefile").read_text().splitlines() if not line.startswith("#"))
    directives = r"\.(ONESHELL|RECIPEPREFIX|SHELLFLAGS|EXTRA_PREREQS|WAIT)\b|^(define .*=|undefine |private |-?load )"
    assert not re.findall(directives, text, re.MULTILINE)
    assert not re.findall(r"^[\w.]+\s*(!=|:::?=)|&:|\$\((file|guile|let|intcmp) ", text, re.MULTILINE)
