"""Entries of a model folder as bytes and JSON, and the one sentence said of an entry that cannot be read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from structseq.errors import ModelFileError


def read_entry(path: Path) -> bytes:
    """The file's bytes; `ModelFileError` where it is missing or cannot be read."""
    if not path.exists():
        raise ModelFileError(f"{path}: expected this file, found none; copy the whole folder again")
    if not path.is_file():
        raise ModelFileError(f"{path}: expected a file, found something else; copy the whole folder again")
    try:
        return path.read_bytes()
    except OSError as problem:
        raise ModelFileError(f"{path}: cannot be read ({problem.strerror}); check its permissions") from None


def read_text(path: Path, content: bytes | None = None) -> str:
    """The file's text, UTF-8."""
    try:
        return (read_entry(path) if content is None else content).decode("utf-8")
    except UnicodeDecodeError as problem:
        place = f"an error at byte {problem.start}"
        raise ModelFileError(f"{path}: expected UTF-8, found {place}; the file is damaged") from None


def read_object(path: Path) -> dict[str, Any]:
    """The file's JSON object."""
    value = parse_json(read_text(path), str(path))
    if not isinstance(value, dict):
        raise ModelFileError(f"{path}: expected a JSON object, found {_kind(value)}; the file is damaged or foreign")
    return value


def entity_lines(entities: Iterable[tuple[str, str]]) -> bytes:
    """(text, label) pairs as JSON lines, each pair once, in order."""
    pairs = sorted({(text, label) for text, label in entities})
    return b"".join(json_bytes({"text": text, "label": label}, indent=None) for text, label in pairs)


def parse_entities(content: str, path: Path) -> frozenset[tuple[str, str]]:
    """(text, label) pairs from JSON lines; ``path`` for messages."""
    entities: set[tuple[str, str]] = set()
    for number, line in enumerate(content.split("\n"), start=1):
        if not line:
            continue
        match parse_json(line, f"{path}:{number}"):
            case {"text": str(text), "label": str(label)}:
                entities.add((text, label))
            case _:
                wanted = '{"text": ..., "label": ...}'
                raise ModelFileError(f"{path}:{number}: expected {wanted}, found {line[:60]!r}")
    return frozenset(entities)


def parse_json(text: str, where: str) -> Any:
    """JSON, or `ModelFileError` with the place."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ModelFileError(f"{where}: expected JSON, found brackets too deep to read; the file is damaged") from None
    except ValueError as problem:
        raise ModelFileError(f"{where}: expected JSON, found an error: {problem}; the file is damaged") from None


def json_bytes(value: Any, *, indent: int | None = 2) -> bytes:
    """JSON as UTF-8 that people can read; a lone surrogate, which UTF-8 cannot hold, makes it ASCII with escapes."""
    try:
        return (json.dumps(value, ensure_ascii=False, indent=indent) + "\n").encode("utf-8")
    except UnicodeEncodeError:
        return (json.dumps(value, indent=indent) + "\n").encode("ascii")


def checksum(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _kind(value: Any) -> str:
    return {list: "a list", str: "a string", type(None): "null"}.get(type(value), "a number or a truth value")
