"""Preparing a corpus for training: read, check, hold out a dev set, warn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from structseq.config import Options, table_of
from structseq.data.annotation.document import Notes, lines_of
from structseq.data.example import Example, modality_of
from structseq.data.options import DataOptions
from structseq.data.pairs import with_symbol_tokens
from structseq.data.reading import Corpus, effective_format
from structseq.data.textfile import decoder_of
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError, DataError
from structseq.model import Model, build_encoder
from structseq.section import resolve_class
from structseq.spans import Scheme, scheme_of
from structseq.tasks import Task, task_of
from structseq.tasks.base import REPAIR_OPTION
from structseq.training import choose_device

Notify = Callable[[str], None]
# Maximum number of names or places in a message
NAMES, PLACES = 10, 3


def ignore(message: str) -> None:
    """Ignores messages."""


@dataclass(frozen=True)
class CorpusFiles:
    """Train, dev and test: files, or names for messages; None if missing."""

    train: str | Path
    dev: str | Path | None = None
    test: str | Path | None = None


@dataclass(frozen=True)
class PreparedCorpus:
    """A checked corpus; ``remarks`` are what its check said."""

    corpus: Corpus
    scheme: Scheme
    remarks: tuple[str, ...] = ()


def task_of_options(options: Options) -> type[Task]:
    return task_of(resolve_class(table_of("head"), options.head.type, "head.type"))


def check_options(options: Options, *, build: bool = True) -> None:
    """Raise `ConfigError` for options that are wrong with any data; reads no file. ``build``: try the encoder too."""
    tokenizer_of(options.data.tokenizer)
    decoder_of(options.data.encoding)
    for section, name in (("data", options.data.scheme), ("head", getattr(options.head, "scheme", "auto"))):
        try:
            _ = name == "auto" or scheme_of(name)
        except ConfigError as problem:
            raise ConfigError(f"{section}.scheme: {problem}") from None
    task_of_options(options).check_options(options)
    choose_device(options.training.device)
    try:
        _ = build and build_encoder(options.encoder.model_copy(update={"layers": 1}), 1, tags=1)
    except ConfigError:
        raise
    except (RuntimeError, OverflowError, TypeError, ValueError) as problem:
        reason = str(problem).partition("\n")[0] or type(problem).__name__
        raise ConfigError(f"the encoder cannot be built with these options: {reason}") from None


def with_format(options: Options, train: str | Path) -> Options:
    """The options with the format of the training file in ``data.format``."""
    name = task_of_options(options).gold_format(train, options.data)
    return options if name == options.data.format else Options.of(options.to_dict(), {"data": {"format": name}})


def read_corpus(options: Options, files: CorpusFiles, notify: Notify = ignore) -> Corpus:
    """Read all files; ``notify`` receives what was left out or decided.

    Raises `DataError` if a file cannot be read, a target is missing, or the files have different modalities.
    """
    task = task_of_options(options)
    train = _read(files.train, options.data, task, options, notify)
    dev, test = (read_gold(path, task, options, notify) if path else [] for path in (files.dev, files.test))
    modality_of(train).check([*train, *dev, *test])
    return Corpus(tuple(train), tuple(dev), tuple(test))


def read_gold(path: str | Path, task: type[Task], options: Options, notify: Notify = ignore) -> list[Example]:
    """Read a file to score a model on."""
    data = options.data.model_copy(update={"format": effective_format(path, options.data)})
    data = data.model_copy(update={"format": task.gold_format(path, data)})
    return _read(path, data, task, options, notify)


def _read(path: str | Path, data: DataOptions, task: type[Task], options: Options, notify: Notify) -> list[Example]:
    notes = Notes()
    examples = _recut(task.read(path, data, notes), task, options)
    for line in lines_of(notes):
        notify(f"{path}: {line}")
    return examples


def _recut(examples: list[Example], task: type[Task], options: Options) -> list[Example]:
    symbols, tokenize = task.symbols(options), tokenizer_of(options.data.tokenizer)
    return [with_symbol_tokens(example, tokenize, symbols) for example in examples] if symbols else examples


def prepare_corpus(
    options: Options,
    corpus: Corpus,
    *,
    seed: int,
    names: CorpusFiles,
    hold: bool = True,
    describe: bool = False,
    repair_option: str = REPAIR_OPTION,
    notify: Notify = ignore,
) -> PreparedCorpus:
    """Check a corpus; with ``hold``, hold out a dev set if it has none.

    Raises `DataError`, with file and line, if an answer cannot be learned, and `ConfigError` for options that the task
    does not allow.

    Parameters
    ----------
    names, repair_option:
        Names of the parts, and of the option that repairs tags, for messages.
    describe:
        Whether to report the size of the training set.
    notify:
        Receives each message to the user.
    """
    task = task_of_options(options)
    task.check_options(options)
    checked = task.check_corpus(corpus.train, [*corpus.dev, *corpus.test], options.data, repair_option=repair_option)
    dev_gold, test_gold = (
        task.check_gold(part, checked.scheme, options.data, repair_option=repair_option)
        for part in (corpus.dev, corpus.test)
    )
    said = ((names.train, checked.remarks), (names.dev, dev_gold.remarks), (names.test, test_gold.remarks))
    remarks = tuple(f"{name}: {remark}" for name, part_remarks in said for remark in part_remarks)
    for remark in remarks:
        notify(remark)
    train, dev, test = list(checked.train), list(dev_gold.examples), tuple(test_gold.examples)
    if describe:
        notify(f"{names.train}: {modality_of(train).summary(train)}; {checked.summary}")
    if not dev and hold:
        whole = len(train)
        train, dev = hold_out(train, options.training.validation_fraction, seed=seed)
        notify(
            f"no --dev: {len(dev)} of {whole} training sentences, drawn with the seed, are held out to choose the "
            "best epoch (training.validation_fraction)"
        )
    for name, part in ((names.dev or names.train, dev), (names.test, test)):
        _warn_of_unseen(task, task.unseen_counts(train, part), name, notify)
    return PreparedCorpus(Corpus(tuple(train), tuple(dev), test), checked.scheme, remarks)


def _warn_of_unseen(task: type[Task], unseen: Mapping[str, int], name: str | Path | None, notify: Notify) -> None:
    if unseen:
        shown = ", ".join(f"{each} ({count})" for each, count in list(unseen.items())[:NAMES])
        more = f" and {len(unseen) - NAMES} more" if len(unseen) > NAMES else ""
        notify(f"warning: {name}: {task.noun} that are not in the training data, counted as misses: {shown}{more}")


def hold_out(examples: Sequence[Example], fraction: float, *, seed: int) -> tuple[list[Example], list[Example]]:
    """(kept, held out) examples, at least one each, in the original order.

    Raises `DataError` if fewer than two examples are not empty.

    >>> from structseq.data.example import Example
    >>> kept, held_out = hold_out([Example.of([word], ["O"]) for word in "abcdefghij"], 0.2, seed=0)
    >>> len(kept), len(held_out)
    (8, 2)
    """
    full = [place for place, example in enumerate(examples) if len(example)]
    if len(full) < 2:
        raise DataError(
            "expected at least two sentences that are not empty, to hold out one as dev set, "
            f"found {len(full)} of {len(examples)}; give a dev set"
        )
    count = min(max(1, round(fraction * len(full))), len(full) - 1)
    # A separate random stream: the order of batches must not depend on whether a dev set was given.
    drawn = set(np.random.default_rng([seed, 1 << 32]).permutation(full)[:count].tolist())
    kept = [example for place, example in enumerate(examples) if place not in drawn]
    return kept, [examples[place] for place in sorted(drawn)]


def warn_of_skipped(model: Model, examples: Sequence[Example], name: str | Path, notify: Notify) -> None:
    """Report the examples that training skips: empty ones, and those whose answer the model cannot predict."""

    def first(places: Sequence[str]) -> str:
        return ", ".join(places[:PLACES]) + (", ..." if len(places) > PLACES else "")

    full = [example for example in examples if len(example)]
    if empty := [example.source for example in examples if not len(example)]:
        notify(f"warning: {name}: {len(empty)} of {len(examples)} are empty and skipped: {first(empty)}")
    if impossible := [example.source for example in full if model.head.target(example) is None]:
        notify(
            f"warning: {name}: {len(impossible)} of {len(full)} are skipped, because the model cannot predict their "
            f"answer (longer than the frames, or not tagged): {first(impossible)}"
        )
