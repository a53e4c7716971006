"""Finding the same word again: an autoencoder's vectors of spoken digits, beside what needs no learning.

    python benchmarks/embeddings.py FOLDER --seeds 0 1 2 --results FILE [--set KEY=VALUE]... [--dev-only]

FOLDER holds recordings of single digits, at any depth, named as in the Free Spoken Digit Dataset: `7_jackson_32.wav` is
recording 32 of a 7 by jackson. Those of index 0 to 4 are test, 5 and 6 dev, the rest training; no label is told to
anybody. Every recording of a part asks for the others: mean average precision, once over all others and once over those
of other speakers. Beside the autoencoder: the mean of the normalised frames, their mean and deviation, and the cost of
dynamic time warping (Sakoe and Chiba 1978; librosa's) divided by the steps of both. A finished run is a line of the
results file and is not done again. One thread.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded

import console
import numpy as np
from numpy.typing import NDArray
from results import append, read_results, spread
from table import markdown, write_json

from structseq.config import Options, parse_settings
from structseq.data.audio import extract_frames, read_samples
from structseq.data.example import Example
from structseq.data.options import AudioOptions
from structseq.data.reading import Corpus
from structseq.errors import DataError
from structseq.spans import PLAIN

NAME = re.compile(r"(?P<digit>[0-9])_(?P<speaker>.+)_(?P<index>[0-9]+)")
HELD_OUT = {"test": range(5), "dev": range(5, 7)}
RECIPE = (
    "head.type=autoencode", "data.audio.features=mfcc", "data.audio.centre=true", "data.audio.stride=2",
    "encoder.width=100", "encoder.dropout=0", "encoder.recurrent_dropout=0", "inputs.dropout=0.3",
    "head.bottleneck=16", "training.epochs=10", "training.threads=1",
)  # fmt: skip
CENTRED, PLAINLY = AudioOptions(features="mfcc", centre=True), AudioOptions(features="mfcc")

Floats = NDArray[np.float64]


class Part(NamedTuple):
    """The recordings of a part, in the order of their names."""

    frames: list[NDArray[np.float32]]
    digits: NDArray[Any]
    speakers: NDArray[Any]


def main() -> None:
    arguments = parser().parse_args()
    parts = ["dev"] if arguments.dev_only else ["dev", "test"]
    done, found = read_results(arguments.results), []
    samples = None
    for system, seed in [
        *((system, None) for system in UNLEARNED),
        *(("autoencoder", seed) for seed in arguments.seeds),
    ]:
        key = {"system": system, "seed": seed, "settings": arguments.set if seed is not None else []}
        row = next((row for row in done if key.items() <= row.items() and row["parts"].keys() >= set(parts)), None)
        if row is None:
            samples = samples or recordings(arguments.folder)
            measured = (
                UNLEARNED[system](samples, parts) if seed is None else learned(samples, parts, arguments.set, seed)
            )
            row = key | measured
            append(arguments.results, row)
        found.append(row)
        told = ", ".join(f"{part} {100 * row['parts'][part]['all']:.2f}" for part in parts)
        print(f"{system}{'' if seed is None else f', seed {seed}'}: {told}", file=sys.stderr, flush=True)
    tell(found, parts)
    write_json(arguments.json, found)


def parser() -> argparse.ArgumentParser:
    made = console.parser(__doc__, data=False)
    made.add_argument("folder", type=Path, help="holds recordings of single digits")
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a structseq option; repeatable")
    made.add_argument("--results", type=Path, metavar="FILE", help="JSON lines: finished runs, read and appended to")
    made.add_argument("--dev-only", action="store_true", help="look at dev alone, to choose settings")
    return made


# -- recordings -------------------------------------------------------------------------------------------------------

Sample = tuple[re.Match[str], NDArray[np.float32]]


def recordings(folder: Path) -> list[Sample]:
    """Names and samples; `DataError` where there are none."""
    named = ((NAME.fullmatch(path.stem), path) for path in sorted(folder.rglob("*.wav")))
    found = [(name, read_samples(path, options=PLAINLY)) for name, path in named if name]
    if not found:
        raise DataError(f"{folder}: expected recordings named as 7_jackson_32.wav, found none")
    return found


def divided(samples: Sequence[Sample], audio: AudioOptions) -> dict[str, Part]:
    """train, dev and test as frames."""
    rows: dict[str, list[tuple[Any, str, str]]] = {"train": [], "dev": [], "test": []}
    for name, each in samples:
        part = next((part for part, held in HELD_OUT.items() if int(name["index"]) in held), "train")
        rows[part].append((extract_frames(each, options=audio), name["digit"], name["speaker"]))
    return {
        part: Part([row[0] for row in own], np.array([row[1] for row in own]), np.array([row[2] for row in own]))
        for part, own in rows.items()
    }


# -- systems ----------------------------------------------------------------------------------------------------------


def learned(samples: Sequence[Sample], parts: Sequence[str], settings: Sequence[str], seed: int) -> dict[str, Any]:
    """What an autoencoder's vectors find, by the cosine of the angle between them."""
    from structseq.model import Model
    from structseq.training import train

    options = Options.of(parse_settings(RECIPE), parse_settings(settings))
    data = divided(samples, options.data.audio)
    examples = {part: tuple(map(Example.of_frames, own.frames)) for part, own in data.items()}
    model = Model.prepare(options, examples["train"], PLAIN, seed=seed)
    started = perf_counter()
    for last in train(model, Corpus(examples["train"], examples["dev"]), options.training, seed=seed):
        if last.ends_epoch:
            found = precision(angles(model.embed(examples["dev"])), data["dev"])
            told = f"pass {last.epoch}, variance told {100 * (last.dev_score or 0):.1f} %, dev {100 * found['all']:.2f}"
            print(f"seed {seed}: {told}", file=sys.stderr, flush=True)
    seconds = round(perf_counter() - started, 1)
    return {
        "parts": {part: precision(angles(model.embed(examples[part])), data[part]) for part in parts},
        "seconds": seconds,
    }


