"""Saving a model folder, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from structseq.data.vocabulary import Vocabulary
from structseq.errors import ModelFileError
from structseq.files import NEW, leftover, new_folder, standing, write_file
from structseq.model import Model
from structseq.storage.card import model_card
from structseq.storage.configuration import MODEL_TYPE, WEIGHTS
from structseq.storage.entries import checksum, entity_lines, json_bytes, read_object
from structseq.storage.migrations import FORMAT_VERSION
from structseq.storage.vocabulary import vocabulary_text
from structseq.storage.weights import tensor_bytes


def save_model(
    folder: str | Path,
    model: Model,
    *,
    tokenizer: str,
    metrics: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    entities: Iterable[tuple[str, str]] = (),
) -> None:
    """Write a model folder: a model that stands there already is replaced only when the new one is complete.

    Parameters
    ----------
    tokenizer:
        Name of the tokenizer that text is cut by, a key of `structseq.data.tokenizer.TOKENIZERS`.
    metrics, provenance:
        JSON-able; scores, and where the model comes from.
    entities:
        (text, label) of the training data's entities.

    Raises
    ------
    ModelFileError
        ``folder`` holds something that is no model of ours, or cannot be written.
    """
    check_destination(folder)
    files = model_files(model, tokenizer=tokenizer, metrics=metrics, provenance=provenance, entities=entities)
    write_model(folder, files)


def write_model(folder: str | Path, files: Mapping[str, bytes]) -> None:
    """Put the ``files`` of `model_files` into ``folder``, all or none; whatever else is there stays.

    Raises `ModelFileError` if ``folder`` cannot be written.
    """
    folder = Path(folder).resolve()
    try:
        with new_folder(folder, "config.json") as new:
            (new / "vocabulary").mkdir()
            for name, data in files.items():
                write_file(new / name, data)
    except OSError as problem:
        raise ModelFileError(f"{folder}: the model cannot be written ({problem.strerror or problem})") from None


def check_destination(folder: str | Path) -> None:
    """Raise `ModelFileError` where `save_model` would refuse ``folder``; ask before training, not after."""
    folder = standing(Path(folder).resolve(), "config.json")
    if folder.exists() and not folder.is_dir():
        raise ModelFileError(f"{folder}: expected a folder for the model, found a file; choose another name")
    if not folder.exists() or is_model_folder(folder) or (folder / NEW).exists():  # `NEW`: a save was killed here
        return
    foreign = sorted(entry.name for entry in folder.iterdir() if not leftover(entry))
    if foreign:
        raise ModelFileError(
            f"{folder}: expected a structseq model, an empty folder or none, found {foreign[0]!r}; "
            "what is no model is not overwritten, choose another folder"
        )


def is_model_folder(folder: str | Path) -> bool:
    """Whether ``folder`` has the config.json of a structseq model; the rest may still be damaged."""
    try:
        return read_object(standing(Path(folder), "config.json") / "config.json").get("model_type") == MODEL_TYPE
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
    """Every file of the folder that `save_model` writes, by name."""
    metrics, provenance = dict(metrics or {}), dict(provenance or {})
    weights = tensor_bytes(model.state_dict())
    files, listed = _vocabulary_files(model.vocabularies)
    tags = model.tags
    config = {
        "model_type": MODEL_TYPE,
        "format_version": FORMAT_VERSION,
        "id2label": {str(number): label for number, label in enumerate(tags.labels)},
        "label2id": {label: number for number, label in enumerate(tags.labels)},
        "scheme": {"outer": tags.outer.name, "inner": tags.inner.name},
        "tokenizer": tokenizer,
        "vocabularies": listed,
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
    """The text files by name, and what config.json says of each."""
    files: dict[str, bytes] = {}
    listed: dict[str, dict[str, Any]] = {}
    for number, (name, vocabulary) in enumerate(vocabularies.items()):
        # The user's name of a column or a feature may be no name for a file.
        room = name.partition(".")[0]
        file = f"{name}.txt" if room == name else f"{room}-{number}.txt"
        content = vocabulary_text(vocabulary).encode("utf-8")
        files[f"vocabulary/{file}"] = content
        listed[name] = {
            "file": file,
            "open": vocabulary.open,
            "size": len(vocabulary.items),
            "sha256": checksum(content),
        }
    return files, listed
