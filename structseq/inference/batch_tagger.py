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
from structseq.inference.predictor import OutputOptions
from structseq.inference.projection import Projection
from structseq.model import Model
from structseq.padded import Padded
from structseq.spans import Edges, Span, TagSet
from structseq.structures.base import Distribution
from structseq.structures.chain import EdgePattern, TagDistribution
from structseq.structures.triangular import TriangularChain
from structseq.tasks.answers import Tagging, TextToken

Numbers = NDArray[np.int64]

# Maximum sentences and tokens of a batch: enough for efficient matrix products, few enough to fit in the cache.
MAX_SENTENCES, MAX_TOKENS = 96, 4096
# From this many sentences of one length on, a batch without padding and with a `Projection` is faster.
MIN_EVEN = 24


@dataclass(frozen=True, slots=True)
class _Answer:
    """Predictions for one sentence; None: not requested, or not available."""

    tags: tuple[str, ...] = ()
    confidence: tuple[float, ...] | None = None
    marginals: tuple[dict[str, float], ...] | None = None
    label: str | None = None
    label_confidence: float | None = None


class BatchTagger:
    """A model prepared for tagging; ``table`` is from `Inputs.word_table`."""

    def __init__(self, model: Model, table: Tensor) -> None:
        self.model = model.eval()
        self.tags = model.tags
        self.marginals = TagMarginals(model.tags)
        self.patterns = [EdgePattern(*edges) for edges in model.tags.edges()]
        self.projection, self.table = Projection.of(model), table
        with torch.inference_mode():
            state = Padded(torch.zeros(1, 1, model.encoder.width, device=self.table.device), torch.tensor([1]))
            self.calibrated = model.head(state).calibrated
        count = len(self.tags.labels)
        # (K,) each tag's type, -1 for O; (K, K) whether the second tag continues the entity of the first
        self.kinds = np.full(count, -1, np.int64)
        self.continues = np.zeros((count, count), np.bool_)
        for kind, pattern in enumerate(self.patterns):
            self.kinds[np.asarray(pattern.start)] = kind
            self.continues |= np.asarray(pattern.continues)

    def tag(self, sentences: Sequence[Example], output: OutputOptions) -> list[Tagging]:
        lengths = [len(sentence) for sentence in sentences]
        no_values = () if self.calibrated else None
        empty = _Answer((), no_values if output.confidence else None, no_values if output.marginals else None)
        full = [n for n, length in enumerate(lengths) if length]
        with torch.inference_mode():
            if len(full) < len(sentences) and self.model.task.labels:  # an empty sentence still gets a label
                no_tokens = Example({"tokens": (), **dict.fromkeys(self.model.inputs.column_vocabularies, ())})
                (empty,) = self._answers(self.model.distribution(self.model.inputs.encode([no_tokens])), output)
            answers = [empty] * len(sentences)
            window = _Window(self, [sentences[n] for n in full])
            for rows in even_batches(window.lengths):
                for row, answer in zip(rows.tolist(), self._answers(window.distribution(rows), output), strict=True):
                    answers[full[row]] = answer
        scheme = self.tags.file_scheme
        return [
            Tagging(
                sentence.tokens, answer.tags, answer.confidence, scheme, _text_of(sentence), answer.marginals,
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
        confidence = self._confidence(chain, paths) if output.confidence and self.calibrated else unknown
        marginals = self._marginals(chain) if output.marginals and self.calibrated else unknown
        return list(map(_Answer, tags, confidence, marginals))

    def _confidence(self, chain: TagDistribution, paths: Numbers) -> list[tuple[float, ...]]:
        lengths = chain.lengths.numpy()
        if self.tags.file_scheme.plain:
            each = chain.marginals().cpu().numpy()
            chosen = np.take_along_axis(each, paths[..., None], -1)[..., 0].tolist()
            return [tuple(row[:length]) for row, length in zip(chosen, lengths.tolist(), strict=True)]
        spans = self._spans(paths, lengths)
        kinds, spans[:, 3] = np.unique(spans[:, 3], return_inverse=True)
        patterns = [self.patterns[kind] for kind in kinds.tolist()]
        probabilities = chain.span_probabilities([tuple(span) for span in spans.tolist()], patterns).tolist()
        ends = np.cumsum(np.bincount(spans[:, 0], minlength=len(paths))).tolist()
        return [tuple(probabilities[start:end]) for start, end in zip([0, *ends], ends, strict=False)]

    def _spans(self, paths: Numbers, lengths: Numbers) -> Numbers:
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

    def _marginals(self, chain: TagDistribution) -> list[tuple[dict[str, float], ...]]:
        labels = self.marginals.labels
        rows = self.marginals.of(chain).tolist()
        return [
            tuple(dict(zip(labels, step, strict=True)) for step in row[:length])
            for row, length in zip(rows, chain.lengths.tolist(), strict=True)
        ]


def _text_of(sentence: Example) -> str | None:
    cut = all(isinstance(token, TextToken) for token in sentence.tokens)
    return sentence.metadata.get("text") if cut else None


def even_batches(lengths: Numbers) -> Iterator[Numbers]:
    """Batches of row numbers, the longest rows first.

    A batch has at most `MAX_SENTENCES` rows and `MAX_TOKENS` steps, or a single longer row.
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


class _Window:
    """Concatenated sentences; the vector of each distinct word is looked up or computed once."""

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
        distinct, self.ids = np.unique(batch.ids[0], return_inverse=True)
        known = torch.from_numpy(distinct[: len(distinct) - len(batch.oov_words)])
        self.table = tagger.table[known.to(tagger.table.device)]
        if batch.oov_words:
            numbers = torch.arange(len(batch.oov_words))
            self.table = torch.cat([self.table, inputs.word_vectors(numbers, batch.oov_words)])
        self.projection = tagger.projection

    def distribution(self, rows: Numbers) -> Distribution:
        lengths = self.lengths[rows]
        steps = np.arange(lengths.max())
        real = steps < lengths[:, None]
        places = np.where(real, self.starts[rows][:, None] + steps, 0)
        if self.projection and len(rows) >= MIN_EVEN:
            parts = [(table, np.where(real, values[places], 0)) for table, values in self.projected]
            return self.model.head(self.projection.states(parts, lengths))
        columns = {name: np.where(real, values[places], 0) for name, values in self.columns.items()}
        batch = TokenBatch(np.where(real, self.ids[places], 0), (), columns, lengths)
        return self.model.distribution(batch, self.table)

    @cached_property
    def projected(self) -> list[tuple[Tensor, Numbers]]:
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

    If a tag of the model scheme does not always become the same file tag (BIOES learned for files in IOB1), the
    probability of a file tag is that of an edge pattern one token wide.
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
            square = np.outer(outside, np.ones_like(outside))
            patterns["O"] = EdgePattern(outside, square.T, square & False, square, outside)
        for label, edges in zip(self.tags.types, self.tags.edges(), strict=True):
            for tag, (opens, closes) in self._letters(label).items():
                patterns[tag] = _one_token(edges, opens, closes)
        return patterns

    def _letters(self, label: str) -> dict[str, tuple[set[str], set[str]]]:
        """The file tags of one type, each with the relations of its entity to the tokens before and after.

        ``within``: the neighbour is in the entity; ``touch``: in another of this type; ``edge``: in neither.
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
