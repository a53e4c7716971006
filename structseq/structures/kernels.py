"""Kernels of the chain, compiled by Numba: scaled forward-backward (Rabiner 1989, section V.A), Viterbi, k best, spans.

Rows whose numbers come near the limits of their type become not alive; the caller repeats them at higher precision.
Kernels are serial and deterministic, and release the GIL.

**W** is K rounded up to whole vector registers, padded with factor 0. Transitions are (R, S, K, K) [from, to], R is 1
or B, S is 1 or T-1. Start and end scores are (Q, K), Q is 1 or B.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from structseq import compiling

compiling.set_cache_folder()

_FAST = {"reassoc", "contract", "nsz", "arcp"}


@njit(cache=True, nogil=True, error_model="numpy")
def subtract_maxima(scores, transitions, start, end, lengths, exponents, shift):  # type: ignore[no-untyped-def]
    """Writes scores, transitions, start and end, less their maxima, to exponents (see `views`), with -inf as padding,
    and the sum of the maxima to shift (B,) float64. Returns how many unpadded scores are -inf."""
    rows, steps, tags = scores.shape
    weights, factors, start_factors, end_factors = views(exponents, rows, steps, tags, transitions, start, end)
    width = weights.shape[2]
    zero = scores.dtype.type(0)
    transition_tops = np.empty(transitions.shape[:2], scores.dtype)
    for r in range(transitions.shape[0]):
        for s in range(transitions.shape[1]):
            top = -np.inf + zero
            for i in range(tags):
                top = max(top, _highest(transitions[r, s, i]))
            transition_tops[r, s] = top if np.isfinite(top) else zero
            factors[r, s] = -np.inf
            for i in range(tags):
                for k in range(tags):
                    factors[r, s, i, k] = transitions[r, s, i, k] - transition_tops[r, s]
    start_tops = _shift_edges(start, start_factors)
    end_tops = _shift_edges(end, end_factors)
    forbidden = 0
    for b in range(rows):
        length = lengths[b]
        row_shift = 0.0
        if length > 0:
            start_top, end_top = start_tops[b if len(start_tops) > 1 else 0], end_tops[b if len(end_tops) > 1 else 0]
            row_shift += np.float64(start_top) + np.float64(end_top)
        for t in range(length):
            top = _highest(scores[b, t])
            if not np.isfinite(top):
                top = zero
            row_shift += top
            if t > 0:
                r, s = b if transitions.shape[0] > 1 else 0, t - 1 if transitions.shape[1] > 1 else 0
                row_shift += transition_tops[r, s]
            for k in range(tags):
                weights[b, t, k] = scores[b, t, k] - top
            for k in range(tags):
                forbidden += weights[b, t, k] == -np.inf
            for k in range(tags, width):
                weights[b, t, k] = -np.inf
        shift[b] = row_shift
        weights[b, length:] = -np.inf
    return forbidden


@njit(cache=True, nogil=True)
def views(exponents, rows, steps, tags, transitions, start, end):  # type: ignore[no-untyped-def]
    """Views of one array: weights (B,T,W), factors (R,S,W,W), start_factors and end_factors (Q,W)."""
    width = -(-tags // 16) * 16
    a = rows * steps * width
    b = a + transitions.shape[0] * transitions.shape[1] * width * width
    c = b + len(start) * width
    weights = exponents[:a].reshape((rows, steps, width))
    factors = exponents[a:b].reshape((transitions.shape[0], transitions.shape[1], width, width))
    start_factors = exponents[b:c].reshape((len(start), width))
    return weights, factors, start_factors, exponents[c:].reshape((len(end), width))


@njit(cache=True, nogil=True, error_model="numpy")
def forward_backward(  # type: ignore[no-untyped-def]
    scores, transitions, start, end, lengths, forbidden, exponents, least, most, alphas, arrivals, scales, marginals,
    log_z, alive,
):  # fmt: skip
    """`forward_scaled` and `backward_scaled` after `subtract_maxima` and exp; log_z contains the shift."""
    rows, steps, tags = scores.shape
    weights, factors, start_factors, end_factors = views(exponents, rows, steps, tags, transitions, start, end)
    width = weights.shape[2]
    if forbidden > 0 or transitions.shape[0] * transitions.shape[1] != 1 or len(start) > 1:
        reached = np.empty((rows, steps, tags), np.bool_)
        reach(scores, transitions, start, lengths, reached)
    else:
        shared = np.empty((min(steps, 2 * tags + 2), tags), np.bool_)
        count = reach_all(transitions[0, 0], start[0], shared)
        reached = shared[:count].copy().reshape((1, count, tags))
    forward_scaled(
        weights, factors, start_factors, end_factors, tags, reached, lengths, least, alphas, scales, log_z, alive
    )
    transposed = np.empty_like(factors)
    for r in range(factors.shape[0]):
        for s in range(factors.shape[1]):
            for i in range(width):
                for k in range(width):
                    transposed[r, s, i, k] = factors[r, s, k, i]
    betas = np.empty((rows, width), weights.dtype)
    backward_scaled(weights, transposed, end_factors, lengths, most, alphas, scales, alive, betas, marginals, arrivals)


@njit(cache=True, nogil=True, error_model="numpy")
def _shift_edges(values, out):  # type: ignore[no-untyped-def]
    """Writes values (Q,K) less each row's maximum to out (Q,W); returns the maxima."""
    tops = np.empty(len(values), values.dtype)
    for q in range(len(values)):
        top = _highest(values[q])
        tops[q] = top if np.isfinite(top) else values.dtype.type(0)
        out[q] = -np.inf
        for k in range(values.shape[1]):
            out[q, k] = values[q, k] - tops[q]
    return tops


