"""Scores of predicted tags: entity precision, recall and F1 (Tjong Kim Sang and Buchholz 2000), or accuracy.

conlleval's rule counts every entity, the strict rule (seqeval's ``mode="strict"``) those of `Scheme.decode_strict`. All
scores are 0 for 0 / 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from structseq.evaluation.calibration import Calibration, calibration_of
from structseq.evaluation.matching import Matching, TagRows, Units, check_lengths, match
from structseq.evaluation.mistakes import confusions_of, mistakes_of
from structseq.evaluation.report import Report, Score, Table, ratio
from structseq.evaluation.signature import package_version
from structseq.evaluation.significance import LEVEL, score_intervals
from structseq.spans.schemes import Scheme


def entity_f1(gold: TagRows, predicted: TagRows, scheme: Scheme) -> float:
    """Micro F1 of entities by conlleval's rule, 0 to 1; accuracy if tags are plain.

    Raises `DataError` if lengths differ or a tag does not belong to the scheme.
    """
    matching = match(gold, predicted, scheme)
    return ratio(2 * int(matching.gold_found.sum()), len(matching.gold) + len(matching.predicted))


def evaluate(
    gold: TagRows,
    predicted: TagRows,
    *,
    scheme: Scheme,
    confidences: Sequence[Sequence[float]] | None = None,
    tokens: Sequence[Sequence[str]] | None = None,
    known_entities: Collection[tuple[str, str]] | None = None,
    known_tags: Collection[str] | None = None,
    sources: Sequence[str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Report:
    """Compare tag sequences, sentence by sentence.

    ``confidences`` are those of each sentence's predicted units, from left to right, 0 to 1.
    ``tokens`` and ``sources`` (``file:line``) describe the errors. ``known_entities`` (`entities_of` the training data)
    and ``tokens`` together add scores of seen and unseen entities. Gold tags outside ``known_tags`` are listed.
    ``bootstrap`` is the number of resamples for intervals; 0 for none.

    Raises `DataError` if lengths differ or a tag does not belong to the scheme, ValueError for other numbers of
    confidences.

    >>> from structseq.spans import scheme_of
    >>> report = evaluate([["B-x", "O"]], [["B-x", "B-y"]], scheme=scheme_of("BIO"), bootstrap=0)
    >>> report.micro.precision, report.micro.recall, report.errors[0].kind
    (0.5, 1.0, 'spurious')
    """
    matching = match(gold, predicted, scheme, sources)
    if tokens is not None:
        check_lengths(gold, tokens, "tokens", sources)
    right = matching.gold_tags == matching.predicted_tags
    table = _plain_table(matching) if scheme.plain else _entity_table(matching)
    well_formed = bool(matching.gold.well_formed.all() and matching.predicted.well_formed.all())
    seen, unseen = _seen_and_unseen(matching, tokens, known_entities)
    mistakes = mistakes_of(matching, tokens=tokens, sources=sources)
    return Report(
        scheme=scheme.name,
        sentences=len(gold),
        tokens=len(right),
        accuracy=ratio(int(right.sum()), len(right)),
        table=table,
        strict=table if well_formed else _entity_table(matching.strict()),
        intervals=score_intervals(matching, bootstrap, seed, plain=scheme.plain),
        seen=seen,
        unseen=unseen,
        confusion=confusions_of(mistakes),
        errors=mistakes,
        unseen_tags=_unseen_tags(matching, known_tags),
        signature=_signature(scheme, bootstrap if len(gold) else 0, seed),
        calibration=_calibration(matching, confidences),
    )


def entities_of(tokens: Sequence[Sequence[str]], tags: TagRows, scheme: Scheme) -> frozenset[tuple[str, str]]:
    """The distinct (text, type) of a corpus, words joined by spaces; (token, tag) if tags are plain.

    >>> from structseq.spans import scheme_of
    >>> entities_of([["to", "New", "York"]], [["O", "B-city", "I-city"]], scheme_of("BIO"))
    frozenset({('New York', 'city')})
    """
    matching = match(tags, tags, scheme)
    check_lengths(tags, tokens, "tokens")
    return frozenset(_texts_and_types(matching, matching.gold, tokens))


# -- tables of scores --------------------------------------------------------------------------------------------------


def _score_of(correct: int, support: int, predicted: int) -> Score:
    f1 = ratio(2 * correct, support + predicted)
    return Score(ratio(correct, predicted), ratio(correct, support), f1, support, predicted, correct)


def _entity_table(matching: Matching) -> Table:
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    sides = [_bio(matching, units) for units in (matching.gold, matching.predicted)]
    return _table(matching, precision_recall_fscore_support, sides)


def _plain_table(matching: Matching) -> Table:
    from sklearn.metrics import precision_recall_fscore_support

    return _table(matching, precision_recall_fscore_support, (matching.gold_tags, matching.predicted_tags))


def _table(matching: Matching, scores: Callable[..., Any], sides: Sequence[Any]) -> Table:
    if not len(matching.gold) and not len(matching.predicted):
        return Table(_score_of(0, 0, 0), _score_of(0, 0, 0), {})
    count = len(matching.kinds)
    support = np.bincount(matching.gold.kind, minlength=count)
    predicted = np.bincount(matching.predicted.kind, minlength=count)
    correct = np.bincount(matching.gold.kind[matching.gold_found], minlength=count)

    def row(shares: Iterable[float], *counts: int) -> Score:
        precision, recall, f1 = map(float, shares)
        return Score(precision, recall, f1, *map(int, counts))

    each, micro, macro = (scores(*sides, average=average, zero_division=0)[:3] for average in (None, "micro", "macro"))
    types = {
        matching.kinds[kind]: row(shares, support[kind], predicted[kind], correct[kind])
        for kind, *shares in zip(np.flatnonzero(support + predicted), *each, strict=True)
    }
    sums = (support.sum(), predicted.sum(), correct.sum())
    return Table(row(micro, *sums), row(macro, *sums), types)


def _bio(matching: Matching, units: Units) -> list[list[str]]:
    """BIO tags by sentence, with numbers for types, because seqeval splits names at hyphens."""
    count = len(matching.kinds)
    width = len(str(count))
    names = np.array(["O", *(f"{letter}-{kind:0{width}d}" for letter in "BI" for kind in range(count))], object)
    codes = np.zeros(int(matching.offsets[-1]), np.intp)
    lengths = units.end - units.start
    # Every token of every unit: the unit's start plus 0, 1, 2, ... within the unit
    position = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    codes[np.repeat(units.start, lengths) + position] = np.repeat(1 + count + units.kind, lengths)
    codes[units.start] = 1 + units.kind
    tags = names[codes].tolist()
    return [tags[start:end] for start, end in pairwise(matching.offsets.tolist())]


# -- other parts of the report -----------------------------------------------------------------------------------------


def _texts_and_types(matching: Matching, units: Units, tokens: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    flat = [token for row in tokens for token in row]
    bounds = zip(units.start.tolist(), units.end.tolist(), units.kind.tolist(), strict=True)
    return [(" ".join(flat[start:end]), matching.kinds[kind]) for start, end, kind in bounds]


def _seen_and_unseen(
    matching: Matching, tokens: Sequence[Sequence[str]] | None, known: Collection[tuple[str, str]] | None
) -> tuple[Score | None, Score | None]:
    if tokens is None or known is None:
        return None, None
    lookup = frozenset(known)
    gold, predicted = (
        np.array([name in lookup for name in _texts_and_types(matching, units, tokens)], np.bool_)
        for units in (matching.gold, matching.predicted)
    )
    seen, unseen = (
        _score_of(int((matching.gold_found & part).sum()), int(part.sum()), int(predicted_part.sum()))
        for part, predicted_part in ((gold, predicted), (~gold, ~predicted))
    )
    return seen, unseen


def _unseen_tags(matching: Matching, known: Collection[str] | None) -> dict[str, int]:
    lookup = frozenset(matching.tags if known is None else known)
    counts = np.bincount(matching.gold_tags, minlength=len(matching.tags)).tolist()
    unseen = {tag: count for tag, count in zip(matching.tags, counts, strict=True) if count and tag not in lookup}
    return dict(Counter(unseen).most_common())


def _calibration(matching: Matching, confidences: Sequence[Sequence[float]] | None) -> Calibration | None:
    if confidences is None:
        return None
    return calibration_of([share for row in confidences for share in row], matching.predicted_correct)


def _signature(scheme: Scheme, resamples: int, seed: int) -> str:
    library = "scikit-learn" if scheme.plain else "seqeval"
    score = ["accuracy"] if scheme.plain else ["entity-F1", "rule:conlleval"]
    interval = f"bootstrap,{LEVEL}%,logit-t,sentences,n={resamples},seed={seed}" if resamples else "none"
    parts = [*score, f"scheme:{scheme.name}", "average:micro", "0/0:0", f"interval:{interval}"]
    return "|".join([*parts, package_version(library), package_version("structseq")])
