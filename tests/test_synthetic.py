"""The synthetic corpora: words (dates, numbers, reversal) and digits (tones, joined recordings), read independently."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import struct
import subprocess
import sys
import wave
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, datetime
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts import imported, run_main

CORPORA = Path(__file__).resolve().parent.parent / "corpora"
WORDS, DIGITS = CORPORA / "words", CORPORA / "digits"
TASKS = {
    "dates": ["dates"],
    "numbers": ["numbers"],
    "numbers-to-words": ["numbers", "--to-words"],
    "reversal": ["reversal"],
}
Pairs = list[tuple[str, str]]


def script(path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    with imported(path) as module:
        return run_main(module, *arguments)


def done(path: Path, *arguments: object) -> str:
    result = script(path, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(path: Path, *arguments: object) -> str:
    """The one sentence of a refusal."""
    result = script(path, *arguments)
    assert result.returncode == 2 and not result.stdout
    (line,) = result.stderr.splitlines()
    return line


def alone(path: Path) -> ModuleType:
    """A module that needs none of its neighbours."""
    spec = spec_from_file_location(f"synthetic_{path.stem}", path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sums(folder: Path) -> dict[str, str]:
    """What SHA256SUMS says, by path."""
    lines = (folder / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def hashed(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def pairs(path: Path) -> Pairs:
    head, *lines = path.read_bytes().decode("ascii").split("\n")
    assert head == "source\ttarget" and lines.pop() == ""
    return [(source, target) for source, target in (line.split("\t") for line in lines)]


# Words


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every task at its default size; with its output."""
    folder = tmp_path_factory.mktemp("words")
    for name, arguments in TASKS.items():
        printed = done(WORDS / "generate.py", *arguments, "--output", folder / name)
        (folder / f"{name}.printed").write_text(printed)
    return folder


def everything(folder: Path) -> Pairs:
    return [pair for path in sorted(folder.glob("*.tsv")) for pair in pairs(path)]


def test_words_are_the_same_bytes_everywhere(words: Path) -> None:
    made = {name: data for name, data in contents(words).items() if name.endswith(".tsv")}
    assert hashed(made) == sums(WORDS)


@pytest.mark.parametrize("task", TASKS)
def test_no_source_occurs_twice_and_sizes_are_those_promised(words: Path, task: str) -> None:
    sources = [source for source, _ in everything(words / task)]
    assert len(sources) == len(set(sources))
    sizes = {path.stem: len(pairs(path)) for path in (words / task).glob("*.tsv")}
    if task == "reversal":
        assert sizes == {"train": 10_000, "dev": 1_000, "test": 1_000, "longer": 1_000}
    else:
        assert sizes == {"train": 20_000, "dev": 1_000, "test": 2_000}


@pytest.mark.parametrize("task", ["dates", "numbers", "reversal"])
def test_the_readme_has_the_statistics(words: Path, task: str) -> None:
    readme = (WORDS / "README.md").read_text(encoding="utf-8")
    for line in (words / f"{task}.printed").read_text().splitlines():
        split = re.search(r"(\w+)\.tsv: ", line)
        assert split
        found = pairs(words / task / f"{split[1]}.tsv")
        lengths, targets = ([len(pair[side]) for pair in found] for side in (0, 1))
        letters = len(set("".join(source for source, _ in found)))
        mean = f"{sum(lengths) / len(lengths):.1f}"
        span, aim = f"{min(lengths)} to {max(lengths)}", f"{min(targets)} to {max(targets)}"
        assert f"| {task}/{split[1]} | {len(found):,} | {span} | {mean} | {letters} | {aim} |" in readme
        assert f"{len(found):,} pairs; sources of {span} characters (mean {mean}, {letters} different)" in line


def test_test_stays_and_training_grows(tmp_path: Path) -> None:
    for name, arguments in TASKS.items():
        if name == "numbers-to-words":
            continue
        for folder, sizes in (("small", (30, 10, 20)), ("large", (60, 15, 20))):
            options = [f"--{split}={size}" for split, size in zip(("train", "dev", "test"), sizes, strict=True)]
            done(WORDS / "generate.py", *arguments, *options, "--output", tmp_path / folder / name)
        small, large = ({split: pairs(tmp_path / folder / name / f"{split}.tsv") for split in ("train", "dev", "test")}
                        for folder in ("small", "large"))  # fmt: skip
        assert small["test"] == large["test"] and len(small["test"]) == 20
        assert small["dev"] == large["dev"][:10] and small["train"] == large["train"][:30]
        done(WORDS / "generate.py", *arguments, "--train=30", "--seed=8", "--output", tmp_path / "other" / name)
        assert set(pairs(tmp_path / "other" / name / "train.tsv")) != set(small["train"])


