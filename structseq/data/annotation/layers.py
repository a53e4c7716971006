"""Layers of annotations: the choice of one by its type, as INCEpTION and WebAnno name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from structseq.errors import DataError


def short(name: str) -> str:
    """The last part of a type's name."""
    return name.rpartition(".")[2]


def chosen_layer(wanted: str, layers: Mapping[str, Sequence[str]], usual: Sequence[str]) -> tuple[str, str]:
    """The type of the layer that is wanted, and the feature that is wanted for labels, or empty.

    ``wanted`` is a type, its last part, or one of these with ``.feature``; if empty, the ``usual`` layer is. ``layers``
    has the features of each type. Raises `DataError` if there is none or several.
    """
    name, _, feature = wanted.rpartition(".")
    found = [(each, "") for each in layers if each == wanted] or [
        (each, "") for each in layers if short(each) == wanted
    ]
    found = found or [(each, feature) for each in layers if name in (each, short(each)) and feature in layers[each]]
    if not wanted:
        found = [(each, "") for each in usual]
    if len(found) == 1:
        return found[0]
    listed = ", ".join("|".join([each, *features]) for each, features in layers.items())
    what = f"a layer {wanted!r:.60}" if wanted else "one layer with spans"
    raise DataError(f"expected {what}, found {listed}; name one with data.layer (type, or type.feature)")
