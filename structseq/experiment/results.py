"""Comparison: the results of an experiment, as JSON values, CSV and text."""

from __future__ import annotations

import csv
import io
import math
import statistics
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from structseq import __version__
from structseq.evaluation.report import columns, percent
from structseq.evaluation.significance import LEVEL, RESAMPLES, Counts, holm_correction, mean_interval, paired_bootstrap
from structseq.experiment.plan import Plan, System
from structseq.experiment.trial import Record
from structseq.run.identity import versions

# Seed of the bootstrap
SEED = 0
# Columns of the text that a narrow terminal leaves out
COSTS = ("parameters", "training s", "tokens/s")
# What the two dev scores are
DEV_SCORES = (
    "dev is the score of the best epoch; tuned dev is the score after the bias for or against O was chosen on dev, "
    "so it tends to be too high"
)
SIGNIFICANT = 0.05
# Below this score no system has learned the task
NOTHING_LEARNED = 0.05
# Columns of the CSV: scores from 0 to 1, and their differences; seconds; tokens per second on one thread
CSV_COLUMNS = (
    "system", "encoder", "head", "seeds", "finished",
    "dev_mean", "dev_sd", "dev_low", "dev_high",
    "tuned_dev_mean", "tuned_dev_sd", "tuned_dev_low", "tuned_dev_high",
    "test_mean", "test_sd", "test_low", "test_high",
    "parameters", "training_seconds", "training_tokens_per_second", "tagging_tokens_per_second",
    "difference", "difference_low", "difference_high", "p", "p_holm", "failed",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Systems side by side; scores from 0 to 1.

    Attributes
    ----------
    corpus:
        scheme; and for train, dev and test (or None): file, sentences, tokens.
    judged_on, options:
        The part on which systems are ranked (test, tuned_dev or dev); the nested options of all systems.
    systems:
        Best first: name, encoder, head, settings, parameters, seeds, dev, tuned_dev, test (mean, sd, interval, each),
        training_seconds, training_tokens_per_second, tagging_tokens_per_second, against_best (difference, interval, p,
        p_holm), curves; and transitions and errors of the first seed. tuned_dev is the score after the bias for or
        against O was chosen on dev; dev, then without interval, is that of the best epoch. If no bias changed any
        score, tuned_dev is None.
    failed:
        Trials without a result: name, seed, reason.
    cautions:
        Sentences on why the order may not hold; then no winner is named.
    """

    corpus: Mapping[str, Any]
    score: str
    signature: str
    judged_on: str
    options: Mapping[str, Any]
    seeds: Sequence[int]
    encoders: Sequence[str]
    heads: Sequence[str]
    best: str | None
    systems: Sequence[Mapping[str, Any]]
    failed: Sequence[Mapping[str, Any]]
    cautions: Sequence[str]
    versions: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Comparison:
        """The inverse of `to_dict`; raises `KeyError` if a value is missing."""
        return Comparison(**{name: values[name] for name in Comparison.__dataclass_fields__})

    @staticmethod
    def of(
        plan: Plan,
        records: Sequence[Record],
        *,
        corpus: Mapping[str, Any],
        failed: Sequence[Mapping[str, Any]] = (),
        resamples: int = RESAMPLES,
    ) -> Comparison:
        """Compare the finished trials of ``plan``."""
        tuned = any("tuned_dev" in record.parts for record in records)
        judged_on = "test" if corpus["test"] else "tuned_dev" if tuned else "dev"
        rows = []
        for system in plan.systems:
            by_seed = {record.seed: record for record in records if record.system == system.name}
            by_seed = {seed: by_seed[seed] for seed in plan.seeds if seed in by_seed}
            if by_seed:
                rows.append((_system_values(system, by_seed, resamples, tuned=tuned), by_seed))
        rows.sort(key=lambda row: -row[0][judged_on]["mean"])
        against_best = _against_best([by_seed for _, by_seed in rows], judged_on, resamples)
        systems = [{**row, "against_best": found} for (row, _), found in zip(rows, against_best, strict=True)]
        plain = corpus["scheme"] == "plain"
        installed = versions()
        return Comparison(
            corpus=corpus,
            score="accuracy" if plain else "entity F1",
            signature=_signature(corpus["scheme"], resamples, plain=plain),
            judged_on=judged_on,
            options=plan.shared,
            seeds=list(plan.seeds),
            encoders=[choice.name for choice in plan.encoders],
            heads=[choice.name for choice in plan.heads],
            best=systems[0]["name"] if systems else None,
            systems=systems,
            failed=list(failed),
            cautions=_cautions(systems, judged_on),
            versions={"structseq": __version__, **{name: installed[name] for name in ("torch", "python")}},
        )


def _system_values(system: System, by_seed: Mapping[int, Record], resamples: int, *, tuned: bool) -> dict[str, Any]:
    """An item of `Comparison.systems`, without ``against_best``."""
    records = list(by_seed.values())
    first, training = records[0], [record.training for record in records]
    rates = [run["tokens"] / run["seconds"] if run["seconds"] else 0.0 for run in training]
    return {
        "name": system.name,
        "encoder": system.encoder.name,
        "head": system.head.name,
        "settings": system.settings,
        "parameters": first.parameters,
        "seeds": list(by_seed),
        "dev": _untuned_scores(records) if tuned else _part_scores(records, "dev", resamples),
        "tuned_dev": _part_scores(records, "tuned_dev", resamples) if tuned else None,
        "test": _part_scores(records, "test", resamples) if "test" in first.parts else None,
        "training_seconds": statistics.fmean(run["seconds"] for run in training),
        "training_tokens_per_second": statistics.fmean(rates),
        "tagging_tokens_per_second": statistics.median(record.tagging_tokens_per_second for record in records),
        "curves": [record.curve for record in records],
        "transitions": first.transitions,
        "errors": first.errors,
    }


def _counts(record: Record, part: str) -> Counts:
    return np.array(record.part(part)["counts"], np.int64).reshape(-1, 3)


def _part_scores(records: Sequence[Record], part: str, resamples: int) -> dict[str, Any]:
    counts = [_counts(record, part) for record in records]
    interval = list(mean_interval(counts, resamples=resamples, seed=SEED))
    return _spread([record.part(part)["score"] for record in records], interval)


def _untuned_scores(records: Sequence[Record]) -> dict[str, Any]:
    return _spread([record.scores["dev"] for record in records], None)


def _spread(each: Sequence[float], interval: Sequence[float] | None) -> dict[str, Any]:
    """``sd`` is None with one seed."""
    sd = statistics.stdev(each) if len(each) > 1 else None
    return {"mean": statistics.fmean(each), "sd": sd, "interval": interval, "each": each}


def _against_best(ranked: Sequence[Mapping[int, Record]], part: str, resamples: int) -> list[dict[str, Any] | None]:
    """Each system compared to the first; None for the first itself."""
    counts = [{seed: _counts(record, part) for seed, record in by_seed.items()} for by_seed in ranked]
    pairs = [paired_bootstrap(other, counts[0], resamples=resamples, seed=SEED) for other in counts[1:]]
    against: list[dict[str, Any] | None] = [None] * min(1, len(counts))
    # The best was chosen by its score, so every pair of systems was a test
    corrected = holm_correction([pair.p for pair in pairs], math.comb(len(counts), 2))
    for pair, p_holm in zip(pairs, corrected, strict=True):
        interval = list(pair.interval)
        against.append({"difference": pair.difference, "interval": interval, "p": pair.p, "p_holm": p_holm})
    return against


def _cautions(systems: Sequence[Mapping[str, Any]], judged_on: str) -> list[str]:
    if not systems:
        return []
    if (score := systems[0][judged_on]["mean"]) < NOTHING_LEARNED:
        return [f"no system has learned the task: the highest score is {percent(score)}"]
    contenders = [system for system in systems if (system["against_best"] or {}).get("p_holm", 1) >= SIGNIFICANT]
    unfinished = [system["name"] for system in contenders if _mostly_unfinished(system["curves"])]
    if not unfinished:
        return []
    names = ", ".join(unfinished[:3]) + (f" and {len(unfinished) - 3} more" if len(unfinished) > 3 else "")
    return [f"the last epoch was the best of {names}: set training.epochs higher, the order may change"]


def _mostly_unfinished(curves: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last epoch was the best of most seeds, so that longer training may score higher."""
    return 2 * sum(curve["best_epoch"] == len(curve["epochs"]) for curve in curves) > len(curves)


def _signature(scheme: str, resamples: int, *, plain: bool) -> str:
    parts = [
        *(["accuracy"] if plain else ["entity-F1", "rule:conlleval"]),
        *(f"scheme:{scheme}", "average:micro", "0/0:0"),
        f"interval:bootstrap,{LEVEL}%,logit-t,seeds+sentences,n={resamples},seed={SEED}",
        f"test:paired-bootstrap-t,two-sided,seeds+sentences,n={resamples},seed={SEED},holm,all-pairs",
        f"structseq:{__version__}",
    ]
    return "|".join(parts)


def as_text(comparison: Comparison, width: int | None = None) -> str:
    """The table in percent, cautions, failed trials and the signature, for a terminal of ``width`` characters.

    If the table is wider, speeds and sizes are left out, then dev beside tuned dev; comparison.csv has them.
    """
    blocks = [f"{comparison.score} in percent, the best on {_title(comparison.judged_on)} first"]
    rows, notes = _rows(comparison), [f"no winner: {caution}" for caution in comparison.cautions]
    tuned, left_out = "tuned dev" in rows[0], list[str]()
    for names in (COSTS, ("dev",) if tuned else ()):
        if names and width and max(map(len, columns(rows).splitlines())) > width:
            rows = [[cell for cell, name in zip(row, rows[0], strict=True) if name not in names] for row in rows]
            left_out += names
    blocks += [columns(rows)] if comparison.systems else []
    notes = [DEV_SCORES, *notes] if tuned else notes
    notes = [f"too wide for this terminal, and in comparison.csv: {', '.join(left_out)}", *notes] if left_out else notes
    notes += [f"failed: {trial['name']}, seed {trial['seed']}: {trial['reason']}" for trial in comparison.failed]
    blocks += [textwrap.fill(note, width, break_long_words=False) if width else note for note in notes]
    return "\n\n".join([*blocks, f"signature: {comparison.signature}"])


def _title(part: str) -> str:
    return part.replace("_", " ")


def as_csv(comparison: Comparison) -> str:
    """A row per system, best first, then systems whose trials all failed; unknown values are empty."""
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    failed = defaultdict(list)
    for trial in comparison.failed:
        failed[trial["name"]].append(f"seed {trial['seed']}: {trial['reason']}")
    for system in comparison.systems:
        writer.writerow({**_csv_row(system), "failed": "; ".join(failed.pop(system["name"], []))})
    for name, reasons in failed.items():
        writer.writerow({"system": name, "finished": 0, "failed": "; ".join(reasons)})
    return file.getvalue()


def _csv_row(system: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: system[name] for name in CSV_COLUMNS if name in system}
    row |= {"system": system["name"], "seeds": " ".join(map(str, system["seeds"])), "finished": len(system["seeds"])}
    for part in ("dev", "tuned_dev", "test"):
        if scores := system.get(part):
            low, high = scores["interval"] or (None, None)
            values = {"mean": scores["mean"], "sd": scores["sd"], "low": low, "high": high}
            row |= {f"{part}_{name}": value for name, value in values.items()}
    if against := system["against_best"]:
        low, high = against["interval"]
        row |= {"difference": against["difference"], "difference_low": low, "difference_high": high}
        row |= {"p": against["p"], "p_holm": against["p_holm"]}
    return row


def _rows(comparison: Comparison) -> list[list[str]]:
    judged_on = comparison.judged_on
    parts = [part for part in ("dev", "tuned_dev", "test") if any(system.get(part) for system in comparison.systems)]
    headings = ["system", *map(_title, parts), f"{LEVEL}% of {_title(judged_on)}"]
    rows = [[*headings, *COSTS, "difference", "p (Holm)"]]
    for system in comparison.systems:
        name, seeds, against = system["name"], len(system["seeds"]), system["against_best"]
        if seeds < len(comparison.seeds):
            name += f" ({seeds} of {len(comparison.seeds)} seeds)"
        low, high = system[judged_on]["interval"]
        row = [name]
        for part in parts:
            spread = f" ± {percent(system[part]['sd'])}" if len(system[part]["each"]) > 1 else ""
            row.append(f"{percent(system[part]['mean'])}{spread}")
        row.append(f"{percent(low)} to {percent(high)}")
        row += [f"{system['parameters']:,}", f"{system['training_seconds']:,.1f}"]
        row += [f"{system['tagging_tokens_per_second']:,.0f}", "" if comparison.cautions else "best", ""]
        if against:
            p = against["p_holm"]
            # Adding 0.0 turns -0.0 into 0.0
            row[-2:] = f"{round(100 * against['difference'], 2) + 0.0:+.2f}", "< 0.001" if p < 0.001 else f"{p:.3f}"
        rows.append(row)
    return rows