FORMATS = ("%d %B %Y", "%B %d %Y", "%d %b %Y", "%b %d %Y", "%d-%b-%Y", "%A %d %B %Y", "%A %B %d %Y", "%a %d %b %Y",
           "%a %b %d %Y", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%m-%d-%Y")  # fmt: skip
ONES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
SPELLED = {
    **{word: 1 + place for place, word in enumerate(ONES)},
    **{f"{tens}-{word}": 1 + place + add for tens, add in (("twenty", 20), ("thirty", 30))
       for place, word in enumerate(ONES)},
    "tenth": 10, "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14, "fifteenth": 15, "sixteenth": 16,
    "seventeenth": 17, "eighteenth": 18, "nineteenth": 19, "twentieth": 20, "thirtieth": 30,
}  # fmt: skip


def readings(source: str) -> set[tuple[date, str]]:
    """Every (day, format) as which a source can be read, weekday and ending of the ordinal checked."""
    text = source.lower()
    year = re.search(r"(?<!\d)(')?(\d\d)$", text)
    if year:
        text = text[: year.start()] + ("19" if int(year[2]) >= 50 else "20") + year[2]
    text = " ".join(str(SPELLED.get(word, word)) for word in re.sub(r",|\bthe\b|\bof\b", " ", text).split())
    for day, ending in re.findall(r"\b(\d+)(st|nd|rd|th)\b", text):
        exception = {"1": "st", "2": "nd", "3": "rd", "21": "st", "22": "nd", "23": "rd", "31": "st"}
        assert ending == exception.get(day, "th"), source
        text = text.replace(day + ending, day)
    found = set()
    for form in FORMATS:
        try:
            when = datetime.strptime(text, form)
        except ValueError:
            continue
        if "%a" in form.lower().split()[0]:
            assert when.strftime("%A").lower().startswith(text.split()[0]), source
        found.add((when.date(), form))
    return found


def test_every_date_has_one_reading_and_it_is_the_target(words: Path) -> None:
    used = set()
    every = everything(words / "dates")
    for source, target in every[:3000] + every[3000::60]:
        found = readings(source)
        assert {day.isoformat() for day, _ in found} == {target}, source
        used |= {form for _, form in found}
    assert used == set(FORMATS)
    assert readings("wednesday the 3rd of may 1995") and len({day for day, _ in readings("3/5/98")}) == 2
    with pytest.raises(AssertionError):
        readings("Monday 3 May 1998")


def test_dates_of_test_and_dev_are_new_days(words: Path) -> None:
    days = {
        split: {target for _, target in pairs(words / "dates" / f"{split}.tsv")} for split in ("train", "dev", "test")
    }
    assert not days["train"] & days["test"] and not days["train"] & days["dev"] and not days["dev"] & days["test"]
    assert min(days["train"]) < "1901" and max(days["train"]) > "2099"
    assert {day[5:7] for day in days["test"]} == {f"{month:02}" for month in range(1, 13)}
    assert {day[8:] for day in days["test"]} == {f"{day:02}" for day in range(1, 32)}


def test_all_ways_of_writing_a_date_occur_in_every_split(words: Path) -> None:
    dates = alone(WORDS / "dates.py")
    every = dates.ALWAYS + dates.SHORT + dates.NUMERIC + dates.NUMERIC_SHORT
    assert len(set(every)) == 28
    for split in ("train", "dev", "test"):
        found = pairs(words / "dates" / f"{split}.tsv")[:2000]
        sources = {source.lower(): date.fromisoformat(target) for source, target in found}
        seen = {way for source, day in sources.items() for way in every if dates.written(day, way).lower() == source}
        assert seen == set(every)
        lower = sum(source == source.lower() for source, _ in found if re.search("[a-z]", source))
        assert 0.4 < lower / sum(bool(re.search("[a-z]", source)) for source, _ in found) < 0.6


UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
         "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")  # fmt: skip
DECADES = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def value(text: str) -> int:
    """The number that a name says, read from left to right with a running total."""
    total = part = 0
    for word in re.split("[ -]", text):
        if word == "thousand":
            total, part = total + 1000 * part, 0
        elif word == "hundred":
            part *= 100
        else:
            part += UNITS.index(word) if word in UNITS else 10 * DECADES.index(word) + 20
    return total + part


