"""Audio: WAV recordings as log-mel energies or MFCC (Davis and Mermelstein 1980).

soundfile decodes and soxr resamples; the extra ``audio`` installs both.
"""

from __future__ import annotations

import importlib
import io
import math
import os
import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseq.data.file_signatures import kind_of
from structseq.data.options import AudioOptions
from structseq.data.textfile import open_binary
from structseq.errors import ConfigError, DataError

Floats = NDArray[np.float32]

FLOOR = 1e-10  # power of silence: 40 dB under one step of 16-bit samples
MAX_SAMPLE = 1e9  # larger samples overflow float32
RATES = range(1000, 768_001)  # samples per second that a header may give
# Sizes in the headers of files written to a pipe: SoX 0x7ffff000, rounded down to whole frames, others 0xffffffff
STREAM_SIZES = (range(0x7FFF0000, 0x7FFFF001), range(0xFFFFFF00, 0x1_0000_0000))
# Slaney's mel scale: hertz per mel up to the break (in hertz); above it, the logarithm of the factor per mel
SLANEY_LINEAR, SLANEY_BREAK, SLANEY_STEP = 200 / 3, 1000.0, np.log(6.4) / 27
_BLOCK = 4096  # frames transformed at a time, so that long recordings need little memory
_PATH = str | os.PathLike[str]


def read_samples(path: _PATH, *, options: AudioOptions | None = None) -> Floats:
    """(N,) samples of a WAV file between -1 and 1, at ``options.rate`` per second.

    Raises `DataError`, with the file, if it is missing, damaged, empty or not WAV, a sample is not finite, or there are
    several channels (unless ``options.channels`` is "mean"); `ConfigError` if the audio libraries are not installed.
    """
    options = options or AudioOptions()
    try:
        with open_binary(path) as stream:
            data = stream.read()
        rate, samples = _decoded(data, options)
    except DataError as error:
        raise DataError(error.message, file=os.fspath(path)) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read ({error})", file=os.fspath(path)) from None
    if rate != options.rate:
        samples = _library("soxr").resample(samples, rate, options.rate)
    return np.ascontiguousarray(samples, np.float32)


def _decoded(data: bytes, options: AudioOptions) -> tuple[int, Floats]:
    """The rate, and (N,) samples of one channel."""
    if data[:4] != b"RIFF" or data[8:12] not in (b"WAVE", b""):
        raise _not_wav(data)
    _check_whole(data)
    if data[4:8] in (bytes(4), b"\xff" * 4):
        data = b"RIFF\x08\0\0\0" + data[8:]  # makes libsndfile read sound of size 0 up to the end of the file
    soundfile = _library("soundfile")
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)  # (N, channels)
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as error:
        why = getattr(error, "error_string", str(error)).strip(" .")
        advice = "it is cut short, damaged or not PCM: download it again or convert it to PCM"
        raise DataError(f"expected a WAV file, found one that cannot be decoded ({why}); {advice}") from None
    _check_samples(samples, rate, options)
    return rate, samples.mean(1) if samples.shape[1] > 1 else samples[:, 0]


def _check_whole(data: bytes) -> None:
    """Raises `DataError` if sound is missing at the end; libsndfile does not check this."""
    name, position, size = b"", 12, 0
    while name != b"data":
        position += size + size % 2
        if position + 8 > len(data):
            return  # no sound at all, which libsndfile refuses
        name, size = struct.unpack_from("<4sI", data, position)
        position += 8
    if len(data) - position < size and not any(size in sizes for sizes in STREAM_SIZES):
        found = f"{len(data) - position:,} of the {size:,} bytes of sound that its header declares"
        raise DataError(f"expected a whole WAV file, found {found}; it is cut short: download or write it again")


def _check_samples(samples: Floats, rate: int, options: AudioOptions) -> None:
    count, channels = samples.shape
    if channels > 1 and options.channels == "refuse":
        advice = 'mix it down to mono, or set data.audio.channels to "mean"'
        raise DataError(f"expected a recording of one channel, found {channels}; {advice}")
    if rate not in RATES:
        advice = "its header is damaged: write it again"
        raise DataError(f"expected {RATES[0]} to {RATES[-1]} samples a second, found {rate}; {advice}")
    if not count:
        raise DataError("expected a recording, found a WAV file without samples; remove it from the list")
    invalid = ~(np.abs(samples) <= MAX_SAMPLE)  # NaN fails every comparison
    if invalid.any():
        at, channel = np.argwhere(invalid)[0]
        found = f"{samples[at, channel]:g} as sample {at} of {count}"
        raise DataError(f"expected samples between -1 and 1, found {found}; write the file again")


def _not_wav(data: bytes) -> DataError:
    found, advice = f"bytes that begin {data[:4].hex(' ')}", "convert it to WAV (PCM, one channel)"
    if not data:
        found, advice = "an empty file", "download it again or remove it from the list"
    elif kind := kind_of(data):
        found, advice = kind.name, kind.as_wav
    elif data[:40].isascii():
        found = f"text that begins {data[:40].decode('ascii')!r}"
    return DataError(f"expected a WAV file, found {found}; {advice}")


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: soundfile without its C library
        advice = "pip install soundfile soxr"
        raise ConfigError(f"reading recordings needs {name}, which cannot be imported ({error}); {advice}") from None


