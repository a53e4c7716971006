"""Remarks on gold tags that are hardly meant as they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from structseq.data.column_roles import is_header, span_columns
from structseq.data.columns import Block, place_columns, read_blocks
from structseq.data.example import Example
from structseq.data.options import DataOptions
from structseq.data.reading import file_format
from structseq.spans import Scheme, remark_on_plain
from structseq.spans.summary import TagSummary

# Hardly a sentence has more tokens: a median of many sentences, and the only one of a file
LONG, LONG_ALONE = 500, 200

# In lower case
_NOTHING = frozenset(("o", "0", "_", "-", "x", "none", "null", "nan", "na", "n/a"))
# By format with a token in each row: how to end a sentence
_ENDS = {
    **dict.fromkeys(("columns", "conllu"), "write a blank line after each sentence"),
    **dict.fromkeys(("csv", "parquet"), "name the column that tells sentences apart by data.sentence_column"),
}
# Number of sentences from which columns are described
_FIRST = 200


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


def remarks_on_file(
    path: Path | None,
    data: DataOptions,
    gold: TagSummary,
    scheme: Scheme | None,
    lengths: Counter[int],
    hashed: HashedRows,
) -> Iterator[str]:
    """Remarks on gold tags, their columns and sentences; ``path`` is None if they are not from a file.

    ``scheme`` is the tags' own, None if it is not known.
    """
    format = file_format(path, data) if path else ""
    if format in _ENDS:
        yield from _remarks_on_rows(lengths, hashed, gold.counts, _ENDS[format])
    plain = scheme is not None and scheme.plain
    yield from remarks_on_nothing(gold.counts)
    if plain and data.scheme == "auto" and (why := remark_on_plain(gold.counts, gold.repeated)):
        yield f"{why}; they are read as plain tags, so accuracy is reported and no F1 of entities; write tags as B-PER"
    if plain and path and format == "columns":
        yield from _remarks_on_columns(first_blocks(path, data))


def remarks_on_nothing(counts: Counter[str]) -> Iterator[str]:
    """A remark if no tag is of anything."""
    if len(counts) == 1 and (tag := next(iter(counts))).lower() in _NOTHING:
        yield (
            f"every tag is {tag!r}, so there is nothing to learn or to score; if the tags are elsewhere, name them by "
            "data.tag_column (columns) or data.field (CoNLL-U)"
        )


def _remarks_on_rows(lengths: Counter[int], hashed: HashedRows, counts: Counter[str], end: str) -> Iterator[str]:
    """Remarks on a file where a row is a token, from the lengths of sentences and the counts of tags."""
    many = lengths.total()
    if middle(lengths) > (LONG if many > 1 else LONG_ALONE):
        sentences = f"{many:,} sentences with a median of" if many > 1 else "one sentence of"
        yield f"the whole file is {sentences} {middle(lengths):,.0f} tokens; {end}"
    if unknown := [tag for tag in hashed.counts if counts[tag] == hashed.anywhere[tag]]:
        count = sum(hashed.counts[tag] for tag in unknown)
        begin = "sentences begin" if count > 1 else "sentence begins"
        yield (
            f"{count:,} {begin} with the token '#' and a tag that no other token has, such as {unknown[0][:40]!r} in "
            f"{hashed.sources[unknown[0]]}; if such lines are comments, use data.comments=always"
        )


def first_blocks(path: Path, data: DataOptions) -> list[tuple[Block, int, int | None]]:
    """The first sentences of a column file with their columns of tokens and tags."""
    blocks = read_blocks(path, encoding=data.encoding, separator=data.separator, comments=data.comments)
    placed = place_columns(blocks, data.token_column, data.tag_column)
    return list(islice((each for each in placed if each[0].rows), _FIRST))


def _remarks_on_columns(blocks: Sequence[tuple[Block, int, int | None]]) -> Iterator[str]:
    """Remarks on unread columns of span tags, and on a header that is read as a row."""
    first, token, tag = blocks[0]
    at, tag_at = first.column_index(token), first.column_index(-1 if tag is None else tag)
    sentences = [block.fields for block, *_ in blocks]
    columns = [[row[number] for rows in sentences for row in rows] for number in range(first.width)]
    others = [number for number in range(first.width) if number not in (at, tag_at)]
    for number in span_columns(columns, tag_at, others):
        example = next(value for value in columns[number] if "-" in value)
        yield (
            f"column {number} has tags of spans such as {example[:40]}, but tags are read from column {tag_at}; to "
            f"read those, use --set data.tag_column={number}"
        )
    if is_header(sentences, tag_at):
        yield (
            f"the first row, {' '.join(sentences[0][0])[:60]!r}, may be a header that is read as a row; remove it, or "
            "write the names token and tag"
        )


@dataclass
class HashedRows:
    """Tags of the token ``#``: of rows that may be comments."""

    anywhere: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)  # of sentences that begin with it
    sources: dict[str, str] = field(default_factory=dict)  # the first of these

    @staticmethod
    def of(examples: Iterable[Example]) -> HashedRows:
        hashed = HashedRows()
        for example in examples:
            if "#" in example.inputs.get("tokens", ()):
                hashed.add(example)
        return hashed

    def add(self, example: Example) -> None:
        tags = example.targets.get("tags", ())
        self.anywhere.update(tag for token, tag in zip(example.tokens, tags, strict=False) if token == "#")
        if tags and example.tokens[0] == "#":
            self.counts[tags[0]] += 1
            self.sources.setdefault(tags[0], example.source)
