"""Confidences: the posterior probabilities of predicted spans and tags."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from structseq.spans import TagSet
from structseq.structures.chain import EdgePattern, TagDistribution

IntArray = NDArray[np.int64]


class Confidences:
    """Probabilities of the spans (of the tokens, if tags are plain) of paths of model tags."""

    def __init__(self, tags: TagSet) -> None:
        self.plain = tags.file_scheme.plain
        self.patterns = [EdgePattern(*edges) for edges in tags.edges()]
        count = len(tags.labels)
        # (K,) each tag's type, -1 for O; (K, K) whether the second tag continues the entity of the first
        self.kinds = np.full(count, -1, np.int64)
        self.continues = np.zeros((count, count), np.bool_)
        for kind, pattern in enumerate(self.patterns):
            self.kinds[np.asarray(pattern.start)] = kind
            self.continues |= np.asarray(pattern.continues)

    def of(self, chain: TagDistribution, paths: IntArray) -> list[tuple[float, ...]]:
        """For each row of ``paths`` (B, T) one probability per token if tags are plain, else one per span."""
        lengths = chain.lengths.numpy()
        if self.plain:
            each = chain.marginals().cpu().numpy()
            chosen = np.take_along_axis(each, paths[..., None], -1)[..., 0].tolist()
            return [tuple(row[:length]) for row, length in zip(chosen, lengths.tolist(), strict=True)]
        spans = self._spans(paths, lengths)
        # Only the patterns that occur are passed on.
        kinds, spans[:, 3] = np.unique(spans[:, 3], return_inverse=True)
        patterns = [self.patterns[kind] for kind in kinds.tolist()]
        probabilities = chain.span_probabilities([tuple(span) for span in spans.tolist()], patterns).tolist()
        ends = np.cumsum(np.bincount(spans[:, 0], minlength=len(paths))).tolist()
        return [tuple(probabilities[start:end]) for start, end in zip([0, *ends], ends, strict=False)]

    def _spans(self, paths: IntArray, lengths: IntArray) -> IntArray:
        """(S, 4) row, start, end, type of each entity in ``paths`` (B, T), row by row from left to right."""
        real = np.arange(paths.shape[1]) < lengths[:, None]
        kinds = np.where(real, self.kinds[paths], -1)
        joined = np.zeros_like(real)
        joined[:, 1:] = self.continues[paths[:, :-1], paths[:, 1:]] & real[:, 1:]
        continued = np.zeros_like(real)
        continued[:, :-1] = joined[:, 1:]
        rows, starts = np.nonzero((kinds >= 0) & ~joined)
        _, lasts = np.nonzero((kinds >= 0) & ~continued)
        return np.stack([rows, starts, lasts + 1, kinds[rows, starts]], 1)