def means(samples: Sequence[Sample], parts: Sequence[str], *, deviation: bool = False) -> dict[str, Any]:
    """What the mean of a recording's frames finds, by the cosine; centred frames would have none."""
    data = divided(samples, PLAINLY)
    mean, scale = moments(data["train"])

    def vector(frames: NDArray[np.float32]) -> Floats:
        normal = (frames - mean) / scale
        return np.concatenate([normal.mean(0), normal.std(0)]) if deviation else normal.mean(0)

    vectors = {part: np.stack([vector(frames) for frames in data[part].frames]) for part in parts}
    return {"parts": {part: precision(angles(vectors[part]), data[part]) for part in parts}}


def warped(samples: Sequence[Sample], parts: Sequence[str], *, centred: bool = False) -> dict[str, Any]:
    """What dynamic time warping over the cosines of normalised frames finds (Euclidean distances find less)."""
    import librosa

    data = divided(samples, CENTRED if centred else PLAINLY)
    mean, scale = moments(data["train"])
    found, started = {}, perf_counter()
    for part in parts:
        frames = [((each - mean) / scale).T for each in data[part].frames]
        costs = np.zeros((len(frames), len(frames)))
        for i, one in enumerate(frames):
            for j, other in enumerate(frames[:i]):
                cost = librosa.sequence.dtw(one, other, metric="cosine", backtrack=False)[-1, -1]
                costs[i, j] = costs[j, i] = cost / (one.shape[1] + other.shape[1])
        found[part] = precision(costs, data[part])
    return {"parts": found, "seconds": round(perf_counter() - started, 1)}


UNLEARNED: dict[str, Any] = {
    "mean": means,
    "mean and deviation": lambda *told: means(*told, deviation=True),
    "warping": warped,
    "warping, centred": lambda *told: warped(*told, centred=True),
}


def moments(part: Part) -> tuple[Floats, Floats]:
    frames = np.concatenate(part.frames).astype(np.float64)
    return frames.mean(0), frames.std(0)


# -- finding ----------------------------------------------------------------------------------------------------------


def angles(vectors: NDArray[Any]) -> Floats:
    """(N, N) 1 - cosine."""
    wide = np.asarray(vectors, np.float64)
    wide = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return 1 - wide @ wide.T


def precision(distances: Floats, part: Part) -> dict[str, float]:
    """Mean average precision of all recordings as questions to all others, and to those of other speakers."""
    others = ~np.eye(len(distances), dtype=bool)
    strangers = part.speakers[:, None] != part.speakers[None, :]
    return {
        "all": _precision(distances, part.digits, others),
        "strangers": _precision(distances, part.digits, strangers),
    }


def _precision(distances: Floats, digits: NDArray[Any], asked: NDArray[np.bool_]) -> float:
    found = []
    for row, digit, of in zip(distances, digits, asked, strict=True):
        right = (digits[of] == digit)[np.argsort(row[of], kind="stable")]
        if right.any():
            found.append(float((np.cumsum(right)[right] / (np.flatnonzero(right) + 1)).mean()))
    return float(np.mean(found))


def tell(found: Sequence[dict[str, Any]], parts: Sequence[str]) -> None:
    rows = []
    for system in dict.fromkeys(row["system"] for row in found):
        own = [row for row in found if row["system"] == system]
        seconds = max(row.get("seconds", 0) for row in own)
        figures = [
            spread([row["parts"][part][which] for row in own]) for part in parts for which in ("all", "strangers")
        ]
        rows.append([system, *figures, f"{seconds:.0f}"])
    heads = [head for part in parts for head in (part, f"{part}, other speakers")]
    print(markdown(["mean average precision, %", *heads, "s"], rows))


if __name__ == "__main__":
    sys.exit(console.run(main))
