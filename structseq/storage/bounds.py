"""What a model folder may ask for, beyond the tensors that it holds; checked before the model is built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from structseq.config import Options
from structseq.data.textfile import shown
from structseq.data.vocabulary import Vocabulary
from structseq.errors import ModelFileError
from structseq.features.words import AffixOptions, CharactersOptions, EmbeddingOptions
from structseq.heads import HEADS
from structseq.heads.joint import JointHead
from structseq.heads.segmental import SegmentsHead
from structseq.heads.tagging import TaggingHead
from structseq.model import Model
from structseq.section import resolve_class
from structseq.spans import TagSet
from structseq.storage.entries import is_finite

# Bytes of the tables of words and tags: at most SPARE + TIMES * the size of the folder's weights and vocabularies
SPARE, TIMES = 32 << 20, 32
# Most layers, and symbols of an answer
LAYERS, SYMBOLS = 500, 1_000_000


def check_bounds(
    options: Options,
    vocabularies: Mapping[str, Vocabulary],
    tags: TagSet,
    tensors: Mapping[str, Tensor],
    size: int,
    place: Path,
) -> None:
    """Raise `ModelFileError` for options with too little data behind them; ``size``: bytes of weights and vocabularies.

    ``place`` is the file that messages name.
    """
    _check_parts(options, {name for name, tensor in tensors.items() if tensor.numel()}, place)
    allowed = SPARE + TIMES * size
    words = len(vocabularies["words"].items) if "words" in vocabularies else 0
    if words and (numbers := _numbers_of_a_word(options, vocabularies)) * words * 8 > allowed:
        found = f"about {numbers:,} numbers for each of {words:,} words"
        raise _too_much(place, "the tables of its words", found, numbers * words * 8, allowed)
    count, needed = len(tags.labels), _square(options, tags) * len(tags.labels) ** 2
    if needed > allowed:
        raise _too_much(place, "the tables of its tags", f"{count:,} tags", needed, allowed)


def _too_much(place: Path, what: str, found: str, needed: int, allowed: int) -> ModelFileError:
    return ModelFileError(
        f"{place}: expected {what} to need at most {allowed >> 20:,} MiB ({SPARE >> 20} MiB and {TIMES} times the size "
        f"of weights and vocabularies), found {found}, {needed >> 20:,} MiB; the files belong to different models"
    )


def _check_parts(options: Options, stored: set[str], place: Path) -> None:
    """Each layer, filter and feature has weights of its own."""
    encoder = options.encoder
    layers = encoder.layers + encoder.attention
    own = len({name.split(".")[2] for name in stored if name.startswith("encoder.layers.")})
    if layers > min(own, LAYERS):
        found = f"{layers:,} layers (encoder.layers and encoder.attention), and weights of {own:,}"
        wanted = f"no more than {LAYERS} layers, nor" if own > LAYERS else "no more layers"
        raise ModelFileError(f"{place}: expected {wanted} than there are weights for, found {found}")
    characters = [each for each in _features(options) if isinstance(each, CharactersOptions)]
    counts = {
        "periods (encoder.periods)": layers * len(getattr(encoder, "periods", ())),
        "windows of characters": sum(min(len(each.windows), each.width) for each in characters),
        "features (inputs.features)": len(options.inputs.features),
    }
    for what, count in counts.items():
        if count > len(stored):
            found = f"{count:,} {what}, and {len(stored):,} tensors with weights"
            raise ModelFileError(f"{place}: expected no more {what} than there are weights for, found {found}")


def _features(options: Options) -> list[object]:
    inputs = options.inputs
    every = [inputs.words, inputs.characters, inputs.affixes, *inputs.features.values()]
    return [each for each in every if getattr(each, "on", True)]


def _numbers_of_a_word(options: Options, vocabularies: Mapping[str, Vocabulary]) -> int:
    """About how many numbers of 8 bytes the features hold for a word, with what they need while they are built."""
    longest = max(map(len, vocabularies["words"].items))
    total = 3 * ("vectors" in vocabularies)
    for each in _features(options):
        if isinstance(each, EmbeddingOptions):
            total += 20  # the folded word and its place in a dictionary
        elif isinstance(each, CharactersOptions):
            total += 2 + min(each.longest, longest)
        elif isinstance(each, AffixOptions):
            total += 3 * (1 + (len(each.lengths) if each.width else 0))
    return total


def _square(options: Options, tags: TagSet) -> int:
    """Bytes for each pair of tags."""
    head = resolve_class(HEADS, options.head.type, "head.type")
    if not (isinstance(head, type) and issubclass(head, TaggingHead | SegmentsHead | JointHead)):
        return 0
    return 1 if tags.model_scheme.plain else 32 if issubclass(head, SegmentsHead) else 9


def check_numbers(model: Model, place: Path) -> None:
    """Raise `ModelFileError` for weights that are not finite, and for counts out of range."""
    trained = {name for name, _ in model.named_parameters()}
    for name, tensor in model.state_dict().items():
        if tensor.dtype == torch.int64 and tensor.numel() and not -1 <= tensor.min() <= tensor.max() <= SYMBOLS:
            raise ModelFileError(
                f"{place}: expected {shown(name)} to be from -1 to {SYMBOLS:,}, found {int(tensor.min()):,} to "
                f"{int(tensor.max()):,}; the file is damaged"
            )
        if is_finite(tensor):
            continue
        if name in trained or bool((tensor.isnan() | tensor.isposinf()).any()):  # a buffer may hold the logarithm of 0
            found = f"{int((~tensor.isfinite()).sum()):,} of {tensor.numel():,} that are NaN or infinite"
            raise ModelFileError(
                f"{place}: expected finite numbers in {shown(name)}, found {found}; train the model again, with a "
                "lower training.learning_rate if its loss diverged"
            )
