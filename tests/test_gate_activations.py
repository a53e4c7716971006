"""Mean openings of gates per tag, against gates computed sentence by sentence."""

from __future__ import annotations

import miniature
import pytest
import torch

from structseq.data.example import Example
from structseq.gate_activations import mean_gate_activations
from structseq.padded import Padded

EXAMPLES = [
    Example.of(["fly", "to", "Lima"], ["O", "O", "B-to"]),
    Example.of([], []),
    Example.of(["Rome"], ["B-to"]),
    Example.of(["a", "word", "never", "seen"], ["O", "X-strange", "O", "O"]),
]


@pytest.mark.parametrize("encoder", [{}, {"layers": 2}, {"bidirectional": False}, {"type": "lstm_peephole"}])
def test_openings_are_means_over_tokens_and_units(encoder: dict[str, object]) -> None:
    model = miniature.model({"encoder": encoder}).eval()
    found = mean_gate_activations(model, EXAMPLES)
    seen: dict[str, dict[str, list[float]]] = {}
    for example in EXAMPLES:
        if len(example):
            inputs = model.inputs(model.inputs.encode([example]))
            for name, gate in model.encoder.gates(inputs).items():
                for token, tag in enumerate(example.tags):
                    seen.setdefault(name, {}).setdefault(tag, []).append(gate[0, token].mean().item())
    assert list(found) == list(seen) and len(found) in (3, 6, 12)
    for name, tags in seen.items():
        assert found[name] == pytest.approx({tag: sum(each) / len(each) for tag, each in tags.items()}, abs=1e-6)
        assert list(found[name])[-1] == "X-strange", "a tag that the model does not know comes last"


def test_a_layers_gates_read_backwards_stand_at_their_own_steps() -> None:
    model = miniature.model().eval()
    inputs = Padded.of([torch.randn(length, model.inputs.width) for length in (5, 2)])
    changed = inputs.with_values(inputs.values.clone())
    changed.values[0, 0] += 1
    one, other = (model.encoder.gates(each) for each in (inputs, changed))
    for name, gate in one.items():
        moved = (gate != other[name]).any(-1)
        assert moved[0].tolist() == [True, *([not name.endswith("backwards")] * 4)] and not moved[1, :2].any()


def test_networks_without_gates_have_no_openings() -> None:
    assert mean_gate_activations(miniature.model({"encoder": {"type": "elman"}}), EXAMPLES) == {}