NUMERALS = alone(WORDS / "numerals.py")


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.integers(0, 999_999))
def test_a_number_is_read_back_from_its_name(number: int) -> None:
    name = NUMERALS.name(number)
    assert value(name) == number
    # The shape of a name: a hyphen inside the tens and nowhere else, "zero" alone, no word for nothing.
    below = r"(?:[a-z]+ hundred)?(?: ?[a-z]+(?:(?<=ty)-[a-z]+)?)?"
    assert re.fullmatch(rf"(?:{below} thousand)?(?: ?{below})?", name)
    assert ("zero" in name) == (number == 0)


def test_names_from_a_dictionary() -> None:
    known = {
        0: "zero", 13: "thirteen", 40: "forty", 99: "ninety-nine", 100: "one hundred", 110: "one hundred ten",
        1000: "one thousand", 1001: "one thousand one", 90_210: "ninety thousand two hundred ten",
        999_999: "nine hundred ninety-nine thousand nine hundred ninety-nine",
    }  # fmt: skip
    assert {number: NUMERALS.name(number) for number in known} == known
    assert len({NUMERALS.name(number) for number in range(5000)}) == 5000
    for number in (-1, 1_000_000):
        with pytest.raises(ValueError, match=r"0 to 999,999"):
            NUMERALS.name(number)


def test_numbers_are_right_and_small_ones_are_trainings(words: Path) -> None:
    for split in ("train", "dev", "test"):
        found = pairs(words / "numbers" / f"{split}.tsv")
        assert all(value(source) == int(target) and str(int(target)) == target for source, target in found)
        swapped = [(source, target) for target, source in pairs(words / "numbers-to-words" / f"{split}.tsv")]
        assert found == swapped
        six = sum(len(target) == 6 for _, target in found) / len(found)
        assert 0.4 < six < 0.65
        smallest = {int(target) for _, target in found if int(target) < 100}
        assert smallest == (set(range(100)) if split == "train" else set())


def test_reversal_and_strings_a_half_longer(words: Path, tmp_path: Path) -> None:
    found = everything(words / "reversal")
    assert all(target == "".join(reversed(source)) and set(source) <= set("abcdefgh") for source, target in found)
    lengths = {path.stem: {len(source) for source, _ in pairs(path)} for path in (words / "reversal").glob("*.tsv")}
    assert lengths["train"] == set(range(1, 21)) and lengths["dev"] == lengths["test"] == set(range(3, 21))
    assert lengths["longer"] == {30}
    sizes = ["--train=40", "--dev=5", "--test=5", "--longer=7"]
    done(WORDS / "generate.py", "reversal", "--longest=5", *sizes, "--output", tmp_path)
    assert {len(source) for source, _ in pairs(tmp_path / "longer.tsv")} == {8}
    assert max(len(source) for source, _ in pairs(tmp_path / "train.tsv")) == 5


def test_words_overwrite_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_text("mine")
    small = ("reversal", "--train=9", "--dev=4", "--test=4", "--longer=2", "--output", tmp_path)
    message = refused(WORDS / "generate.py", *small)
    assert "dev.tsv: already there" in message and "--overwrite" in message
    assert contents(tmp_path) == {"dev.tsv": b"mine"}
    done(WORDS / "generate.py", *small, "--overwrite")
    assert len(pairs(tmp_path / "dev.tsv")) == 4


def test_words_that_do_not_exist_are_not_written(tmp_path: Path) -> None:
    target = tmp_path / "out"
    message = refused(WORDS / "generate.py", "reversal", "--longest=3", "--train=5000", "--output", target)
    assert message.startswith("--test 1000: only 512 sources") and message.endswith("ask for fewer")
    result = script(WORDS / "generate.py", "dates", "--train=0", "--output", target)
    assert result.returncode == 2 and "argument --train: expected a whole number from 1 on, found '0'" in result.stderr
    assert not target.exists()
    target.write_text("a file")
    assert "File exists" in refused(
        WORDS / "generate.py", "dates", "--train=5", "--dev=5", "--test=5", "--output", target
    )
    assert target.read_text() == "a file"


# Digits made of tones


