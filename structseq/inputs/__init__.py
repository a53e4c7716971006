"""Word features by name, as ``inputs.features.NAME.type`` gives it: one class and one row each."""

from __future__ import annotations

from structseq.inputs.base import WordFeature
from structseq.inputs.characters import CharacterCNN
from structseq.inputs.tokens import AffixEmbedding, WordEmbedding

FEATURES: dict[str, type[WordFeature]] = {
    "words": WordEmbedding,
    "characters": CharacterCNN,
    "affixes": AffixEmbedding,
}
