"""TaggedSegments: `SemiMarkov` as a distribution over tag sequences, so that a tagger can use it."""

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

# Columns of `Forms.tags`: the tags of a segment's only, first, inner and last token
ALONE, FIRST, INNER, LAST = range(4)


class Forms(NamedTuple):
    """How segments are written as tags: a form is one way to write segments of one type.

    V forms, K tags; -1 for a tag or form that does not exist.
    """

    tags: Tensor  # (V, 4) numbers of tags
    types: Tensor  # (V,) numbers of types
    start: Tensor  # (V,) booleans: forms that may begin a sequence
    transitions: Tensor  # (V, V) [from, to] booleans: forms that may follow each other
    end: Tensor  # (V,) booleans: forms that may end a sequence
    single: Tensor  # (K,) the form of a segment of one token with this tag
    longer: Tensor  # (K, K) the form of a longer segment with this first and this last tag
    joins: Tensor  # (K, K) booleans: the second tag continues the segment of the first

    def to(self, device: torch.device) -> Forms:
        return Forms(*(part.to(device) for part in self))

    def possible(self, longest: int) -> Tensor:
        """(S, V) booleans: possible forms of a segment of s + 1 tokens."""
        length = torch.arange(1, longest + 1, device=self.tags.device).unsqueeze(1)
        alone, first, inner, last = (self.tags >= 0).unbind(1)
        return torch.where(length == 1, alone, first & last & (inner | (length == 2)))


class TaggedSegments(Distribution):
    """The distribution over tag sequences of ``segments``, whose labels are indices of ``forms``.

    A tag sequence that is not a possible segmentation has probability 0. All methods are exact.
    """

    exact = frozenset({"log_prob", "best", "log_partition", "marginals", "span_probabilities"})

    def __init__(self, segments: SemiMarkov, forms: Forms) -> None:
        self.segments, self.forms = segments, forms.to(segments.scores.device)
        self.lengths = segments.lengths
        self._token = torch.arange(segments.scores.shape[1], device=segments.scores.device)  # (T,)
        self._real = real_steps(segments.scores, self.lengths)

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """`SemiMarkov.weights`: scores (B, T, S, V) first."""
        return self.segments.weights

    def with_weights(self, weights: tuple[Tensor, ...]) -> TaggedSegments:
        return TaggedSegments(self.segments.with_weights(weights), self.forms)

    def log_partition(self) -> Tensor:
        """(B,) log of the sum over all segmentations of exp(score), in nats."""
        return self.segments.log_partition()

    def log_prob(self, target: Tensor) -> Tensor:
        codes, possible = self._codes(target.to(self._token.device))
        return torch.where(possible, self.segments.log_prob(codes), -torch.inf)

    def best(self) -> Ranked:
        found = self.segments.best()
        return Ranked(self._tags(found.path), found.score)

    def marginals(self) -> Tensor:
        shares, (rows, steps, longest, forms) = self._shares, self._shares.shape
        # (B, T, S, V) a segment begins at t and has more than s tokens. Sums keep the impossible at exactly 0.
        covering = shares.flip(2).cumsum(2).flip(2)
        found = shares.new_zeros(rows, steps, 4, forms)
        found[:, :, ALONE] = shares[:, :, 0]
        found[:, :, FIRST] = covering[:, :, 1:2].sum(2)
        for s in range(1, min(steps, longest)):
            found[:, s:, LAST] += shares[:, :-s, s]
            found[:, s:, INNER] += covering[:, :-s, s + 1 : s + 2].sum(2)
        table = shares.new_zeros(rows, steps, len(self.forms.single))
        tags = self.forms.tags.T.flatten().clamp(min=0)  # a tag that does not exist has probability 0
        return table.index_add(2, tags, found.flatten(2)).clamp(max=1)

    def span_probabilities(self, spans: Sequence[tuple[int, int, int, int]], patterns: Sequence[EdgePattern]) -> Tensor:
        """(S,) float64 probability of each span (row, start, end, index of its pattern): that the answer has exactly
        this segment, of the pattern's type (`TagSet.patterns`)."""
        if not len(spans):
            return torch.zeros(0, dtype=torch.float64)
        tag = self.forms.tags.amax(1).cpu()  # (V,) a tag of each form
        own = torch.stack([torch.as_tensor(np.asarray(pattern.first))[tag] for pattern in patterns])  # (P, V)
        row, start, end, kind = torch.as_tensor(spans, dtype=torch.int64).T
        shares, size = self._shares.double().cpu(), end - start
        longest = shares.shape[2]
        found = (shares[row, start, size.clamp(max=longest) - 1] * own[kind]).sum(1)
        return torch.where(size <= longest, found, 0.0).clamp(max=1)

    @cached_property
    def _shares(self) -> Tensor:
        """(B, T, S, V) probabilities of segments."""
        return self.segments.marginals()

    def _codes(self, tags: Tensor) -> tuple[Tensor, Tensor]:
        """The segmentations (B, T) of ``tags`` (B, T), in the format of `SemiMarkov`, and (B,) which rows have one; the
        others are arbitrary."""
        forms, steps = self.forms, len(self._token)
        tags = tags.masked_fill(~self._real, 0)
        joined = torch.zeros_like(self._real)
        joined[:, 1:] = forms.joins[tags[:, :-1], tags[:, 1:]] & self._real[:, 1:]
        begins, closes = self._real & ~joined, self._real.clone()
        closes[:, :-1] &= ~joined[:, 1:]
        last = torch.where(closes, self._token, steps).flip(1).cummin(1).values.flip(1).clamp(max=max(steps - 1, 0))
        size = last - self._token  # (B, T) number of later tokens of the segment
        form = torch.where(size == 0, forms.single[tags], forms.longer[tags, tags.gather(1, last)])
        fits = (form >= 0) & (size < self.segments.scores.shape[2])
        possible = (fits | ~begins).all(1)
        codes = torch.where(begins, size * len(forms.types) + form, -1)
        codes = codes.masked_fill(~(self._real & possible.unsqueeze(1)), 0)
        return codes, possible & (self._tags(codes) == tags).all(1)

    def _tags(self, codes: Tensor) -> Tensor:
        """(B, T) the tags of segmentations, 0 beyond each row's length."""
        heads = torch.where(self._real & (codes >= 0), self._token, 0)
        heads = heads.cummax(1).values if codes.numel() else heads
        code, place = codes.gather(1, heads), self._token - heads
        last, form = code // len(self.forms.types), code % len(self.forms.types)
        part = torch.where(place == 0, FIRST, torch.where(place == last, LAST, INNER)).masked_fill(last == 0, ALONE)
        return self.forms.tags[form, part].clamp(min=0).masked_fill(~self._real, 0)
