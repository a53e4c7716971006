"""structseq: sequence labelling with recurrent encoders and structured heads.

The public names below are resolved on first use (PEP 562), so that ``import structseq`` loads neither torch nor
NumPy; reading a corpus or scoring a file never loads torch at all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structseq.crf import CRF
    from structseq.data.example import Example
    from structseq.data.formats import read
    from structseq.data.reading import Corpus
    from structseq.errors import ConfigError, DataError, ModelFileError, StructseqError, TrainingError
    from structseq.estimator import SequenceClassifier, SequenceTagger
    from structseq.evaluation import Report, evaluate
    from structseq.inference import Classifier, Embedder, FrameTagger, Tagger, Transducer
    from structseq.spans import Scheme, Span, scheme_of

__version__ = "0.1.0"

__all__ = [
    "CRF",
    "Classifier",
    "ConfigError",
    "Corpus",
    "DataError",
    "Embedder",
    "Example",
    "FrameTagger",
    "ModelFileError",
    "Report",
    "Scheme",
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
    "scheme_of",
]

_HOMES = {
    "CRF": "structseq.crf",
    "Classifier": "structseq.inference",
    "ConfigError": "structseq.errors",
    "Corpus": "structseq.data.reading",
    "DataError": "structseq.errors",
    "Embedder": "structseq.inference",
    "Example": "structseq.data.example",
    "FrameTagger": "structseq.inference",
    "ModelFileError": "structseq.errors",
    "Report": "structseq.evaluation",
    "Scheme": "structseq.spans",
    "SequenceClassifier": "structseq.estimator",
    "SequenceTagger": "structseq.estimator",
    "Span": "structseq.spans",
    "StructseqError": "structseq.errors",
    "Tagger": "structseq.inference",
    "TrainingError": "structseq.errors",
    "Transducer": "structseq.inference",
    "evaluate": "structseq.evaluation",
    "read": "structseq.data.formats",
    "scheme_of": "structseq.spans",
}


def __getattr__(name: str) -> Any:
    """Import the module that holds ``name``, and remember the name so that this runs once for each."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'structseq' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
