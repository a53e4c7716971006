"""The exceptions; every message says where, what was expected, what was found and what to do."""

from __future__ import annotations

from pathlib import Path


class StructseqError(Exception):
    """Base class of all errors that this package raises on purpose."""


class DataError(StructseqError, ValueError):
    """A data file, or a sequence from Python, that cannot be read; printed as ``file:line: message``.

    ``line`` counts from 1.
    """

    def __init__(self, message: str, *, file: str | Path | None = None, line: int | None = None) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.line = line
        where = "" if self.file is None else self.file if line is None else f"{self.file}:{line}"
        super().__init__(f"{where}: {message}" if where else message)


class ConfigError(StructseqError, ValueError):
    """An option that is unknown, repeated, out of range, or in conflict with another."""


class ModelFileError(StructseqError):
    """A model folder that is damaged, written by another program, or of a version too new to read."""


class TrainingError(StructseqError):
    """A training run that cannot continue: the loss diverged, or the folder belongs to another run."""
