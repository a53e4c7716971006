"""What every class that declares options must satisfy: its constructor takes them, with the same defaults."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from structseq.config import EncoderOptions, HeadOptions
from structseq.encoders import ENCODERS
from structseq.encoders.base import Encoder
from structseq.encoders.recurrent import Recurrent
from structseq.heads import HEADS
from structseq.padded import Padded
from structseq.section import Section

# Options that decide on the inventory of answers, which the constructor is given
OF_THE_INVENTORY = {"scheme", "units", "min_count"}


def own(kind: Any, common: type[Section]) -> dict[str, Any]:
    """The options that a class declares beyond the common ones, with their defaults."""
    fields = kind.Options.model_fields.items()
    return {name: field.get_default() for name, field in fields if name not in common.model_fields}


@pytest.mark.parametrize("name", [*ENCODERS, *HEADS])
def test_defaults_of_constructor_and_options_are_one(name: str) -> None:
    kind: Any
    kind, common = (ENCODERS[name], EncoderOptions) if name in ENCODERS else (HEADS[name], HeadOptions)
    taken = {
        parameter: value.default
        for each in kind.__mro__
        if "__init__" in vars(each)
        for parameter, value in inspect.signature(each.__init__).parameters.items()
        if value.default is not inspect.Parameter.empty
    }
    for option, default in own(kind, common).items():
        if option in OF_THE_INVENTORY:
            continue
        assert option in taken, f"{name}: the constructor does not take {option}"
        assert taken[option] == default or (taken[option] is None and default in ({}, None)), option


@pytest.mark.parametrize("name", ENCODERS)
def test_dropout_on_the_recurrent_weights_is_felt(name: str) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[name](3, 8, recurrent_dropout=0.5)  # type: ignore[call-arg]
    inputs = Padded(torch.randn(2, 5, 3), torch.tensor([5, 4]))
    quiet = encoder.eval()(inputs).values
    torch.testing.assert_close(encoder(inputs).values, quiet)
    assert not torch.allclose(encoder.train()(inputs).values, quiet)
    if isinstance(encoder, Recurrent):
        assert encoder.sample_mask() is not None


@pytest.mark.parametrize("name", ENCODERS)
def test_gates_are_shares_of_every_state(name: str) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[name](3, 8).eval()  # type: ignore[call-arg]
    inputs = Padded(torch.randn(2, 5, 3), torch.tensor([5, 4]))
    gates = encoder.gates(inputs)
    assert gates or type(encoder).gates is Encoder.gates  # a class that defines gates has some
    for gate, values in gates.items():
        assert values.shape == (2, 5, 8), gate
        real = values[inputs.mask()]
        assert bool((real >= 0).all()) and bool((real <= 1).all()), gate
