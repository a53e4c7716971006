"""BatchTagger: a model made ready for tagging; whole windows of sentences in, answers in the same order out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from structseq.data.example import Example
from structseq.features.encoding import TokenBatch
from structseq.inference.marginals import TagMarginals
from structseq.inference.predictor import OutputOptions
from structseq.inference.projection import Projection
from structseq.model import Model
from structseq.padded import Padded
from structseq.structures.base import Distribution
from structseq.structures.chain import EdgePattern, TagDistribution
from structseq.structures.triangular import TriangularChain
from structseq.tasks.answers import Tagging, TextToken

Numbers = NDArray[np.int64]

# Sentences and tokens of a batch at most: enough to keep the matrix products busy, little enough to stay in the cache.
SENTENCES, TOKENS = 96, 4096
# So many sentences are worth a batch of their own length, without padding, and the way through a `Projection`.
ENOUGH = 24


@dataclass(frozen=True, slots=True)
class _Answer:
    """One sentence's; None where something was not asked for, or is not known."""

    tags: tuple[str, ...] = ()
    confidence: tuple[float, ...] | None = None
    marginals: tuple[dict[str, float], ...] | None = None
    label: str | None = None
    label_confidence: float | None = None


class BatchTagger:
    """Nothing in it changes after it is made, so that threads may share it."""

    def __init__(self, model: Model) -> None:
        self.model = model.eval()
        self.tags = model.tags
        self.marginals = TagMarginals(model.tags)
        self.patterns = [EdgePattern(*edges) for edges in model.tags.edges()]
        self.projection = Projection.of(model)
        with torch.inference_mode():
            self.table = model.inputs.word_table()
            state = Padded(torch.zeros(1, 1, model.encoder.width, device=self.table.device), torch.tensor([1]))
            self.calibrated = model.head(state).calibrated
        count = len(self.tags.labels)
        # (K,) each tag's type, -1 for O; (K, K) whether the second tag goes on with the entity of the first
        self.kinds = np.full(count, -1, np.int64)
        self.joins = np.zeros((count, count), np.bool_)
        for kind, pattern in enumerate(self.patterns):
            self.kinds[np.asarray(pattern.first)] = kind
            self.joins |= np.asarray(pattern.continues)

    def tag(self, sentences: Sequence[Example], output: OutputOptions) -> list[Tagging]:
        """Each sentence's tagging, in the order given."""
        lengths = [len(sentence) for sentence in sentences]
        nothing = () if self.calibrated else None
        empty = _Answer((), nothing if output.confidence else None, nothing if output.marginals else None)
        full = [n for n, length in enumerate(lengths) if length]
        with torch.inference_mode():
            if len(full) < len(sentences) and self.model.task.labels:  # an empty sentence still gets a label
                nowhere = Example({"tokens": (), **dict.fromkeys(self.model.inputs.column_vocabularies, ())})
                (empty,) = self._answers(self.model.distribution(self.model.inputs.encode([nowhere])), output)
            answers = [empty] * len(sentences)
            window = _Window(self, [sentences[n] for n in full])
            for rows in even_batches(window.lengths):
                for row, answer in zip(rows.tolist(), self._answers(window.distribution(rows), output), strict=True):
                    answers[full[row]] = answer
        scheme = self.tags.outer
        return [
            Tagging(
                sentence.tokens, answer.tags, answer.confidence, scheme, _text_of(sentence), answer.marginals,
                answer.label, answer.label_confidence,
            )
            for sentence, answer in zip(sentences, answers, strict=True)
        ]  # fmt: skip

    def _answers(self, found: Distribution, output: OutputOptions) -> list[_Answer]:
        paths = self.model.head.decide(found)
        if not isinstance(found, TriangularChain):
            assert isinstance(found, TagDistribution)
            return self._tagged(found, paths, output)
        labels, answers = paths[:, 0], self._tagged(found, paths[:, 1:], output)
        sure: list[float | None] = [None] * len(answers)
        if output.confidence and self.calibrated:
            sure = found.label_marginals().double().gather(1, labels.unsqueeze(1)).squeeze(1).tolist()
        names = self.model.task.labels
        told = zip(answers, labels.tolist(), sure, strict=True)
        return [replace(answer, label=names[k], label_confidence=share) for answer, k, share in told]

    def _tagged(self, chain: TagDistribution, decided: Tensor, output: OutputOptions) -> list[_Answer]:
        """Answers with the tags ``decided`` (B, T)."""
        paths, lengths = decided.cpu().numpy(), chain.lengths.tolist()
        tags = [self.tags.decode(path[:length]) for path, length in zip(paths.tolist(), lengths, strict=True)]
        unknown = [None] * len(tags)
        confidence = self._confidence(chain, paths) if output.confidence and self.calibrated else unknown
        marginals = self._marginals(chain) if output.marginals and self.calibrated else unknown
        return list(map(_Answer, tags, confidence, marginals))

    def _confidence(self, chain: TagDistribution, paths: Numbers) -> list[tuple[float, ...]]:
        lengths = chain.lengths.numpy()
        if self.tags.outer.plain:
            each = chain.marginals().cpu().numpy()
            chosen = np.take_along_axis(each, paths[..., None], -1)[..., 0].tolist()
            return [tuple(row[:length]) for row, length in zip(chosen, lengths.tolist(), strict=True)]
        spans = self._spans(paths, lengths)
        kinds, spans[:, 3] = np.unique(spans[:, 3], return_inverse=True)
        asked = [tuple(span) for span in spans.tolist()]
        sure = chain.span_probabilities(asked, [self.patterns[kind] for kind in kinds.tolist()]).tolist()
        ends = np.cumsum(np.bincount(spans[:, 0], minlength=len(paths))).tolist()
        return [tuple(sure[start:end]) for start, end in zip([0, *ends], ends, strict=False)]

    def _spans(self, paths: Numbers, lengths: Numbers) -> Numbers:
        """(S, 4) row, start, end, type of each entity on the ``paths`` (B, T), row by row from left to right."""
        real = np.arange(paths.shape[1]) < lengths[:, None]
        kinds = np.where(real, self.kinds[paths], -1)
        joined = np.zeros_like(real)
        joined[:, 1:] = self.joins[paths[:, :-1], paths[:, 1:]] & real[:, 1:]
        goes_on = np.zeros_like(real)
        goes_on[:, :-1] = joined[:, 1:]
        rows, starts = np.nonzero((kinds >= 0) & ~joined)
        _, lasts = np.nonzero((kinds >= 0) & ~goes_on)
        return np.stack([rows, starts, lasts + 1, kinds[rows, starts]], 1)

    def _marginals(self, chain: TagDistribution) -> list[tuple[dict[str, float], ...]]:
        labels = self.marginals.labels
        rows = self.marginals.of(chain).tolist()
        return [
            tuple(dict(zip(labels, step, strict=True)) for step in row[:length])
            for row, length in zip(rows, chain.lengths.tolist(), strict=True)
        ]