class Line:
    """One line of a list and its sound."""

    def __init__(self, folder: Path, text: str) -> None:
        self.fields: dict[str, Any] = json.loads(text)
        self.digits: list[str] = self.fields["text"].split(" ")
        with wave.open(str(folder / self.fields["audio"])) as file:
            assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
            self.rate = file.getframerate()
            self.samples = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
        times = [(first, last) for first, last, _ in self.fields["segments"]]
        self.bounds = [(round(first * self.rate), round(last * self.rate)) for first, last in times]
        assert times == [(start / self.rate, end / self.rate) for start, end in self.bounds]

    def gaps(self) -> Iterator[npt.NDArray[np.int16]]:
        """The sound before, between and after the digits."""
        edges = [0, *(edge for bound in self.bounds for edge in bound), len(self.samples)]
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            yield self.samples[start:end]

    def repeats(self) -> int:
        return sum(one == other for one, other in zip(self.digits, self.digits[1:], strict=False))


def lines(path: Path) -> list[Line]:
    found = [Line(path.parent, text) for text in path.read_text(encoding="utf-8").splitlines()]
    for line in found:
        assert line.digits == [digit for _, _, digit in line.fields["segments"]]
        assert 3 <= len(line.digits) <= 7 and set(line.digits) <= set("0123456789")
        assert all(len(gap) > 0 for gap in line.gaps())
    return found


def a_fifth(found: list[Line]) -> bool:
    """Whether one string in each five has exactly one repeat, and the others none."""
    blocks = [[line.repeats() for line in found[start : start + 5]] for start in range(0, len(found), 5)]
    return all(sorted(block) == [0, 0, 0, 0, 1] for block in blocks)


def loudness(samples: npt.NDArray[Any]) -> float:
    """Root mean square, of full scale."""
    return float(np.sqrt(np.mean((samples / 32767.0) ** 2)))


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    printed = done(DIGITS / "generate.py", "--output", folder, "--strings", 20, "--seed", 0)
    counts = re.search(r": (20 strings, \d+ digits, [\d.]+ seconds)", printed)
    assert counts
    _, digits, seconds = counts[1].split(", ")
    assert f"{digits}, {seconds}, 0.6 MB" in (DIGITS / "README.md").read_text(encoding="utf-8")
    return folder


def test_tones_are_the_same_bytes_everywhere(tones: Path) -> None:
    assert hashed(contents(tones)) == sums(DIGITS)
    assert len(sums(DIGITS)) == 21


def test_tones_of_fewer_strings_are_the_first_and_another_seed_gives_others(tones: Path, tmp_path: Path) -> None:
    done(DIGITS / "generate.py", "--output", tmp_path / "few", "--strings", 3)
    for name, data in contents(tmp_path / "few").items():
        assert contents(tones)[name].startswith(data)
    done(DIGITS / "generate.py", "--output", tmp_path / "other", "--strings", 3, "--seed", 1)
    assert all(contents(tones)[name] != data for name, data in contents(tmp_path / "other").items())


def test_headers_are_those_of_eight_thousand_samples_of_sixteen_bits(tones: Path) -> None:
    files = sorted(tones.glob("*.wav"))
    assert [path.name for path in files] == [f"{number:04}.wav" for number in range(1, 21)]
    for path in files:
        data = path.read_bytes()
        riff, size, kind, form, *fields, name, length = struct.unpack("<4sI8sIHHIIHH4sI", data[:44])
        assert (riff, kind, form, name) == (b"RIFF", b"WAVEfmt ", 16, b"data")
        assert (size, length) == (len(data) - 8, len(data) - 44)
        # PCM, one channel, samples and bytes a second, bytes and bits a sample.
        assert fields == [1, 1, 8000, 16000, 2, 16]


def test_segments_lie_where_the_energy_is(tones: Path) -> None:
    for line in lines(tones / "digits.jsonl"):
        noise = max(loudness(gap) for gap in line.gaps())
        assert 0.0005 < noise < 0.013
        for start, end in line.bounds:
            assert 0.16 <= (end - start) / 8000 <= 0.32
            assert loudness(line.samples[start:end]) > 4 * noise
            # Already 12 ms inside an edge the tone is there in any phase.
            for inside in (line.samples[start + 96 : start + 160], line.samples[end - 160 : end - 96]):
                assert loudness(inside) > 3 * noise
        for gap in line.gaps():
            assert 0.03 <= len(gap) / 8000 <= 0.25


