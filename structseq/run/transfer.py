"""Transfer: the weights of one model as the start of another, by the names of their entries, or by shape."""

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
    """What one parameter received: ``entries`` of ``of`` along its first axis; all or none if they have no names."""

    parameter: str
    entries: int
    of: int


def transfer(source: Model, target: Model) -> list[Transferred]:
    """Copy the weights of ``source`` into ``target``: words' vectors by word, tags' scores by tag, the rest by shape.

    Frozen parameters (pretrained vectors) and entries without a counterpart keep their values. If one parameter of a
    layer has another shape, the whole layer keeps its own.
    """
    given = _by_column(source, dict(source.named_parameters()))
    wanted = {n: p for n, p in _by_column(target, dict(target.named_parameters())).items() if p.requires_grad}
    given_axes, wanted_axes = (_by_column(model, named_axes(model)) for model in (source, target))
    axes: dict[str, tuple[Sequence[Axis], Sequence[Axis]]] = {}
    for name, parameter in wanted.items():
        unnamed = [None] * parameter.dim()
        axes[name] = given_axes.get(name, unnamed), wanted_axes.get(name, unnamed)
    foreign = {_layer(name) for name, parameter in wanted.items() if not _fits(given.get(name), parameter, *axes[name])}
    parts = [(*model.inputs.features, *model.inputs.column_vocabularies) for model in (source, target)]
    if parts[0] != parts[1]:  # the first layer's inputs are in another order
        foreign.add("encoder.layers.0")
    with torch.no_grad():
        return [
            Transferred(
                name,
                0 if _layer(name) in foreign else _copy(given[name], parameter, *axes[name]),
                parameter.shape[0] if parameter.dim() else 1,
            )
            for name, parameter in wanted.items()
        ]


def _by_column(model: Model, values: Mapping[str, Value]) -> dict[str, Value]:
    """``values`` by parameter, with the names of columns in the place of their numbers."""
    names = {
        f"inputs.column_embeddings.{n}.weight": f"inputs.columns.{name}.weight"
        for n, name in enumerate(model.inputs.column_vocabularies)
    }
    return {names.get(name, name): value for name, value in values.items()}


def _layer(name: str) -> str:
    """The encoder layer of a parameter, both directions together; elsewhere its module."""
    return ".".join(name.split(".")[:3]) if name.startswith("encoder.layers.") else name.rpartition(".")[0]


def _fits(source: Tensor | None, target: Tensor, source_axes: Sequence[Axis], target_axes: Sequence[Axis]) -> bool:
    """Whether along each axis both have names, or neither has and the lengths agree."""
    if source is None or source.dim() != target.dim():
        return False
    axes = zip(source_axes, target_axes, source.shape, target.shape, strict=True)
    return all((old is None) == (new is None) and (old is not None or was == now) for old, new, was, now in axes)


def _copy(source: Tensor, target: Tensor, source_axes: Sequence[Axis], target_axes: Sequence[Axis]) -> int:
    """Copy the entries that both have; returns their number along the first axis."""
    places: list[tuple[list[int], list[int]]] = []
    for size, old, new in zip(target.shape, source_axes, target_axes, strict=True):
        number = {name: place for place, name in enumerate(range(size) if old is None else old)}
        names = enumerate(range(size) if new is None else new)
        shared = [(number[name], place) for place, name in names if name in number]
        places.append(([a for a, _ in shared], [b for _, b in shared]))
    theirs, ours = (
        torch.meshgrid(*(torch.tensor(side[way], dtype=torch.int64) for side in places), indexing="ij")
        for way in (0, 1)
    )
    target[ours] = source[theirs].to(target.device, target.dtype)
    return len(places[0][0])


def named_axes(model: Model) -> dict[str, Sequence[Axis]]:
    """By parameter, the names of the entries along each axis: words, characters, column values, tags or symbols."""
    parts = {"inputs": model.inputs, "head": model.head}
    return {f"{part}.{name}": own for part, module in parts.items() for name, own in module.named_axes().items()}


def format_transfer(rows: Sequence[Transferred]) -> str:
    """One line: numbers for entries with names, and modules for the rest.

    >>> words = Transferred("inputs.features.words.embedding.weight", 8, 9)
    >>> format_transfer([words, Transferred("encoder.x", 4, 4), Transferred("head.y", 0, 3)])
    'taken: words 8 of 9, encoder whole; not taken: head (other shape or names)'
    """
    modules: dict[str, list[Transferred]] = {}
    for row in rows:
        module = row.parameter.removeprefix("inputs.features.").removeprefix("inputs.").partition(".")[0]
        modules.setdefault(module, []).append(row)
    taken, left = [], []
    for module, own in modules.items():
        partial = max((row for row in own if 0 < row.entries < row.of), key=lambda row: row.of, default=None)
        if all(row.entries == row.of for row in own):
            taken.append(f"{module} whole")
        elif not any(row.entries for row in own):
            left.append(module)
        else:
            taken.append(f"{module} {partial.entries} of {partial.of}" if partial else f"{module} in part")
    not_taken = f"; not taken: {', '.join(left)} (other shape or names)" if left else ""
    return f"taken: {', '.join(taken) or 'nothing'}{not_taken}"