@njit(cache=True, nogil=True, inline="always")
def _highest(values):  # type: ignore[no-untyped-def]
    """The maximum, by four independent chains that run in parallel."""
    whole = values.shape[0] - values.shape[0] % 4
    a = b = c = d = values[0]
    for k in range(0, whole, 4):
        a = values[k] if values[k] > a else a
        b = values[k + 1] if values[k + 1] > b else b
        c = values[k + 2] if values[k + 2] > c else c
        d = values[k + 3] if values[k + 3] > d else d
    for k in range(whole, values.shape[0]):
        a = values[k] if values[k] > a else a
    a = b if b > a else a
    c = d if d > c else c
    return c if c > a else a


@njit(cache=True, nogil=True)
def reach(scores, transitions, start, lengths, reached):  # type: ignore[no-untyped-def]
    """Writes reached (B,T,K): tags that a possible path reaches."""
    rows, _, tags = scores.shape
    for b in range(rows):
        reached[b] = False
        for t in range(lengths[b]):
            here = reached[b, t]
            if t == 0:
                for k in range(tags):
                    here[k] = start[b if start.shape[0] > 1 else 0, k] != -np.inf
            else:
                r, s = b if transitions.shape[0] > 1 else 0, t - 1 if transitions.shape[1] > 1 else 0
                matrix = transitions[r, s]
                for i in range(tags):
                    if reached[b, t - 1, i]:
                        for k in range(tags):
                            here[k] |= matrix[i, k] != -np.inf
            for k in range(tags):
                here[k] &= scores[b, t, k] != -np.inf


