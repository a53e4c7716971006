"""A corpus made fit for training: read, checked, a dev set held out, and what the user should know of it said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from structseq.config import Options, table_of
from structseq.data.example import Example, modality_of
from structseq.data.pairs import in_symbols
from structseq.data.reading import Corpus, named_format, read_examples
from structseq.data.tokenizer import tokenizer_of
from structseq.model import Model
from structseq.run.split import hold_out
from structseq.section import resolve_class
from structseq.spans import Scheme
from structseq.tasks import Task, task_of
from structseq.tasks.legality import OPTION

Say = Callable[[str], None]
# How many names or places a message lists
NAMES, PLACES = 10, 3


def silent(message: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Parts:
    """Train, dev and test: their files, or what messages call them; None where there is none."""

    train: str | Path
    dev: str | Path | None = None
    test: str | Path | None = None


@dataclass(frozen=True)
class PreparedCorpus:
    """A corpus that a model can be trained on, with the scheme of its tags."""

    corpus: Corpus
    scheme: Scheme


def task_of_options(options: Options) -> type[Task]:
    """The task of the head that options name."""
    return task_of(resolve_class(table_of("head"), options.head.type, "head.type"))


def with_format(options: Options, train: str | Path) -> Options:
    """The options with the format that the task reads the training file by."""
    name = task_of_options(options).corpus_format(train, options.data)
    return options if name == options.data.format else Options.of(options.to_dict(), {"data": {"format": name}})


def read_corpus(options: Options, files: Parts) -> Corpus:
    """The examples of all files, with the answers that the task needs.

    Raises `DataError` for a file that cannot be read, an answer that is missing, and files of different modalities.
    """
    task = task_of_options(options)
    train = _recut(read_examples(files.train, options.data, task.required_targets), task, options)
    parts = [read_gold(path, task, options) if path else [] for path in (files.dev, files.test)]
    modality_of(train).check([*train, *parts[0], *parts[1]])  # before hours of training, not after
    return Corpus(tuple(train), *map(tuple, parts))


def read_gold(path: str | Path, task: type[Task], options: Options) -> list[Example]:
    """A file to score a model on, its texts cut as the training data were."""
    named = options.data.model_copy(update={"format": named_format(path, options.data)})
    named = named.model_copy(update={"format": task.corpus_format(path, named)})
    return _recut(read_examples(path, named, task.required_targets), task, options)


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

    Parameters
    ----------
    names:
        Names of its parts, for messages.
    hold:
        Whether a share of the training data is held out where there is no dev set.
    describe:
        Whether to say how large the training set is, and what its answers are.
    repair_option:
        How a repair of illegal tags is named, for messages.
    say:
        Takes what the user should know, a sentence each.

    Raises
    ------
    DataError
        With file and line, for answers that cannot be learned.
    ConfigError
        For options that do not suit the task.
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
        _warn_of_unseen(task, train, part, name, say)
    return PreparedCorpus(Corpus(tuple(train), tuple(dev), corpus.test), checked.scheme)


def _warn_of_unseen(
    task: type[Task], train: Sequence[Example], part: Sequence[Example], name: str | Path | None, say: Say
) -> None:
    if unseen := task.unseen(train, part):
        listed = ", ".join(f"{each} ({count})" for each, count in list(unseen.items())[:NAMES])
        more = f" and {len(unseen) - NAMES} more" if len(unseen) > NAMES else ""
        say(f"warning: {name}: {task.noun} that training does not have, counted as misses: {listed}{more}")


def warn_of_skipped(model: Model, examples: Sequence[Example], name: str | Path, say: Say) -> None:
    """Say which examples training skips: empty ones, and those whose answer the model cannot give."""
    full = [example for example in examples if len(example)]
    if empty := [example.source for example in examples if not len(example)]:
        say(f"warning: {name}: {len(empty)} of {len(examples)} are empty, and passed over: {_first(empty)}")
    if lost := [example.source for example in full if model.head.target(example) is None]:
        say(
            f"warning: {name}: {len(lost)} of {len(full)} are passed over, for no answer of the model can be "
            f"theirs (longer than the frames, or not tagged): {_first(lost)}"
        )


def _first(places: Sequence[str]) -> str:
    return ", ".join(places[:PLACES]) + (", ..." if len(places) > PLACES else "")
