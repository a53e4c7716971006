"""The structured layer beside pytorch-crf's, and beside the LSTM under it; one thread, one process, in turns.

    python benchmarks/structured_layer.py                    loss with gradient, and Viterbi, against pytorch-crf
    python benchmarks/structured_layer.py --step FOLDER      its share of a training step of the default model

The rivals get the same parameters and scores and are called the same way, by the public layer: a log-likelihood added
up and differentiated with respect to scores and parameters, and a decoding to lists. They take turns of ten calls each;
times are medians over the turns, of one call. The machine must be quiet.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded

import console
import torch
import torchcrf
from table import markdown, write_json
from timing import circumstances

from structseq.crf import CRF

ROWS, STEPS, TAGS = 32, (20, 60), (9, 25, 73, 127)
CALLS = 10


def main() -> None:
    arguments = parser().parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="where received a uint8 condition tensor")  # pytorch-crf's own mask
    found = step(arguments) if arguments.step else against_pytorch_crf(arguments)
    write_json(arguments.json, {**found, **circumstances()})


def parser() -> argparse.ArgumentParser:
    made = console.parser(__doc__, data=False, repeats=11)
    made.add_argument("--step", type=Path, metavar="FOLDER", help="holds train.conll, dev.conll and test.conll")
    made.add_argument("--device", default="cpu", help="cpu, cuda")
    return made


# --- against pytorch-crf ----------------------------------------------------------------------------------------------


def against_pytorch_crf(arguments: argparse.Namespace) -> dict[str, Any]:
    rows, cells = [], []
    for tags in TAGS:
        for steps in STEPS:
            cell = measured(tags, steps, torch.device(arguments.device), arguments.repeats)
            cells.append(cell)
            loss, best = cell["loss"], cell["viterbi"]
            rows.append(
                [
                    str(tags), f"{ROWS} x {steps}", *(f"{1e3 * each:.3f}" for each in loss), f"{loss[1] / loss[0]:.1f}",
                    *(f"{1e3 * each:.3f}" for each in best), f"{best[1] / best[0]:.1f}",
                ]
            )  # fmt: skip
            print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    header = ["tags", "rows x steps", "loss, ms", "pytorch-crf", "times", "Viterbi, ms", "pytorch-crf", "times"]
    print(markdown(header, rows))
    return {"cells": cells, "device": arguments.device}


def measured(tags: int, steps: int, device: torch.device, repeats: int) -> dict[str, Any]:
    """Median seconds of ours and theirs, loss with gradient and decoding."""
    torch.manual_seed(tags * steps)
    ours, theirs = CRF(tags, batch_first=True).to(device), torchcrf.CRF(tags, batch_first=True).to(device)
    ours.load_state_dict(theirs.state_dict())
    scores = torch.randn(ROWS, steps, tags, device=device, requires_grad=True)
    gold = torch.randint(tags, (ROWS, steps), device=device)

    def learn(layer: torch.nn.Module) -> Callable[[], object]:
        wanted = [scores, *layer.parameters()]
        return lambda: torch.autograd.grad(layer(scores, gold), wanted)

    for mine, other in zip(learn(ours)(), learn(theirs)(), strict=True):  # type: ignore[call-overload]
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-3)
    plain = scores.detach()
    assert ours.decode(plain) == theirs.decode(plain)
    return {
        "tags": tags,
        "steps": steps,
        "loss": in_turns(learn(ours), learn(theirs), repeats, device),
        "viterbi": in_turns(lambda: ours.decode(plain), lambda: theirs.decode(plain), repeats, device),
    }


def in_turns(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int, device: torch.device
) -> list[float]:
    """Median seconds of one call each, in turns of `CALLS`, after one turn for warming up."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for call, own in zip((ours, theirs), seconds, strict=True):
            started = perf_counter()
            for _ in range(CALLS):
                call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn > 0:
                own.append((perf_counter() - started) / CALLS)
    return [statistics.median(own) for own in seconds]


# --- within a training step -------------------------------------------------------------------------------------------


def step(arguments: argparse.Namespace) -> dict[str, Any]:
    """What one training pass spends in the structured layer (chain, likelihood, gradient), in the product making its
    scores, and in the LSTM, forwards and backwards, by torch's own profiler."""
    from folder import read_folder
    from passes import structseq_passes
    from torch.profiler import ProfilerActivity, profile, record_function

    from structseq.heads import CrfHead

    for owner, method in ((CRF, "chain"), (CrfHead, "emissions")):
        setattr(owner, method, _recorded(record_function, method, getattr(owner, method)))
    one_pass = structseq_passes(read_folder(arguments.step), [], passes=5)
    one_pass()
    shares: dict[str, list[float]] = {"structured layer": [], "emissions, forwards": [], "LSTM": []}
    for _ in range(4):
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            one_pass()
        events = {event.key: event.cpu_time_total / 1e6 for event in seen.key_averages()}
        shares["structured layer"].append(events["LogProb"] + events["LogProbBackward"] + events["recorded chain"])
        shares["emissions, forwards"].append(events["recorded emissions"])
        shares["LSTM"].append(events["aten::mkldnn_rnn_layer"] + events["aten::mkldnn_rnn_layer_backward"])
    medians = {name: statistics.median(each) for name, each in shares.items()}
    rows = [[name, f"{seconds:.3f}", f"{seconds / medians['LSTM']:.1%}"] for name, seconds in medians.items()]
    print(markdown(["one training pass", "s", "of the LSTM"], rows))
    return {"seconds": shares}


def _recorded(record: Any, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def recorded(*arguments: Any, **options: Any) -> Any:
        with record(f"recorded {name}"):
            return method(*arguments, **options)

    return recorded


if __name__ == "__main__":
    sys.exit(console.run(main))
