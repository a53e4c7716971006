"""What compiled kernels need: whether Numba can be had, and a cache folder that can be written."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from functools import cache


@cache
def available() -> bool:
    """Whether Numba can be had here; without it torch answers everything."""
    return importlib.util.find_spec("numba") is not None


@cache
def find_cache() -> None:
    """See to it that Numba has a folder for compiled code; call it before the first kernel is defined.

    Numba caches beside the module or in the user's cache folder, and raises at decoration where it can write neither.
    A folder of the process's own then costs one compilation a start, never a failure.
    """
    beside, home = os.path.dirname(os.path.abspath(__file__)), os.path.expanduser("~")
    if "NUMBA_CACHE_DIR" not in os.environ and not os.access(beside, os.W_OK) and not os.access(home, os.W_OK):
        os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="structseq-numba-")
