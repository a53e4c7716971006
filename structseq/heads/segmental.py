"""Segments: a semi-Markov CRF scores whole entities (Sarawagi and Cohen 2004; Kong, Dyer and Smith 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from structseq.config import HeadOptions
from structseq.data.example import Example
from structseq.data.vocabulary import Axis
from structseq.errors import ConfigError
from structseq.heads.base import Tunable, full_precision
from structseq.heads.temperature import TemperedHead
from structseq.padded import Padded
from structseq.section import Count
from structseq.spans import Span, TagSet
from structseq.structures.base import Distribution
from structseq.structures.segments import SemiMarkov
from structseq.structures.tagged_segments import FIRST, LAST, SINGLE, TaggedSegments, TagPatterns

# Upper bounds of the length classes; each class has a learned vector
LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
# Width of a segment's vector
WIDTH = 64


class SegmentsHead(Tunable, TemperedHead):
    """A semi-Markov CRF, trained by likelihood and decoded exactly.

    A segment is an entity of at most ``longest`` tokens, or one token outside (O). Its score is the sum of its tokens'
    emissions, plus a score of its first state, last state and length (one hidden layer). Transition scores depend on
    the segments' types. With plain tags, each token is a segment, and a CRF is faster.

    The head cannot predict longer entities: `target` is None for a sentence with one.
    """

    class Options(HeadOptions):
        longest: Count | None = Field(
            None, description="most tokens of an entity; if not given, those of the longest in the training data"
        )

    def __init__(self, in_width: int, tags: TagSet, *, longest: int | None = None) -> None:
        super().__init__()
        if longest is not None and longest < 1:
            raise ConfigError(f"head.longest: expected a whole number from 1 on, found {longest}")
        self.tags, self.limit = tags, longest
        self.names, self.forms = type_names(tags), forms_of(tags)
        count = len(self.names)
        self.emission = nn.Linear(in_width, count)
        self.first, self.last = nn.Linear(in_width, WIDTH), nn.Linear(in_width, WIDTH, bias=False)
        self.size = nn.Parameter(torch.zeros(len(LENGTHS) + 1, WIDTH))
        self.whole = nn.Linear(WIDTH, count)
        self.transitions = nn.Parameter(torch.zeros(count, count))
        self.start, self.end = nn.Parameter(torch.zeros(count)), nn.Parameter(torch.zeros(count))
        self.register_buffer("longest", torch.zeros((), dtype=torch.int64).fill_(longest or 0))  # 0: any length
        self.register_buffer("outside_bias", torch.zeros(()))
        self.register_buffer("temperature", torch.zeros(()).fill_(1.0))

    def prepare(self, examples: Sequence[Example]) -> None:
        if self.limit is None:
            sizes = [_longest(self.tags.file_scheme.decode(example.tags)) for example in examples]
            self.get_buffer("longest").fill_(max(sizes, default=1))

    def target(self, example: Example) -> list[int] | None:
        numbers, longest = self.tags.encode(example.tags), int(self.get_buffer("longest"))
        if numbers is not None and longest and longest < _longest(self.tags.file_scheme.decode(example.tags)):
            return None
        return numbers

    def chain(self, states: Padded) -> TaggedSegments:
        forms, steps = self.forms.to(states.values.device), states.values.shape[1]
        most = 1 if self.tags.model_scheme.plain else int(self.get_buffer("longest")) or steps
        longest, types = max(1, min(most, steps)), forms.types
        start, end = (
            part[types].masked_fill(~legal, -torch.inf)
            for part, legal in ((self.start, forms.start), (self.end, forms.end))
        )
        transitions = self.transitions[types][:, types].masked_fill(~forms.transitions, -torch.inf)
        sizes = states.values.new_zeros(longest, len(types)).masked_fill(~forms.possible(longest), -torch.inf)
        emissions = full_precision(self.emission(states.values))[:, :, types]  # (B, T, V)
        lengths = states.lengths
        segments = SemiMarkov.of_tokens(emissions, longest, transitions, start, end, lengths, length_scores=sizes)
        wholes = full_precision(self.whole(self._vectors(states, longest)))[..., types]
        return TaggedSegments(segments.with_scores(segments.scores + wholes), forms)

    def loss(self, states: Padded, target: Tensor) -> Tensor:
        return -self.chain(states).log_prob(target)

    def _vectors(self, states: Padded, longest: int) -> Tensor:
        """(B, T, S, WIDTH) the hidden layer for the segment of s + 1 tokens that starts at t."""
        first, last = self.first(states.values), self.last(states.values)  # (B, T, WIDTH)
        last = torch.cat([last, last.new_zeros(len(last), longest, WIDTH)], 1).unfold(1, longest, 1)
        size = torch.bucketize(torch.arange(1, longest + 1), torch.tensor(LENGTHS)).to(first.device)
        return torch.relu(first.unsqueeze(2) + last[:, : first.shape[1]].transpose(2, 3) + self.size[size])

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        names = self.names
        layers: dict[str, Sequence[Axis]] = {f"{layer}.weight": [names, None] for layer in ("emission", "whole")}
        others: dict[str, Sequence[Axis]] = {name: [names] for name in ("emission.bias", "whole.bias", "start", "end")}
        return {**layers, **others, "transitions": [names, names]}

    def decide(self, distribution: Distribution) -> Tensor:
        """(B, T) tags, as in `TaggingHead.decide`."""
        bias = float(self.get_buffer("outside_bias"))
        if bias and isinstance(distribution, TaggedSegments):
            scores, *tables = distribution.weights
            outside = torch.tensor([name == "O" for name in self.names])[self.forms.types]
            distribution = distribution.with_weights((scores - bias * outside.to(scores), *tables))
        return distribution.best().path

    def bias_candidates(self) -> Sequence[float]:
        return self.outside_biases() if "O" in self.names and not self.tags.model_scheme.plain else ()

    def set_bias(self, bias: float) -> None:
        self.get_buffer("outside_bias").fill_(bias)


def type_names(tags: TagSet) -> tuple[str, ...]:
    """Segment types: O if the tag set has it, then entity types; or the plain tags."""
    if tags.model_scheme.plain:
        return tags.labels
    return (*(label for label in tags.labels if label == "O"), *tags.types)


def forms_of(tags: TagSet) -> TagPatterns:
    """The forms of a tag set, without those that need a missing tag.

    O and plain tags have one form of one token. An entity type has one form; in IOB1 and IOE1 it has two, because an
    entity next to another of its type has different tags.
    """
    count, index = len(tags.labels), {**tags.index, "": -1}
    forms = [(n, [index.get(tag, -1) for tag in form]) for n, form in _tag_patterns(tags)]
    forms = [(n, row) for n, row in forms if row[SINGLE] >= 0 or min(row[FIRST], row[LAST]) >= 0]
    types, table = np.array([n for n, _ in forms]), np.array([row for _, row in forms])
    single, longer = np.full(count, -1), np.full((count, count), -1)
    for form, (alone, first, _, last) in enumerate(table):
        if alone >= 0:
            single[alone] = form
        if min(first, last) >= 0:
            longer[first, last] = form
    opens, closes = (np.where(table[:, SINGLE] >= 0, table[:, SINGLE], table[:, side]) for side in (FIRST, LAST))
    joins = np.zeros((count, count), np.bool_) if not tags.types else tags.model_scheme.joins(tags.labels)
    legal = tags.model_scheme.legal(tags.labels)
    transitions = (legal.transitions & ~joins)[np.ix_(closes, opens)]
    parts = (table, types, legal.start[opens], transitions, legal.end[closes], single, longer, joins)
    return TagPatterns(*map(torch.as_tensor, parts))


def _tag_patterns(tags: TagSet) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The type number of each form and its only, first, inner and last tag."""
    names, scheme = type_names(tags), tags.model_scheme
    first_type = len(names) - len(tags.types)
    yield from ((n, (name, "", "", "")) for n, name in enumerate(names[:first_type]))
    neighbour = (False,) if scheme.name == "IO" else (False, True)
    for n, label in enumerate(tags.types, first_type):
        forms: dict[tuple[str, ...], None] = {}
        for before, after in product(neighbour, neighbour):
            left = [Span(0, 1, label)] * before
            alone = scheme.encode([*left, Span(1, 2, label), *[Span(2, 3, label)] * after], 3)[1]
            longer = scheme.encode([*left, Span(1, 4, label), *[Span(4, 5, label)] * after], 5)[1:4]
            forms[alone, *longer] = None
        yield from ((n, form) for form in forms)


def _longest(spans: Sequence[Span]) -> int:
    """Length of the longest span, or 1."""
    return max((span.end - span.start for span in spans), default=1)
