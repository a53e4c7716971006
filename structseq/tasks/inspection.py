"""Inspection of data files, as training would read them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median

from structseq.data.annotation.document import Notes, lines_of
from structseq.data.column_roles import span_columns
from structseq.data.columns import Block, place_columns, read_blocks
from structseq.data.example import FRAMES, Example, modality_of
from structseq.data.formats import detect_format, resolve_format
from structseq.data.options import DataOptions
from structseq.data.reading import file_and_line, read_examples, with_labels
from structseq.data.remarks import remarks_on
from structseq.data.textfile import one_line
from structseq.errors import DataError
from structseq.spans import Scheme
from structseq.tasks.legality import find_scheme, gold_in, illegal_in, illegal_place, repair_advice, scheme_beside

# Maximum places shown of each finding; maximum rows of the table of types; a type with fewer occurrences is rare
SHOWN, ROWS, RARE = 5, 60, 10
# Number of sentences from which columns are described
FIRST = 200
# Unicode categories of invisible characters: controls, formats, private use, unassigned, spaces
INVISIBLE = ("Cc", "Cf", "Co", "Cn", "Zs")

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
    examples: list[Example]
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
    found = FileInspection(path, read_examples(path, data, notes=notes))
    examples, lengths = found.examples, [len(example) for example in found.examples]
    found.add("format", described_format(path, data))
    if modality_of(examples) is FRAMES:
        _check_recordings(found, lengths)
        return found
    for line in lines_of(notes):
        found.add("remark", line)
    documents = sum(example.starts_document for example in examples)
    count = f"{len(examples):,}" + (f" in {documents:,} documents" if documents else "")
    found.add("sentences", f"{count}, of {min(lengths)} to {max(lengths)} tokens, median {median(lengths):g}")
    words = Counter(token for example in examples for token in example.tokens)
    found.add("tokens", f"{words.total():,}, {len(words):,} of them different")
    _check_tags(found, data, train.scheme if train else None)
    for remark in remarks_on(examples, scheme=data.scheme, rows=file_format(path, data) in ("columns", "conllu")):
        found.add("remark", remark)
    if found.scheme is not None and found.scheme.plain and file_format(path, data) == "columns":
        _check_other_columns(found, data)
    if empty := [example.source for example in examples if not len(example)]:
        found.add("empty sentences", f"{len(empty):,}; training skips them")
        found.add_places(empty)
    _check_tokens(found, words, data)
    _check_repetitions(found)
    return found


def _check_tags(found: FileInspection, data: DataOptions, known: Scheme | None) -> None:
    if all("target" in example.targets for example in found.examples):
        _check_targets(found)
        return
    labels = [example.metadata.get(data.label) for example in found.examples]
    if all(labels) and not any("tags" in example.targets for example in found.examples):
        found.counts = Counter(label for label in labels if label)
        found.add("labels", f"{len(found.counts)}, under {data.label!r}; train with head.type=classify")
        return
    missing = [example.source for example, label in zip(found.examples, labels, strict=True) if not label]
    if missing and data.label != "label":  # the user named the key
        what = f"{len(missing):,} sentences without a label under {data.label!r}, the first at {missing[0]}"
        found.refused.append(f"{found.path} has {what}")
    if any(labels):
        lacking = f"; {len(missing):,} sentences have none, which that head would refuse" if missing else ""
        found.add("labels", f"{len({*labels} - {None, ''})}, under {data.label!r}, for head.type=joint{lacking}")
        found.add_places(missing)
    if any("tags" not in example.targets for example in found.examples):
        reason = ""
        try:
            with_labels(found.examples, data.label)
        except DataError as problem:
            reason = f", and labels are missing: {problem}"
        found.refused.append(f"{found.path} has sentences without tags{reason}")
    else:
        _check_scheme(found, data, known)


def _check_scheme(found: FileInspection, data: DataOptions, known: Scheme | None) -> None:
    try:
        scheme = scheme_beside(found.examples, known, data) if known else find_scheme(found.examples, data)
        found.scheme = scheme
    except DataError as problem:
        found.add("scheme", f"not one beside {known}" if known else "mixed")
        found.add_places([str(problem)])
        found.refused.append(str(problem))
        return
    found.add("scheme", f"{scheme}, {'found from the data' if data.scheme == 'auto' else 'as named'}")
    if scheme.plain:
        found.counts = Counter(tag for example in found.examples for tag in example.tags)
    else:
        found.counts = Counter(span.label for example in found.examples for span in scheme.decode(example.tags))
    tags = {tag for example in found.examples for tag in example.tags}
    entities, types = _count(found.counts.total(), "entity", "entities"), _count(len(found.counts), "type", "types")
    kinds = "" if scheme.plain else f"; {entities} of {types}"
    found.add("tags", f"{len(tags)}{kinds}")
    illegal = list(illegal_in(found.examples, scheme))
    if not scheme.plain:
        how = f"{len(illegal):,}; training {READINGS[data.repair]} (data.repair={data.repair})"
        found.add("illegal tags", how if illegal else "none")
    places = [illegal_place(example, violation, data) for example, violation in illegal[:SHOWN]]
    found.add_places(places, len(illegal))
    if illegal and data.repair == "refuse":
        found.refused.append(f"{places[0]}; {repair_advice(len(illegal))}")


def _check_targets(found: FileInspection) -> None:
    lengths = [len(example.target) for example in found.examples]
    found.counts = Counter(symbol for example in found.examples for symbol in example.target)
    length = f"of {min(lengths)} to {max(lengths)} symbols, median {median(lengths):g}"
    head = "ctc" if modality_of(found.examples) is FRAMES else "generate"
    found.add("answers", f"{length}; {len(found.counts)} different; train with head.type={head}")


def _check_recordings(found: FileInspection, lengths: Sequence[int]) -> None:
    examples = found.examples
    steps = f"of {min(lengths)} to {max(lengths)} steps, median {median(lengths):g}; {sum(lengths):,} steps"
    found.add("recordings", f"{len(examples):,}, {steps} of {examples[0].frames.shape[1]} numbers")
    found.add("with segments", f"{sum('tags' in example.targets for example in examples):,}")
    without = [example.source for example in examples if "target" not in example.targets]
    if without:
        found.refused.append(f"{found.path} has {len(without):,} recordings without a text, the first at {without[0]}")
        return
    _check_targets(found)
    if short := [example.source for example in examples if len(example) < len(example.target)]:
        found.add("too short", f"{len(short):,} have fewer steps than symbols; training with CTC skips them")
        found.add_places(short)


def _place(example: Example, position: int, data: DataOptions) -> str:
    return ":".join(str(part) for part in file_and_line(example, position, data) if part is not None)


def _check_tokens(found: FileInspection, words: Counter[str], data: DataOptions) -> None:
    if not (odd := {word: names for word in words if (names := odd_characters(word))}):
        return
    places = [(example, n) for example in found.examples for n, token in enumerate(example.tokens) if token in odd]
    found.add("odd tokens", f"{len(places):,} contain white space or invisible characters; they are kept unchanged")
    shown = [(_place(example, n, data), example.tokens[n]) for example, n in places[:SHOWN]]
    found.add_places([f"{place}: {token!a} contains {odd[token]}" for place, token in shown], len(places))


def odd_characters(token: str) -> str:
    r"""Unicode names of the invisible and replacement characters in a token.

    >>> odd_characters("a\u00a0b"), odd_characters("a-b")
    ('NO-BREAK SPACE', '')
    """
    if token.isprintable() and "\ufffd" not in token:
        return ""
    odd = [c for c in token if c.isspace() or c == "\ufffd" or unicodedata.category(c) in INVISIBLE]
    return ", ".join(dict.fromkeys(unicodedata.name(c, f"U+{ord(c):04X}") for c in odd))


def _check_repetitions(found: FileInspection) -> None:
    tagged: dict[tuple[str, ...], list[Example]] = {}
    for example in found.examples:
        if len(example):
            tagged.setdefault(example.tokens, []).append(example)
    twice = [group for group in tagged.values() if len(group) > 1]
    if twice:
        repeated = sum(len(group) - 1 for group in twice)
        found.add("repetitions", f"{repeated:,} sentences repeat an earlier one")
    answers = [{each.targets.get("tags", each.targets.get("target")) for each in group} for group in twice]
    contrary = [group for group, different in zip(twice, answers, strict=True) if len(different) > 1]
    if contrary:
        found.add("contradictions", f"{len(contrary):,} sentences occur more than once with different answers")
        found.add_places([" and ".join(dict.fromkeys(example.source for example in group[:3])) for group in contrary])


def compare_files(checked: Sequence[FileInspection], data: DataOptions) -> Iterator[str]:
    """Lines that compare the files; the first is the training data."""
    train = checked[0]
    schemes = {part.scheme.name for part in checked if part.scheme}
    if len(schemes) > 1 and data.scheme == "auto":
        named = ", ".join(f"{part.path} {part.scheme}" for part in checked if part.scheme)
        yield f"  schemes differ: {one_line(named)}; each file is read by its own, and scored in that of training"
    if any(modality_of(part.examples) is FRAMES for part in checked):
        return
    known = {example.tokens for example in train.examples}
    words = {token for example in train.examples for token in example.tokens}
    for part in checked[1:]:
        shared = sum(example.tokens in known for example in part.examples)
        tokens = [token for example in part.examples for token in example.tokens]
        unknown = sum(token not in words for token in tokens)
        yield (
            f"  {one_line(str(part.path))}: {shared:,} of {len(part.examples):,} sentences also occur in "
            f"{one_line(str(train.path))}; {unknown:,} of {len(tokens):,} tokens "
            f"({100 * unknown / max(len(tokens), 1):.1f}%) do not occur there"
        )
    pairs = zip(checked, _as_scored(checked, data), strict=True)
    tags = {part.path: {tag for each in rows for tag in each.targets.get("tags", ())} for part, rows in pairs}
    for path, own in tags.items():
        if alone := own.difference(*(others for other, others in tags.items() if other != path)):
            yield f"  tags only in {one_line(str(path))}: {one_line(', '.join(sorted(alone)))}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _as_scored(checked: Sequence[FileInspection], data: DataOptions) -> Iterator[Sequence[Example]]:
    """The examples of each file, their tags in the scheme of training; a file that has none is refused."""
    train, others = checked[0], [part for part in checked[1:] if part.scheme]
    yield train.examples
    for part in checked[1:]:
        examples: Sequence[Example] = part.examples
        if train.scheme and part in others:
            scheme = find_scheme(train.examples, data, [each for other in others for each in other.examples])
            try:
                examples, _ = gold_in(part.examples, scheme, data)
            except DataError as problem:
                part.refused = part.refused or [str(problem)]
        yield examples


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
    targets = any("target" in example.targets for part in checked for example in part.examples[:1])
    return "symbols" if targets else "labels"


def _first_blocks(path: Path, data: DataOptions) -> list[tuple[Block, int, int | None]]:
    """The first sentences with their columns of tokens and tags."""
    blocks = read_blocks(path, encoding=data.encoding, separator=data.separator, comments=data.comments)
    placed = place_columns(blocks, data.token_column, data.tag_column)
    return list(islice((each for each in placed if each[0].rows), FIRST))


def _check_other_columns(found: FileInspection, data: DataOptions) -> None:
    """Remark on unread columns of span tags."""
    blocks = _first_blocks(found.path, data)
    first, token, tag = blocks[0][0], blocks[0][1] % blocks[0][0].width, blocks[0][0].column_index(blocks[0][2] or 0)
    columns = [[row[number] for block, *_ in blocks for row in block.fields] for number in range(first.width)]
    others = [number for number in range(first.width) if number not in (token, tag)]
    for number in span_columns(columns, tag, others):
        example = next(value for value in columns[number] if "-" in value)
        found.add(
            "remark",
            f"column {number} has tags of spans such as {example[:40]}, but tags are read from column {tag}; to read "
            f"those, use --set data.tag_column={number}",
        )


def file_format(path: Path, data: DataOptions) -> str:
    return detect_format(path) if data.format == "auto" else resolve_format(data.format)


def described_format(path: Path, data: DataOptions) -> str:
    """The format of a file, with its columns."""
    name = file_format(path, data)
    if name != "columns":
        return name
    first, token, tag = _first_blocks(path, data)[0]
    token, tag = first.column_index(token), first.column_index(-1 if tag is None else tag)
    between = "tabs" if first.separator == "\t" else "spaces"
    named = f", named {' '.join(first.names).strip()}" if first.names else ""
    where = f"tokens in column {token}, tags in column {tag}, counted from 0"
    return f"{first.width} columns between {between}{named}; {where}"
