"""Spans and tags: schemes by name or found from the data, tags read, written, checked, converted and repaired.

``chunks`` has the rules, ``schemes`` the schemes made of them, ``conversion`` what leads from one to another and
``detection`` what finds one in a corpus.
"""

from structseq.spans.chunks import Span
from structseq.spans.conversion import REPAIRS, convert, repair
from structseq.spans.detection import detect
from structseq.spans.schemes import PLAIN, SCHEMES, Edges, Legal, Scheme, TagError, Violation, scheme_of

__all__ = [
    "PLAIN",
    "REPAIRS",
    "SCHEMES",
    "Edges",
    "Legal",
    "Scheme",
    "Span",
    "TagError",
    "Violation",
    "convert",
    "detect",
    "repair",
    "scheme_of",
]
