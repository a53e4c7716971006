"""The features of Hugging Face datasets: names of classes that are stored as numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from structseq.errors import DataError

KEY = b"huggingface"  # of the metadata of an Arrow schema


def features_of(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """The features in the metadata of an Arrow schema, by column; empty if there are none."""
    try:
        features = json.loads((metadata or {})[KEY])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return named_features(features)


def named_features(features: Any) -> dict[str, Any]:
    """The features, as plain values, of the columns with classes."""
    items = features.items() if isinstance(features, Mapping) else ()
    return {name: feature for name, feature in items if "ClassLabel" in str(feature)}


def with_names(value: Any, feature: Any) -> Any:
    """The value with names for the numbers of classes.

    Raises `DataError` for a number without a name.
    """
    if isinstance(feature, list) and len(feature) == 1:  # an old way to write lists
        feature = {"_type": "List", "feature": feature[0]}
    if value is None or not isinstance(feature, Mapping):
        return value
    kind, inner = feature.get("_type"), feature.get("feature")
    if kind == "ClassLabel":
        return _name(value, feature.get("names"))
    if isinstance(value, list):
        return [with_names(item, inner) for item in value]
    if isinstance(value, Mapping):
        # A list of objects may be stored as an object of lists
        fields = {name: [part] for name, part in inner.items()} if isinstance(inner, Mapping) else feature
        return {name: with_names(part, fields.get(name)) for name, part in value.items()}
    return value


def _name(value: Any, names: Any) -> Any:
    if type(value) is not int or not isinstance(names, list):
        return value
    if value == -1:  # no class
        return None
    if not 0 <= value < len(names):
        raise DataError(f"expected the number of a class, 0 to {len(names) - 1}, found {value}; correct the names")
    return names[value]


def schema_metadata(features: Mapping[str, Any]) -> dict[bytes, bytes]:
    """The metadata of an Arrow schema with these features, by column."""
    return {KEY: json.dumps({"info": {"features": features}}, ensure_ascii=False).encode()}


def value_feature(dtype: str) -> dict[str, Any]:
    return {"dtype": dtype, "_type": "Value"}


def class_feature(names: Sequence[str]) -> dict[str, Any]:
    return {"names": list(names), "_type": "ClassLabel"}


def list_feature(inner: Mapping[str, Any]) -> dict[str, Any]:
    """A list; the older of its names, which all versions of ``datasets`` read."""
    return {"feature": inner, "_type": "Sequence"}
