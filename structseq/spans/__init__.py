"""Tag schemes: spans read from tags and written as tags; schemes detected, converted and repaired."""

from structseq.spans.conversion import REPAIR_POLICIES, convert, repair
from structseq.spans.detection import detect, remark_on_plain
from structseq.spans.schemes import PLAIN, SCHEMES, Edges, Legal, Scheme, Span, TagError, Violation, scheme_of
from structseq.spans.tagset import TagSet

__all__ = [
    "PLAIN",
    "REPAIR_POLICIES",
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
    "remark_on_plain",
    "repair",
    "scheme_of",
]