@njit(cache=True, nogil=True)
def reach_all(transitions, start, reached):  # type: ignore[no-untyped-def]
    """Writes reached (N,K): tags that a possible path reaches at each step if no score is -inf.

    Returns the number of steps written; the last holds for all later steps (as a union if they alternate).
    """
    most, tags = reached.shape
    for k in range(tags):
        reached[0, k] = start[k] != -np.inf
    for t in range(1, most):
        same = True
        for k in range(tags):
            reached[t, k] = False
        for i in range(tags):
            if reached[t - 1, i]:
                for k in range(tags):
                    reached[t, k] |= transitions[i, k] != -np.inf
        for k in range(tags):
            same &= reached[t, k] == reached[t - 1, k]
        if same:
            return t + 1
    for k in range(tags):
        for t in range(most):
            reached[most - 1, k] |= reached[t, k]
    return most


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _vector_matrix(mass, factors, out):  # type: ignore[no-untyped-def]
    """out (W,) = mass (W,) @ factors (W,W)."""
    for k in range(out.shape[0]):
        out[k] = 0
    for i in range(0, factors.shape[0], 8):
        _add_eight(mass, factors, i, out)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _add_eight(mass, factors, i, out):  # type: ignore[no-untyped-def]
    m0, m1, m2, m3 = mass[i], mass[i + 1], mass[i + 2], mass[i + 3]
    m4, m5, m6, m7 = mass[i + 4], mass[i + 5], mass[i + 6], mass[i + 7]
    f0, f1, f2, f3 = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
    f4, f5, f6, f7 = factors[i + 4], factors[i + 5], factors[i + 6], factors[i + 7]
    for k in range(out.shape[0]):
        near = (m0 * f0[k] + m1 * f1[k]) + (m2 * f2[k] + m3 * f3[k])
        out[k] += near + ((m4 * f4[k] + m5 * f5[k]) + (m6 * f6[k] + m7 * f7[k]))


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", no_cpython_wrapper=True)
def forward_scaled(  # type: ignore[no-untyped-def]
    weights, factors, start_factors, end_factors, tags, reached, lengths, least, alphas, scales, log_z, alive
):
    """Writes alphas (B,T,W), with sum 1 at each step and 0 in the padding, scales (B,T+1) and alive (B,), and adds to
    log_z.

    Takes the arrays of `views` after exp, and reached (1|B,N,K). A row is not alive if a reachable tag has less than
    ``least`` of the mass, because it could be rounded to zero.
    """
    rows, _, width = weights.shape
    products = np.ones(rows)
    longest = 0
    for b in range(rows):
        alive[b] = True
        longest = max(longest, lengths[b])
        alphas[b, lengths[b] :] = 0
    for t in range(longest):
        if t == 0:
            for b in range(rows):
                for k in range(width):
                    alphas[b, 0, k] = start_factors[b if start_factors.shape[0] > 1 else 0, k]
        elif factors.shape[0] == 1:
            _rows_matrix(alphas, t - 1, factors[0, t - 1 if factors.shape[1] > 1 else 0], t, lengths, alive)
        else:
            for b in range(rows):
                if alive[b] and t < lengths[b]:
                    _vector_matrix(alphas[b, t - 1], factors[b, t - 1 if factors.shape[1] > 1 else 0], alphas[b, t])
        for b in range(rows):
            if not alive[b] or t >= lengths[b]:
                continue
            here = alphas[b, t]
            total = least * 0
            for k in range(width):
                here[k] *= weights[b, t, k]
                total += here[k]
            inverse = 1 / total
            too_small = tags - width
            for k in range(width):
                here[k] *= inverse
                too_small += not here[k] >= least  # always true of the width - tags padding elements
            if too_small != 0:
                reachable = reached[b if reached.shape[0] > 1 else 0, min(t, reached.shape[1] - 1)]
                for k in range(tags):
                    if reachable[k] and not here[k] >= least:
                        alive[b] = False
            if not total > 0:
                alive[b] = False
            scales[b, t] = total
            # One logarithm for many steps, if their product fits float64.
            if 1e-100 < total < 1e100:
                products[b] *= total
            else:
                log_z[b] += np.log(np.float64(total))
            if not 1e-100 < products[b] < 1e100:
                log_z[b] += np.log(products[b])
                products[b] = 1.0
    for b in range(rows):
        length = lengths[b]
        if alive[b] and length > 0:
            total = least * 0
            final = end_factors[b if end_factors.shape[0] > 1 else 0]
            for k in range(width):
                total += alphas[b, length - 1, k] * final[k]
            alive[b] = total > least
            scales[b, length] = total
            log_z[b] += np.log(products[b]) + np.log(np.float64(total))
        if not alive[b]:
            alphas[b] = 0


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _rows_matrix(alphas, source, factors, t, lengths, alive):  # type: ignore[no-untyped-def]
    """alphas[:, t] = alphas[:, before] @ factors."""
    for b in range(alphas.shape[0]):
        if alive[b] and t < lengths[b]:
            for k in range(alphas.shape[2]):
                alphas[b, t, k] = 0
    for i in range(0, factors.shape[0], 8):
        for b in range(alphas.shape[0]):
            if alive[b] and t < lengths[b]:
                _add_eight(alphas[b, source], factors, i, alphas[b, t])


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", no_cpython_wrapper=True)
def backward_scaled(  # type: ignore[no-untyped-def]
    weights, transposed, end_factors, lengths, most, alphas, scales, alive, betas, marginals, arrivals
):
    """Writes marginals (B,T,K) and arrivals (B,T,W) from the results of `forward_scaled`.

    transposed are the factors [to,from]; betas (B,W) is work space. The posterior of transition (i, k) out of step t is
    alphas[t,i] * factors[i,k] * arrivals[t,k]. A row becomes not alive, with zeros, if a backward variable exceeds
    ``most``.
    """
    rows, _, width = weights.shape
    tags = marginals.shape[2]
    longest = 0
    for b in range(rows):
        length = lengths[b] if alive[b] else 0
        longest = max(longest, length)
        marginals[b, length:] = 0
        arrivals[b, max(length - 1, 0) :] = 0
    for t in range(longest - 1, -1, -1):
        for b in range(rows):
            if not alive[b] or t >= lengths[b]:
                continue
            beta = betas[b]
            if t == lengths[b] - 1:
                inverse = 1 / scales[b, t + 1]
                for k in range(width):
                    beta[k] = end_factors[b if end_factors.shape[0] > 1 else 0, k] * inverse
            for k in range(tags):
                marginals[b, t, k] = alphas[b, t, k] * beta[k]
            inverse = 1 / scales[b, t]
            too_much = 0
            if t > 0:
                previous = arrivals[b, t - 1]
                for k in range(width):
                    arrival = beta[k] * inverse
                    previous[k] = weights[b, t, k] * arrival
                    too_much += not arrival < most
            for k in range(width):
                too_much += not beta[k] < most
            if too_much:
                alive[b] = False
                alphas[b] = 0
                marginals[b] = 0
                arrivals[b] = 0
        if t == 0:
            break
        if transposed.shape[0] == 1:
            table = transposed[0, t - 1 if transposed.shape[1] > 1 else 0]
            for b in range(rows):
                if alive[b] and t < lengths[b]:
                    for k in range(width):
                        betas[b, k] = 0
            for i in range(0, width, 8):
                for b in range(rows):
                    if alive[b] and t < lengths[b]:
                        _add_eight(arrivals[b, t - 1], table, i, betas[b])
        else:
            for b in range(rows):
                if alive[b] and t < lengths[b]:
                    _vector_matrix(arrivals[b, t - 1], transposed[b, t - 1 if transposed.shape[1] > 1 else 0], betas[b])


