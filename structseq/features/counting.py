"""What the features of a model need: counted on the training data, and built again from what was counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from structseq.data.example import FRAMES, Example, modality_of
from structseq.data.vocabulary import Vocabulary
from structseq.features.affixes import Affixes, AffixOptions
from structseq.features.base import Feature
from structseq.features.characters import Characters, CharactersOptions
from structseq.features.encoding import COLUMN, column_of
from structseq.features.vectors import Floats, Vectors, read_vectors
from structseq.features.words import Words, WordsOptions
from structseq.section import Section


class OwnFeatureOptions(Section):
    """The word features that every model may have; a width of 0 turns one off."""

    words: WordsOptions = WordsOptions()
    characters: CharactersOptions = CharactersOptions()
    affixes: AffixOptions = AffixOptions()


class Counted(NamedTuple):
    """What was counted on the training data.

    Attributes
    ----------
    vocabularies:
        By name: ``words``, ``characters``, ``shapes``, ``affixes``, ``column.NAME``, and ``vectors`` where options name
        a file; none for frames.
    widths:
        ``frames`` or ``vectors``: the length of one.
    vectors: (V, width) float32
        The pretrained vectors of the file, as they are in it.
    """

    vocabularies: dict[str, Vocabulary]
    widths: dict[str, int]
    vectors: Floats | None = None


def count_vocabularies(
    options: OwnFeatureOptions, columns: Iterable[str], examples: Sequence[Example], known: Vocabulary | None = None
) -> Counted:
    """Count for the house's own features; ``columns`` are the names of further input columns, and ``known`` words are
    counted too."""
    if modality_of(examples) is FRAMES:
        return Counted({}, {"frames": examples[0].frames.shape[1]})
    counted = Counter(word for example in examples for word in example.tokens)
    counted.update(dict(zip(known.items, known.counts, strict=True)) if known is not None else {})
    words = Vocabulary.count(counted, open=False)
    vocabularies = {
        "words": words,
        **Characters.count(options.characters, words),
        **Affixes.count(options.affixes, words),
    }
    for name in columns:
        vocabularies[COLUMN + name] = Vocabulary.count(Counter(v for e in examples for v in column_of(e, name)))
    if not options.words.vectors:
        return Counted(vocabularies, {})
    listed, table = read_vectors(options.words.vectors)
    vocabularies["vectors"] = Vocabulary(listed, open=True)
    return Counted(vocabularies, {"vectors": table.shape[1]}, table)


def build_features(options: OwnFeatureOptions, vocabularies: Mapping[str, Vocabulary]) -> dict[str, Feature]:
    """The house's own features of a model that reads tokens, by name, in the order in which their vectors are laid side
    by side."""
    found: dict[str, Feature] = {}
    if options.words.on:
        found["words"] = Words(options.words, vocabularies)
    if "vectors" in vocabularies:
        found["vectors"] = Vectors(options.words, vocabularies)
    if options.characters.on:
        found["characters"] = Characters(options.characters, vocabularies)
    if options.affixes.on:
        found["affixes"] = Affixes(options.affixes, vocabularies)
    return found
