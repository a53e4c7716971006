"""CRF: a drop-in replacement for pytorch-crf's layer, over `LinearChain`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
import torchcrf
from torch import Tensor

from structseq.structures.base import Ranked
from structseq.structures.chain import LinearChain
from structseq.structures.constraints import Tables, checked_tables, count_transitions, first_violation

if TYPE_CHECKING:
    from structseq.spans import Legal

REDUCTIONS = ("none", "sum", "mean", "token_mean")


class CRF(torchcrf.CRF):
    """Linear-chain conditional random field (Lafferty, McCallum and Pereira 2001).

    Constructor, parameters, state dict, sign, reductions and error messages are those of ``torchcrf.CRF``. In addition,
    any step may be masked (holes, left padding, empty rows), half precision is computed in float32, and there are more
    methods.

    Shapes below are those of ``batch_first=True``, with K = ``num_tags``; otherwise the first two axes of all tensors
    are exchanged. ``mask`` (B, T), of any type, is true for steps that belong to their row. ``allowed`` (B, T, K) is
    boolean: the tags that are possible at a step. Scores are nats. All methods raise ValueError if a shape or type does
    not fit.

    Parameters
    ----------
    constraints:
        Booleans start (K,), transitions (K, K) [from, to], end (K,), as `Scheme.legal` returns them. What they forbid
        has probability exactly 0, in training and decoding. Not part of the state dict.

    Examples
    --------
    >>> from structseq import CRF, scheme_of
    >>> labels = ("O", "B-x", "I-x")
    >>> crf = CRF(3, batch_first=True, constraints=scheme_of("BIO").legal(labels))
    >>> emissions = torch.tensor([[[0.0, 1.0, 9.0], [5.0, 0.0, 1.0], [0.0, 0.0, 9.0]]])
    >>> [labels[tag] for tag in crf.decode(emissions)[0]]
    ['B-x', 'I-x', 'I-x']
    >>> crf.decode(emissions, mask=torch.tensor([[True, False, True]]))
    [[1, 2]]
    """

    def __init__(
        self, num_tags: int, batch_first: bool = False, *, constraints: Legal | tuple[Any, Any, Any] | None = None
    ) -> None:
        super().__init__(num_tags, batch_first)
        tables = (None, None, None) if constraints is None else checked_tables(constraints, num_tags)
        for name, table in zip(("legal_start", "legal_transitions", "legal_end"), tables, strict=True):
            self.register_buffer(name, table, persistent=False)

    def __repr__(self) -> str:
        if self.constraints is None:
            return str(super().__repr__())
        legal = int(self.constraints[1].sum())
        return f"CRF(num_tags={self.num_tags}, constraints={legal} of {self.num_tags**2} transitions)"

    @property
    def constraints(self) -> Tables | None:
        """The constraints as boolean tensors."""
        if self.legal_start is None:
            return None
        # `Module.type` converts buffers to numbers.
        return self.legal_start.bool(), self.legal_transitions.bool(), self.legal_end.bool()

    def chain(
        self, emissions: Tensor, lengths: Tensor, legal: Tables | None = None, *, allowed: Tensor | None = None
    ) -> LinearChain:
        """The distribution over tag sequences for ``emissions``, always (B, T, K). ``legal`` adds constraints."""
        start, transitions, end = self.start_transitions, self.transitions, self.end_transitions
        for tables in (self.constraints, legal):
            if tables is not None:
                start = torch.where(tables[0], start, -torch.inf)
                transitions = torch.where(tables[1], transitions, -torch.inf)
                end = torch.where(tables[2], end, -torch.inf)
        return LinearChain(emissions, transitions, start, end, lengths, allowed=allowed)

    def forward(
        self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None, reduction: str = "sum", *,
        allowed: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Log-likelihood of ``tags`` (B, T) given ``emissions`` (B, T, K), in nats, never positive.

        ``reduction``: ``none`` returns (B,); ``sum``, ``mean`` (over rows) and ``token_mean`` (over unmasked steps) a
        scalar. Raises ValueError if the constraints or ``allowed`` forbid ``tags``, and IndexError for an unmasked tag
        out of range.
        """
        likelihood = self.log_prob(emissions, tags, mask, allowed=allowed)
        if reduction not in REDUCTIONS:
            raise ValueError(f"invalid reduction: {reduction}")
        if allowed is not None or self.legal_start is not None:
            found = likelihood.detach().cpu().numpy()
            if not np.isfinite(found).all():
                permitted = None if allowed is None else self._transposed(allowed)
                _require_permitted(found, *self._tags_and_mask(tags, mask), self._legal_arrays(), permitted)
        if reduction == "none":
            return likelihood
        if reduction == "mean":
            return likelihood.mean()
        total = likelihood.sum()
        if reduction == "sum":
            return total
        return total / max(tags.numel() if mask is None else int(mask.bool().sum()), 1)

    def decode(
        self, emissions: Tensor, mask: Tensor | None = None, *, allowed: Tensor | None = None, method: str = "viterbi"
    ) -> list[list[int]]:
        """For each row of ``emissions`` (B, T, K) the tags of its unmasked steps.

        ``method``: ``viterbi`` returns the most probable sequence, ``posterior`` the possible one with the highest
        expected number of correct tags. Ties go to the lowest tag. Raises ValueError if no sequence is possible.
        """
        if method not in ("viterbi", "posterior"):
            raise ValueError(f"method: expected viterbi or posterior, found {method!r}")
        with torch.no_grad():
            chain, _ = self._chain(emissions, mask, allowed)
            best = chain.best() if method == "viterbi" else chain.minimum_risk()
        if allowed is not None or self.legal_start is not None:
            _require_possible(best.score)
        paths: list[list[int]] = best.path.tolist()
        if mask is None:
            return paths
        return [path[:length] for path, length in zip(paths, chain.lengths.tolist(), strict=True)]

    def log_prob(
        self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None, *, allowed: Tensor | None = None
    ) -> Tensor:
        """(B,) log-probability of each row's ``tags`` (B, T); -inf if forbidden. Raises IndexError as `forward`."""
        chain, order = self._chain(emissions, mask, allowed, tags)
        target = self._transposed(tags)
        if order is not None:
            target = target.to(order.device).gather(1, order)
        if not chain.uses_kernels:
            _require_in_range(*self._tags_and_mask(tags, mask), self.num_tags)
        try:
            return chain.log_prob(target)
        except IndexError:
            _require_in_range(*self._tags_and_mask(tags, mask), self.num_tags)  # the error names the caller's step
            raise

    def marginals(
        self, emissions: Tensor, mask: Tensor | None = None, *, allowed: Tensor | None = None, edges: bool = False
    ) -> Tensor:
        """(B, T, K) probability that step t has tag k; 0 at masked steps. Without gradients.

        With ``edges``, returns (B, T-1, K, K): entry [b, t - 1, i, k] is the probability that step t has tag k and the
        last unmasked step before it has tag i; 0 if step t is masked or begins its row.
        """
        with torch.no_grad():
            chain, order = self._chain(emissions, mask, allowed)
            if not edges:
                return self._transposed(_scattered_back(chain.marginals(), order))
            found = chain.edge_marginals()
            if order is not None and order.shape[1] > 0:
                into = order[:, 1:, None, None].expand_as(found)  # the step that an edge leads into
                whole = found.new_zeros(len(found), order.shape[1], *found.shape[2:])
                found = whole.scatter(1, into, found)[:, 1:]
        return self._transposed(found)

    def entropy(self, emissions: Tensor, mask: Tensor | None = None, *, allowed: Tensor | None = None) -> Tensor:
        """(B,) entropy over tag sequences, in nats. Differentiable."""
        return self._chain(emissions, mask, allowed)[0].entropy()

    def sample(
        self, emissions: Tensor, mask: Tensor | None = None, *, n: int = 1,
        generator: torch.Generator | None = None, allowed: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """(n, B, T) samples, 0 at masked steps. Raises ValueError if no sequence is possible."""
        with torch.no_grad():
            chain, order = self._chain(emissions, mask, allowed)
            if allowed is not None or self.legal_start is not None:
                _require_possible(chain.log_partition())
            paths = chain.sample(n, generator)
            if order is not None:
                paths = _scattered_back(paths.flatten(0, 1), order.repeat(n, 1)).unflatten(0, paths.shape[:2])
        return paths if self.batch_first else paths.transpose(1, 2)

    def ranked(self, emissions: Tensor, k: int, mask: Tensor | None = None, *, allowed: Tensor | None = None) -> Ranked:
        """The ``k`` best tag sequences of each row, best first, and their unnormalised scores in nats.

        ``path`` is (B, k, T), 0 at masked steps ((T, B, k) if not ``batch_first``), ``score`` (B, k); 0 and -inf if
        there are fewer.
        """
        with torch.no_grad():
            chain, order = self._chain(emissions, mask, allowed)
            path, score = chain.ranked(k)
            path = _scattered_back(path.transpose(1, 2), order)  # (B, T, k)
        return Ranked(path.transpose(1, 2) if self.batch_first else path.transpose(0, 1), score)

    def init_from_tags(self, sequences: Iterable[Sequence[int]], *, smoothing: float = 1.0) -> Self:
        """Set the parameters to the log relative frequencies of a corpus's tags; returns the layer.

        Without emissions the layer is then a bigram model of the tags. ``sequences`` are rows of tag numbers below K;
        empty ones are ignored. ``smoothing``, above 0, is added to every count that the constraints permit. Raises
        ValueError if a row is not a sequence of tag numbers, if the constraints forbid it, or if all rows are empty.
        """
        if not (smoothing > 0 and math.isfinite(smoothing)):
            raise ValueError(f"smoothing: expected a number above 0, found {smoothing!r}")
        legal = self._legal_arrays()
        counts = count_transitions(sequences, self.num_tags, legal)
        start, transitions, end = (count + smoothing for count in counts)
        legal = [np.ones(count.shape, bool) for count in counts] if legal is None else legal
        starts = (start * legal[0]).sum()
        # A tag without legal successors keeps finite scores, which the constraints hide.
        seen = np.maximum((transitions * legal[1]).sum(1) + end * legal[2], smoothing)
        found = (start / starts, transitions / seen[:, None], end / seen)
        parameters = (self.start_transitions, self.transitions, self.end_transitions)
        with torch.no_grad():
            for parameter, share in zip(parameters, found, strict=True):
                parameter.copy_(torch.from_numpy(np.log(share)))
        return self

    def _chain(
        self, emissions: Tensor, mask: Tensor | None, allowed: Tensor | None, tags: Tensor | None = None
    ) -> tuple[LinearChain, Tensor | None]:
        """The chain over the unmasked steps, and their order (see `_left_aligned`)."""
        _require_arguments(self.num_tags, emissions, tags, mask, allowed)
        scores = self._transposed(emissions)
        if allowed is not None:
            allowed = self._transposed(allowed)
        if mask is None:
            rows, steps, _ = scores.shape
            return self.chain(scores, torch.from_numpy(np.full(rows, steps)), allowed=allowed), None
        lengths, order = _left_aligned(self._as_numpy(mask.bool()))
        if order is not None:
            order = order.to(scores.device)
            every = order.unsqueeze(-1).expand_as(scores)
            scores = scores.gather(1, every)
            allowed = None if allowed is None else allowed.to(scores.device).gather(1, every)
        return self.chain(scores, lengths, allowed=allowed), order

    def _transposed(self, values: Tensor) -> Tensor:
        """(B, T, ...) from the caller's layout, or back."""
        return values if self.batch_first else values.transpose(0, 1)

    def _as_numpy(self, values: Tensor) -> np.ndarray:
        array: np.ndarray = self._transposed(values.detach()).cpu().numpy()
        return array

    def _legal_arrays(self) -> list[np.ndarray] | None:
        return None if self.constraints is None else [table.cpu().numpy() for table in self.constraints]

    def _tags_and_mask(self, tags: Tensor, mask: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
        array = self._as_numpy(tags)
        return array, np.ones(array.shape, bool) if mask is None else self._as_numpy(mask.bool())


def _require_in_range(tags: np.ndarray, mask: np.ndarray, num_tags: int) -> None:
    wrong = mask & ((tags < 0) | (tags >= num_tags))
    if wrong.any():
        row, step = np.argwhere(wrong)[0].tolist()
        raise IndexError(
            f"expected tags from 0 to {num_tags - 1}, found {tags[row, step]} in row {row} at step {step}; "
            "give it a tag or mask the step"
        )


def _require_permitted(
    likelihood: np.ndarray, tags: np.ndarray, mask: np.ndarray, legal: list[np.ndarray] | None, allowed: Any
) -> None:
    """Raise ValueError if the constraints or ``allowed`` forbid the tags of a row."""
    for row in np.flatnonzero(~np.isfinite(likelihood)).tolist():
        steps = np.flatnonzero(mask[row])
        permitted = None if allowed is None else allowed[row].cpu().numpy()
        fault = first_violation(tags[row, steps].tolist(), steps.tolist(), legal, permitted)
        if fault is not None:
            raise ValueError(
                f"expected tags that the constraints and 'allowed' permit, found in row {row} {fault}; "
                "correct the tags, mask the step or allow the transition"
            )


def _require_arguments(
    num_tags: int, emissions: Tensor, tags: Tensor | None, mask: Tensor | None, allowed: Tensor | None
) -> None:
    """pytorch-crf's checks and messages, except that a mask may begin with False, and more checks."""
    if emissions.dim() != 3:
        raise ValueError(f"emissions must have dimension of 3, got {emissions.dim()}")
    shape = emissions.shape
    if shape[2] != num_tags:
        raise ValueError(f"expected last dimension of emissions is {num_tags}, got {shape[2]}")
    for name, given in (("tags", tags), ("mask", mask)):
        if given is not None and shape[:2] != given.shape:
            raise ValueError(
                f"the first two dimensions of emissions and {name} must match, "
                f"got {tuple(shape[:2])} and {tuple(given.shape)}"
            )
    if not emissions.is_floating_point():
        raise ValueError(
            f"emissions: expected floating-point scores, found {emissions.dtype}; "
            "pass the model's scores, not tag numbers"
        )
    if tags is not None and (tags.dtype == torch.bool or tags.is_floating_point() or tags.is_complex()):
        raise ValueError(f"tags: expected whole numbers, found {tags.dtype}; convert them, as with tags.long()")
    if allowed is not None and (allowed.dtype != torch.bool or allowed.shape != shape):
        raise ValueError(
            f"allowed: expected booleans of the emissions' shape {tuple(shape)}, "
            f"found {allowed.dtype} of shape {tuple(allowed.shape)}; pass True for each step and tag that is possible"
        )


def _left_aligned(mask: np.ndarray) -> tuple[Tensor, Tensor | None]:
    """Lengths (B,) of the rows of a mask (B, T), and the order (B, T) that moves unmasked steps left, or None."""
    lengths = torch.from_numpy(mask.sum(1))
    if not (mask[:, 1:] > mask[:, :-1]).any():
        return lengths, None
    return lengths, torch.from_numpy(np.argsort(~mask, axis=1, kind="stable"))


def _scattered_back(values: Tensor, order: Tensor | None) -> Tensor:
    """Left-aligned values (B, T, ...) moved back to their steps; zero at masked steps."""
    if order is None:
        return values
    places = order.view(*order.shape, *[1] * (values.dim() - 2)).expand_as(values)
    return torch.zeros_like(values).scatter(1, places, values)


def _require_possible(scores: Tensor) -> None:
    """Raise ValueError if a row's score is -inf."""
    if scores.numel() > 0 and float(scores.detach().min()) == -torch.inf:
        row = int(scores.argmin())
        raise ValueError(
            f"expected a possible tag sequence for every row, found none for row {row} under the constraints and "
            "'allowed'; permit more tags there"
        )
