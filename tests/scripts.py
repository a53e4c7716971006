"""Scripts outside the package, run in the tests' own process: no interpreter starts, and results can be shared."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType


@contextmanager
def imported(path: Path) -> Iterator[ModuleType]:
    """The script as a module; it finds its neighbours, and all of them are forgotten afterwards."""
    paths, modules = sys.path[:], set(sys.modules)
    sys.path.insert(0, str(path.parent))
    try:
        yield importlib.import_module(path.stem)
    finally:
        sys.path[:] = paths
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(path.parent.parent)):
                del sys.modules[name]


def run_main(module: ModuleType, *arguments: object) -> CompletedProcess[str]:
    """The module's ``main()`` with these arguments on its command line."""
    words, out, err = [str(module.__file__), *map(str, arguments)], io.StringIO(), io.StringIO()
    saved, sys.argv = sys.argv, words
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = module.main()
    except SystemExit as exit:
        status = exit.code
    finally:
        sys.argv = saved
    return CompletedProcess(words, status if isinstance(status, int) else 0, out.getvalue(), err.getvalue())
