"""Older versions of the model folder, each with the step that brings its config.json and options.json to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from structseq.storage.entries import read_text

FORMAT_VERSION = 2

Table = dict[str, Any]


def _from_1(config: Table, options: Table, folder: Path) -> None:
    """Version 1 had a width as a vocabulary of one entry, and each option of encoders and heads whatever the type."""
    config["widths"] = {}
    for name in ("frames", "vectors"):
        if config["vocabularies"].pop(f"{name}.width", None) is not None:
            line = read_text(folder / "vocabulary" / f"{name}.width.txt")
            config["widths"][name] = int(line.partition("\t")[0])
    unset = {"scheme": "auto", "projection": "linear", "costs": {}}
    for section in ("encoder", "head"):
        kept = {name: value for name, value in options.get(section, {}).items() if value is not None}
        options[section] = {name: value for name, value in kept.items() if name not in unset or value != unset[name]}


# Each changes config.json and options.json, given as tables, in place.
MIGRATIONS: Mapping[int, Callable[[Table, Table, Path], None]] = {1: _from_1}
OLDEST = min(MIGRATIONS)


def migrate(config: Table, options: Table, folder: Path, version: int) -> None:
    """Make of ``config`` and ``options`` of an older ``version`` what the present version would have written.

    Raises KeyError, TypeError, AttributeError or ValueError where they are not what that version wrote.
    """
    for step in range(version, FORMAT_VERSION):
        MIGRATIONS[step](config, options, folder)
    config["format_version"] = FORMAT_VERSION
