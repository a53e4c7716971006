"""Recurrent encoders on torch's fused kernels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structseq.dropout import dropout_mask
from structseq.encoders.base import Encoder
from structseq.padded import Padded


class LSTM(Encoder):
    """Long short-term memory, one direction (Hochreiter and Schmidhuber 1997; forget gate: Gers, Schmidhuber and
    Cummins 2000).

    c_t = f_t * c_{t-1} + i_t * tanh(g_t),  h_t = o_t * tanh(c_t);  i, f, o = logistic and g = linear in (x_t, h_{t-1}).

    Parameters
    ----------
    in_width, width:
        F and H.
    recurrent_dropout:
        Dropout on the recurrent weights, drawn once a batch (Merity, Keskar and Socher 2018, "weight-dropped LSTM").
    """

    def __init__(self, in_width: int, width: int, *, recurrent_dropout: float = 0.0) -> None:
        super().__init__()
        self.in_width, self.width, self.recurrent_dropout = in_width, width, recurrent_dropout
        self.lstm = nn.LSTM(in_width, width, batch_first=True)
        to_gates, recurrent, *biases = self.lstm.parameters()
        nn.init.xavier_uniform_(to_gates)
        with torch.no_grad():
            for gate in recurrent.split(width):
                nn.init.orthogonal_(gate)
            for bias in biases:
                nn.init.zeros_(bias)
            # The forget gate starts open (Jozefowicz, Zaremba and Sutskever 2015, section 2.3).
            biases[0][width : 2 * width] = 1.0

    @property
    def recurrent(self) -> Tensor:
        """(4H, H) weights from the state before."""
        weights = self.lstm.weight_hh_l0
        assert isinstance(weights, Tensor)
        return weights

    def draw(self) -> Tensor | None:
        if not self.training or not self.recurrent_dropout:
            return None
        return dropout_mask(self.recurrent.shape, self.recurrent_dropout, device=self.recurrent.device)

    def forward(self, inputs: Padded, drawn: Tensor | None = None) -> Padded:
        values = inputs.values
        if values.shape[0] == 0 or values.shape[1] == 0:
            return inputs.with_values(values.new_zeros(*values.shape[:2], self.width))
        mask = self.draw() if drawn is None else drawn
        if mask is None:
            return inputs.with_values(self.lstm(values)[0])
        dropped = {"weight_hh_l0": self.recurrent * mask}
        return inputs.with_values(torch.func.functional_call(self.lstm, dropped, (values,))[0])
