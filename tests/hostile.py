"""Model folders as a stranger could make them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import miniature
import safetensors.torch
import torch

from structseq.storage import model_files
from structseq.storage.entries import checksum

Change = Callable[[Path], None]


@cache
def _healthy(head: str, encoder: str) -> Mapping[str, bytes]:
    model = miniature.model({"head": {"type": head}, "encoder": {"type": encoder}})
    return model_files(model, tokenizer="words-1")


def healthy(folder: Path, *, head: str = "crf", encoder: str = "lstm") -> Path:
    """A model folder without a fault."""
    for name, content in _healthy(head, encoder).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def edit(folder: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Rewrite a JSON file."""
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    change(content)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def options(**sections: Mapping[str, Any]) -> Change:
    def change(found: dict[str, Any]) -> None:
        for section, own in sections.items():
            for name, value in own.items():
                old = found[section].get(name)
                found[section][name] = {**old, **value} if isinstance(old, dict) and "type" not in value else value

    return lambda folder: edit(folder, "options.json", change)


def weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Change:
    """Changed weights, with their checksum."""

    def changed(folder: Path) -> None:
        path = folder / "model.safetensors"
        tensors = safetensors.torch.load_file(path)
        change(tensors)
        safetensors.torch.save_file(tensors, path)
        digest = checksum(path.read_bytes())
        edit(folder, "config.json", lambda config: config["weights"].update(sha256=digest))

    return changed


def words(items: list[str]) -> Change:
    """Another vocabulary of words, with its checksum."""

    def changed(folder: Path) -> None:
        content = "".join(f"{item}\t1\n" for item in items).encode()
        (folder / "vocabulary" / "words.txt").write_bytes(content)
        entry = {"size": len(items), "sha256": checksum(content)}
        edit(folder, "config.json", lambda config: config["vocabularies"]["words"].update(entry))

    return changed


def tags(count: int) -> Change:
    def change(config: dict[str, Any]) -> None:
        labels = ["O", *(f"{letter}-{n}" for n in range(count // 2) for letter in "BI")]
        config["id2label"] = {str(n): label for n, label in enumerate(labels)}
        config["label2id"] = {label: n for n, label in enumerate(labels)}

    return lambda folder: edit(folder, "config.json", change)


def every_vocabulary_in_one_file(folder: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["vocabularies"] |= {
            f"column.{n}": {**config["vocabularies"]["words"], "open": True} for n in range(3000)
        }

    words(MANY[:5000])(folder)
    edit(folder, "config.json", change)


def both(*changes: Change) -> Change:
    def changed(folder: Path) -> None:
        for change in changes:
            change(folder)

    return changed


MANY = [f"w{n}" for n in range(20_000)]
SOME = list(range(1, 100_001))

# A change, options of `healthy`, and what the refusal says
SIZES: dict[str, tuple[Change, dict[str, str], str]] = {
    "layers": (options(encoder={"layers": 10**9}), {}, "1,000,000,000 layers"),
    "attention": (options(encoder={"attention": 10**9}), {}, "1,000,000,001 layers"),
    "layers with tensors of nothing": (
        both(
            options(encoder={"layers": 20_000}),
            weights(lambda t: t.update({f"encoder.layers.{n}.x": torch.zeros(0) for n in range(20_000)})),
        ),
        {},
        "layers",
    ),
    "prefixes": (
        both(options(inputs={"affixes": {"prefixes": list(range(1, 20_001))}}), words(MANY)),
        {},
        "for each of 20,000 words",
    ),
    "a long word": (
        both(options(inputs={"characters": {"longest": 10**9}}), words([*MANY, "x" * 1_000_000])),
        {},
        "for each of 20,001 words",
    ),
    "features": (
        both(
            options(inputs={"features": {f"f{n}": {"type": "words", "width": 1} for n in range(20_000)}}),
            words(MANY),
        ),
        {},
        "features",
    ),
    "windows": (options(inputs={"characters": {"windows": SOME, "width": 10**7}}), {}, "windows"),
    "periods": (options(encoder={"periods": SOME, "width": 10**6}), {"encoder": "clockwork"}, "periods"),
    "tags": (tags(40_000), {"head": "softmax"}, "40,001 tags"),
    "tags of a CRF": (tags(40_000), {}, "40,001 tags"),
    "tags of segments": (tags(40_000), {"head": "segments"}, "40,001 tags"),
    "a file for many vocabularies": (every_vocabulary_in_one_file, {}, "words.txt"),
}
