"""Max-pooling of the character convolution, compiled with Numba; importing this module imports Numba."""

from __future__ import annotations

import numpy as np
from numba import njit

from structseq import compiling

compiling.set_cache_folder()


@njit(cache=True, nogil=True)
def highest_windows(tables, characters, lengths, highest, positions):  # type: ignore[no-untyped-def]
    """Writes the maximum over the windows of each word (highest, (D,N)) and its position (positions, (D,N)).

    tables (W,V,N): output of filter n for character v at window position w; characters (D,C); lengths (D,). Windows are
    centred, and read row 0 outside the word. An empty word has the maximum 0 and position -1.
    """
    window, _, filters = tables.shape
    before = (window - 1) // 2
    output = np.empty(filters, tables.dtype)
    for d in range(characters.shape[0]):
        length = lengths[d]
        best, best_position = highest[d], positions[d]
        for n in range(filters):
            best[n] = 0 if length == 0 else -np.inf
            best_position[n] = -1
        for position in range(length):
            for n in range(filters):
                output[n] = 0
            for w in range(window):
                i = position - before + w
                row = tables[w, characters[d, i] if 0 <= i < length else 0]
                for n in range(filters):
                    output[n] += row[n]
            for n in range(filters):
                # NaN replaces every number, so that diverged weights are noticed.
                better = not output[n] <= best[n] and best[n] == best[n]
                best[n] = output[n] if better else best[n]
                best_position[n] = position if better else best_position[n]


@njit(cache=True, nogil=True)
def highest_windows_back(upstream, characters, lengths, positions, for_tables):  # type: ignore[no-untyped-def]
    """Adds to for_tables (W,V,N) the gradient upstream (D,N) of the windows at positions (D,N)."""
    window, _, filters = for_tables.shape
    before = (window - 1) // 2
    for d in range(characters.shape[0]):
        length = lengths[d]
        if length == 0:
            continue
        for w in range(window):
            for n in range(filters):
                i = positions[d, n] - before + w
                row = characters[d, i] if 0 <= i < length else 0
                for_tables[w, row, n] += upstream[d, n]
