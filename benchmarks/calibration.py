"""How well confidences fit, before and after calibration, on a folder of CoNLL data over several seeds.

    python benchmarks/calibration.py FOLDER --seeds 0 1 2 --results FILE --models FOLDER

Every run trains with the default options (and what --set says) and one thread. Then it measures, on dev and test, F1
and the expected calibration error of predicted spans without a temperature (raw), with the one that training fits
(paths), and with what else could be fitted on dev: a temperature by the likelihood of single tags (tokens) or of being
right (spans), a temperature and a score of O (outside), and a monotone map of confidences (isotonic). Each finished run
is a line of the results file and not done again; --models keeps trained models, and those there are not trained again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded

import console
import numpy as np
import torch
from folder import read_folder
from results import append, read_results
from runs import Run
from scipy.optimize import minimize, minimize_scalar
from table import markdown, write_json

from structseq.config import Options, parse_settings
from structseq.data.example import Example
from structseq.data.reading import Corpus
from structseq.evaluation import entity_f1
from structseq.evaluation.calibration import calibration_of
from structseq.evaluation.matching import match
from structseq.model import Model
from structseq.spans import detect
from structseq.storage import is_model_folder, load_model, save_model
from structseq.training import train

WAYS = ("raw", "paths", "tokens", "spans", "outside", "isotonic")
BOUNDS = (math.log(0.1), math.log(10))


def main() -> None:
    arguments = parser().parse_args()
    done = read_results(arguments.results)
    rows = []
    for seed in arguments.seeds:
        settings = (f"head.type={arguments.head}", "training.calibrate=false", *arguments.set)
        run = Run(arguments.folder, "structseq", settings, seed, sentences=arguments.sentences)
        row = next((row for row in done if all(row.get(name) == value for name, value in run.key().items())), None)
        if row is None:
            row = {**run.key(), **measured(run, arguments.models)}
            append(arguments.results, row)
        rows.append(row)
        print(f"finished: seed {seed} {json.dumps(row['ways']['paths'])}", file=sys.stderr, flush=True)
    print(as_table(rows, arguments.folder.resolve().name))
    write_json(arguments.json, {"runs": rows})


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N")
    parser.add_argument("--head", default="crf", metavar="HEAD", help="crf (default), softmax")
    parser.add_argument("--results", type=Path, metavar="FILE", help="JSON lines: finished runs, read and appended to")
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="where trained models are kept")
    return parser


def measured(run: Run, models: Path | None) -> dict[str, Any]:
    """``ways``: for each of `WAYS` the ``temperature``, and F1 and `Calibration` of dev and test."""
    corpus = read_folder(run.folder, sentences=run.sentences)
    model = trained(run, corpus, models)
    ways: dict[str, Any] = {}
    for name, temperature in fitted(model, corpus.dev):
        model.head.get_buffer("temperature").fill_(temperature)
        model.tune(corpus.dev)
        bias = round(float(model.head.get_buffer("outside_bias")), 4)
        ways[name] = {"temperature": round(temperature, 4), "bias": bias}
        for part in ("dev", "test"):
            f1, shares, right = answered(model, getattr(corpus, part))
            ways[name][part] = {"f1": f1, **calibration_of(shares, right).to_dict()}
            if name == "raw":
                mapped = isotonic(*answered(model, corpus.dev)[1:])(shares)
                also = ways.setdefault("isotonic", {"temperature": None, "bias": bias})
                also[part] = {"f1": f1, **calibration_of(mapped, right).to_dict()}
    return {"ways": ways}


def trained(run: Run, corpus: Corpus, models: Path | None) -> Model:
    """The model of a run, its decision bias chosen without a temperature."""
    options, seed = Options.of(parse_settings(run.settings)), run.seed or 0
    name = f"{run.folder.resolve().name}-{options.head.type}-{seed}"
    if models is not None and is_model_folder(models / name):
        return load_model(models / name).model
    model = Model.prepare(options, corpus.train, detect(example.tags for example in corpus.train), seed=seed)
    for progress in train(model, Corpus(corpus.train, corpus.dev), options.training, seed=seed):
        if progress.ends_epoch:
            print(f"{name}: epoch {progress.epoch}, dev {progress.dev_score:.4f}", file=sys.stderr, flush=True)
    if models is not None:
        models.mkdir(parents=True, exist_ok=True)
        save_model(models / name, model, tokenizer=options.data.tokenizer)
    return model


def answered(model: Model, examples: Sequence[Example]) -> tuple[float, np.ndarray, np.ndarray]:
    """Entity F1, the confidences of predicted spans, and whether each is right."""
    answers, confidences = model.predict_with_confidence(examples)
    assert confidences is not None
    gold, scheme = [example.tags for example in examples], model.tags.file_scheme
    right = match(gold, answers, scheme).predicted_correct
    return entity_f1(gold, answers, scheme), np.array([share for row in confidences for share in row]), right


# -- ways to calibrate -------------------------------------------------------------------------------------------------


def fitted(model: Model, dev: Sequence[Example]) -> Iterator[tuple[str, float]]:
    """Each way and its temperature, with the model changed where the way changes more."""
    temperature = model.head.get_buffer("temperature")
    temperature.fill_(1.0)
    yield "raw", 1.0
    temperature.fill_(1.0)
    chains = [(d, padded(model, d, [dev[n] for n in rows])) for rows, d in model.distributions(dev)]
    model.calibrate(dev)
    yield "paths", float(temperature)
    yield "tokens", least(lambda value: tag_loss(chains, value))
    yield "spans", least(lambda value: span_loss(model, dev, value))
    value, shift = outside(model, chains)
    with torch.no_grad():
        model.head.emission.bias -= shift * model.head.get_buffer("outside")
    yield "outside", value


def padded(model: Model, chain: Any, examples: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Gold tags (B, T), and (B, T) which steps are known."""
    targets = [model.head.target(example) or () for example in examples]
    table = torch.zeros(chain.scores.shape[:2], dtype=torch.int64)
    known = torch.zeros_like(table, dtype=torch.bool)
    for row, target in enumerate(targets):
        table[row, : len(target)], known[row, : len(target)] = torch.tensor(target, dtype=torch.int64), True
    return table, known


