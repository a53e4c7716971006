"""A stream that counts how much of it was read."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any


class Pipe(io.RawIOBase):
    """A binary stream of ``chunks``, one for each read; ``given`` counts the reads."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks, self.given = iter(chunks), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.given += 1
        chunk = next(self.chunks, b"")
        buffer[: len(chunk)] = chunk
        return len(chunk)