def test_a_fifth_of_the_strings_repeats_a_digit(tones: Path, tmp_path: Path) -> None:
    assert a_fifth(lines(tones / "digits.jsonl"))
    done(DIGITS / "generate.py", "--output", tmp_path, "--strings", 60, "--seed", 5, "--shortest", 3, "--longest", 4)
    found = lines(tmp_path / "digits.jsonl")
    assert a_fifth(found) and {len(line.digits) for line in found} == {3, 4}
    assert {digit for line in found for digit in line.digits} == set("0123456789")
    # The place of the repeat is random.
    places = {
        line.digits.index(a) for line in found for a, b in zip(line.digits, line.digits[1:], strict=False) if a == b
    }
    assert len(places) > 1


def documented() -> dict[str, tuple[list[float], list[float]]]:
    """The README's table of tones: digit -> (first, second), each as one frequency or as both ends of a glide."""
    rows = re.findall(r"(?m)^\| (\d) \| ([^|]+) \| ([^|]+) \|$", (DIGITS / "README.md").read_text(encoding="utf-8"))
    ends = {digit: tuple([float(hertz) for hertz in cell.split(" to ")] for cell in cells) for digit, *cells in rows}
    return {digit: (first, second) for digit, (first, second) in ends.items()}


def pitch(samples: npt.NDArray[Any], middle: float) -> float:
    """The strongest frequency around a place, in hertz."""
    start = max(0, min(len(samples) - 200, round(middle * len(samples)) - 100))
    spectrum = np.abs(np.fft.rfft(samples[start : start + 200] * np.hanning(200), 4096))
    return float(np.argmax(spectrum)) * 8000 / 4096


def heard(samples: npt.NDArray[Any], table: dict[str, tuple[list[float], list[float]]]) -> str:
    """The digit whose documented tones are nearest, on a scale of octaves, near both ends of both tones."""
    found = [pitch(samples, place) for place in (0.05, 0.35, 0.65, 0.95)]

    def distance(digit: str) -> float:
        (first, *_, second), (third, *_, fourth) = ((ends[0], ends[-1]) for ends in table[digit])
        wanted = (first, second, third, fourth)
        return sum(abs(math.log2(one / other)) for one, other in zip(found, wanted, strict=True))

    return min(table, key=distance)


def test_the_documented_tones_are_heard(tones: Path) -> None:
    table = documented()
    assert sorted(table) == list("0123456789")
    for line in lines(tones / "digits.jsonl"):
        assert [heard(line.samples[start:end], table) for start, end in line.bounds] == line.digits


def test_tones_write_over_nothing_and_refuse_what_makes_no_sense(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "0002.wav").write_text("mine")
    message = refused(DIGITS / "generate.py", "--output", tmp_path, "--strings", 2)
    assert "0002.wav: already there" in message and contents(tmp_path) == {"0002.wav": b"mine"}
    done(DIGITS / "generate.py", "--output", tmp_path, "--strings", 2, "--overwrite")
    assert contents(tmp_path)["0002.wav"] == contents(tones)["0002.wav"]
    out = tmp_path / "out"
    assert refused(DIGITS / "generate.py", "--output", out, "--strings", 0) == "--strings 0: expected one or more"
    assert "a repeat needs two digits" in refused(DIGITS / "generate.py", "--output", out, "--shortest", 1)
    assert "--shortest 5 --longest 4" in refused(DIGITS / "generate.py", "--output", out, "--shortest=5", "--longest=4")
    assert not out.exists()


# Joined recordings


