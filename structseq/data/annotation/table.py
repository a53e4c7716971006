"""The formats of annotation tools, as a table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from structseq.data.annotation import argilla, brat, cas, docbin, doccano, label_studio, prodigy, webanno
from structseq.data.annotation.document import Document, Notes, errors_at
from structseq.data.annotation.document_folders import is_folder
from structseq.data.annotation.from_examples import documents_of
from structseq.data.annotation.limits import DocumentLimits
from structseq.data.annotation.offsets import Offsets
from structseq.data.annotation.policies import Fragments, Overlapping
from structseq.data.annotation.to_examples import Split, cutting_of
from structseq.data.annotation.webanno_writer import write_webanno
from structseq.data.charspans import Misaligned
from structseq.data.example import Example
from structseq.data.textfile import Source, Target, name_of
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import DataError
from structseq.spans import Scheme, scheme_of


@dataclass(frozen=True, slots=True)
class DocumentFormat:
    """A reader and a writer of documents.

    Attributes
    ----------
    read:
        Called with a source and, of ``encoding``, ``offsets``, ``layer``, ``scheme``, ``labels`` and ``notes``, the
        keywords that it has.
    write:
        Called with a target and documents within ``limits``, and, if it has them, the keywords ``encoding`` and
        ``model`` (the annotations are predictions of this model).
    grouped:
        Whether the sentences of a document are one text; else each sentence is a document.
    named:
        Whether the ids of documents are the names of files in a folder, and a single file has no id.
    wrote:
        Whether a record of a JSON file is the tool's.
    """

    read: Callable[..., Iterator[Document]]
    write: Callable[..., None]
    limits: DocumentLimits
    extensions: tuple[str, ...] = ()
    grouped: bool = False
    named: bool = False
    wrote: Callable[[Mapping[str, Any]], bool] | None = None

    @property
    def holds_scores(self) -> bool:
        """Whether predictions have a place for their confidences."""
        return "model" in inspect.signature(self.write).parameters

    def documents(self, source: Source, **options: Any) -> Iterator[Document]:
        """The documents of a file; options that the reader does not have are ignored."""
        return self.read(source, **_known(self.read, options))

    def save(
        self,
        target: Target,
        documents: Iterable[Document],
        *,
        tokenizer: str = "words-1",
        fragments: Fragments = "error",
        lossy: bool = False,
        notes: Notes | None = None,
        encoding: str = "utf-8",
        model: str | None = None,
    ) -> None:
        """Writes documents; with ``model``, annotations are its predictions, whose attribute ``score`` is held.

        Raises `DataError`, and writes no file, for what the format cannot hold, unless ``lossy``; ``notes`` count what
        is left out.
        """
        limits, notes = self.limits, Notes() if notes is None else notes
        if self.named and not is_folder(target):  # the id is the name of a file in a folder
            limits = replace(limits, metadata=lambda name, value: name != "id" and self.limits.metadata(name, value))
        if model is not None and self.holds_scores:
            limits = replace(
                limits, attribute=lambda name, value: name == "score" or self.limits.attribute(name, value)
            )
        fitting = limits.fit(documents, tokenizer_of(tokenizer), fragments=fragments, lossy=lossy, notes=notes)
        self.write(target, fitting, **_known(self.write, {"encoding": encoding, "model": model}))

    def examples(
        self,
        source: Source,
        *,
        tokenizer: str = "words-1",
        scheme: str | Scheme = "BIO",
        misaligned: Misaligned = "error",
        overlapping: Overlapping = "error",
        fragments: Fragments = "error",
        offsets: Offsets = "auto",
        split: Split = "auto",
        layer: str = "",
        labels: tuple[str, ...] = (),
        tags: bool = True,
        notes: Notes | None = None,
        encoding: str = "utf-8",
    ) -> Iterator[Example]:
        """Yields the sentences of the documents, those that nobody has annotated only without ``tags``.

        `Cutting` has the parameters. Raises `DataError` for a file that is not of the format, and as the policies do.
        """
        notes = Notes() if notes is None else notes
        cutting = cutting_of(
            tokenizer=tokenizer, scheme=scheme, misaligned=misaligned, overlapping=overlapping, fragments=fragments,
            split=split, lines=self.limits.lines, tags=tags, notes=notes,
        )  # fmt: skip
        documents = self.documents(
            source, encoding=encoding, offsets=offsets, layer=layer, labels=labels, notes=notes
        )  # fmt: skip
        return cutting.examples(annotated(documents, name_of(source), notes) if tags else documents)

    def save_examples(
        self,
        target: Target,
        examples: Iterable[Example],
        *,
        tokenizer: str = "words-1",
        scheme: str | Scheme = "BIO",
        lossy: bool = False,
        notes: Notes | None = None,
        encoding: str = "utf-8",
    ) -> None:
        """Writes a document for each sentence, or for each document if the format groups them.

        Raises `DataError`, and writes no file, for what the format cannot hold, unless ``lossy``; ``notes`` count what
        is left out.
        """
        notes, losses = Notes() if notes is None else notes, Notes()
        tag_scheme = scheme_of(scheme) if isinstance(scheme, str) else scheme
        with errors_at(name_of(target)):
            documents = list(documents_of(examples, tag_scheme, grouped=self.grouped, losses=losses))
            if losses and not lossy:
                raise DataError(f"{self.limits.format} cannot hold {next(iter(losses))}; leave it out with --lossy")
            notes.update({f"{loss}, left out": count for loss, count in losses.items()})
            self.save(target, documents, tokenizer=tokenizer, lossy=lossy, notes=notes, encoding=encoding)


def _known(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    names = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in names}


def annotated(documents: Iterable[Document], name: str, notes: Notes) -> Iterator[Document]:
    """The documents that somebody has annotated, or, if there are none, those with labels.

    Raises `DataError` if there are neither annotations nor labels.
    """
    skipped = found = 0
    before: list[Document] = []  # the first that is annotated
    for document in documents:
        if document.annotations is None:
            skipped += 1
            before += [] if found else [document]
            continue
        found += 1
        before.clear()
        yield document
    labelled = [each for each in before if each.labels]
    if before and not labelled:
        advice = "annotate some; structseq tag takes them as they are, and so does tags=False in Python"
        raise DataError(f"expected annotated texts, found {skipped} that nobody has annotated; {advice}", file=name)
    yield from labelled
    if skipped > len(labelled):
        notes["texts without annotations, left out"] += skipped - len(labelled)


DOCUMENT_FORMATS: Mapping[str, DocumentFormat] = {
    "jsonl": DocumentFormat(doccano.read_json_documents, doccano.write_json_documents, doccano.JSON_LIMITS),
    "doccano": DocumentFormat(doccano.read_json_documents, doccano.write_doccano, doccano.LIMITS),
    "label-studio": DocumentFormat(
        label_studio.read_label_studio, label_studio.write_label_studio, label_studio.LIMITS,
        wrote=label_studio.is_label_studio,
    ),
    "prodigy": DocumentFormat(
        prodigy.read_prodigy, prodigy.write_prodigy, prodigy.LIMITS, wrote=prodigy.is_prodigy
    ),
    "argilla": DocumentFormat(
        argilla.read_argilla, argilla.write_argilla, argilla.LIMITS, wrote=argilla.is_argilla
    ),
    "brat": DocumentFormat(brat.read_brat, brat.write_brat, brat.LIMITS, (".ann",), grouped=True, named=True),
    "xmi": DocumentFormat(cas.read_cas, cas.write_cas, cas.LIMITS, (".xmi",), grouped=True),
    "spacy": DocumentFormat(docbin.read_docbin, docbin.write_docbin, docbin.LIMITS, (".spacy",), grouped=True),
    "webanno": DocumentFormat(webanno.read_webanno, write_webanno, webanno.LIMITS, grouped=True, named=True),
}  # fmt: skip
