"""Training passes, one at a time: structseq's by its own `train`, and the tutorial model's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tutorial import Tutorial
from widths import SETTINGS

from structseq.config import Options, parse_settings
from structseq.data.reading import Corpus
from structseq.model import Model
from structseq.spans import detect
from structseq.training import train


def structseq_passes(corpus: Corpus, settings: Sequence[str], *, passes: int, seed: int = 0) -> Callable[[], object]:
    """Each call trains one more pass, ``passes`` in all, without a dev set, by `speed_options`."""
    options = speed_options([*settings, f"training.epochs={passes}"])
    model = Model.prepare(options, corpus.train, detect(example.tags for example in corpus.train), seed=seed)
    progress = train(model, Corpus(corpus.train), options.training, seed=seed)
    ends = (update for update in progress if update.ends_epoch)
    return lambda: next(ends)


def tutorial_passes(corpus: Corpus, *, seed: int = 0) -> Callable[[], object]:
    """Each call trains one more pass."""
    tutorial = Tutorial([e.tokens for e in corpus.train], [e.tags for e in corpus.train], seed=seed)
    return tutorial.train_pass


def speed_options(settings: Sequence[str]) -> Options:
    """`widths.SETTINGS`, overridden by ``settings``."""
    return Options.of(parse_settings(SETTINGS), parse_settings(settings))
