"""structseq: sequence labelling with recurrent encoders and structured heads.

Public names are imported on first use (PEP 562), so that ``import structseq`` loads neither torch nor NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structseq.crf import CRF
    from structseq.data.annotation.document import Annotation, Document, Relation
    from structseq.data.example import Example
    from structseq.data.formats import read, read_documents, write, write_documents
    from structseq.data.reading import Corpus
    from structseq.errors import ConfigError, DataError, ModelFileError, StructseqError, TrainingError
    from structseq.estimator import SequenceClassifier, SequenceTagger
    from structseq.evaluation import Report, evaluate
    from structseq.inference import Classifier, Embedder, FrameTagger, Scorer, Tagger, Transducer
    from structseq.spans import Scheme, Span, scheme_of

__version__ = "0.1.0"

__all__ = [
    "CRF",
    "Annotation",
    "Classifier",
    "ConfigError",
    "Corpus",
    "DataError",
    "Document",
    "Embedder",
    "Example",
    "FrameTagger",
    "ModelFileError",
    "Relation",
    "Report",
    "Scheme",
    "Scorer",
    "SequenceClassifier",
    "SequenceTagger",
    "Span",
    "StructseqError",
    "Tagger",
    "TrainingError",
    "Transducer",
    "__version__",
    "evaluate",
    "read",
    "read_documents",
    "scheme_of",
    "write",
    "write_documents",
]

_NAMES = {
    "crf": "CRF",
    "data.reading": "Corpus",
    "data.example": "Example",
    "data.annotation.document": "Annotation Document Relation",
    "data.formats": "read read_documents write write_documents",
    "errors": "ConfigError DataError ModelFileError StructseqError TrainingError",
    "estimator": "SequenceClassifier SequenceTagger",
    "evaluation": "Report evaluate",
    "inference": "Classifier Embedder FrameTagger Scorer Tagger Transducer",
    "spans": "Scheme Span scheme_of",
}
_HOMES = {name: f"structseq.{module}" for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'structseq' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
