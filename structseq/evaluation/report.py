"""Report: what an evaluation found, for programs and, as text, for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from structseq.evaluation.intervals import LEVEL
from structseq.evaluation.mistakes import KINDS, Confusion, Mistake
from structseq.evaluation.scores import Score, Table
from structseq.spans.schemes import Span

# Rows of the confusion table and names of unseen tags that are shown; the rest is counted
SHOWN = 20
# Words shown on each side of an error
CONTEXT = 6
NOTHING = "(nothing)"


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


def report_text(report: Report, *, errors: int | None = 0) -> str:
    """All of a report in blocks with a blank line between; scores in percent; ``errors`` as in `Report.text`."""
    shown = report.errors if errors is None else report.errors[:errors]
    blocks = [
        _headline(report),
        _scores(report.table, "tag" if report.plain else "type"),
        _strict(report),
        _seen(report),
        _unseen_tags(report.unseen_tags),
        _confusion(report),
        _listing(shown, len(report.errors)) if shown else "",
        f"signature: {report.signature}",
    ]
    return "\n\n".join(block for block in blocks if block)


def percent(share: float) -> str:
    return f"{100 * share:.2f}"


def columns(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows under each other, the first ``left`` columns flush left and the others right."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(widths[n]) if n < left else cell.rjust(widths[n]) for n, cell in enumerate(row)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _headline(report: Report) -> str:
    micro = report.micro
    named = [("accuracy", "accuracy", report.accuracy)]
    if not report.plain:
        named = [("f1", "entity F1", micro.f1)]
        named += [("precision", "precision", micro.precision), ("recall", "recall", micro.recall)]
    rows = []
    for key, name, score in named:
        interval = report.intervals.get(key)
        told = f"{LEVEL}% interval {percent(interval[0])} to {percent(interval[1])}" if interval else ""
        rows.append([name, percent(score), told])
    counts = f"{report.sentences} sentences, {report.tokens} tokens"
    if not report.plain:
        counts += f"; {micro.support} entities, {micro.predicted} predicted, {micro.correct} of them right"
        counts += f"; {percent(report.accuracy)}% of the tags right"
    return f"{columns(rows)}\n{counts}"


def _scores(table: Table, unit: str) -> str:
    def row(name: str, score: Score) -> list[str]:
        shares = (score.precision, score.recall, score.f1)
        return [name or "(no type)", *map(percent, shares), str(score.support), str(score.predicted)]

    rows = [[unit, "precision", "recall", "F1", "support", "predicted"]]
    rows += [row(name, score) for name, score in table.types.items()]
    return columns([*rows, row("micro average", table.micro), row("macro average", table.macro)])


def _strict(report: Report) -> str:
    if report.plain:
        return ""
    if report.strict == report.table:
        return "strict rule: the same scores"
    rows = [["rule", "precision", "recall", "F1", "support", "predicted"]]
    for name, table in (("conlleval", report.table), ("strict", report.strict)):
        score = table.micro
        shares = map(percent, (score.precision, score.recall, score.f1))
        rows.append([name, *shares, str(score.support), str(score.predicted)])
    why = "Some entities are not written as the scheme writes them; the strict rule leaves them out:"
    return f"{why}\n{columns(rows)}"


def _seen(report: Report) -> str:
    if report.seen is None or report.unseen is None:
        return ""
    rows = [["in training", "precision", "recall", "F1", "support", "predicted"]]
    for name, score in (("seen", report.seen), ("unseen", report.unseen)):
        shares = map(percent, (score.precision, score.recall, score.f1))
        rows.append([name, *shares, str(score.support), str(score.predicted)])
    return columns(rows)


def _unseen_tags(unseen: Mapping[str, int]) -> str:
    if not unseen:
        return ""
    told = ", ".join(f"{tag} ({count})" for tag, count in list(unseen.items())[:SHOWN])
    more = f" and {len(unseen) - SHOWN} more" if len(unseen) > SHOWN else ""
    return f"tags never seen in training, counted as misses: {told}{more}"


def _confusion(report: Report) -> str:
    confusion: Sequence[Confusion] = report.confusion
    if not confusion:
        return ""
    kinds = ", ".join(f"{count} {kind}" for kind, count in report.error_kinds.items() if count)
    head = "" if report.plain else f"errors: {kinds}\n"
    rows = [["gold", "predicted", "count", "same ends"]]
    for cell in confusion[:SHOWN]:
        names = (NOTHING if name is None else name or "(no type)" for name in (cell.gold, cell.predicted))
        rows.append([*names, str(cell.count), str(cell.same_ends)])
    more = f"\n{len(confusion) - SHOWN} more pairs" if len(confusion) > SHOWN else ""
    return head + columns(rows, left=2) + more


def _listing(shown: Sequence[Mistake], total: int) -> str:
    head = f"{len(shown)} of {total} errors:"
    return "\n".join([head, *(_mistake(mistake) for mistake in shown)])


def _mistake(mistake: Mistake) -> str:
    lines = [f"{mistake.source}: {mistake.kind}"]
    both = [unit for unit in (mistake.gold, mistake.predicted) if unit is not None]
    window = (min(unit.start for unit in both) - CONTEXT, max(unit.end for unit in both) + CONTEXT)
    for side, unit in (("gold", mistake.gold), ("predicted", mistake.predicted)):
        lines.append(f"    {side:<10} {_in_context(unit, mistake.tokens, window)}")
    return "\n".join(lines)


def _in_context(unit: Span | None, tokens: Sequence[str], window: tuple[int, int]) -> str:
    """The words of ``window`` with the unit in brackets; without the words, the places counted from 1."""
    if unit is None:
        return NOTHING
    if not tokens:
        return f"{unit.label} tokens {unit.start + 1} to {unit.end}".strip()
    start, end = max(0, window[0]), min(len(tokens), window[1])
    words = list(tokens[start:end])
    words[unit.start - start] = "[" + words[unit.start - start]
    words[unit.end - 1 - start] += "]" + unit.label
    return " ".join([*(["..."] if start else []), *words, *(["..."] if end < len(tokens) else [])])
