"""Layers of WebAnno TSV: their columns, and the choice of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from structseq.errors import DataError


class Chosen(NamedTuple):
    """The layer whose spans are annotations, and the feature that has their labels (or empty)."""

    type: str
    feature: str


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer in a file's header.

    Attributes
    ----------
    kind:
        ``T_SP`` (spans), ``T_CH`` (chains) or ``T_RL`` (relations).
    columns:
        As in the header, ``""`` if a layer has no feature.
    first:
        Where its columns start, after the token.
    """

    kind: str
    type: str
    columns: tuple[str, ...]
    first: int

    @property
    def short(self) -> str:
        return self.type.rpartition(".")[2]

    @property
    def own(self) -> list[int]:
        """The columns with values of an annotation itself, without the targets of its slots."""
        slots = [at + 1 for at, name in enumerate(self.columns) if name.startswith("ROLE_")]
        return [at for at in range(len(self.columns)) if at not in slots]

    @property
    def features(self) -> list[str]:
        """The names of columns in `own` that are no slots."""
        return [name for at in self.own if (name := self.columns[at]) and not name.startswith("ROLE_")]

    @property
    def label(self) -> str:
        """The feature with the label: ``value``, else the first, or empty."""
        return "value" if "value" in self.features else next(iter(self.features), "")


def layer_of(line: str, first: int) -> Layer | None:
    """The layer of a header line such as ``#T_SP=type|feature|feature``; None if it is none."""
    kind, _, rest = line.rstrip()[1:].partition("=")
    name, *columns = rest.split("|")
    columns = [column for column in columns if column]
    slots = any(column.startswith("ROLE_") for column in columns[-1:])
    layer = Layer(kind, name, tuple(columns) or ("",), first)
    repeated = len(set(layer.features)) < len(layer.features)
    return None if kind not in ("T_SP", "T_CH", "T_RL") or not name or slots or repeated else layer


def merged(layers: Iterable[Layer]) -> list[Layer]:
    """One layer for each type, with all its features."""
    found: dict[str, Layer] = {}
    for layer in layers:
        features = found.get(layer.type, layer).features
        found[layer.type] = replace(layer, columns=tuple(dict.fromkeys((*features, *layer.features))) or ("",))
    return list(found.values())


def chosen_layer(layers: Sequence[Layer], wanted: str, file: str) -> Chosen | None:
    """The layer that is wanted; None if there is no layer with spans.

    ``wanted`` is a type, its last part, or one of these with ``.feature``; if empty, the only layer of spans, or the
    only one whose name ends in NamedEntity. Raises `DataError` if that is none or several.
    """
    spans = [layer for layer in layers if layer.kind == "T_SP"]
    if not spans:
        return None
    named = [layer for layer in spans if layer.type == wanted] or [layer for layer in spans if layer.short == wanted]
    if not wanted:
        named = spans if len(spans) == 1 else [layer for layer in spans if layer.type.endswith("NamedEntity")]
    name, _, feature = wanted.rpartition(".")
    choices = [Chosen(layer.type, layer.label) for layer in named] or [
        Chosen(layer.type, feature)
        for layer in spans
        if name in (layer.type, layer.short) and feature in layer.features
    ]
    if len(choices) == 1:
        return choices[0]
    listed = ", ".join("|".join([layer.type, *layer.features]) for layer in spans)
    what = f"a layer {wanted!r:.60}" if wanted else "one layer with spans"
    raise DataError(f"expected {what}, found {listed}; name one with data.layer (type, or type.feature)", file=file)
