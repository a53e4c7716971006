"""Scores of output sequences: symbol error rate, from the edit distance (Levenshtein 1966), and exact match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from structseq.errors import DataError
from structseq.evaluation.matching import locations
from structseq.evaluation.report import NOTHING, columns, confusion_table, interval_text, percent, ratio, unseen_text
from structseq.evaluation.signature import package_version
from structseq.evaluation.significance import LEVEL, Interval, percentiles, resample

Answers = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class TransductionScore:
    """Counts over answers, with 95 % bootstrap intervals of both rates (None without resamples).

    ``symbols`` counts gold symbols, ``right`` answers without edits.
    """

    answers: int
    symbols: int
    substitutions: int
    deletions: int
    insertions: int
    right: int
    error_interval: Interval | None = None
    exact_interval: Interval | None = None

    @property
    def edits(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def error_rate(self) -> float:
        """Edits per gold symbol; may exceed 1."""
        return self.edits / max(self.symbols, 1)

    @property
    def exact_match(self) -> float:
        return ratio(self.right, self.answers)

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self) | {"error_rate": self.error_rate, "exact_match": self.exact_match}
        for name in ("error_interval", "exact_interval"):
            values[name] = None if values[name] is None else list(values[name])
        return values


@dataclass(frozen=True, slots=True)
class WrongAnswer:
    """A wrong answer; ``answer`` is its position, from 0."""

    answer: int
    source: str
    gold: tuple[str, ...]
    predicted: tuple[str, ...]
    edits: int

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "gold": list(self.gold), "predicted": list(self.predicted)}


@dataclass(frozen=True, slots=True)
class Edit:
    """How often the symbol ``gold`` was predicted as ``predicted``; None for an insertion or a deletion."""

    gold: str | None
    predicted: str | None
    count: int


@dataclass(frozen=True, slots=True)
class TransductionReport:
    """The result of `evaluate_transduction`.

    Attributes
    ----------
    every, repeated, others:
        Scores over all answers, over those whose gold has a symbol twice in a row, and over the rest.
    confusion, errors:
        Edits, most frequent first; wrong answers, most edits first.
    unknown:
        Counts of gold symbols that are not in the training data.
    """

    every: TransductionScore
    repeated: TransductionScore
    others: TransductionScore
    confusion: tuple[Edit, ...]
    errors: tuple[WrongAnswer, ...]
    unknown: Mapping[str, int]
    sources: tuple[str, ...]
    signature: str

    @property
    def error_rate(self) -> float:
        return self.every.error_rate

    @property
    def exact_match(self) -> float:
        return self.every.exact_match

    @property
    def criterion(self) -> float:
        return max(0.0, 1 - self.error_rate)

    def to_dict(self, *, errors: int | None = 0) -> dict[str, Any]:
        shown = self.errors if errors is None else self.errors[:errors]
        return {
            "criterion": self.criterion,
            "score": "1 - symbol error rate",
            **self.every.to_dict(),
            "repeated": self.repeated.to_dict(),
            "others": self.others.to_dict(),
            "confusion": [asdict(edit) for edit in self.confusion],
            "unknown": dict(self.unknown),
            "signature": self.signature,
            "wrong": len(self.errors),
            "errors": [wrong.to_dict() for wrong in shown],
        }

    def text(self, errors: int | None = 0) -> str:
        shown = self.errors if errors is None else self.errors[:errors]
        blocks = [
            _headline(self.every),
            _splits({"repeat": self.repeated, "none": self.others, "all": self.every}),
            unseen_text(
                "symbols never seen in training, counted as errors",
                {_shown(symbol): count for symbol, count in self.unknown.items()},
            ),
            confusion_table(["gold", "predicted", "count"], [
                [_shown(edit.gold), _shown(edit.predicted), str(edit.count)] for edit in self.confusion
            ]),
            _listing(shown, len(self.errors)),
            f"signature: {self.signature}",
        ]  # fmt: skip
        return "\n\n".join(block for block in blocks if block)

    def __str__(self) -> str:
        return self.text()


# -- counting ----------------------------------------------------------------------------------------------------------


def symbol_errors(gold: Answers, predicted: Answers) -> float:
    """Symbol error rate; raises `DataError` if the numbers of answers differ."""
    _require_pairs(gold, predicted)
    coded = _coded(gold, predicted)
    edits = sum(Levenshtein.distance(*pair) for pair in zip(*coded, strict=True))
    return edits / max(sum(map(len, gold)), 1)


def exact_match(gold: Answers, predicted: Answers) -> float:
    """Share of answers that equal gold, 0 to 1; raises `DataError` if the numbers of answers differ."""
    _require_pairs(gold, predicted)
    return ratio(sum(tuple(one) == tuple(other) for one, other in zip(gold, predicted, strict=True)), len(gold))


def has_repeat(symbols: Sequence[str]) -> bool:
    return any(one == other for one, other in pairwise(symbols))


def evaluate_transduction(
    gold: Answers,
    predicted: Answers,
    *,
    known_symbols: Collection[str] | None = None,
    sources: Sequence[str] = (),
    bootstrap: int = 10_000,
    seed: int = 0,
) -> TransductionReport:
    """Compare sequences of symbols, answer by answer.

    Gold symbols outside ``known_symbols`` are listed. ``sources`` and ``bootstrap`` are those of `evaluate`.

    Raises `DataError` if the numbers of answers or sources differ.

    >>> report = evaluate_transduction([["7", "7", "3"], ["1"]], [["7", "3"], ["1"]], bootstrap=0)
    >>> report.error_rate, report.exact_match, report.repeated.deletions, report.others.error_rate
    (0.25, 0.5, 1, 0.0)
    """
    _require_pairs(gold, predicted)
    if sources and len(sources) != len(gold):
        raise DataError(f"expected {len(gold)} sources, one for each answer, found {len(sources)}")
    edits = [_edits(*pair) for pair in zip(gold, predicted, *_coded(gold, predicted), strict=True)]
    counts = np.array([_counts(*pair) for pair in zip(gold, edits, strict=True)], np.int64).reshape(-1, 5)
    repeated = np.array([has_repeat(row) for row in gold], np.bool_)
    where = locations(sources, len(gold), "answer")
    pairs = Counter(pair for row in edits for pair in row)
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], *((name is not None, name or "") for name in item[0])))
    return TransductionReport(
        every=_score(counts, bootstrap, seed),
        repeated=_score(counts[repeated], bootstrap, seed),
        others=_score(counts[~repeated], bootstrap, seed),
        confusion=tuple(Edit(*pair, count) for pair, count in ordered),
        errors=tuple(
            WrongAnswer(n, where[n], tuple(gold[n]), tuple(predicted[n]), len(edits[n]))
            for n in sorted(range(len(edits)), key=lambda n: -len(edits[n]))
            if edits[n]
        ),
        unknown=_unknown_symbols(gold, known_symbols),
        sources=tuple(sources),
        signature=_signature(bootstrap if len(gold) else 0, seed),
    )


def _require_pairs(gold: Answers, predicted: Answers) -> None:
    if len(gold) != len(predicted):
        raise DataError(f"expected {len(gold)} answers, as many as gold ones, found {len(predicted)}")


def _coded(gold: Answers, predicted: Answers) -> tuple[list[list[int]], list[list[int]]]:
    """Numbers for symbols on both sides: rapidfuzz compares hashes, which can collide for strings."""
    number: dict[str, int] = {}

    def coded(rows: Answers) -> list[list[int]]:
        return [[number.setdefault(symbol, len(number)) for symbol in row] for row in rows]

    return coded(gold), coded(predicted)


def _edits(
    gold: Sequence[str], predicted: Sequence[str], gold_codes: Sequence[int], predicted_codes: Sequence[int]
) -> list[tuple[str | None, str | None]]:
    """The edits of an answer as (gold, predicted) symbols."""
    edits = ((edit.tag, edit.src_pos, edit.dest_pos) for edit in Levenshtein.editops(gold_codes, predicted_codes))
    return [(None if tag == "insert" else gold[i], None if tag == "delete" else predicted[j]) for tag, i, j in edits]


def _counts(gold: Sequence[str], edits: Sequence[tuple[str | None, str | None]]) -> tuple[int, ...]:
    """Gold symbols, substitutions, deletions, insertions, and 1 for a right answer."""
    deletions = sum(predicted_symbol is None for _, predicted_symbol in edits)
    insertions = sum(gold_symbol is None for gold_symbol, _ in edits)
    return len(gold), len(edits) - deletions - insertions, deletions, insertions, int(not edits)


def _score(counts: np.ndarray, bootstrap: int, seed: int) -> TransductionScore:
    """The score of N answers with `_counts` (N, 5)."""
    symbols, substitutions, deletions, insertions, right = counts.sum(0).tolist()
    intervals: list[Interval | None] = [None, None]
    if bootstrap and len(counts):
        columns = np.stack([counts[:, 0], counts[:, 1:4].sum(1), counts[:, 4]], 1)
        drawn, edits, exact = resample(columns, bootstrap, seed).T
        intervals = [percentiles(edits / np.maximum(drawn, 1)), percentiles(exact / len(counts))]
    return TransductionScore(len(counts), symbols, substitutions, deletions, insertions, right, *intervals)


def _unknown_symbols(gold: Answers, known: Collection[str] | None) -> dict[str, int]:
    if known is None:
        return {}
    lookup = frozenset(known)
    counts = Counter(symbol for row in gold for symbol in row if symbol not in lookup)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _signature(resamples: int, seed: int) -> str:
    interval = f"bootstrap,{LEVEL}%,percentile,answers,n={resamples},seed={seed}" if resamples else "none"
    parts = ("symbol-error-rate", "exact-match", "average:micro", "no-gold:1", f"interval:{interval}")
    return "|".join([*parts, package_version("rapidfuzz"), package_version("structseq")])


# -- as text -----------------------------------------------------------------------------------------------------------


def _headline(score: TransductionScore) -> str:
    rows = [
        ["symbol error rate", percent(score.error_rate), interval_text(score.error_interval)],
        ["exact match", percent(score.exact_match), interval_text(score.exact_interval)],
    ]
    counts = f"{score.answers} answers, {score.symbols} symbols; {score.substitutions} substitutions, "
    return f"{columns(rows)}\n{counts}{score.deletions} deletions, {score.insertions} insertions"


def _splits(parts: Mapping[str, TransductionScore]) -> str:
    rows = [["twice in a row", "answers", "symbols", "subst.", "del.", "ins.", "error rate", "exact"]]
    for name, part in parts.items():
        counts = (part.answers, part.symbols, part.substitutions, part.deletions, part.insertions)
        rows.append([name, *map(str, counts), percent(part.error_rate), percent(part.exact_match)])
    return columns(rows)


def _listing(shown: Sequence[WrongAnswer], total: int) -> str:
    lines = [f"{len(shown)} of {total} wrong answers, worst first:"] if shown else []
    for wrong in shown:
        lines.append(f"{wrong.source}: {wrong.edits} of {len(wrong.gold)} symbols")
        for side, symbols in (("gold", wrong.gold), ("predicted", wrong.predicted)):
            lines.append(f"    {side:<10} {' '.join(map(_shown, symbols)) or NOTHING}")
    return "\n".join(lines)


def _shown(symbol: str | None) -> str:
    """A symbol for display; whitespace is quoted."""
    if symbol is None:
        return NOTHING
    return symbol if symbol.strip() else repr(symbol)