def sound(values: npt.NDArray[np.int16], *, channels: int = 1, width: int = 2, rate: int = 8000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(values.tobytes())
    return buffer.getvalue()


def take(digit: int, speaker: int, index: int) -> npt.NDArray[np.int16]:
    """Made-up recordings, no two alike, none of them low."""
    code = 100 * digit + 50 * speaker + index
    return np.full(300 + code % 97, 1000 + code, dtype=np.int16)


def store(folder: Path, indices: range = range(10)) -> Path:
    """Two speakers who say each digit once for each index."""
    (folder / "recordings").mkdir(parents=True)
    for digit in range(10):
        for speaker, name in enumerate(("ann", "bob_b")):
            for index in indices:
                data = sound(take(digit, speaker, index))
                (folder / "recordings" / f"{digit}_{name}_{index}.wav").write_bytes(data)
    return folder


FEW = ("--train=40", "--dev=10", "--test=20")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def joined(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joined")
    printed = done(DIGITS / "connect.py", source, "--output", folder, *FEW).splitlines()
    assert [re.split("[/:]", line)[-2] for line in printed] == ["train.jsonl", "dev.jsonl", "test.jsonl"]
    assert "20 strings" in printed[2] and "from 100 recordings of 2 speakers" in printed[2]
    return folder


def test_joined_strings_hold_the_recordings_and_low_noise(source: Path, joined: Path) -> None:
    for split, count in (("train", 40), ("dev", 10), ("test", 20)):
        found = lines(joined / f"{split}.jsonl")
        assert len(found) == count and a_fifth(found)
        for line in found:
            assert line.rate == 8000 and line.fields["audio"].startswith(f"{split}/")
            for (start, end), name in zip(line.bounds, line.fields["recordings"], strict=True):
                with wave.open(str(source / name)) as file:
                    assert line.samples[start:end].tobytes() == file.readframes(file.getnframes())
            for gap in line.gaps():
                assert 0.05 <= len(gap) / 8000 <= 0.3
                assert 1 <= np.abs(gap).max() <= 40 and abs(float(gap.mean())) < 10


def test_what_is_held_out_stays_out_and_speakers_stay(joined: Path) -> None:
    allowed = {"test": range(5), "dev": range(5, 7), "train": range(7, 10)}
    for split, indices in allowed.items():
        used: set[int] = set()
        speakers = set()
        for line in lines(joined / f"{split}.jsonl"):
            names = [re.fullmatch(r"recordings/(\d)_(.+)_(\d+)\.wav", name) for name in line.fields["recordings"]]
            assert [name[1] for name in names if name] == line.digits
            assert {name[2] for name in names if name} == {line.fields["speaker"]}
            used |= {int(name[3]) for name in names if name}
            speakers.add(line.fields["speaker"])
            again = zip(line.fields["recordings"], line.fields["recordings"][1:], strict=False)
            assert all(one != other for one, other in again)
        assert used == set(indices) and speakers == {"ann", "bob_b"}


def test_a_zip_in_any_order_gives_the_same_bytes_and_says_what_it_skips(
    source: Path, joined: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("recordings/", b"")
        for path in sorted(source.rglob("*.wav"), reverse=True):
            archive.write(path, path.relative_to(source))
        for name in ("README.md", "recordings/._0_ann_0.wav", "recordings/x_ann_0.wav", "0_ann.wav", "a.wav", "b.wav"):
            archive.writestr(name, b"not a recording")
    printed = done(DIGITS / "connect.py", tmp_path / "all.zip", "--output", tmp_path / "out", *FEW)
    assert contents(tmp_path / "out") == contents(joined)
    skipped = printed.splitlines()[-1]
    assert skipped.startswith("skipped 6 files that are not named as recordings are: 0_ann.wav, README.md, ")
    assert skipped.endswith(", ...")


def test_a_speaker_of_one_digit_is_left_out_and_reported(source: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in source.rglob("*.wav"):
            archive.write(path, path.name)
        archive.writestr("7_cid_1.wav", sound(take(7, 0, 1)))
    printed = done(DIGITS / "connect.py", tmp_path / "all.zip", "--output", tmp_path / "out", *FEW)
    assert printed.splitlines()[-1] == "skipped: test: cid has recordings of one digit alone"
    assert {line.fields["speaker"] for line in lines(tmp_path / "out" / "test.jsonl")} == {"ann", "bob_b"}


GOOD = take(3, 0, 8)
FLOAT = bytearray(sound(GOOD))
FLOAT[20] = 3
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty; expected a WAV file"),
    "text": (b"RIFX, said nobody ever, and more of it", "not a WAV file"),
    "header alone": (sound(GOOD)[:30], "not a WAV file"),
    "float": (bytes(FLOAT), "not a WAV file of PCM samples (unknown format: 3)"),
    "cut short": (sound(GOOD)[:-101], f"the header promises {len(GOOD)} samples and {len(GOOD) - 51} are there"),
    "stereo": (sound(GOOD[:200], channels=2), "2 channels; expected one"),
    "eight bits": (sound(GOOD, width=1), "8 bits a sample; expected 16"),
    "no samples": (sound(GOOD[:0]), "the recording has no samples"),
    "another rate": (sound(GOOD, rate=16000), "has 16000 samples a second and recordings/0_ann_0.wav has 8000"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_recording_ends_it_with_its_name_and_nothing_written(source: Path, tmp_path: Path, kind: str) -> None:
    data, words = BAD[kind]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in source.rglob("*.wav"):
            archive.write(path, path.relative_to(source))
        archive.writestr("recordings/3_ann_88.wav", data)
    message = refused(DIGITS / "connect.py", tmp_path / "all.zip", "--output", tmp_path / "out", *FEW)
    assert message.startswith(f"{tmp_path / 'all.zip'}: recordings/3_ann_88.wav") and words in message
    assert not (tmp_path / "out").exists()


def spoil(data: bytes) -> bytes:
    """A zip whose first member no longer matches its checksum."""
    place = data.index(b"data") + 20
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def twice(folder: Path) -> Path:
    store(folder, range(8))
    (folder / "3_ann_1.wav").write_bytes(sound(take(3, 0, 1)))
    return folder


def no_zip(folder: Path) -> Path:
    (folder / "a.zip").write_bytes(b"not a zip")
    return folder / "a.zip"


def damaged(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("3_ann_1.wav", sound(GOOD))
    (folder / "a.zip").write_bytes(spoil((folder / "a.zip").read_bytes()))
    return folder / "a.zip"


SOURCES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "nowhere", "there is no such folder or zip"),
    "no zip": (no_zip, "not a zip that can be read (File is not a zip file)"),
    "damaged": (damaged, "not a zip that can be read (Bad CRC-32 for file '3_ann_1.wav')"),
    "no recordings": (lambda folder: folder, "no file is named {digit}_{speaker}_{index}.wav"),
    "twice": (twice, "are the same recording by their names; leave one out"),
    "nothing to train on": (lambda folder: store(folder / "x", range(7)), "no speaker has recordings of two digits"),
    "nothing to test on": (lambda folder: store(folder / "x", range(5, 9)), "for test (index 0 to 4)"),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_bad_source_is_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    make, words = SOURCES[kind]
    (tmp_path / "in").mkdir()
    message = refused(DIGITS / "connect.py", make(tmp_path / "in"), "--output", tmp_path / "out", *FEW)
    assert words in message and not (tmp_path / "out").exists()


def test_joining_overwrites_only_on_request(source: Path, joined: Path, tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "0003.wav").write_text("mine")
    message = refused(DIGITS / "connect.py", source, "--output", tmp_path, *FEW)
    assert "0003.wav: already there" in message
    assert contents(tmp_path) == {"dev/0003.wav": b"mine"}
    done(DIGITS / "connect.py", source, "--output", tmp_path, *FEW, "--overwrite")
    assert contents(tmp_path) == contents(joined)
    result = script(DIGITS / "connect.py", source, "--output", tmp_path / "x", "--dev=0")
    assert result.returncode == 2 and "--dev 0: expected one or more" in result.stderr


# Both


@pytest.mark.parametrize("folder", [CORPORA, WORDS, DIGITS], ids=["all", "words", "digits"])
def test_the_modules_own_examples(folder: Path) -> None:
    code = (
        "import doctest, importlib, sys\n"
        "results = [doctest.testmod(importlib.import_module(name)) for name in sys.argv[1:]]\n"
        "sys.exit(bool(sum(result.failed for result in results) or not sum(result.attempted for result in results)))"
    )
    names = sorted(path.stem for path in folder.glob("*.py"))
    command = [sys.executable, "-B", "-W", "error", "-c", code, *names]
    environment = {**os.environ, "PYTHONPATH": str(CORPORA)}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_table_the_sine_and_the_noise_are_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(CORPORA))
    monkeypatch.syspath_prepend(str(DIGITS))
    import splitmix  # type: ignore[import-not-found]
    import tones as module  # type: ignore[import-not-found]

    for name in set(sys.modules) - before:
        monkeypatch.delitem(sys.modules, name)
    assert {
        digit: tuple((ends[0], ends[-1]) for ends in tones) for digit, tones in documented().items()
    } == module.TABLE
    phase = np.arange(0, 2**32, 2**32 // 9973, dtype=np.int64)
    assert np.abs(module.sine(phase) - np.sin(2 * np.pi * phase / 2**32)).max() < 6e-8
    noise = module.noise(splitmix.SplitMix64(3), 200_000, 0.01)
    assert abs(loudness(noise * 32767) - 0.01) < 1e-4 and abs(float(noise.mean())) < 1e-4
    assert abs(float(np.mean(noise[1:] * noise[:-1]))) < 1e-6
