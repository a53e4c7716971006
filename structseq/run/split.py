"""Holding out a share of the training data to choose the best epoch by, where nobody gave a dev set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from structseq.data.example import Example
from structseq.errors import DataError


def hold_out(examples: Sequence[Example], fraction: float, *, seed: int) -> tuple[list[Example], list[Example]]:
    """(kept, held out), each in the given order; at least one of each. The same seed draws the same examples.

    Raises `DataError` where there are fewer than two sentences that are not empty.

    >>> from structseq.data.example import Example
    >>> kept, held = hold_out([Example.of([word], ["O"]) for word in "abcdefghij"], 0.2, seed=0)
    >>> len(kept), len(held)
    (8, 2)
    """
    full = [place for place, example in enumerate(examples) if len(example)]
    if len(full) < 2:
        raise DataError(
            "expected two sentences or more that are not empty, so that one can be held out, "
            f"found {len(full)} of {len(examples)}; give a dev set"
        )
    count = min(max(1, round(fraction * len(full))), len(full) - 1)
    # A stream of its own, so that the order of the batches is drawn as with a dev set.
    drawn = set(np.random.default_rng([seed, 1 << 32]).permutation(full)[:count].tolist())
    kept = [example for place, example in enumerate(examples) if place not in drawn]
    return kept, [examples[place] for place in sorted(drawn)]
