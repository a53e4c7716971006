"""Audio: WAV recordings as frames of numbers (log-mel energies or MFCC; Davis and Mermelstein 1980), and lists of
recordings with what was said in them and when.

    {"audio": "0001.wav", "text": "7 7 3", "segments": [[0.1, 0.35, "7"], [0.45, 0.675, "7"], [0.8, 1.05, "3"]]}

Nothing is lost at the end of a recording: its last frame, and the last step, are completed. soundfile decodes, soxr
resamples, librosa has the mel filters; all three come with ``pip install 'structseq[audio]'`` and are imported when the
first recording is read.
"""

from __future__ import annotations

import importlib
import io
import json
import math
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseq.config import AudioOptions, Options
from structseq.data.example import Example
from structseq.data.record import Record, read_records
from structseq.data.textfile import Source, Target, is_path, name_of, opened
from structseq.errors import ConfigError, DataError

AUDIO, TEXT, SEGMENTS = "audio", "text", "segments"

Floats = NDArray[np.float32]
Segment = tuple[float, float, str]
"""Its first second, the second at which it is over, its label."""

FLOOR = 1e-10  # power below which everything is silence: 40 dB under one step of 16-bit samples
LOUDEST = 1e9  # beyond it, squares of sums leave float32
RATES = range(1000, 768_001)  # samples a second that a header may tell
_BLOCK = 4096  # frames transformed at a time: memory stays small whatever the recording's length
_PATH = str | os.PathLike[str]


# -- sound ------------------------------------------------------------------------------------------------------------


def samples_of(path: _PATH, *, options: AudioOptions | None = None) -> Floats:
    """(N,) samples of a WAV file between -1 and 1, at ``options.rate`` a second.

    Raises `DataError`, which names the file, where it is missing, empty, no WAV file, damaged or cut short, without
    samples, of several channels (unless ``options.channels`` is "mean"), or holds what are no numbers; `ConfigError`
    where the libraries are not installed.
    """
    options = options or AudioOptions()
    try:
        rate, samples = _decoded(_bytes_of(path), options)
    except DataError as error:
        raise DataError(error.message, file=os.fspath(path)) from None
    if rate != options.rate:
        samples = _library("soxr").resample(samples, rate, options.rate)
    return np.ascontiguousarray(samples, np.float32)


def _bytes_of(path: _PATH) -> bytes:
    try:
        with opened(path) as stream:
            return stream.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read ({error})") from None


def _decoded(data: bytes, options: AudioOptions) -> tuple[int, Floats]:
    """Samples a second, and (N,) samples of one channel."""
    channels, rate = _header(data)
    if channels > 1 and options.channels == "refuse":
        advice = 'mix it down to mono, or set data.audio.channels to "mean"'
        raise DataError(f"expected a recording of one channel, found {channels}; {advice}")
    soundfile = _library("soundfile")
    try:
        samples, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)  # (N, channels)
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as error:
        why = getattr(error, "error_string", str(error)).strip(" .")
        raise DataError(f"expected a WAV file, found one that cannot be decoded ({why}); convert it to PCM") from None
    if not len(samples):
        raise DataError("expected a recording, found a WAV file without samples; take it out of the list")
    unfit = ~(np.abs(samples) <= LOUDEST)  # not a number fails every comparison
    if unfit.any():
        at, channel = np.argwhere(unfit)[0]
        found = f"{samples[at, channel]:g} as sample {at} of {len(samples)}"
        raise DataError(f"expected numbers, found {found}; write it again with samples between -1 and 1")
    return rate, samples.mean(1) if channels > 1 else samples[:, 0]


def _header(data: bytes) -> tuple[int, int]:
    """Channels and samples a second; `DataError` unless this is a whole WAV file.

    soundfile reads what is there and says nothing of what is missing, so sizes are looked up here.
    """
    if not data:
        raise DataError("expected a WAV file, found an empty file; fetch it again or take it out of the list")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE"[: max(len(data) - 8, 0)]:
        raise DataError(f"expected a WAV file, found {_kind(data)}; convert it to WAV (PCM, one channel)")
    chunks = {name: (at, size) for name, at, size in reversed(list(_chunks(data)))}  # of equal names the first
    at, size = chunks.get(b"fmt ", (0, 0))
    if size < 16 or at + 16 > len(data) or b"data" not in chunks:
        advice = "it is cut short or damaged; fetch or write it again"
        raise DataError(
            f"expected a WAV file, found its beginning alone ({len(data)} bytes, no sound in them); {advice}"
        )
    _, channels, rate = struct.unpack_from("<HHI", data, at)
    at, size = chunks[b"data"]
    if len(data) - at < size:
        found = f"{len(data) - at:,} of the {size:,} bytes of sound that its header promises"
        raise DataError(f"expected a whole WAV file, found {found}; it is cut short: fetch or write it again")
    if rate not in RATES or not channels:
        found = f"{rate} samples a second in {channels} channels"
        advice = f"its header is damaged (rates are {RATES[0]} to {RATES[-1]}): write it again"
        raise DataError(f"expected a WAV file, found {found}; {advice}")
    return channels, rate


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's name, first byte, and size as promised."""
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        yield name, at + 8, size
        at += 8 + size + size % 2


