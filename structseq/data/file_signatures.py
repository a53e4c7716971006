"""File signatures: the kind of a binary file, from its first bytes."""

from __future__ import annotations

import re
from typing import NamedTuple


class Kind(NamedTuple):
    """``as_text`` and ``as_wav`` say what to do if a text or a WAV file was expected."""

    name: str
    as_text: str
    as_wav: str


_LISTED = 'name it in a list of recordings in JSON lines, one {"audio": ..., "text": ...} a line'
_CONVERT = "convert it to WAV (PCM, one channel)"
_UNPACK = "unpack it and name the file in it"

# Letters alone are not enough: a text may begin with FORM or ID3
_SIGNATURES = {
    "a WAV recording": rb"RIFF.{4}WAVE",
    "a RIFX recording": rb"RIFX.{4}WAVE",
    "an RF64 recording": rb"RF64.{4}WAVE",
    "an AIFF recording": rb"FORM.{4}AIF[FC]",
    "an AVI file": rb"RIFF.{4}AVI ",
    "an MP3 file": rb"ID3[\x00-\x08]|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]",
    "a FLAC file": rb"fLaC[\x00\x80]",
    "an Ogg file": rb"OggS\x00",
    "an MP4 file": rb"\x00\x00\x00.ftyp",
    "a zip archive": rb"PK\x03\x04",
    "a tar archive": rb".{257}ustar(?:  )?\x00",
    "a gzip file": rb"\x1f\x8b",
}
_PACKED = ("a zip archive", "a tar archive", "a gzip file")
_PATTERNS = {name: re.compile(signature, re.DOTALL) for name, signature in _SIGNATURES.items()}


def kind_of(first: bytes) -> Kind | None:
    """The kind of a file with these first bytes; None for text and unknown kinds."""
    name = next((name for name, pattern in _PATTERNS.items() if pattern.match(first)), None)
    if name is None:
        return None
    if name in _PACKED:
        return Kind(name, _UNPACK, _UNPACK)
    return Kind(name, _LISTED if name == "a WAV recording" else f"{_CONVERT} and {_LISTED}", _CONVERT)
