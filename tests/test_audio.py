"""Recordings: log-mel and MFCC frames, tags of frames, lists; and what is wrong with a file, in a sentence each."""

from __future__ import annotations

import gzip
import io
import json
import math
import struct
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.data.audio import FLOOR, extract_frames, mel_edges, mel_filters, read_audio, read_samples, window_and_hop
from structseq.data.example import Example
from structseq.data.formats import detect_format, read
from structseq.data.options import AudioOptions
from structseq.data.recordings import frame_tags, read_recordings, step_times, write_recordings
from structseq.errors import ConfigError, DataError

GENERATE = Path(__file__).resolve().parent.parent / "corpora" / "digits" / "generate.py"
PLAIN = AudioOptions()
Floats = npt.NDArray[Any]
steady = settings(deadline=None, derandomize=True, max_examples=40)


def sound(samples: Floats, *, rate: int = 8000, width: int = 2) -> bytes:
    """A WAV file of samples (N,) or (N, channels) between -1 and 1, 16 or 8 bits each, by the standard library."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        whole = np.round(samples * 32767).astype("<i2") if width == 2 else np.round(samples * 127 + 128).astype("u1")
        file.writeframes(whole.tobytes())
    return buffer.getvalue()


def tone(hertz: float, seconds: float = 0.5, rate: int = 8000) -> Floats:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def noise(count: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0, 0.1, count)


def saved(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def listed(folder: Path, *records: Any) -> Path:
    path = folder / "list.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


# -- frames -----------------------------------------------------------------------------------------------------------


def test_frames_equal_librosas_where_both_are_defined() -> None:
    window, hop = window_and_hop(PLAIN)
    assert (window, hop) == (200, 80)
    samples = noise(window + 30 * hop).astype(np.float32)
    # librosa centres a window in a longer transform and reads no sample twice for it
    around = np.zeros((256 - window) // 2, np.float32)
    power = librosa.feature.melspectrogram(
        y=np.concatenate([around, samples, around]), sr=8000, n_fft=256, win_length=window, hop_length=hop,
        center=False, power=2.0, n_mels=40,
    )  # fmt: skip
    found = extract_frames(samples)
    assert found.dtype == np.float32 and found.shape == (31, 40)
    np.testing.assert_allclose(found, np.log(power.T), atol=1e-4)
    coefficients = extract_frames(samples, options=AudioOptions(features="mfcc", coefficients=13))
    np.testing.assert_allclose(coefficients, librosa.feature.mfcc(S=np.log(power), n_mfcc=13).T, atol=1e-3)


@pytest.mark.parametrize("rate", [1000, 2000, 8000, 11025, 16000, 22050, 44100, 192_000])
@pytest.mark.parametrize("bands", [2, 13, 23, 40, 80, 128])
def test_the_mel_filters_are_librosas_to_the_bit(rate: int, bands: int) -> None:
    np.testing.assert_array_equal(mel_edges(rate, bands), librosa.mel_frequencies(bands + 2, fmin=0.0, fmax=rate / 2))
    for size in (4096, 16384):
        found = mel_filters(rate, size, bands)
        assert found.dtype == np.float32 and found.shape == (size // 2 + 1, bands)
        np.testing.assert_array_equal(found.T, librosa.filters.mel(sr=rate, n_fft=size, n_mels=bands))


@steady
@given(hertz=st.floats(120, 3800), mels=st.sampled_from([20, 40, 80]), window=st.sampled_from([20.0, 25.0, 32.0]))
def test_energy_peaks_where_the_tone_is(hertz: float, mels: int, window: float) -> None:
    found = extract_frames(tone(hertz), options=AudioOptions(mels=mels, window=window))
    edges = mel_edges(8000, mels)
    for band in found[:-3].argmax(1):  # the last windows reach into the silence after it
        # A tone near an edge may be louder next door; a window of that many ms blurs by about one bin more.
        assert edges[band] - 1000 / window <= hertz <= edges[band + 2] + 1000 / window


@steady
@given(count=st.integers(0, 3000), window=st.floats(1, 60), hop=st.floats(1, 30))
def test_every_sample_is_in_a_frame_and_no_frame_is_past_the_end(count: int, window: float, hop: float) -> None:
    options = AudioOptions(window=window, hop=hop, mels=8)
    (length, step), steps = window_and_hop(options), len(extract_frames(noise(count), options=options))
    assert steps >= 1 and (steps - 1) * step + length >= count
    assert steps == 1 or (steps - 2) * step + length < count


@steady
@given(cut=st.integers(1, 2000))
def test_a_frame_depends_on_its_own_window_alone(cut: int) -> None:
    whole, samples = extract_frames(noise(2400)), noise(2400)
    samples[cut:] = 0.3
    window, hop = window_and_hop(PLAIN)
    same = sum(t * hop + window <= cut for t in range(len(whole)))
    np.testing.assert_allclose(extract_frames(samples)[:same], whole[:same], atol=1e-4)
    assert cut + window + hop > 2400 or not np.allclose(extract_frames(samples)[same + 1], whole[same + 1], atol=1e-2)


def test_long_recordings_are_cut_into_blocks_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = extract_frames(noise(8000))
    monkeypatch.setattr("structseq.data.audio._BLOCK", 7)
    np.testing.assert_allclose(extract_frames(noise(8000)), whole, atol=1e-4)


@steady
@given(count=st.integers(1, 4000), louder=st.floats(0.1, 10.0), features=st.sampled_from(["log-mel", "mfcc"]))
def test_centred_frames_have_mean_0_and_know_no_loudness(count: int, louder: float, features: Any) -> None:
    options = AudioOptions(features=features, mels=15, coefficients=9, centre=True)
    samples = noise(count)
    found = extract_frames(samples, options=options)
    np.testing.assert_allclose(found.mean(0), 0.0, atol=1e-4)
    np.testing.assert_allclose(extract_frames(louder * samples, options=options), found, atol=2e-3)
    plain = extract_frames(samples, options=options.model_copy(update={"centre": False}))
    np.testing.assert_allclose(found, plain - plain.mean(0), atol=1e-4)


@given(count=st.integers(1, 4000), stride=st.integers(1, 12), features=st.sampled_from(["log-mel", "mfcc"]))
def test_strides_lay_frames_side_by_side_and_repeat_the_last(count: int, stride: int, features: Any) -> None:
    options = AudioOptions(features=features, mels=15, coefficients=9)
    single, wide = extract_frames(noise(count), options=options), options.model_copy(update={"stride": stride})
    found = extract_frames(noise(count), options=wide)
    width = 15 if features == "log-mel" else 9
    assert found.shape == (math.ceil(len(single) / stride), stride * width) and found.dtype == np.float32
    laid = found.reshape(-1, width)
    assert (laid[: len(single)] == single).all() and (laid[len(single) :] == single[-1]).all()


def test_silence_has_a_floor_and_a_short_recording_one_frame() -> None:
    assert (extract_frames(np.zeros(50)) == np.float32(np.log(np.float32(FLOOR)))).all()
    assert extract_frames(np.zeros(1)).shape == (1, 40)
    for mels, rate in ((512, 1000), (2, 192_000), (256, 8000)):  # no band without a frequency, and no warning of one
        found = extract_frames(noise(4000), options=AudioOptions(mels=mels, rate=rate))
        assert np.isfinite(found).all() and (found > np.log(FLOOR)).all()


@pytest.mark.parametrize("rate", [4000, 11025, 16000, 44100, 48000])
def test_other_rates_are_resampled(tmp_path: Path, rate: int) -> None:
    path = saved(tmp_path / "a.wav", sound(tone(1000, rate=rate), rate=rate))
    samples = read_samples(path)
    assert abs(len(samples) - 4000) <= 1 and samples.dtype == np.float32
    np.testing.assert_allclose(samples[400:3600], tone(1000)[400:3600], atol=2e-3)
    # The band of the tone; others hold what little is left of it
    band = extract_frames(tone(1000)).mean(0).argmax()
    np.testing.assert_allclose(read_audio(path)[5:40, band], extract_frames(tone(1000))[5:40, band], atol=0.02)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_every_kind_of_sample_is_read(tmp_path: Path, subtype: str) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440), 8000, subtype=subtype)
    np.testing.assert_allclose(read_samples(tmp_path / "a.wav"), tone(440), atol=0.02)


def test_channels_are_refused_or_mixed(tmp_path: Path) -> None:
    left, right = tone(500), tone(2000)
    path = saved(tmp_path / "a.wav", sound(np.stack([left, right], 1)))
    with pytest.raises(
        DataError, match=r"a\.wav: expected a recording of one channel, found 2; .*channels to \"mean\""
    ):
        read_samples(path)
    mixed = read_samples(path, options=AudioOptions(channels="mean"))
    np.testing.assert_allclose(mixed, (left + right) / 2, atol=1e-4)
    with pytest.raises(DataError, match=r"expected samples \(N,\) of one channel"):
        extract_frames(np.stack([left, right], 1))


def test_further_chunks_and_odd_sizes_are_passed_over(tmp_path: Path) -> None:
    data = sound(tone(500))
    note = b"note" + struct.pack("<I", 3) + b"abc\0"
    path = saved(tmp_path / "a.wav", data[:12] + note + data[12:] + note)
    assert (read_samples(path) == read_samples(saved(tmp_path / "b.wav", data))).all()


# -- tags -------------------------------------------------------------------------------------------------------------


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[tuple[float, float, str]], int, AudioOptions]:
    """Segments with gaps between them, each longer than a step, steps that reach past them, and options."""
    options = AudioOptions(
        stride=draw(st.integers(1, 4)), silence=draw(st.sampled_from(["", "sil"])), states=draw(st.integers(1, 4))
    )
    (window, _), step = window_and_hop(options), options.stride * options.hop / 1000
    at, segments = window / 8000 + step, []
    for label in draw(st.lists(st.sampled_from("1237"), min_size=1, max_size=6)):
        start = at + draw(st.one_of(st.just(0.0), st.floats(0.001, 0.2)))
        at = start + step * draw(st.floats(1.01, 12))
        segments.append((start, at, label))
    return segments, math.ceil(at / step) + draw(st.integers(1, 5)), options


@steady
@given(scenes())
def test_tags_are_what_a_plain_search_says(scene: tuple[list[tuple[float, float, str]], int, AudioOptions]) -> None:
    segments, steps, options = scene
    found, owners = frame_tags(segments, steps, options=options), []
    for time in step_times(steps, options=options).tolist():
        away = [max(start - time, time - end, 0.0) for start, end, _ in segments]
        inside = [k for k, (start, end, _) in enumerate(segments) if start <= time < end]
        nearest = max(k for k in range(len(segments)) if away[k] == min(away))
        owners.append(inside[0] if inside else -1 if options.silence else nearest)
    expected = []
    for owner, run in groupby(owners):
        count = len(list(run))
        label = options.silence if owner < 0 else segments[owner][2]
        parts = [f".{1 + place * options.states // count}" for place in range(count)]
        expected += [label if owner < 0 or options.states == 1 else label + part for part in parts]
    assert list(found) == expected


@steady
@given(scenes())
def test_no_segment_is_lost_and_their_order_stays(
    scene: tuple[list[tuple[float, float, str]], int, AudioOptions],
) -> None:
    segments, steps, options = scene
    alone = [
        (start, end, str(place)) for place, (start, end, _) in enumerate(segments)
    ]  # each different from the others
    tags = frame_tags(alone, steps, options=options)
    assert len(tags) == steps
    said = [tag for tag in tags if tag != "sil"]
    assert len(said) == steps or options.silence
    labels = [label for label, _ in groupby(tag.split(".")[0] for tag in said)]
    assert labels == [str(place) for place in range(len(segments))]
    if options.states == 1:
        return
    for _, run in groupby(said, key=lambda tag: tag.split(".")[0]):
        parts = [int(tag.split(".")[1]) for tag in run]
        assert parts == sorted(parts) and parts[0] == 1 and parts[-1] <= options.states
        sizes = [parts.count(part) for part in range(1, options.states + 1)]
        assert max(sizes) - min(sizes) <= 1


def test_a_steps_time_is_the_centre_of_its_frames() -> None:
    single, wide = step_times(6), step_times(2, options=AudioOptions(stride=3))
    np.testing.assert_allclose(single, [0.0125, 0.0225, 0.0325, 0.0425, 0.0525, 0.0625])
    np.testing.assert_allclose(wide, single.reshape(2, 3).mean(1))


def test_of_two_segments_equally_near_the_later_is_taken() -> None:
    options = AudioOptions(window=250.0, hop=250.0)  # centres at 0.125, 0.375, 0.625: whole binary fractions
    assert frame_tags([(0.0, 0.25, "7"), (0.5, 0.75, "3")], 3, options=options) == ("7", "3", "3")
    assert frame_tags([(0.0, 0.375, "7"), (0.375, 0.75, "3")], 3, options=options) == ("7", "3", "3")


def test_without_segments_there_is_silence_or_a_refusal() -> None:
    assert frame_tags([], 3, options=AudioOptions(silence="sil")) == ("sil",) * 3
    assert frame_tags([], 0) == ()
    with pytest.raises(DataError, match=r"expected a segment, found none; set data\.audio\.silence"):
        frame_tags([], 3)


SEGMENTS: dict[str, tuple[Any, str]] = {
    "no list": ("7", "expected a list of segments"),
    "a number": (7, "expected a list of segments"),
    "an object": ({"7": [0, 1]}, "expected a list of segments"),
    "no segment": ([7], 'expected a segment [start, end, "label"], found 7'),
    "two of three": ([[0.1, 0.2]], 'expected a segment [start, end, "label"], found [0.1, 0.2]'),
    "words for times": ([["0.1", 0.2, "7"]], "start and end in seconds, found"),
    "true for a time": ([[True, 2.0, "7"]], "start and end in seconds, found"),
    "nothing for a time": ([[0.1, None, "7"]], "start and end in seconds, found"),
    "not a number": ([[math.nan, 0.2, "7"]], "expected 0 <= start < end"),
    "without end": ([[0.1, math.inf, "7"]], "expected 0 <= start < end"),
    "negative": ([[-0.1, 0.2, "7"]], "expected 0 <= start < end"),
    "backwards": ([[0.2, 0.1, "7"]], "expected 0 <= start < end"),
    "no time at all": ([[0.2, 0.2, "7"]], "expected 0 <= start < end"),
    "a number for a label": ([[0.1, 0.2, 7]], 'label as a string ("7"), found [0.1, 0.2, 7]'),
    "an empty label": ([[0.1, 0.2, " "]], "label as a string"),
    "out of order": ([[0.3, 0.4, "7"], [0.1, 0.2, "3"]], 'found [0.1, 0.2, "3"] after one that ends at 0.4 s'),
    "overlapping": ([[0.1, 0.3, "7"], [0.2, 0.4, "3"]], "expected segments in order that do not overlap"),
    "past the end": ([[0.1, 0.9, "7"]], 'within the recording, found [0.1, 0.9, "7"] in 0.5'),
}


@pytest.mark.parametrize("kind", SEGMENTS)
def test_bad_segments_are_one_sentence(tmp_path: Path, kind: str) -> None:
    segments, words = SEGMENTS[kind]
    saved(tmp_path / "a.wav", sound(tone(500)))
    path = listed(tmp_path, {"audio": "a.wav"}, {"audio": "a.wav", "segments": segments})
    examples = read_recordings(path)
    assert "tags" not in next(examples).targets
    with pytest.raises(DataError) as caught:
        next(examples)
    message = str(caught.value)
    assert message.startswith(f"{path}:2: {tmp_path / 'a.wav'}: ") and words in message and "\n" not in message
    assert len(list(read_recordings(path, tags=False))) == 2  # who asks for no answers is not kept from the sound


def test_times_rounded_a_little_past_the_end_are_taken(tmp_path: Path) -> None:
    saved(tmp_path / "a.wav", sound(tone(500, 0.497)))
    (example,) = read_recordings(listed(tmp_path, {"audio": "a.wav", "segments": [[0, 0.25, "7"], [0.25, 0.5, "7"]]}))
    assert set(example.tags) == {"7"} and len(example.tags) == len(example)


# -- bad audio --------------------------------------------------------------------------------------------------------

GOOD = sound(noise(2000))


def with_rate(rate: int) -> bytes:
    return GOOD[:24] + struct.pack("<I", rate) + GOOD[28:]


def floats(*values: float) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.array([0.1, *values, 0.2], np.float32), 8000, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def sized(data: bytes, whole: int, sound: int) -> bytes:
    """A recording with other sizes in its header."""
    return data[:4] + struct.pack("<I", whole) + data[8:40] + struct.pack("<I", sound) + data[44:]


@pytest.mark.parametrize(
    "sizes",
    [
        (0xFFFFFFFF, 0xFFFFFFFF),
        (4036, 0xFFFFFFFF),
        (0, 0),
        (0xFFFFFFFF, 0),
        (0x7FFFF024, 0x7FFFF000),  # SoX
        (0x7FFFF022, 0x7FFFEFFE),  # SoX, frames of six bytes
        (0xFFFFFFFF, 0xFFFFFFFF - 36),
    ],
)
@pytest.mark.parametrize("loose", [b"", b"\1"])
def test_a_recording_from_a_pipe_is_read_to_its_end(tmp_path: Path, sizes: tuple[int, int], loose: bytes) -> None:
    path, piped = saved(tmp_path / "a.wav", GOOD), saved(tmp_path / "piped.wav", sized(GOOD, *sizes) + loose)
    np.testing.assert_array_equal(read_samples(piped), read_samples(path))
    listing = b"LIST\x04\0\0\0INFO"  # which ffmpeg writes before the sound
    tagged = sized(GOOD, *sizes)
    np.testing.assert_array_equal(
        read_samples(saved(piped, tagged[:36] + listing + tagged[36:] + loose)), read_samples(path)
    )


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "expected a WAV file, found an empty file; download it again"),
    "no samples": (sound(noise(0)), "found a WAV file without samples"),
    "stereo": (sound(np.zeros((100, 2))), "expected a recording of one channel, found 2"),
    "rate 0": (
        with_rate(0),
        "cannot be decoded (Internal error : SF_INFO struct incomplete); it is cut short, damaged",
    ),
    "rate 1": (with_rate(1), "expected 1000 to 768000 samples a second, found 1; its header is damaged"),
    "rate of billions": (with_rate(4_000_000_000), "expected a WAV file, found one that cannot be decoded"),
    "no channels": (
        GOOD[:22] + b"\0\0" + GOOD[24:],
        "cannot be decoded (Channel count is zero); it is cut short, damaged",
    ),
    "cut short": (GOOD[:-1001], "found 2,999 of the 4,000 bytes of sound that its header declares; it is cut short"),
    "header alone": (GOOD[:44], "found 0 of the 4,000 bytes"),
    "half a header": (GOOD[:30], "cannot be decoded (Error in WAV file. No 'data' chunk marker); it is cut short"),
    "four bytes": (GOOD[:4], "cannot be decoded (Format not recognised); it is cut short"),
    "no format": (GOOD[:12] + GOOD[36:], "cannot be decoded (Error in WAV file."),
    "unknown format": (GOOD[:20] + b"\x77\x77" + GOOD[22:], "found one that cannot be decoded"),
    "text": (b"said nobody ever\n", "found text that begins 'said nobody ever\\n'; convert it to WAV"),
    "MP3": (b"\xff\xfb\x90\x64" + bytes(100), "expected a WAV file, found an MP3 file; convert it to WAV"),
    "MP3 with a title": (b"ID3\x04\0\0\0\0\0\0", "expected a WAV file, found an MP3 file"),
    "FLAC": (b"fLaC\0\0\0\x22", "expected a WAV file, found a FLAC file"),
    "Ogg": (b"OggS\0\x02", "expected a WAV file, found an Ogg file"),
    "RF64": (b"RF64\xff\xff\xff\xffWAVEds64", "found an RF64 recording; convert it to WAV"),
    "RIFX": (b"RIFX\0\0\0\x24WAVEfmt ", "found a RIFX recording; convert it to WAV"),
    "AIFF": (b"FORM\0\0\0\x24AIFFCOMM", "found an AIFF recording; convert it to WAV"),
    "MP4": (b"\0\0\0\x1cftypM4A ", "found an MP4 file; convert it to WAV"),
    "zip": (b"PK\x03\x04\x14\0\0\0", "found a zip archive; unpack it and name the file in it"),
    "tar": (b"a.wav".ljust(257, b"\0") + b"ustar\0" + b"00", "found a tar archive; unpack it"),
    "packed twice": (gzip.compress(gzip.compress(GOOD)), "found a gzip file; unpack it"),
    "random": (bytes([200, 7, 130, 9, 255]), "found bytes that begin c8 07 82 09"),
    "another RIFF": (b"RIFF\x10\0\0\0AVI LIST", "expected a WAV file, found an AVI file"),
    "cut short in a pipe before its sound": (
        GOOD[:4] + b"\xff" * 4 + GOOD[8:36],
        "No 'data' chunk marker); it is cut short",
    ),
    "a pipe that gave nothing": (sized(GOOD[:44], 0xFFFFFFFF, 0xFFFFFFFF), "found a WAV file without samples"),
    "a pipe that gave nothing, with zeros": (sized(GOOD[:44], 0, 0), "found a WAV file without samples"),
    "cut short by one byte beyond a pipe": (sized(GOOD, 0xFFFFFFFF, 4001), "found 4,000 of the 4,001 bytes"),
    "not a number": (floats(math.nan), "expected samples between -1 and 1, found nan as sample 1 of 3"),
    "infinite": (floats(0.5, -math.inf), "expected samples between -1 and 1, found -inf as sample 2 of 4"),
    "beyond measure": (floats(1e30), "expected samples between -1 and 1, found 1e+30 as sample 1 of 3"),
    "packed and cut": (b"\x1f\x8b\x08\0\0\0", "cannot be read"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_audio_is_one_sentence_and_nothing_is_written(tmp_path: Path, kind: str) -> None:
    data, words = BAD[kind]
    path, good = saved(tmp_path / "bad.wav", data), saved(tmp_path / "good.wav", GOOD)
    with pytest.raises(DataError) as caught:
        read_audio(path)
    assert str(caught.value).startswith(f"{path}: ") and words in str(caught.value)
    source = listed(tmp_path, {"audio": "good.wav"}, {"audio": "bad.wav", "text": "7"})
    examples = read_recordings(source)
    assert len(next(examples)) > 1
    with pytest.raises(DataError) as caught:
        next(examples)
    message = str(caught.value)
    assert message.startswith(f"{source}:2: {path}: ") and words in message and "\n" not in message
    assert (caught.value.file, caught.value.line) == (str(source), 2)
    assert sorted(tmp_path.iterdir()) == [path, good, source] and path.read_bytes() == data


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    for name, words in (
        ("nowhere.wav", "nowhere.wav: there is no such file"),
        ("folder.wav", "expected a file, found a folder"),
        ("a\0b.wav", "no file can have this name"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            list(read_recordings(listed(tmp_path, {"audio": name})))
        assert str(caught.value).startswith(f"{tmp_path / 'list.jsonl'}:1: ")


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    changes=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4),
    length=st.one_of(st.just(544), st.integers(0, 544)),
)
def test_any_header_gives_frames_or_an_error_sentence(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(sound(noise(250)))
    for place, byte in changes:
        data[place] = byte
    path = saved(tmp_path_factory.getbasetemp() / "changed.wav", bytes(data[:length]))
    try:
        found = read_audio(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ") and "<_io" not in str(error)  # no memory address
    else:
        assert found.shape[1] == 40 and len(found) and np.isfinite(found).all()


def test_a_missing_library_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.wav", sound(tone(500, rate=16000), rate=16000))
    for name in ("soundfile", "soxr"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(ConfigError, match=rf"needs {name}, .*; pip install soundfile soxr"):
                read_audio(path)


# -- lists ------------------------------------------------------------------------------------------------------------

RECORDS: dict[str, tuple[str, str]] = {
    "bad JSON": ('{"audio": ', "expected one JSON object on this line, found bad JSON"),
    "a list": ('["a.wav"]', "found a list"),
    "no audio": ('{"text": "7", "sound": "a.wav"}', "expected a record with 'audio', found the keys 'text', 'sound'"),
    "no keys": ("{}", "expected a record with 'audio', found the keys none"),
    "audio no string": ('{"audio": 7}', "expected a string under 'audio', found 7"),
    "audio nothing": ('{"audio": null}', "expected a string under 'audio', found null"),
    "audio empty": ('{"audio": ""}', "expected the name of a WAV file under 'audio', found \"\"; write it there"),
    "audio blank": ('{"audio": " "}', "expected the name of a WAV file under 'audio', found \" \""),
    "a key twice": (
        '{"audio": "a.wav", "text": "7", "text": "3"}',
        "found the key 'text' twice in one object; keep one of them",
    ),
    "text no string": ('{"audio": "a.wav", "text": ["7", "3"]}', "expected a string under 'text', found ["),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_bad_records_are_one_sentence(tmp_path: Path, kind: str) -> None:
    line, words = RECORDS[kind]
    saved(tmp_path / "a.wav", GOOD)
    path = tmp_path / "list.jsonl"
    path.write_text('\n{"audio": "a.wav"}\n' + line + "\n", encoding="utf-8")
    examples = read_recordings(path)
    assert next(examples).source == f"{path}:2"
    with pytest.raises(DataError) as caught:
        next(examples)
    assert str(caught.value).startswith(f"{path}:3: ") and words in str(caught.value)


def test_records_become_examples(tmp_path: Path) -> None:
    saved(tmp_path / "a.wav", GOOD)
    record = {"audio": "a.wav", "text": " 7  7\t3 ", "speaker": "ann", "age": 30, "segments": [[0.0, 0.1, "7"]]}
    silent = {"audio": "a.wav", "text": "", "segments": []}
    path = listed(tmp_path, record, silent, {"audio": "a.wav"})
    full, empty, bare = read_recordings(path)
    assert full.target == ("7", "7", "3") and full.tags == ("7",) * len(full) and full.source == f"{path}:1"
    assert full.metadata == {"audio": "a.wav", "speaker": "ann"}
    assert empty.targets == {"target": ()} and bare.targets == {}
    np.testing.assert_array_equal(bare.frames, read_audio(tmp_path / "a.wav"))
    for answer in (empty, bare):
        with pytest.raises(
            DataError, match=rf'{path}:[23] has no tags; write "segments" in its record, \[\[start, end'
        ):
            answer.tags  # noqa: B018 - raises
    (untagged, *_) = read_recordings(path, tags=False)
    assert untagged.targets == {} and untagged.metadata["text"] == " 7  7\t3 "
    (_, quiet, _) = read_recordings(path, audio={"silence": "sil"})
    assert set(quiet.tags) == {"sil"}


def test_paths_are_from_where_the_list_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    above, beside = saved(tmp_path / "a.wav", GOOD), saved(folder / "b.wav", GOOD)
    path = listed(folder, {"audio": "../a.wav"}, {"audio": str(above)}, {"audio": "b.wav"})
    first, *others = read_recordings(path)
    assert [(other.frames == first.frames).all() for other in others] == [True, True]
    monkeypatch.chdir(folder)  # a stream has no folder: the current one counts
    (example,) = read_recordings(io.BytesIO(json.dumps({"audio": beside.name}).encode()))
    assert (example.frames == first.frames).all() and example.source == "<stream>:1"


def test_options_are_checked_before_anything_is_read() -> None:
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: read_recordings("nowhere", audio={"mel": 40}), r"unknown option data\.audio\.mel; did you mean"),
        (lambda: read_recordings("nowhere", audio={"rate": 0}), r"option data\.audio\.rate"),
        (
            lambda: read_recordings("nowhere", audio={"features": "mfcc", "mels": 12}),
            "expected at most as many coefficients as there are mel bands, found 13 of 12",
        ),
    ]
    for call, words in calls:
        with pytest.raises(ConfigError, match=words):
            call()


def test_lists_are_distinguished_from_other_json_lines_and_not_written(tmp_path: Path) -> None:
    assert detect_format(io.BytesIO(b'{"audio": "a.wav", "text": "7"}\n')) == "audio"
    assert detect_format(io.BytesIO(b'{"tokens": ["a"], "audio": "a.wav"}\n')) == "jsonl"
    assert detect_format(io.BytesIO(b'{"text": "a"}\n')) == "jsonl"
    with pytest.raises(ConfigError, match="the audio format cannot be written"):
        write_recordings(tmp_path / "new.jsonl", [Example.of_frames(np.zeros((2, 3)))])
    assert not list(tmp_path.iterdir())


# -- from the generator to tags ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("tones")
    command = [sys.executable, "-B", "-W", "error", str(GENERATE), "--output", str(folder), "--strings", "10"]
    subprocess.run(command, check=True, capture_output=True)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    yield folder / "digits.jsonl"
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("stride", [1, 3])
def test_digits_of_tones_are_read_with_all_that_is_known(tones: Path, stride: int) -> None:
    records = [json.loads(line) for line in tones.read_text().splitlines()]
    silent, nearest = (list(read(tones, audio={"stride": stride, "silence": name})) for name in ("-", ""))
    assert len(silent) == len(records) == 10
    for record, apart, near in zip(records, silent, nearest, strict=True):
        digits = record["text"].split()
        assert list(apart.target) == digits and apart.frames.shape[1] == stride * 40
        assert [tag for tag, _ in groupby(apart.tags) if tag != "-"] == digits  # a repeat has silence in between
        assert [tag for tag, _ in groupby(near.tags)] == [digit for digit, _ in groupby(digits)]
        loud = apart.frames.max(1)
        inside = np.array(apart.tags) != "-"
        assert loud[inside].mean() > loud[~inside].mean() + 2
        with wave.open(str(tones.parent / record["audio"])) as file:
            seconds = file.getnframes() / file.getframerate()
        assert len(apart) == math.ceil((1 + math.ceil((seconds - 0.025) / 0.01 - 1e-9)) / stride)
