"""A report as text for a terminal: the score with its interval, the tables, and the errors with their context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from structseq.chunks import Span
from structseq.mistakes import Confusion, Mistake
from structseq.scores import Score, Table

if TYPE_CHECKING:
    from structseq.evaluation import Report

# Rows of the confusion table and names of unseen tags that are shown; the rest is counted
SHOWN = 20
# Words shown on each side of an error
CONTEXT = 6
NOTHING = "(nothing)"


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


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _columns(rows: Sequence[Sequence[str]], left: int = 1) -> str:
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
        told = f"95% interval {_percent(interval[0])} to {_percent(interval[1])}" if interval else ""
        rows.append([name, _percent(score), told])
    counts = f"{report.sentences} sentences, {report.tokens} tokens"
    if not report.plain:
        counts += f"; {micro.support} entities, {micro.predicted} predicted, {micro.correct} of them right"
        counts += f"; {_percent(report.accuracy)}% of the tags right"
    return f"{_columns(rows)}\n{counts}"


def _scores(table: Table, unit: str) -> str:
    def row(name: str, score: Score) -> list[str]:
        shares = (score.precision, score.recall, score.f1)
        return [name or "(no type)", *map(_percent, shares), str(score.support), str(score.predicted)]

    rows = [[unit, "precision", "recall", "F1", "support", "predicted"]]
    rows += [row(name, score) for name, score in table.types.items()]
    return _columns([*rows, row("micro average", table.micro), row("macro average", table.macro)])


def _strict(report: Report) -> str:
    if report.plain:
        return ""
    if report.strict == report.table:
        return "strict rule: the same scores"
    rows = [["rule", "precision", "recall", "F1", "support", "predicted"]]
    for name, table in (("conlleval", report.table), ("strict", report.strict)):
        score = table.micro
        shares = map(_percent, (score.precision, score.recall, score.f1))
        rows.append([name, *shares, str(score.support), str(score.predicted)])
    why = "Some entities are not written as the scheme writes them; the strict rule leaves them out:"
    return f"{why}\n{_columns(rows)}"


def _seen(report: Report) -> str:
    if report.seen is None or report.unseen is None:
        return ""
    rows = [["in training", "precision", "recall", "F1", "support", "predicted"]]
    for name, score in (("seen", report.seen), ("unseen", report.unseen)):
        shares = map(_percent, (score.precision, score.recall, score.f1))
        rows.append([name, *shares, str(score.support), str(score.predicted)])
    return _columns(rows)


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
    return head + _columns(rows, left=2) + more


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
