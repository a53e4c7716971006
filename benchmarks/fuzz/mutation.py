"""Damage to bytes and to values of JSON."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

# Bytes that mean something to a reader, or are none
WORDS = (
    *(b"\t", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\x1f\x8b", b"\x1f\x8b\x08\0\0\0\0\0\0\xff", b"PAR1"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xed\xa0\x80", b"\xc3", b"\xf0\x9f\x98\x8a", b"\xc2\xa0", b"\x85"),
    *(
        b"#",
        b"# ",
        b"# a = b\n",
        b"# newdoc\n",
        b"-DOCSTART- O\n\n",
        b"#FORMAT=WebAnno TSV 3.3\n",
        b"#Text=",
        b"#T_SP=",
    ),
    *(b'"', b'""', b"'", b",", b";", b"|", b"\\", b"_", b"*", b"[", b"]", b"{", b"}", b"[[[[", b"{}", b"[]", b"null"),
    *(b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"99999999", b"9999999999999999999999", b"\xe2\x80\xa8", b"\xcc\x81"),
    *(b"O", b"B-", b"I-", b"B-PER", b"-", b"1-2\t_\n", b"1.1\t_\n", b"\\ud800", b"\\u0000", b'"text":', b'"spans":'),
    *(b"tokens", b"tags", b"label\ttext\n", b"source\ttarget\n", b"T1\t", b"R1\t", b"E1\t", b"<!DOCTYPE a>", b"&a;"),
)

EXTREMES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 255, 40_001, 2**31, 2**53 + 1, 2**63, 10**9, 10**30, -(2**63)),
    *(0.5, -0.0, 1.5, 1e308, 1e-320, float("nan"), float("inf"), "", " ", "a", "O", "B-x", "\0", "\n", "\t", "\x1b[2J"),
    *("\ud800", "\U0001f60a", "\ufeff", "\u202e", "x" * 3000, "../x", "/", "1", "NaN", "utf-16", "words-1"),
    *([], {}, [[]], [None], {"": {}}, [0, 1], [0, 1, "x"], [[0, 10**9, "x"]], ["a"] * 40, {"start": 0, "end": 1}),
)

_NUMBER = re.compile(rb"\d+")
_NUMBERS = (b"0", b"1", b"2", b"99", b"65536", b"99999999", b"4294967296", b"9" * 30, b"-1", b"1.5", b"01", b"\xd9\xa3")


def mutated(data: bytes, chance: random.Random, other: bytes = b"", words: Sequence[bytes] = WORDS) -> bytes:
    """The data with one to six changes; some take from ``other``."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        data = chance.choice(_CHANGES)(data, chance, other, words)
    return data


def _place(data: bytes, chance: random.Random) -> int:
    return chance.randrange(len(data) + 1)


def _slice(data: bytes, chance: random.Random) -> tuple[int, int]:
    start = _place(data, chance)
    return start, min(len(data), start + chance.choice((1, 1, 2, 4, 16, 64, 300)))


def _flip(data: bytes, chance: random.Random, other: bytes, words: Sequence[bytes]) -> bytes:
    at = _place(data, chance)
    return data[:at] + bytes([b ^ (1 << chance.randrange(8)) for b in data[at : at + 1]]) + data[at + 1 :]


def _byte(data: bytes, chance: random.Random, other: bytes, words: Sequence[bytes]) -> bytes:
    at = _place(data, chance)
    return data[:at] + chance.randbytes(1) + data[at + 1 :]


def _remove(data: bytes, chance: random.Random, other: bytes, words: Sequence[bytes]) -> bytes:
    start, end = _slice(data, chance)
    return data[:start] + data[end:]


def _repeat(data: bytes, chance: random.Random, other: bytes, words: Sequence[bytes]) -> bytes:
    (start, end), at = _slice(data, chance), _place(data, chance)
    return data[:at] + data[start:end] * chance.choice((1, 1, 2, 20)) + data[at:]


def _word(data: bytes, chance: random.Random, other: bytes, words: Sequence[bytes]) -> bytes:
    at = _place(data, chance)
    return data[:at] + chance.choice(words) + data[at + chance.choice((0, 0, 1)) :]


def _cut(data: bytes, chance: random.Random, other: bytes, words: Sequence[bytes]) -> bytes:
    return data[: _place(data, chance)]


def _join(data: bytes, chance: random.Random, other: bytes, words: Sequence[bytes]) -> bytes:
    return data[: _place(data, chance)] + other[_place(other, chance) :]


def _line(data: bytes, chance: random.Random, other: bytes, words: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    one, two = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            lines[one], lines[two] = lines[two], lines[one]
        case 1:
            del lines[one]
        case 2:
            lines.insert(two, lines[one])
        case _:
            lines.insert(one, chance.choice(other.split(b"\n")))
    return b"\n".join(lines)


def _number(data: bytes, chance: random.Random, other: bytes, words: Sequence[bytes]) -> bytes:
    found = list(_NUMBER.finditer(data[:5000]))
    if not found:
        return data
    start, end = chance.choice(found).span()
    return data[:start] + chance.choice(_NUMBERS) + data[end:]


_Change = Callable[[bytes, random.Random, bytes, Sequence[bytes]], bytes]
_CHANGES: Sequence[_Change] = (_flip, _byte, _remove, _repeat, _word, _word, _word, _cut, _join, _line, _line, _number)


# -- JSON --------------------------------------------------------------------------------------------------------------


def changed(value: Any, chance: random.Random) -> Any:
    """A copy of a value of JSON with one place changed: replaced, removed, renamed or repeated."""
    if isinstance(value, dict) and value and chance.random() < 0.92:
        key, act = chance.choice(list(value)), chance.random()
        if act < 0.08:
            return {name: item for name, item in value.items() if name != key}
        if act < 0.14:
            return {(chance.choice(list(value)) + "x" if name == key else name): item for name, item in value.items()}
        if act < 0.18:
            return {**value, chance.choice(("extra", "text", "spans", "tokens", "type", "")): chance.choice(EXTREMES)}
        return {**value, key: changed(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        at, act = chance.randrange(len(value)), chance.random()
        if act < 0.1:
            return value[:at] + value[at + 1 :]
        if act < 0.2:
            return [*value, value[at]]
        return [*value[:at], changed(value[at], chance), *value[at + 1 :]]
    if isinstance(value, int) and not isinstance(value, bool) and chance.random() < 0.5:
        return value + chance.choice((-1, 1, 2, 1000, -1000))
    if isinstance(value, str) and chance.random() < 0.4:
        at = chance.randrange(len(value) + 1)
        return value[:at] + chance.choice(("", "x", "\U0001f60a", "\n", "\0", ":", "e\u0301")) + value[at + 1 :]
    return chance.choice(EXTREMES)


def json_text(value: Any, chance: random.Random) -> bytes:
    """JSON, in some writer's style."""
    indent = chance.choice((None, None, None, 1))
    text = json.dumps(value, ensure_ascii=chance.random() < 0.5, indent=indent)
    return text.encode("utf-8", "surrogatepass")
