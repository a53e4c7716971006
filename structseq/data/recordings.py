"""Lists of recordings in JSON lines, with their transcripts and labelled segments.

{"audio": "0001.wav", "text": "7 7 3", "segments": [[0.1, 0.35, "7"], [0.45, 0.675, "7"], [0.8, 1.05, "3"]]}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseq.data.audio import check_options, extract_frames, read_samples, window_and_hop
from structseq.data.example import Example
from structseq.data.options import AudioOptions
from structseq.data.record import Record, preview, read_records
from structseq.data.textfile import Source, Target, is_path, name_of
from structseq.errors import ConfigError, DataError

AUDIO, TEXT, SEGMENTS = "audio", "text", "segments"

Segment = tuple[float, float, str]
"""Start and end in seconds, and the label."""


def step_times(steps: int, *, options: AudioOptions | None = None) -> NDArray[np.float64]:
    """(T,) the centres of ``steps`` steps, in seconds."""
    options = options or AudioOptions()
    window, hop = window_and_hop(options)
    first = (window + (options.stride - 1) * hop) / 2
    return (first + options.stride * hop * np.arange(steps)) / options.rate


def frame_tags(segments: Sequence[Segment], steps: int, *, options: AudioOptions | None = None) -> tuple[str, ...]:
    """A tag for each step: the label of the segment at its centre.

    Between segments the tag is ``options.silence`` or, if that is empty, the label of the nearest segment (the later
    one at equal distance). ``options.states`` = n > 1 divides a segment's steps evenly into n parts, with the tags 7.1,
    7.2, ... Raises `DataError` as `check_segments` does, and if there are neither segments nor a silence tag.

    >>> frame_tags([(0.0, 0.02, "7"), (0.04, 0.06, "3")], 5, options=AudioOptions(window=20.0, hop=10.0))
    ('7', '7', '3', '3', '3')
    """
    options = options or AudioOptions()
    checked = check_segments(segments)
    if not checked:
        if steps and not options.silence:
            raise DataError("expected a segment, found none; set data.audio.silence to a tag for silence")
        return (options.silence,) * steps
    starts, ends = (np.array(times, np.float64) for times in list(zip(*checked, strict=True))[:2])
    times = step_times(steps, options=options)
    owner = np.searchsorted((ends[:-1] + starts[1:]) / 2, times, side="right")  # (T,) the nearest segment
    inside = (starts[owner] <= times) & (times < ends[owner]) if options.silence else np.ones(steps, bool)
    parts = range(1, options.states + 1)
    names = [label if options.states == 1 else f"{label}.{part}" for *_, label in checked for part in parts]
    numbers = np.zeros(steps, np.int64)
    # (T,) each step's index within its segment, and the segment's number of steps
    _, first, places, counts = np.unique(owner[inside], return_index=True, return_inverse=True, return_counts=True)
    place = np.arange(len(places)) - first[places]
    numbers[inside] = 1 + owner[inside] * options.states + place * options.states // counts[places]
    return tuple(np.array([options.silence, *names], object)[numbers].tolist())


def check_segments(segments: Any, *, seconds: float = math.inf) -> list[Segment]:
    """Checked segments; raises `DataError` if they are out of order, overlap or end after ``seconds``."""
    if not isinstance(segments, Sequence) or isinstance(segments, str):
        raise DataError(f'expected a list of segments [start, end, "label"], found {preview(segments)}')
    checked: list[Segment] = []
    for segment in segments:
        start, end, label = _segment(segment)
        before = checked[-1][1] if checked else 0.0
        if start < before - 1e-6:
            found = f"{preview(segment)} after one that ends at {before} s" if checked else preview(segment)
            raise DataError(f"expected segments in order that do not overlap, found {found}; correct or sort them")
        if end > seconds:
            found = f"{preview(segment)} in {seconds:.3f} s"
            raise DataError(f"expected segments within the recording, found {found}; correct the times (seconds)")
        checked.append((start, end, label))
    return checked


def _segment(segment: Any) -> Segment:
    if not isinstance(segment, list | tuple) or len(segment) != 3:
        raise DataError(f'expected a segment [start, end, "label"], found {preview(segment)}')
    start, end, label = segment
    if not all(isinstance(time, int | float) and not isinstance(time, bool) for time in (start, end)):
        raise DataError(f"expected a segment's start and end in seconds, found {preview(segment)}; write numbers")
    if not 0 <= start < end < math.inf:
        raise DataError(
            f"expected 0 <= start < end in seconds, found the segment {preview(segment)}; correct its times"
        )
    if not isinstance(label, str) or not label.strip():
        raise DataError(f'expected a segment\'s label as a string ("7"), found {preview(segment)}')
    return start, end, label


def is_recording_list(line: str) -> bool:
    """Whether a file's first line is the record of a recording: an object with ``audio`` and without tokens."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(values, dict) and isinstance(values.get(AUDIO), str) and not {"tokens", "words"} & values.keys()


