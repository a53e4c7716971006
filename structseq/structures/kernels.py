"""The chain's hot recursions, compiled for the CPU with Numba: scaled forward-backward and Viterbi with back-pointers.

Forward-backward runs in the exp domain with one division a step (Rabiner 1989, section V.A): about K^2 multiply-adds a
step and K exponentials, instead of K^2 exponentials in the log domain. Where a row's numbers come near the ends of
float32, so that mass that matters could have been rounded to nothing, the kernel says so and `log_domain` answers that
row in float64. Kernels are serial and release the GIL: many Python threads may call them at once, a forked child keeps
working, and results are bit-identical from run to run. Importing this module imports Numba; nobody does so before the
first call.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from structseq import compiling

compiling.find_cache()


_FAST = {"reassoc", "contract", "nsz", "arcp"}


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _onward(mass, factors, out):  # type: ignore[no-untyped-def]
    """out = mass @ factors, four source tags at a time: one pass over ``out`` for four of ``factors``."""
    tags = out.shape[0]
    for k in range(tags):
        out[k] = 0
    whole = tags - tags % 4
    for i in range(0, whole, 4):
        m0, m1, m2, m3 = mass[i], mass[i + 1], mass[i + 2], mass[i + 3]
        f0, f1, f2, f3 = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
        for k in range(tags):
            out[k] += (m0 * f0[k] + m1 * f1[k]) + (m2 * f2[k] + m3 * f3[k])
    for i in range(whole, tags):
        for k in range(tags):
            out[k] += mass[i] * factors[i, k]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _homeward(mass, factors, out):  # type: ignore[no-untyped-def]
    """out = factors @ mass, four target tags at a time."""
    tags = out.shape[0]
    zero = mass.dtype.type(0)
    whole = tags - tags % 4
    for i in range(0, whole, 4):
        f0, f1, f2, f3 = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
        s0, s1, s2, s3 = zero, zero, zero, zero
        for k in range(tags):
            m = mass[k]
            s0 += f0[k] * m
            s1 += f1[k] * m
            s2 += f2[k] * m
            s3 += f3[k] * m
        out[i], out[i + 1], out[i + 2], out[i + 3] = s0, s1, s2, s3
    for i in range(whole, tags):
        s0 = zero
        for k in range(tags):
            s0 += factors[i, k] * mass[k]
        out[i] = s0


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def forward_scaled(  # type: ignore[no-untyped-def]
    scores, weights, factors, first, last, reached, lengths, least, alphas, scales, log_z, alive
):
    """Scaled forward variables, and log Z without the shifts that the caller took out; in float32 or float64.

    weights (B,T,K): exp(scores - row maximum);  factors (K,K) [from,to], first (K,), last (K,): exp of transition,
    start, end, each shifted;  reached (R,K): whether any legal path leads to a tag at step t (the last row holds for
    all later steps). Writes alphas (B,T,K), each step summing to 1, scales (B,T+1), log_z (B,) float64 and alive (B,):
    False where a tag that can be reached has less than ``least`` of the mass, so that rounding to zero might take
    something away that matters later.
    """
    rows, _, tags = weights.shape
    for b in range(rows):
        length = lengths[b]
        log_z[b] = 0.0
        alive[b] = True
        for t in range(length):
            here = alphas[b, t]
            if t == 0:
                for k in range(tags):
                    here[k] = first[k]
            else:
                _onward(alphas[b, t - 1], factors, here)
            total = least * 0
            for k in range(tags):
                here[k] *= weights[b, t, k]
                total += here[k]
            inverse = 1 / total
            lowest = total
            for k in range(tags):
                here[k] *= inverse
                lowest = min(lowest, here[k])
            if not lowest >= least and _lost(here, scores[b, t], reached[min(t, reached.shape[0] - 1)], least):
                alive[b] = False
                break
            scales[b, t] = total
            log_z[b] += np.log(np.float64(total))
        if alive[b] and length > 0:
            total = least * 0
            for k in range(tags):
                total += alphas[b, length - 1, k] * last[k]
            alive[b] = total > least
            scales[b, length] = total
            log_z[b] += np.log(np.float64(total))


@njit(cache=True, nogil=True)
def _lost(mass, scores, reached, least):  # type: ignore[no-untyped-def]
    """Whether a tag that can be reached has too little mass (or a mass that is no number)."""
    for k in range(mass.shape[0]):  # noqa: SIM110 (a loop compiles, a generator does not)
        if reached[k] and scores[k] != -np.inf and not mass[k] >= least:
            return True
    return False


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def backward_scaled(  # type: ignore[no-untyped-def]
    weights, factors, last, lengths, most, alphas, scales, alive, marginals, arrivals
):
    """Posterior tag probabilities and what edge posteriors are made of, from `forward_scaled`.

    Writes marginals (B,T,K), and arrivals (B,T,K) = weight * beta / scale, so that the posterior of edge (i, k) into
    step t is alphas[t-1,i] * factors[i,k] * arrivals[t,k]. Rows that are not alive, and steps beyond a row's length,
    get 0; a row whose backward variables exceed ``most`` is taken out of ``alive``.
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
            highest = most * 0
            for k in range(tags):
                marginals[b, t, k] = alphas[b, t, k] * beta[k]
                arrival = beta[k] * inverse
                arrivals[b, t, k] = weights[b, t, k] * arrival
                highest = max(highest, max(arrival, beta[k]))
            if not highest < most:
                alive[b] = False
                marginals[b] = 0
                arrivals[b] = 0
                break
            if t > 0:
                _homeward(arrivals[b, t], factors, beta)


