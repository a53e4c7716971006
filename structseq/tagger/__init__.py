"""What users hold: `Tagger` and the `Tagging` that it answers with, `Classifier` and its `Classification`.

`sentences` checks what users give, `reader` is the model made ready for answering, `marginals` are tag probabilities in
the user's own scheme, `tagging` is the answer.
"""

from __future__ import annotations

from structseq.tagger.classifier import Classification, Classifier
from structseq.tagger.tagger import Tagger
from structseq.tagger.tagging import TaggedSpan, Tagging, TextToken

__all__ = ["Classification", "Classifier", "TaggedSpan", "Tagger", "Tagging", "TextToken"]
