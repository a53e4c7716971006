"""Sentences with a label and tags: a report on each, and the frame accuracy of both together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from structseq.errors import DataError
from structseq.evaluation.entities import evaluate
from structseq.evaluation.matching import TagRows
from structseq.evaluation.report import Report, interval_text, percent, ratio
from structseq.evaluation.significance import Interval, resample, share_interval
from structseq.spans.schemes import PLAIN, Scheme


@dataclass(frozen=True, slots=True)
class JointReport:
    """The result of `evaluate_jointly`.

    ``frame`` is the frame accuracy, the share of sentences whose label and tags are all right, 0 to 1; ``interval`` is
    its 95 % interval (None without resamples). ``label`` scores labels as plain tags, one for each sentence.
    """

    tags: Report
    label: Report
    frame: float
    interval: Interval | None

    @property
    def criterion(self) -> float:
        """The mean of the tags' criterion and the label accuracy."""
        return (self.tags.criterion + self.label.criterion) / 2

    def to_dict(self, *, errors: int | None = 0) -> dict[str, Any]:
        return {
            "criterion": self.criterion,
            "score": "mean of tags and labels",
            "frame_accuracy": self.frame,
            "frame_interval": None if self.interval is None else list(self.interval),
            "tags": self.tags.to_dict(errors=errors),
            "label": self.label.to_dict(errors=errors),
        }

    def text(self, errors: int | None = 0) -> str:
        heading = (
            f"frame accuracy  {percent(self.frame)}  {interval_text(self.interval)}".rstrip()
            + f"\nlabel accuracy  {percent(self.label.criterion)}\ntags            {percent(self.tags.criterion)}"
        )
        return f"{heading}\n\n-- tags\n\n{self.tags.text(errors)}\n\n-- labels\n\n{self.label.text(errors)}"

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
    confidences: Sequence[Sequence[float]] | None = None,
    sources: Sequence[str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> JointReport:
    """Compare answers, each a sentence's label followed by its tags.

    ``known_labels`` are the training data's labels, ``confidences`` those of a label and its units; other parameters,
    and what is raised, as in `evaluate`.
    """
    if len(gold) != len(predicted):
        raise DataError(f"expected as many predicted answers as gold ones, {len(gold)}, found {len(predicted)}")
    tags = [[row[1:] for row in side] for side in (gold, predicted)]
    labels = [[row[:1] for row in side] for side in (gold, predicted)]
    common: dict[str, Any] = {"sources": sources, "bootstrap": bootstrap, "seed": seed}
    slots = intents = None
    if confidences is not None:
        slots, intents = [row[1:] for row in confidences], [row[:1] for row in confidences]
    right = np.array([tuple(one) == tuple(other) for one, other in zip(gold, predicted, strict=True)], np.int64)
    interval = None
    if bootstrap and len(right):
        drawn = resample(right[:, None], bootstrap, seed)[:, 0] / len(right)
        interval = share_interval(float(right.mean()), drawn, len(right))
    texts = None if tokens is None else [(" ".join(row),) for row in tokens]
    known: dict[str, Any] = {"known_entities": known_entities, "known_tags": known_tags}
    return JointReport(
        evaluate(tags[0], tags[1], scheme=scheme, confidences=slots, tokens=tokens, **known, **common),
        evaluate(*labels, scheme=PLAIN, confidences=intents, tokens=texts, known_tags=known_labels, **common),
        ratio(int(right.sum()), len(right)),
        interval,
    )
