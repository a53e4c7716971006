"""Memory and sameness of tagging under load: many calls, a long stream, a long sentence, threads, processes.

Each part runs in a process of its own, with an untrained model of default width. RSS is compared after warm-up and at
the end; every answer must be that of serial calls. Prints a row for each part; exit status 1 if one fails.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import console
from results import append

from structseq.__main__ import set_threading_defaults
from structseq.config import Options
from structseq.data.example import Example
from structseq.inference import Tagger
from structseq.model import Model
from structseq.spans import scheme_of

FLAT = 0.10  # by how much memory may have grown after warm-up
GROWTH = 20.0  # or by how many MB
THREADS, PROCESSES = 8, 2
TOGETHER = 500  # sentences for each of them
HANGS = 600  # seconds

WORDS = ("arrive", "Taipei", "to", "the", "of", "in", "July", "flight", "O'Hare", "10:30", "Zürich", "台北", "🛫", "a")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000, metavar="N", help="of `tag` (20,000)")
    parser.add_argument("--stream", type=int, default=200_000, metavar="N", help="sentences of `tag_many` (200,000)")
    parser.add_argument("--tokens", type=int, default=1_000_000, metavar="N", help="of one sentence (1,000,000)")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="which ones")
    parser.add_argument("--results", type=Path, metavar="FILE", help="a line of JSON for each part")
    asked = parser.parse_args()
    sizes = {"calls": asked.calls, "stream": asked.stream, "sentence": asked.tokens}
    failed = False
    print(
        "| part | size | s | MB after warm-up | MB at the end | highest MB | verdict |\n| --- |"
        + " ---: |" * 5
        + " --- |"
    )
    set_threading_defaults()  # for the processes below: idle threads sleep, as those of the command line
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        context = multiprocessing.get_context("spawn")  # a fresh process for each part
        with ProcessPoolExecutor(1, context) as pool:
            pool.submit(_make, str(model)).result()
        for name in asked.parts:
            size = sizes.get(name, TOGETHER)
            with ProcessPoolExecutor(1, context) as pool:
                row = pool.submit(_measured, name, str(model), size).result()
            failed |= bool(row["faults"])
            append(asked.results, row)
            verdict = "; ".join(row["faults"]) or "flat, same, finite"
            numbers = f"{row['seconds']:.0f} | {row['warm']:.0f} | {row['end']:.0f} | {row['peak']:.0f}"
            print(f"| {name} | {size:,} | {numbers} | {verdict} |", flush=True)
    if failed:
        raise SystemExit(1)


def _make(folder: str) -> None:
    tags = ("O", "B-city", "I-city", "B-day", "O")
    examples = [Example.of(WORDS[at : at + 5], tags) for at in range(len(WORDS) - 5)]
    model = Model.prepare(Options.of({"training": {"threads": 1}}), examples, scheme_of("BIO"), seed=0)
    Tagger(model).save(folder)


def sentences(count: int) -> Iterator[list[str]]:
    """Of 1 to 30 tokens, some of them new."""
    chance = random.Random(0)
    for number in range(count):
        length = chance.randrange(1, 31)
        yield [chance.choice(WORDS) if chance.random() < 0.9 else f"x{number}{at}" for at in range(length)]


def _measured(name: str, folder: str, size: int) -> dict[str, Any]:
    began = time.perf_counter()
    marks: list[float] = []
    faults = PARTS[name](Tagger.load(folder), size, lambda: marks.append(resident()))
    warm, end = marks[0], resident()
    if name in ("calls", "stream") and end > warm * (1 + FLAT) and end > warm + GROWTH:
        faults.append(f"memory grew from {warm:.0f} to {end:.0f} MB")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.perf_counter() - began
    return {"part": name, "size": size, "seconds": seconds, "warm": warm, "end": end, "peak": peak, "faults": faults}


def resident() -> float:
    """MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


# -- the parts; each calls ``warm`` once, after its warm-up, and returns what is wrong ---------------------------------


def _calls(tagger: Tagger, size: int, warm: Callable[[], None]) -> list[str]:
    faults: list[str] = []
    for number, tokens in enumerate(sentences(size)):
        answer = tagger.tag(tokens)
        if len(answer.tags) != len(tokens) or not all(map(_is_probability, answer.confidence or ())):
            faults.append(f"a wrong answer to sentence {number}")
        if number == size // 10:
            warm()
    return faults[:3]


def _stream(tagger: Tagger, size: int, warm: Callable[[], None]) -> list[str]:
    """Compared with single calls at every thousandth sentence."""
    faults: list[str] = []
    for number, (answer, tokens) in enumerate(zip(tagger.tag_many(sentences(size)), sentences(size), strict=True)):
        if number % 1000 == 0 and tagger.tag(tokens).tags != answer.tags:
            faults.append(f"another answer to sentence {number} than alone")
        if number == size // 10:
            warm()
    return faults[:3]


def _sentence(tagger: Tagger, size: int, warm: Callable[[], None]) -> list[str]:
    tagger.tag(["to", "Taipei"])
    warm()
    answer = tagger.tag([WORDS[at % len(WORDS)] for at in range(size)])
    right = len(answer.tags) == size and all(map(_is_probability, answer.confidence or ()))
    return [] if right else ["not a finite answer for every token"]


def _threads(tagger: Tagger, size: int, warm: Callable[[], None]) -> list[str]:
    parts = [list(sentences(size))[at::THREADS] for at in range(THREADS)]
    serial = [[_answer(tagger, tokens) for tokens in part] for part in parts]
    warm()
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(lambda part: [_answer(tagger, tokens) for tokens in part], parts))
    return [] if together == serial else ["other answers in threads"]


def _processes(method: str, tagger: Tagger, size: int, warm: Callable[[], None]) -> list[str]:
    serial = digest(tagger, size)
    warm()
    context: Any = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    workers = [context.Process(target=_send, args=(tagger, size, queue)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(HANGS)
    if any(worker.exitcode != 0 for worker in workers):
        for worker in workers:
            worker.kill()
        return [f"processes ended with {[worker.exitcode for worker in workers]}; None: still ran after {HANGS} s"]
    return [] if all(queue.get() == serial for _ in workers) else ["other answers in processes"]


def _spawn(tagger: Tagger, size: int, warm: Callable[[], None]) -> list[str]:
    return _processes("spawn", tagger, size, warm)


def _fork(tagger: Tagger, size: int, warm: Callable[[], None]) -> list[str]:
    return _processes("fork", tagger, size, warm)


PARTS: Mapping[str, Callable[[Tagger, int, Callable[[], None]], list[str]]] = {
    "calls": _calls, "stream": _stream, "sentence": _sentence, "threads": _threads, "spawn": _spawn, "fork": _fork,
}  # fmt: skip


def _send(tagger: Tagger, size: int, queue: Any) -> None:
    queue.put(digest(tagger, size))


def digest(tagger: Tagger, size: int) -> str:
    """Of all tags and confidences."""
    return sha256(repr([_answer(tagger, tokens) for tokens in sentences(size)]).encode()).hexdigest()


def _answer(tagger: Tagger, tokens: Sequence[str]) -> tuple[Any, ...]:
    answer = tagger.tag(tokens)
    return answer.tags, tuple(answer.confidence or ())


def _is_probability(value: float) -> bool:
    return math.isfinite(value) and 0 <= value <= 1


if __name__ == "__main__":
    sys.exit(console.run(main))
