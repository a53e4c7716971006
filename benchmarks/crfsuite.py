"""CRFsuite (Okazaki 2007) with ordinary hand-made word features, and the majority tag: baselines without a network."""

from __future__ import annotations

import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pycrfsuite  # type: ignore[import-untyped]

Rows = Sequence[Sequence[str]]

_SHAPES = ((re.compile(r"[A-Z]+"), "X"), (re.compile(r"[a-z]+"), "x"), (re.compile(r"[0-9]+"), "d"))


def shape(word: str) -> str:
    """Runs of capitals, small letters and digits as one letter each.

    >>> shape("McDonald's"), shape("B-747")
    ("XxXx'x", 'X-d')
    """
    for runs, letter in _SHAPES:
        word = runs.sub(letter, word)
    return word


def features(sentence: Sequence[str]) -> list[list[str]]:
    """For each token: the words from two before to two behind, its spelling, its two bigrams, and the sentence's ends.

    Strings ``name=value``, as in python-crfsuite's own example.
    """
    folded = [word.lower() for word in sentence]
    last = len(sentence) - 1
    rows = []
    for i, (word, low) in enumerate(zip(sentence, folded, strict=True)):
        row = [
            "bias", f"w={word}", f"low={low}", f"pre2={low[:2]}", f"pre3={low[:3]}", f"suf2={low[-2:]}",
            f"suf3={low[-3:]}", f"shape={shape(word)}", f"digit={word.isdigit()}", f"title={word.istitle()}",
        ]  # fmt: skip
        if i > 0:
            row += [f"-1:low={folded[i - 1]}", f"-1|0={folded[i - 1]}|{low}", f"-1:shape={shape(sentence[i - 1])}"]
        else:
            row.append("BOS")
        if i > 1:
            row.append(f"-2:low={folded[i - 2]}")
        if i < last:
            row += [f"+1:low={folded[i + 1]}", f"0|+1={low}|{folded[i + 1]}", f"+1:shape={shape(sentence[i + 1])}"]
        else:
            row.append("EOS")
        if i < last - 1:
            row.append(f"+2:low={folded[i + 2]}")
        rows.append(row)
    return rows


class CrfSuite:
    """A linear-chain CRF on `features`, trained by L-BFGS with elastic net c1 = c2 = 0.1.

    Parameters
    ----------
    sentences, tags:
        The training data.
    iterations:
        Of L-BFGS at most.
    """

    def __init__(self, sentences: Rows, tags: Rows, *, iterations: int = 100) -> None:
        trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
        trainer.set_params({"c1": 0.1, "c2": 0.1, "max_iterations": iterations})
        for sentence, row in zip(sentences, tags, strict=True):
            trainer.append(features(sentence), list(row))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.crfsuite"
            trainer.train(str(path))
            self._weights = path.read_bytes()  # CRFsuite reads them where they lie: they must outlive the tagger
        self._tagger = pycrfsuite.Tagger()
        self._tagger.open_inmemory(self._weights)

    def tag(self, sentences: Rows) -> list[list[str]]:
        """Tags of each sentence, features and all."""
        return [self._tagger.tag(features(sentence)) for sentence in sentences]


class MajorityTag:
    """Each word's most frequent tag in training; for unseen words the most frequent tag of all."""

    def __init__(self, sentences: Rows, tags: Rows) -> None:
        by_word: defaultdict[str, Counter[str]] = defaultdict(Counter)
        every: Counter[str] = Counter()
        for sentence, row in zip(sentences, tags, strict=True):
            every.update(row)
            for word, tag in zip(sentence, row, strict=True):
                by_word[word][tag] += 1
        self._tag = {word: _first(counts) for word, counts in by_word.items()}
        self._otherwise = _first(every)

    def tag(self, sentences: Rows) -> list[list[str]]:
        """Tags of each sentence."""
        return [[self._tag.get(word, self._otherwise) for word in sentence] for sentence in sentences]


def _first(counts: Counter[str]) -> str:
    """The most frequent; ties in code-point order."""
    return min(counts, key=lambda tag: (-counts[tag], tag))
