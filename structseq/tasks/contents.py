"""What a data file has in it, counted in one pass and in memory that does not grow with the file."""

from __future__ import annotations

import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from structseq.data.annotation.document import Notes
from structseq.data.example import FRAMES, TOKENS, Example, Modality
from structseq.data.options import DataOptions
from structseq.data.reading import stream_examples
from structseq.data.remarks import HashedRows
from structseq.spans.summary import KEPT, TagSummary
from structseq.tasks.legality import GoldTags

# Maximum places shown of each finding
SHOWN = KEPT
# The first sentences of a file are searched for repetitions, and others beside them
COMPARED = 1_000_000
# Tokens that are counted at once; words that are kept apart before they are merged
_CHUNK, _RECENT = 1 << 12, 1 << 17
# Unicode categories of invisible characters: controls, formats, private use, unassigned, spaces
INVISIBLE = ("Cc", "Cf", "Co", "Cn", "Zs")

Hashes = NDArray[np.int64]
Item = TypeVar("Item")


@dataclass
class Findings(Generic[Item]):
    """How many there are, and the first `SHOWN`."""

    count: int = 0
    first: list[Item] = field(default_factory=list)

    def add(self, item: Item) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(item)


def hashes(items: Iterable[object], count: int) -> Hashes:
    """(count,) equal in this process for equal items."""
    return np.fromiter(map(hash, items), np.int64, count)


def in_sorted(values: Hashes, known: Hashes) -> NDArray[np.bool_]:
    """Which of ``values`` are in the sorted ``known``."""
    if not len(known):
        return np.zeros(len(values), np.bool_)
    return known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values


class Words:
    """A set of words; eight bytes each."""

    def __init__(self) -> None:
        self._known, self._recent = np.zeros(0, np.int64), set[int]()

    def add(self, found: Iterable[str]) -> None:
        self._recent.update(map(hash, found))
        if len(self._recent) > _RECENT:
            self._merge()

    def __len__(self) -> int:
        return len(self.sorted())

    def sorted(self) -> Hashes:
        self._merge()
        return self._known

    def _merge(self) -> None:
        if self._recent:
            recent = np.sort(np.fromiter(self._recent, np.int64, len(self._recent)))
            self._known = np.concatenate([self._known, recent[~in_sorted(recent, self._known)]])
            self._known.sort(kind="stable")  # fast, as both parts are sorted
            self._recent.clear()


class Sentences:
    """The first `COMPARED` sentences with their answers and places, as numbers."""

    def __init__(self) -> None:
        self._tokens, self._answers, self._lines = array("q"), array("q"), array("q")
        self._file, self._others = "", dict[int, str]()  # sources that are not a line of the file
        self._sorted: Hashes | None = None

    def add(self, examples: Sequence[Example], tokens: Hashes) -> None:
        room = COMPARED - len(self._tokens)
        for example, digest in zip(examples[:room], tokens.tolist(), strict=False):
            self._tokens.append(digest)
            self._answers.append(hash(example.targets.get("tags", example.targets.get("target"))))
            file, _, line = example.source.rpartition(":")
            self._file = self._file or file
            if file != self._file or not line.isdecimal():
                self._others[len(self._lines)], line = example.source, "0"
            self._lines.append(int(line))

    def known(self) -> Hashes:
        """The different sentences, sorted."""
        if self._sorted is None:
            self._sorted = np.unique(np.array(self._tokens))
        return self._sorted

    def repetitions(self) -> tuple[int, Findings[list[str]]]:
        """How many sentences repeat an earlier one; those with different answers: the sources of the first three."""
        tokens, answers = np.array(self._tokens), np.array(self._answers)
        order = np.argsort(tokens, kind="stable")
        order = order[tokens[order] != hash(())]
        new = np.diff(tokens[order], prepend=0) != 0
        new[:1] = True
        group, starts = np.cumsum(new) - 1, np.flatnonzero(new)
        contrary = np.unique(group[answers[order] != answers[order[starts[group]]]])
        shown = contrary[np.argsort(order[starts[contrary]])][:SHOWN]
        members = (order[starts[at] : np.append(starts, len(order))[at + 1]][:3] for at in shown)
        return len(order) - len(starts), Findings(len(contrary), [[*map(self._source, each)] for each in members])

    def _source(self, number: int) -> str:
        return self._others.get(int(number), f"{self._file}:{self._lines[number]}")


