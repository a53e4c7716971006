"""A model made of what a folder holds: built without memory for its weights, checked, then given the file's own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from structseq.config import Options, outside_classes
from structseq.data.vocabulary import Vocabulary
from structseq.errors import ModelFileError, StructseqError
from structseq.model import Model
from structseq.spans import TagSet
from structseq.storage.configuration import WEIGHTS

OTHER = "weights and options.json are of different models, or of an earlier version's (train it again)"


class Unallocated(TorchFunctionMode):
    """Inside, ``torch.empty`` and ``torch.zeros`` give shapes without memory; filling those draws no number."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.zeros):
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def assemble(
    options: Options,
    vocabularies: Mapping[str, Vocabulary],
    tags: TagSet,
    widths: Mapping[str, int],
    tensors: Mapping[str, Tensor],
    folder: Path,
) -> Model:
    """The model with the file's weights, in evaluation mode; ``folder`` for messages.

    Options that ask for other shapes than the file has are refused before they cost memory.
    """
    place = folder / "options.json"
    if options.encoder.layers > len(tensors):
        found = f"{options.encoder.layers} layers, and {len(tensors)} tensors in {WEIGHTS}"
        raise ModelFileError(f"{place}: expected no more layers than there are weights for, found {found}")
    try:
        model = _build(options, vocabularies, tags, widths)
    except (StructseqError, RuntimeError, LookupError, ValueError, TypeError, OverflowError, MemoryError) as problem:
        reason = str(problem).partition("\n")[0]
        raise ModelFileError(f"{place}: no model can be built from these options ({reason})") from None
    _check(model.state_dict(), tensors, folder / WEIGHTS)
    model.load_state_dict(dict(tensors), strict=True, assign=True)
    _allocate_buffers(model)
    return model.eval()


def _build(options: Options, vocabularies: Mapping[str, Vocabulary], tags: TagSet, widths: Mapping[str, int]) -> Model:
    """The model without memory for its weights; parts from outside are built in the ordinary way."""
    unallocated = nullcontext() if outside_classes(options.to_dict()) else Unallocated()
    with torch.random.fork_rng(devices=[]), unallocated:
        return Model(options, vocabularies, tags, widths)


def _allocate_buffers(model: Model) -> None:
    """Memory for buffers that are no weights of the file: made by ``torch.zeros``, they are zero."""
    for name, buffer in list(model.named_buffers()):
        if buffer.is_meta:
            owner, _, own = name.rpartition(".")
            setattr(model.get_submodule(owner), own, torch.zeros(buffer.shape, dtype=buffer.dtype))


def _check(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in expected.items():
        if name not in found:
            raise ModelFileError(f"{path}: expected a tensor {name}, found none; {OTHER}")
        wanted, had = _kind(tensor), _kind(found[name])
        if wanted != had:
            raise ModelFileError(f"{path}: expected {name} to be {wanted}, found {had}; {OTHER}")
    for name in found:
        if name not in expected:
            raise ModelFileError(f"{path}: expected no tensor {name}, found one; {OTHER}")


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
