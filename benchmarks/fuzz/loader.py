"""Loads damaged and hostile model folders, and answers one input.

Bytes of every file, values of JSON, the headers and values of tensors, vocabularies, and whole files are changed; four
times in five the checksums are made to fit again. Nothing but an error of structseq may be raised, and an answer is
finite. An option `--case N` runs one case alone.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from driver import Draw, Fault, Fuzzer
from models import Files, compile_kernels, folders
from mutation import EXTREMES, changed, json_text, mutated

from structseq.data.example import Example
from structseq.errors import StructseqError
from structseq.inference import OutputOptions, predictor_of
from structseq.storage import load_model

_WEIGHTS = "model.safetensors"
_JSON = ("config.json", "options.json", "metrics.json", "provenance.json")
_COUNTS = (0, -1, 3, 300, 10_000, 10**6, 10**9, 2**63, 10**30)


@dataclass
class Loading:
    """A model folder with some files changed."""

    kind: str
    files: Mapping[str, bytes]
    place: Path
    changes: Sequence[str]
    whole: Mapping[str, bytes]  # the same folder, unchanged

    def shown(self) -> Mapping[str, Any]:
        found = {name: data for name, data in self.files.items() if self.whole.get(name) != data}
        missing = [name for name in self.whole if name not in self.files]
        return {
            "changes": self.changes, "missing": missing,
            "files": {name: repr(data[:2000]) for name, data in found.items()},
        }  # fmt: skip

    def run(self) -> str:
        self._write()
        try:
            predictor = predictor_of(load_model(self.place))
            if not all(map(_are_numbers, *zip(*predictor.model.state_dict().items(), strict=True))):
                raise Fault("weights that are not finite were loaded")
            preprocessor = predictor.preprocessor
            example = (
                preprocessor.text("to Taipei on May 2nd", "text") if _takes_text(predictor) else _frames(predictor)
            )
            (answer,) = predictor.answer([example], OutputOptions())
        except StructseqError as problem:
            str(problem)
            return "refused"
        if hasattr(answer, "to_dict") and not _finite(answer.to_dict()):
            raise Fault("an answer that is not finite")
        return "answered"

    def _write(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        (self.place / "vocabulary").mkdir(parents=True)
        for name, data in self.files.items():
            (self.place / name).write_bytes(data)


def _are_numbers(name: str, tensor: torch.Tensor) -> bool:
    """Finite; an impossible move of the HMM has the log-probability -inf."""
    if not tensor.is_floating_point():
        return True
    return bool((torch.isfinite(tensor) | (tensor == -math.inf) & name.startswith("head.log_")).all())


def _takes_text(predictor: Any) -> bool:
    return predictor.model.modality.name == "tokens" and not predictor.columns


def _frames(predictor: Any) -> Example:
    if predictor.columns:
        columns = {name: ["N", "P"] for name in predictor.columns}
        example: Example = predictor.preprocessor.example({"tokens": ["to", "Taipei"], **columns}, "columns")
        return example
    return Example.of_frames([[0.1] * predictor.model.widths["frames"]] * 3)


def _finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def start(folder: Path) -> Draw:
    torch.set_num_threads(1)  # a process with threads cannot be forked
    compile_kernels()
    known = dict(folders())
    for kind, files in known.items():  # compiles what answering needs
        outcome = Loading(kind, files, folder / "model", (), files).run()
        if outcome != "answered":
            raise SystemExit(f"{kind}: expected an answer of the unchanged model, found: {outcome}")
    return partial(_draw, known, folder / "model")


def _draw(known: Mapping[str, Files], place: Path, chance: random.Random) -> Loading:
    kind = chance.choice(list(known))
    whole, other = known[kind], known[chance.choice(list(known))]
    files, changes = dict(whole), []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        change = chance.choices(list(_CHANGES), list(_CHANGES.values()))[0]
        changes.append(change.__name__.strip("_"))
        change(files, other, chance)
    if chance.random() < 0.8:
        _make_checksums_fit(files)
    return Loading(kind, files, place, changes, whole)


# -- changes -----------------------------------------------------------------------------------------------------------


def _bytes(files: Files, other: Files, chance: random.Random) -> None:
    name = chance.choice(list(files))
    files[name] = mutated(files[name], chance, other.get(name, b""))


def _value(files: Files, other: Files, chance: random.Random) -> None:
    name = chance.choice(_JSON[:2] if chance.random() < 0.9 else _JSON)
    _edit(files, name, lambda table: changed(table, chance), chance)


def _count(files: Files, other: Files, chance: random.Random) -> None:
    """A number or a word of the options becomes another one."""

    def change(table: Any) -> Any:
        section = chance.choice([name for name in table if isinstance(table[name], dict) and table[name]])
        key = chance.choice(list(table[section]))
        inner = table[section][key]
        value = chance.choice(_COUNTS if chance.random() < 0.6 else EXTREMES)
        if isinstance(inner, dict) and inner:
            inner[chance.choice(list(inner))] = value
        else:
            table[section][key] = value
        return table

    _edit(files, "options.json", change, chance)


def _kind(files: Files, other: Files, chance: random.Random) -> None:
    """The options of another model, or only its head or encoder."""

    def change(table: Any) -> Any:
        theirs = json.loads(other["options.json"])
        section = chance.choice(("head", "encoder", "inputs"))
        return theirs if chance.random() < 0.2 else {**table, section: theirs[section]}

    _edit(files, "options.json", change, chance)


def _tags(files: Files, other: Files, chance: random.Random) -> None:
    """Many tags, or strange ones, numbered as they should be."""

    def change(config: Any) -> Any:
        labels = list(config["id2label"].values())
        labels += chance.choice(([f"B-t{n}" for n in range(chance.choice((1, 300, 5000)))], ["\x1b[2J"], [""], ["I-"]))
        config["id2label"] = {str(number): label for number, label in enumerate(labels)}
        config["label2id"] = {label: number for number, label in enumerate(labels)}
        return config

    _edit(files, "config.json", change, chance)


def _vocabulary(files: Files, other: Files, chance: random.Random) -> None:
    name = chance.choice([name for name in files if name.startswith("vocabulary/")] or ["vocabulary/words.txt"])
    lines = files.get(name, b"").splitlines(keepends=True)
    match chance.randrange(4):
        case 0:
            lines += [f"w{n}\t1\n".encode() for n in range(chance.choice((1, 100, 20_000)))]
        case 1:
            lines = lines[: chance.randrange(len(lines) + 1)]
        case 2:
            lines += [chance.choice((b"\t1\n", b"a\t-1\n", b"\\ud800\t1\n", b"a\t" + b"9" * 18 + b"\n", b"<unk>\t1\n"))]
        case _:
            chance.shuffle(lines)
    files[name] = b"".join(lines)


def _tensor_header(files: Files, other: Files, chance: random.Random) -> None:
    data = files.get(_WEIGHTS, b"")
    try:
        header, values = _split(data)
    except ValueError:
        return
    text = json.dumps(changed(header, chance), ensure_ascii=True).encode()
    size = chance.choice((0, 1, 2**63, len(text) + 1, 10**9)) if chance.random() < 0.1 else len(text)
    files[_WEIGHTS] = struct.pack("<Q", size) + text + values


def _tensor_shape(files: Files, other: Files, chance: random.Random) -> None:
    """Another shape of the same size, type or name, which the format allows."""
    try:
        header, values = _split(files.get(_WEIGHTS, b""))
    except ValueError:
        return
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if not tensors or not all(isinstance(entry, dict) and entry.get("shape") for entry in tensors.values()):
        return
    name = chance.choice(list(tensors))
    match chance.randrange(3):
        case 0:
            tensors[name]["shape"] = chance.choice(([math.prod(tensors[name]["shape"])], tensors[name]["shape"][::-1]))
        case 1:
            tensors[name]["dtype"] = "I32"
        case _:
            tensors[name + ".x"] = tensors.pop(name)
    text = json.dumps(tensors).encode()
    files[_WEIGHTS] = struct.pack("<Q", len(text)) + text + values


def _tensor_values(files: Files, other: Files, chance: random.Random) -> None:
    """Numbers that are none, or that are too large."""
    try:
        header, values = _split(files.get(_WEIGHTS, b""))
    except ValueError:
        return
    numbers = bytearray(values)
    for _ in range(chance.choice((1, 3, 50))):
        at = 4 * chance.randrange(max(1, len(numbers) // 4))
        value = chance.choice((math.nan, math.inf, -math.inf, 3e38, -3e38, 1e30, 0.0, 1e-40))
        numbers[at : at + 4] = struct.pack("<f", value)
    text = json.dumps(header).encode()
    files[_WEIGHTS] = struct.pack("<Q", len(text)) + text + bytes(numbers)


def _files(files: Files, other: Files, chance: random.Random) -> None:
    """A file is missing, empty, or another model's."""
    name = chance.choice(list(files))
    match chance.randrange(4):
        case 0:
            del files[name]
        case 1:
            files[name] = b""
        case 2:
            files[name] = other.get(name, b"{}")
        case _:
            files[name] = chance.choice((b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"null", b"9" * 5000, b"[]"))


