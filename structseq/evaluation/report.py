"""Report: the scores and mistakes of tag sequences, as values and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from structseq.evaluation.calibration import Calibration
from structseq.evaluation.mistakes import KINDS, Confusion, Mistake
from structseq.evaluation.significance import LEVEL, Interval
from structseq.spans.schemes import Span

# Rows of the confusion table and names of unseen tags that are shown
SHOWN = 20
# Words shown on each side of an error
CONTEXT = 6
NOTHING = "(nothing)"


@dataclass(frozen=True, slots=True)
class Score:
    """Scores from 0 to 1, and the numbers of gold (``support``), predicted and correct units."""

    precision: float
    recall: float
    f1: float
    support: int
    predicted: int
    correct: int


@dataclass(frozen=True, slots=True)
class Table:
    """Scores over all units (``micro``), averaged over types (``macro``), and by type, sorted."""

    micro: Score
    macro: Score
    types: Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class Report:
    """The result of `evaluate`.

    Attributes
    ----------
    accuracy:
        Share of tokens with the right tag, 0 to 1.
    table, strict:
        Scores by conlleval's rule and by the strict rule.
    intervals:
        95 % intervals (low, high) of micro precision, recall and f1, or of accuracy; empty without resamples.
    seen, unseen:
        Scores of the units whose text and type occur in training, and of the others; None if training is unknown.
    confusion, errors:
        Mistakes counted by type, most frequent first; and each mistake, in the order of the text.
    unseen_tags:
        Gold tags outside the training data, with their token counts.
    signature:
        How the scores were computed, in one line, after sacreBLEU (Post 2018).
    calibration:
        Confidences of the predicted units beside how often these are right; None without confidences.
    """

    scheme: str
    sentences: int
    tokens: int
    accuracy: float
    table: Table
    strict: Table
    intervals: Mapping[str, Interval]
    seen: Score | None
    unseen: Score | None
    confusion: tuple[Confusion, ...]
    errors: tuple[Mistake, ...]
    unseen_tags: Mapping[str, int]
    signature: str
    calibration: Calibration | None = None

    @property
    def plain(self) -> bool:
        return self.scheme == "plain"

    @property
    def criterion(self) -> float:
        """Micro F1 by conlleval's rule; accuracy if tags are plain."""
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
        counts = Counter(mistake.kind for mistake in self.errors)
        return {kind: counts[kind] for kind in KINDS}

    def to_dict(self, *, errors: int | None = 0) -> dict[str, Any]:
        """Plain values for JSON; ``errors``: how many to list, None for all."""
        shown = self.errors if errors is None else self.errors[:errors]
        values: dict[str, Any] = {"criterion": self.criterion}
        for name in ("scheme", "sentences", "tokens", "accuracy", "signature"):
            values[name] = getattr(self, name)
        for name in ("table", "strict", "seen", "unseen"):
            part = getattr(self, name)
            values[name] = None if part is None else asdict(part)
        values["intervals"] = {name: list(ends) for name, ends in self.intervals.items()}
        values["confidence"] = None if self.calibration is None else self.calibration.to_dict()
        values["confusion"] = [asdict(cell) for cell in self.confusion]
        values["unseen_tags"] = dict(self.unseen_tags)
        values["error_kinds"] = self.error_kinds
        values["errors"] = [mistake.to_dict() for mistake in shown]
        return values

    def text(self, errors: int | None = 0) -> str:
        averages = [("micro average", self.micro), ("macro average", self.macro)]
        blocks = [
            _headline(self),
            _score_table("tag" if self.plain else "type", [*self.types.items(), *averages]),
            _strict(self),
            _confidence(self),
            "" if self.seen is None or self.unseen is None
            else _score_table("in training", [("seen", self.seen), ("unseen", self.unseen)]),
            unseen_text("tags never seen in training, counted as misses", self.unseen_tags),
            _confusion(self),
            _listing(self.errors if errors is None else self.errors[:errors], len(self.errors)),
            f"signature: {self.signature}",
        ]  # fmt: skip
        return "\n\n".join(block for block in blocks if block)

    def __str__(self) -> str:
        return self.text()


# -- shared with other reports -----------------------------------------------------------------------------------------


def ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def percent(share: float) -> str:
    return f"{100 * share:.2f}"


def interval_text(interval: Interval | None) -> str:
    return "" if interval is None else f"{LEVEL}% interval {percent(interval[0])} to {percent(interval[1])}"


