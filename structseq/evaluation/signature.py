"""The end of a report's signature: which versions computed it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache  # a report is made after every epoch, and reading a package's metadata takes longer than the report
def package_version(name: str) -> str:
    """``name:version``, or ``name:not-installed``."""
    try:
        return f"{name}:{version(name)}"
    except PackageNotFoundError:
        return f"{name}:not-installed"
