"""Writes connected digits made of tones: the same seed gives the same bytes on every machine.

python corpora/digits/generate.py --output DIR --strings 20 --seed 0
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))  # splitmix.py, which all corpora share

import numpy as np
from splitmix import SplitMix64, digest
from strings import digits, gap, repeats
from tones import RATE, Samples, Voice, between, noise, rounded, spoken
from waves import AudioError, Segment, Wave, entry, make_room, names, written

LIST = "digits.jsonl"
SHORTEST, LONGEST = 3, 7
GAP = (0.03, 0.25)
"""Seconds before, between and after the digits."""
LENGTH = (0.16, 0.32)
"""Seconds of a digit."""
SHARE = (0.4, 0.6)
"""Of its length that the first tone takes."""
PITCH, WAVER = (0.92, 1.08), (0.98, 1.02)
"""Factors on every frequency: of a string, and of a digit in it."""
LOUDNESS, STRESS = (0.15, 0.5), (0.7, 1.0)
"""Amplitude, of full scale, of a string, and the part of it that a digit has."""
NOISE = (0.001, 0.01)
"""Root mean square, of full scale, of the noise under a string."""


def voice(random: SplitMix64, pitch: float, loudness: float) -> Voice:
    """How one digit is spoken in a string of this pitch and loudness."""
    length = gap(random, *LENGTH, RATE)
    first = round(length * between(random, *SHARE))
    return Voice(pitch * between(random, *WAVER), (first, length - first), loudness * between(random, *STRESS))


def string(seed: int, number: int, *, shortest: int = SHORTEST, longest: int = LONGEST) -> tuple[Wave, list[Segment]]:
    """The samples of one string, by its number from 0, and where its digits stand."""
    random = SplitMix64(digest(seed, "string", number))
    length = shortest + random.below(longest - shortest + 1)
    pitch, loudness = between(random, *PITCH), between(random, *LOUDNESS)
    parts: list[Samples] = [np.zeros(gap(random, *GAP, RATE))]
    segments: list[Segment] = []
    start = len(parts[0])
    for digit in digits(random, length=length, repeat=repeats(seed, number)):
        sound = spoken(digit, voice(random, pitch, loudness))
        silence = np.zeros(gap(random, *GAP, RATE))
        segments.append((start, start + len(sound), digit))
        parts += [sound, silence]
        start += len(sound) + len(silence)
    clean = np.concatenate(parts)
    return rounded(clean + noise(random, len(clean), between(random, *NOISE))), segments


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description="Write connected digits made of tones, and where each digit stands.")
    add = result.add_argument
    add("--output", type=Path, required=True, metavar="DIR", help="the folder to write; made where it is missing")
    add("--strings", type=int, default=20, metavar="N", help="how many strings (default: %(default)s)")
    add("--seed", type=int, default=0, help="what decides every draw (default: %(default)s)")
    add("--shortest", type=int, default=SHORTEST, metavar="N", help="digits a string at least (default: %(default)s)")
    add("--longest", type=int, default=LONGEST, metavar="N", help="digits a string at most (default: %(default)s)")
    add("--overwrite", action="store_true", help="write over files that are there already")
    return result


def main() -> int:
    options = parser().parse_args()
    try:
        return write(options)
    except (AudioError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def write(options: argparse.Namespace) -> int:
    """Write what the options ask for; the list comes last, so that a folder with a list is complete."""
    if options.strings < 1:
        raise AudioError(f"--strings {options.strings}: expected one or more")
    if not 2 <= options.shortest <= options.longest:
        raise AudioError(
            f"--shortest {options.shortest} --longest {options.longest}: expected 2 or more, and the longest not "
            "below the shortest (a repeat needs two digits)"
        )
    files = [options.output / name for name in names(options.strings)]
    make_room([options.output / LIST], files, overwrite=options.overwrite)
    lines, spoken_digits, samples_written = [], 0, 0
    for number, path in enumerate(files):
        samples, segments = string(options.seed, number, shortest=options.shortest, longest=options.longest)
        path.write_bytes(written(samples, RATE))
        lines.append(entry(path.name, segments, RATE))
        spoken_digits += len(segments)
        samples_written += len(samples)
    (options.output / LIST).write_bytes("".join(f"{line}\n" for line in lines).encode())
    seconds = samples_written / RATE
    print(f"{options.output / LIST}: {options.strings:,} strings, {spoken_digits:,} digits, {seconds:.1f} seconds")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
