"""Data files as the commands need them: read as told, their scheme found, every complaint with file and line."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from structseq.cli.door import remark
from structseq.data.columns import read_blocks
from structseq.data.example import Example
from structseq.data.formats import detect_format, read, read_passages
from structseq.data.labels import with_labels
from structseq.data.textfile import Source, name_of, text_lines
from structseq.errors import ConfigError, DataError
from structseq.spans import REPAIRS, Scheme, TagError, Violation, detect, repair, scheme_of

if TYPE_CHECKING:
    from structseq.config import DataOptions
    from structseq.model import Model


# Options of how files are read that are no reader's: the format is chosen by one, the tags are looked at by the others
_NO_READERS = {"format", "scheme", "repair", "label"}


def data_options(settings: Sequence[str], below: DataOptions | None = None) -> DataOptions:
    """The ``data`` options that ``--set`` names, over those ``below`` (a model's own, or the defaults)."""
    from structseq.config import Options, parse_settings

    table = parse_settings(settings)
    options = Options.of({"data": below.model_dump()} if below else {}, table)
    others = [name for name in table if name != "data"]
    if others:
        raise ConfigError(f"--set {others[0]}: expected an option of how files are read, such as data.tag_column=3")
    return options.data


def answering_options(settings: Sequence[str], model: Model) -> DataOptions:
    """The ``data`` options that files are read by for a finished ``model``; ``head.beam`` widens its search.

    Raises `ConfigError` for what cannot be set any more: what its inputs are made by, and all that was learned.
    """
    from structseq.config import Options, dotted, parse_settings

    beam = [setting for setting in settings if setting.partition("=")[0].strip() == "head.beam"]
    if beam:
        if not hasattr(model.head, "beam"):
            raise ConfigError(f"--set {beam[0]}: this model's head, {model.options.head.type}, searches with no beam")
        setattr(model.head, "beam", Options.of(parse_settings(beam)).head.beam)  # noqa: B010 - of some heads alone
    data = data_options([setting for setting in settings if setting not in beam], model.options.data)
    before, now = (dict(dotted(options.model_dump())) for options in (model.options.data, data))
    frames = [name for name in before if name.startswith("audio.") and name != "audio.channels"]
    for name in frames if model.reads == "frames" else ["symbols"]:
        if now[name] != before[name]:
            raise ConfigError(
                f"--set data.{name}: the model was trained on inputs made with {before[name]!r}, found {now[name]!r}; "
                "leave it out"
            )
    return data


def told_format(file: str | Path, data: DataOptions) -> str:
    """The format that was named, ``auto`` where none was; that of pairs and of labelled texts, which without a header
    look like columns, holds only for files whose content does not say otherwise."""
    if data.format not in ("pairs", "labelled"):
        return data.format
    found = detect_format(file)
    return data.format if found == "columns" else found


def texts_or_sentences(file: str | Path, data: DataOptions) -> str:
    """The format of a file for a model that takes a whole text: the one that was named, else what the file looks like.

    Raises `DataError` for lines without a blank one between them, where nothing says whether each is a text or a token.
    """
    name = told_format(file, data)
    if name != "auto":
        return name
    name = detect_format(file)
    if name != "columns" or Path(str(file).removesuffix(".gz")).suffix in (".conll", ".bio", ".iob"):
        return name
    begin = [line.strip() for line in islice(text_lines(file, encoding=data.encoding), 1000)]
    lines = "\n".join(begin).strip("\n").split("\n")
    one_token = len(lines) == 1 and len(lines[0].split()) == 1
    if "" in lines or one_token or any(line.startswith("# ") for line in lines):
        return name
    labelled = " or --format labelled (a label and a text)" if any("\t" in line for line in lines) else ""
    raise DataError(
        "expected texts or sentences, found lines that may be a text each (name --format text), or a token each of one "
        f"sentence (--format conll){labelled}",
        file=file,
    )


def lines_of_texts(source: Source, data: DataOptions) -> Iterator[str]:
    """One text a line; a remark where one has a tab, as lines of columns do."""
    told = False
    for number, line in enumerate(text_lines(source, encoding=data.encoding), 1):
        if "\t" in line and not told:
            told = True
            where = f"{name_of(source)}, line {number}"
            remark(f"{where}: the tab is read as part of the text; where columns are meant, name them with --format")
        yield line


def refuse_own_source(file: str, output: Path | None) -> None:
    """Raise `ConfigError` where answers would be written over the file that is read: they do not hold all of it."""
    if output is None or file == "-":
        return
    read = [Path(file), *(Path(file).iterdir() if Path(file).is_dir() else ())]  # a folder of the three-file layout
    for each in read:
        with suppress(OSError):
            if not output.samefile(each):
                continue
            raise ConfigError(f"--output {output}: this is the file that is read; name another one")


def refuse_other_steps(examples: Iterable[Example], reads: str) -> None:
    """Raise `DataError`, with where it is from, for the first example that is not made of what the model ``reads``,
    ``"tokens"`` or ``"frames"``."""
    for example in examples:
        _ = example.frames if reads == "frames" else example.tokens


def reader_options(data: DataOptions, *, tags: bool = True) -> dict[str, Any]:
    """What `structseq.data.formats.read` is told; each format's reader takes what it knows."""
    options: dict[str, Any] = data.model_dump(exclude=_NO_READERS)
    options["audio"] = data.audio
    return {**options, "scheme": "BIO" if data.scheme == "auto" else data.scheme, "tags": tags}


def read_examples(path: str | Path, data: DataOptions, asks: Sequence[str] = ("tags",)) -> list[Example]:
    """All sentences of a file, with the answers that are asked for: tags, a label, a target.

    Raises `DataError` where it cannot be read, holds none, or one of them has no label or target.
    """
    examples = list(read(path, data.format, **reader_options(data, tags=bool({"tags", "target"} & set(asks)))))
    if not examples:
        raise DataError("expected sentences, found none", file=path)
    if "target" in asks:
        for example in examples:
            example.target  # noqa: B018 - raises where there is none
    return with_labels(examples, data.label) if "label" in asks else examples


def find_scheme(examples: Sequence[Example], data: DataOptions, others: Sequence[Example] = ()) -> Scheme:
    """The scheme that options name, or the one that the tags are written in; every tag is one of its tags.

    ``others`` (dev and test sentences) have a say only where they have tags that the scheme of ``examples`` does not
    know: IOB1 without neighbours, for instance, looks like IO.

    Raises `DataError` with file and line where schemes are mixed or a tag is none of the scheme's.
    """
    if data.scheme != "auto":
        scheme = scheme_of(data.scheme)
        refuse_foreign([*examples, *others], scheme, data)
        return scheme
    try:
        scheme = detect(example.tags for example in examples)
    except TagError as problem:
        raise placed(problem, examples, data) from None
    try:
        refuse_foreign(others, scheme, data)
    except DataError:
        with suppress(TagError):
            return detect(example.tags for example in (*examples, *others))
        raise
    return scheme


def refuse_foreign(examples: Sequence[Example], scheme: Scheme, data: DataOptions) -> None:
    """Raise `DataError` with file and line at the first tag that is none of the scheme's."""
    for example in examples:
        try:
            scheme.decode(example.tags)
        except TagError as problem:
            raise placed(problem, [example], data) from None


def placed(problem: TagError, examples: Sequence[Example], data: DataOptions) -> DataError:
    """The same complaint with file and line in place of numbers of sentence and token."""
    if not problem.places:
        return problem
    message = problem.message
    for sentence, position in reversed(problem.places):
        file, line = place_of(examples[sentence], position, data)
        where = file if line is None else f"{file}:{line}"
        message = message.replace(f"(sentence {sentence + 1}, token {position + 1})", f"({where})")
    return DataError(message, file=file, line=line)


def illegal_in(examples: Sequence[Example], scheme: Scheme) -> Iterator[tuple[Example, Violation]]:
    """Every tag that the scheme would not have written so, with its sentence, in the order of the files."""
    return ((example, violation) for example in examples for violation in scheme.violations(example.tags))


def repaired(examples: Sequence[Example], scheme: Scheme, data: DataOptions) -> tuple[list[Example], int]:
    """The examples with legal tags, and how many sequences were changed.

    Raises `DataError` at the first illegal sequence where no repair was named, and `ConfigError` for an unknown one.
    """
    if data.repair is None:
        refuse_illegal(examples, scheme, data)
        return list(examples), 0
    kept, changed = [], 0
    for example in examples:
        tags = repair(example.tags, scheme, data.repair)
        changed += tags != example.tags
        kept.append(example if tags == example.tags else replace(example, targets={**example.targets, "tags": tags}))
    return kept, changed


def refuse_illegal(
    examples: Sequence[Example], scheme: Scheme, data: DataOptions, *, option: str = "--set data.repair="
) -> None:
    """Raise `DataError` at the first illegal tag, saying how many there are and which repairs could be named."""
    illegal = list(illegal_in(examples, scheme))
    if illegal:
        example, first = illegal[0]
        file, line = place_of(example, first.position, data)
        raise DataError(f"{first.message}; {how_to_mend(len(illegal), option)}", file=file, line=line)


def how_to_mend(illegal: int, option: str = "--set data.repair=") -> str:
    """What to do about so many illegal tags; ``option`` is what names a repair."""
    others = f"the first of {illegal} illegal tags" if illegal > 1 else "the only illegal tag"
    ways = " or ".join(f"{option}{name}" for name in REPAIRS)
    return f"{others}: mend the file, or name a repair with {ways}"


def place_of(example: Example, position: int, data: DataOptions) -> tuple[str, int | None]:
    """File and line of a token. Comments may stand between the rows, so the file is read again for it."""
    file, colon, first = example.source.rpartition(":")
    if not colon or not first.isdigit():
        return example.source or "the data", None
    try:
        for passage in read_passages(file, data.format, **reader_options(data, tags=False)):
            if passage.example is not None and passage.example.source == example.source:
                return file, passage.line_of(position)
    except (DataError, ConfigError):  # a format that cannot be read so: its sentences are a line each
        pass
    return file, int(first)


def unseen_tags(golds: Iterable[Sequence[str]], known: Collection[str]) -> dict[str, int]:
    """Tags, or labels, that training does not have, and how often they stand in gold answers."""
    counts: dict[str, int] = {}
    for gold in golds:
        for tag in gold:
            if tag not in known:
                counts[tag] = counts.get(tag, 0) + 1
    return counts


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