def least(loss: Callable[[float], float]) -> float:
    """The temperature of least loss."""
    found = minimize_scalar(lambda exponent: loss(math.exp(exponent)), bounds=BOUNDS, method="bounded")
    return math.exp(found.x)


def tag_loss(chains: Sequence[Any], temperature: float) -> float:
    total = 0.0
    for chain, (table, known) in chains:
        shares = chain.tempered(temperature).marginals().gather(2, table.unsqueeze(2)).squeeze(2)
        total -= float(shares[known].double().clamp(min=1e-12).log().sum())
    return total


def span_loss(model: Model, dev: Sequence[Example], temperature: float) -> float:
    model.head.get_buffer("temperature").fill_(temperature)
    _, shares, right = answered(model, dev)
    shares = shares.clip(1e-6, 1 - 1e-6)
    return float(-np.where(right, np.log(shares), np.log1p(-shares)).mean())


def outside(model: Model, chains: Sequence[Any]) -> tuple[float, float]:
    """The temperature and the subtrahend of O's scores that make gold paths most likely."""
    mask = model.head.get_buffer("outside").float()

    def loss(point: np.ndarray) -> float:
        total = 0.0
        for chain, (table, known) in chains:
            scored = chain.with_scores(chain.scores - float(point[1]) * mask).tempered(math.exp(point[0]))
            likely = scored.log_prob(table)[known[:, 0]]
            total -= float(likely[torch.isfinite(likely)].double().sum())
        return total

    with torch.inference_mode():
        found = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-2, "fatol": 1e-2})
    return math.exp(found.x[0]), float(found.x[1])


def isotonic(shares: np.ndarray, right: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from sklearn.isotonic import IsotonicRegression

    mapped = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(shares, right.astype(float)).predict
    return lambda values: np.asarray(mapped(values))


# -- the table ---------------------------------------------------------------------------------------------------------


def as_table(rows: Sequence[dict[str, Any]], data: str) -> str:
    """Means over seeds, in percent but for the temperature."""
    header = [f"{data}: fitted on dev", "temperature"]
    header += [
        f"{part} {what}" for part in ("dev", "test") for what in ("F1", "ECE", "ECE, equal counts", "confidence")
    ]
    cells = []
    for way in WAYS:
        own = [row["ways"][way] for row in rows]
        temperatures = [each["temperature"] for each in own]
        row = [way, "–" if None in temperatures else f"{statistics.fmean(temperatures):.2f}"]
        for part in ("dev", "test"):
            for name in ("f1", "ece", "ece_equal_mass", "confidence"):
                row.append(f"{100 * statistics.fmean(each[part][name] for each in own):.2f}")
        cells.append(row)
    return markdown(header, cells)


if __name__ == "__main__":
    sys.exit(console.run(main))
