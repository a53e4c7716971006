"""What users hold: `Tagger` and the `Tagging` that it answers with, `Classifier` and its `Classification`, `Transducer`
and its `Transduction`, and `Embedder`.

`held` is what they have in common, `sentences` and `given` check what users give, `reader` is the model made ready for
answering, `marginals` are tag probabilities in the user's own scheme, `tagging` is the answer.
"""

from __future__ import annotations

from structseq.tagger.classifier import Classification, Classifier
from structseq.tagger.embedder import Embedder
from structseq.tagger.tagger import Tagger
from structseq.tagger.tagging import TaggedSpan, Tagging, TextToken
from structseq.tagger.transducer import Transducer, Transduction

__all__ = [
    "Classification",
    "Classifier",
    "Embedder",
    "TaggedSpan",
    "Tagger",
    "Tagging",
    "TextToken",
    "Transducer",
    "Transduction",
]
