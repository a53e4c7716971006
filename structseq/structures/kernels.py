"""The chain's hot recursions, compiled for the CPU with Numba: scaled forward-backward and Viterbi with back-pointers.

Forward-backward runs in the exp domain with one division a step (Rabiner 1989, section V.A): about K^2 multiply-adds a step and
K exponentials, instead of K^2 exponentials in the log domain. Where a row underflows (its step sum is 0) the kernel says so and
the caller answers that row in the log domain. Kernels are serial and release the GIL: many Python threads may call them at once,
a forked child keeps working, and results are bit-identical from run to run. Importing this module imports Numba; nobody does so
before the first call.
"""

from __future__ import annotations

import os
import tempfile

# Compiled code is cached beside the module, or in the user's cache folder. Where neither can be written Numba raises
# at decoration; a folder of the process's own then costs one compilation a start, never a failure.
if not os.environ.get("NUMBA_CACHE_DIR"):
    _beside = os.path.dirname(os.path.abspath(__file__))
    _home = os.path.expanduser("~")
    if not os.access(_beside, os.W_OK) and not os.access(_home, os.W_OK):
        os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="structseq-numba-")

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz", "arcp"})
def forward_scaled(weights, factors, first, last, lengths, alphas, scales, log_z, alive):  # type: ignore[no-untyped-def]
    """Scaled forward variables, and log Z without the shifts that the caller took out.

    weights (B,T,K): exp(score - row maximum);  factors (K,K) [from,to], first (K,), last (K,): exp of transition, start, end,
    each shifted.  Writes alphas (B,T,K), each step summing to 1, scales (B,T+1), log_z (B,) float64, alive (B,) whether the
    row did not underflow.
    """
    rows, _, tags = weights.shape
    for b in range(rows):
        length = lengths[b]
        log_z[b] = 0.0
        alive[b] = True
        if length == 0:
            continue
        total = np.float32(0)
        for k in range(tags):
            value = first[k] * weights[b, 0, k]
            alphas[b, 0, k] = value
            total += value
        for t in range(length):
            if t > 0:
                for k in range(tags):
                    alphas[b, t, k] = 0
                for i in range(tags):
                    mass = alphas[b, t - 1, i]
                    if mass != 0:
                        for k in range(tags):
                            alphas[b, t, k] += mass * factors[i, k]
                total = np.float32(0)
                for k in range(tags):
                    value = alphas[b, t, k] * weights[b, t, k]
                    alphas[b, t, k] = value
                    total += value
            if not (total > 1e-30 and total < 1e30):
                alive[b] = False
                break
            scales[b, t] = total
            inverse = 1 / total
            for k in range(tags):
                alphas[b, t, k] *= inverse
            log_z[b] += np.log(np.float64(total))
        if not alive[b]:
            continue
        total = np.float32(0)
        for k in range(tags):
            total += alphas[b, length - 1, k] * last[k]
        if not (total > 1e-30 and total < 1e30):
            alive[b] = False
            continue
        scales[b, length] = total
        log_z[b] += np.log(np.float64(total))


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz", "arcp"})
def backward_scaled(weights, factors, last, lengths, alphas, scales, alive, marginals, arrivals):  # type: ignore[no-untyped-def]
    """Posterior tag probabilities and what edge posteriors are made of, from `forward_scaled`.

    Writes marginals (B,T,K), and arrivals (B,T,K) = weight * beta / scale, so that the posterior of edge (i, k) into step t is
    alphas[t-1,i] * factors[i,k] * arrivals[t,k]. Rows that are not alive, and steps beyond a row's length, get 0.
    """
    rows, steps, tags = weights.shape
    beta = np.empty(tags, weights.dtype)
    for b in range(rows):
        length = lengths[b] if alive[b] else 0
        for t in range(length, steps):
            for k in range(tags):
                marginals[b, t, k] = 0
                arrivals[b, t, k] = 0
        if length == 0:
            continue
        inverse = 1 / scales[b, length]
        for k in range(tags):
            beta[k] = last[k] * inverse
        for t in range(length - 1, -1, -1):
            inverse = 1 / scales[b, t]
            for k in range(tags):
                marginals[b, t, k] = alphas[b, t, k] * beta[k]
                arrivals[b, t, k] = weights[b, t, k] * beta[k] * inverse
            if t > 0:
                for i in range(tags):
                    total = np.float32(0)
                    for k in range(tags):
                        total += factors[i, k] * arrivals[b, t, k]
                    beta[i] = total