def _kind(data: bytes) -> str:
    """What a file that is no WAV file seems to be."""
    for begins, kind in ((b"ID3", "MP3"), (b"fLaC", "FLAC"), (b"OggS", "Ogg"), (b"RF64", "RF64"), (b"FORM", "AIFF")):
        if data.startswith(begins):
            return kind
    if data[0] == 0xFF and data[1:2] >= b"\xe0":
        return "MP3"
    try:
        return f"text that begins {data[:40].decode('ascii')!r}"
    except UnicodeDecodeError:
        return f"bytes that begin {data[:4].hex(' ')}"


def _library(name: str) -> Any:
    """A module of the extra; `ConfigError` where it is not installed."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: soundfile without its C library
        package, advice = name.split(".")[0], "pip install 'structseq[audio]'"
        raise ConfigError(f"reading recordings needs {package}, which cannot be imported ({error}); {advice}") from None


# -- frames -----------------------------------------------------------------------------------------------------------


def read_audio(path: _PATH, *, options: AudioOptions | None = None) -> Floats:
    """(T, F) the steps of one WAV file; raises as `samples_of` and `frames_of` do."""
    options = options or AudioOptions()
    return frames_of(samples_of(path, options=options), options=options)


def frames_of(samples: NDArray[Any], *, options: AudioOptions | None = None) -> Floats:
    """(T, F) the steps of a recording, from its samples (N,) at ``options.rate``.

    A frame is the natural logarithm of the energy in each mel band of a window (Hann), or the first coefficients of
    its cosine transform; the first window begins with the first sample, and the last one reaches the last, with
    silence after it. F is ``stride`` times the mel bands or coefficients: neighbouring frames stand side by side, and
    the last step repeats its last frame. With ``centre`` the mean over the recording is taken from every frame (Atal
    1974, "cepstral mean subtraction"). Raises `DataError` for samples of several channels, `ConfigError` for more
    coefficients than mel bands.

    >>> noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    >>> frames_of(noise).shape, frames_of(noise, options=AudioOptions(stride=3)).shape
    ((99, 40), (33, 120))
    """
    options = check_options(options)
    if np.ndim(samples) != 1:
        raise DataError(f"expected samples (N,) of one channel, found an array of {np.ndim(samples)} dimensions")
    window, hop = spacing(options)
    count = 1 + max(0, math.ceil((len(samples) - window) / hop))
    padded = np.zeros((count - 1) * hop + window, np.float32)
    padded[: len(samples)] = samples
    views = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]  # (T, window), nothing copied
    frames = np.concatenate([_log_mel(views[at : at + _BLOCK], options) for at in range(0, count, _BLOCK)])
    if options.features == "mfcc":
        frames = _library("scipy.fft").dct(frames, norm="ortho")[:, : options.coefficients]
    if options.centre:
        frames = frames - frames.mean(0, dtype=np.float64).astype(np.float32)
    return _side_by_side(frames, options.stride)


def _log_mel(windows: Floats, options: AudioOptions) -> Floats:
    """(T, mels) from (T, window)."""
    taper, mels = _filters(options.rate, windows.shape[1], options.mels)
    spectrum = _library("scipy.fft").rfft(windows * taper, 2 * (len(mels) - 1))  # (T, bins)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return np.log(np.maximum(power @ mels, FLOOR))


@lru_cache(maxsize=8)
def _filters(rate: int, window: int, mels: int) -> tuple[Floats, Floats]:
    """(window,) the taper, and (bins, mels) how much of each frequency belongs to each band."""
    filters = _library("librosa.filters")
    edges = _library("librosa").mel_frequencies(mels + 2, fmin=0.0, fmax=rate / 2)
    # So fine a transform that even the narrowest band holds a frequency
    narrowest = float((edges[2:] - edges[:-2]).min())
    size = 1 << math.ceil(math.log2(max(window, rate / narrowest + 1)))
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    weights = filters.mel(sr=rate, n_fft=size, n_mels=mels)
    return taper.astype(np.float32), np.ascontiguousarray(weights.T, np.float32)


def _side_by_side(frames: Floats, stride: int) -> Floats:
    """(T, F) as (T / stride rounded up, stride F)."""
    missing = -len(frames) % stride
    completed = np.concatenate([frames, np.repeat(frames[-1:], missing, 0)]) if missing else frames
    return np.ascontiguousarray(completed.reshape(-1, stride * frames.shape[1]), np.float32)


def spacing(options: AudioOptions) -> tuple[int, int]:
    """Window and hop in samples."""
    return max(2, round(options.window * options.rate / 1000)), max(1, round(options.hop * options.rate / 1000))


def check_options(audio: AudioOptions | Mapping[str, Any] | None) -> AudioOptions:
    """Options from what a caller has; raises `ConfigError` for those that there are not or that do not go together."""
    options = audio if isinstance(audio, AudioOptions) else Options.of({"data": {"audio": audio or {}}}).data.audio
    if options.features == "mfcc" and options.coefficients > options.mels:
        found = f"{options.coefficients} of {options.mels}; lower data.audio.coefficients or raise data.audio.mels"
        raise ConfigError(f"expected at most as many coefficients as there are mel bands, found {found}")
    return options


# -- tags -------------------------------------------------------------------------------------------------------------


def step_times(steps: int, *, options: AudioOptions | None = None) -> NDArray[np.float64]:
    """(T,) the seconds at which so many steps have the centres of their frames."""
    options = options or AudioOptions()
    window, hop = spacing(options)
    first = (window + (options.stride - 1) * hop) / 2
    return (first + options.stride * hop * np.arange(steps)) / options.rate


def frame_tags(segments: Sequence[Segment], steps: int, *, options: AudioOptions | None = None) -> tuple[str, ...]:
    """A tag for each step: the label of the segment in which it has its centre.

    Between segments it is ``options.silence``, or where that is empty the label of the nearest segment (of two equally
    near, the later). With ``options.states`` = n > 1 the steps of a segment are cut evenly into n parts and its tags
    are numbered: 7.1, 7.2, ... A segment shorter than a step may hold no centre, and then has no tag.

    Raises `DataError` for segments that are none (see `Segment`), that overlap or go back in time, and where there are
    steps but neither a segment nor a tag for silence.

    >>> options = AudioOptions(window=20.0, hop=10.0)  # centres at 0.01, 0.02, ... s
    >>> frame_tags([(0.0, 0.02, "7"), (0.04, 0.06, "3")], 5, options=options)
    ('7', '7', '3', '3', '3')
    >>> frame_tags([(0.0, 0.02, "7"), (0.04, 0.06, "3")], 5, options=options.model_copy(update={"silence": "-"}))
    ('7', '-', '-', '3', '3')
    """
    options = options or AudioOptions()
    known = check_segments(segments)
    if not known:
        if steps and not options.silence:
            raise DataError("expected a segment, found none; set data.audio.silence to a tag for silence")
        return (options.silence,) * steps
    starts, ends = (np.array(times, np.float64) for times in list(zip(*known, strict=True))[:2])
    times = step_times(steps, options=options)
    owners = np.searchsorted((ends[:-1] + starts[1:]) / 2, times, side="right")  # (T,) the nearest segment
    inside = (starts[owners] <= times) & (times < ends[owners]) if options.silence else np.ones(steps, bool)
    tags = np.array([options.silence, *_names(known, options.states)], object)
    numbers = np.zeros(steps, np.int64)
    numbers[inside] = 1 + owners[inside] * options.states + _parts(owners[inside], options.states)
    return tuple(tags[numbers].tolist())


def _names(segments: Sequence[Segment], states: int) -> list[str]:
    """The tags of every segment's parts, one segment after the other."""
    return [label if states == 1 else f"{label}.{part}" for *_, label in segments for part in range(1, states + 1)]


