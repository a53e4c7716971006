"""The task that a head names, made for its own inventory, as a model makes it."""

from __future__ import annotations

from structseq.data.example import TOKENS, Modality
from structseq.heads.base import Head
from structseq.tasks import Task, task_of


def task_for(head: Head, modality: Modality = TOKENS) -> Task:
    return task_of(type(head))(head.tags, modality, labels=getattr(head, "labels", ()))
