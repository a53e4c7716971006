"""Which column holds tokens and which holds tags."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from structseq.data.column_evidence import (
    are_span_tags,
    count_rows,
    is_no_tag_name,
    is_number,
    is_span_tag,
    is_tag_name,
    is_token_name,
    is_token_with_tag,
    never_fall,
)
from structseq.data.textfile import shown
from structseq.errors import ConfigError

Sentence = Sequence[Sequence[str]]

# A part of speech, in capitals
_TAG = re.compile(r"[A-Z]+[$:,.]?")
# Number of rows that say too little about a vocabulary
_FEW = 20
_NO_TAGS = frozenset(("", "_", "-"))


def by_names(names: Sequence[str], token: int | str, tag: int | str | None) -> tuple[int, int | None]:
    """The numbers of the columns of tokens and tags, the default ones by their names.

    Raises `ConfigError` for a name that the header does not have.
    """
    token = number_of(names, token) if isinstance(token, str) else token
    tag = number_of(names, tag) if isinstance(tag, str) else tag
    tokens = [at for at, name in enumerate(names) if is_token_name(name)]
    if token == 0 and tokens:
        token = tokens[0]
    tags = [at for at, name in enumerate(names) if is_tag_name(name) and at != token]
    if tag == -1 and len(tags) == 1:
        tag = tags[0]
    return token, tag


def number_of(names: Sequence[str], column: str) -> int:
    """The number of a column of the header; raises `ConfigError`."""
    found = [at for at, name in enumerate(names) if name.strip().lower() == column.lower()]
    if len(found) == 1:
        return found[0]
    header = f"a header with {shown(', '.join(names))}" if names else "no header"
    raise ConfigError(f"expected a column {shown(column)!r}, found {header}; name it, or give its number, from 0")


def objection(sentences: Sequence[Sentence], names: Sequence[str], token: int, tag: int | None) -> str:
    """Why the columns cannot be tokens and tags, and what to do; empty if they can."""
    width = len(sentences[0][0])
    if not (-width <= token < width and (tag is None or -width <= tag < width)):
        return ""
    at, tag_at = token % width, None if tag is None else tag % width
    columns = [[row[number] for sentence in sentences for row in sentence] for number in range(width)]
    others = [number for number in range(width) if number not in (at, tag_at)]
    if token >= 0 and (found := _no_tokens(sentences, columns, at, others or _words_alone(columns, tag_at))):
        what, words = found
        return (
            f"expected tokens in column {at}, found {what}; name the column of the tokens, such as "
            f"{_token_option(words)} ({columns[words][0][:40]!r}), or {_token_option(at - width)} if these are tokens"
        )
    if tag_at is None or tag_at == at:
        return ""
    if all(map(is_token_with_tag, chain.from_iterable(columns))):
        return f"expected a token in each row, found {columns[0][0][:40]!r}; write one token and its tag in each row"
    if token >= 0 and _swapped(columns[at], columns[tag_at]):
        return (
            f"expected tokens in column {at} and tags in column {tag_at}, found tags such as "
            f"{_shown(columns[at])} and tokens such as {columns[tag_at][0][:40]!r}; swap them by "
            f"{_token_option(tag_at)} {_tag_option(at)}, or keep them by {_token_option(at - width)}"
        )
    return _other_tags(columns, names, tag_at, others) if tag == -1 else ""


def _no_tokens(
    sentences: Sequence[Sentence], columns: Sequence[Sequence[str]], at: int, others: Sequence[int]
) -> tuple[str, int] | None:
    """What a column has instead of tokens, and which of ``others`` may have them."""
    if others and count_rows([row[at] for row in sentence] for sentence in sentences):
        return "the numbers of the rows", next(
            (number for number in others if not all(map(is_number, columns[number]))), others[0]
        )
    words = [number for number in others if _are_words(columns[number])]
    # Beside one column alone, values with letters may be tokens.
    sure = len(columns) > 2 or not any(map(str.isalpha, columns[at][0]))
    if sure and words and never_fall([row[at] for row in sentence] for sentence in sentences):
        return f"values that count, such as {columns[at][0][:40]!r}", words[0]
    varied = [number for number in others if _is_open(columns[number]) and not all(map(is_number, columns[number]))]
    if varied and len(columns[at]) > _FEW and len(set(columns[at])) == 1:
        return f"{columns[at][0][:40]!r} in every row", varied[0]
    return None


def _are_words(values: Sequence[str]) -> bool:
    """Many values are different and none is a tag of a span; some have a letter that is not a capital."""
    first = values[:500]  # of a file without sentences there are many
    letters = any(c.islower() or (c.isalpha() and not c.isascii()) for c in "".join(first))
    return letters and 3 * len(set(first)) > len(first) and not any(map(is_span_tag, first))


def _words_alone(columns: Sequence[Sequence[str]], tag: int | None) -> list[int]:
    """The column of the tags, if it has words."""
    words = tag is not None and _is_open(columns[tag]) and not any(map(is_span_tag, columns[tag]))
    return [tag] if words and tag is not None and len(columns) > 1 else []


def _is_open(values: Sequence[str]) -> bool:
    """Many values are different."""
    return 3 * len(set(values)) > len(values) > 3


def _swapped(tokens: Sequence[str], tags: Sequence[str]) -> bool:
    """The tokens are tags of spans, or have a small vocabulary and the tags an open one."""
    if any(map(is_span_tag, set(tags))):
        return False
    many, few = len(set(tags)), len(set(tokens))
    plain = len(tags) > (5 if all(map(_TAG.fullmatch, tokens)) else _FEW) and _is_open(tags) and many >= 2 * few
    return are_span_tags(tokens) or plain


def _other_tags(columns: Sequence[Sequence[str]], names: Sequence[str], tag: int, others: Sequence[int]) -> str:
    """An objection to the last column if another must be meant."""
    named = [number for number in others if names and is_tag_name(names[number])]
    spans = any(map(is_span_tag, set(columns[tag])))
    never = bool(names) and is_no_tag_name(names[tag]) and not spans
    if never or (named and not is_tag_name(names[tag]) and not spans):
        what, meant = repr(names[tag]), named or [number for number in others if not is_no_tag_name(names[number])]
    else:
        found = set(columns[tag])
        empty = sorted(found if len(found) == 1 < len(columns[tag]) else found & _NO_TAGS)
        what = repr(empty[0]) if empty and empty[0] else "an empty field"
        meant = span_columns(columns, tag, others) if empty else []
    if not meant and not never:
        return ""
    options = ", ".join(f"{_tag_option(number)} ({_shown(columns[number])})" for number in meant[:5])
    return (
        f"expected tags in column {tag}, the last one, found {what}; name the column of the tags"
        f"{': ' if options else ''}{options}"
    )


def span_columns(columns: Sequence[Sequence[str]], tag: int, others: Sequence[int]) -> list[int]:
    """The numbers of ``others`` that hold tags of spans, if the column ``tag`` holds none."""
    if any(map(is_span_tag, set(columns[tag]))):
        return []
    return [number for number in others if are_span_tags(columns[number])]


def is_header(sentences: Sequence[Sentence], tag_at: int) -> bool:
    """Whether the first row may name the columns: its fields occur in no other row, and its tag looks unlike others."""
    first, rows = sentences[0][0], [row for sentence in sentences for row in sentence]
    others = [row for row in rows if row != first]
    name, tags = first[tag_at], {row[tag_at] for row in others}
    if len(tags) < 2 or not (name.isalpha() and len(name) > 2) or any({*first} & {*row} for row in others):
        return False
    return _shape(name) not in map(_shape, tags)


def _shape(word: str) -> str:
    return re.sub(r"[a-z]+", "a", re.sub(r"[A-Z]+", "A", word))


def _shown(values: Sequence[str]) -> str:
    """A value, if possible a tag with a type."""
    return repr(next((value for value in values if "-" in value), values[0])[:40])


def _token_option(number: int) -> str:
    return f"--set data.token_column={number}"


def _tag_option(number: int) -> str:
    return f"--set data.tag_column={number}"