def _parts(owners: NDArray[np.int64], states: int) -> NDArray[np.int64]:
    """(T,) the part of its segment, from 0, of each step; ``owners`` ascend."""
    _, first, places, counts = np.unique(owners, return_index=True, return_inverse=True, return_counts=True)
    return (np.arange(len(owners)) - first[places]) * states // counts[places]


def check_segments(segments: Any, *, seconds: float = math.inf) -> list[Segment]:
    """Segments in order, apart and within so many seconds; raises `DataError` for the first that is not."""
    if not isinstance(segments, Sequence) or isinstance(segments, str):
        raise DataError(f'expected a list of segments [start, end, "label"], found {_shown(segments)}')
    known: list[Segment] = []
    for segment in segments:
        start, end, label = _segment(segment)
        before = known[-1][1] if known else 0.0
        if start < before - 1e-6:
            found = f"{_shown(segment)} after one that ends at {before} s" if known else _shown(segment)
            raise DataError(f"expected segments in order that do not overlap, found {found}; mend or sort them")
        if end > seconds:
            found = f"{_shown(segment)} in {seconds:.3f} s"
            raise DataError(f"expected segments within the recording, found {found}; mend the times (seconds)")
        known.append((start, end, label))
    return known


def _segment(segment: Any) -> Segment:
    """One segment; `DataError` where its times are no numbers of seconds or its label is no string."""
    if not isinstance(segment, list | tuple) or len(segment) != 3:
        raise DataError(f'expected a segment [start, end, "label"], found {_shown(segment)}')
    start, end, label = segment
    if not all(isinstance(time, int | float) and not isinstance(time, bool) for time in (start, end)):
        raise DataError(f"expected a segment's start and end in seconds, found {_shown(segment)}; write numbers")
    if not 0 <= start < end < math.inf:
        raise DataError(f"expected 0 <= start < end in seconds, found the segment {_shown(segment)}; mend its times")
    if not isinstance(label, str) or not label.strip():
        raise DataError(f'expected a segment\'s label as a string ("7"), found {_shown(segment)}')
    return start, end, label


