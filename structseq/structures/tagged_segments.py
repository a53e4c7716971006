"""TaggedSegments: `SemiMarkov` as a distribution over tag sequences, for taggers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from structseq.structures.base import Distribution, Ranked, real_steps
from structseq.structures.chain import EdgePattern
from structseq.structures.segments import SemiMarkov

# Columns of `TagPatterns.tags`: the tags of a segment's only, first, inner and last token
SINGLE, FIRST, INNER, LAST = range(4)


class TagPatterns(NamedTuple):
    """How segments become tags. Each of V forms is one way to write segments of a type with K tags.

    -1 stands for a missing tag or form.
    """

    tags: Tensor  # (V, 4) numbers of tags
    types: Tensor  # (V,) numbers of types
    start: Tensor  # (V,) booleans: forms that may begin a sequence
    transitions: Tensor  # (V, V) [from, to] booleans: forms that may follow each other
    end: Tensor  # (V,) booleans: forms that may end a sequence
    single: Tensor  # (K,) the form of a segment of one token with this tag
    longer: Tensor  # (K, K) the form of a longer segment with this first and this last tag
    joins: Tensor  # (K, K) booleans: the second tag continues the segment of the first

    def to(self, device: torch.device) -> TagPatterns:
        return TagPatterns(*(part.to(device) for part in self))

    def possible(self, longest: int) -> Tensor:
        """(S, V) forms that a segment of s + 1 tokens may have."""
        length = torch.arange(1, longest + 1, device=self.tags.device).unsqueeze(1)
        alone, first, inner, last = (self.tags >= 0).unbind(1)
        return torch.where(length == 1, alone, first & last & (inner | (length == 2)))


class TaggedSegments(Distribution):
    """The distribution over tag sequences of ``segments``, whose labels are indices of ``forms``.

    A tag sequence that is not a possible segmentation has probability 0. All methods are exact.
    """

    exact = frozenset({"log_prob", "best", "log_partition", "marginals", "span_probabilities"})

    def __init__(self, segments: SemiMarkov, forms: TagPatterns) -> None:
        self.segments, self.forms = segments, forms.to(segments.scores.device)
        self.lengths = segments.lengths
        self._positions = torch.arange(segments.scores.shape[1], device=segments.scores.device)  # (T,)
        self._real = real_steps(segments.scores, self.lengths)

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """`SemiMarkov.weights`."""
        return self.segments.weights

    def with_weights(self, weights: tuple[Tensor, ...]) -> TaggedSegments:
        return TaggedSegments(self.segments.with_weights(weights), self.forms)

    def tempered(self, temperature: float) -> TaggedSegments:
        """See `Structure.tempered`."""
        return TaggedSegments(self.segments.tempered(temperature), self.forms)

    def log_partition(self) -> Tensor:
        """`SemiMarkov.log_partition`."""
        return self.segments.log_partition()

    def log_prob(self, target: Tensor) -> Tensor:
        codes, possible = self._codes(target.to(self._positions.device))
        return torch.where(possible, self.segments.log_prob(codes), -torch.inf)

    def best(self) -> Ranked:
        found = self.segments.best()
        return Ranked(self._tags(found.path), found.score)

    def marginals(self) -> Tensor:
        segments, (rows, steps, longest, forms) = self._segment_marginals, self._segment_marginals.shape
        # (B, T, S, V) a segment begins at t and has more than s tokens. Sums, not differences, keep 0 exact.
        covering = segments.flip(2).cumsum(2).flip(2)
        parts = segments.new_zeros(rows, steps, 4, forms)
        parts[:, :, SINGLE] = segments[:, :, 0]
        parts[:, :, FIRST] = covering[:, :, 1:2].sum(2)
        for s in range(1, min(steps, longest)):
            parts[:, s:, LAST] += segments[:, :-s, s]
            parts[:, s:, INNER] += covering[:, :-s, s + 1 : s + 2].sum(2)
        table = segments.new_zeros(rows, steps, len(self.forms.single))
        tags = self.forms.tags.T.flatten().clamp(min=0)  # a missing tag (-1) has probability 0
        return table.index_add(2, tags, parts.flatten(2)).clamp(max=1)

    def span_probabilities(self, spans: Sequence[tuple[int, int, int, int]], patterns: Sequence[EdgePattern]) -> Tensor:
        """(S,) float64 probability of each span (row, start, end, index of its pattern)."""
        if not len(spans):
            return torch.zeros(0, dtype=torch.float64)
        tag = self.forms.tags.amax(1).cpu()  # (V,) a tag of each form
        pattern_forms = torch.stack([torch.as_tensor(np.asarray(pattern.start))[tag] for pattern in patterns])  # (P, V)
        row, start, end, kind = torch.as_tensor(spans, dtype=torch.int64).T
        marginals, size = self._segment_marginals.double().cpu(), end - start
        longest = marginals.shape[2]
        found = (marginals[row, start, size.clamp(max=longest) - 1] * pattern_forms[kind]).sum(1)
        return torch.where(size <= longest, found, 0.0).clamp(max=1)

    @cached_property
    def _segment_marginals(self) -> Tensor:
        return self.segments.marginals()

    def _codes(self, tags: Tensor) -> tuple[Tensor, Tensor]:
        """`SemiMarkov` segmentations (B, T) of ``tags``, arbitrary for rows without one, and (B,) which rows have
        one."""
        forms, steps = self.forms, len(self._positions)
        tags = tags.masked_fill(~self._real, 0)
        joined = torch.zeros_like(self._real)
        joined[:, 1:] = forms.joins[tags[:, :-1], tags[:, 1:]] & self._real[:, 1:]
        begins, closes = self._real & ~joined, self._real.clone()
        closes[:, :-1] &= ~joined[:, 1:]
        last = torch.where(closes, self._positions, steps).flip(1).cummin(1).values.flip(1).clamp(max=max(steps - 1, 0))
        size = last - self._positions  # (B, T) number of later tokens of the segment
        form = torch.where(size == 0, forms.single[tags], forms.longer[tags, tags.gather(1, last)])
        fits = (form >= 0) & (size < self.segments.scores.shape[2])
        possible = (fits | ~begins).all(1)
        codes = torch.where(begins, size * len(forms.types) + form, -1)
        codes = codes.masked_fill(~(self._real & possible.unsqueeze(1)), 0)
        return codes, possible & (self._tags(codes) == tags).all(1)

    def _tags(self, codes: Tensor) -> Tensor:
        """(B, T) tags of segmentations, 0 in the padding."""
        heads = torch.where(self._real & (codes >= 0), self._positions, 0)
        heads = heads.cummax(1).values if codes.numel() else heads
        code, place = codes.gather(1, heads), self._positions - heads
        last, form = code // len(self.forms.types), code % len(self.forms.types)
        part = torch.where(place == 0, FIRST, torch.where(place == last, LAST, INNER)).masked_fill(last == 0, SINGLE)
        return self.forms.tags[form, part].clamp(min=0).masked_fill(~self._real, 0)
