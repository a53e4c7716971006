"""CRF: a drop-in for pytorch-crf's layer, on the house's own chain (Lafferty, McCallum and Pereira 2001)."""

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

if TYPE_CHECKING:
    from structseq.spans import Legal

REDUCTIONS = ("none", "sum", "mean", "token_mean")


class CRF(torchcrf.CRF):
    """Linear-chain conditional random field (Lafferty, McCallum and Pereira 2001) with pytorch-crf's parameters and
    call.

    Same constructor, parameters, state dict, sign (a log-likelihood, never positive), reductions and error messages as
    ``torchcrf.CRF``. Beyond it: a masked step is absent wherever it stands (holes, left padding, empty rows), what
    lies under the mask never leaks, half precision is computed in float32, the recursions are compiled, and the layer
    answers for everything that its distribution knows.

    Shapes below are those of ``batch_first=True``; otherwise the first two axes of every tensor, taken or given, are
    exchanged, steps before rows. ``mask`` (B, T), of any type, is true where a step is part of its row. ``allowed``
    (B, T, K) is boolean: the tags that may stand at a step, all of them where it is None. Scores are nats.

    Parameters
    ----------
    num_tags:
        K.
    batch_first:
        Whether tensors come as (B, T, ...) rather than (T, B, ...).
    constraints:
        Booleans start (K,), transitions (K, K) [from, to], end (K,): what may begin a row, follow and end it, as
        `Scheme.legal` gives them. What they forbid has probability exactly 0, in training and in decoding alike. They
        are no part of the state dict. None allows everything.

    Raises
    ------
    ValueError
        For a number of tags below 1, or constraints of another type or shape.

    Examples
    --------
    Hard constraints from a tagging scheme: I-x never begins a row and never follows O.

    >>> from structseq import CRF, scheme_of
    >>> labels = ("O", "B-x", "I-x")
    >>> crf = CRF(3, batch_first=True, constraints=scheme_of("BIO").legal(labels))
    >>> crf
    CRF(num_tags=3, constraints=8 of 9 transitions)
    >>> emissions = torch.tensor([[[0.0, 1.0, 9.0], [5.0, 0.0, 1.0], [0.0, 0.0, 9.0]]])
    >>> [labels[tag] for tag in crf.decode(emissions)[0]]
    ['B-x', 'I-x', 'I-x']
    >>> crf(emissions, torch.tensor([[1, 0, 2]]))
    Traceback (most recent call last):
    ...
    ValueError: expected tags that constraints and allowed permit, found in row 0 at step 2 tag 2 after tag 0 of step 1,
    which the constraints forbid; correct the tags, mask the step or permit the move

    A masked step is absent, wherever it stands:

    >>> mask = torch.tensor([[True, False, True]])
    >>> crf.decode(emissions, mask)
    [[1, 2]]
    >>> crf.marginals(emissions, mask)[0, 1]
    tensor([0., 0., 0.])
    """

    def __init__(
        self,
        num_tags: int,
        batch_first: bool = False,
        *,
        constraints: Legal | tuple[Any, Any, Any] | None = None,
    ) -> None:
        super().__init__(num_tags, batch_first)
        start, moves, end = (None, None, None) if constraints is None else _tables(constraints, num_tags)
        self.register_buffer("legal_start", start, persistent=False)
        self.register_buffer("legal_transitions", moves, persistent=False)
        self.register_buffer("legal_end", end, persistent=False)

    def __repr__(self) -> str:
        if self.constraints is None:
            return str(super().__repr__())
        legal = int(self.constraints[1].sum())
        return f"CRF(num_tags={self.num_tags}, constraints={legal} of {self.num_tags**2} transitions)"

    @property
    def constraints(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """Booleans start (K,), transitions (K, K) [from, to], end (K,); None where everything is legal."""
        start = self.legal_start
        if start is None:
            return None
        # `Module.type` makes numbers of booleans.
        return start.bool(), self.legal_transitions.bool(), self.legal_end.bool()

    def chain(
        self,
        emissions: Tensor,
        lengths: Tensor,
        legal: tuple[Tensor, Tensor, Tensor] | None = None,
        *,
        allowed: Tensor | None = None,
    ) -> LinearChain:
        """The distribution over tag sequences for ``emissions`` (B, T, K), rows first, real up to ``lengths`` (B,).

        ``legal``: booleans start (K,), transitions (K, K) [from, to], end (K,), beside the layer's own constraints;
        what is not legal has probability exactly 0.
        """
        start, moves, end = self.start_transitions, self.transitions, self.end_transitions
        for tables in (self.constraints, legal):
            if tables is not None:
                start = torch.where(tables[0], start, -torch.inf)
                moves = torch.where(tables[1], moves, -torch.inf)
                end = torch.where(tables[2], end, -torch.inf)
        return LinearChain(emissions, moves, start, end, lengths, allowed=allowed)

    # -- the verbs ----------------------------------------------------------------------------------------------------

    def forward(
        self,
        emissions: Tensor,
        tags: Tensor,
        mask: Tensor | None = None,
        reduction: str = "sum",
        *,
        allowed: Tensor | None = None,
    ) -> Tensor:
        """Log-likelihood of ``tags`` (B, T) given ``emissions`` (B, T, K), in nats, never positive.

        ``reduction``: ``none`` gives (B,); ``sum``, ``mean`` (over rows) and ``token_mean`` (over unmasked steps) a
        scalar.

        Raises
        ------
        ValueError
            Where a shape, a type or the reduction does not fit, and where ``tags`` are a path that the constraints or
            ``allowed`` forbid (`log_prob` answers -inf).
        IndexError
            For a tag that is none of the K at an unmasked step.
        """
        self._validate(emissions, tags, mask, allowed)
        if reduction not in REDUCTIONS:
            raise ValueError(f"invalid reduction: {reduction}")
        chain, order = self._chain(emissions, mask, allowed)
        likelihood = self._log_prob(chain, order, tags, mask)
        if allowed is not None or self.legal_start is not None:
            self._require_possible(likelihood, tags, mask, allowed)
        if reduction == "none":
            return likelihood
        if reduction == "mean":
            return likelihood.mean()
        total = likelihood.sum()
        return total if reduction == "sum" else total / chain.lengths.sum().clamp(min=1)

    def decode(
        self,
        emissions: Tensor,
        mask: Tensor | None = None,
        *,
        allowed: Tensor | None = None,
        method: str = "viterbi",
    ) -> list[list[int]]:
        """A tag sequence for each row of ``emissions`` (B, T, K): a list of its unmasked steps' tags.

        ``method``: ``viterbi`` gives the most probable sequence; ``posterior`` the possible sequence with most right
        tags on average (minimum Bayes risk). Ties go to the lowest tag.

        Raises ValueError where a shape or a type does not fit, and where constraints and ``allowed`` leave a row no
        sequence at all.
        """
        self._validate(emissions, None, mask, allowed)
        if method not in ("viterbi", "posterior"):
            raise ValueError(f"method: expected viterbi or posterior, found {method!r}")
        with torch.no_grad():
            chain, _ = self._chain(emissions, mask, allowed)
            best = chain.best() if method == "viterbi" else chain.minimum_risk()
        if allowed is not None or self.legal_start is not None:
            _require_answer(best.score)
        paths: list[list[int]] = best.path.tolist()
        if mask is None:
            return paths
        return [path[:length] for path, length in zip(paths, chain.lengths.tolist(), strict=True)]

    def log_prob(
        self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None, *, allowed: Tensor | None = None
    ) -> Tensor:
        """(B,) log-probability of each row's ``tags`` (B, T), in nats; -inf for a path that is forbidden.

        Raises as `forward` does, but for such a path.
        """
        self._validate(emissions, tags, mask, allowed)
        chain, order = self._chain(emissions, mask, allowed)
        return self._log_prob(chain, order, tags, mask)

    def marginals(
        self, emissions: Tensor, mask: Tensor | None = None, *, allowed: Tensor | None = None, edges: bool = False
    ) -> Tensor:
        """(B, T, K) probability that step t bears tag k; 0 at masked steps. Without gradients.

        With ``edges`` instead (B, T-1, K, K): entry [b, t - 1, i, k] is the probability that step t bears tag k and
        the last unmasked step before it tag i; 0 where step t is masked or begins its row.
        """
        self._validate(emissions, None, mask, allowed)
        with torch.no_grad():
            chain, order = self._chain(emissions, mask, allowed)
            if not edges:
                return self._laid(_scattered(chain.marginals(), order))
            found = chain.edge_marginals()
            if order is not None and order.shape[1] > 0:
                into = order[:, 1:, None, None].expand_as(found)  # the step that an edge leads into
                whole = found.new_zeros(len(found), order.shape[1], *found.shape[2:])
                found = whole.scatter(1, into, found)[:, 1:]
        return self._laid(found)

    def entropy(self, emissions: Tensor, mask: Tensor | None = None, *, allowed: Tensor | None = None) -> Tensor:
        """(B,) entropy of each row's distribution over tag sequences, in nats; 0 for an empty row. Differentiable."""
        self._validate(emissions, None, mask, allowed)
        return self._chain(emissions, mask, allowed)[0].entropy()

    def sample(
        self,
        emissions: Tensor,
        mask: Tensor | None = None,
        *,
        n: int = 1,
        generator: torch.Generator | None = None,
        allowed: Tensor | None = None,
    ) -> Tensor:
        """(n, B, T) tag sequences drawn independently, each laid out as tags are; 0 at masked steps.

        Reproducible by ``generator``. Raises ValueError where constraints and ``allowed`` leave a row no sequence at
        all, and for ``n`` below 1.
        """
        self._validate(emissions, None, mask, allowed)
        with torch.no_grad():
            chain, order = self._chain(emissions, mask, allowed)
            if allowed is not None or self.legal_start is not None:
                _require_answer(chain.log_partition())
            paths = chain.sample(n, generator)
            if order is not None:
                paths = _scattered(paths.flatten(0, 1), order.repeat(n, 1)).unflatten(0, paths.shape[:2])
        return paths if self.batch_first else paths.transpose(1, 2)

    def ranked(self, emissions: Tensor, k: int, mask: Tensor | None = None, *, allowed: Tensor | None = None) -> Ranked:
        """The ``k`` best tag sequences of each row, best first, and their unnormalised scores in nats.

        ``path`` is (B, k, T), 0 at masked steps ((T, B, k) when not ``batch_first``), ``score`` (B, k). Where a row
        has fewer sequences, the score is -inf and the path 0. `log_prob` of a path is its log-probability. Raises
        ValueError for ``k`` below 1.
        """
        self._validate(emissions, None, mask, allowed)
        with torch.no_grad():
            chain, order = self._chain(emissions, mask, allowed)
            path, score = chain.ranked(k)
            path = _scattered(path.transpose(1, 2), order)  # (B, T, k)
        return Ranked(path.transpose(1, 2) if self.batch_first else path.transpose(0, 1), score)

    def init_from_tags(self, sequences: Iterable[Sequence[int]], *, smoothing: float = 1.0) -> Self:
        """Set the parameters to the log relative frequencies of a corpus's own tags; returns the layer.

        A start score is the share of rows that begin with the tag; a transition score the share of a tag's occurrences
        that the other follows, and an end score the share of them that nothing follows. Without emissions the layer is
        then the bigram model of the tags, so that learning starts from what the corpus says of them (asked for in
        pytorch-crf's issue 39, where it halved a user's validation loss).

        Parameters
        ----------
        sequences:
            Rows of tag numbers, 0 to K - 1; empty ones say nothing.
        smoothing:
            Added to every count that the constraints permit, above 0: what was never seen stays possible.

        Raises
        ------
        ValueError
            For what is no sequence of tag numbers, for one that the constraints forbid, and for none at all.

        Examples
        --------
        >>> crf = CRF(2).init_from_tags([[0, 0, 1], [0]])
        >>> crf.start_transitions.exp()  # (2 + 1) of (2 + 2) and (0 + 1) of (2 + 2)
        tensor([0.7500, 0.2500], grad_fn=<ExpBackward0>)
        >>> crf.transitions.exp()
        tensor([[0.3333, 0.3333],
                [0.2500, 0.2500]], grad_fn=<ExpBackward0>)
        >>> crf.end_transitions.exp()
        tensor([0.3333, 0.5000], grad_fn=<ExpBackward0>)
        """
        if not (smoothing > 0 and math.isfinite(smoothing)):
            raise ValueError(f"smoothing: expected a number above 0, found {smoothing!r}")
        counts = self._counted(sequences)
        legal = [np.ones(count.shape, bool) for count in counts]
        if self.constraints is not None:
            legal = [table.cpu().numpy() for table in self.constraints]
        start, moves, end = (count + smoothing for count in counts)
        starts = (start * legal[0]).sum()
        # A tag that leads nowhere keeps finite scores, which the constraints hide.
        seen = np.maximum((moves * legal[1]).sum(1) + end * legal[2], smoothing)
        found = (start / starts, moves / seen[:, None], end / seen)
        with torch.no_grad():
            for parameter, share in zip(self._parameters_in_order(), found, strict=True):
                parameter.copy_(torch.from_numpy(np.log(share)))
        return self

    # -- behind them --------------------------------------------------------------------------------------------------

    def _parameters_in_order(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.start_transitions, self.transitions, self.end_transitions

    def _counted(self, sequences: Iterable[Sequence[int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How often each tag begins a row (K,), each follows each (K, K) [from, to], and each ends one (K,)."""
        tags = self.num_tags
        start, moves, end = np.zeros(tags), np.zeros((tags, tags)), np.zeros(tags)
        for n, sequence in enumerate(sequences):
            row = _tag_numbers(sequence, n, tags)
            if len(row) == 0:
                continue
            fault = self._fault(row.tolist(), range(len(row)), None)
            if fault is not None:
                raise ValueError(
                    f"expected tags that the constraints permit, found in sequence {n} {fault}; "
                    "correct it, leave it out or permit the move"
                )
            start[row[0]] += 1
            end[row[-1]] += 1
            np.add.at(moves, (row[:-1], row[1:]), 1)
        if not start.any():
            raise ValueError("sequences: expected at least one sequence of tag numbers that is not empty, found none")
        return start, moves, end

    def _chain(
        self, emissions: Tensor, mask: Tensor | None, allowed: Tensor | None
    ) -> tuple[LinearChain, Tensor | None]:
        """The chain over the unmasked steps, rows first; and the steps' order in it, see `_compacting`."""
        scores = emissions if self.batch_first else emissions.transpose(0, 1)
        if allowed is not None and not self.batch_first:
            allowed = allowed.transpose(0, 1)
        if mask is None:
            rows, steps, _ = scores.shape
            return self.chain(scores, torch.from_numpy(np.full(rows, steps)), allowed=allowed), None
        lengths, order = _compacting(self._real(mask))
        if order is not None:
            order = order.to(scores.device)
            every = order.unsqueeze(-1).expand_as(scores)
            scores = scores.gather(1, every)
            allowed = None if allowed is None else allowed.to(scores.device).gather(1, every)
        return self.chain(scores, lengths, allowed=allowed), order

    def _log_prob(self, chain: LinearChain, order: Tensor | None, tags: Tensor, mask: Tensor | None) -> Tensor:
        target = tags if self.batch_first else tags.transpose(0, 1)
        if order is not None:
            target = target.to(order.device).gather(1, order)
        if not chain.fast:
            self._require_known(tags, mask)
        try:
            return chain.log_prob(target)
        except IndexError:
            self._require_known(tags, mask)  # says so in the caller's own steps
            raise

    def _laid(self, found: Tensor) -> Tensor:
        """(B, T, ...) in the caller's layout."""
        return found if self.batch_first else found.transpose(0, 1)

    def _real(self, mask: Tensor) -> np.ndarray:
        """(B, T) booleans, rows first."""
        real: np.ndarray = self._laid(mask.detach().bool()).cpu().numpy()
        return real

    def _rows_of(self, tags: Tensor, mask: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
        """Tags and where they count, both (B, T), for an error's words."""
        known = self._laid(tags).cpu().numpy()
        return known, np.ones(known.shape, bool) if mask is None else self._real(mask)

    def _require_known(self, tags: Tensor, mask: Tensor | None) -> None:
        """Raise IndexError where an unmasked tag is none of the K."""
        known, real = self._rows_of(tags, mask)
        wrong = real & ((known < 0) | (known >= self.num_tags))
        if wrong.any():
            row, step = np.argwhere(wrong)[0].tolist()
            raise IndexError(
                f"expected tags from 0 to {self.num_tags - 1}, found {known[row, step]} in row {row} at step {step}; "
                "give it a tag or mask the step"
            )

    def _require_possible(self, likelihood: Tensor, tags: Tensor, mask: Tensor | None, allowed: Tensor | None) -> None:
        """Raise ValueError where ``tags`` are a path that the constraints or ``allowed`` forbid."""
        found = likelihood.detach()
        if found.numel() == 0 or float(found.min()) > -torch.inf:  # NaN, from emissions that are, is looked into too
            return
        suspect = ~torch.isfinite(found)
        known, real = self._rows_of(tags, mask)
        for row in suspect.nonzero().squeeze(1).tolist():
            steps = np.flatnonzero(real[row])
            permitted = None if allowed is None else self._laid(allowed)[row].cpu().numpy()
            fault = self._fault(known[row, steps].tolist(), steps.tolist(), permitted)
            if fault is not None:
                raise ValueError(
                    f"expected tags that constraints and allowed permit, found in row {row} {fault}; "
                    "correct the tags, mask the step or permit the move"
                )

    def _fault(self, path: Sequence[int], steps: Sequence[int], allowed: np.ndarray | None) -> str | None:
        """What is forbidden about the tags ``path`` at ``steps``, the first of it in words; None where nothing is."""
        legal = None if self.constraints is None else [table.cpu().numpy() for table in self.constraints]
        for n, (step, tag) in enumerate(zip(steps, path, strict=True)):
            if allowed is not None and not allowed[step, tag]:
                return f"at step {step} tag {tag}, which is not among those allowed there"
            if legal is None:
                continue
            if n == 0 and not legal[0][tag]:
                return f"at step {step} tag {tag} at the beginning, which the constraints forbid"
            if n > 0 and not legal[1][path[n - 1], tag]:
                return (
                    f"at step {step} tag {tag} after tag {path[n - 1]} of step {steps[n - 1]}, "
                    "which the constraints forbid"
                )
        if legal is not None and path and not legal[2][path[-1]]:
            return f"at step {steps[-1]} tag {path[-1]} at the end, which the constraints forbid"
        return None

    def _validate(
        self,
        emissions: Tensor,
        tags: Tensor | None = None,
        mask: Tensor | None = None,
        allowed: Tensor | None = None,
    ) -> None:
        """pytorch-crf's checks in its own words, save that a mask's first step may be off; and a few it has not."""
        if emissions.dim() != 3:
            raise ValueError(f"emissions must have dimension of 3, got {emissions.dim()}")
        shape = emissions.shape
        if shape[2] != self.num_tags:
            raise ValueError(f"expected last dimension of emissions is {self.num_tags}, got {shape[2]}")
        for name, given in (("tags", tags), ("mask", mask)):
            if given is not None and shape[:2] != given.shape:
                raise ValueError(
                    f"the first two dimensions of emissions and {name} must match, "
                    f"got {tuple(shape[:2])} and {tuple(given.shape)}"
                )
        if not emissions.is_floating_point():
            raise ValueError(
                f"emissions: expected floating-point scores, found {emissions.dtype}; "
                "pass the scores as the model computed them, not rounded and not tag numbers"
            )
        if tags is not None and (tags.dtype == torch.bool or tags.is_floating_point() or tags.is_complex()):
            raise ValueError(f"tags: expected whole numbers, found {tags.dtype}; pass tag numbers, as by tags.long()")
        if allowed is not None and (allowed.dtype != torch.bool or allowed.shape != shape):
            raise ValueError(
                f"allowed: expected booleans of the emissions' shape {tuple(shape)}, "
                f"found {allowed.dtype} of shape {tuple(allowed.shape)}; say of each step and tag whether it may be"
            )


def _compacting(real: np.ndarray) -> tuple[Tensor, Tensor | None]:
    """Lengths (B,) of the rows of a mask (B, T), and the order (B, T) of steps that brings the unmasked ones to the
    left; None where they are there."""
    lengths = torch.from_numpy(real.sum(1))
    if not (real[:, 1:] > real[:, :-1]).any():
        return lengths, None
    return lengths, torch.from_numpy(np.argsort(~real, axis=1, kind="stable"))


def _scattered(values: Tensor, order: Tensor | None) -> Tensor:
    """Values (B, T, ...) of the compacted steps, zero beyond each row's length, at the caller's steps again."""
    if order is None:
        return values
    places = order.view(*order.shape, *[1] * (values.dim() - 2)).expand_as(values)
    return torch.zeros_like(values).scatter(1, places, values)


def _require_answer(scores: Tensor) -> None:
    """Raise ValueError where a row's best score, or log Z, is that of nothing at all."""
    if scores.numel() > 0 and float(scores.detach().min()) == -torch.inf:
        row = int(scores.argmin())
        raise ValueError(
            f"expected a possible tag sequence for every row, found none for row {row} under the constraints and "
            "what is allowed; permit more there"
        )


def _tables(constraints: Any, tags: int) -> tuple[Tensor, Tensor, Tensor]:
    """Constraints as boolean tensors of the layer's own, checked."""
    names = ("start", "transitions", "end")
    triple = isinstance(constraints, (tuple, list)) and len(constraints) == 3
    if not triple and not all(hasattr(constraints, name) for name in names):
        raise ValueError(
            f"constraints: expected what scheme.legal(labels) gives, or three boolean tables (start, transitions, "
            f"end), found {type(constraints).__name__}"
        )
    parts = constraints if triple else [getattr(constraints, name) for name in names]
    found = []
    for name, part, shape in zip(names, parts, ((tags,), (tags, tags), (tags,)), strict=True):
        table = torch.as_tensor(part).detach().clone()
        if table.dtype != torch.bool or table.shape != shape:
            raise ValueError(
                f"constraints: expected {name} as booleans of shape {shape}, "
                f"found {table.dtype} of shape {tuple(table.shape)}; give one place to each of the {tags} tags"
            )
        found.append(table)
    for name, table in (("start", found[0]), ("end", found[2])):
        if not table.any():
            raise ValueError(f"constraints: expected a tag that may {name} a row, found none; permit one in {name}")
    return found[0], found[1], found[2]


def _tag_numbers(sequence: Any, place: int, tags: int) -> np.ndarray:
    """One row of tag numbers as an array (L,), checked."""
    row = sequence.detach().cpu().numpy() if isinstance(sequence, Tensor) else np.asarray(sequence)
    if row.size == 0 and row.ndim == 1:
        return np.zeros(0, np.int64)
    if row.ndim != 1 or row.dtype.kind not in "iu":
        raise ValueError(
            f"expected rows of tag numbers, found {sequence!r:.60} as sequence {place}; "
            "give one list of numbers for each sequence, not names"
        )
    wrong = (row < 0) | (row >= tags)
    if wrong.any():
        step = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"expected tags from 0 to {tags - 1}, found {row[step]} in sequence {place} at step {step}; "
            "leave out what is no tag"
        )
    return row.astype(np.int64)
