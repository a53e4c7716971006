"""Optional libraries, imported on use."""

from __future__ import annotations

import importlib
from typing import Any

from structseq.errors import ConfigError


def library(name: str, use: str, package: str = "") -> Any:
    """The module; raises `ConfigError` if it cannot be imported, with what it is for and the package to install."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        package = package or name.partition(".")[0]
        raise ConfigError(f"{use} need {package}, which cannot be imported ({error}); pip install {package}") from None
