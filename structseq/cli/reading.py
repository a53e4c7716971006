"""Data files as the commands need them: read as told, their scheme found, every complaint with file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from structseq.data.columns import read_blocks
from structseq.data.example import Example
from structseq.data.formats import read
from structseq.errors import ConfigError, DataError
from structseq.spans import REPAIRS, Scheme, TagError, detect, repair, scheme_of

if TYPE_CHECKING:
    from structseq.config import DataOptions


class Illegal(NamedTuple):
    """A tag that its scheme would not have written."""

    file: str
    line: int | None
    message: str


def data_options(settings: Sequence[str], below: DataOptions | None = None) -> DataOptions:
    """The ``data`` options that ``--set`` names, over those ``below`` (a model's own, or the defaults)."""
    from structseq.config import Options, parse_settings

    table = parse_settings(settings)
    options = Options.of({"data": below.model_dump()} if below else {}, table)
    others = [name for name in table if name != "data"]
    if others:
        raise ConfigError(f"--set {others[0]}: expected an option of how files are read, such as data.tag_column=3")
    return options.data


def reader_options(data: DataOptions, *, tags: bool = True) -> dict[str, Any]:
    """What `structseq.data.formats.read` is told."""
    return {
        "token_column": data.token_column,
        "tag_column": data.tag_column if tags else None,
        "columns": dict(data.columns),
    }


def read_examples(path: str | Path, data: DataOptions, *, tags: bool = True) -> list[Example]:
    """All sentences of a file; raises `DataError` where it cannot be read or holds none."""
    examples = list(read(path, data.format, **reader_options(data, tags=tags)))
    if not examples:
        raise DataError("expected sentences, found none", file=path)
    return examples


def find_scheme(examples: Sequence[Example], data: DataOptions) -> Scheme:
    """The scheme that options name, or the one that all the tags are written in; every tag is one of its tags.

    Raises `DataError` with file and line where schemes are mixed or a tag is none of the scheme's.
    """
    try:
        if data.scheme == "auto":
            return detect(example.tags for example in examples)
        scheme = scheme_of(data.scheme)
    except TagError as problem:
        raise placed(problem, examples) from None
    for example in examples:
        try:
            scheme.decode(example.tags)
        except TagError as problem:
            raise placed(problem, [example]) from None
    return scheme


def placed(problem: TagError, examples: Sequence[Example]) -> DataError:
    """The same complaint with file and line in place of numbers of sentence and token."""
    if not problem.places:
        return problem
    sentence, position = problem.places[0]
    file, line = place_of(examples[sentence], position)
    return DataError(problem.message, file=file, line=line)


def illegal_in(examples: Sequence[Example], scheme: Scheme) -> Iterator[Illegal]:
    """Every tag that the scheme would not have written so, in the order of the files."""
    for example in examples:
        for violation in scheme.violations(example.tags):
            yield Illegal(*place_of(example, violation.position), violation.message)


def repaired(examples: Sequence[Example], scheme: Scheme, policy: str | None) -> tuple[list[Example], int]:
    """The examples with legal tags, and how many sequences were changed.

    Raises `DataError` at the first illegal sequence where no policy was named, and `ConfigError` for an unknown policy.
    """
    if policy is None:
        refuse_illegal(examples, scheme)
        return list(examples), 0
    kept, changed = [], 0
    for example in examples:
        tags = repair(example.tags, scheme, policy)
        changed += tags != example.tags
        kept.append(example if tags == example.tags else replace(example, targets={**example.targets, "tags": tags}))
    return kept, changed


def refuse_illegal(examples: Sequence[Example], scheme: Scheme) -> None:
    """Raise `DataError` at the first illegal sequence, saying how many there are and which repairs could be named."""
    first = next(illegal_in(examples, scheme), None)
    if first is None:
        return
    count = sum(1 for example in examples if scheme.violations(example.tags))
    others = f"the first of {count} sentences with illegal tags" if count > 1 else "the only sentence with illegal tags"
    ways = " or ".join(f"data.repair={name}" for name in REPAIRS)
    message = f"{first.message}; {others}: mend them, or name a repair with --set {ways}"
    raise DataError(message, file=first.file, line=first.line)


def place_of(example: Example, position: int) -> tuple[str, int | None]:
    """File and line of a token. Comments may stand between rows, so a column file is read again for it."""
    file, colon, first = example.source.rpartition(":")
    if not colon or not first.isdigit():
        return example.source or "the data", None
    try:
        for block in read_blocks(file):
            if block.rows and block.line_of(0) == int(first) and len(block) == len(example):
                return file, block.line_of(position)
    except (DataError, ConfigError):
        pass
    return file, int(first)


def unseen_tags(examples: Sequence[Example], known: Mapping[str, Any] | set[str]) -> dict[str, int]:
    """Tags that training does not have, with their number of tokens."""
    counts: dict[str, int] = {}
    for example in examples:
        for tag in example.tags:
            if tag not in known:
                counts[tag] = counts.get(tag, 0) + 1
    return counts
