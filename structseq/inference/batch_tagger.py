"""BatchTagger: tags many sentences at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from structseq.data.example import Example
from structseq.features.encoding import TokenBatch
from structseq.heads.confidences import Confidences, IntArray
from structseq.inference.predictor import OutputOptions
from structseq.inference.projection import Projection
from structseq.model import Model
from structseq.padded import Padded
from structseq.spans import Edges, Span, TagSet
from structseq.structures.base import Distribution
from structseq.structures.chain import EdgePattern, TagDistribution
from structseq.structures.triangular import TriangularChain
from structseq.tasks.answers import Tagging, TextToken

# Maximum sentences and tokens of a batch: enough for efficient matrix products, few enough to fit in the cache.
MAX_SENTENCES, MAX_TOKENS = 96, 4096
# With at least this many sentences of one length, two things are faster: a batch without padding, and a `Projection`.
MIN_EVEN = 24


@dataclass(frozen=True, slots=True)
class _Answer:
    """Predictions for one sentence; None: not requested, or not available."""

    tags: tuple[str, ...] = ()
    confidence: tuple[float, ...] | None = None  # one per token for plain tags, else one per span
    marginals: tuple[dict[str, float], ...] | None = None
    label: str | None = None
    label_confidence: float | None = None


class BatchTagger:
    """A model prepared for tagging; ``table`` (V, width) is the model's `Inputs.word_table`."""

    def __init__(self, model: Model, table: Tensor) -> None:
        self.model = model.eval()
        self.tags = model.tags
        self.marginals = TagMarginals(model.tags)
        self.confidences = Confidences(model.tags)
        self.projection, self.table = Projection.of(model), table
        with torch.inference_mode():
            # Only the head's distribution knows whether it is calibrated.
            state = Padded(torch.zeros(1, 1, model.encoder.width, device=self.table.device), torch.tensor([1]))
            self.calibrated = model.head(state).calibrated

    def tag(self, sentences: Sequence[Example], output: OutputOptions) -> list[Tagging]:
        lengths = [len(sentence) for sentence in sentences]
        no_confidences = () if self.calibrated else None
        empty = _Answer((), no_confidences if output.confidence else None, no_confidences if output.marginals else None)
        nonempty = [n for n, length in enumerate(lengths) if length]
        with torch.inference_mode():
            if len(nonempty) < len(sentences) and self.model.task.labels:  # an empty sentence still gets a label
                no_tokens = Example({"tokens": (), **dict.fromkeys(self.model.inputs.column_vocabularies, ())})
                (empty,) = self._answers(self.model.distribution(self.model.inputs.encode([no_tokens])), output)
            answers = [empty] * len(sentences)
            window = _EncodedSentences(self, [sentences[n] for n in nonempty])
            for rows in even_batches(window.lengths):
                for row, answer in zip(rows.tolist(), self._answers(window.distribution(rows), output), strict=True):
                    answers[nonempty[row]] = answer
        scheme = self.tags.file_scheme
        return [
            Tagging(
                sentence.tokens, answer.tags, answer.confidence, scheme, _source_text(sentence), answer.marginals,
                answer.label, answer.label_confidence,
            )
            for sentence, answer in zip(sentences, answers, strict=True)
        ]  # fmt: skip

    def _answers(self, distribution: Distribution, output: OutputOptions) -> list[_Answer]:
        paths = self.model.head.decide(distribution)
        if not isinstance(distribution, TriangularChain):
            assert isinstance(distribution, TagDistribution)
            return self._tagged(distribution, paths, output)
        labels, answers = paths[:, 0], self._tagged(distribution, paths[:, 1:], output)
        confidence: list[float | None] = [None] * len(answers)
        if output.confidence and self.calibrated:
            confidence = distribution.label_marginals().double().gather(1, labels.unsqueeze(1)).squeeze(1).tolist()
        rows = zip(answers, labels.tolist(), confidence, strict=True)
        return [replace(row, label=self.model.task.labels[k], label_confidence=share) for row, k, share in rows]

    def _tagged(self, chain: TagDistribution, best: Tensor, output: OutputOptions) -> list[_Answer]:
        paths, lengths = best.cpu().numpy(), chain.lengths.tolist()
        tags = [self.tags.decode(path[:length]) for path, length in zip(paths.tolist(), lengths, strict=True)]
        unknown = [None] * len(tags)
        confidence = self.confidences.of(chain, paths) if output.confidence and self.calibrated else unknown
        marginals = self._marginals(chain) if output.marginals and self.calibrated else unknown
        return list(map(_Answer, tags, confidence, marginals))

    def _marginals(self, chain: TagDistribution) -> list[tuple[dict[str, float], ...]]:
        labels = self.marginals.labels
        rows = self.marginals.of(chain).tolist()
        return [
            tuple(dict(zip(labels, step, strict=True)) for step in row[:length])
            for row, length in zip(rows, chain.lengths.tolist(), strict=True)
        ]


