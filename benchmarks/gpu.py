"""Every encoder and every head on a GPU beside the CPU: the same numbers, and milliseconds for an update.

    python benchmarks/gpu.py --repeats 20

Each model is made twice from one seed. On a small batch in float32, its loss and the gradients of all its weights are
compared (largest difference over the largest gradient), and so are its answers. Then both are trained for a few
updates of a larger batch as `structseq train` does it, on the GPU in mixed precision; the loss must be a number and
fall. The structured layer beside pytorch-crf's on a GPU: `python benchmarks/structured_layer.py --device cuda`.
"""

from __future__ import annotations

import copy
import statistics
import sys
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import console
import numpy as np
import torch
from table import markdown, write_json
from timing import circumstances

from structseq.config import Options
from structseq.data.example import Example
from structseq.data.reading import Corpus
from structseq.encoders import ENCODERS
from structseq.errors import ConfigError
from structseq.heads import HEADS, TRANSCRIBERS
from structseq.model import Model
from structseq.spans import PLAIN, scheme_of
from structseq.tasks import task_of
from structseq.training import train

WORDS = [f"w{number}" for number in range(300)]


def main() -> None:
    parser = console.parser(__doc__, data=False, repeats=20)
    parser.add_argument("--rows", type=int, default=32, metavar="N", help="of the larger batch")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise ConfigError("expected a GPU, torch finds none")
    found = []
    for name, options in models():
        row = compared(name, options, arguments.rows, arguments.repeats)
        print(row, file=sys.stderr, flush=True)
        found.append(row)
    header = ["model", "loss apart", "gradients apart", "answers alike", "loss, first to last", "GPU, ms", "CPU, ms"]
    rows = [
        [row["model"], f"{row['loss']:.0e}", f"{row['gradients']:.0e}", f"{row['alike']:.0%}",
         f"{row['first']:.2f} to {row['last']:.2f}", f"{row['cuda']:.1f}", f"{row['cpu']:.1f}"]
        for row in found
    ]  # fmt: skip
    print(markdown(header, rows))
    write_json(arguments.json, {"models": found, "gpu": torch.cuda.get_device_name(), **circumstances()})


def models() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each encoder under a CRF, and each head on an LSTM; the autoencoder of tokens and of frames."""
    for encoder in ENCODERS:
        yield f"{encoder} + crf", {"encoder": {"type": encoder}}
    for head in HEADS:
        if head != "crf":
            yield head, {"head": {"type": head}}
    yield "autoencode, frames", {"head": {"type": "autoencode"}}


def compared(name: str, options: dict[str, Any], rows: int, repeats: int) -> dict[str, Any]:
    examples = examples_for(name, rows)
    tagged = "tags" in task_of(HEADS[options.get("head", {}).get("type", "crf")]).required_targets
    scheme = scheme_of("BIO") if tagged else PLAIN
    made = Model.prepare(Options.of(options), examples, scheme, seed=0)
    few, found = examples[:6], {"model": name}
    losses, gradients, answers = {}, {}, {}
    for device in ("cpu", "cuda"):
        model = copy.deepcopy(made).to(device).eval()
        target = model.head.pad([model.head.target(example) for example in few]).to(device)
        model.train()
        for module in model.modules():  # nothing is dropped: both devices must compute the same
            for rate in ("rate", "recurrent_dropout", "word_dropout", "forgetting", "p"):
                if isinstance(getattr(module, rate, None), float):
                    setattr(module, rate, 0.0)
        for feature in getattr(model.inputs, "features", {}).values():
            if "replaced" in dict(feature.named_buffers()):
                feature.replaced.zero_()
        loss = model.loss(model.inputs.encode(few), target).sum()
        wanted = [p for p in model.parameters() if p.requires_grad]
        each = torch.autograd.grad(loss, wanted, allow_unused=True)
        losses[device] = float(loss.detach())
        gradients[device] = torch.cat([g.flatten().double().cpu() for g in each if g is not None])
        answers[device] = [alike(answer) for answer in model.predict(few)]
    found["loss"] = abs(losses["cuda"] - losses["cpu"]) / max(1.0, abs(losses["cpu"]))
    found["gradients"] = float((gradients["cuda"] - gradients["cpu"]).abs().max() / gradients["cpu"].abs().max())
    found["alike"] = statistics.fmean(one == other for one, other in zip(answers["cpu"], answers["cuda"], strict=True))
    for device in ("cpu", "cuda"):
        found |= trained(copy.deepcopy(made), examples, device, repeats)
    return found


def trained(model: Model, examples: list[Example], device: str, repeats: int) -> dict[str, Any]:
    """Median milliseconds of an update; on the GPU the first and the last loss too."""
    told = {"device": device, "epochs": repeats + 3, "batch_sentences": len(examples), "batch_tokens": 10**6}
    options = Options.of({"training": {**told, "threads": 1, "average": "none"}}).training
    losses, seconds, before = [], [], perf_counter()
    for progress in train(model, Corpus(tuple(examples)), options, seed=0):
        losses.append(progress.loss)
        seconds.append(perf_counter() - before)
        before = perf_counter()
    if not losses[-1] < losses[0]:
        raise ConfigError(f"{type(model.head).__name__} on {device}: the loss went from {losses[0]} to {losses[-1]}")
    list(model.predict(examples))  # of a model trained there
    found = {device: 1e3 * statistics.median(seconds[3:])}
    return found | ({"first": losses[0], "last": losses[-1]} if device == "cuda" else {})


def alike(answer: Any) -> Any:
    """An answer that can be compared: frames to two places."""
    return np.round(answer, 2).tolist() if isinstance(answer, np.ndarray) else answer


def examples_for(name: str, rows: int) -> list[Example]:
    """Random rows of 5 to 30 steps with every answer that a head may ask for."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(rows):
        length = int(rng.integers(5, 31))
        words = rng.choice(WORDS, length).tolist()
        target = rng.choice(list("123"), max(1, length // 5)).tolist()
        if name in TRANSCRIBERS or name.endswith("frames"):
            tags = [target[min(step // 5, len(target) - 1)] for step in range(length)]
            found.append(Example.of_frames(rng.normal(size=(length, 20)), tags, target=target))
            continue
        tags = ["B-x" if word < "w2" else "O" for word in words]
        answers = {"tags": tuple(tags), "label": words[0][:2], "target": tuple(target)}
        found.append(Example({"tokens": tuple(words)}, answers))
    return found


if __name__ == "__main__":
    sys.exit(console.run(main))
