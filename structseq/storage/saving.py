"""Saving a model folder atomically, with the model card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from structseq.data.textfile import write_error
from structseq.data.vocabulary import Vocabulary
from structseq.errors import ModelFileError
from structseq.files import NEW, OLD, current_folder, is_leftover, new_folder, write_file
from structseq.model import Model
from structseq.storage.bounds import check_numbers
from structseq.storage.configuration import FORMAT_VERSION, MODEL_TYPE, WEIGHTS
from structseq.storage.entries import checksum, entity_lines, json_bytes, read_object, tensor_bytes, vocabulary_text
from structseq.storage.model_card import model_card

# The entries of a model folder, and those that a killed save leaves
_OWN = (
    "config.json", "options.json", WEIGHTS, "vocabulary", "entities.jsonl", "metrics.json", "provenance.json",
    "README.md", NEW, OLD, f"{OLD}.part",
)  # fmt: skip


def save_model(
    folder: str | Path,
    model: Model,
    *,
    tokenizer: str,
    metrics: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    entities: Iterable[tuple[str, str]] = (),
) -> None:
    """Write a model folder; an older model in it is replaced only when the new one is complete.

    Raises `ModelFileError` if ``folder`` contains other files or cannot be written, or weights are not finite.

    Parameters
    ----------
    tokenizer:
        A key of `structseq.data.tokenizer.TOKENIZERS`.
    metrics, provenance:
        Values for JSON.
    entities:
        (text, label) of the training data's entities.
    """
    check_destination(folder)
    files = model_files(model, tokenizer=tokenizer, metrics=metrics, provenance=provenance, entities=entities)
    write_model(folder, files)


def write_model(folder: str | Path, files: Mapping[str, bytes]) -> None:
    """Write the files of `model_files` atomically; other files in ``folder`` are kept. Raises `ModelFileError`."""
    folder = Path(folder).resolve()
    try:
        with new_folder(folder, "config.json") as new:
            (new / "vocabulary").mkdir()
            for name, data in files.items():
                write_file(new / name, data)
    except OSError as problem:
        raise ModelFileError(f"{folder}: the model {write_error(problem)}") from None


def check_destination(folder: str | Path) -> None:
    """Raise `ModelFileError` if `save_model` would refuse ``folder``."""
    folder = current_folder(Path(folder).resolve(), "config.json")
    if folder.exists() and not folder.is_dir():
        raise ModelFileError(f"{folder}: expected a folder for the model, found a file; choose another name")
    if not folder.exists() or is_model_folder(folder):
        return
    killed = _OWN if (folder / NEW).exists() else ()  # a save was killed here
    foreign = sorted(entry.name for entry in folder.iterdir() if not is_leftover(entry) and entry.name not in killed)
    if foreign:
        raise ModelFileError(
            f"{folder}: expected a structseq model, an empty folder or no folder, found {foreign[0]!r}; "
            "choose another folder"
        )


def is_model_folder(folder: str | Path) -> bool:
    """Whether ``folder`` has a structseq model's config.json."""
    try:
        return read_object(current_folder(Path(folder), "config.json") / "config.json").get("model_type") == MODEL_TYPE
    except ModelFileError:
        return False


def model_files(
    model: Model,
    *,
    tokenizer: str,
    metrics: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    entities: Iterable[tuple[str, str]] = (),
) -> dict[str, bytes]:
    """The files that `save_model` writes, by name; raises `ModelFileError` for weights that are not finite."""
    check_numbers(model, Path(WEIGHTS))
    metrics, provenance = dict(metrics or {}), dict(provenance or {})
    weights = tensor_bytes(model.state_dict())
    files, vocabularies = _vocabulary_files(model.vocabularies)
    tags = model.tags
    config = {
        "model_type": MODEL_TYPE,
        "format_version": FORMAT_VERSION,
        "id2label": {str(number): label for number, label in enumerate(tags.labels)},
        "label2id": {label: number for number, label in enumerate(tags.labels)},
        "scheme": {"outer": tags.file_scheme.name, "inner": tags.model_scheme.name},
        "tokenizer": tokenizer,
        "vocabularies": vocabularies,
        "widths": model.widths,
        "weights": {"sha256": checksum(weights)},
    }
    return {
        "config.json": json_bytes(config),
        "options.json": json_bytes(model.options.to_dict()),
        WEIGHTS: weights,
        **files,
        "entities.jsonl": entity_lines(entities),
        "metrics.json": json_bytes(metrics),
        "provenance.json": json_bytes(provenance),
        "README.md": model_card(model, tokenizer, metrics, provenance).encode("utf-8", "backslashreplace"),
    }


def _vocabulary_files(vocabularies: Mapping[str, Vocabulary]) -> tuple[dict[str, bytes], dict[str, dict[str, Any]]]:
    files: dict[str, bytes] = {}
    entries: dict[str, dict[str, Any]] = {}
    for number, (name, vocabulary) in enumerate(vocabularies.items()):
        # The user's name of a column or a feature may not be a valid file name.
        prefix = name.partition(".")[0]
        file = f"{name}.txt" if prefix == name else f"{prefix}-{number}.txt"
        content = files[f"vocabulary/{file}"] = vocabulary_text(vocabulary).encode("utf-8")
        size = len(vocabulary.items)
        entries[name] = {"file": file, "open": vocabulary.open, "size": size, "sha256": checksum(content)}
    return files, entries
