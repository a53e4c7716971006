"""The table of word features; inputs from options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from structseq.config import InputOptions
from structseq.data.vocabulary import Vocabulary
from structseq.errors import ConfigError
from structseq.features.base import FeatureOptions
from structseq.features.encoding import TokenEncoder, build_features
from structseq.features.vectors import Vectors
from structseq.inputs.base import Inputs, WordFeature
from structseq.inputs.frame_inputs import FrameInputs
from structseq.inputs.token_inputs import AffixEmbedding, CharacterCNN, PretrainedVectors, WordEmbedding
from structseq.section import resolve_class

FEATURES: dict[str, type[WordFeature]] = {
    "words": WordEmbedding,
    "characters": CharacterCNN,
    "affixes": AffixEmbedding,
}
# Prefix of the vocabularies of features in ``inputs.features``: feature.NAME.OWN
CUSTOM_PREFIX = "feature."


def count_custom_vocabularies(options: InputOptions, vocabularies: Mapping[str, Vocabulary]) -> dict[str, Vocabulary]:
    """The vocabularies of the features in ``inputs.features``, as ``feature.NAME.OWN``; empty for frames."""
    return {
        f"{CUSTOM_PREFIX}{name}.{own}": counted
        for name, kind, section in _further(options)
        if "words" in vocabularies
        for own, counted in kind.Index.count(section, vocabularies["words"]).items()
    }


def build_inputs(
    options: InputOptions, vocabularies: Mapping[str, Vocabulary], widths: Mapping[str, int]
) -> Inputs | FrameInputs:
    """Raises `ConfigError` if every input is turned off, or for a feature with an unusable name or class."""
    if "frames" in widths:
        return FrameInputs(widths["frames"], dropout=options.dropout, **options.frames.model_dump())
    encoder, features = TokenEncoder.of(vocabularies), dict[str, WordFeature]()
    for name, feature in build_features(options, vocabularies).items():
        if isinstance(feature, Vectors):
            features[name] = PretrainedVectors(feature, widths["vectors"], tune=options.words.tune_vectors)
        else:
            kind: Any = FEATURES[name]
            features[name] = kind(feature, getattr(options, name))
    for name, kind, section in _further(options):
        prefix = f"{CUSTOM_PREFIX}{name}."
        own = {key.removeprefix(prefix): known for key, known in vocabularies.items() if key.startswith(prefix)}
        features[name] = kind(kind.Index(section, {**own, "words": encoder.words}), section)
    if not features and not encoder.columns:
        raise ConfigError(
            "inputs: expected at least one input, found all turned off; turn on words, characters, affixes or a column"
        )
    rates = {"dropout": options.dropout, "word_dropout": options.word_dropout}
    return Inputs(encoder, features, column_width=options.column_width, **rates)


def _further(options: InputOptions) -> Iterator[tuple[str, Any, FeatureOptions]]:
    for name, section in options.features.items():
        place = f"inputs.features.{name}"
        if not name.isidentifier() or name in (*FEATURES, "vectors") or hasattr(nn.ModuleDict(), name):
            raise ConfigError(
                f"{place}: expected a Python identifier that is not taken, found {name!r}; choose another name"
            )
        kind = resolve_class(FEATURES, section.type, f"{place}.type")
        if not (issubclass(kind, WordFeature) and hasattr(kind, "Index")):
            raise ConfigError(f"{place}.type: expected a WordFeature with an Index, found {section.type}")
        if section.on:
            yield name, kind, section
