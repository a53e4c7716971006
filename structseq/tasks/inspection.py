"""Inspection of data files, as training would read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from structseq.data.annotation.document import Notes, lines_of
from structseq.data.example import FRAMES
from structseq.data.options import DataOptions
from structseq.data.reading import file_format, files_and_lines, with_labels
from structseq.data.remarks import first_blocks, middle, remarks_on_file
from structseq.data.textfile import one_line
from structseq.errors import DataError
from structseq.spans import Scheme
from structseq.tasks.contents import COMPARED, SHOWN, Contents, odd_characters
from structseq.tasks.legality import illegal_errors, repair_advice

# Maximum rows of the table of types; a type with fewer occurrences is rare
ROWS, RARE = 60, 10

# What training does with illegal tags, by data.repair
READINGS = {
    "conlleval": "reads them as conlleval does",
    "drop": "drops their entities, scores count them",
    "refuse": "refuses the file",
}


@dataclass
class FileInspection:
    """One file: lines to print, reasons to refuse it, counts of types or symbols."""

    path: Path
    contents: Contents
    scheme: Scheme | None = None
    lines: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, value: str) -> None:
        self.lines.append(f"  {name:<18} {one_line(value)}")

    def add_places(self, places: Sequence[str], count: int | None = None) -> None:
        self.lines += [f"    {one_line(place)}" for place in places[:SHOWN]]
        more = (len(places) if count is None else count) - SHOWN
        if more > 0:
            self.lines.append(f"    and {more:,} more")


def inspect_file(path: Path, data: DataOptions, train: FileInspection | None = None) -> FileInspection:
    """Inspect a training file, or one beside the training file ``train``; raises `DataError` if it cannot be read."""
    notes = Notes()
    contents = Contents.read(path, data, notes, train.contents if train else None)
    found = FileInspection(path, contents)
    found.add("format", described_format(path, data))
    if contents.modality is FRAMES:
        _check_recordings(found)
        return found
    for line in lines_of(notes):
        found.add("remark", line)
    count = f"{len(contents):,}" + (f" in {contents.documents:,} documents" if contents.documents else "")
    found.add("sentences", f"{count}, {_lengths(contents.lengths, 'tokens')}")
    found.add("tokens", f"{contents.tokens:,}, {len(contents.words):,} of them different")
    _check_tags(found, data, train.scheme if train else None)
    gold, lengths, hashed = contents.gold.summary, contents.lengths, contents.hashed
    for remark in remarks_on_file(path, data, gold, found.scheme, lengths, hashed):
        found.add("remark", remark)
    if contents.empty.count:
        found.add("empty sentences", f"{contents.empty.count:,}; training skips them")
        found.add_places(contents.empty.first, contents.empty.count)
    _check_tokens(found, data)
    _check_repetitions(found)
    return found


def _lengths(lengths: Counter[int], units: str) -> str:
    return f"of {min(lengths)} to {max(lengths)} {units}, median {middle(lengths):g}"


def _check_tags(found: FileInspection, data: DataOptions, known: Scheme | None) -> None:
    contents = found.contents
    if not contents.without_target.count:
        _check_targets(found)
        return
    labels, missing = contents.labels, contents.unlabelled
    if not missing.count and not contents.tagged:
        found.counts = labels
        found.add("labels", f"{len(labels)}, under {data.label!r}; train with head.type=classify")
        return
    if missing.count and data.label != "label":  # the user named the key
        sentences = _count(missing.count, "sentence", "sentences")
        what = f"{sentences} without a label under {data.label!r}, the first at"
        found.refused.append(f"{found.path} has {what} {missing.first[0].source}")
    if labels:
        lacks = _count(missing.count, "sentence has", "sentences have")
        lacking = f"; {lacks} none, which that head would refuse" if missing.count else ""
        found.add("labels", f"{len(labels)}, under {data.label!r}, for head.type=joint{lacking}")
        found.add_places([example.source for example in missing.first], missing.count)
    if untagged := contents.untagged.count:
        reason = ""
        try:
            if not contents.tagged:
                with_labels(missing.first, data.label)
        except DataError as problem:
            reason = f", and labels are missing: {problem}"
        sentences = _count(untagged, "sentence", "sentences")
        found.refused.append(
            f"{found.path} has {sentences} without tags, the first at {contents.untagged.first[0]}{reason}"
        )
    else:
        _check_scheme(found, data, known)


def _check_scheme(found: FileInspection, data: DataOptions, known: Scheme | None) -> None:
    gold = found.contents.gold
    try:
        scheme = gold.scheme_beside(known, data) if known else gold.find_scheme(data)
        found.scheme = scheme
    except DataError as problem:
        found.add("scheme", f"not one beside {known}" if known else "mixed")
        found.add_places([str(problem)])
        found.refused.append(str(problem))
        return
    found.add("scheme", f"{scheme}, {'found from the data' if data.scheme == 'auto' else 'as named'}")
    found.counts = gold.summary.counts if scheme.plain else gold.summary.entities
    entities, types = _count(found.counts.total(), "entity", "entities"), _count(len(found.counts), "type", "types")
    kinds = "" if scheme.plain else f"; {entities} of {types}"
    found.add("tags", f"{len(gold.summary.counts)}{kinds}")
    if not scheme.plain:
        _check_legality(found, scheme, data)


def _check_legality(found: FileInspection, scheme: Scheme, data: DataOptions) -> None:
    gold = found.contents.gold
    _, illegal = gold.summary.illegal(scheme)
    how = f"{illegal:,}; training {READINGS[data.repair]} (data.repair={data.repair})"
    found.add("illegal tags", how if illegal else "none")
    places = list(map(str, illegal_errors(gold.illegal(scheme), data)))
    found.add_places(places, illegal)
    if illegal and data.repair == "refuse":
        found.refused.append(f"{places[0]}; {repair_advice(illegal)}")


def _check_targets(found: FileInspection) -> None:
    contents = found.contents
    found.counts = contents.symbols
    head = "ctc" if contents.modality is FRAMES else "generate"
    different = f"{len(found.counts)} different; train with head.type={head}"
    found.add("answers", f"{_lengths(contents.target_lengths, 'symbols')}; {different}")


def _check_recordings(found: FileInspection) -> None:
    contents, without = found.contents, found.contents.without_target
    numbers = contents.samples[FRAMES].frames.shape[1]
    steps = f"{_lengths(contents.lengths, 'steps')}; {contents.tokens:,} steps of {numbers} numbers"
    found.add("recordings", f"{len(contents):,}, {steps}")
    found.add("with segments", f"{contents.tagged:,}")
    if without.count:
        recordings = _count(without.count, "recording", "recordings")
        what = f"{recordings} without a text, the first at {without.first[0]}"
        found.refused.append(f"{found.path} has {what}")
        return
    _check_targets(found)
    if short := contents.too_short.count:
        have = _count(short, "has", "have")
        found.add("too short", f"{have} fewer steps than symbols; training with CTC skips such recordings")
        found.add_places(contents.too_short.first, short)


def _check_tokens(found: FileInspection, data: DataOptions) -> None:
    if not (odd := found.contents.odd).count:
        return
    found.add("odd tokens", f"{odd.count:,} contain white space or invisible characters; they are kept unchanged")
    places = []
    for (file, line), (example, position) in zip(files_and_lines(odd.first, data), odd.first, strict=True):
        token, place = example.tokens[position], file if line is None else f"{file}:{line}"
        places.append(f"{place}: {token!a} contains {odd_characters(token)}")
    found.add_places(places, odd.count)


def _check_repetitions(found: FileInspection) -> None:
    repeated, contrary = found.contents.sentences.repetitions()
    some = f", among the first {COMPARED:,}" if len(found.contents) > COMPARED else ""
    if repeated or some:
        found.add("repetitions", f"{_count(repeated, 'sentence repeats', 'sentences repeat')} an earlier one{some}")
    if contrary.count:
        count = _count(contrary.count, "sentence occurs", "sentences occur")
        found.add("contradictions", f"{count} more than once with different answers{some}")
        found.add_places([" and ".join(dict.fromkeys(sources)) for sources in contrary.first], contrary.count)


def compare_files(checked: Sequence[FileInspection], data: DataOptions) -> Iterator[str]:
    """Lines that compare the files; the first is the training data, and the others were inspected beside it."""
    train = checked[0]
    schemes = {part.scheme.name for part in checked if part.scheme}
    if len(schemes) > 1 and data.scheme == "auto":
        named = ", ".join(f"{part.path} {part.scheme}" for part in checked if part.scheme)
        yield f"  schemes differ: {one_line(named)}; each file is read by its own, and scored in that of training"
    if any(part.contents.modality is FRAMES for part in checked):
        return
    some = f"the first {COMPARED:,} of " if len(train.contents) > COMPARED else ""
    for part in checked[1:]:
        contents = part.contents
        yield (
            f"  {one_line(str(part.path))}: {contents.shared:,} of {len(contents):,} sentences also occur in "
            f"{some}{one_line(str(train.path))}; {contents.unknown:,} of {contents.tokens:,} tokens "
            f"({100 * contents.unknown / max(contents.tokens, 1):.1f}%) do not occur there"
        )
    tags = {part.path: own for part, own in zip(checked, _as_scored(checked, data), strict=True)}
    for path, own in tags.items():
        if alone := own.difference(*(others for other, others in tags.items() if other != path)):
            yield f"  tags only in {one_line(str(path))}: {one_line(', '.join(sorted(alone)))}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _as_scored(checked: Sequence[FileInspection], data: DataOptions) -> Iterator[set[str]]:
    """The tags of each file in the scheme of training; a file that cannot be written in it is refused."""
    train, others = checked[0], [part.contents.gold for part in checked[1:] if part.scheme]
    yield set(train.contents.gold.summary.counts)
    scheme = train.contents.gold.find_scheme(data, others) if train.scheme and others else None
    for part in checked[1:]:
        gold = part.contents.gold
        tags = set(gold.summary.counts)
        if scheme is not None and part.scheme:
            try:
                tags = gold.scored_tags(gold.scheme_beside(scheme, data), scheme, data)
            except DataError as problem:
                part.refused = part.refused or [str(problem)]
        yield tags


def type_table(checked: Sequence[FileInspection]) -> Iterator[str]:
    """Counts of types, tags, symbols or labels in each file; rare ones are marked."""
    total = sum((part.counts for part in checked), Counter[str]())
    names = [name for name, _ in total.most_common(ROWS)]
    width = max((len(one_line(name)) for name in names), default=0)
    widths = [max(len(part.path.name), 7) for part in checked]
    heads = (f"{one_line(part.path.name):>{size}}" for part, size in zip(checked, widths, strict=True))
    yield f"  {'':<{width}}  {'  '.join(heads)}"
    for name in names:
        cells = (f"{part.counts[name]:>{size},}" for part, size in zip(checked, widths, strict=True))
        rare = f"  fewer than {RARE} in {checked[0].path.name}" if checked[0].counts[name] < RARE else ""
        yield f"  {one_line(name) or '(no type)':<{width}}  {'  '.join(cells)}{rare}"
    if len(total) > len(names):
        yield f"  and {len(total) - len(names)} more"


def heading(checked: Sequence[FileInspection]) -> str:
    if any(part.scheme and not part.scheme.plain for part in checked):
        return "types"
    if any(part.scheme for part in checked):
        return "tags"
    samples = [next(iter(part.contents.samples.values())) for part in checked]
    targets = any("target" in example.targets for example in samples)
    return "symbols" if targets else "labels"


def described_format(path: Path, data: DataOptions) -> str:
    """The format of a file, with its columns."""
    name = file_format(path, data)
    if name != "columns":
        return name
    first, token, tag = first_blocks(path, data)[0]
    token, tag = first.column_index(token), first.column_index(-1 if tag is None else tag)
    between = "tabs" if first.separator == "\t" else "spaces"
    named = f", named {' '.join(first.names).strip()}" if first.names else ""
    where = f"tokens in column {token}, tags in column {tag}, counted from 0"
    return f"{first.width} columns between {between}{named}; {where}"