@njit(cache=True, nogil=True)
def viterbi(scores, transitions, start, end, lengths, paths, best):  # type: ignore[no-untyped-def]
    """Best path of each row, ties to the lowest tag; scores run relative to each step's maximum so that length costs no digits.

    scores (B,T,K), transitions (K,K) [from,to], start (K,), end (K,). Writes paths (B,T) int64 (0 beyond the length) and best (B,)
    float64. Forbidden moves are -inf.
    """
    rows, steps, tags = scores.shape
    back = np.empty((max(steps, 1), tags), np.int32)
    here = np.empty(tags, scores.dtype)
    there = np.empty(tags, scores.dtype)
    source = np.empty(tags, np.int32)
    for b in range(rows):
        length = lengths[b]
        best[b] = 0.0
        for t in range(length, steps):
            paths[b, t] = 0
        if length == 0:
            continue
        for k in range(tags):
            here[k] = start[k] + scores[b, 0, k]
        offset = 0.0
        for t in range(1, length):
            top = here[0]
            for k in range(1, tags):
                top = max(top, here[k])
            if top == -np.inf:
                top = here.dtype.type(0)
            offset += top
            for k in range(tags):
                there[k] = -np.inf
                source[k] = 0
            for i in range(tags):
                gained = here[i] - top
                if gained != -np.inf:
                    for k in range(tags):
                        value = gained + transitions[i, k]
                        better = value > there[k]
                        there[k] = value if better else there[k]
                        source[k] = i if better else source[k]
            for k in range(tags):
                here[k] = there[k] + scores[b, t, k]
                back[t, k] = source[k]
        tag = 0
        top = here[0] + end[0]
        for k in range(1, tags):
            if here[k] + end[k] > top:
                top = here[k] + end[k]
                tag = k
        best[b] = offset + top
        for t in range(length - 1, -1, -1):
            paths[b, t] = tag
            if t > 0:
                tag = back[t, tag]


@njit(cache=True, nogil=True)
def span_probabilities(  # type: ignore[no-untyped-def]
    alphas, arrivals, weights, scales, factors, last, lengths, rows, starts, ends, kinds, first, begins, continues, closes, final, out
):
    """Probability of each span (row, start, end, kind) under boolean edge patterns, one pattern a kind.

    first, final (N,K); begins, continues, closes (N,K,K) [from,to]; see `Scheme.edges`. Writes out (S,) float64.
    """
    tags = weights.shape[2]
    here = np.empty(tags, np.float64)
    there = np.empty(tags, np.float64)
    for s in range(rows.shape[0]):
        b, i, j, x = rows[s], starts[s], ends[s], kinds[s]
        for k in range(tags):
            here[k] = 0.0
            if i == 0:
                if first[x, k]:
                    here[k] = alphas[b, 0, k]
            else:
                for p in range(tags):
                    if begins[x, p, k]:
                        here[k] += alphas[b, i - 1, p] * factors[p, k]
                here[k] *= weights[b, i, k] / scales[b, i]
        for t in range(i + 1, j):
            for k in range(tags):
                there[k] = 0.0
            for p in range(tags):
                if here[p] != 0:
                    for k in range(tags):
                        if continues[x, p, k]:
                            there[k] += here[p] * factors[p, k]
            for k in range(tags):
                here[k] = there[k] * weights[b, t, k] / scales[b, t]
        total = 0.0
        for k in range(tags):
            if here[k] != 0:
                if j == lengths[b]:
                    if final[x, k]:
                        total += here[k] * last[k] / scales[b, j]
                else:
                    for n in range(tags):
                        if closes[x, k, n]:
                            total += here[k] * factors[k, n] * arrivals[b, j, n]
        out[s] = total
