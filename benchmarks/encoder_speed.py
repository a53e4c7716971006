"""Seconds for forward and backward through each encoder, beside torch's fused LSTM of the same width, one thread.

    python benchmarks/encoder_speed.py --repeats 20

One layer, one direction, batches as training has them: 32 rows of 14 steps, inputs 250 wide, 200 units. Every system
is timed in turns with the others, so that a busy machine slows all of them alike; look at the ratios.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded

import console
import torch
from table import markdown, write_json
from timing import circumstances, interleave, ratio, spread
from torch import nn

from structseq.encoders import ENCODERS
from structseq.padded import Padded


def main() -> None:
    parser = console.parser(__doc__, data=False, repeats=20)
    for name, value in (("rows", 32), ("steps", 14), ("inputs", 250), ("width", 200)):
        parser.add_argument(f"--{name}", type=int, default=value, metavar="N")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    values = torch.randn(arguments.rows, arguments.steps, arguments.inputs)
    upstream = torch.randn(arguments.rows, arguments.steps, 1)
    passes = {"torch.nn.LSTM": fused(values, upstream, arguments.width)}
    for name, kind in ENCODERS.items():
        passes[name] = both_passes(kind(arguments.inputs, arguments.width), values, upstream)
    seconds = interleave(passes, repeats=arguments.repeats)
    rows = [
        [name, f"{1e3 * statistics.median(own) / 5:.2f}", spread([s / 5 for s in own]),
         f"{ratio(own, seconds['torch.nn.LSTM']):.2f}"]
        for name, own in seconds.items()
    ]  # fmt: skip
    print(markdown(["forward and backward", "median, ms", "range, s", "times torch's LSTM"], rows))
    write_json(arguments.json, {"seconds": seconds, **circumstances()})


def fused(values: torch.Tensor, upstream: torch.Tensor, width: int) -> Callable[[], None]:
    kernel = nn.LSTM(values.shape[-1], width, batch_first=True)
    return five(lambda inputs: kernel(inputs)[0], list(kernel.parameters()), values, upstream)


def both_passes(encoder: nn.Module, values: torch.Tensor, upstream: torch.Tensor) -> Callable[[], None]:
    encoder.train()
    lengths = torch.full((values.shape[0],), values.shape[1])
    return five(lambda inputs: encoder(Padded(inputs, lengths)).values, list(encoder.parameters()), values, upstream)


def five(
    run: Callable[[torch.Tensor], torch.Tensor],
    parameters: list[nn.Parameter],
    values: torch.Tensor,
    upstream: torch.Tensor,
) -> Callable[[], None]:
    """Five passes forwards and back, with gradients of the inputs and of every weight."""
    leaf = values.clone().requires_grad_()

    def passes() -> None:
        for _ in range(5):
            states = run(leaf)
            torch.autograd.grad((states * upstream).sum(), [leaf, *parameters])

    return passes


if __name__ == "__main__":
    sys.exit(console.run(main))
