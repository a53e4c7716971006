"""Gold tags and their scheme: detection, errors for illegal tags, repair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from structseq.data.example import Example
from structseq.data.options import DataOptions
from structseq.data.reading import file_and_line
from structseq.errors import DataError
from structseq.spans import REPAIR_POLICIES, Scheme, TagError, Violation, convert, detect, repair, scheme_of
from structseq.spans.detection import count_illegal, detect_beside
from structseq.tasks.base import REPAIR_OPTION


def find_scheme(examples: Sequence[Example], data: DataOptions, others: Sequence[Example] = ()) -> Scheme:
    """The scheme of training files: the one in the options, or the one detected from the tags.

    If ``others`` (dev and test) have tags outside it, and a scheme detected from all fits ``examples`` as well, it is
    that one: IOB1 without adjacent entities looks like IO. Raises `DataError`, with file and line, for mixed schemes
    and for tags outside the scheme.
    """
    if data.scheme != "auto":
        scheme = scheme_of(data.scheme)
        check_scheme(examples, scheme, data)
        return scheme
    train = [example.tags for example in examples]
    try:
        scheme = detect(train)
    except TagError as problem:
        raise with_place(problem, examples, data) from None
    if not all(map(scheme.covers, (example.tags for example in others))):
        with suppress(TagError):
            wider = detect([*train, *(example.tags for example in others)])
            if count_illegal(train, wider) <= count_illegal(train, scheme):
                return wider
    return scheme


def gold_in(
    examples: Sequence[Example], scheme: Scheme, data: DataOptions, *, option: str = REPAIR_OPTION
) -> tuple[list[Example], tuple[str, ...]]:
    """The gold of one file to score, rewritten from its own scheme in ``scheme``, that of the model's files; remarks.

    Raises `DataError`, with file and line, if the file's scheme contradicts ``scheme`` or its illegal tags are refused.
    """
    own = scheme_beside(examples, scheme, data)
    gold, remarks = legal_gold(examples, own, data, option=option, scored=True)
    if own == scheme:
        return gold, remarks
    try:
        gold = [_rewritten(example, own, scheme) for example in gold]
    except DataError as problem:
        advice = "train with data.scheme=IOB1 to keep them apart"
        message = f"{problem.message}; this file is in {own} and the model's files are in {scheme}: {advice}"
        raise DataError(message, file=problem.file) from None
    return gold, (f"the tags are in {own}; they are scored in {scheme}, the scheme of the model's files", *remarks)


def _rewritten(example: Example, own: Scheme, scheme: Scheme) -> Example:
    try:
        return with_tags(example, convert(example.tags, own, scheme))
    except DataError as problem:
        raise DataError(problem.message.partition(";")[0], file=example.source or None) from None


def scheme_beside(examples: Sequence[Example], known: Scheme, data: DataOptions) -> Scheme:
    """The scheme of a file to score: the one in the options, or the one detected, ``known`` being tried first.

    Raises `DataError`, with file and line, for tags that contradict ``known``: plain beside spans, or mixed schemes.
    """
    named = known if data.scheme == "auto" else scheme_of(data.scheme)
    if named != known:
        check_scheme(examples, named, data)
        own = named
    elif data.scheme != "auto" and known.plain:  # the user knows that tags such as B-x are no spans
        return known
    else:
        try:
            own = detect_beside([example.tags for example in examples], known)
        except TagError as problem:
            placed = with_place(problem, examples, data)
            message = f"{placed.message.rpartition('; correct')[0]}; the model's files are in {known}; correct the tags"
            raise DataError(message, file=placed.file, line=placed.line) from None
    if own.plain != known.plain:
        raise _contradiction(examples, own, known, data)
    return own


def _contradiction(examples: Sequence[Example], own: Scheme, known: Scheme, data: DataOptions) -> DataError:
    """Plain tags in one of ``own`` and ``known``, spans in the other; with the first tag that shows it."""
    spans = known if own.plain else own
    places = ((example, n, tag) for example in examples for n, tag in enumerate(example.tags))
    telling = ((example, n, tag) for example, n, tag in places if tag != "O" and spans.covers([tag]) != own.plain)
    example, position, tag = next(telling, (examples[0], 0, examples[0].tags[0]))
    file, line = file_and_line(example, position, data)
    expected = f"expected tags in {known}, as in the model's files, found {tag!r} and tags in {own}"
    advice = "name the column or field of the tags" if own.plain else "set data.scheme=plain if these tags are plain"
    return DataError(f"{expected}; {advice}", file=file, line=line)


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


def legal_gold(
    examples: Sequence[Example], scheme: Scheme, data: DataOptions, *, option: str = REPAIR_OPTION, scored: bool = False
) -> tuple[list[Example], tuple[str, ...]]:
    """The examples with legal tags by ``data.repair``, and a remark on the illegal ones.

    With ``scored``, no entity is dropped, because scores count all. Raises `DataError`, with file and line, if illegal
    tags are refused.
    """
    illegal = list(illegal_in(examples, scheme))
    if not illegal:
        return list(examples), ()
    example, first = illegal[0]
    if data.repair == "refuse":
        file, line = _place(example, first, data)
        raise DataError(f"{first.message}; {repair_advice(len(illegal), option)}", file=file, line=line)
    policy = "conlleval" if scored else data.repair
    done = "read as conlleval reads them" if policy == "conlleval" else "their entities are dropped"
    remark = f"illegal tags: {len(illegal):,}, {done}; the first is at {illegal_place(example, first, data)}"
    return [with_tags(each, repair(each.tags, scheme, policy)) for each in examples], (remark,)


def with_tags(example: Example, tags: tuple[str, ...]) -> Example:
    return example if tags == example.tags else replace(example, targets={**example.targets, "tags": tags})


def illegal_place(example: Example, violation: Violation, data: DataOptions) -> str:
    """File and line of an illegal tag, and why it is illegal."""
    file, line = _place(example, violation, data)
    return str(DataError(violation.message, file=file, line=line))


def _place(example: Example, violation: Violation, data: DataOptions) -> tuple[str, int | None]:
    file, line = file_and_line(example, violation.position, data)
    return (file, line) if line is not None else (f"{file}, token {violation.position + 1}", None)


def repair_advice(illegal: int, option: str = REPAIR_OPTION) -> str:
    """What to do about refused tags; ``option`` has ``{}`` for the repair's name."""
    others = f"the first of {illegal} illegal tags" if illegal > 1 else "the only illegal tag"
    ways = " or ".join(option.format(name) for name in REPAIR_POLICIES)
    return f"{others}: correct the file, or choose a repair with {ways}"
