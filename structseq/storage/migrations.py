"""Older versions of the model folder, each with the step that brings its config.json to the next version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FORMAT_VERSION = 1

# By the version that a step reads
MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def migrate(config: Mapping[str, Any], version: int) -> dict[str, Any]:
    """``config`` of an older ``version`` as the present version would have written it.

    Raises KeyError, TypeError or AttributeError where the config is not what that version wrote.
    """
    migrated = dict(config)
    for step in range(version, FORMAT_VERSION):
        migrated = {**MIGRATIONS[step](migrated), "format_version": step + 1}
    return migrated