_Change = Callable[[Files, Files, random.Random], None]
_CHANGES: Mapping[_Change, float] = {
    _bytes: 3, _value: 5, _count: 5, _kind: 2, _tags: 1, _vocabulary: 3, _tensor_header: 3, _tensor_shape: 2,
    _tensor_values: 2, _files: 2,
}  # fmt: skip


def _edit(files: Files, name: str, change: Callable[[Any], Any], chance: random.Random) -> None:
    """Changes the JSON in a file, unless another change has damaged it."""
    try:
        files[name] = json_text(change(json.loads(files[name])), chance)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return


def _split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and the values; raises ValueError if another change has damaged it."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    if not isinstance(header, dict):
        raise ValueError
    return header, data[8 + size :]


def _make_checksums_fit(files: Files) -> None:
    try:
        config = json.loads(files["config.json"])
        config["weights"]["sha256"] = sha256(files[_WEIGHTS]).hexdigest()
        for entry in config["vocabularies"].values():
            data = files["vocabulary/" + entry["file"]]
            entry["sha256"], entry["size"] = sha256(data).hexdigest(), data.count(b"\n")
        files["config.json"] = json.dumps(config).encode("utf-8", "surrogatepass")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


FUZZER = Fuzzer(__doc__ or "", 50_000, 500, start)

if __name__ == "__main__":
    sys.exit(FUZZER.main())
