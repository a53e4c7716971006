"""Transfer: initialize a model with the weights of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from structseq.data.vocabulary import Axis
from structseq.model import Model

Value = TypeVar("Value")


@dataclass(frozen=True)
class Transferred:
    """What a parameter received: ``entries`` of ``of`` along its first axis."""

    parameter: str
    entries: int
    of: int


def transfer(source: Model, target: Model) -> list[Transferred]:
    """Copy the weights of ``source`` into ``target``: word vectors by word, scores of tags by tag, the rest by shape.

    Frozen parameters (pretrained vectors) and entries without a counterpart keep their values; so does a whole layer
    if one of its parameters has another shape.
    """
    sources = _by_column(source, dict(source.named_parameters()))
    targets = {n: p for n, p in _by_column(target, dict(target.named_parameters())).items() if p.requires_grad}
    source_axes, target_axes = (_by_column(model, named_axes(model)) for model in (source, target))
    axes: dict[str, tuple[Sequence[Axis], Sequence[Axis]]] = {}
    for name, parameter in targets.items():
        unnamed = [None] * parameter.dim()
        axes[name] = source_axes.get(name, unnamed), target_axes.get(name, unnamed)
    different = {_layer(name) for name, param in targets.items() if not _fits(sources.get(name), param, *axes[name])}
    parts = [(*model.inputs.features, *model.inputs.column_vocabularies) for model in (source, target)]
    if parts[0] != parts[1]:  # the first layer's inputs are in another order
        different.add("encoder.layers.0")
    with torch.no_grad():
        return [
            Transferred(
                name,
                0 if _layer(name) in different else _copy(sources[name], parameter, *axes[name]),
                parameter.shape[0] if parameter.dim() else 1,
            )
            for name, parameter in targets.items()
        ]


def _by_column(model: Model, values: Mapping[str, Value]) -> dict[str, Value]:
    """``values`` by parameter name, with columns by name."""
    names = {
        f"inputs.column_embeddings.{n}.weight": f"inputs.columns.{name}.weight"
        for n, name in enumerate(model.inputs.column_vocabularies)
    }
    return {names.get(name, name): value for name, value in values.items()}


def _layer(name: str) -> str:
    """The encoder layer, else the module, of a parameter."""
    return ".".join(name.split(".")[:3]) if name.startswith("encoder.layers.") else name.rpartition(".")[0]


def _fits(source: Tensor | None, target: Tensor, source_axes: Sequence[Axis], target_axes: Sequence[Axis]) -> bool:
    """Whether each axis has names in both, or no names and the same length."""
    if source is None or source.dim() != target.dim():
        return False
    axes = zip(source_axes, target_axes, source.shape, target.shape, strict=True)
    return all((old is None) == (new is None) and (old is not None or was == now) for old, new, was, now in axes)


def _copy(source: Tensor, target: Tensor, source_axes: Sequence[Axis], target_axes: Sequence[Axis]) -> int:
    """Copy the common entries; returns their number along the first axis."""
    places: list[tuple[list[int], list[int]]] = []
    for size, old, new in zip(target.shape, source_axes, target_axes, strict=True):
        number = {name: place for place, name in enumerate(range(size) if old is None else old)}
        names = enumerate(range(size) if new is None else new)
        shared = [(number[name], place) for place, name in names if name in number]
        places.append(([a for a, _ in shared], [b for _, b in shared]))
    source_index, target_index = (
        torch.meshgrid(*(torch.tensor(pair[side], dtype=torch.int64) for pair in places), indexing="ij")
        for side in (0, 1)
    )
    target[target_index] = source[source_index].to(target.device, target.dtype)
    return len(places[0][0])


def named_axes(model: Model) -> dict[str, Sequence[Axis]]:
    """By parameter, the names of the entries along each axis, such as words or tags."""
    parts = {"inputs": model.inputs, "head": model.head}
    return {f"{part}.{name}": axes for part, module in parts.items() for name, axes in module.named_axes().items()}


def format_transfer(rows: Sequence[Transferred]) -> str:
    """One line for the user.

    >>> words = Transferred("inputs.features.words.embedding.weight", 8, 9)
    >>> format_transfer([words, Transferred("encoder.x", 4, 4), Transferred("head.y", 0, 3)])
    'copied: words 8 of 9, all of encoder; not copied: head (other shape or names)'
    """
    modules: dict[str, list[Transferred]] = {}
    for row in rows:
        module = row.parameter.removeprefix("inputs.features.").removeprefix("inputs.").partition(".")[0]
        modules.setdefault(module, []).append(row)
    copied, skipped = [], []
    for module, rows_of in modules.items():
        partial = max((row for row in rows_of if 0 < row.entries < row.of), key=lambda row: row.of, default=None)
        if all(row.entries == row.of for row in rows_of):
            copied.append(f"all of {module}")
        elif not any(row.entries for row in rows_of):
            skipped.append(module)
        else:
            copied.append(f"{module} {partial.entries} of {partial.of}" if partial else f"part of {module}")
    not_copied = f"; not copied: {', '.join(skipped)} (other shape or names)" if skipped else ""
    return f"copied: {', '.join(copied) or 'nothing'}{not_copied}"
