"""Older versions of the model folder, each with the step that brings its config.json to the next version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FORMAT_VERSION = 1


def _from_0(config: dict[str, Any]) -> dict[str, Any]:
    """Version 0 listed the tags as ``labels``, and had one scheme for the files and the model."""
    labels, scheme = config.pop("labels"), config.pop("scheme")
    config["id2label"] = {str(number): label for number, label in enumerate(labels)}
    config["label2id"] = {label: number for number, label in enumerate(labels)}
    config["scheme"] = {"outer": scheme, "inner": scheme}
    return config


MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {0: _from_0}


def migrate(config: Mapping[str, Any], version: int) -> dict[str, Any]:
    """``config`` of an older ``version`` as the present version would have written it.

    Raises KeyError, TypeError or AttributeError where the config is not what that version wrote.
    """
    migrated = dict(config)
    for step in range(version, FORMAT_VERSION):
        migrated = {**MIGRATIONS[step](migrated), "format_version": step + 1}
    return migrated
