"""Transduction (a sequence of another length), and reconstruction of the input."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from structseq.config import Options
from structseq.data.example import FRAMES, Example, modality_of
from structseq.data.formats import detect_format
from structseq.data.options import DataOptions
from structseq.data.reading import effective_format
from structseq.evaluation import evaluate_reconstruction, evaluate_transduction
from structseq.evaluation.transduction_report import exact_match, symbol_errors
from structseq.spans import PLAIN, Scheme, TagSet
from structseq.tasks.base import Card, Report, Task, TrainedModel


class SymbolTask(Task):
    """Answers are sequences of symbols."""

    noun = "symbols"

    @property
    def predictor(self) -> str:
        return "Transducer"

    def report(
        self, model: TrainedModel, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] = ()
    ) -> Report:
        return evaluate_transduction(
            [self.gold(example) for example in examples],
            self.answers(model, examples),
            known_symbols=model.output_symbols,
            sources=[example.source for example in examples],
        )


class TransductionTask(SymbolTask):
    """Symbols from tokens or frames (Graves 2012, "Sequence transduction with recurrent neural networks")."""

    required_targets = ("target",)
    title, summary = "a transducer", "target sequences"

    @classmethod
    def symbols(cls, options: Options) -> str:
        return options.data.symbols

    @classmethod
    def input_format(cls, file: str | Path, data: DataOptions) -> str:
        name = effective_format(file, data)
        name = detect_format(file) if name == "auto" else name
        return "text" if name == "columns" and data.format == "auto" else name

    @classmethod
    def gold(cls, example: Example) -> tuple[str, ...]:
        return example.target

    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        """The mean of exact match and max(0, 1 - symbol error rate)."""
        return (exact_match(gold, answers) + max(0.0, 1 - symbol_errors(gold, answers))) / 2

    def card(self) -> Card:
        tag = "automatic-speech-recognition" if self.modality is FRAMES else "text2text-generation"
        answers = "a sequence of symbols for each sequence"
        return Card(tag, "wer", "Transducer", answers, self.usage("transducer", "transduce"))


class TranscriptionTask(TransductionTask):
    """Symbols from a longer sequence, such as the frames of a recording."""

    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        """max(0, 1 - symbol error rate)."""
        return max(0.0, 1 - symbol_errors(gold, answers))


class FrameTranscriptionTask(TranscriptionTask):
    """Transcription with gold tags for the frames of some training examples."""

    @classmethod
    def inventory(cls, examples: Sequence[Example], scheme: Scheme, options: Options) -> TagSet:
        tagged = [example for example in examples if "tags" in example.targets] or examples
        return TagSet.of([example.tags for example in tagged], PLAIN)


class ReconstructionTask(SymbolTask):
    """The tokens or frames of the input, from one vector."""

    title, summary = "an autoencoder", "no gold answers needed"

    @classmethod
    def gold(cls, example: Example) -> Any:
        return modality_of([example]).steps(example)

    @classmethod
    def inventory(cls, examples: Sequence[Example], scheme: Scheme, options: Options) -> TagSet:
        if modality_of(examples) is FRAMES:
            return TagSet((), PLAIN, PLAIN)
        return super().inventory(examples, scheme, options)

    @classmethod
    def unseen_counts(cls, known: Sequence[Example], examples: Sequence[Example]) -> dict[str, int]:
        return {}

    @property
    def predictor(self) -> str:
        return "Embedder" if self.modality is FRAMES else "Transducer"

    def criterion(self, gold: Sequence[Any], answers: Sequence[Any]) -> float:
        """1 - token error rate, or the explained share of the frames' variance; at least 0."""
        if self.modality is FRAMES:
            return evaluate_reconstruction(gold, answers).criterion
        return max(0.0, 1 - symbol_errors(gold, answers))

    def report(
        self, model: TrainedModel, examples: Sequence[Example], *, entities: Collection[tuple[str, str]] = ()
    ) -> Report:
        if self.modality is FRAMES:
            return evaluate_reconstruction([self.gold(each) for each in examples], self.answers(model, examples))
        return super().report(model, examples, entities=entities)

    def card(self) -> Card:
        usage = self.usage("embedder", "embed", "Embedder")
        return Card("feature-extraction", "accuracy", "Autoencoder", "a vector for each sequence", usage)