def columns(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows as lines: the first ``left`` columns are aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(widths[n]) if n < left else cell.rjust(widths[n]) for n, cell in enumerate(row)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def unseen_text(what: str, counts: Mapping[str, int]) -> str:
    """``what: name (count), ...``; empty without ``counts``."""
    names = ", ".join(f"{name} ({count})" for name, count in list(counts.items())[:SHOWN])
    more = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
    return f"{what}: {names}{more}" if counts else ""


def confusion_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first `SHOWN` of ``rows``; empty without any."""
    more = f"\n{len(rows) - SHOWN} more pairs" if len(rows) > SHOWN else ""
    return columns([headings, *rows[:SHOWN]], left=2) + more if rows else ""


# -- the blocks of a report --------------------------------------------------------------------------------------------


def _headline(report: Report) -> str:
    micro = report.micro
    scores = [("accuracy", "accuracy", report.accuracy)]
    if not report.plain:
        scores = [("f1", "entity F1", micro.f1)]
        scores += [("precision", "precision", micro.precision), ("recall", "recall", micro.recall)]
    rows = [[name, percent(score), interval_text(report.intervals.get(key))] for key, name, score in scores]
    counts = f"{report.sentences} sentences, {report.tokens} tokens"
    if not report.plain:
        counts += f"; {micro.support} entities, {micro.predicted} predicted, {micro.correct} of them right"
        counts += f"; {percent(report.accuracy)}% of the tags right"
    return f"{columns(rows)}\n{counts}"


def _score_table(heading: str, scores: Sequence[tuple[str, Score]]) -> str:
    rows = [[heading, "precision", "recall", "F1", "support", "predicted"]]
    for name, score in scores:
        shares = map(percent, (score.precision, score.recall, score.f1))
        rows.append([name or "(no type)", *shares, str(score.support), str(score.predicted)])
    return columns(rows)


def _strict(report: Report) -> str:
    if report.plain:
        return ""
    if report.strict == report.table:
        return "strict rule: the same scores"
    rules = [("conlleval", report.micro), ("strict", report.strict.micro)]
    why = "Some entities are not written as the scheme writes them; the strict rule leaves them out:"
    return f"{why}\n{_score_table('rule', rules)}"


def _confidence(report: Report) -> str:
    found, what = report.calibration, "tags" if report.plain else "entities"
    if found is None or not found.count:
        return ""
    errors = f"ECE {percent(found.ece)}% over {found.count:,} {what}; {percent(found.ece_equal_mass)}% by equal counts"
    rows = [["confidence", what, "mean", "right"]]
    for each in found.bins:
        name, shares = f"{each.low:.1f} to {each.high:.1f}", map(percent, (each.confidence, each.right))
        rows.append([name, f"{each.count:,}", *shares])
    return f"confidence: {errors}\n{columns(rows)}"


def _confusion(report: Report) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in report.error_kinds.items() if count)
    rows = []
    for cell in report.confusion:
        names = (NOTHING if name is None else name or "(no type)" for name in (cell.gold, cell.predicted))
        rows.append([*names, str(cell.count), str(cell.same_ends)])
    heading = f"errors: {kinds}\n" if rows and not report.plain else ""
    return heading + confusion_table(["gold", "predicted", "count", "same ends"], rows)


def _listing(shown: Sequence[Mistake], total: int) -> str:
    lines = [f"{len(shown)} of {total} errors:"] if shown else []
    for mistake in shown:
        lines.append(f"{mistake.source}: {mistake.kind}")
        units = [unit for unit in (mistake.gold, mistake.predicted) if unit is not None]
        window = (min(unit.start for unit in units) - CONTEXT, max(unit.end for unit in units) + CONTEXT)
        for side, unit in (("gold", mistake.gold), ("predicted", mistake.predicted)):
            lines.append(f"    {side:<10} {_in_context(unit, mistake.tokens, window)}")
    return "\n".join(lines)


def _in_context(unit: Span | None, tokens: Sequence[str], window: tuple[int, int]) -> str:
    """The words in ``window``, the unit in brackets; without words, its token numbers from 1."""
    if unit is None:
        return NOTHING
    if not tokens:
        return f"{unit.label} tokens {unit.start + 1} to {unit.end}".strip()
    start, end = max(0, window[0]), min(len(tokens), window[1])
    words = list(tokens[start:end])
    words[unit.start - start] = "[" + words[unit.start - start]
    words[unit.end - 1 - start] += "]" + unit.label
    return " ".join([*(["..."] if start else []), *words, *(["..."] if end < len(tokens) else [])])
