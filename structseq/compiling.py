"""Requirements of compiled kernels: Numba, and a writable cache folder."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from functools import cache


@cache
def numba_available() -> bool:
    """Whether Numba is installed; without it torch is used."""
    return importlib.util.find_spec("numba") is not None


@cache
def set_cache_folder() -> None:
    """Set a writable cache folder for Numba; call it before the first kernel is defined.

    Numba raises if it can write neither beside the module nor to the user's cache folder. Then a temporary folder is
    used, and each process compiles again.
    """
    beside, home = os.path.dirname(os.path.abspath(__file__)), os.path.expanduser("~")
    if "NUMBA_CACHE_DIR" not in os.environ and not os.access(beside, os.W_OK) and not os.access(home, os.W_OK):
        os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="structseq-numba-")
