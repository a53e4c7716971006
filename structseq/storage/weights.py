"""Tensors as safetensors: the weights of a model, and checkpoints, which keep plain numbers beside the tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from structseq.errors import ModelFileError
from structseq.files import write_file
from structseq.storage.entries import parse_json, read_entry

NUMBERS = "structseq.numbers"


def tensor_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The safetensors file that holds ``tensors``."""
    # Cloned: safetensors refuses tensors that share memory.
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    content: bytes = safetensors.torch.save(whole, dict(metadata or {"format": "pt"}))
    return content


def tensors_of(content: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, read already, so that nothing larger than the file is ever allocated.

    Raises `ModelFileError` where the file is cut, or no safetensors at all; ``path`` for the message.
    """
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError) as problem:
        found = f"{len(content):,} bytes that are not ({problem})"
        raise ModelFileError(f"{path}: expected whole safetensors, found {found}; the file is cut or foreign") from None


def save_checkpoint(path: str | Path, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write one file that holds JSON-able ``numbers`` and ``tensors``; a kill leaves the old file or the new.

    Raises `ModelFileError` where it cannot be written; the old file then stands.
    """
    path = Path(path)
    content = tensor_bytes(tensors, {NUMBERS: json.dumps(dict(numbers))})
    try:
        write_file(path, content)
    except OSError as problem:
        raise ModelFileError(f"{path}: the checkpoint cannot be written ({problem.strerror})") from None


def load_checkpoint(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Numbers and tensors of `save_checkpoint`, bit for bit.

    Raises `ModelFileError` where the file is missing, cut, or no checkpoint.
    """
    path = Path(path)
    content = read_entry(path)
    tensors = tensors_of(content, path)
    # A file: 8 bytes with the header's length, the header in JSON, the values; `tensors_of` found it sound.
    header = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")].decode("utf-8"), str(path))
    numbers = parse_json((header.get("__metadata__") or {}).get(NUMBERS, "null"), str(path))
    if not isinstance(numbers, dict):
        raise ModelFileError(f"{path}: expected a checkpoint of structseq, found other safetensors")
    return numbers, tensors