@njit(cache=True, nogil=True, error_model="numpy")
def log_domain(scores, transitions, start, end, lengths, log_z, marginals, edges):  # type: ignore[no-untyped-def]
    """Forward-backward in the log domain: writes log_z (B,), marginals (B,T,K) and edges (B,S,K,K), the expected
    transition counts. A row without possible paths gets -inf and zeros."""
    rows, steps, tags = scores.shape
    alpha = np.empty((steps, tags))
    beta = np.empty(tags)
    score_and_beta = np.empty(tags)
    for b in range(rows):
        length = lengths[b]
        marginals[b] = 0
        edges[b] = 0
        log_z[b] = 0
        if length == 0:
            continue
        table = transitions[b if transitions.shape[0] > 1 else 0]
        for k in range(tags):
            alpha[0, k] = start[b if start.shape[0] > 1 else 0, k] + scores[b, 0, k]
        for t in range(1, length):
            matrix = table[t - 1 if transitions.shape[1] > 1 else 0]
            for k in range(tags):
                alpha[t, k] = scores[b, t, k] + _log_sum(alpha[t - 1], matrix[:, k])
        beta[:] = end[b if end.shape[0] > 1 else 0]
        total = _log_sum(alpha[length - 1], beta)
        log_z[b] = total
        if total == -np.inf:
            continue
        for t in range(length - 1, -1, -1):
            for k in range(tags):
                marginals[b, t, k] = np.exp(alpha[t, k] + beta[k] - total)
                score_and_beta[k] = scores[b, t, k] + beta[k]
            if t > 0:
                s = t - 1 if transitions.shape[1] > 1 else 0
                for i in range(tags):
                    for k in range(tags):
                        edges[b, s, i, k] += np.exp(alpha[t - 1, i] + table[s, i, k] + score_and_beta[k] - total)
                    beta[i] = _log_sum(score_and_beta, table[s, i])


@njit(cache=True, nogil=True, error_model="numpy")
def _log_sum(left, right):  # type: ignore[no-untyped-def]
    """log sum exp(left + right); NaN if a term is NaN."""
    top = -np.inf
    for k in range(left.shape[0]):
        term = left[k] + right[k]
        if np.isnan(term):
            return np.nan
        top = max(top, term)
    if top == -np.inf:
        return top
    total = 0.0
    for k in range(left.shape[0]):
        total += np.exp(left[k] + right[k] - top)
    return top + np.log(total)


