"""Gold tags and their scheme: detection, errors for illegal tags, repair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from structseq.data.example import Example
from structseq.data.options import DataOptions
from structseq.data.reading import file_and_line, files_and_lines
from structseq.data.remarks import remarks_on_nothing
from structseq.errors import DataError
from structseq.spans import REPAIR_POLICIES, Scheme, TagError, Violation, convert, remark_on_plain, repair, scheme_of
from structseq.spans.detection import count_illegal, detect_beside, detect_in
from structseq.spans.summary import TagSummary
from structseq.tasks.base import REPAIR_OPTION

# The command line's option for a scheme; other callers pass their own
SCHEME_OPTION = "--set data.scheme={}"


@dataclass(frozen=True, slots=True)
class GoldTags:
    """The tags of a file, and by number the examples that their summary shows."""

    summary: TagSummary
    examples: dict[int, Example]

    @staticmethod
    def of(examples: Sequence[Example]) -> GoldTags:
        summary = TagSummary.of(example.tags for example in examples)
        return GoldTags(summary, {number: examples[number] for number in summary.shown})

    def find_scheme(self, data: DataOptions, others: Sequence[GoldTags] = (), *, option: str = SCHEME_OPTION) -> Scheme:
        """As `find_scheme`."""
        if data.scheme != "auto":
            return self.check_scheme(scheme_of(data.scheme), data)
        try:
            scheme = detect_in(self.summary)
        except TagError as problem:
            raise with_place(problem, self.examples, data, option) from None
        if not all(other.summary.covered_by(scheme) for other in others):
            with suppress(TagError):
                wider = detect_in(sum((other.summary for other in others), self.summary))
                # With other tags the spans of this file would become plain.
                if wider.plain and self.summary.entities:
                    return scheme
                if count_illegal(self.summary, wider) <= count_illegal(self.summary, scheme):
                    return wider
        return scheme

    def scheme_beside(self, known: Scheme, data: DataOptions) -> Scheme:
        """As `scheme_beside`."""
        named = known if data.scheme == "auto" else scheme_of(data.scheme)
        if named != known:
            own = self.check_scheme(named, data)
        elif data.scheme != "auto" and known.plain:  # the user knows that tags such as B-x are no spans
            return known
        else:
            own = self._detect_beside(known, data)
        if own.plain != known.plain and self.summary.counts:
            raise self._contradiction(own, known, data)
        return own

    def check_scheme(self, scheme: Scheme, data: DataOptions) -> Scheme:
        """``scheme``; raises `DataError`, with file and line, for the first tag outside it."""
        try:
            self.summary.check(scheme)
        except TagError as problem:
            raise with_place(problem, self.examples, data) from None
        return scheme

    def scored_tags(self, own: Scheme, scheme: Scheme, data: DataOptions) -> set[str]:
        """The tags of the gold that `gold_in` makes; raises as it does."""
        if own.plain:
            return set(self.summary.counts)
        if data.repair == "refuse" and (illegal := self.illegal(own)):
            raise illegal_errors(illegal[:1], data)[0]
        try:
            return self.summary.rewritten(scheme)
        except DataError:
            example = self.examples[self.summary.touching() or 0]
            _rewritten(with_tags(example, repair(example.tags, own, "conlleval")), own, scheme)
            raise

    def illegal(self, scheme: Scheme) -> list[tuple[Example, Violation]]:
        """The first illegal tags with their sentences."""
        return [(self.examples[number], violation) for number, violation in self.summary.violations(scheme)]

    def _detect_beside(self, known: Scheme, data: DataOptions) -> Scheme:
        try:
            return detect_beside(self.summary, known)
        except TagError as problem:
            placed = with_place(problem, self.examples, data)
            message = f"{placed.message.rpartition('; correct')[0]}; the model's files are in {known}; correct the tags"
            raise DataError(message, file=placed.file, line=placed.line) from None

    def _contradiction(self, own: Scheme, known: Scheme, data: DataOptions) -> DataError:
        """Plain tags in one of ``own`` and ``known``, spans in the other; with the first tag that shows it."""
        spans = known if own.plain else own
        telling = [letter for letter in self.summary.first if (letter in spans.letters) != own.plain]
        number, position = self.summary.first_of(set(telling) - {"O"}) or min(self.summary.first.values())
        example = self.examples[number]
        file, line = file_and_line(example, position, data)
        expected = f"expected tags in {known}, as in the model's files, found {example.tags[position]!r}"
        advice = "set data.scheme=plain if these tags are plain"
        if own.plain:
            advice = remark_on_plain(self.summary.counts) or "name the column or field of the tags"
        return DataError(f"{expected} and tags in {own}; {advice}", file=file, line=line)


def find_scheme(
    examples: Sequence[Example], data: DataOptions, others: Sequence[Example] = (), *, option: str = SCHEME_OPTION
) -> Scheme:
    """The scheme of training files: the one in the options, or the one detected from the tags.

    If ``others`` (dev and test) have tags outside it, and a scheme detected from all fits ``examples`` as well, it is
    that one: IOB1 without adjacent entities looks like IO. ``option`` has ``{}`` for a scheme's name. Raises
    `DataError`, with file and line, for mixed schemes and for tags outside the scheme.
    """
    return GoldTags.of(examples).find_scheme(
        data, [GoldTags.of(others)] if data.scheme == "auto" else (), option=option
    )


def gold_in(
    examples: Sequence[Example], scheme: Scheme, data: DataOptions, *, option: str = REPAIR_OPTION
) -> tuple[list[Example], tuple[str, ...]]:
    """The gold of one file to score, rewritten from its own scheme in ``scheme``, that of the model's files; remarks.

    Raises `DataError`, with file and line, if the file's scheme contradicts ``scheme`` or its illegal tags are refused.
    """
    tags = GoldTags.of(examples)
    own = tags.scheme_beside(scheme, data)
    gold, remarks = legal_gold(examples, own, data, option=option, scored=True)
    remarks = (*remarks, *remarks_on_nothing(tags.summary.counts))
    if own == scheme:
        return gold, remarks
    gold = [_rewritten(example, own, scheme) for example in gold]
    return gold, (f"the tags are in {own}; they are scored in {scheme}, the scheme of the model's files", *remarks)


def _rewritten(example: Example, own: Scheme, scheme: Scheme) -> Example:
    try:
        return with_tags(example, convert(example.tags, own, scheme))
    except DataError as problem:
        advice = "train with data.scheme=IOB1 to keep them apart"
        message = f"{problem.message.partition(';')[0]}; this file is in {own} and the model's files are in {scheme}"
        raise DataError(f"{message}: {advice}", file=example.source or None) from None


def scheme_beside(examples: Sequence[Example], known: Scheme, data: DataOptions) -> Scheme:
    """The scheme of a file to score: the one in the options, or the one detected, ``known`` being tried first.

    Raises `DataError`, with file and line, for tags that contradict ``known``: plain beside spans, or mixed schemes.
    """
    return GoldTags.of(examples).scheme_beside(known, data)


def with_place(
    problem: TagError,
    examples: Sequence[Example] | Mapping[int, Example],
    data: DataOptions,
    option: str = SCHEME_OPTION,
) -> DataError:
    """``problem`` with file and line instead of numbers, and the option that names a scheme."""
    if not problem.places:
        return problem
    message = problem.message
    for sentence, position in reversed(problem.places):
        file, line = file_and_line(examples[sentence], position, data)
        where = file if line is None else f"{file}:{line}"
        message = message.replace(f"(sentence {sentence + 1}, token {position + 1})", f"({where})")
    if problem.schemes:
        message += f", or name the scheme with {' or '.join(map(option.format, problem.schemes))}"
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
    if data.repair == "refuse":
        raise illegal_errors(illegal[:1], data, f"; {repair_advice(len(illegal), option)}")[0]
    policy = "conlleval" if scored else data.repair
    done = "read as conlleval reads them" if policy == "conlleval" else "their entities are dropped"
    remark = f"illegal tags: {len(illegal):,}, {done}; the first is at {illegal_errors(illegal[:1], data)[0]}"
    return [with_tags(each, repair(each.tags, scheme, policy)) for each in examples], (remark,)


def with_tags(example: Example, tags: tuple[str, ...]) -> Example:
    return example if tags == example.tags else replace(example, targets={**example.targets, "tags": tags})


def illegal_errors(
    illegal: Sequence[tuple[Example, Violation]], data: DataOptions, advice: str = ""
) -> list[DataError]:
    """File and line of each illegal tag, and why it is illegal."""
    places = files_and_lines([(example, violation.position) for example, violation in illegal], data)
    errors = []
    for (file, line), (_, violation) in zip(places, illegal, strict=True):
        where = file if line is not None else f"{file}, token {violation.position + 1}"
        errors.append(DataError(f"{violation.message}{advice}", file=where, line=line))
    return errors


def repair_advice(illegal: int, option: str = REPAIR_OPTION) -> str:
    """What to do about refused tags; ``option`` has ``{}`` for the repair's name."""
    others = f"the first of {illegal} illegal tags" if illegal > 1 else "the only illegal tag"
    ways = " or ".join(option.format(name) for name in REPAIR_POLICIES)
    return f"{others}: correct the file, or choose a repair with {ways}"
