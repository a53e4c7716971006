"""For every test: one thread, a fixed seed, and the versions in the header of the run."""

from __future__ import annotations

import os

# Before anything imports torch: sums come out the same on every machine, and workers do not fight for cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("structseq", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("structseq")

ROOT = Path(__file__).resolve().parent.parent


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the kernels once, for both types at the same time, before several workers would each compile them."""
    if not session.config.getoption("numprocesses", None) or any((ROOT / "structseq/structures").rglob("*.nbc")):
        return
    command = [sys.executable, str(ROOT / "tests" / "compile_kernels.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [subprocess.Popen([*command, dtype], cwd=ROOT, env=environment) for dtype in ("float32", "float64")]
    for process in started:
        process.wait()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Save a tenth of the time: the garbage collector skips what was imported, and a seed is for the CPU alone."""
    import torch

    gc.collect()
    gc.freeze()
    torch.manual_seed = torch.default_generator.manual_seed  # torch formats the stack for each kind of absent GPU


def pytest_report_header() -> str:
    packages = ("torch", "numpy", "scikit-learn", "seqeval", "pytorch-crf")
    return ", ".join(f"{package} {version(package)}" for package in packages)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder that holds pyproject.toml, README.md and corpora/."""
    return ROOT