@njit(cache=True, nogil=True)
def path_scores(scores, transitions, start, end, tags, lengths, out):  # type: ignore[no-untyped-def]
    """Writes scores of paths tags (B,T) to out (B,) float64; returns the first row with a tag out of range, or B."""
    rows, _, count = scores.shape
    for b in range(rows):
        length = lengths[b]
        for t in range(length):
            if tags[b, t] < 0 or tags[b, t] >= count:
                return b
        total = 0.0
        table = transitions[b if transitions.shape[0] > 1 else 0]
        for t in range(length):
            total += scores[b, t, tags[b, t]]
            if t > 0:
                total += table[t - 1 if transitions.shape[1] > 1 else 0, tags[b, t - 1], tags[b, t]]
        if length > 0:
            total += start[b if start.shape[0] > 1 else 0, tags[b, 0]]
            total += end[b if end.shape[0] > 1 else 0, tags[b, length - 1]]
        out[b] = total
    return rows


@njit(cache=True, nogil=True)
def path_scores_back(upstream, tags, lengths, for_scores, for_transitions, for_start, for_end):  # type: ignore[no-untyped-def]
    """Adds upstream (B,) to the gradients of the weights that the paths use."""
    for b in range(for_scores.shape[0]):
        length = lengths[b]
        table = for_transitions[b if for_transitions.shape[0] > 1 else 0]
        for t in range(length):
            for_scores[b, t, tags[b, t]] += upstream[b]
            if t > 0:
                table[t - 1 if for_transitions.shape[1] > 1 else 0, tags[b, t - 1], tags[b, t]] += upstream[b]
        if length > 0:
            for_start[b if for_start.shape[0] > 1 else 0, tags[b, 0]] += upstream[b]
            for_end[b if for_end.shape[0] > 1 else 0, tags[b, length - 1]] += upstream[b]


@njit(cache=True, nogil=True)
def expected_back(upstream, marginals, lengths, for_scores, for_start, for_end):  # type: ignore[no-untyped-def]
    """Writes upstream (B,) * marginals (B,T,K) to for_scores; adds first and last steps to for_start and for_end."""
    rows, steps, tags = marginals.shape
    for b in range(rows):
        for t in range(steps):
            for k in range(tags):
                for_scores[b, t, k] = marginals[b, t, k] * upstream[b]
        if lengths[b] > 0:
            for k in range(tags):
                for_start[b if for_start.shape[0] > 1 else 0, k] += for_scores[b, 0, k]
                for_end[b if for_end.shape[0] > 1 else 0, k] += for_scores[b, lengths[b] - 1, k]


@njit(cache=True, nogil=True, fastmath=_FAST)
def expected_transitions(upstream, alphas, arrivals, factors, lengths, out):  # type: ignore[no-untyped-def]
    """Writes expected transition counts, weighted by upstream (B,), to out (K,K); factors are (W,W)."""
    width, tags = factors.shape[0], out.shape[0]
    total = np.zeros((tags, width), factors.dtype)
    for b in range(alphas.shape[0]):
        for t in range(lengths[b] - 1):
            arrival = arrivals[b, t]
            for i in range(tags):
                mass = alphas[b, t, i] * upstream[b]
                for k in range(width):
                    total[i, k] += mass * arrival[k]
    for i in range(tags):
        for k in range(tags):
            out[i, k] = total[i, k] * factors[i, k]


@njit(cache=True, nogil=True, fastmath=_FAST)
def likelihood_back(  # type: ignore[no-untyped-def]
    marginals, alphas, arrivals, factors, few, tags, lengths, for_scores, for_transitions, for_start, for_end
):
    """Gradients of log p of paths: used minus expected weights; expected transitions only if ``few``."""
    ones = np.ones(len(tags), marginals.dtype)
    expected_back(-ones, marginals, lengths, for_scores, for_start, for_end)
    if few:
        expected_transitions(-ones, alphas, arrivals, factors[0, 0], lengths, for_transitions[0, 0])
    path_scores_back(ones, tags, lengths, for_scores, for_transitions, for_start, for_end)