def read_recordings(
    source: Source,
    *,
    audio: AudioOptions | Mapping[str, Any] | None = None,
    tags: bool = True,
    encoding: str = "utf-8",
) -> Iterator[Example]:
    """Yields the recordings of a list as examples with frames.

    ``audio`` is a path relative to the list. ``text``, cut at white space, is the target; ``segments`` become tags by
    `frame_tags`; other strings are metadata. ``tags=False`` reads no answers, and makes the text metadata. Raises
    `DataError` with the list's line as `read_samples`, `frame_tags` and `check_segments` do; `ConfigError` as
    `check_options` does.
    """
    options = check_options(audio)
    folder = Path(name_of(source)).parent if is_path(source) else Path()
    records = (record for record in read_records(source, encoding=encoding) if record.values is not None)
    return (_example(record, folder, options, tags) for record in records)


def _example(record: Record, folder: Path, options: AudioOptions, tags: bool) -> Example:
    values = record.values or {}
    try:
        name = _string(values, AUDIO)
        if not name.strip():
            raise DataError(f"expected the name of a WAV file under {AUDIO!r}, found {preview(name)}; write it there")
        path = folder / name
        samples = read_samples(path, options=options)
        frames = extract_frames(samples, options=options)
        try:
            answers = _answers(values, len(frames), len(samples) / options.rate, options) if tags else {}
        except DataError as error:
            raise DataError(error.message, file=path) from None
    except DataError as error:
        raise DataError(str(error), file=record.file, line=record.line) from None
    used = TEXT if tags else None
    metadata = {key: value for key, value in values.items() if isinstance(value, str) and key != used}
    return Example({"frames": frames}, answers, record.source, metadata)


def _answers(values: Mapping[str, Any], steps: int, seconds: float, options: AudioOptions) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    if TEXT in values:
        answers["target"] = tuple(_string(values, TEXT).split())
    if SEGMENTS in values:
        # Lists may round times: a segment may end one hop after the recording
        segments = check_segments(values[SEGMENTS], seconds=seconds + options.hop / 1000)
        if segments or options.silence:
            answers["tags"] = frame_tags(segments, steps, options=options)
    return answers


def _string(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        keys = ", ".join(repr(name)[:40] for name in list(values)[:8]) or "none"
        raise DataError(f"expected a record with {key!r}, found the keys {keys}; name the WAV file there")
    if not isinstance(values[key], str):
        raise DataError(f"expected a string under {key!r}, found {preview(values[key])}; write it in quotes")
    found: str = values[key]
    return found


def write_recordings(target: Target, examples: Any, *, encoding: str = "utf-8") -> None:
    """Raises `ConfigError`: frames cannot become sound."""
    raise ConfigError(f"{name_of(target)}: the audio format cannot be written: frames are not sound; keep the list")
