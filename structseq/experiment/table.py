"""A comparison as a table: for a terminal, and as CSV with every digit."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from structseq.evaluation.significance import LEVEL
from structseq.experiment.results import Comparison

# Columns of the CSV: scores and differences 0..1, seconds, tokens a second on one thread
CSV_COLUMNS = (
    "system", "encoder", "head", "seeds", "finished",
    "dev_mean", "dev_sd", "dev_low", "dev_high", "test_mean", "test_sd", "test_low", "test_high",
    "parameters", "training_seconds", "training_tokens_per_second", "tagging_tokens_per_second",
    "difference", "difference_low", "difference_high", "p", "p_holm", "failed",
)  # fmt: skip


def as_text(comparison: Comparison) -> str:
    """The table for a terminal, scores in percent; what failed below it, and how the numbers were computed."""
    blocks = [f"{comparison.score} in percent, the best on {comparison.judged_on} first"]
    if comparison.systems:
        blocks.append(_columns([_headings(comparison), *(_row(comparison, system) for system in comparison.systems)]))
    blocks += [f"failed: {trial['name']}, seed {trial['seed']}: {trial['reason']}" for trial in comparison.failed]
    return "\n\n".join([*blocks, f"signature: {comparison.signature}"])


def as_csv(comparison: Comparison) -> str:
    """One row a system, the best first; what failed entirely comes last. Cells of what is not known are empty."""
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    failed: dict[str, list[str]] = {}
    for trial in comparison.failed:
        failed.setdefault(trial["name"], []).append(f"seed {trial['seed']}: {trial['reason']}")
    for system in comparison.systems:
        writer.writerow({**_csv_row(system), "failed": "; ".join(failed.pop(system["name"], []))})
    for name, reasons in failed.items():
        writer.writerow({"system": name, "finished": 0, "failed": "; ".join(reasons)})
    return file.getvalue()


def _csv_row(system: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: system[name] for name in CSV_COLUMNS if name in system}
    row |= {"system": system["name"], "seeds": " ".join(map(str, system["seeds"])), "finished": len(system["seeds"])}
    for part in ("dev", "test"):
        if system[part]:
            low, high = system[part]["interval"]
            values = {"mean": system[part]["mean"], "sd": system[part]["sd"], "low": low, "high": high}
            row |= {f"{part}_{name}": value for name, value in values.items()}
    if against := system["against_best"]:
        low, high = against["interval"]
        row |= {"difference": against["difference"], "difference_low": low, "difference_high": high}
        row |= {"p": against["p"], "p_holm": against["p_holm"]}
    return row


def _headings(comparison: Comparison) -> list[str]:
    parts = ["dev", "test"] if comparison.judged_on == "test" else ["dev"]
    interval = f"{LEVEL}% of {comparison.judged_on}"
    return ["system", *parts, interval, "parameters", "training s", "tokens/s", "to the best", "p (Holm)"]


def _row(comparison: Comparison, system: Mapping[str, Any]) -> list[str]:
    parts = ["dev", "test"] if comparison.judged_on == "test" else ["dev"]
    low, high = system[comparison.judged_on]["interval"]
    against = system["against_best"]
    few = f" ({len(system['seeds'])} of {len(comparison.seeds)} seeds)"
    return [
        system["name"] + (few if len(system["seeds"]) < len(comparison.seeds) else ""),
        *(_mean(system[part]) for part in parts),
        f"{100 * low:.2f} to {100 * high:.2f}",
        f"{system['parameters']:,}",
        f"{system['training_seconds']:,.1f}",
        f"{system['tagging_tokens_per_second']:,.0f}",
        _signed(against["difference"]) if against else "best",
        _p(against["p_holm"]) if against else "",
    ]


def _mean(part: Mapping[str, Any]) -> str:
    spread = f" ± {100 * part['sd']:.2f}" if len(part["each"]) > 1 else ""
    return f"{100 * part['mean']:.2f}{spread}"


def _signed(difference: float) -> str:
    return f"{round(100 * difference, 2) + 0.0:+.2f}"  # no minus before a zero


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows under each other, the first column flush left and the others right."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.rjust(widths[n]) if n else cell.ljust(widths[n]) for n, cell in enumerate(row)).rstrip()
        for row in rows
    )
