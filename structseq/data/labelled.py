"""Labelled texts: ``label TAB text``, one per line, for classes of whole texts.

A first line with the fields ``label`` and ``text`` (in any order and case) is a header; further columns become
metadata. A first line with ``text`` and other names without spaces (``intent TAB text``) is a header too if the next
line has a space in the text column; any column can be the label. Without a header each line has two fields.

Blank lines are skipped. Quotes are not special. Spaces around a label are removed. An empty text is an example without
tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from structseq.data.example import Example
from structseq.data.format_limits import FormatLimits
from structseq.data.textfile import Source, Target, header_names, name_of, open_writer, text_lines
from structseq.data.tokenizer import TOKENIZERS, Tokenizer, texts_of, tokenizer_of
from structseq.errors import DataError

LABEL, TEXT = "label", "text"

_WHAT = "a label, a tab and a text"


@dataclass(frozen=True, slots=True)
class _Layout:
    """The columns of one file; ``written`` is the header on line ``header``, if any."""

    file: str
    names: tuple[str, ...] = (LABEL, TEXT)
    header: int | None = None
    written: tuple[str, ...] = (LABEL, TEXT)

    @staticmethod
    def of(header: str, file: str, line: int) -> _Layout:
        """The layout of a header; raises `DataError` if a name is empty or repeated."""
        names = header_names(header, (LABEL, TEXT))
        message = ""
        if "" in names:
            at = names.index("") + 1
            message = f"expected a name for every column, found none for column {at}; name it in this line"
        elif twice := next((name for name in names if names.count(name) > 1), None):
            message = f"expected every column once, found {twice[:60]!r} twice; give one another name"
        if message:
            raise DataError(message, file=file, line=line)
        return _Layout(file, names, line, tuple(header.split("\t")))

    def example(self, row: str, line: int, tokenize: Tokenizer) -> Example:
        """Raises `DataError` with file and line."""
        fields = row.split("\t")
        values = dict(zip(self.names, fields, strict=False))
        message = ""
        if len(fields) != len(self.names):
            message = self._ragged(row, fields)
        elif set(fields) in (set(self.names), set(self.written)):
            found = f"a header ({', '.join(fields)[:100]})"
            message = f"expected {_WHAT}, found {found} below the first line; remove it, or keep the files separate"
        elif not values.get(LABEL, LABEL).strip(" "):
            text = values[TEXT][:60]
            message = f"expected a label, found an empty field beside the text {text!r}; label it or remove the line"
        if message:
            raise DataError(message, file=self.file, line=line)
        text = values.pop(TEXT)
        label = {LABEL: values.pop(LABEL).strip(" ")} if LABEL in values else {}
        return Example({"tokens": texts_of(tokenize(text))}, {}, f"{self.file}:{line}", {**label, TEXT: text, **values})

    def _ragged(self, row: str, fields: Sequence[str]) -> str:
        expected = _WHAT
        if self.header is not None:
            columns = ", ".join(self.names)[:100]
            expected = f"{len(self.names)} fields separated by tabs ({columns}), as in the header in line {self.header}"
        found = f"{len(fields)} fields" if len(fields) > 1 else "no tab"
        if "\r" in row:
            advice = "convert the line endings: a bare \\r is not allowed"
        elif len(self.names) == 2 and len(fields) == 1:
            advice = "put one tab between label and text"
        elif len(fields) < len(self.names):
            advice = "fields other than the label may be empty, but each needs its tab"
        else:
            other = "" if self.header else ", or name the columns in a first line with label and text"
            advice = f"remove the tabs from the text (quotes do not protect them){other}"
        return f"expected {expected}, found {found} in {row[:60]!r}; {advice}"


def is_labelled_header(line: str, below: str = "") -> bool:
    """Whether ``line`` is a header; ``below`` is the next line."""
    names, fields = header_names(line, (LABEL, TEXT)), below.rstrip("\r\n").split("\t")
    if TEXT not in names or LABEL in names:
        return TEXT in names
    texts = len(names) == len(fields) > 1 and " " in fields[names.index(TEXT)].strip(" ")
    return texts and "" not in names and " " not in "".join(names)


def read_labelled(source: Source, *, tokenizer: str = "words-1", encoding: str = "utf-8") -> Iterator[Example]:
    """Yields texts, cut by the tokenizer of this name, with the metadata ``label`` and ``text`` and without targets.

    Raises `DataError` with file and line for an empty label, a wrong number of fields or a wrong or misplaced header;
    with the file if it has no text; `ConfigError` for an unknown tokenizer.
    """
    return _examples(name_of(source), _rows(source, encoding), tokenizer_of(tokenizer))


def _examples(name: str, rows: Iterator[tuple[int, str]], tokenize: Tokenizer) -> Iterator[Example]:
    first_rows, layout = list(islice(rows, 2)), _Layout(name)
    if is_labelled_header(*[row for _, row in first_rows]):
        number, header = first_rows.pop(0)
        layout = _Layout.of(header, name, number)
        if not first_rows:
            message = f"expected {_WHAT} after the header in line {number}, found no such line"
            raise DataError(message, file=name)
    for number, row in chain(first_rows, rows):
        yield layout.example(row, number, tokenize)


def _rows(source: Source, encoding: str) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers."""
    number, found = 0, False
    for number, line in enumerate(text_lines(source, encoding=encoding), 1):
        if line.strip(" \t\r"):
            found = True
            yield number, line
    if not found:
        what = "only blank lines" if number else "an empty file"
        raise DataError(f"expected {_WHAT} on each line, found {what}", file=name_of(source))


