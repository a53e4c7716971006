"""Tasks by name; a head names its task."""

from __future__ import annotations

from structseq.section import resolve_class
from structseq.tasks.base import Task
from structseq.tasks.language_model_task import LanguageModelTask
from structseq.tasks.tagging_tasks import ClassificationTask, JointTask, TaggingTask
from structseq.tasks.transduction_tasks import (
    FrameTranscriptionTask,
    ReconstructionTask,
    TranscriptionTask,
    TransductionTask,
)

TASKS: dict[str, type[Task]] = {
    "tagging": TaggingTask,
    "classification": ClassificationTask,
    "joint": JointTask,
    "transduction": TransductionTask,
    "transcription": TranscriptionTask,
    "frame_transcription": FrameTranscriptionTask,
    "reconstruction": ReconstructionTask,
    "language_model": LanguageModelTask,
}


def task_of(head: type) -> type[Task]:
    """The task of a head class; raises `ConfigError` if it is unknown."""
    kind: type[Task] = resolve_class(TASKS, head.task, f"task of {head.__name__}")  # type: ignore[attr-defined]
    return kind


__all__ = [
    "TASKS",
    "ClassificationTask",
    "FrameTranscriptionTask",
    "JointTask",
    "LanguageModelTask",
    "ReconstructionTask",
    "TaggingTask",
    "Task",
    "TranscriptionTask",
    "TransductionTask",
    "task_of",
]
