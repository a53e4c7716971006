"""Self-attention with rotary position embeddings."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from structseq.config import EncoderOptions
from structseq.dropout import LockedDropout
from structseq.encoders.base import Encoder
from structseq.errors import ConfigError
from structseq.padded import Padded
from structseq.section import Count

# Base of the rotary angles (Su et al. 2024, section 3.2.2)
BASE = 10_000.0


class SelfAttention(Encoder):
    """A transformer block (Vaswani et al. 2017, section 3) with pre-layer normalisation (Xiong et al. 2020).

    a = x + O softmax(q k^T / sqrt(d)) v with q, k, v linear in norm(x), d their width;  the states are
    norm(a + W' gelu(W norm(a) + b) + b').

    q and k have rotary embeddings (Su et al. 2024, section 3.2). Memory is linear in length (Rabe and Staats 2021).

    ``recurrent_dropout`` is the rate of the locked dropout on both residual branches. ``attention_heads`` must divide
    ``width``; None means 4, or fewer if a head's width would be odd. With ``causal``, a step does not attend to later
    steps.
    """

    class Options(EncoderOptions):
        attends = True
        attention_heads: Count | None = Field(None, description="number of attention heads")

    def __init__(
        self,
        in_width: int,
        width: int,
        *,
        recurrent_dropout: float = 0.0,
        attention_heads: int | None = None,
        causal: bool = True,
    ) -> None:
        super().__init__()
        self.in_width, self.width, self.causal = in_width, width, causal
        self.heads = attention_heads or next((n for n in (4, 2) if width % (2 * n) == 0), 1)
        if width % self.heads:
            raise ConfigError(f"encoder.attention_heads: expected a divisor of the width {width}, found {self.heads}")
        self.entry = nn.Linear(in_width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.dropout = LockedDropout(recurrent_dropout)
        for layer in (self.entry, self.queries_keys_values, self.attended, self.widen, self.narrow):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    @classmethod
    def bidirectional(cls, in_width: int, width: int, **options: object) -> Encoder:
        """One block of twice the width that attends to all steps."""
        return cls(in_width, 2 * width, causal=False, **options)  # type: ignore[arg-type]

    def forward(self, inputs: Padded, mask: Tensor | None = None) -> Padded:
        values, real = inputs.values, None
        if not inputs.full:
            real = inputs.mask().to(values.device)
            values = values.masked_fill(~real.unsqueeze(-1), 0.0)
        states = self.entry(values)
        states = states + self._dropped(inputs, self.attended(self._attend(self.norms[0](states), real)))
        wide = nn.functional.gelu(self.widen(self.norms[1](states)))
        return inputs.with_values(self.norms[2](states + self._dropped(inputs, self.narrow(wide))))

    def _dropped(self, inputs: Padded, values: Tensor) -> Tensor:
        states: Padded = self.dropout(inputs.with_values(values))
        return states.values

    def _attend(self, states: Tensor, real: Tensor | None) -> Tensor:
        """(B, T, H) from (B, T, H); ``real`` is None without padding."""
        if not states.numel():
            return states
        parts = self.queries_keys_values(states).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts  # (B, heads, T, d) each
        queries, keys = rotary(queries), rotary(keys)
        visible = None
        if real is not None and not self.causal:  # causal attention never reaches padding on the right
            visible = real.clone()
            visible[:, 0] = True  # so that softmax is defined for an empty row
            visible = visible[:, None, None, :]
        attended = nn.functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=visible, is_causal=self.causal
        )
        return attended.transpose(1, 2).flatten(2)


def rotary(vectors: Tensor) -> Tensor:
    """Rotates each pair of neighbours of (B, heads, T, d) by the step times its angle; an odd last number stays."""
    steps, width = vectors.shape[-2:]
    pairs = width // 2
    speeds = BASE ** (-torch.arange(pairs, dtype=torch.float64, device=vectors.device) / max(pairs, 1))
    angles = torch.arange(steps, dtype=torch.float64, device=vectors.device).unsqueeze(1) * speeds  # (T, d / 2)
    cos, sin = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    even, odd = vectors[..., 0 : 2 * pairs : 2], vectors[..., 1 : 2 * pairs : 2]
    whole = torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)
    return whole if width % 2 == 0 else torch.cat([whole, vectors[..., -1:]], -1)
