"""Recurrent encoders: the base class, Elman, LSTM and GRU."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from structseq.config import EncoderOptions
from structseq.dropout import dropout_mask
from structseq.encoders.base import Encoder
from structseq.errors import ConfigError
from structseq.padded import Padded


class Recurrent(Encoder):
    """An encoder that reads rows step by step; the initial memory is zero.

    ``recurrent_dropout`` drops weights of `recurrent`, once per batch (Merity et al. 2018, "weight-dropped LSTM").
    """

    supports_autocast: bool = False  # whether `run` supports autocast; otherwise it gets full precision

    def __init__(self, in_width: int, width: int, *, recurrent_dropout: float = 0.0) -> None:
        super().__init__()
        self.in_width, self.width, self.recurrent_dropout = in_width, width, recurrent_dropout

    @property
    def recurrent(self) -> Tensor:
        """Weights of the previous step's memory; by default the parameter ``memory``."""
        return self.get_parameter("memory")

    @abstractmethod
    def run(self, values: Tensor, recurrent: Tensor) -> Tensor:
        """(B, T, H) states of inputs (B, T, F) with these ``recurrent`` weights; B, T > 0."""

    def sample_mask(self) -> Tensor | None:
        if not self.training or not self.recurrent_dropout:
            return None
        weights = self.recurrent
        return dropout_mask(weights.shape, self.recurrent_dropout, device=weights.device)

    def forward(self, inputs: Padded, mask: Tensor | None = None) -> Padded:
        values = inputs.values
        if values.shape[0] == 0 or values.shape[1] == 0:
            return inputs.with_values(values.new_zeros(*values.shape[:2], self.width))
        mask, recurrent = self.sample_mask() if mask is None else mask, self.recurrent
        weights, device = recurrent if mask is None else recurrent * mask, values.device.type
        if self.supports_autocast or not torch.is_autocast_enabled(device):
            return inputs.with_values(self.run(values, weights))
        with torch.autocast(device, enabled=False):
            return inputs.with_values(self.run(values.to(weights.dtype), weights))


class Fused(Recurrent):
    """A network with a fused torch kernel."""

    supports_autocast = True

    @property
    @abstractmethod
    def kernel(self) -> nn.RNNBase:
        """One layer, one direction, batch first."""

    @property
    def recurrent(self) -> Tensor:
        weights = self.kernel.weight_hh_l0
        assert isinstance(weights, Tensor)
        return weights

    def run(self, values: Tensor, recurrent: Tensor) -> Tensor:
        kernel = self.kernel
        if recurrent is kernel.weight_hh_l0:
            states: Tensor = kernel(values)[0]
            return states
        with _allow_scattered_weights() if values.is_cuda else nullcontext():
            replaced: Tensor = torch.func.functional_call(kernel, {"weight_hh_l0": recurrent}, (values,))[0]
        return replaced

    def _start(self) -> None:
        """Initialise: Glorot for input weights, orthogonal for each gate's recurrent weights."""
        to_gates, recurrent, *biases = self.kernel.parameters()
        nn.init.xavier_uniform_(to_gates)
        with torch.no_grad():
            for gate in recurrent.split(self.width):
                nn.init.orthogonal_(gate)
            for bias in biases:
                nn.init.zeros_(bias)


class Elman(Fused):
    """The simple recurrent network (Elman 1990): h_t = tanh(W x_t + R h_{t-1} + b)."""

    class Options(EncoderOptions):
        activation: Literal["tanh", "relu"] = Field("tanh", description="activation of the hidden layer")

    def __init__(self, in_width: int, width: int, *, recurrent_dropout: float = 0.0, activation: str = "tanh") -> None:
        super().__init__(in_width, width, recurrent_dropout=recurrent_dropout)
        if activation not in ("tanh", "relu"):
            raise ConfigError(f"encoder.activation: expected tanh or relu for an Elman network, found {activation!r}")
        self.rnn = nn.RNN(in_width, width, nonlinearity=activation, batch_first=True)
        self._start()

    @property
    def kernel(self) -> nn.RNNBase:
        return self.rnn


class LSTM(Fused):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers, Schmidhuber and Cummins 2000)."""

    def __init__(self, in_width: int, width: int, *, recurrent_dropout: float = 0.0) -> None:
        super().__init__(in_width, width, recurrent_dropout=recurrent_dropout)
        self.lstm = nn.LSTM(in_width, width, batch_first=True)
        self._start()
        # The forget gate starts open (Jozefowicz, Zaremba and Sutskever 2015, section 2.3).
        with torch.no_grad():
            self.lstm.get_parameter("bias_ih_l0")[width : 2 * width] = 1.0

    @property
    def kernel(self) -> nn.RNNBase:
        return self.lstm

    def gates(self, inputs: Padded) -> dict[str, Tensor]:
        i, f, _, o = gate_inputs(self.lstm, inputs.values, self(inputs).values).sigmoid().chunk(4, -1)
        return {"input": i, "forget": f, "output": o}


class GRU(Fused):
    """Gated recurrent unit (Cho et al. 2014, section 2.3), with the reset after the product, as in torch's kernel.

    h_t = z_t * h_{t-1} + (1 - z_t) * tanh(W x_t + b + r_t * (R h_{t-1} + b'));  r, z = logistic in (x_t, h_{t-1}).
    """

    def __init__(self, in_width: int, width: int, *, recurrent_dropout: float = 0.0) -> None:
        super().__init__(in_width, width, recurrent_dropout=recurrent_dropout)
        self.gru = nn.GRU(in_width, width, batch_first=True)
        self._start()

    @property
    def kernel(self) -> nn.RNNBase:
        return self.gru

    def gates(self, inputs: Padded) -> dict[str, Tensor]:
        r, z, _ = gate_inputs(self.gru, inputs.values, self(inputs).values).chunk(3, -1)
        return {"reset": r.sigmoid(), "update": z.sigmoid()}


@contextmanager
def _allow_scattered_weights() -> Iterator[None]:
    """Silence torch's warning about replaced weights on GPUs; not thread-safe."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
        yield


def gate_inputs(kernel: nn.RNNBase, values: Tensor, states: Tensor) -> Tensor:
    """(B, T, gates H) W x_t + R h_{t-1} + biases in torch's gate order."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    inputs, recurrent, bias, other = (kernel.get_parameter(name) for name in names)
    previous = nn.functional.pad(states, (0, 0, 1, 0))[:, :-1]
    return values @ inputs.T + previous @ recurrent.T + (bias + other)
