"""Memory and seconds of one long row through each encoder, forwards and back-propagated: is memory linear in length?

    python benchmarks/long_sequences.py --steps 2500 5000 10000

One bidirectional layer, inputs 250 wide, 200 units a direction, one thread, each length in a process of its own; memory
is what the process's peak grows by. The states and all gradients are checked to be finite.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded

import console
from table import markdown, write_json

from structseq.encoders import ENCODERS

INPUTS, WIDTH = 250, 200


def main() -> None:
    parser = console.parser(__doc__, data=False)
    parser.add_argument("--steps", type=int, nargs="+", default=[2500, 5000, 10_000], metavar="N")
    parser.add_argument("--one", metavar="ENCODER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measured(arguments.one, arguments.steps[0])))
        return
    found = {name: [asked(name, steps) for steps in arguments.steps] for name in ENCODERS}
    rows = [
        [name, *(f"{one['megabytes']:.0f}" for one in each), f"{growth(each):.2f}", f"{each[-1]['seconds']:.1f}",
         "yes" if all(one["finite"] for one in each) else "NO"]
        for name, each in found.items()
    ]  # fmt: skip
    lengths = [f"{steps:,} steps, MB" for steps in arguments.steps]
    print(markdown(["encoder", *lengths, "memory grows as steps to the", "s, longest", "finite"], rows))
    write_json(arguments.json, found)


def growth(each: list[dict[str, Any]]) -> float:
    """The exponent between the shortest and the longest: 1 is linear, 2 quadratic."""
    from math import log

    first, last = each[0], each[-1]
    return log(last["megabytes"] / first["megabytes"]) / log(last["steps"] / first["steps"])


def asked(name: str, steps: int) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).resolve()), "--one", name, "--steps", str(steps)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    print(f"{name}, {steps} steps: {answer.strip()}", file=sys.stderr, flush=True)
    found: dict[str, Any] = json.loads(answer)
    return found


def measured(name: str, steps: int) -> dict[str, Any]:
    import resource

    import torch

    from structseq.padded import Padded

    torch.manual_seed(0)
    encoder = ENCODERS[name].bidirectional(INPUTS, WIDTH)
    through(encoder, torch.randn(1, 50, INPUTS))  # what is loaded once is not counted
    inputs = torch.randn(1, steps, INPUTS, requires_grad=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = perf_counter()
    states = encoder(Padded(inputs, torch.tensor([steps]))).values
    states.square().mean().backward()
    seconds = perf_counter() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    leaves = [inputs, *encoder.parameters()]
    finite = all(bool(torch.isfinite(leaf.grad).all()) for leaf in leaves if leaf.grad is not None)
    megabytes = grown / 1024 if sys.platform != "darwin" else grown / 2**20
    return {"steps": steps, "megabytes": megabytes, "seconds": seconds, "finite": finite}


def through(encoder: Any, inputs: Any) -> None:
    import torch

    from structseq.padded import Padded

    encoder(Padded(inputs, torch.tensor([inputs.shape[1]]))).values.sum().backward()
    encoder.zero_grad()


if __name__ == "__main__":
    sys.exit(console.run(main))
