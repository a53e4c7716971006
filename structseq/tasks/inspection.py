"""Data files looked at as training would, after spaCy's ``debug data``: what is in them, what would be refused."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from structseq.data.columns import read_blocks
from structseq.data.example import FRAMES, Example, modality_of
from structseq.data.formats import detect_format
from structseq.data.options import DataOptions
from structseq.data.reading import place_of, read_examples, with_labels
from structseq.data.textfile import one_line
from structseq.errors import DataError
from structseq.spans import Scheme
from structseq.tasks.legality import find_scheme, how_to_mend, illegal_in

# Places that are shown of each kind of finding; rows of a table of types; occurrences below which a type is called rare
SHOWN, ROWS, RARE = 5, 60, 10
# Unicode categories without a picture: controls, formats, private use, unassigned, spaces
UNSEEN = ("Cc", "Cf", "Co", "Cn", "Zs")


@dataclass
class Inspected:
    """What was found in one file.

    Attributes
    ----------
    lines:
        What is printed of it.
    refused:
        Why training would refuse it, a sentence each.
    """

    path: Path
    examples: list[Example]
    scheme: Scheme | None = None
    lines: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def tell(self, name: str, value: str) -> None:
        self.lines.append(f"  {name:<18} {one_line(value)}")

    def list(self, places: Sequence[str], count: int | None = None) -> None:
        """The first places of a finding, of which there are ``count``."""
        self.lines += [f"    {one_line(place)}" for place in places[:SHOWN]]
        more = (len(places) if count is None else count) - SHOWN
        if more > 0:
            self.lines.append(f"    and {more:,} more")


def inspect_file(path: Path, data: DataOptions) -> Inspected:
    """One file by itself; raises `DataError` where it cannot be read."""
    found = Inspected(path, read_examples(path, data))
    examples = found.examples
    lengths = [len(example) for example in examples]
    found.tell("format", described_format(path, data))
    if modality_of(examples) is FRAMES:
        _check_recordings(found, lengths)
        return found
    documents = sum(example.starts_document for example in examples)
    told = f"{len(examples):,}" + (f" in {documents:,} documents" if documents else "")
    found.tell("sentences", f"{told}, of {min(lengths)} to {max(lengths)} tokens, median {median(lengths):g}")
    words = Counter(token for example in examples for token in example.tokens)
    found.tell("tokens", f"{words.total():,}, {len(words):,} of them different")
    _check_tags(found, data)
    empty = [example.source for example in examples if not len(example)]
    if empty:
        found.tell("empty sentences", f"{len(empty):,}; training passes over them")
        found.list(empty)
    _check_tokens(found, words, data)
    _check_repetitions(found)
    return found


def _check_tags(found: Inspected, data: DataOptions) -> None:
    """The scheme, and every sequence that it would not have written; or the answers that are no tags."""
    if all("target" in example.targets for example in found.examples):
        _check_targets(found)
        return
    labels = [example.metadata.get(data.label) for example in found.examples]
    if all(labels) and not any("tags" in example.targets for example in found.examples):
        # Sentences with a label each and no tags: for a head that classifies.
        found.counts = Counter(label for label in labels if label)
        found.tell("labels", f"{len(found.counts)}, under {data.label!r}; train with head.type=classify")
        return
    missing = [example.source for example, label in zip(found.examples, labels, strict=True) if not label]
    if missing and data.label != "label":  # named, so it is asked for
        what = f"{len(missing):,} sentences without a label under {data.label!r}, the first at {missing[0]}"
        found.refused.append(f"{found.path} has {what}")
    if any(labels):
        told = f"; {len(missing):,} sentences have none, and such training would refuse them" if missing else ""
        found.tell("labels", f"{len({*labels} - {None, ''})}, under {data.label!r}, for head.type=joint{told}")
        found.list(missing)
    if any("tags" not in example.targets for example in found.examples):
        reason = ""
        try:
            with_labels(found.examples, data.label)
        except DataError as problem:
            reason = f", and no label for each: {problem}"
        found.refused.append(f"{found.path} has sentences without tags{reason}")
        return
    try:
        scheme = found.scheme = find_scheme(found.examples, data)
    except DataError as problem:
        found.tell("scheme", "mixed")
        found.list([str(problem)])
        found.refused.append(str(problem))
        return
    found.tell("scheme", f"{scheme}, {'found from the data' if data.scheme == 'auto' else 'as named'}")
    found.counts = Counter(label for example in found.examples for label in labels_of(example, scheme))
    tags = {tag for example in found.examples for tag in example.tags}
    kinds = "" if scheme.plain else f"; {found.counts.total():,} entities of {len(found.counts)} types"
    found.tell("tags", f"{len(tags)}{kinds}")
    illegal = list(illegal_in(found.examples, scheme))
    if not scheme.plain:
        found.tell("illegal tags", f"{len(illegal):,}" if illegal else "none")
    places = [
        f"{_place(example, violation.position, data)}: {violation.message}" for example, violation in illegal[:SHOWN]
    ]
    found.list(places, len(illegal))
    if illegal and data.repair is None:
        found.refused.append(f"{places[0]}; {how_to_mend(len(illegal))}")


def _check_targets(found: Inspected) -> None:
    """Answers of their own length: how long, and made of what."""
    targets = [example.target for example in found.examples]
    lengths = [len(target) for target in targets]
    found.counts = Counter(symbol for target in targets for symbol in target)
    told = f"of {min(lengths)} to {max(lengths)} symbols, median {median(lengths):g}; {len(found.counts)} different"
    heads = "ctc" if modality_of(found.examples) is FRAMES else "generate"
    found.tell("answers", f"{told}; train with head.type={heads}")


def _check_recordings(found: Inspected, lengths: Sequence[int]) -> None:
    """Recordings: how many steps, and what is known of them."""
    examples = found.examples
    told = f"of {min(lengths)} to {max(lengths)} steps, median {median(lengths):g}; {sum(lengths):,} steps"
    found.tell("recordings", f"{len(examples):,}, {told} of {examples[0].frames.shape[1]} numbers")
    tagged = sum("tags" in example.targets for example in examples)
    found.tell("with segments", f"{tagged:,}")
    without = [example.source for example in examples if "target" not in example.targets]
    if without:
        found.refused.append(f"{found.path} has {len(without):,} recordings without a text, the first at {without[0]}")
        return
    _check_targets(found)
    short = [example.source for example in examples if len(example) < len(example.target)]
    if short:
        found.tell("too short", f"{len(short):,} have fewer steps than answers; training by CTC passes over them")
        found.list(short)


def _place(example: Example, position: int, data: DataOptions) -> str:
    return ":".join(str(part) for part in place_of(example, position, data) if part is not None)


def labels_of(example: Example, scheme: Scheme) -> Iterator[str]:
    """What is counted: the types of entities, or plain tags."""
    if scheme.plain:
        return iter(example.tags)
    return (span.label for span in scheme.decode(example.tags))


def _check_tokens(found: Inspected, words: Counter[str], data: DataOptions) -> None:
    odd = {word for word in words if odd_characters(word)}
    if not odd:
        return
    places = [
        (example, position)
        for example in found.examples
        for position, token in enumerate(example.tokens)
        if token in odd
    ]
    hold = "hold white space or characters that cannot be seen; they are kept as they are"
    found.tell("odd tokens", f"{len(places):,} {hold}")
    shown = [
        f"{_place(example, position, data)}: {example.tokens[position]!a} holds "
        f"{odd_characters(example.tokens[position])}"
        for example, position in places[:SHOWN]
    ]
    found.list(shown, len(places))


def odd_characters(token: str) -> str:
    """The names of white space, control, format and replacement characters in a token; empty where there are none.

    >>> odd_characters("a\\u00a0b"), odd_characters("a-b")
    ('NO-BREAK SPACE', '')
    """
    if token.isprintable() and "\ufffd" not in token:
        return ""
    odd = [c for c in token if c.isspace() or c == "\ufffd" or unicodedata.category(c) in UNSEEN]
    return ", ".join(dict.fromkeys(unicodedata.name(c, f"U+{ord(c):04X}") for c in odd))


def _check_repetitions(found: Inspected) -> None:
    """Sentences that stand twice, and those among them that are tagged differently."""
    tagged: dict[tuple[str, ...], list[Example]] = {}
    for example in found.examples:
        if len(example):
            tagged.setdefault(example.tokens, []).append(example)
    twice = [group for group in tagged.values() if len(group) > 1]
    if twice:
        repeated = sum(len(group) - 1 for group in twice)
        found.tell("repetitions", f"{repeated:,} sentences repeat an earlier one word by word")
    contrary = [group for group in twice if len({_answer(example) for example in group}) > 1]
    if contrary:
        found.tell("contradictions", f"{len(contrary):,} sentences stand more than once with different answers")
        found.list([" and ".join(dict.fromkeys(example.source for example in group[:3])) for group in contrary])


def _answer(example: Example) -> object:
    return example.targets.get("tags", example.targets.get("target"))


def across(checked: Sequence[Inspected], data: DataOptions) -> Iterator[str]:
    """What the files have in common, and what only one of them has; the first is taken for the training data."""
    train = checked[0]
    schemes = {part.scheme.name for part in checked if part.scheme}
    if len(schemes) > 1 and data.scheme == "auto":
        told = ", ".join(f"{part.path} {part.scheme}" for part in checked if part.scheme)
        yield f"  schemes differ: {one_line(told)}; training goes by the first, as long as it knows the others' tags"
        try:
            find_scheme(train.examples, data, [example for part in checked[1:] for example in part.examples])
        except DataError as problem:
            train.refused.append(str(problem))
    if any(modality_of(part.examples) is FRAMES for part in checked):
        return
    known = {example.tokens for example in train.examples}
    words = {token for example in train.examples for token in example.tokens}
    for part in checked[1:]:
        shared = sum(example.tokens in known for example in part.examples)
        tokens = [token for example in part.examples for token in example.tokens]
        unknown = sum(token not in words for token in tokens)
        yield (
            f"  {one_line(str(part.path))}: {shared:,} of {len(part.examples):,} sentences stand in "
            f"{one_line(str(train.path))} too; {unknown:,} of {len(tokens):,} tokens "
            f"({100 * unknown / max(len(tokens), 1):.1f}%) do not occur in it"
        )
    tags = {
        part.path: {tag for example in part.examples for tag in example.targets.get("tags", ())} for part in checked
    }
    for path, own in tags.items():
        alone = own - {tag for other, others in tags.items() if other != path for tag in others}
        if alone:
            yield f"  tags only in {one_line(str(path))}: {one_line(', '.join(sorted(alone)))}"


def distribution(checked: Sequence[Inspected]) -> Iterator[str]:
    """How often each type (or plain tag) occurs in each file; types too rare to be learned are marked."""
    total: Counter[str] = Counter()
    for part in checked:
        total.update(part.counts)
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


def heading(checked: Sequence[Inspected]) -> str:
    """What `distribution` counts: types of spans, tags, symbols or labels."""
    if any(part.scheme and not part.scheme.plain for part in checked):
        return "types"
    if any(part.scheme for part in checked):
        return "tags"
    targets = any("target" in example.targets for part in checked for example in part.examples[:1])
    return "symbols" if targets else "labels"


def described_format(path: Path, data: DataOptions) -> str:
    """The format of a file, and of a column file its columns."""
    name = detect_format(path) if data.format == "auto" else data.format
    if name != "columns":
        return name
    blocks = read_blocks(path, encoding=data.encoding, separator=data.separator)
    first = next(block for block in blocks if block.rows)
    token, tag = first.position(data.token_column), first.position(data.tag_column)
    between = "tabs" if first.separator == "\t" else "spaces"
    return f"{first.width} columns between {between}; tokens in column {token}, tags in column {tag}, counted from 0"
