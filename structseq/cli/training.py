"""The ``train`` command: read, check, train, score, and leave a finished model folder."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from structseq.cli.door import remark
from structseq.cli.progress import showing
from structseq.cli.reading import (
    find_scheme,
    read_examples,
    refuse_other_steps,
    repaired,
    told_format,
    unseen_tags,
)
from structseq.cli.scoring import score
from structseq.config import DataOptions, Options, dotted, load_options, parse_settings, row_of
from structseq.data.corpus import Corpus
from structseq.data.example import Example
from structseq.data.formats import detect_format
from structseq.data.pairs import in_symbols
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError, StructseqError
from structseq.evaluation import entities_of
from structseq.heads import HEADS
from structseq.model import Model
from structseq.openings import mean_openings
from structseq.run import Identity, Outcome, RunFolder, fit, hold_out, told, transfer, warm_up
from structseq.spans import PLAIN, Scheme
from structseq.storage import load_model

# What a model's answers are, and are made of, for the lines that tell of the data
KINDS = {"tags": "", "label": "plain labels", "target": "answers of their own length", "inputs": "no answers asked for"}
ANSWERS = {"tags": "tags", "label": "tags", "target": "symbols"}


@dataclass
class TrainCommand:
    """What the user asked of ``train``; see `structseq.cli.train` for the meaning of each.

    Attributes
    ----------
    words:
        The command line as it was given, to be said again with ``--resume``.
    """

    words: Sequence[str]
    train: Path
    output: Path
    dev: Path | None = None
    test: Path | None = None
    config: Path | None = None
    settings: Sequence[str] = ()
    seed: int = 0
    resume: bool = False
    init_from: Path | None = None
    save_every: float = 60.0
    quiet: bool = False
    trusted: Sequence[str] = ()
    folder: RunFolder = field(init=False)

    def run(self) -> None:
        """Do it; the reports go to standard output."""
        options = self._options()
        tokenizer_of(options.data.tokenizer)
        self.folder = RunFolder(self.output)
        self.folder.check(resume=self.resume)
        with _terminated_like_interrupted():
            if self.folder.status == "finished":
                self._finished(options)
                return
            corpus, scheme = self._corpus(options)
            self._train(options, corpus, scheme)

    # -- before -------------------------------------------------------------------------------------------------------

    def _identity(self, options: Options) -> Identity:
        files = {"train": self.train, "dev": self.dev, "test": self.test, "init": self.init_from}
        if options.inputs.words.vectors:
            files["vectors"] = Path(options.inputs.words.vectors)
        present = {part: path for part, path in files.items() if path is not None}
        threads = options.training.threads or min(2, torch.get_num_threads())
        return Identity.of(options.to_dict(), self.seed, present, threads=threads)

    def _finished(self, options: Options) -> None:
        self.folder.compare(self._identity(options))
        self.folder.tidy()
        self._say(f"{self.output}: this run is finished already; nothing was done")

    def _options(self) -> Options:
        """What options and files say together: how pairs are cut is part of every model that learns from them, and is
        known by its format."""
        options = Options.of(load_options(self.config) if self.config else {}, parse_settings(self.settings))
        kind = row_of(HEADS, options.head.type, "head.type")
        if options.data.format == "auto" and kind.gives != "target" and detect_format(self.train) == "pairs":
            return Options.of(options.to_dict(), {"data": {"format": "pairs"}})
        return options

    def _corpus(self, options: Options) -> tuple[Corpus, Scheme]:
        """The data, checked: one scheme, legal training tags (or a label each), and a dev set."""
        data, kind = options.data, row_of(HEADS, options.head.type, "head.type")
        train = read_examples(self.train, data, kind.asks)
        dev, test = (self._other(path, data, kind.asks) if path else [] for path in (self.dev, self.test))
        steps = "frames" if "frames" in train[0].inputs else "tokens"
        refuse_other_steps([*train, *dev, *test], steps)  # before hours of training, not after
        scheme, told = PLAIN, KINDS[kind.gives]
        if kind.gives == "tags":
            scheme = find_scheme(train, data, [*dev, *test])
            train, changed = repaired(train, scheme, data)
            if changed:
                self._say(f"{self.train}: {changed} illegal tag sequences were repaired by {data.repair!r}")
            told = f"tag scheme {scheme}, {'named' if data.scheme != 'auto' else 'found from the data'}"
        what = "recordings, {} frames" if steps == "frames" else "sentences, {} tokens"
        self._say(f"{self.train}: {len(train)} {what.format(sum(map(len, train)))}; {told}")
        if not self.dev:
            train, dev = self._held_out(train, options)
        if kind.gives == "inputs":
            return Corpus(tuple(train), tuple(dev), tuple(test)), scheme
        known = {tag for example in train for tag in kind.gold(example)}
        for path, part in ((self.dev or self.train, dev), (self.test, test)):
            self._warn_of_unseen(str(path), [kind.gold(example) for example in part], known, ANSWERS[kind.gives])
        return Corpus(tuple(train), tuple(dev), tuple(test)), scheme

    def _other(self, path: Path, data: DataOptions, asks: Sequence[str]) -> list[Example]:
        """Dev or test: where training is on pairs, any other file as it is, its texts cut as pairs are."""
        examples = read_examples(path, data.model_copy(update={"format": told_format(path, data)}), asks)
        if data.format != "pairs" or "frames" in examples[0].inputs:
            return examples
        return [in_symbols(example, tokenizer_of(data.tokenizer), data.symbols) for example in examples]

    def _held_out(self, train: list[Example], options: Options) -> tuple[list[Example], list[Example]]:
        kept, held = hold_out(train, options.training.validation_fraction, seed=self.seed)
        self._say(
            f"no --dev: {len(held)} of {len(train)} training sentences, drawn by the seed, are held out to choose the "
            "best epoch by (training.validation_fraction)"
        )
        return kept, held

    def _warn_of_unseen(self, file: str, golds: Sequence[Sequence[str]], known: set[str], what: str) -> None:
        unseen = unseen_tags(golds, known)
        if unseen:
            told = ", ".join(f"{tag} ({count})" for tag, count in list(unseen.items())[:10])
            more = f" and {len(unseen) - 10} more" if len(unseen) > 10 else ""
            self._say(f"warning: {file}: {what} that training does not have, counted as misses: {told}{more}")

    def _warn_of_impossible(self, model: Model, examples: Sequence[Example]) -> None:
        """Training passes over what the model cannot answer, as a target longer than its frames."""
        full = [example for example in examples if len(example)]
        if empty := [example.source for example in examples if not len(example)]:
            what = f"{len(empty)} of {len(examples)} are empty, and passed over"
            self._say(f"warning: {self.train}: {what}: {_first(empty)}")
        lost = [example.source for example in full if model.head.target(example) is None]
        if lost:
            self._say(
                f"warning: {self.train}: {len(lost)} of {len(full)} are passed over, for no answer of the model can be "
                f"theirs (longer than the frames, or not tagged): {_first(lost)}"
            )

    # -- training -----------------------------------------------------------------------------------------------------

    def _train(self, options: Options, corpus: Corpus, scheme: Scheme) -> None:
        model = self._model(options, corpus, scheme)
        self._warn_of_impossible(model, corpus.train)
        identity = self._identity(options)
        if self.resume and self.folder.status == "new":
            self._say(f"{self.output}: there is nothing to go on with; training begins")
        with self.folder.opened(identity, command=self._command()):
            for doubt in self.folder.doubts:
                self._say(f"warning: {doubt}; the weights may differ in their last bits from those of an unbroken run")
            try:
                outcome = self._fit(model, corpus, options)
                self._conclude(model, corpus, outcome, options)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(self._how_to_go_on()) from None

    def _model(self, options: Options, corpus: Corpus, scheme: Scheme) -> Model:
        source = load_model(self.init_from, trusted=self.trusted).model if self.init_from else None
        try:
            known = source.vocabularies.get("words") if source else None
            model = Model.prepare(options, corpus.train, scheme, seed=self.seed, known=known)
        except StructseqError:
            raise
        except (RuntimeError, OverflowError, TypeError, ValueError) as problem:
            first = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
            raise ConfigError(f"no model can be built with these options: {first}") from None
        if source:
            theirs, ours = (dict(dotted(each.options.data.audio.model_dump())) for each in (source, model))
            other = [name for name in ours if ours[name] != theirs[name]]
            if source.reads == model.reads == "frames" and other:
                what = ", ".join(f"data.audio.{name} {theirs[name]!r}, here {ours[name]!r}" for name in other)
                self._say(f"warning: {self.init_from} reads other frames: {what}")
            self._say(f"{self.init_from}: {told(transfer(source, model))}")
        return model

    def _fit(self, model: Model, corpus: Corpus, options: Options) -> Outcome:
        warm_up()  # before the bar appears, which would seem to stand still
        with showing(quiet=self.quiet) as watch:
            return fit(
                model,
                corpus,
                options.training,
                seed=self.seed,
                folder=self.folder,
                save_every=self.save_every,
                watch=watch,
            )

    # -- after --------------------------------------------------------------------------------------------------------

    def _conclude(self, model: Model, corpus: Corpus, outcome: Outcome, options: Options) -> None:
        """Score, tell, and turn the folder into the model."""
        self._say(f"{outcome.reason}; {outcome.seconds:.1f} s of training")
        entities = _entities(model, corpus.train)
        metrics: dict[str, Any] = {"training": outcome.to_dict()}
        reports = []
        for name, path, examples in (("dev", self.dev, corpus.dev), ("test", self.test, corpus.test)):
            if not examples:
                continue
            report = score(model, examples, entities=entities)
            metrics[name] = report.to_dict()
            if name == "dev" and model.head.gives == "tags" and (openings := mean_openings(model, examples)):
                metrics["gates"] = openings
            reports.append(f"{name} ({path or 'held out of ' + str(self.train)})\n\n{report.text()}\n")
        # First, so that nothing is lost where nobody reads the reports.
        self.folder.finish(model, tokenizer=options.data.tokenizer, metrics=metrics, entities=entities)
        print(*reports, sep="\n", end="", flush=True)
        self._say(f"{self.output}: the model is finished")

    def _command(self) -> str:
        return shlex.join(["structseq", *self.words])

    def _how_to_go_on(self) -> str:
        if self.folder.status == "finished":
            return f"stopped when all was done; {self.output} is finished"
        if not self.folder.checkpoint.exists():
            return "stopped before anything was learned; nothing was written"
        command = self._command()
        again = command if self.resume else f"{command} --resume"
        return f"stopped, and everything is saved in {self.output}; go on with: {again}"

    def _say(self, message: str) -> None:
        if not self.quiet:
            remark(message)


def _entities(model: Model, examples: Sequence[Example]) -> frozenset[tuple[str, str]]:
    if model.head.gives != "tags" or model.reads != "tokens":
        return frozenset()
    tokens, tags = [example.tokens for example in examples], [example.tags for example in examples]
    return entities_of(tokens, tags, model.tags.outer)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Within the block SIGTERM ends the command as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _first(places: Sequence[str]) -> str:
    return ", ".join(places[:3]) + (", ..." if len(places) > 3 else "")
