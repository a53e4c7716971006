"""Transfer: the weights of one model as the start of another; rows that have a name move by name, the rest by shape."""

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
class Taken:
    """What one parameter got: ``entries`` of ``of`` along its first axis; all or none where rows have no names."""

    parameter: str
    entries: int
    of: int


def transfer(source: Model, target: Model) -> list[Taken]:
    """Copy into ``target`` what ``source`` has for it: words' vectors by word, tags' scores by tag.

    Frozen parameters (pretrained vectors) stay, and so do rows without a counterpart. A layer of which one parameter is
    of another shape stays as a whole: recurrent weights are worth nothing under another input's. What was taken, by
    parameter.
    """
    given = _by_column(source, dict(source.named_parameters()))
    wanted = {n: p for n, p in _by_column(target, dict(target.named_parameters())).items() if p.requires_grad}
    axes: dict[str, tuple[Sequence[Axis], Sequence[Axis]]] = {}
    given_axes, wanted_axes = (_by_column(model, named_axes(model)) for model in (source, target))
    for name, parameter in wanted.items():
        none = [None] * parameter.dim()
        axes[name] = given_axes.get(name, none), wanted_axes.get(name, none)
    foreign = {_layer(name) for name, parameter in wanted.items() if not _fits(given.get(name), parameter, *axes[name])}
    if _parts(source) != _parts(target):  # what the first layer reads stands elsewhere
        foreign.add("encoder.layers.0")
    with torch.no_grad():
        return [
            Taken(
                name,
                0 if _layer(name) in foreign else _copy(given[name], parameter, *axes[name]),
                parameter.shape[0] if parameter.dim() else 1,
            )
            for name, parameter in wanted.items()
        ]


def _by_column(model: Model, values: Mapping[str, Value]) -> dict[str, Value]:
    """What parameters have, by name: of a column's embedding, which is numbered, by the name of its column."""
    begin = "inputs.column_embeddings."
    numbers = {f"{begin}{n}": f"inputs.columns.{name}" for n, name in enumerate(_columns(model))}
    return {
        numbers[name.rpartition(".")[0]] + ".weight" if name.startswith(begin) else name: value
        for name, value in values.items()
    }


def _columns(model: Model) -> Sequence[str]:
    return tuple(model.inputs.column_vocabularies)


def _parts(model: Model) -> Sequence[str]:
    """What a step is made of, in order."""
    return (*model.inputs.features, *_columns(model))


def _layer(name: str) -> str:
    """An encoder's layer, both directions of it; elsewhere the module that a parameter belongs to."""
    return ".".join(name.split(".")[:3]) if name.startswith("encoder.layers.") else name.rpartition(".")[0]


def _fits(source: Tensor | None, target: Tensor, source_axes: Sequence[Axis], target_axes: Sequence[Axis]) -> bool:
    """Whether entries correspond: along each axis both have names, or neither has and the lengths agree."""
    return (
        source is not None
        and source.dim() == target.dim()
        and all(
            (old is None) == (new is None) and (old is not None or source.shape[n] == target.shape[n])
            for n, (old, new) in enumerate(zip(source_axes, target_axes, strict=True))
        )
    )


def _copy(source: Tensor, target: Tensor, source_axes: Sequence[Axis], target_axes: Sequence[Axis]) -> int:
    """Copy the entries that both have; how many along the first axis."""
    places: list[tuple[list[int], list[int]]] = []
    for n, (old, new) in enumerate(zip(source_axes, target_axes, strict=True)):
        if old is None or new is None:
            places.append((list(range(target.shape[n])), list(range(target.shape[n]))))
            continue
        number = {name: place for place, name in enumerate(old)}
        shared = [(number[name], place) for place, name in enumerate(new) if name in number]
        places.append(([a for a, _ in shared], [b for _, b in shared]))
    theirs, ours = (
        torch.meshgrid(*(torch.tensor(side[way], dtype=torch.int64) for side in places), indexing="ij")
        for way in (0, 1)
    )
    target[ours] = source[theirs].to(target.device, target.dtype)
    return len(places[0][0])


def named_axes(model: Model) -> dict[str, Sequence[Axis]]:
    """Names of the entries along each axis, for those parameters whose entries stand for words, characters, values of a
    column, tags or symbols, as inputs and head say themselves."""
    axes: dict[str, Sequence[Axis]] = {}
    for part, module in (("inputs", model.inputs), ("head", model.head)):
        axes |= {f"{part}.{name}": own for name, own in module.named_axes().items()}
    return axes


def described(taken: Sequence[Taken]) -> str:
    """What was taken, as a line: the named rows in numbers, the rest by module.

    >>> rows = [Taken("inputs.features.words.embedding.weight", 8, 9), Taken("encoder.x", 4, 4), Taken("head.y", 0, 3)]
    >>> described(rows)
    'taken: words 8 of 9, encoder whole; not taken: head (other shape or names)'
    """
    parts, missing = [], []
    for module, rows in _by_module(taken).items():
        some = [row for row in rows if row.entries not in (0, row.of)]
        numbers = max(some, key=lambda row: row.of, default=None)
        if all(row.entries == row.of for row in rows):
            parts.append(f"{module} whole")
        elif not any(row.entries for row in rows):
            missing.append(module)
        else:
            parts.append(f"{module} {numbers.entries} of {numbers.of}" if numbers else f"{module} in part")
    left = f"; not taken: {', '.join(missing)} (other shape or names)" if missing else ""
    return f"taken: {', '.join(parts) or 'nothing'}{left}"


def _by_module(taken: Sequence[Taken]) -> dict[str, list[Taken]]:
    modules: dict[str, list[Taken]] = {}
    for row in taken:
        words = row.parameter.removeprefix("inputs.features.").removeprefix("inputs.").split(".")
        modules.setdefault(words[0], []).append(row)
    return modules
