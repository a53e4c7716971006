"""Loading a model folder without executing code from it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from structseq.config import Options, outside_classes
from structseq.data.textfile import shown
from structseq.data.vocabulary import Vocabulary
from structseq.errors import ConfigError, ModelFileError, StructseqError
from structseq.files import current_folder
from structseq.inputs import CUSTOM_PREFIX
from structseq.model import Model
from structseq.spans import TagSet
from structseq.storage.bounds import check_bounds, check_numbers
from structseq.storage.configuration import WEIGHTS, Configuration, VocabularyFile, read_configuration, tag_set
from structseq.storage.entries import (
    checksum,
    damaged,
    parse_entities,
    read_entry,
    read_object,
    read_text,
    read_vocabulary,
    tensors_of,
)

_MISMATCH = "the weights and options.json belong to different models, or to an earlier version: train the model again"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """The content of a model folder, and its version before migration; the model is on the CPU, in evaluation mode."""

    model: Model
    tokenizer: str
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    entities: frozenset[tuple[str, str]]
    format_version: int


def load_model(folder: str | Path, *, trusted: Collection[str] = ()) -> StoredModel:
    """Load a model folder; the random state is not changed, and memory is bounded by the size of its files.

    Raises `ModelFileError` if the folder is foreign, damaged, incomplete or too new, asks for more than its files
    account for (`structseq.storage.bounds`), or has weights that are not finite; warns if it is older.

    Parameters
    ----------
    trusted:
        Classes outside this package that may be imported, as ``"package.module:Class"``. Others are refused, because an
        import executes code.
    """
    folder = current_folder(Path(folder), "config.json")
    config, table, version = read_configuration(folder)
    tags = tag_set(config, folder / "config.json")
    options = _options(table, folder / "options.json", trusted)
    _check_vocabularies(config, folder / "config.json")
    vocabularies = {name: _read_vocabulary(folder, name, entry) for name, entry in config.vocabularies.items()}
    content = read_entry(folder / WEIGHTS)
    tensors = tensors_of(content, folder / WEIGHTS)
    _check_sum(folder / WEIGHTS, content, config.weights.sha256)
    size = len(content) + sum(
        (folder / "vocabulary" / each.file).stat().st_size for each in config.vocabularies.values()
    )
    check_bounds(options, vocabularies, tags, tensors, size, folder / "options.json")
    model = _assemble(options, vocabularies, tags, config.widths, tensors, folder)
    check_numbers(model, folder / WEIGHTS)
    metrics, provenance = (read_object(folder / f"{name}.json") for name in ("metrics", "provenance"))
    path = folder / "entities.jsonl"
    return StoredModel(model, config.tokenizer, metrics, provenance, parse_entities(read_text(path), path), version)


def _options(table: Mapping[str, Any], path: Path, trusted: Collection[str]) -> Options:
    """A class that is not trusted is refused before the import."""
    for name, kind in outside_classes(table).items():
        if kind not in trusted:
            raise ModelFileError(
                f"{path}: {shown(name)} is {shown(kind)!r}, a class outside structseq, whose code loading would "
                f"execute; if you trust it, load the folder with trusted=[{shown(kind)!r}], or on the command line "
                f"--trust {shown(kind)}"
            )
    try:
        return Options.of(table)
    except ConfigError as problem:
        raise ModelFileError(f"{path}: {shown(str(problem), 1000)}") from None


def _check_vocabularies(config: Configuration, path: Path) -> None:
    needed = set[str]() if "frames" in config.widths else {"words", "characters", "shapes", "affixes"}
    missing = needed - config.vocabularies.keys()
    if missing:
        raise damaged(path, f"a vocabulary {min(missing)!r}", "none")
    for name, entry in config.vocabularies.items():
        if entry.open == (name in ("words", "labels")) and not name.startswith(CUSTOM_PREFIX):
            wanted, other = ("false", "true") if entry.open else ("true", "false")
            raise damaged(path, f"vocabularies.{shown(name)}.open to be {wanted}", other)
    file, count = Counter(entry.file for entry in config.vocabularies.values()).most_common(1)[0] if needed else ("", 0)
    if count > 1:
        raise damaged(path, "a file for each vocabulary", f"{shown(file)} for {count:,}")
    if ("vectors" in config.vocabularies) != ("vectors" in config.widths):
        raise damaged(path, "vectors in both vocabularies and widths, or in neither", "them in only one")


def _read_vocabulary(folder: Path, name: str, entry: VocabularyFile) -> Vocabulary:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", entry.file):
        wanted = f"vocabularies.{shown(name)}.file to name a file in vocabulary/"
        raise damaged(folder / "config.json", wanted, repr(shown(entry.file)))
    path = folder / "vocabulary" / entry.file
    content = read_entry(path)
    vocabulary = read_vocabulary(read_text(path, content), path=path, open=entry.open, size=entry.size)
    _check_sum(path, content, entry.sha256)
    return vocabulary


def _check_sum(path: Path, content: bytes, expected: str) -> None:
    if checksum(content) != expected:
        raise damaged(path, "the SHA-256 in config.json", "another one")


# -- the model from what was read --------------------------------------------------------------------------------------


class _Unallocated(TorchFunctionMode):
    """Within it ``torch.empty`` and ``torch.zeros`` allocate no memory."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.zeros):
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _assemble(
    options: Options,
    vocabularies: Mapping[str, Vocabulary],
    tags: TagSet,
    widths: Mapping[str, int],
    tensors: Mapping[str, Tensor],
    folder: Path,
) -> Model:
    """Build the model and check the tensors' shapes without allocating memory."""
    place = folder / "options.json"
    # Outside classes may need real tensors.
    unallocated = nullcontext() if outside_classes(options.to_dict()) else _Unallocated()
    try:
        with torch.random.fork_rng(devices=[]), unallocated:
            model = Model(options, vocabularies, tags, widths)
    except (StructseqError, RuntimeError, LookupError, ValueError, TypeError, OverflowError, MemoryError) as problem:
        reason = shown(str(problem).partition("\n")[0], 300)
        raise ModelFileError(f"{place}: no model can be built from these options ({reason})") from None
    expected = model.state_dict()
    tensors = {**_older_temperature(expected), **tensors}
    _check_tensors(expected, tensors, folder / WEIGHTS)
    model.load_state_dict(dict(tensors), strict=True, assign=True)
    for name, buffer in list(model.named_buffers()):
        if buffer.is_meta:  # not saved; made by torch.zeros
            owner, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(owner), attribute, torch.zeros(buffer.shape, dtype=buffer.dtype))
    return model.eval()


def _older_temperature(expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """1 for the temperature, which heads trained by likelihood did not have in earlier versions."""
    return {name: torch.ones(()) for name in expected if name.rpartition(".")[2] == "temperature"}


def _check_tensors(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> None:
    wanted, had = (
        {name: f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}" for name, tensor in tensors.items()}
        for tensors in (expected, found)
    )
    for name, kind in wanted.items():
        if name not in had:
            raise ModelFileError(f"{path}: expected a tensor {shown(name)}, found none; {_MISMATCH}")
        if kind != had[name]:
            raise ModelFileError(f"{path}: expected {name} to be {kind}, found {shown(had[name])}; {_MISMATCH}")
    for name in had.keys() - wanted.keys():
        raise ModelFileError(f"{path}: expected no tensor {shown(name)}, found one; {_MISMATCH}")
