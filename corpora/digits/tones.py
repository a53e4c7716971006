"""Tones: what each digit sounds like, and its samples, to the last bit the same on every machine.

Samples come from whole numbers (phases, random bits) and from additions and multiplications in float64 alone, one
NumPy call each: IEEE 754 leaves no choice in their results. A library's sine may differ in its last bit from one
machine to the next, so the sine here is a polynomial.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from splitmix import SplitMix64
from stream import stream

RATE = 8000
FULL = 32767
TURN = 1 << 32
"""Phases are whole numbers: so many make one period."""

Glide = tuple[int, int]
"""Frequency in hertz where a tone begins and where it ends."""

# Digit -> its two tones. Neighbouring frequencies (350, 500, 720, 1030, 1480, 2120, 3000) lie 1.4 apart, further than
# voices do. Each steady pair has its mirror, so that the order of the tones matters, and each glide too.
TABLE: dict[str, tuple[Glide, Glide]] = {
    "0": ((350, 350), (1030, 1030)),
    "1": ((1030, 1030), (350, 350)),
    "2": ((500, 500), (1480, 1480)),
    "3": ((1480, 1480), (500, 500)),
    "4": ((720, 720), (2120, 2120)),
    "5": ((2120, 2120), (720, 720)),
    "6": ((350, 720), (3000, 3000)),
    "7": ((3000, 3000), (720, 350)),
    "8": ((1030, 2120), (500, 500)),
    "9": ((500, 500), (2120, 1030)),
}
RAMP = 0.01
"""Seconds in which a tone swells and dies away."""

# Taylor's series of sin(2 pi t) for |t| <= 1/4: its error there is below 6e-8, far less than half a step of 16 bits.
SERIES = (
    6.283185307179586,
    -41.341702240399755,
    81.60524927607504,
    -76.70585975306136,
    42.058693944897634,
    -15.094642576822984,
)

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Voice:
    """What varies: pitch as a factor on every frequency, the two tones' lengths in samples, loudness in (0, 1]."""

    pitch: float
    lengths: tuple[int, int]
    loudness: float


def between(random: SplitMix64, low: float, high: float) -> float:
    """A number drawn evenly from [low, high), in 2**32 steps."""
    return low + (high - low) * (random.next() >> 32) / TURN


def sine(phase: npt.NDArray[np.int64]) -> Samples:
    """The sine of phases in [0, TURN).

    >>> [round(float(value), 6) for value in sine(np.array([0, TURN // 12, TURN // 4, 3 * TURN // 4]))]
    [0.0, 0.5, 1.0, -1.0]
    """
    turn = phase.astype(np.float64) / TURN
    turn = np.where(turn > 0.75, turn - 1.0, np.where(turn > 0.25, 0.5 - turn, turn))
    square = turn * turn
    result = np.full_like(turn, SERIES[-1])
    for factor in SERIES[-2::-1]:
        result = result * square + factor
    return result * turn


def envelope(length: int) -> Samples:
    """The loudness of a tone over its samples: 3x^2 - 2x^3 up, one, and down again."""
    ramp = min(round(RAMP * RATE), length // 2)
    place = np.arange(length, dtype=np.float64)
    edge = np.minimum(1.0, np.minimum(place, length - 1 - place) / max(ramp, 1))
    return edge * edge * (3.0 - 2.0 * edge)


def tone(glide: Glide, pitch: float, length: int) -> Samples:
    """`length` samples whose frequency goes evenly from one end of the glide to the other."""
    first, last = (round(hertz * pitch / RATE * TURN) for hertz in glide)
    place = np.arange(length, dtype=np.int64)
    steps = first + (last - first) * place // length
    return sine(np.cumsum(steps) % TURN) * envelope(length)


def spoken(digit: str, voice: Voice) -> Samples:
    """The samples of one digit, within [-1, 1]."""
    parts = [tone(glide, voice.pitch, length) for glide, length in zip(TABLE[digit], voice.lengths, strict=True)]
    return np.concatenate(parts) * voice.loudness


def noise(random: SplitMix64, length: int, loudness: float) -> Samples:
    """Noise of about normal distribution whose root mean square is `loudness`: sums of four random 16-bit numbers."""
    numbers = stream(random, length)
    total = np.zeros(length, dtype=np.uint64)
    for shift in (0, 16, 32, 48):
        total += (numbers >> np.uint64(shift)) & np.uint64(0xFFFF)
    # Four numbers of variance (2**32 - 1) / 12 each: their sum's root mean square about its mean is 2**16 / sqrt(3).
    return (total.astype(np.float64) - 131070.0) * (loudness * 1.7320508075688772 / 65536.0)


def rounded(samples: Samples) -> npt.NDArray[np.int16]:
    """16-bit samples: times 32767, rounded to the nearest whole number (a half to the even one), clipped.

    >>> rounded(np.array([0.5, -1.0, 2.0])).tolist()
    [16384, -32767, 32767]
    """
    return np.clip(np.rint(samples * FULL), -FULL, FULL).astype(np.int16)
