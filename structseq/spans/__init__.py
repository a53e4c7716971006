"""Spans and tags: schemes by name or found from the data, tags read, written, checked, converted and repaired.

``chunks`` has the rules, ``schemes`` what a scheme does with them, ``names`` the schemes there are, ``conversion``
what leads from one to another and ``detection`` what finds one in a corpus.
"""

from structseq.spans.chunks import Edges, Legal, Span
from structseq.spans.conversion import REPAIRS, convert, repair
from structseq.spans.detection import detect
from structseq.spans.names import PLAIN, SCHEMES, scheme_of
from structseq.spans.schemes import Scheme, TagError, Violation
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
