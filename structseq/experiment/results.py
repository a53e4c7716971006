"""Comparison: what all trials of an experiment come to, as plain values for JSON, tables and pages."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from structseq import __version__
from structseq.evaluation.significance import LEVEL
from structseq.evaluation.significance import RESAMPLES, holm, mean_interval, paired
from structseq.experiment.plan import Plan, System
from structseq.experiment.trial import Record
from structseq.run.identity import versions

# Decides what the bootstrap draws
SEED = 0


@dataclass(frozen=True)
class Comparison:
    """Systems side by side; scores from 0 to 1.

    Attributes
    ----------
    corpus:
        train, dev and test (None without one) with file, sentences and tokens; and the scheme of the tags.
    score, signature, judged_on:
        What the scores are, how they were computed, and on which part systems are ranked and compared.
    options, seeds, encoders, heads:
        What was asked for; the options that all systems share, nested.
    best:
        The name of the first system; None where no trial was finished.
    systems:
        The best first. Each has name, encoder, head, settings, parameters, seeds, dev and test (mean, sd, interval,
        each), training_seconds, training_tokens_per_second, tagging_tokens_per_second, against_best (difference,
        interval, p, p_holm), curves, transitions and errors (of its first seed).
    failed:
        Trials without a result: name, seed, reason.
    versions:
        Of structseq, torch and Python.
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
    versions: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Comparison:
        """What `to_dict` gave; raises `KeyError` where something is missing."""
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
        """The comparison of a plan's finished trials.

        Parameters
        ----------
        records:
            Of the trials that were finished, in any order.
        corpus, failed:
            As the attributes.
        """
        judged_on = "test" if corpus["test"] else "dev"
        seeds = {system: _by_seed(system, plan.seeds, records) for system in plan.systems}
        rows = [(system, found) for system, found in seeds.items() if found]
        described = [_described(system, found, resamples) for system, found in rows]
        order = sorted(range(len(rows)), key=lambda n: (-described[n][judged_on]["mean"], n))
        against = _against([rows[n][1] for n in order], judged_on, resamples)
        systems = [{**described[n], "against_best": found} for n, found in zip(order, against, strict=True)]
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
            versions={"structseq": __version__, **{name: installed[name] for name in ("torch", "python")}},
        )


def _by_seed(system: System, seeds: Sequence[int], records: Sequence[Record]) -> dict[int, Record]:
    """The system's records in the order of the plan's seeds."""
    found = {record.seed: record for record in records if record.system == system.name}
    return {seed: found[seed] for seed in seeds if seed in found}


def _described(system: System, found: Mapping[int, Record], resamples: int) -> dict[str, Any]:
    """All that is known of one system alone."""
    records = list(found.values())
    first, training = records[0], [record.training for record in records]
    rates = [run["tokens"] / run["seconds"] if run["seconds"] else 0.0 for run in training]
    return {
        "name": system.name,
        "encoder": system.encoder.name,
        "head": system.head.name,
        "settings": system.settings,
        "parameters": first.parameters,
        "seeds": list(found),
        "dev": _scored(records, "dev", resamples),
        "test": _scored(records, "test", resamples) if "test" in first.parts else None,
        "training_seconds": statistics.fmean(run["seconds"] for run in training),
        "training_tokens_per_second": statistics.fmean(rates),
        "tagging_tokens_per_second": statistics.median(record.tagging_tokens_per_second for record in records),
        "curves": [record.curve for record in records],
        "transitions": first.transitions,
        "errors": first.errors,
    }


def _scored(records: Sequence[Record], part: str, resamples: int) -> dict[str, Any]:
    """Mean, standard deviation (None with one seed), interval of the mean, and each seed's score."""
    each = [record.parts[part]["score"] for record in records]
    counts = [np.array(record.parts[part]["counts"], np.int64).reshape(-1, 3) for record in records]
    return {
        "mean": statistics.fmean(each),
        "sd": statistics.stdev(each) if len(each) > 1 else None,
        "interval": list(mean_interval(counts, resamples=resamples, seed=SEED)),
        "each": each,
    }


def _against(ranked: Sequence[Mapping[int, Record]], part: str, resamples: int) -> list[dict[str, Any] | None]:
    """For each system but the first, how it stands to the first."""
    if not ranked:
        return []
    counts = [
        {seed: np.array(record.parts[part]["counts"], np.int64).reshape(-1, 3) for seed, record in found.items()}
        for found in ranked
    ]
    pairs = [paired(other, counts[0], resamples=resamples, seed=SEED) for other in counts[1:]]
    corrected = holm([pair.p for pair in pairs])
    told: list[dict[str, Any]] = [
        {"difference": pair.difference, "interval": list(pair.interval), "p": pair.p, "p_holm": p_holm}
        for pair, p_holm in zip(pairs, corrected, strict=True)
    ]
    return [None, *told]


def _signature(scheme: str, resamples: int, *, plain: bool) -> str:
    """How the numbers were computed, after sacreBLEU's signatures (Post 2018)."""
    parts = [
        *(["accuracy"] if plain else ["entity-F1", "rule:conlleval"]),
        f"scheme:{scheme}",
        "average:micro",
        "0/0:0",
        f"interval:bootstrap,{LEVEL}%,percentile,seeds+sentences,n={resamples},seed={SEED}",
        f"test:paired-bootstrap,two-sided,seeds+sentences,n={resamples},seed={SEED},holm",
        f"structseq:{__version__}",
    ]
    return "|".join(parts)
