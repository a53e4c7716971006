"""CoNLL-U: ten tab-separated columns, one of them the tag (universaldependencies.org/format.html).

A field is a column (``upos``) or one key of a column: ``feats:Case``, ``misc:NER``. Multiword tokens (``1-2``) and
empty nodes (``1.1``) are not tokens; like comments, they stay in blocks.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from structseq.data.column_writer import write_head
from structseq.data.columns import Block, check_columns
from structseq.data.comments import BLANKS, is_blank, parse_preamble
from structseq.data.example import Example, VerbatimBlock
from structseq.data.format_limits import FormatLimits
from structseq.data.textfile import BOM, Source, Target, name_of, open_writer, read_lines
from structseq.errors import ConfigError, DataError

FIELDS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")


@dataclass(frozen=True, slots=True)
class Field:
    """One of the ten columns, or one key of ``feats`` or ``misc``."""

    name: str
    number: int
    key: str = ""

    @property
    def missing(self) -> str:
        """The value of a word without the key: ``O`` in ``misc``, where spans are annotated, else ``_``."""
        return "O" if self.name == "misc" else "_"

    @staticmethod
    def of(name: str | int) -> Field:
        """A field by name, or by number from 0; raises `ConfigError` for an unknown one.

        >>> Field.of("misc:NER")
        Field(name='misc', number=9, key='NER')
        """
        if isinstance(name, int) and 0 <= name < len(FIELDS):
            name = FIELDS[name]
        field, colon, key = str(name).partition(":")
        if field.lower() not in FIELDS or (colon and (field.lower() not in ("feats", "misc") or not key)):
            near = difflib.get_close_matches(field.lower(), FIELDS, 1)
            hint = f"did you mean {near[0]!r}? There are " if near else "there are "
            raise ConfigError(f"unknown CoNLL-U field {name!r}; {hint}{', '.join(FIELDS)}, feats:KEY and misc:KEY")
        return Field(field.lower(), FIELDS.index(field.lower()), key)

    def read(self, row: Sequence[str]) -> str:
        value = row[self.number]
        if not self.key:
            return value
        for pair in value.split("|"):
            key, sign, found = pair.partition("=")
            if sign and key == self.key:
                return found
        return self.missing

    def written(self, old: str, value: str) -> str:
        """The column's new content; other keys of ``old`` stay."""
        if not self.key:
            return value
        pairs = [] if old == "_" else old.split("|")
        at = next((i for i, pair in enumerate(pairs) if pair.partition("=")[0] == self.key), len(pairs))
        pairs[at : at + 1] = [] if value == self.missing and at == len(pairs) else [f"{self.key}={value}"]
        return "|".join(pairs) or "_"


def read_conllu(
    source: Source,
    *,
    field: str = "upos",
    columns: Mapping[str, str | int] | None = None,
    tags: bool = True,
    encoding: str = "utf-8",
) -> Iterator[Example]:
    """Yields sentences: words as tokens, ``field`` as tags, ``columns`` as further inputs by name.

    ``# key = value`` comments become metadata, ``# newdoc`` a document boundary; ``tags=False`` reads no tags. Raises
    as `read_conllu_blocks` does, and `ConfigError` for an unknown field.
    """
    tag = Field.of(field) if tags else None
    further = {name: Field.of(of) for name, of in check_columns(columns).items()}
    blocks = _with_keys(read_conllu_blocks(source, encoding=encoding), [tag, *further.values()] if tag else [])
    return (_example(block, tag, further) for block in blocks if block.rows)


def read_verbatim_conllu(
    source: Source,
    *,
    field: str = "upos",
    columns: Mapping[str, str | int] | None = None,
    tags: bool = True,
    encoding: str = "utf-8",
) -> Iterator[VerbatimBlock]:
    """As `read_conllu`, but yields blocks."""
    gold = Field.of(field)
    further = {name: Field.of(of) for name, of in check_columns(columns).items()}
    predicted = Field.of("misc:Predicted")
    blocks = read_conllu_blocks(source, encoding=encoding)
    for block in _with_keys(blocks, [gold, *further.values()] if tags else []):
        example = _example(block, gold if tags else None, further) if block.rows else None
        append, retag = (partial(_with_field, block, into) for into in (predicted, gold))
        yield VerbatimBlock(block.text, example, append, retag, block.line_of)


def _with_keys(blocks: Iterable[Block], fields: Sequence[Field]) -> Iterator[Block]:
    """The blocks; raises `DataError` at the end if no word has the key of a field."""
    missing, file = {field: set[str]() for field in fields if field.key}, ""
    for block in blocks:
        file = block.file
        for field in list(missing):
            keys = {pair.partition("=")[0] for row in block.fields for pair in row[field.number].split("|")} - {"_"}
            missing[field] |= keys
            if field.key in keys:
                del missing[field]
        yield block
    for field, keys in missing.items():
        if keys or field.name == "feats":  # words outside all spans may have no key in misc
            near = difflib.get_close_matches(field.key.lower(), {key.lower() for key in keys}, 1, cutoff=0)
            ordered = sorted(keys, key=lambda key: (key.lower() not in near, key))
            option = "--set data.field=" if field == fields[0] else ""
            named = f"{', '.join(ordered[:20])}; name one of these, such as {option}{field.name}:"
            found = f"{named}{ordered[0]}" if ordered else f"no key; name another field, such as {option}xpos"
            raise DataError(f"expected the key {field.key!r} in {field.name} of some word, found {found}", file=file)


