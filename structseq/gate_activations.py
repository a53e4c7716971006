"""Mean gate activations of an encoder at each gold tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from structseq.batch import batch_by_length
from structseq.data.example import Example
from structseq.encoders.base import Encoder
from structseq.model import Model

# gate -> tag -> mean activation
GateActivations = Mapping[str, Mapping[str, float]]


def mean_gate_activations(model: Model, examples: Sequence[Example]) -> GateActivations:
    """The mean of each gate, 0 (closed) to 1 (open), over units and over the tokens of each gold tag.

    Tags are those of the examples, in the model's order. Empty if the encoder has no gates (Elman).
    """
    tags = sorted({tag for example in examples for tag in example.tags})
    number = {tag: k for k, tag in enumerate(tags)}
    sums: dict[str, np.ndarray] = {}
    counts = np.zeros(len(tags))
    for rows in batch_by_length([len(example) for example in examples], sentences=64, tokens=4096):
        chosen = [examples[row] for row in rows]
        gold = np.concatenate([np.array([number[tag] for tag in example.tags], np.int64) for example in chosen])
        counts += np.bincount(gold, minlength=len(tags))
        for name, activations in _token_activations(model, chosen).items():
            found = np.bincount(gold, activations, minlength=len(tags))
            sums[name] = sums[name] + found if name in sums else found
    place = {label: k for k, label in enumerate(model.tags.labels)}
    order = sorted(tags, key=lambda tag: (place.get(tag, len(place)), tag))
    return {
        name: {tag: float(total[number[tag]] / counts[number[tag]]) for tag in order} for name, total in sums.items()
    }


def _token_activations(model: Model, examples: Sequence[Example]) -> dict[str, np.ndarray]:
    """Each gate's mean over its units, for all tokens in one row."""
    encoder = model.encoder
    assert isinstance(encoder, Encoder)
    model.eval()
    with torch.inference_mode():
        inputs = model.inputs(model.inputs.encode(examples))
        mask = inputs.mask()
        return {name: gate.mean(-1)[mask].double().cpu().numpy() for name, gate in encoder.gates(inputs).items()}