def _text_of(sentence: Example) -> str | None:
    """The text that its tokens were cut from here; None for tokens that came as such."""
    cut = all(isinstance(token, TextToken) for token in sentence.tokens)
    return sentence.metadata.get("text") if cut else None


def even_batches(lengths: Numbers) -> Iterator[Numbers]:
    """Row numbers, the longest rows first, cut where the length changes and a batch has `ENOUGH` of them.

    No batch has more than `SENTENCES` rows or `TOKENS` steps, but a longer row is a batch of its own.
    """
    order = np.argsort(-lengths, kind="stable")
    falling = lengths[order].tolist()
    start = 0
    for place, length in enumerate(falling):
        rows = place - start
        full = rows >= SENTENCES or (rows + 1) * falling[start] > TOKENS
        if rows and (full or (rows >= ENOUGH and length != falling[place - 1])):
            yield order[start:place]
            start = place
    if len(order):
        yield order[start:]


class _Window:
    """Sentences laid end to end as numbers; each distinct word of theirs looked up, or computed, once."""

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
        """The head's answer to these rows of the window."""
        lengths = self.lengths[rows]
        steps = np.arange(lengths.max())
        real = steps < lengths[:, None]
        places = np.where(real, self.starts[rows][:, None] + steps, 0)
        if self.projection and len(rows) >= ENOUGH:
            parts = [(table, np.where(real, values[places], 0)) for table, values in self.projected]
            chain = self.model.head(self.projection.states(parts, lengths))
        else:
            columns = {name: np.where(real, values[places], 0) for name, values in self.columns.items()}
            chain = self.model.distribution(
                TokenBatch(np.where(real, self.ids[places], 0), (), columns, lengths), self.table
            )
        return chain

    @cached_property
    def projected(self) -> list[tuple[Tensor, Numbers]]:
        """What each word and each column's values contribute to the first layer's gates, and which stands where."""
        assert self.projection
        parts = [(self.projection.project(self.table, 0, bias=True), self.ids)]
        start = self.table.shape[1]
        for name, values in self.columns.items():
            distinct, places = np.unique(values, return_inverse=True)
            vectors = self.model.inputs.columns[name](torch.from_numpy(distinct))
            parts.append((self.projection.project(vectors, start, bias=False), places))
            start += vectors.shape[1]
        return parts