# -- lists ------------------------------------------------------------------------------------------------------------


def is_list(line: str) -> bool:
    """Whether a file whose first line this is lists recordings: a JSON object with ``audio`` and without tokens.

    >>> is_list('{"audio": "0001.wav", "text": "7 7 3"}'), is_list('{"text": "no audio"}'), is_list("audio O")
    (True, False, False)
    """
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
    """The recordings of a list in JSON lines, one after the other, as examples made of frames.

    Of a record, ``audio`` is the WAV file (its path from where the list lies), ``text`` what was said (cut at white
    space it is the target), ``segments`` when (they become tags, one a step, by `frame_tags`); other strings and the
    file's name are metadata. Without ``tags`` neither text nor segments become answers, and the text is metadata too.
    Raises `DataError` with the list's line, and the file's name, for what `samples_of` and `frame_tags` refuse and for
    segments that end after the recording; `ConfigError` for options that do not go together.
    """
    options = check_options(audio)
    folder = Path(name_of(source)).parent if is_path(source) else Path()
    records = (record for record in read_records(source, encoding=encoding) if record.values is not None)
    return (_example(record, folder, options, tags) for record in records)


def _example(record: Record, folder: Path, options: AudioOptions, tags: bool) -> Example:
    values = record.values or {}
    try:
        path = folder / _string(values, AUDIO)
        samples = samples_of(path, options=options)
        frames = frames_of(samples, options=options)
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
    """The targets of a record; what it does not have is left out."""
    answers: dict[str, Any] = {}
    if TEXT in values:
        answers["target"] = tuple(_string(values, TEXT).split())
    if SEGMENTS in values:
        # Times are rounded in many lists: one hop more than there is does no harm
        segments = check_segments(values[SEGMENTS], seconds=seconds + options.hop / 1000)
        if segments or options.silence:
            answers["tags"] = frame_tags(segments, steps, options=options)
    return answers


def _string(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        keys = ", ".join(repr(name)[:40] for name in list(values)[:8]) or "none"
        raise DataError(f"expected a record with {key!r}, found the keys {keys}; name the WAV file there")
    if not isinstance(values[key], str):
        raise DataError(f"expected a string under {key!r}, found {_shown(values[key])}; write it in quotes")
    found: str = values[key]
    return found


def _shown(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)[:80]
    except (TypeError, ValueError):
        return repr(value)[:80]


def write_recordings(target: Target, examples: Any, *, encoding: str = "utf-8") -> None:
    """Raises `ConfigError` and writes nothing: frames cannot be made sound again."""
    raise ConfigError(f"{name_of(target)}: the audio format is read alone, for frames are no sound; keep the list")