def _source_text(sentence: Example) -> str | None:
    """The text that the tokens' offsets refer to; None if a token has none."""
    have_offsets = all(isinstance(token, TextToken) for token in sentence.tokens)
    return sentence.metadata.get("text") if have_offsets else None


def even_batches(lengths: IntArray) -> Iterator[IntArray]:
    """Batches of row numbers, the longest rows first.

    A batch has at most `MAX_SENTENCES` rows and `MAX_TOKENS` padded steps; a row longer than that is a batch alone. A
    batch of at least `MIN_EVEN` rows ends where the length changes, so that it needs no padding.
    """
    order = np.argsort(-lengths, kind="stable")
    falling = lengths[order].tolist()
    start = 0
    for place, length in enumerate(falling):
        rows = place - start
        full = rows >= MAX_SENTENCES or (rows + 1) * falling[start] > MAX_TOKENS
        if rows and (full or (rows >= MIN_EVEN and length != falling[place - 1])):
            yield order[start:place]
            start = place
    if len(order):
        yield order[start:]


class _EncodedSentences:
    """All sentences in one array; the vector of each distinct word is looked up or computed once."""

    def __init__(self, tagger: BatchTagger, sentences: Sequence[Example]) -> None:
        self.model = tagger.model
        inputs = self.model.inputs
        self.lengths = np.fromiter((len(sentence) for sentence in sentences), np.int64, len(sentences))
        self.starts = np.cumsum(self.lengths) - self.lengths
        tokens = [token for sentence in sentences for token in sentence.tokens]
        columns = {
            name: [[value for sentence in sentences for value in sentence.inputs[name]]]
            for name in inputs.column_vocabularies
        }
        batch = inputs.encode_tokens([tokens], columns)
        self.columns = {name: values[0] for name, values in batch.columns.items()}
        # Out-of-vocabulary numbers are the highest, so they are the last of the distinct ones.
        distinct, self.ids = np.unique(batch.ids[0], return_inverse=True)  # ids: a row of `table` for each token
        known = torch.from_numpy(distinct[: len(distinct) - len(batch.oov_words)])
        self.table = tagger.table[known.to(tagger.table.device)]
        if batch.oov_words:
            numbers = torch.arange(len(batch.oov_words))  # only their count matters
            self.table = torch.cat([self.table, inputs.word_vectors(numbers, batch.oov_words)])
        self.projection = tagger.projection

    def distribution(self, rows: IntArray) -> Distribution:
        lengths = self.lengths[rows]
        steps = np.arange(lengths.max())
        real = steps < lengths[:, None]
        places = np.where(real, self.starts[rows][:, None] + steps, 0)
        if self.projection and len(rows) >= MIN_EVEN:
            parts = [(table, np.where(real, values[places], 0)) for table, values in self.projected]
            return self.model.head(self.projection.states(parts, lengths))
        columns = {name: np.where(real, values[places], 0) for name, values in self.columns.items()}
        # () for unknown words: `table` has their vectors already.
        batch = TokenBatch(np.where(real, self.ids[places], 0), (), columns, lengths)
        return self.model.distribution(batch, self.table)

    @cached_property
    def projected(self) -> list[tuple[Tensor, IntArray]]:
        """For words and for each column: projected vectors, and the number of each token in them."""
        assert self.projection
        parts = [(self.projection.project(self.table, 0, bias=True), self.ids)]
        start = self.table.shape[1]
        for name, values in self.columns.items():
            distinct, places = np.unique(values, return_inverse=True)
            vectors = self.model.inputs.columns[name](torch.from_numpy(distinct))
            parts.append((self.projection.project(vectors, start, bias=False), places))
            start += vectors.shape[1]
        return parts


