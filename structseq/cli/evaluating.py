"""The ``evaluate`` command: a model's score on a file, as text and as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from structseq.cli.reading import answering_options, read_examples, refuse_foreign, refuse_other_steps, told_format
from structseq.cli.scoring import score
from structseq.data.textfile import writing
from structseq.storage import load_model
from structseq.tagger.given import Giving


def run_evaluate(
    model: Path, file: Path, *, json_out: str | None, errors: int, settings: Sequence[str], trusted: Sequence[str] = ()
) -> None:
    """Score and print; the JSON file holds every error, the text as many as asked for."""
    stored = load_model(model, trusted=trusted)
    data = answering_options(settings, stored.model)
    head = stored.model.head
    asks = ("target",) if head.gives == "target" else head.asks  # tags of frames are for training alone
    data = data.model_copy(update={"format": told_format(file, data)})
    examples = read_examples(file, data, asks)
    refuse_other_steps(examples, stored.model.reads)
    if head.gives == "inputs":
        examples = list(map(Giving(stored.model, stored.tokenizer).in_symbols, examples))
    if head.gives == "tags":
        refuse_foreign(examples, stored.model.tags.outer, data)
    report = score(stored.model, examples, entities=stored.entities)
    if json_out is not None:
        text = json.dumps(report.to_dict(errors=None), ensure_ascii=False, indent=2) + "\n"
        with writing(sys.stdout.buffer if json_out == "-" else json_out) as stream:
            stream.write(text)
    if json_out != "-":
        print(report.text(errors=errors))