@njit(cache=True, nogil=True, error_model="numpy")
def log_domain(scores, transitions, start, end, lengths, log_z, marginals, edges):  # type: ignore[no-untyped-def]
    """Forward-backward in logarithms and float64, for the rows that the scaled recursion cannot hold.

    scores (B,T,K), transitions (K,K) [from,to], start and end (K,). Writes log_z (B,), marginals (B,T,K) and edges
    (B,K,K), the expected number of each transition. A row without a legal path has log_z -inf and zeros.
    """
    rows, steps, tags = scores.shape
    alpha = np.empty((steps, tags))
    beta = np.empty(tags)
    onward = np.empty(tags)
    for b in range(rows):
        length = lengths[b]
        marginals[b] = 0
        edges[b] = 0
        log_z[b] = 0
        if length == 0:
            continue
        for k in range(tags):
            alpha[0, k] = start[k] + scores[b, 0, k]
        for t in range(1, length):
            for k in range(tags):
                alpha[t, k] = scores[b, t, k] + _log_sum(alpha[t - 1], transitions[:, k])
        total = _log_sum(alpha[length - 1], end)
        log_z[b] = total
        if total == -np.inf:
            continue
        beta[:] = end
        for t in range(length - 1, -1, -1):
            for k in range(tags):
                marginals[b, t, k] = np.exp(alpha[t, k] + beta[k] - total)
                onward[k] = scores[b, t, k] + beta[k]
            if t > 0:
                for i in range(tags):
                    for k in range(tags):
                        edges[b, i, k] += np.exp(alpha[t - 1, i] + transitions[i, k] + onward[k] - total)
                    beta[i] = _log_sum(onward, transitions[i])


@njit(cache=True, nogil=True, error_model="numpy")
def _log_sum(left, right):  # type: ignore[no-untyped-def]
    """log sum exp(left + right); -inf where every term is."""
    top = -np.inf
    for k in range(left.shape[0]):
        top = max(top, left[k] + right[k])
    if top == -np.inf:
        return top
    total = 0.0
    for k in range(left.shape[0]):
        total += np.exp(left[k] + right[k] - top)
    return top + np.log(total)


@njit(cache=True, nogil=True)
def path_scores(scores, transitions, start, end, tags, lengths, out):  # type: ignore[no-untyped-def]
    """Scores of given paths, (B,) float64: scores (B,T,K), transitions (K,K), start and end (K,), tags (B,T)."""
    for b in range(scores.shape[0]):
        length = lengths[b]
        total = 0.0
        for t in range(length):
            total += scores[b, t, tags[b, t]]
            total += transitions[tags[b, t - 1], tags[b, t]] if t > 0 else start[tags[b, 0]]
        if length > 0:
            total += end[tags[b, length - 1]]
        out[b] = total


@njit(cache=True, nogil=True)
def path_scores_back(upstream, tags, lengths, for_scores, for_transitions, for_start, for_end):  # type: ignore[no-untyped-def]
    """Adds upstream (B,) wherever `path_scores` read."""
    for b in range(for_scores.shape[0]):
        length = lengths[b]
        for t in range(length):
            for_scores[b, t, tags[b, t]] += upstream[b]
            if t > 0:
                for_transitions[tags[b, t - 1], tags[b, t]] += upstream[b]
        if length > 0:
            for_start[tags[b, 0]] += upstream[b]
            for_end[tags[b, length - 1]] += upstream[b]


@njit(cache=True, nogil=True)
def viterbi(scores, transitions, start, end, lengths, paths, best):  # type: ignore[no-untyped-def]
    """Best path of each row, ties to the lowest tag; scores run relative to each step's maximum so that length costs
    no digits.

    scores (B,T,K), transitions (K,K) [from,to], start (K,), end (K,). Writes paths (B,T) int64 (0 beyond the length)
    and best (B,) float64. Forbidden moves are -inf.
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


@njit(cache=True, nogil=True, error_model="numpy")
def span_probabilities(  # type: ignore[no-untyped-def]
    alphas,
    arrivals,
    weights,
    scales,
    factors,
    last,
    lengths,
    rows,
    starts,
    ends,
    kinds,
    first,
    begins,
    continues,
    closes,
    final,
    out,
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
