"""A corpus for training: read, checked, with a dev set held out, and with remarks for the user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from structseq.config import Options, table_of
from structseq.data.example import Example, modality_of
from structseq.data.pairs import in_symbols
from structseq.data.reading import Corpus, named_format
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import DataError
from structseq.model import Model
from structseq.section import resolve_class
from structseq.spans import Scheme
from structseq.tasks import Task, task_of
from structseq.tasks.legality import OPTION

Say = Callable[[str], None]
# Most names or places that a message lists
NAMES, PLACES = 10, 3


def silent(message: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Parts:
    """Train, dev and test: their files, or their names in messages; None for a part that is missing."""

    train: str | Path
    dev: str | Path | None = None
    test: str | Path | None = None


@dataclass(frozen=True)
class PreparedCorpus:
    """A corpus ready for training, with its tag scheme."""

    corpus: Corpus
    scheme: Scheme


def task_of_options(options: Options) -> type[Task]:
    """The task of the options' head."""
    return task_of(resolve_class(table_of("head"), options.head.type, "head.type"))


def with_format(options: Options, train: str | Path) -> Options:
    """The options with the format in which the task reads the training file."""
    name = task_of_options(options).corpus_format(train, options.data)
    return options if name == options.data.format else Options.of(options.to_dict(), {"data": {"format": name}})


def read_corpus(options: Options, files: Parts) -> Corpus:
    """The examples of all files, with the answers that the task needs.

    Raises `DataError` if a file cannot be read, an answer is missing, or the files are of different modalities.
    """
    task = task_of_options(options)
    train = _recut(task.read(files.train, options.data), task, options)
    dev, test = (read_gold(path, task, options) if path else [] for path in (files.dev, files.test))
    modality_of(train).check([*train, *dev, *test])
    return Corpus(tuple(train), tuple(dev), tuple(test))


def read_gold(path: str | Path, task: type[Task], options: Options) -> list[Example]:
    """A file to score a model on; texts are cut as in training."""
    data = options.data.model_copy(update={"format": named_format(path, options.data)})
    data = data.model_copy(update={"format": task.corpus_format(path, data)})
    return _recut(task.read(path, data), task, options)


def _recut(examples: list[Example], task: type[Task], options: Options) -> list[Example]:
    symbols, tokenize = task.symbols(options), tokenizer_of(options.data.tokenizer)
    return [in_symbols(example, tokenize, symbols) for example in examples] if symbols else examples


def prepare_corpus(
    options: Options,
    corpus: Corpus,
    *,
    seed: int,
    names: Parts,
    hold: bool = True,
    describe: bool = False,
    repair_option: str = OPTION,
    say: Say = silent,
) -> PreparedCorpus:
    """The corpus with legal tags in one scheme, and with a dev set.

    Raises `DataError`, with file and line, if an answer cannot be learned, and `ConfigError` if the options do not suit
    the task.

    Each message to the user is a call of ``say``; ``names`` and ``repair_option`` are the names in it of the parts, and
    of the option that repairs illegal tags. With ``describe`` the first says how large the training set is. With
    ``hold`` a share of the training data becomes the dev set if there is none.
    """
    task = task_of_options(options)
    task.check_options(options)
    checked = task.check_corpus(corpus.train, [*corpus.dev, *corpus.test], options.data, repair_option=repair_option)
    for remark in checked.remarks:
        say(f"{names.train}: {remark}")
    train, dev = list(checked.train), list(corpus.dev)
    if describe:
        say(f"{names.train}: {modality_of(train).described(train)}; {checked.summary}")
    if not dev and hold:
        whole = len(train)
        train, dev = hold_out(train, options.training.validation_fraction, seed=seed)
        say(
            f"no --dev: {len(dev)} of {whole} training sentences, drawn by the seed, are held out to choose the "
            "best epoch by (training.validation_fraction)"
        )
    for name, part in ((names.dev or names.train, dev), (names.test, corpus.test)):
        if unseen := task.unseen(train, part):
            shown = ", ".join(f"{each} ({count})" for each, count in list(unseen.items())[:NAMES])
            more = f" and {len(unseen) - NAMES} more" if len(unseen) > NAMES else ""
            say(f"warning: {name}: {task.noun} that training does not have, counted as misses: {shown}{more}")
    return PreparedCorpus(Corpus(tuple(train), tuple(dev), corpus.test), checked.scheme)


def hold_out(examples: Sequence[Example], fraction: float, *, seed: int) -> tuple[list[Example], list[Example]]:
    """(kept, held out), both in the original order, at least one each; the same seed draws the same examples.

    Raises `DataError` if fewer than two examples are not empty.

    >>> from structseq.data.example import Example
    >>> kept, held = hold_out([Example.of([word], ["O"]) for word in "abcdefghij"], 0.2, seed=0)
    >>> len(kept), len(held)
    (8, 2)
    """
    full = [place for place, example in enumerate(examples) if len(example)]
    if len(full) < 2:
        raise DataError(
            "expected two sentences or more that are not empty, so that one can be held out, "
            f"found {len(full)} of {len(examples)}; give a dev set"
        )
    count = min(max(1, round(fraction * len(full))), len(full) - 1)
    # A separate random stream: the order of batches must not depend on whether a dev set was given.
    drawn = set(np.random.default_rng([seed, 1 << 32]).permutation(full)[:count].tolist())
    kept = [example for place, example in enumerate(examples) if place not in drawn]
    return kept, [examples[place] for place in sorted(drawn)]


def warn_of_skipped(model: Model, examples: Sequence[Example], name: str | Path, say: Say) -> None:
    """Name the examples that training skips: empty ones, and those with an answer that the model cannot give."""

    def first(places: Sequence[str]) -> str:
        return ", ".join(places[:PLACES]) + (", ..." if len(places) > PLACES else "")

    full = [example for example in examples if len(example)]
    if empty := [example.source for example in examples if not len(example)]:
        say(f"warning: {name}: {len(empty)} of {len(examples)} are empty, and passed over: {first(empty)}")
    if lost := [example.source for example in full if model.head.target(example) is None]:
        say(
            f"warning: {name}: {len(lost)} of {len(full)} are passed over, because the model cannot give their answer "
            f"(longer than the frames, or not tagged): {first(lost)}"
        )
