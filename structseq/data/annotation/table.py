"""The formats of annotation tools, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from structseq.data.annotation.document import Document
from structseq.data.annotation.limits import DocumentLimits


@dataclass(frozen=True, slots=True)
class DocumentFormat:
    """A reader and a writer of documents.

    Attributes
    ----------
    read:
        Called with a source and, of ``encoding``, ``offsets``, ``layer`` and ``notes``, the keywords that it has.
    write:
        Called with a target and documents within ``limits``, and, if it has them, the keywords ``encoding`` and
        ``model`` (the annotations are predictions of this model).
    grouped:
        Whether the sentences of a document are one text; else each sentence is a document.
    """

    read: Callable[..., Iterator[Document]]
    write: Callable[..., None]
    limits: DocumentLimits
    extensions: tuple[str, ...] = ()
    grouped: bool = False


DOCUMENT_FORMATS: Mapping[str, DocumentFormat] = {}
