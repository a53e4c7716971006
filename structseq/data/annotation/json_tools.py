"""Detection of the annotation tool that wrote a JSON file, by its first record."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from structseq.data.annotation.argilla import is_argilla
from structseq.data.annotation.label_studio import is_label_studio
from structseq.data.annotation.prodigy import is_prodigy
from structseq.data.textfile import BOM

_DECODER = json.JSONDecoder()


def first_record(text: str) -> Mapping[str, Any] | None:
    """The first object of JSON lines or of a list; None if the text is cut off in it, or is something else."""
    content = text.removeprefix(BOM).lstrip()
    content = content.removeprefix("[").lstrip()
    if not content.startswith("{"):
        return None
    try:
        values, _ = _DECODER.raw_decode(content)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


# Whether a format's first record looks like this
JSON_FORMATS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "label-studio": is_label_studio,
    "prodigy": is_prodigy,
    "argilla": is_argilla,
}