def write_labelled(target: Target, examples: Iterable[Example], *, encoding: str = "utf-8") -> None:
    """Writes labelled texts: a header, then one line per example, the label from ``metadata["label"]``.

    The text is ``metadata["text"]``, or the tokens joined by spaces; other metadata are further columns. Raises
    `DataError`, and writes no file, for an example without a label, metadata that only some examples have, tokens that
    no tokenizer cuts from the text, targets, further inputs and document boundaries.
    """
    limits = FormatLimits("a labelled file", name_of(target), inputs=False, documents=False)
    tokenizers: Sequence[Tokenizer] = tuple(TOKENIZERS.values())
    names: tuple[str, ...] = ()
    with open_writer(target, encoding=encoding) as file:
        for example in examples:
            values = _values(example, limits)
            if not names:
                names = tuple(values)
                file.write("\t".join(names) + "\n")
            if odd := sorted(set(names) ^ set(values)):
                raise limits.error(example, f"the metadata {odd[0][:60]!r} in some examples and not in others")
            if set(values.values()) == set(names):
                raise limits.error(example, f"a row of column names, {', '.join(values.values())[:60]!r}")
            # One tokenizer reads all texts of a file
            fitting = [tokenize for tokenize in tokenizers if texts_of(tokenize(values[TEXT])) == example.tokens]
            if not fitting:
                others = "" if len(tokenizers) == len(TOKENIZERS) else " and from the earlier texts"
                raise limits.error(example, f"tokens that no tokenizer cuts from {values[TEXT][:60]!r}{others}")
            tokenizers = fitting
            file.write("\t".join([values[name] for name in names]) + "\n")
        if not names:
            file.write(f"{LABEL}\t{TEXT}\n")


def _values(example: Example, limits: FormatLimits) -> dict[str, str]:
    """The example's fields by column."""
    limits.check(example, same_columns=False)
    if example.targets:
        raise limits.error(example, f"the target {next(iter(example.targets))!r}")
    if LABEL not in example.metadata:
        raise limits.error(example, f"an example without {LABEL!r} in its metadata")
    text = example.metadata.get(TEXT, " ".join(example.tokens))
    values = {LABEL: "", TEXT: text, **example.metadata}
    for name, value in values.items():
        if not name or not {"\t", "\r", "\n"}.isdisjoint(name + value):
            raise limits.error(example, f"an empty name, a tab or a line end in {name[:60]!r}: {value[:60]!r}")
    if not values[LABEL] or values[LABEL] != values[LABEL].strip(" "):
        raise limits.error(example, f"the label {values[LABEL][:60]!r}, empty or with spaces at its ends")
    return values
