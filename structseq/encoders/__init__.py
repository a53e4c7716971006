"""Encoders by name: one class and one row each."""

from __future__ import annotations

from structseq.encoders.recurrent import LSTM

ENCODERS = {"lstm": LSTM}

__all__ = ["ENCODERS", "LSTM"]
