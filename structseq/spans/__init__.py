"""Spans and tags: tag schemes, found by name or from the data; tags read, written, checked, converted and repaired."""

from structseq.spans.conversion import REPAIRS, convert, repair
from structseq.spans.detection import detect
from structseq.spans.schemes import PLAIN, SCHEMES, Edges, Legal, Scheme, Span, TagError, Violation, scheme_of
from structseq.spans.tagset import TagSet

__all__ = [
    "PLAIN",
    "REPAIRS",
    "SCHEMES",
    "Edges",
    "Legal",
    "Scheme",
    "Span",
    "TagError",
    "TagSet",
    "Violation",
    "convert",
    "detect",
    "repair",
    "scheme_of",
]
