"""Gold tags and their scheme: detection, errors for illegal tags, repair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from structseq.data.example import Example
from structseq.data.options import DataOptions
from structseq.data.reading import file_and_line
from structseq.errors import DataError
from structseq.spans import REPAIR_POLICIES, Scheme, TagError, Violation, detect, repair, scheme_of

# The command line's option for a repair; other callers pass their own.
REPAIR_OPTION = "--set data.repair={}"


def find_scheme(examples: Sequence[Example], data: DataOptions, others: Sequence[Example] = ()) -> Scheme:
    """The scheme in the options, or the one detected from the tags.

    If ``others`` (dev and test) do not fit the scheme of ``examples``, it is detected from all: IOB1 without adjacent
    entities looks like IO. Raises `DataError`, with file and line, for mixed schemes and for tags outside the scheme.
    """
    if data.scheme != "auto":
        scheme = scheme_of(data.scheme)
        check_scheme([*examples, *others], scheme, data)
        return scheme
    try:
        scheme = detect(example.tags for example in examples)
    except TagError as problem:
        raise with_place(problem, examples, data) from None
    try:
        check_scheme(others, scheme, data)
    except DataError:
        with suppress(TagError):
            return detect(example.tags for example in (*examples, *others))
        raise
    return scheme


def check_scheme(examples: Sequence[Example], scheme: Scheme, data: DataOptions) -> None:
    """Raise `DataError`, with file and line, for the first tag outside the scheme."""
    for example in examples:
        try:
            scheme.decode(example.tags)
        except TagError as problem:
            raise with_place(problem, [example], data) from None


def with_place(problem: TagError, examples: Sequence[Example], data: DataOptions) -> DataError:
    """``problem`` with file and line instead of numbers."""
    if not problem.places:
        return problem
    message = problem.message
    for sentence, position in reversed(problem.places):
        file, line = file_and_line(examples[sentence], position, data)
        where = file if line is None else f"{file}:{line}"
        message = message.replace(f"(sentence {sentence + 1}, token {position + 1})", f"({where})")
    return DataError(message, file=file, line=line)


def illegal_in(examples: Sequence[Example], scheme: Scheme) -> Iterator[tuple[Example, Violation]]:
    """All illegal tags with their sentences."""
    return ((example, violation) for example in examples for violation in scheme.violations(example.tags))


def repaired(
    examples: Sequence[Example], scheme: Scheme, data: DataOptions, *, option: str = REPAIR_OPTION
) -> tuple[list[Example], int]:
    """The examples with legal tags, and the number of changed sequences.

    Raises `DataError` for an illegal tag if ``data.repair`` is None, and `ConfigError` for an unknown repair.
    """
    if data.repair is None:
        check_legal(examples, scheme, data, option=option)
        return list(examples), 0
    kept, changed = [], 0
    for example in examples:
        tags = repair(example.tags, scheme, data.repair)
        changed += tags != example.tags
        kept.append(example if tags == example.tags else replace(example, targets={**example.targets, "tags": tags}))
    return kept, changed


def check_legal(examples: Sequence[Example], scheme: Scheme, data: DataOptions, *, option: str = REPAIR_OPTION) -> None:
    """Raise `DataError` for the first illegal tag; ``option`` is for the message."""
    illegal = list(illegal_in(examples, scheme))
    if illegal:
        example, first = illegal[0]
        file, line = file_and_line(example, first.position, data)
        where = file if line is not None else f"{file}, token {first.position + 1}"
        raise DataError(f"{first.message}; {repair_advice(len(illegal), option)}", file=where, line=line)


def repair_advice(illegal: int, option: str = REPAIR_OPTION) -> str:
    """What to do about illegal tags; ``option`` has ``{}`` for the repair's name."""
    others = f"the first of {illegal} illegal tags" if illegal > 1 else "the only illegal tag"
    ways = " or ".join(option.format(name) for name in REPAIR_POLICIES)
    return f"{others}: correct the file, or choose a repair with {ways}"
