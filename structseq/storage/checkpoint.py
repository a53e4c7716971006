"""Checkpoints of a run: tensors and numbers in a safetensors file that carries the checksum of its own bytes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from structseq.data.textfile import shown, write_error
from structseq.errors import ModelFileError
from structseq.files import new_file
from structseq.storage.entries import damaged, is_finite, parse_json, read_entry, tensor_bytes, tensors_of

NUMBERS, CHECKSUM = "structseq.numbers", "structseq.sha256"
# In place of the checksum while it is computed
_BLANK = "0" * 64
_CHANGED = "the file was changed or damaged; remove it to start the run again"


def save_checkpoint(path: str | Path, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write ``tensors`` and ``numbers`` (values for JSON) atomically; raises `ModelFileError`."""
    path = Path(path)
    content = tensor_bytes(tensors, {NUMBERS: json.dumps(dict(numbers)), CHECKSUM: _BLANK})
    end = _header_end(content)
    header = content[:end].replace(_field(_BLANK), _field(_checksum(content[:end], content)), 1)
    try:
        with new_file(path) as file:
            file.write(header)
            file.write(memoryview(content)[end:])
    except OSError as problem:
        advice = ", and resume with --resume" if "full" in write_error(problem) else ""
        raise ModelFileError(f"{path}: the checkpoint {write_error(problem)}{advice}") from None


def load_checkpoint(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Numbers and tensors of `save_checkpoint`; raises `ModelFileError` if the file is missing or changed."""
    path = Path(path)
    content = read_entry(path)
    tensors = tensors_of(content, path)
    end = _header_end(content)
    header = parse_json(content[8:end].decode("utf-8"), str(path))
    metadata = header.get("__metadata__") or {}
    numbers = parse_json(metadata.get(NUMBERS, "null"), str(path))
    if not isinstance(numbers, dict):
        raise ModelFileError(f"{path}: expected a checkpoint of structseq, found another safetensors file")
    stored = metadata.get(CHECKSUM)
    if stored is None:
        found = "none, as older versions wrote; remove it to start again"
        raise ModelFileError(f"{path}: expected a checkpoint with its checksum, found {found}")
    if _checksum(content[:end].replace(_field(stored), _field(_BLANK), 1), content) != stored:
        raise ModelFileError(f"{path}: expected the SHA-256 that it was saved with, found another; {_CHANGED}")
    _check_content(numbers, tensors, path)
    return numbers, tensors


def _header_end(content: bytes) -> int:
    """Format of safetensors: 8 bytes with the header's length, the header in JSON, the values."""
    return 8 + int.from_bytes(content[:8], "little")


def _field(digest: str) -> bytes:
    return f'"{CHECKSUM}":"{digest}"'.encode()


def _checksum(header: bytes, content: bytes) -> str:
    """SHA-256 of the header, and of the values behind the header of ``content``, which is as long."""
    digest = hashlib.sha256(header)
    digest.update(memoryview(content)[_header_end(content) :])
    return digest.hexdigest()


# -- the numbers -------------------------------------------------------------------------------------------------------

TABLES = ("training", "clock", "outcome")
WHOLE = frozenset(
    ("epoch", "step", "update", "best_epoch", "waited", "decision_sum", "seed", "steps", "tokens", "epoch_tokens",
     "epochs", "updates")
)  # fmt: skip
REAL = frozenset(("loss_sum", "seconds", "epoch_seconds", "best_score"))
TEXT = frozenset(("averaging", "reason"))
# Not the optimizer's moments: they may overflow without harm
WEIGHTS = ("weights.", "average.", "best.")


def _check_content(numbers: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Types and ranges of what a training run stores; whether it is all there is for the run to say."""
    for name in TABLES:
        table = numbers.get(name)
        if table is not None and not isinstance(table, dict):
            raise damaged(path, f"{name} to be a table", shown(repr(table)))
        for key, value in (table or {}).items():
            if (kind := _expected(key, value)) is not None:
                raise damaged(path, f"{name}.{shown(key)} to be {kind}", shown(repr(value)))
    for name, tensor in tensors.items():
        if name.startswith(WEIGHTS) and not is_finite(tensor):
            raise damaged(path, f"finite numbers in {shown(name)}", "NaN or infinity")


def _expected(key: str, value: Any) -> str | None:
    """What a number should be; None if it is."""
    if key in WHOLE:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return None if whole and 0 <= value < 1 << 63 else "a whole number from 0 on"
    if key in REAL:
        real = isinstance(value, int | float) and not isinstance(value, bool)
        return None if (real and math.isfinite(value)) or (key == "best_score" and value is None) else "a finite number"
    return "a text" if key in TEXT and not isinstance(value, str) else None
