r"""Files of a model folder: JSON, JSON lines, vocabularies as text, tensors as safetensors

>>> vocabulary_text(Vocabulary(["to", "a\tb", "C:\\"], [3, 1, 1]))
'to\t3\na\\tb\t1\nC:\\\\\t1\n'
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from structseq.data.textfile import shown
from structseq.data.vocabulary import Vocabulary
from structseq.errors import DataError, ModelFileError


def damaged(where: Path | str, expected: str, found: str) -> ModelFileError:
    """The error for a file with wrong content."""
    return ModelFileError(f"{where}: expected {expected}, found {found}; the file is damaged")


def read_entry(path: Path) -> bytes:
    """Read a file; raises `ModelFileError` if it is missing or cannot be read."""
    if not path.exists():
        raise ModelFileError(f"{path}: expected this file, found none; copy the whole folder again")
    if not path.is_file():
        raise ModelFileError(f"{path}: expected a file, found something else; copy the whole folder again")
    try:
        return path.read_bytes()
    except OSError as problem:
        raise ModelFileError(f"{path}: cannot be read ({problem.strerror}); check its permissions") from None


def read_text(path: Path, content: bytes | None = None) -> str:
    """Read UTF-8 text, from ``content`` if the file was already read; raises `ModelFileError`."""
    try:
        return (read_entry(path) if content is None else content).decode("utf-8")
    except UnicodeDecodeError as problem:
        raise damaged(path, "UTF-8", f"an error at byte {problem.start}") from None


def checksum(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


# Most brackets within each other
NESTED = 100

# -- JSON --------------------------------------------------------------------------------------------------------------


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises `ModelFileError`."""
    value = parse_json(read_text(path), str(path))
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a string", type(None): "null"}.get(type(value), "a number or a boolean")
        raise damaged(path, "a JSON object", kind)
    level: list[Any] = [value]
    for _ in range(NESTED):
        inner = chain.from_iterable(each.values() if isinstance(each, dict) else each for each in level)
        level = [each for each in inner if isinstance(each, dict | list)]
    if level:  # not for the functions that walk through it
        raise damaged(path, "JSON", "too many nested brackets")
    return value


def parse_json(text: str, where: str) -> Any:
    """Parse JSON; raises `ModelFileError`, with the place ``where``."""
    try:
        return json.loads(text)
    except RecursionError:
        raise damaged(where, "JSON", "too many nested brackets") from None
    except ValueError as problem:
        raise damaged(where, "JSON", f"an error: {shown(str(problem))}") from None


def json_bytes(value: Any, *, indent: int | None = 2) -> bytes:
    """JSON as UTF-8, or as ASCII if it has a lone surrogate, which UTF-8 cannot encode."""
    try:
        return (json.dumps(value, ensure_ascii=False, indent=indent) + "\n").encode("utf-8")
    except UnicodeEncodeError:
        return (json.dumps(value, indent=indent) + "\n").encode("ascii")


def entity_lines(entities: Iterable[tuple[str, str]]) -> bytes:
    """(text, label) pairs as JSON lines, sorted, without duplicates."""
    pairs = sorted({(text, label) for text, label in entities})
    return b"".join(json_bytes({"text": text, "label": label}, indent=None) for text, label in pairs)


def parse_entities(content: str, path: Path) -> frozenset[tuple[str, str]]:
    """The pairs of `entity_lines`; raises `ModelFileError`."""
    entities: set[tuple[str, str]] = set()
    for number, line in enumerate(content.split("\n"), start=1):
        if not line:
            continue
        match parse_json(line, f"{path}:{number}"):
            case {"text": str(text), "label": str(label)}:
                entities.add((text, label))
            case _:
                raise damaged(f"{path}:{number}", '{"text": ..., "label": ...}', repr(shown(line, 60)))
    return frozenset(entities)


# -- vocabularies: an entry, a tab and its count on each line ----------------------------------------------------------

# Escaped: the backslash, control characters, line breaks of any program, the byte order mark, and lone surrogates.
_UNSAFE = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(?:([\\tnr])|u([0-9a-f]{4}))")
_LETTER = {"\\": "\\", "\t": "t", "\n": "n", "\r": "r"}
_CHARACTER = {letter: character for character, letter in _LETTER.items()}
_LINE = re.compile(r"((?:[^\\\t]|\\[\\tnr]|\\u[0-9a-f]{4})*)\t([0-9]{1,18})")


def vocabulary_text(vocabulary: Vocabulary) -> str:
    lines = zip(vocabulary.items, vocabulary.counts, strict=True)
    return "".join(f"{_UNSAFE.sub(_escape, item)}\t{count}\n" for item, count in lines)


def read_vocabulary(text: str, *, path: Path, open: bool, size: int) -> Vocabulary:
    """Parse a vocabulary; raises `ModelFileError` for a broken line, a repeated entry, or not ``size`` lines."""
    lines = text.split("\n")
    if lines.pop() != "" or len(lines) != size:
        raise damaged(path, f"{size} whole lines", f"{len(lines)}")
    items, counts = [], []
    for number, line in enumerate(lines, start=1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise damaged(f"{path}:{number}", "an entry, a tab and its count", repr(shown(line, 60)))
        items.append(_ESCAPE.sub(_unescape, found[1]) if "\\" in found[1] else found[1])
        counts.append(int(found[2]))
    try:
        return Vocabulary(items, counts, open=open)
    except DataError:
        twice, _ = Counter(items).most_common(1)[0]
        raise damaged(path, "different entries", f"{shown(twice)!r} twice") from None


def _escape(found: re.Match[str]) -> str:
    return "\\" + (_LETTER.get(found[0]) or f"u{ord(found[0]):04x}")


def _unescape(found: re.Match[str]) -> str:
    return _CHARACTER[found[1]] if found[1] else chr(int(found[2], 16))


# -- tensors -----------------------------------------------------------------------------------------------------------


def tensor_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """``tensors`` as the bytes of a safetensors file."""
    # Cloned: safetensors refuses tensors that share memory.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    content: bytes = safetensors.torch.save(copies, dict(metadata or {"format": "pt"}))
    return content


def tensors_of(content: bytes, path: Path) -> dict[str, Tensor]:
    """Parse the bytes of a safetensors file; raises `ModelFileError`."""
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError) as problem:
        found = f"{len(content):,} bytes that are not one ({shown(str(problem))})"
        raise damaged(path, "a complete safetensors file", found) from None


def is_finite(tensor: Tensor) -> bool:
    """Whether no number is NaN or infinite."""
    if not tensor.is_floating_point():
        return True
    # The sum is much faster, and finite only if all numbers are; but it may overflow
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())
