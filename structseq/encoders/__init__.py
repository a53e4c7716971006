"""The table of encoders by name."""

from __future__ import annotations

from structseq.encoders.attention import SelfAttention
from structseq.encoders.base import Encoder
from structseq.encoders.clockwork import Clockwork
from structseq.encoders.jordan import Jordan
from structseq.encoders.peephole import PeepholeLSTM
from structseq.encoders.recurrent import GRU, LSTM, Elman
from structseq.encoders.scrn import SCRN

ENCODERS: dict[str, type[Encoder]] = {
    "elman": Elman,
    "jordan": Jordan,
    "lstm": LSTM,
    "lstm_peephole": PeepholeLSTM,
    "gru": GRU,
    "clockwork": Clockwork,
    "scrn": SCRN,
    "attention": SelfAttention,
}

__all__ = ["ENCODERS", "GRU", "LSTM", "SCRN", "Clockwork", "Elman", "Jordan", "PeepholeLSTM", "SelfAttention"]