def _example(block: Block, tag: Field | None, columns: Mapping[str, Field]) -> Example:
    inputs = {"tokens": block.column(FIELDS.index("form"))}
    for name, field in columns.items():
        inputs[name] = tuple([field.read(row) for row in block.fields])
    targets = {} if tag is None else {"tags": tuple([tag.read(row) for row in block.fields])}
    return Example(inputs, targets, block.source, block.metadata, block.starts_document)


def _with_field(block: Block, field: Field, values: Sequence[str]) -> str:
    if field.key and any("|" in value for value in values):
        raise DataError(f"{field.name} cannot hold a value with '|'", file=block.file, line=block.first_line)
    new = [field.written(row[field.number], value) for row, value in zip(block.fields, values, strict=True)]
    return block.replace(field.number, new)


def read_conllu_blocks(source: Source, *, encoding: str = "utf-8") -> Iterator[Block]:
    """Yields a CoNLL-U file as `Block`s, whose rows are the words.

    Raises `DataError` with file and line if a row does not have ten fields, a field is empty, or word numbers do not
    count from 1; with the file if it has no word.
    """
    name = name_of(source)
    lines: list[str] = []
    rows: list[int] = []
    fields: list[list[str]] = []
    mark, number, words = "", 0, 0

    def block(last: int) -> Block:
        metadata, starts = parse_preamble([line for line in lines[: rows[0] if rows else None] if line[0] == "#"])
        return Block(tuple(lines), tuple(rows), fields, "\t", True, name, last - len(lines) + 1, metadata, starts, mark)

    for number, line in enumerate(read_lines(source, encoding=encoding), 1):
        if number == 1 and line[0] == BOM:
            mark, line = BOM, line[1:]
        blank = is_blank(line)
        if not blank and line[0] != "#" and (word := _word(line, len(rows) + 1, name, number)):
            rows.append(len(lines))
            fields.append(word)
        if line:
            lines.append(line)
        if blank and rows:
            yield block(number)
            words += len(rows)
            lines, rows, fields, mark = [], [], [], ""
    if not words + len(rows):
        raise DataError(f"expected sentences in CoNLL-U, found {'no word' if number else 'an empty file'}", file=name)
    if lines or mark:
        yield block(number)


def _word(line: str, expected: int, name: str, number: int) -> list[str] | None:
    """The fields of the ``expected``-th word; None for a multiword token or an empty node."""
    row = line.rstrip("\r\n").split("\t")
    first, _, second = row[0].replace("-", ".").partition(".")
    if len(row) != len(FIELDS):
        found = f"{len(row)} in {line.strip(BLANKS)[:60]!r}"
        message = f"expected {len(FIELDS)} columns separated by tabs, found {found}; {_as_columns(row)}"
    elif "" in row:
        message = f"expected a value or '_' for {FIELDS[row.index('')]}, found an empty field"
    elif not (first.isdecimal() and (second.isdecimal() or row[0] == first)):
        message = f"expected a number such as 1, 1-2 or 1.1 as id, found {row[0][:60]!r}"
    elif row[0].isdecimal() and row[0] != str(expected):
        message = f"expected word {expected} of the sentence, found {row[0][:20]}; a blank line ends a sentence"
    else:
        return row if row[0].isdecimal() else None
    raise DataError(message, file=name, line=number)


def _as_columns(row: Sequence[str]) -> str:
    """How to read a file with another number of columns."""
    fields = row if len(row) > 1 else row[0].split() or row
    token = "--set data.token_column=1, " if fields[0].isdecimal() else ""
    return (
        f"read it with --set data.format=columns, {token}and the column of the tags, such as "
        f"--set data.tag_column={len(fields) - 1}"
    )


def write_conllu(
    target: Target,
    examples: Iterable[Example],
    *,
    field: str = "upos",
    columns: Mapping[str, str | int] | None = None,
    encoding: str = "utf-8",
) -> None:
    """Writes CoNLL-U: the tags in ``field``, further inputs in the fields that ``columns`` names, ``_`` elsewhere.

    Raises `DataError`, and writes no file, for a sentence without tokens, an input without a field, a tab or line end
    in a value, and ``|`` in a key's value.
    """
    places = {"tags": Field.of(field), **{name: Field.of(of) for name, of in (columns or {}).items()}}
    limits = FormatLimits("CoNLL-U", name_of(target), empty_sentences=False, blanks_in_metadata=False)
    with open_writer(target, encoding=encoding) as file:
        for example in examples:
            names = limits.check(example)
            if unplaced := [name for name in names if name not in ("tokens", *places)]:
                raise limits.error(example, f"the input {unplaced[0]!r} without a field for it (columns=...)")
            head = write_head(example, limits, boundary="# newdoc\n")
            file.write("".join([*head, *_rows(example, places, limits)]))


def _rows(example: Example, places: Mapping[str, Field], limits: FormatLimits) -> Iterator[str]:
    columns = {**example.inputs, **example.targets}
    for name, column in columns.items():
        bad = "\t\r\n|" if name != "tokens" and places[name].key else "\t\r\n"
        for value in column:
            if not value or value != value.strip(" ") or not frozenset(bad).isdisjoint(value):
                raise limits.error(example, f"the value {value[:60]!r} in {name}")
    for i, token in enumerate(example.tokens):
        row = [str(i + 1), token, *["_"] * (len(FIELDS) - 2)]
        for name, column in columns.items():
            if name != "tokens":
                row[places[name].number] = places[name].written(row[places[name].number], column[i])
        yield "\t".join(row) + "\n"
    yield "\n"
