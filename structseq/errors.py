"""What can go wrong, as a tree; every message says where, what was expected, what was found and what to do.

    StructseqError              anything this package raises on purpose
    ├── DataError               a data file (file, line) or a sequence given from Python
    ├── ConfigError             an option: unknown, doubled, out of range, or in conflict with another
    ├── ModelFileError          a model folder: truncated, foreign, damaged, of a version too new
    └── TrainingError           a run that cannot go on: diverged, another run's checkpoint

The command line prints the message alone and exits with status 2.
"""

from __future__ import annotations

from pathlib import Path


class StructseqError(Exception):
    """Anything this package raises on purpose."""


class DataError(StructseqError, ValueError):
    """A data file, or a sequence given from Python, that cannot be read as what it claims to be.

    Parameters
    ----------
    message:
        What was expected, what was found, and what to do; one sentence, without the place.
    file, line:
        Where; ``line`` counts from 1. The printed form is ``file:line: message``.
    """

    def __init__(self, message: str, *, file: str | Path | None = None, line: int | None = None) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.line = line
        where = "" if self.file is None else self.file if line is None else f"{self.file}:{line}"
        super().__init__(f"{where}: {message}" if where else message)


class ConfigError(StructseqError, ValueError):
    """An option that is unknown, doubled, out of range, or in conflict with another."""


class ModelFileError(StructseqError):
    """A model folder that is truncated, foreign, damaged, or of a version too new to read."""


class TrainingError(StructseqError):
    """A training run that cannot go on."""
