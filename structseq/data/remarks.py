"""Remarks on gold tags that are hardly meant as they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from structseq.data.example import Example
from structseq.spans import remark_on_plain

# Hardly a sentence has more tokens: a median of many sentences, and the only one of a file
LONG, LONG_ALONE = 500, 200

_NOTHING = frozenset(("O", "o", "0", "_", "-"))


def middle(counts: Counter[int]) -> float:
    """The median of counted numbers."""
    ordered, total = sorted(counts.items()), counts.total()
    return (_at_rank(ordered, (total - 1) // 2) + _at_rank(ordered, total // 2)) / 2


def _at_rank(ordered: Sequence[tuple[int, int]], rank: int) -> int:
    for value, count in ordered:
        rank -= count
        if rank < 0:
            return value
    raise ValueError("the rank is beyond the numbers")


def remarks_on(counts: Counter[str], *, scheme: str) -> Iterator[str]:
    """Remarks on a file's gold tags, from their counts."""
    if len(counts) == 1 and (tag := next(iter(counts))) in _NOTHING:
        yield (
            f"every tag is {tag!r}, so there is nothing to learn or to score; if the tags are elsewhere, name them by "
            "data.tag_column (columns) or data.field (CoNLL-U)"
        )
    elif scheme == "auto" and (why := remark_on_plain(counts)):
        yield f"{why}; they are read as plain tags, so accuracy is reported and no F1 of entities; write tags as B-PER"


def remarks_on_rows(lengths: Counter[int], hashed: HashedRows, counts: Counter[str]) -> Iterator[str]:
    """Remarks on a file where a blank line ends a sentence, from the lengths of sentences and the counts of tags."""
    many = lengths.total()
    if middle(lengths) > (LONG if many > 1 else LONG_ALONE):
        sentences = f"{many:,} sentences with a median of" if many > 1 else "one sentence of"
        yield f"the whole file is {sentences} {middle(lengths):,.0f} tokens; write a blank line after each sentence"
    if unknown := [tag for tag in hashed.counts if counts[tag] == hashed.anywhere[tag]]:
        count = sum(hashed.counts[tag] for tag in unknown)
        begin = "sentences begin" if count > 1 else "sentence begins"
        yield (
            f"{count:,} {begin} with the token '#' and a tag that no other token has, such as {unknown[0][:40]!r} in "
            f"{hashed.sources[unknown[0]]}; if such lines are comments, use data.comments=always"
        )


@dataclass
class HashedRows:
    """Tags of the token ``#``: of rows that may be comments."""

    anywhere: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)  # of sentences that begin with it
    sources: dict[str, str] = field(default_factory=dict)  # the first of these

    def add(self, example: Example) -> None:
        tags = example.targets.get("tags", ())
        self.anywhere.update(tag for token, tag in zip(example.tokens, tags, strict=False) if token == "#")
        if tags and example.tokens[0] == "#":
            self.counts[tags[0]] += 1
            self.sources.setdefault(tags[0], example.source)
