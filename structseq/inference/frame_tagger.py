"""FrameTagger: the predictor of a model that gives each step of a recording a tag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from structseq.data.example import Example
from structseq.inference.predictor import DEFAULT_OUTPUT, OutputOptions, Predictor
from structseq.tasks.answers import FrameTagging


class FrameTagger(Predictor):
    """A trained tagger of recordings; see `Predictor` for how it is made, saved and shared.

    Examples
    --------
    ::

        tagger = FrameTagger.load("frames")
        tagger.tag_audio("call.wav").tags
    """

    has_confidence: ClassVar[bool] = False

    def tag(self, frames: Any) -> FrameTagging:
        """Tag frames (L, F), or an `Example` of them; raises `DataError` for anything else."""
        return self.answer([self.preprocessor.example(frames, "tag")])[0]

    def tag_audio(self, path: str | Path) -> FrameTagging:
        """Tag a recording; raises `DataError` if the file is not one."""
        return self.answer([self.preprocessor.audio(path, "tag_audio")])[0]

    def tag_many(self, sequences: Iterable[Any], *, look_ahead: int = 256) -> Iterator[FrameTagging]:
        """Tag a stream of what `tag` takes, in order and in bounded memory."""
        return self._sequences(sequences, "tag_many", OutputOptions(), look_ahead)

    def answer(self, examples: Sequence[Example], output: OutputOptions = DEFAULT_OUTPUT) -> list[FrameTagging]:
        labelled = len(self.model.task.labels) > 0
        return [
            FrameTagging(tuple(found[labelled:]), found[0] if labelled else None, self.preprocessor.source(example))
            for example, found in zip(examples, self.model.predict(examples), strict=True)
        ]