def read_audio(path: _PATH, *, options: AudioOptions | None = None) -> Floats:
    """(T, F) the steps of one WAV file; raises as `read_samples` and `extract_frames` do."""
    options = options or AudioOptions()
    return extract_frames(read_samples(path, options=options), options=options)


def extract_frames(samples: NDArray[Any], *, options: AudioOptions | None = None) -> Floats:
    """(T, F) the steps of a recording, from its samples (N,) at ``options.rate``.

    A frame is the natural logarithm of the energy in each mel band of a Hann window, or its first MFCC. A step joins
    ``stride`` frames. The last window is padded with silence, the last step with its last frame. ``centre`` is cepstral
    mean subtraction over the recording (Atal 1974). Raises `DataError` if the samples are not finite floats of one
    channel, `ConfigError` as `check_options` does.

    >>> noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    >>> extract_frames(noise).shape, extract_frames(noise, options=AudioOptions(stride=3)).shape
    ((99, 40), (33, 120))
    """
    from scipy import fft  # 0.2 s, so not before a recording is read

    options = check_options(options)
    if np.ndim(samples) != 1:
        raise DataError(f"expected samples (N,) of one channel, found an array of {np.ndim(samples)} dimensions")
    samples = np.asarray(samples)
    if not np.issubdtype(samples.dtype, np.floating):
        advice = "divide whole numbers by their range (int16: 32768)"
        raise DataError(f"expected samples between -1 and 1, found {samples.dtype}; {advice}")
    if not np.isfinite(samples).all():
        raise DataError("expected finite samples, found NaN or infinity; correct them or leave the recording out")
    window, hop = window_and_hop(options)
    count = 1 + max(0, math.ceil((len(samples) - window) / hop))
    padded = np.zeros((count - 1) * hop + window, np.float32)
    padded[: len(samples)] = samples
    views = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]  # (T, window), not copied
    frames = np.concatenate([_log_mel(views[at : at + _BLOCK], options) for at in range(0, count, _BLOCK)])
    if options.features == "mfcc":
        frames = fft.dct(frames, norm="ortho")[:, : options.coefficients]
    if options.centre:
        frames = frames - frames.mean(0, dtype=np.float64).astype(np.float32)
    frames = np.concatenate([frames, np.repeat(frames[-1:], -len(frames) % options.stride, 0)])
    return np.ascontiguousarray(frames.reshape(-1, options.stride * frames.shape[1]), np.float32)


def _log_mel(windows: Floats, options: AudioOptions) -> Floats:
    """(T, mels) from (T, window)."""
    from scipy import fft

    taper, mels = _filters(options.rate, windows.shape[1], options.mels)
    spectrum = fft.rfft(windows * taper, 2 * (len(mels) - 1))  # (T, bins)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return np.log(np.maximum(power @ mels, FLOOR))


@lru_cache(maxsize=8)
def _filters(rate: int, window: int, mels: int) -> tuple[Floats, Floats]:
    """The taper (window,) and the mel filters (bins, mels)."""
    edges = mel_edges(rate, mels)
    # The FFT is long enough that the narrowest band contains a frequency
    narrowest = float((edges[2:] - edges[:-2]).min())
    size = 1 << math.ceil(math.log2(max(window, rate / narrowest + 1)))
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return taper.astype(np.float32), mel_filters(rate, size, mels)


def mel_edges(rate: int, mels: int) -> NDArray[np.float64]:
    """(mels + 2,) hertz, evenly spaced in mel from 0 to half the rate; band i spans edges i to i + 2.

    The scale is linear up to 1000 Hz, then logarithmic (Slaney 1998, "Auditory Toolbox").
    """
    nyquist, break_mel = rate / 2, SLANEY_BREAK / SLANEY_LINEAR
    highest = (
        nyquist / SLANEY_LINEAR if nyquist < SLANEY_BREAK else break_mel + np.log(nyquist / SLANEY_BREAK) / SLANEY_STEP
    )
    scale = np.linspace(0.0, highest, mels + 2)
    return np.where(scale < break_mel, SLANEY_LINEAR * scale, SLANEY_BREAK * np.exp(SLANEY_STEP * (scale - break_mel)))


def mel_filters(rate: int, size: int, mels: int) -> Floats:
    """(size / 2 + 1, mels) triangles of area 1 over the frequencies of an FFT of ``size`` (Slaney 1998)."""
    edges, frequencies = mel_edges(rate, mels), np.fft.rfftfreq(size, 1 / rate)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rise, fall = (frequencies - left) / (centre - left), (right - frequencies) / (right - centre)
    triangles = np.maximum(0, np.minimum(rise, fall)).astype(np.float32)  # rounded before the scaling, as librosa does
    return np.asarray(triangles * (2 / (right - left)), np.float32)


def window_and_hop(options: AudioOptions) -> tuple[int, int]:
    """Window and hop in samples."""
    return max(2, round(options.window * options.rate / 1000)), max(1, round(options.hop * options.rate / 1000))


def check_options(audio: AudioOptions | Mapping[str, Any] | None) -> AudioOptions:
    """Raises `ConfigError` for unknown options and for more coefficients than mel bands."""
    options = audio if isinstance(audio, AudioOptions) else AudioOptions.checked(audio or {}, prefix="data.audio")
    if options.features == "mfcc" and options.coefficients > options.mels:
        found = f"{options.coefficients} of {options.mels}; lower data.audio.coefficients or raise data.audio.mels"
        raise ConfigError(f"expected at most as many coefficients as there are mel bands, found {found}")
    return options