@njit(cache=True, nogil=True, inline="always")
def _max_of_eight(gained, transitions, i, out):  # type: ignore[no-untyped-def]
    """out = max(out, gained[i:i+8] + transitions[i:i+8])."""
    g0, g1, g2, g3 = gained[i], gained[i + 1], gained[i + 2], gained[i + 3]
    g4, g5, g6, g7 = gained[i + 4], gained[i + 5], gained[i + 6], gained[i + 7]
    f0, f1, f2, f3 = transitions[i], transitions[i + 1], transitions[i + 2], transitions[i + 3]
    f4, f5, f6, f7 = transitions[i + 4], transitions[i + 5], transitions[i + 6], transitions[i + 7]
    for k in range(out.shape[0]):
        v0, v1, v2, v3 = g0 + f0[k], g1 + f1[k], g2 + f2[k], g3 + f3[k]
        v4, v5, v6, v7 = g4 + f4[k], g5 + f5[k], g6 + f6[k], g7 + f7[k]
        a = v1 if v1 > v0 else v0
        b = v3 if v3 > v2 else v2
        c = v5 if v5 > v4 else v4
        d = v7 if v7 > v6 else v6
        a = b if b > a else a
        c = d if d > c else c
        a = c if c > a else a
        out[k] = a if a > out[k] else out[k]


@njit(cache=True, nogil=True, inline="always")
def _first_index(values, top):  # type: ignore[no-untyped-def]
    """The lowest index of ``top``, without a branch; 0 if absent."""
    nowhere = values.shape[0]
    place = nowhere
    for k in range(nowhere):
        place = min(place, k if values[k] == top else nowhere)
    return place if place < nowhere else 0


