"""Gold against predicted tags: one number for every epoch, and a report that says how each of its numbers came about.

Entity precision, recall and F1 are those of conlleval (Tjong Kim Sang and Buchholz 2000), computed by seqeval from
tags in BIO; beside them stands the strict rule (seqeval's ``mode="strict"``), which counts only entities written as
their scheme writes them. Plain tags are scored by scikit-learn: accuracy, and the same table by tag. Intervals are
percentile bootstrap over sentences (Efron and Tibshirani 1993, ch. 13). Wherever nothing is divided by nothing, the
result is 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from structseq import __version__
from structseq.matching import Matching, Places, TagRows, Units, check_lengths, match
from structseq.mistakes import KINDS, Confusion, Mistake, confusions_of, mistakes_of
from structseq.report_text import report_text
from structseq.schemes import Scheme
from structseq.scores import Score, Table, entity_table, plain_table, ratio, score_of

LEVEL = 95


@dataclass(frozen=True, slots=True)
class Report:
    """What `evaluate` found.

    Attributes
    ----------
    scheme:
        The tag scheme's name; "plain" where tags are no spans.
    sentences, tokens:
        How many were compared.
    accuracy:
        Share of tokens with the right tag, 0 to 1.
    table, strict:
        Scores by conlleval's rule and by the strict one; the same table where every tag sequence is legal.
    intervals:
        95 % bootstrap intervals (low, high) of micro precision, recall and f1, or of accuracy; empty if none was asked.
    seen, unseen:
        Scores over units whose text occurred with the same type in training and over the others; None where the
        training's entities were not given.
    confusion:
        Which type was taken for which, most frequent first; None for nothing, so that misses and spurious ones show.
    errors:
        Every wrong or missing unit, in the order of the text.
    unseen_tags:
        Gold tags that training never saw, with their number of tokens: misses, whatever was predicted.
    signature:
        How the numbers were computed, in one line.
    """

    scheme: str
    sentences: int
    tokens: int
    accuracy: float
    table: Table
    strict: Table
    intervals: Mapping[str, tuple[float, float]]
    seen: Score | None
    unseen: Score | None
    confusion: tuple[Confusion, ...]
    errors: tuple[Mistake, ...]
    unseen_tags: Mapping[str, int]
    signature: str

    @property
    def plain(self) -> bool:
        return self.scheme == "plain"

    @property
    def criterion(self) -> float:
        """The one number to watch: micro F1 of entities by conlleval's rule, or accuracy where tags are plain."""
        return self.accuracy if self.plain else self.table.micro.f1

    @property
    def micro(self) -> Score:
        return self.table.micro

    @property
    def macro(self) -> Score:
        return self.table.macro

    @property
    def types(self) -> Mapping[str, Score]:
        return self.table.types

    @property
    def error_kinds(self) -> dict[str, int]:
        """How many errors there are of each kind."""
        counts = Counter(mistake.kind for mistake in self.errors)
        return {kind: counts[kind] for kind in KINDS}

    def to_dict(self, *, errors: int | None = 0) -> dict[str, Any]:
        """Plain lists, dicts and numbers for JSON; ``errors``: how many of them to list, None for all."""
        shown = self.errors if errors is None else self.errors[:errors]
        found: dict[str, Any] = {"criterion": self.criterion}
        for name in ("scheme", "sentences", "tokens", "accuracy", "signature"):
            found[name] = getattr(self, name)
        for name in ("table", "strict", "seen", "unseen"):
            part = getattr(self, name)
            found[name] = None if part is None else asdict(part)
        found["intervals"] = {name: list(ends) for name, ends in self.intervals.items()}
        found["confusion"] = [asdict(cell) for cell in self.confusion]
        found["unseen_tags"] = dict(self.unseen_tags)
        found["error_kinds"] = self.error_kinds
        found["errors"] = [mistake.to_dict() for mistake in shown]
        return found

    def text(self, errors: int | None = 0) -> str:
        """The report for a terminal; ``errors``: how many of them to list, None for all."""
        return report_text(self, errors=errors)

    def __str__(self) -> str:
        return self.text()


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
        intervals=_intervals(found, bootstrap, seed, plain=scheme.plain),
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


def _intervals(found: Matching, resamples: int, seed: int, *, plain: bool) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the micro scores over resampled sentences."""
    sentences = len(found.offsets) - 1
    if not resamples or not sentences:
        return {}
    gold, predicted = found.sentence_of(found.gold), found.sentence_of(found.predicted)
    rows = (gold[found.gold_found], predicted, gold)
    counts = np.stack([np.bincount(row, minlength=sentences) for row in rows], axis=1)
    correct, predictions, support = resample(counts, resamples, seed).T.astype(float)
    shares = {
        "precision": (correct, predictions),
        "recall": (correct, support),
        "f1": (2 * correct, predictions + support),
    }
    if plain:
        shares = {"accuracy": (correct, support)}
    tails = ((100 - LEVEL) / 2, (100 + LEVEL) / 2)
    intervals = {}
    for name, (part, whole) in shares.items():
        low, high = np.percentile(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0), tails)
        intervals[name] = (float(low), float(high))
    return intervals


def resample(counts: Places, resamples: int, seed: int) -> NDArray[np.int64]:
    """Sums of ``counts`` (S, n) over S rows drawn with replacement, as often as ``resamples`` says: (resamples, n).

    Rows that are alike need not be told apart, so each resample is one draw of how often each distinct row occurs: the
    same distribution as drawing rows one by one, in a fraction of the time and memory.
    """
    rows, often = np.unique(counts, axis=0, return_counts=True)
    random = np.random.default_rng(seed)
    block = max(1, 2**20 // len(rows))
    drawn = [
        random.multinomial(len(counts), often / len(counts), size=min(block, resamples - done)) @ rows
        for done in range(0, resamples, block)
    ]
    return np.concatenate(drawn)


def _signature(scheme: Scheme, resamples: int, seed: int) -> str:
    """How it was computed, after sacreBLEU's signatures (Post 2018)."""
    library = "scikit-learn" if scheme.plain else "seqeval"
    score = ["accuracy"] if scheme.plain else ["entity-F1", "rule:conlleval"]
    how = f"bootstrap,{LEVEL}%,percentile,sentences,n={resamples},seed={seed}" if resamples else "none"
    parts = [*score, f"scheme:{scheme.name}", "average:micro", "0/0:0", f"interval:{how}"]
    return "|".join([*parts, f"{library}:{version(library)}", f"structseq:{__version__}"])
