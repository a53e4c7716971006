"""Recordings: single spoken digits, read from a folder or a zip and named as in the Free Spoken Digit Dataset.

https://github.com/Jakobovski/free-spoken-digit-dataset: `7_jackson_32.wav` is recording 32 of the digit 7 by jackson.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from waves import AudioError, Wave, read

NAME = re.compile(r"(?P<digit>[0-9])_(?P<speaker>.+)_(?P<index>[0-9]+)\.wav", re.IGNORECASE)
PATTERN = "{digit}_{speaker}_{index}.wav"


@dataclass(frozen=True, slots=True)
class Recording:
    """One digit, spoken once."""

    name: str
    digit: str
    speaker: str
    index: int
    samples: Wave


@dataclass(frozen=True, slots=True)
class Recordings:
    """All that were found, in the order of digit, speaker and index, whatever order the folder or the zip has."""

    found: list[Recording]
    rate: int
    skipped: list[str]
    """Files that are not named as recordings are."""


def files(path: Path) -> Iterator[tuple[str, bytes | Path]]:
    """Every file of a folder (its path) or of a zip (its bytes), with its name from there, at any depth."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file():
                yield file.relative_to(path).as_posix(), file
        return
    if not path.exists():
        raise AudioError(f"{path}: there is no such folder or zip; expected files named {PATTERN}")
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
                if not entry.is_dir():
                    wanted = NAME.fullmatch(PurePosixPath(entry.filename).name)
                    yield entry.filename, archive.read(entry) if wanted else b""
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise AudioError(f"{path}: not a zip that can be read ({error}); fetch it again, or unpack it") from error


def recordings(path: Path) -> Recordings:
    """The recordings of a folder or zip.

    Raises AudioError where there are none, where one is not a mono WAV of 16 bits or is cut short, where one is there
    twice, and where their rates differ.
    """
    found: dict[tuple[str, str, int], Recording] = {}
    rates: dict[int, str] = {}
    skipped: list[str] = []
    for name, content in files(path):
        match = NAME.fullmatch(PurePosixPath(name).name)
        if not match:
            skipped.append(name)
            continue
        samples, rate = read(content if isinstance(content, bytes) else content.read_bytes(), f"{path}: {name}")
        recording = Recording(name, match["digit"], match["speaker"], int(match["index"]), samples)
        other = found.setdefault((recording.digit, recording.speaker, recording.index), recording)
        if other is not recording:
            raise AudioError(f"{path}: {name} and {other.name} are the same recording by their names; leave one out")
        rates.setdefault(rate, name)
        if len(rates) > 1:
            (first, one), (second, another) = rates.items()
            raise AudioError(
                f"{path}: {another} has {second} samples a second and {one} has {first}; resample one of them"
            )
    if not found:
        raise AudioError(f"{path}: no file is named {PATTERN}; expected recordings of single digits")
    return Recordings([found[key] for key in sorted(found)], next(iter(rates)), skipped)
