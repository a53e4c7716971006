"""Joins recordings of single digits into connected strings: the same recordings and seed give the same bytes.

python corpora/digits/connect.py RECORDINGS --output DIR        RECORDINGS: a folder, or a zip with a folder inside
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))  # splitmix.py, which all corpora share

import numpy as np
from recordings import Recording, recordings
from splitmix import SplitMix64, digest
from stream import stream
from strings import digits, gap, repeats
from waves import AudioError, Segment, Wave, entry, make_room, names, written

STRINGS = {"train": 2000, "dev": 200, "test": 500}
INDICES = {"test": range(0, 5), "dev": range(5, 7)}
"""Recordings that are held out, by their index; all others are training's."""
SHORTEST, LONGEST = 3, 7
GAP = (0.05, 0.3)
"""Seconds before, between and after the digits."""
NOISE = (4, 40)
"""The loudest sample of a string's gaps, of 32,768; every value up to it is as likely."""

Voices = dict[str, dict[str, list[Recording]]]
"""Speaker -> digit -> recordings."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A string of digits by one speaker, and where each stands."""

    samples: Wave
    segments: list[Segment]
    speaker: str
    used: list[str]
    """Names of the recordings, in order."""


def divided(found: Sequence[Recording]) -> tuple[dict[str, Voices], list[str]]:
    """Each split's voices, and what is left out: a speaker who has fewer than two digits there can make no string.

    Raises AudioError where nobody is left in a split.
    """
    voices: dict[str, Voices] = {split: {} for split in STRINGS}
    for recording in found:
        split = next((split for split, indices in INDICES.items() if recording.index in indices), "train")
        voices[split].setdefault(recording.speaker, {}).setdefault(recording.digit, []).append(recording)
    notes = []
    for split, speakers in voices.items():
        for speaker, own in list(speakers.items()):
            if len(own) < 2:
                notes.append(f"{split}: {speaker} has recordings of one digit alone")
                del speakers[speaker]
        if not speakers:
            held = "others" if split == "train" else f"index {INDICES[split].start} to {INDICES[split].stop - 1}"
            raise AudioError(f"no speaker has recordings of two digits or more for {split} ({held}); add some")
    return voices, notes


def hiss(random: SplitMix64, length: int, loudest: int) -> Wave:
    """Low noise: whole numbers from -loudest to loudest, each as likely."""
    half = stream(random, length) >> np.uint64(32)
    drawn = (half * np.uint64(2 * loudest + 1)) >> np.uint64(32)
    return (drawn.astype(np.int64) - loudest).astype(np.int16)


def take(random: SplitMix64, choices: Sequence[Recording], last: Recording | None) -> Recording:
    """One recording, not the last one again where there is another: nobody says a digit twice to the sample."""
    others = [recording for recording in choices if recording is not last] or list(choices)
    return others[random.below(len(others))]


def connected(voices: Voices, *, rate: int, seed: int, split: str, number: int) -> Connected:
    """The string of this number, from 0, of a split."""
    random = SplitMix64(digest(seed, split, number))
    speakers = sorted(voices)
    speaker = speakers[random.below(len(speakers))]
    own = voices[speaker]
    length = SHORTEST + random.below(LONGEST - SHORTEST + 1)
    loudest = NOISE[0] + random.below(NOISE[1] - NOISE[0] + 1)
    parts = [hiss(random, gap(random, *GAP, rate), loudest)]
    start, last = len(parts[0]), None
    segments: list[Segment] = []
    used: list[str] = []
    repeat = repeats(digest(seed, split), number)
    for digit in digits(random, length=length, repeat=repeat, among=sorted(own)):
        last = take(random, own[digit], last)
        silence = hiss(random, gap(random, *GAP, rate), loudest)
        segments.append((start, start + len(last.samples), digit))
        used.append(last.name)
        parts += [last.samples, silence]
        start += len(last.samples) + len(silence)
    return Connected(np.concatenate(parts), segments, speaker, used)


def write(voices: Voices, folder: Path, *, split: str, count: int, rate: int, seed: int) -> str:
    """Write one split, its list last, so that a split with a list is complete; returns what was written, in a line."""
    lines, spoken, samples = [], 0, 0
    for number, name in enumerate(names(count)):
        made = connected(voices, rate=rate, seed=seed, split=split, number=number)
        (folder / split / name).write_bytes(written(made.samples, rate))
        more = {"speaker": made.speaker, "recordings": made.used}
        lines.append(entry(f"{split}/{name}", made.segments, rate, **more))
        spoken += len(made.segments)
        samples += len(made.samples)
    (folder / f"{split}.jsonl").write_bytes("".join(f"{line}\n" for line in lines).encode())
    takes = sum(len(choices) for own in voices.values() for choices in own.values())
    return (
        f"{folder / split}.jsonl: {count:,} strings, {spoken:,} digits, {samples / rate / 60:.1f} minutes, "
        f"from {takes:,} recordings of {len(voices)} speakers"
    )


def connect(path: Path, folder: Path, *, strings: Mapping[str, int], seed: int, overwrite: bool) -> tuple[str, ...]:
    """Read recordings and write every split; returns what to tell: what was written, then what was skipped.

    Nothing is written where a recording cannot be used (AudioError).
    """
    source = recordings(path)
    voices, notes = divided(source.found)
    lists = [folder / f"{split}.jsonl" for split in strings]
    sounds = [folder / split / name for split, count in strings.items() for name in names(count)]
    make_room(lists, sounds, overwrite=overwrite)
    told = [
        write(voices[split], folder, split=split, count=count, rate=source.rate, seed=seed)
        for split, count in strings.items()
    ]
    if source.skipped:
        some = ", ".join(source.skipped[:5]) + (", ..." if len(source.skipped) > 5 else "")
        told.append(f"skipped {len(source.skipped)} files that are not named as recordings are: {some}")
    return (*told, *(f"skipped: {note}" for note in notes))


def main() -> int:
    parser = argparse.ArgumentParser(description="Join recordings of single digits into connected strings.")
    add = parser.add_argument
    add("recordings", type=Path, metavar="RECORDINGS", help="a folder or a zip of {digit}_{speaker}_{index}.wav")
    add("--output", type=Path, required=True, metavar="DIR", help="the folder to write; made where it is missing")
    for split, count in STRINGS.items():
        add(f"--{split}", type=int, default=count, metavar="N", help=f"strings in {split} (default: {count:,})")
    add("--seed", type=int, default=7, help="what decides every draw (default: %(default)s)")
    add("--overwrite", action="store_true", help="write over files that are there already")
    options = parser.parse_args()
    strings = {split: getattr(options, split) for split in STRINGS}
    for split, count in strings.items():
        if count < 1:
            parser.error(f"--{split} {count}: expected one or more")
    try:
        told = connect(
            options.recordings, options.output, strings=strings, seed=options.seed, overwrite=options.overwrite
        )
    except (AudioError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(told))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
