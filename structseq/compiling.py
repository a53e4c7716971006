"""Requirements of compiled kernels: Numba, and a writable cache folder."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from functools import cache


@cache
def available() -> bool:
    """Whether Numba is installed; without it torch computes everything."""
    return importlib.util.find_spec("numba") is not None


@cache
def find_cache() -> None:
    """Give Numba a writable cache folder; call it before the first kernel is defined.

    Numba caches beside the module or in the user's cache folder, and raises if it can write to neither. Then a
    temporary folder is used, at the cost of one compilation in each process.
    """
    beside, home = os.path.dirname(os.path.abspath(__file__)), os.path.expanduser("~")
    if "NUMBA_CACHE_DIR" not in os.environ and not os.access(beside, os.W_OK) and not os.access(home, os.W_OK):
        os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="structseq-numba-")