@dataclass
class Contents:
    """What a file has in it; beside a training file, also what the two share."""

    train: Contents | None = None
    lengths: Counter[int] = field(default_factory=Counter)
    documents: int = 0
    samples: dict[Modality, Example] = field(default_factory=dict)  # the first of each kind
    empty: Findings[str] = field(default_factory=Findings)
    odd: Findings[tuple[Example, int]] = field(default_factory=Findings)
    labels: Counter[str] = field(default_factory=Counter)
    unlabelled: Findings[Example] = field(default_factory=Findings)
    untagged: Findings[str] = field(default_factory=Findings)
    gold: GoldTags = field(default_factory=lambda: GoldTags(TagSummary(), {}))
    target_lengths: Counter[int] = field(default_factory=Counter)
    symbols: Counter[str] = field(default_factory=Counter)
    without_target: Findings[str] = field(default_factory=Findings)
    too_short: Findings[str] = field(default_factory=Findings)  # for their target
    words: Words = field(default_factory=Words)
    sentences: Sentences = field(default_factory=Sentences)
    hashed: HashedRows = field(default_factory=HashedRows)
    shared: int = 0  # sentences that also occur in the training file
    unknown: int = 0  # tokens that do not

    @staticmethod
    def read(path: Path, data: DataOptions, notes: Notes, train: Contents | None = None) -> Contents:
        contents = Contents(train)
        for chunk in chunks(stream_examples(path, data, notes=notes)):
            contents._add(chunk, data.label)
        return contents

    def __len__(self) -> int:
        return self.lengths.total()

    @property
    def tokens(self) -> int:
        return sum(length * count for length, count in self.lengths.items())

    @property
    def tagged(self) -> int:
        return len(self) - self.untagged.count

    @property
    def modality(self) -> Modality:
        return next(iter(self.samples))

    def _add(self, examples: Sequence[Example], label: str) -> None:
        number = len(self)
        for example in examples:
            self._add_answers(example, label)
        self.lengths.update(map(len, examples))
        self.documents += sum(example.starts_document for example in examples)
        tagged = [(n, each) for n, each in enumerate(examples, number) if "tags" in each.targets]
        for example in examples if len(tagged) < len(examples) else ():
            if "tags" not in example.targets:
                self.untagged.add(example.source)
        for n in self.gold.summary.add([each.tags for _, each in tagged], [n for n, _ in tagged]):
            self.gold.examples[n] = examples[n - number]
        self._add_tokens([example for example in examples if "tokens" in example.inputs])

    def _add_answers(self, example: Example, key: str) -> None:
        modality = TOKENS if "tokens" in example.inputs else FRAMES
        self.samples.setdefault(modality, example)
        if label := example.metadata.get(key):
            self.labels[label] += 1
        else:
            self.unlabelled.add(example)
        if "target" not in example.targets:
            self.without_target.add(example.source)
            return
        target = example.targets["target"]
        self.target_lengths[len(target)] += 1
        self.symbols.update(target)
        if len(example) < len(target):
            self.too_short.add(example.source)

    def _add_tokens(self, examples: Sequence[Example]) -> None:
        for example in examples:
            if not example.tokens:
                self.empty.add(example.source)
        words = Counter(chain.from_iterable(example.tokens for example in examples))
        digests = hashes((example.tokens for example in examples), len(examples))
        self.words.add(words)
        self.sentences.add(examples, digests)
        if self.train is not None:
            self.shared += int(in_sorted(digests, self.train.sentences.known()).sum())
            known = in_sorted(hashes(words, len(words)), self.train.words.sorted())
            self.unknown += sum(count for count, old in zip(words.values(), known.tolist(), strict=True) if not old)
        if "#" in words:
            for example in examples:
                self.hashed.add(example)
        if odd := odd_words(words):
            for example in examples:
                for position, token in enumerate(example.tokens):
                    if token in odd:
                        self.odd.add((example, position))


def chunks(examples: Iterable[Example]) -> Iterator[list[Example]]:
    """Lists of examples, about equally many tokens in each."""
    chunk, size = list[Example](), 0
    for example in examples:
        chunk.append(example)
        size += len(example) + 1
        if size > _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def odd_words(words: Iterable[str]) -> set[str]:
    """Those with invisible or replacement characters."""
    together = "".join(words)
    if together.isprintable() and "\ufffd" not in together:
        return set()
    return {word for word in words if odd_characters(word)}


def odd_characters(token: str) -> str:
    r"""Unicode names of the invisible and replacement characters in a token.

    >>> odd_characters("a\u00a0b"), odd_characters("a-b")
    ('NO-BREAK SPACE', '')
    """
    if token.isprintable() and "\ufffd" not in token:
        return ""
    odd = [c for c in token if c.isspace() or c == "\ufffd" or unicodedata.category(c) in INVISIBLE]
    return ", ".join(dict.fromkeys(unicodedata.name(c, f"U+{ord(c):04X}") for c in odd))