class TagMarginals:
    """For each token the posterior probability of each tag of the file scheme.

    If each tag of the model scheme always becomes the same file tag, these are sums of tag marginals. Otherwise (BIOES
    learned for files in IOB1) a file tag depends on its neighbours; then it is the probability of an edge pattern of
    one token.
    """

    def __init__(self, tags: TagSet) -> None:
        self.tags = tags
        file_tags = tags.file_tags
        self.labels = tuple(dict.fromkeys(file_tags)) if file_tags is not None else tuple(self._patterns)

    def of(self, chain: TagDistribution) -> NDArray[np.float64]:
        """(B, T, labels) probabilities, 0 beyond each row's length."""
        inside = chain.marginals().double().cpu().numpy()
        if self.tags.file_tags is not None:
            place = {label: n for n, label in enumerate(self.labels)}
            summing = np.zeros((inside.shape[2], len(self.labels)))
            summing[np.arange(inside.shape[2]), [place[label] for label in self.tags.file_tags]] = 1
            return inside @ summing
        return self._by_patterns(chain, inside.shape[1])

    def _by_patterns(self, chain: TagDistribution, steps: int) -> NDArray[np.float64]:
        lengths = chain.lengths.tolist()
        tokens = [(row, t) for row, length in enumerate(lengths) for t in range(length)]
        spans = [(row, t, t + 1, n) for row, t in tokens for n in range(len(self.labels))]
        found = chain.span_probabilities(spans, list(self._patterns.values())).numpy()
        table = np.zeros((len(lengths), steps, len(self.labels)))
        if tokens:
            rows, places = np.array(tokens).T
            table[rows, places] = found.reshape(len(tokens), len(self.labels))
        return table

    @cached_property
    def _patterns(self) -> dict[str, EdgePattern]:
        """For each file tag, the edges into and out of a token."""
        patterns = {}
        outside = np.array([label == "O" for label in self.tags.labels])
        if outside.any():
            from_o = np.outer(outside, np.ones_like(outside))  # (K, K) [from, to]
            patterns["O"] = EdgePattern(outside, from_o.T, from_o & False, from_o, outside)
        for label, edges in zip(self.tags.types, self.tags.edges(), strict=True):
            for tag, (opens, closes) in self._neighbours_of_tags(label).items():
                patterns[tag] = _one_token(edges, opens, closes)
        return patterns

    def _neighbours_of_tags(self, label: str) -> dict[str, tuple[set[str], set[str]]]:
        """The file tags of one type, each with the relations of its entity to the tokens before and after.

        ``within``: the neighbour is in the entity; ``touch``: in another of this type; ``edge``: in neither. Found by
        encoding a sentence of five tokens for each combination; the two sides are independent.
        """
        letters: dict[str, tuple[set[str], set[str]]] = {}
        for opens, closes in product(("within", "edge", "touch"), repeat=2):
            spans = [Span(1 if opens == "within" else 2, 4 if closes == "within" else 3, label)]
            spans += [Span(1, 2, label)] if opens == "touch" else []
            spans += [Span(3, 4, label)] if closes == "touch" else []
            sets = letters.setdefault(self.tags.file_scheme.encode(spans, 5)[2], (set(), set()))
            sets[0].add(opens)
            sets[1].add(closes)
        return letters


def _one_token(edges: Edges, openings: set[str], closings: set[str]) -> EdgePattern:
    """The pattern of an entity's token with these relations to its neighbours; nothing continues in one token."""
    own = np.asarray(edges.start)
    opens, continues, closes = (np.asarray(part) for part in (edges.opens, edges.continues, edges.closes))
    into = {"within": continues, "edge": opens & ~own[:, None], "touch": opens & own[:, None]}
    out = {"within": continues, "edge": closes & ~own[None, :], "touch": closes & own[None, :]}
    return EdgePattern(
        own & ("edge" in openings),
        np.logical_or.reduce([into[name] for name in openings]),
        np.zeros_like(continues),
        np.logical_or.reduce([out[name] for name in closings]),
        own & ("edge" in closings),
    )
