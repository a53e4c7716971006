"""`python -m structseq` within this process, whatever modules the package is made of."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence


def structseq(arguments: Sequence[str]) -> int:
    """Run a command; its exit status. What was imported stays imported, so that the next command starts at once."""
    sys.argv[:] = ["structseq", *arguments]
    try:
        runpy.run_module("structseq", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return int(end.code or 0)
    return 0
