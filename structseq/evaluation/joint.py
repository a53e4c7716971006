"""Sentences with a label and tags: both reports, and the share of sentences in which everything is right."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from structseq.errors import DataError
from structseq.evaluation.comparison import evaluate
from structseq.evaluation.intervals import LEVEL, resample
from structseq.evaluation.matching import TagRows
from structseq.evaluation.report import Report
from structseq.evaluation.scores import ratio
from structseq.spans.schemes import PLAIN, Scheme


@dataclass(frozen=True, slots=True)
class JointReport:
    """What `evaluate_jointly` found.

    Attributes
    ----------
    tags, label:
        The report on the tags, and the one on the labels, in which a label is the one tag of its sentence.
    frame:
        Share of sentences with the right label and every tag right (frame accuracy), 0 to 1.
    interval:
        Its 95 % bootstrap interval over sentences; None if none was asked.
    """

    tags: Report
    label: Report
    frame: float
    interval: tuple[float, float] | None

    @property
    def criterion(self) -> float:
        """The mean of the tags' criterion and the labels' accuracy, as training watches it."""
        return (self.tags.criterion + self.label.criterion) / 2

    def to_dict(self, *, errors: int | None = 0) -> dict[str, Any]:
        """Plain values for JSON; ``errors``: how many of each part's to list, None for all."""
        return {
            "criterion": self.criterion,
            "score": "mean of tags and labels",
            "frame_accuracy": self.frame,
            "frame_interval": None if self.interval is None else list(self.interval),
            "tags": self.tags.to_dict(errors=errors),
            "label": self.label.to_dict(errors=errors),
        }

    def text(self, errors: int | None = 0) -> str:
        """The report for a terminal."""
        sure = ""
        if self.interval is not None:
            sure = f"  {LEVEL}% interval {100 * self.interval[0]:.2f} to {100 * self.interval[1]:.2f}"
        head = (
            f"everything right  {100 * self.frame:.2f}{sure}\n"
            f"label right       {100 * self.label.criterion:.2f}\n"
            f"tags              {100 * self.tags.criterion:.2f}"
        )
        return f"{head}\n\n-- tags\n\n{self.tags.text(errors)}\n\n-- labels\n\n{self.label.text(errors)}"

    def __str__(self) -> str:
        return self.text()


def evaluate_jointly(
    gold: TagRows,
    predicted: TagRows,
    *,
    scheme: Scheme,
    tokens: Sequence[Sequence[str]] | None = None,
    known_entities: Collection[tuple[str, str]] | None = None,
    known_tags: Collection[str] | None = None,
    known_labels: Collection[str] | None = None,
    sources: Sequence[str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> JointReport:
    """Compare answers that hold a sentence's label first and then its tags; parameters as in `evaluate`, and
    ``known_labels`` are to the labels what ``known_tags`` are to the tags.

    >>> from structseq.spans import scheme_of
    >>> rows = [["book", "O", "B-x"], ["info", "O", "O"]]
    >>> evaluate_jointly(rows, [["book", "O", "B-x"], ["info", "O", "B-x"]], scheme=scheme_of("BIO")).frame
    0.5
    """
    if len(gold) != len(predicted):
        raise DataError(f"expected as many predicted answers as gold ones, {len(gold)}, found {len(predicted)}")
    parts = [([row[1:] for row in side], [row[:1] for row in side]) for side in (gold, predicted)]
    (tags, labels), (found_tags, found_labels) = parts
    own: dict[str, Any] = {"sources": sources, "bootstrap": bootstrap, "seed": seed}
    right = np.array([tuple(one) == tuple(other) for one, other in zip(gold, predicted, strict=True)], np.int64)
    interval = None
    if bootstrap and len(right):
        shares = resample(right[:, None], bootstrap, seed)[:, 0] / len(right)
        low, high = np.percentile(shares, ((100 - LEVEL) / 2, (100 + LEVEL) / 2))
        interval = (float(low), float(high))
    texts = None if tokens is None else [(" ".join(row),) for row in tokens]
    return JointReport(
        evaluate(
            tags, found_tags, scheme=scheme, tokens=tokens, known_entities=known_entities, known_tags=known_tags, **own
        ),
        evaluate(labels, found_labels, scheme=PLAIN, tokens=texts, known_tags=known_labels, **own),
        ratio(int(right.sum()), len(right)),
        interval,
    )
