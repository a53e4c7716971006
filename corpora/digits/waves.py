"""Waves: reading and writing mono WAV files of 16 bits, and the list that says what is in them."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.int16]
Segment = tuple[int, int, str]
"""(first sample, sample after the last, digit)."""


class AudioError(ValueError):
    """A recording that cannot be used, or a place that cannot be written; the message is one sentence for the user."""


def read(data: bytes, where: str) -> tuple[Wave, int]:
    """Samples and samples a second of a WAV file's bytes. Raises AudioError, which begins with `where`."""
    if not data:
        raise AudioError(f"{where}: the file is empty; expected a WAV file")
    try:
        with wave.open(io.BytesIO(data)) as file:
            header = file.getparams()
            found = file.readframes(header.nframes) if (header.nchannels, header.sampwidth) == (1, 2) else b""
    except (wave.Error, EOFError) as error:
        reason = f" ({error})" if str(error) else ""
        raise AudioError(f"{where}: not a WAV file of PCM samples{reason}; convert it or leave it out") from error
    if header.nchannels != 1:
        raise AudioError(f"{where}: {header.nchannels} channels; expected one: mix it down to mono")
    if header.sampwidth != 2:
        raise AudioError(f"{where}: {8 * header.sampwidth} bits a sample; expected 16: convert it")
    if header.framerate < 1:
        raise AudioError(f"{where}: {header.framerate} samples a second; the header is damaged: leave the file out")
    if not header.nframes:
        raise AudioError(f"{where}: the recording has no samples; leave it out")
    if len(found) != 2 * header.nframes:
        raise AudioError(
            f"{where}: cut short: the header promises {header.nframes:,} samples and {len(found) // 2:,} are there; "
            "fetch it again"
        )
    return np.frombuffer(found, dtype=np.int16), header.framerate


def written(samples: Wave, rate: int) -> bytes:
    """The bytes of a mono WAV file of 16 bits."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def entry(audio: str, segments: Sequence[Segment], rate: int, **more: object) -> str:
    """One line of a list: the file, its digits, and where each stands, in seconds.

    >>> entry("0001.wav", [(800, 2000, "7"), (2400, 4001, "3")], 8000)
    '{"audio": "0001.wav", "text": "7 3", "segments": [[0.1, 0.25, "7"], [0.3, 0.500125, "3"]]}'
    """
    text = " ".join(digit for _, _, digit in segments)
    times = [[first / rate, last / rate, digit] for first, last, digit in segments]
    return json.dumps({"audio": audio, "text": text, "segments": times, **more}, ensure_ascii=False)


def names(count: int) -> list[str]:
    """Names of so many files, in order.

    >>> names(2), names(10_000)[-1]
    (['0001.wav', '0002.wav'], '10000.wav')
    """
    width = max(4, len(str(count)))
    return [f"{number:0{width}}.wav" for number in range(1, count + 1)]


def make_room(lists: Sequence[Path], sounds: Iterable[Path], *, overwrite: bool) -> None:
    """Make the folders of files to come, and take away old lists: a folder with a list is a complete one.

    Raises AudioError where one of the files is there already, unless they may be written over.
    """
    wanted = [*lists, *sounds]
    there = [] if overwrite else [path for path in wanted if path.exists()]
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise AudioError(f"{there[0]}{more}: already there; name another folder or add --overwrite")
    for folder in {path.parent for path in wanted}:
        folder.mkdir(parents=True, exist_ok=True)
    for path in lists:
        path.unlink(missing_ok=True)
