"""Max-pooling of the character convolution, compiled with Numba; importing this module imports Numba."""

from __future__ import annotations

import numpy as np
from numba import njit

from structseq import compiling

compiling.find_cache()


@njit(cache=True, nogil=True)
def highest_windows(tables, characters, lengths, highest, places):  # type: ignore[no-untyped-def]
    """Writes the maximum over the windows of each word, highest (D,N), and its position, places (D,N).

    tables (W,V,N): output of filter n for character v at window position w; characters (D,C); lengths (D,). Windows are
    centred, and read row 0 outside the word. An empty word has the maximum 0 and position -1.
    """
    window, _, filters = tables.shape
    before = (window - 1) // 2
    answer = np.empty(filters, tables.dtype)
    for d in range(characters.shape[0]):
        length = lengths[d]
        top, where = highest[d], places[d]
        for n in range(filters):
            top[n] = 0 if length == 0 else -np.inf
            where[n] = -1
        for place in range(length):
            for n in range(filters):
                answer[n] = 0
            for w in range(window):
                at = place - before + w
                row = tables[w, characters[d, at] if 0 <= at < length else 0]
                for n in range(filters):
                    answer[n] += row[n]
            for n in range(filters):
                # NaN replaces every number, so that diverged weights are noticed.
                better = not answer[n] <= top[n] and top[n] == top[n]
                top[n] = answer[n] if better else top[n]
                where[n] = place if better else where[n]


@njit(cache=True, nogil=True)
def highest_windows_back(upstream, characters, lengths, places, for_tables):  # type: ignore[no-untyped-def]
    """Adds to for_tables (W,V,N) the gradient upstream (D,N) of the windows at places (D,N)."""
    window, _, filters = for_tables.shape
    before = (window - 1) // 2
    for d in range(characters.shape[0]):
        length = lengths[d]
        if length == 0:
            continue
        for w in range(window):
            for n in range(filters):
                at = places[d, n] - before + w
                row = characters[d, at] if 0 <= at < length else 0
                for_tables[w, row, n] += upstream[d, n]
