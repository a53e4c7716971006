"""Compare gold with predicted tags: one number for every epoch, and the report for the end.

Entity precision, recall and F1 are those of conlleval (Tjong Kim Sang and Buchholz 2000), computed by seqeval from
tags in BIO; beside them stands the strict rule (seqeval's ``mode="strict"``), which counts only entities written as
their scheme writes them. Plain tags are scored by scikit-learn: accuracy, and the same table by tag. Wherever
nothing is divided by nothing, the result is 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from structseq.evaluation.intervals import LEVEL, intervals_of
from structseq.evaluation.matching import Matching, TagRows, Units, check_lengths, match
from structseq.evaluation.mistakes import confusions_of, mistakes_of
from structseq.evaluation.report import Report
from structseq.evaluation.scores import Score, entity_table, plain_table, ratio, score_of
from structseq.spans.schemes import Scheme


def entity_f1(gold: TagRows, predicted: TagRows, scheme: Scheme) -> float:
    """Micro F1 of entities by conlleval's rule, 0 to 1; accuracy where tags are plain. Fast: one pass in arrays.

    Raises `DataError` where the two differ in length or a tag is none of the scheme's.

    >>> from structseq.spans import scheme_of
    >>> entity_f1([["B-x", "I-x", "O", "B-y"]], [["B-x", "I-x", "O", "B-x"]], scheme_of("BIO"))
    0.5
    """
    found = match(gold, predicted, scheme)
    return ratio(2 * int(found.gold_found.sum()), len(found.gold) + len(found.predicted))


def evaluate(
    gold: TagRows,
    predicted: TagRows,
    *,
    scheme: Scheme,
    tokens: Sequence[Sequence[str]] | None = None,
    known_entities: Collection[tuple[str, str]] | None = None,
    known_tags: Collection[str] | None = None,
    sources: Sequence[str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Report:
    """Compare tag sequences, sentence by sentence, and report.

    Parameters
    ----------
    gold, predicted:
        As many sequences of tags, of the same lengths; empty ones are fine.
    scheme:
        In which both are written.
    tokens:
        Their words, for the listing of errors and for seen and unseen entities.
    known_entities:
        `entities_of` the training data; with ``tokens``, seen and unseen entities are scored apart. A gold entity is
        looked up by its own text and type, a predicted one by its own.
    known_tags:
        The tags that training saw; gold tags beyond them are named, and are misses.
    sources:
        ``file:line`` of each sentence, for messages and the listing.
    bootstrap, seed:
        Number of resamples (0 for no interval), and the seed that decides them.

    Raises `DataError`, with the source, where lengths differ or a tag is none of the scheme's.

    >>> from structseq.spans import scheme_of
    >>> report = evaluate([["B-x", "O"]], [["B-x", "B-y"]], scheme=scheme_of("BIO"), bootstrap=0)
    >>> report.micro.precision, report.micro.recall, report.types["y"].support, report.errors[0].kind
    (0.5, 1.0, 0, 'spurious')
    """
    found = match(gold, predicted, scheme, sources)
    if tokens is not None:
        check_lengths(gold, tokens, "tokens", sources)
    right = found.gold_tags == found.predicted_tags
    table = plain_table(found) if scheme.plain else entity_table(found)
    all_written = bool(found.gold.written.all() and found.predicted.written.all())
    seen, unseen = _seen_and_unseen(found, tokens, known_entities)
    mistakes = mistakes_of(found, plain=scheme.plain, tokens=tokens, sources=sources)
    return Report(
        scheme=scheme.name,
        sentences=len(gold),
        tokens=len(right),
        accuracy=ratio(int(right.sum()), len(right)),
        table=table,
        strict=table if all_written else entity_table(found.strict()),
        intervals=intervals_of(found, bootstrap, seed, plain=scheme.plain),
        seen=seen,
        unseen=unseen,
        confusion=confusions_of(mistakes),
        errors=mistakes,
        unseen_tags=_unseen_tags(found, known_tags),
        signature=_signature(scheme, bootstrap if len(gold) else 0, seed),
    )


def entities_of(tokens: Sequence[Sequence[str]], tags: TagRows, scheme: Scheme) -> frozenset[tuple[str, str]]:
    """The distinct entities of a corpus as (text, type), words joined by a space; (token, tag) where tags are plain.

    >>> from structseq.spans import scheme_of
    >>> entities_of([["to", "New", "York"]], [["O", "B-city", "I-city"]], scheme_of("BIO"))
    frozenset({('New York', 'city')})
    """
    found = match(tags, tags, scheme)
    check_lengths(tags, tokens, "tokens")
    return frozenset(_named(found, found.gold, tokens))


def _named(found: Matching, units: Units, tokens: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """(text, type) of every unit."""
    flat = [token for row in tokens for token in row]
    bounds = zip(units.start.tolist(), units.end.tolist(), units.kind.tolist(), strict=True)
    return [(" ".join(flat[start:end]), found.kinds[kind]) for start, end, kind in bounds]


def _seen_and_unseen(
    found: Matching,
    tokens: Sequence[Sequence[str]] | None,
    known: Collection[tuple[str, str]] | None,
) -> tuple[Score | None, Score | None]:
    if tokens is None or known is None:
        return None, None
    lookup = known if isinstance(known, (set, frozenset)) else frozenset(known)
    gold, predicted = (
        np.array([name in lookup for name in _named(found, units, tokens)], np.bool_)
        for units in (found.gold, found.predicted)
    )
    seen, unseen = (
        score_of(int((found.gold_found & wanted_gold).sum()), int(wanted_gold.sum()), int(wanted_predicted.sum()))
        for wanted_gold, wanted_predicted in ((gold, predicted), (~gold, ~predicted))
    )
    return seen, unseen


def _unseen_tags(found: Matching, known: Collection[str] | None) -> dict[str, int]:
    if known is None:
        return {}
    counts = np.bincount(found.gold_tags, minlength=len(found.tags))
    lookup = frozenset(known)
    unseen = Counter({tag: int(n) for tag, n in zip(found.tags, counts, strict=True) if n and tag not in lookup})
    return dict(unseen.most_common())


def _signature(scheme: Scheme, resamples: int, seed: int) -> str:
    """How it was computed, after sacreBLEU's signatures (Post 2018)."""
    library = "scikit-learn" if scheme.plain else "seqeval"
    score = ["accuracy"] if scheme.plain else ["entity-F1", "rule:conlleval"]
    how = f"bootstrap,{LEVEL}%,percentile,sentences,n={resamples},seed={seed}" if resamples else "none"
    parts = [*score, f"scheme:{scheme.name}", "average:micro", "0/0:0", f"interval:{how}"]
    return "|".join([*parts, f"{library}:{_version(library)}", f"structseq:{_version('structseq')}"])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not-installed"
