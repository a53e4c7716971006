"""Remarks on gold tags that are hardly meant as they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

from structseq.data.example import Example
from structseq.spans import remark_on_plain

# Hardly a sentence has more tokens: a median of many sentences, and the only one of a file
LONG, LONG_ALONE = 500, 200

_NOTHING = frozenset(("O", "o", "0", "_", "-"))


def remarks_on(examples: Sequence[Example], *, scheme: str, rows: bool) -> Iterator[str]:
    """Remarks on a file's gold tags; ``rows``: a blank line ends a sentence in its format."""
    lengths = [len(example) for example in examples]
    if rows and lengths and median(lengths) > (LONG if len(lengths) > 1 else LONG_ALONE):
        many = f"{len(lengths):,} sentences with a median of" if len(lengths) > 1 else "one sentence of"
        yield f"the whole file is {many} {median(lengths):,.0f} tokens; write a blank line after each sentence"
    if rows and (hashed := _hashed(examples)):
        begin = "sentences begin" if len(hashed) > 1 else "sentence begins"
        yield (
            f"{len(hashed):,} {begin} with the token '#' and a tag that no other token has, such as "
            f"{hashed[0].tags[0][:40]!r} in {hashed[0].source}; if such lines are comments, use data.comments=always"
        )
    counts = Counter(tag for example in examples for tag in example.targets.get("tags", ()))
    if len(counts) == 1 and (tag := next(iter(counts))) in _NOTHING:
        yield (
            f"every tag is {tag!r}, so there is nothing to learn or to score; if the tags are elsewhere, name them by "
            "data.tag_column (columns) or data.field (CoNLL-U)"
        )
    elif scheme == "auto" and (why := remark_on_plain(counts)):
        yield f"{why}; they are read as plain tags, so accuracy is reported and no F1 of entities; write tags as B-PER"


def _hashed(examples: Sequence[Example]) -> list[Example]:
    """The sentences whose first row may be a comment that was read as a row."""
    hashed = [example for example in examples if example.tokens[:1] == ("#",) and "tags" in example.targets]
    if not hashed:
        return []
    known = {
        tag for example in examples for token, tag in zip(example.tokens, example.tags, strict=True) if token != "#"
    }
    return [example for example in hashed if example.tags[0] not in known]