@njit(cache=True, nogil=True)
def viterbi(scores, transitions, start, end, lengths, paths, best):  # type: ignore[no-untyped-def]
    """Writes each row's best path to paths (B,T), 0 in the padding, and its score to best (B,); ties go to the lowest
    tag.

    Scores are relative to each step's maximum. Back-pointers are recomputed along the best path.
    """
    rows, steps, tags = scores.shape
    width = -(-tags // 16) * 16
    per_row, per_step = transitions.shape[0] > 1, transitions.shape[1] > 1
    padded = np.full((transitions.shape[0], transitions.shape[1], width, width), -np.inf, scores.dtype)
    transposed = np.full((transitions.shape[0], transitions.shape[1], tags, width), -np.inf, scores.dtype)
    for r in range(transitions.shape[0]):
        for s in range(transitions.shape[1]):
            for i in range(tags):
                for k in range(tags):
                    padded[r, s, i, k] = transitions[r, s, i, k]
                    transposed[r, s, k, i] = transitions[r, s, i, k]
    here = np.full((rows, width), -np.inf, scores.dtype)
    gained = np.empty((rows, steps, width), scores.dtype)
    longest = 0
    for b in range(rows):
        longest = max(longest, lengths[b])
        paths[b, lengths[b] :] = 0
        best[b] = 0.0
        for k in range(tags):
            here[b, k] = start[b if start.shape[0] > 1 else 0, k]
    for t in range(longest):
        if t > 0:
            for b in range(rows):
                if t < lengths[b]:
                    best[b] += _shift_by_maximum(here[b], gained[b, t - 1])
            for i in range(0, width, 8):
                for b in range(rows):
                    if t < lengths[b]:
                        matrix = padded[b if per_row else 0, t - 1 if per_step else 0]
                        _max_of_eight(gained[b, t - 1], matrix, i, here[b])
        for b in range(rows):
            if t < lengths[b]:
                row = here[b]
                for k in range(tags):
                    row[k] += scores[b, t, k]
    value = np.full(width, -np.inf, scores.dtype)
    for b in range(rows):
        length = lengths[b]
        if length == 0:
            continue
        for k in range(tags):
            value[k] = here[b, k] + end[b if end.shape[0] > 1 else 0, k]
        top = _highest(value)
        best[b] += top
        tag = _first_index(value, top)
        paths[b, length - 1] = tag
        for t in range(length - 2, -1, -1):
            into = transposed[b if per_row else 0, t if per_step else 0, tag]
            before = gained[b, t]
            for k in range(width):
                value[k] = before[k] + into[k]
            tag = _first_index(value, _highest(value))
            paths[b, t] = tag


@njit(cache=True, nogil=True, inline="always")
def _shift_by_maximum(here, gained):  # type: ignore[no-untyped-def]
    """Writes here less its maximum to gained and resets here to -inf; returns the maximum."""
    top = _highest(here)
    if top == -np.inf:
        top = here.dtype.type(0)
    for k in range(here.shape[0]):
        gained[k] = here[k] - top
        here[k] = -np.inf
    return top


@njit(cache=True, nogil=True)
def ranked(scores, transitions, start, end, lengths, paths, found):  # type: ignore[no-untyped-def]
    """Writes the k best paths of each row to paths (B,k,T) and their scores to found (B,k), 0 and -inf if there are
    fewer (Huang and Chiang 2005, algorithm 1). Ties go to the lowest tag from the end."""
    rows, steps, tags = scores.shape
    k = found.shape[1]
    kept = np.empty((steps, tags, k))
    back = np.empty((steps, tags, k), np.int64)  # source tag * k + its rank
    for b in range(rows):
        length = lengths[b]
        paths[b] = 0
        found[b] = -np.inf
        if length == 0:
            found[b, 0] = 0.0
            continue
        for x in range(tags):
            kept[0, x] = -np.inf
            kept[0, x, 0] = start[b if start.shape[0] > 1 else 0, x] + scores[b, 0, x]
        for t in range(1, length):
            r, s = b if transitions.shape[0] > 1 else 0, t - 1 if transitions.shape[1] > 1 else 0
            matrix = transitions[r, s]
            for x in range(tags):
                kept[t, x] = -np.inf
                for i in range(tags):
                    gained = matrix[i, x] + scores[b, t, x]
                    for r in range(k):
                        if not _insert(kept[t, x], back[t, x], kept[t - 1, i, r] + gained, i * k + r):
                            break
        ends = np.empty(k, np.int64)
        for i in range(tags):
            for r in range(k):
                total = kept[length - 1, i, r] + end[b if end.shape[0] > 1 else 0, i]
                if not _insert(found[b], ends, total, i * k + r):
                    break
        for r in range(k):
            if found[b, r] == -np.inf:
                break
            place = ends[r]
            for t in range(length - 1, -1, -1):
                paths[b, r, t] = place // k
                place = back[t, place // k, place % k] if t > 0 else 0


@njit(cache=True, nogil=True, inline="always")
def _insert(scores, places, score, place):  # type: ignore[no-untyped-def]
    """Inserts a score into a descending list, after equal scores; False if it is too low."""
    k = scores.shape[0]
    if not score > scores[k - 1]:
        return False
    at = k - 1
    while at > 0 and score > scores[at - 1]:
        scores[at] = scores[at - 1]
        places[at] = places[at - 1]
        at -= 1
    scores[at] = score
    places[at] = place
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def span_probabilities(  # type: ignore[no-untyped-def]
    alphas, arrivals, weights, scales, factors, end_factors, lengths, rows, starts, ends, kinds, start, opens,
    continues, closes, end, out,
):  # fmt: skip
    """Writes the probability of each span to out (S,). ``kinds`` index the stacked fields of `EdgePattern`: start and
    end (N,K), opens, continues and closes (N,K,K)."""
    tags = start.shape[1]
    here = np.empty(tags, np.float64)
    there = np.empty(tags, np.float64)
    for s in range(rows.shape[0]):
        b, i, j, x = rows[s], starts[s], ends[s], kinds[s]
        table = factors[b if factors.shape[0] > 1 else 0]
        for k in range(tags):
            here[k] = 0.0
            if i == 0 and start[x, k]:
                here[k] = alphas[b, 0, k]
        if i > 0:
            matrix = table[i - 1 if factors.shape[1] > 1 else 0]
            for p in range(tags):
                for k in range(tags):
                    if opens[x, p, k]:
                        here[k] += alphas[b, i - 1, p] * matrix[p, k]
            for k in range(tags):
                here[k] *= weights[b, i, k] / scales[b, i]
        for t in range(i + 1, j):
            matrix = table[t - 1 if factors.shape[1] > 1 else 0]
            for k in range(tags):
                there[k] = 0.0
            for p in range(tags):
                if here[p] != 0:
                    for k in range(tags):
                        if continues[x, p, k]:
                            there[k] += here[p] * matrix[p, k]
            for k in range(tags):
                here[k] = there[k] * weights[b, t, k] / scales[b, t]
        total = 0.0
        for k in range(tags):
            if here[k] != 0:
                if j == lengths[b]:
                    if end[x, k]:
                        total += here[k] * end_factors[b if end_factors.shape[0] > 1 else 0, k] / scales[b, j]
                else:
                    matrix = table[j - 1 if factors.shape[1] > 1 else 0]
                    for n in range(tags):
                        if closes[x, k, n]:
                            total += here[k] * matrix[k, n] * arrivals[b, j - 1, n]
        out[s] = total
