"""The chain's recursions by torch operations, for GPUs or without Numba; shapes as in `kernels`, with W = K."""

from __future__ import annotations

import torch
from torch import Tensor

from structseq.structures.base import Ranked, real_steps


def transitions_at(table: Tensor, step: int) -> Tensor:
    """(1|B, K, K) transitions into ``step`` + 1 from a table (1|B, 1|T-1, K, K)."""
    return table[:, step if table.shape[1] > 1 else 0]


def forward_scaled(
    weights: Tensor, factors: Tensor, start_factors: Tensor, end_factors: Tensor, reached: Tensor, lengths: Tensor,
    least: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Alphas (B,T,K), scales (B,T+1), log Z (B,) float64 less the shifts, and alive (B,)."""
    rows, steps, _ = weights.shape
    lengths, real = lengths.to(weights.device), real_steps(weights, lengths)
    alphas: list[Tensor] = []
    totals: list[Tensor] = []
    here = start_factors.expand(rows, -1)
    for t in range(steps):
        if t > 0:
            here = (alphas[-1].unsqueeze(1) @ transitions_at(factors, t - 1)).squeeze(1)
        here = here * weights[:, t]
        total = here.sum(1, keepdim=True)
        here = here / total
        alphas.append(here)
        totals.append(total)
    all_alphas = torch.stack(alphas, 1)
    scales = torch.cat([*totals, torch.ones_like(totals[0])], 1)
    lost = (~(all_alphas >= least) & reached).any(2) | ~(scales[:, :steps] > 0)
    final = all_alphas[torch.arange(rows, device=weights.device), (lengths - 1).clamp(min=0)]
    closing = (final * end_factors).sum(1)
    # An empty row has scale 1.
    closing = torch.where(lengths > 0, closing, torch.ones_like(closing))
    alive = ~(lost & real).any(1) & (closing > least)
    scales = torch.where(torch.cat([real, real[:, :1] & False], 1), scales, torch.ones_like(scales))
    scales = scales.scatter(1, lengths.unsqueeze(1), closing.unsqueeze(1))
    kept = (real & alive.unsqueeze(1)).unsqueeze(2)
    return torch.where(kept, all_alphas, 0.0), scales, scales.double().log().sum(1), alive


def backward_scaled(
    weights: Tensor, factors: Tensor, end_factors: Tensor, lengths: Tensor, most: float, alphas: Tensor,
    scales: Tensor, alive: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Marginals (B,T,K), arrivals (B,T,K) and alive (B,)."""
    rows, steps, tags = weights.shape
    lengths = lengths.to(weights.device)
    beta = weights.new_zeros(rows, tags)
    closed = end_factors / scales.gather(1, lengths.unsqueeze(1))
    marginals, arrivals = [], [weights.new_zeros(rows, tags)]
    highest = weights.new_zeros(rows)
    for t in range(steps - 1, -1, -1):
        inside = torch.gt(lengths, t).unsqueeze(1)
        beta = torch.where(torch.eq(lengths, t + 1).unsqueeze(1), closed, beta)
        marginals.append(alphas[:, t] * beta)
        arrival = beta / scales[:, t : t + 1]
        highest = torch.maximum(highest, torch.where(inside, torch.maximum(arrival, beta), 0.0).amax(1))
        if t > 0:
            arrivals.append(torch.where(inside, weights[:, t] * arrival, 0.0))
            beta = (transitions_at(factors, t - 1) @ arrivals[-1].unsqueeze(2)).squeeze(2)
    alive = alive & (highest < most)
    kept = (real_steps(weights, lengths) & alive.unsqueeze(1)).unsqueeze(2)
    all_marginals = torch.stack(marginals[::-1], 1)
    all_arrivals = torch.stack(arrivals[::-1], 1)
    return torch.where(kept, all_marginals, 0.0), torch.where(kept, all_arrivals, 0.0), alive


def reach(scores: Tensor, transitions: Tensor, start: Tensor) -> Tensor:
    """(1|B, T, K) booleans: tags that a possible path reaches."""
    if not any(bool(torch.isneginf(part).any()) for part in (scores, transitions, start)):
        return torch.ones(1, 1, scores.shape[2], dtype=torch.bool, device=scores.device)
    legal, possible = (~torch.isneginf(transitions)).to(torch.float32), ~torch.isneginf(scores)
    here = ~torch.isneginf(start) & possible[:, 0]
    found = [here]
    for t in range(1, scores.shape[1]):
        arriving = (here.to(torch.float32).unsqueeze(1) @ transitions_at(legal, t - 1)).squeeze(1) > 0
        here = arriving & possible[:, t]
        found.append(here)
    return torch.stack(found, 1)


def viterbi(scores: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor) -> Ranked:
    """Best path of each row, ties to the lowest tag."""
    rows, steps, _ = scores.shape
    lengths = lengths.to(scores.device)
    here = start + scores[:, 0]
    # Scores are relative to each step's maximum; the maxima are summed in float64.
    offset = torch.zeros(rows, dtype=torch.float64, device=scores.device)
    back = []
    for t in range(1, steps):
        inside = t < lengths
        top = here.amax(1)
        top = torch.where(torch.isneginf(top), torch.zeros_like(top), top)
        gained, source = ((here - top.unsqueeze(1)).unsqueeze(2) + transitions_at(transitions, t - 1)).max(1)
        back.append(source)
        here = torch.where(inside.unsqueeze(1), gained + scores[:, t], here)
        offset = offset + torch.where(inside, top, torch.zeros_like(top))
    best, tag = (here + end).max(1)
    paths = [torch.where(lengths == steps, tag, 0)]
    for t in range(steps - 2, -1, -1):
        # Padding gets 0; back-pointers start at each row's last tag.
        previous = back[t].gather(1, paths[-1].unsqueeze(1)).squeeze(1)
        paths.append(torch.where(lengths - 1 == t, tag, torch.where(lengths - 1 > t, previous, 0)))
    total = torch.where(lengths > 0, offset + best, 0.0)
    return Ranked(torch.stack(paths[::-1], 1), total.to(scores.dtype))
