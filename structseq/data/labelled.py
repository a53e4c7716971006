r"""Labelled texts: ``label TAB text``, one a line, as corpora of sentiment and other classes of whole texts come.

A first line whose fields, between tabs, hold both ``label`` and ``text`` (in any order, with capitals or without) is a
header: it
says which column is which, and its further columns become metadata by name. So is one that holds ``text`` and other
names without spaces (``intent TAB text``), where a space in that column of the next line says that texts stand there:
then any of the columns may be the label. Without a header each line has exactly two fields, the label and the text.
The label becomes metadata too, as the intent of `threefile` does. A header that comes again is refused.

Lines end in ``\n`` or ``\r\n`` and nothing else; lines of spaces and tabs alone are passed over. Quotes are not
special: these corpora have bare quotes, and a text that begins with one ends where its line does. Spaces at a label's
ends do not belong to it; text and further columns stay as they stand. A text may be empty, which is an example without
tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from structseq.data.example import Example
from structseq.data.format_limits import FormatLimits
from structseq.data.textfile import BOM, Source, Target, name_of, read_lines, writing
from structseq.data.tokenizer import TOKENIZERS, Tokenizer, tokenizer_of
from structseq.errors import DataError

LABEL, TEXT = "label", "text"

_BLANKS = " \t\r\n"
_SEPARATORS = frozenset("\t\r\n")
_WHAT = "a label, a tab and a text"


@dataclass(frozen=True, slots=True)
class _Row:
    """A line that is not blank, cut at its tabs."""

    fields: Sequence[str]
    file: str
    line: int

    def error(self, message: str) -> DataError:
        return DataError(message, file=self.file, line=self.line)


@dataclass(frozen=True, slots=True)
class _Layout:
    """The columns of one file by name, the line of the header that names them (None: there is no header), and its names
    as they are written there."""

    names: tuple[str, ...] = (LABEL, TEXT)
    header: int | None = None
    written: tuple[str, ...] = (LABEL, TEXT)

    @staticmethod
    def of(header: _Row) -> _Layout:
        """The layout that a header tells; raises `DataError` for a name that is empty or there twice."""
        names = _names(header.fields)
        if "" in names:
            at = names.index("") + 1
            raise header.error(f"expected a name for every column, found none for column {at}; name it in this line")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise header.error(f"expected every column once, found {twice[:60]!r} twice; give one another name")
        return _Layout(names, header.line, tuple(header.fields))

    def example(self, row: _Row, cut: Tokenizer) -> Example:
        """A row as an `Example`; raises `DataError` with its file and line."""
        if len(row.fields) != len(self.names):
            raise self._ragged(row)
        if set(row.fields) in (set(self.names), set(self.written)):
            found = f"a header ({', '.join(row.fields)[:100]})"
            raise row.error(f"expected {_WHAT}, found {found} below the first line; take it out, or keep files apart")
        values = dict(zip(self.names, row.fields, strict=True))
        text = values.pop(TEXT)
        label = {LABEL: values.pop(LABEL).strip(" ")} if LABEL in values else {}
        if "" in label.values():
            message = f"expected a label, found an empty field beside the text {text[:60]!r}; label it or take it out"
            raise row.error(message)
        tokens = tuple([token.text for token in cut(text)])
        return Example({"tokens": tokens}, {}, f"{row.file}:{row.line}", {**label, TEXT: text, **values})

    def _ragged(self, row: _Row) -> DataError:
        expected = _WHAT
        if self.header is not None:
            columns = ", ".join(self.names)[:100]
            expected = f"{len(self.names)} fields separated by tabs ({columns}), as in the header in line {self.header}"
        found = f"{len(row.fields)} fields" if len(row.fields) > 1 else "no tab"
        shown = "\t".join(row.fields)
        return row.error(f"expected {expected}, found {found} in {shown[:60]!r}; {self._advice(row, shown)}")

    def _advice(self, row: _Row, shown: str) -> str:
        if "\r" in shown:
            return "convert the line endings, which may not be a bare \\r"
        if len(self.names) == 2 and len(row.fields) == 1:
            return "put one tab between label and text"
        if len(row.fields) < len(self.names):
            return "a field may be empty but for the label, yet its tab must be there"
        other = "" if self.header else ", or name the columns in a first line that holds label and text"
        return f"take the tabs out of the text, which quotes do not protect{other}"


def is_header(line: str, below: str = "") -> bool:
    r"""Whether a line names the columns: its fields hold both ``label`` and ``text``, or ``text`` and other names,
    where the line ``below`` has a space in that column.

    >>> is_header("id\ttext\tlabel\r\n"), is_header("Label\tText\n"), is_header("label text\n")
    (True, True, False)
    >>> is_header("intent\ttext\n", "book\ta flight\n"), is_header("intent\ttext\n", "cancel\tO\n")
    (True, False)
    """
    names, fields = _names(line.rstrip("\r\n").split("\t")), below.rstrip("\r\n").split("\t")
    if TEXT not in names or LABEL in names:
        return TEXT in names
    texts = len(names) == len(fields) > 1 and " " in fields[names.index(TEXT)].strip(" ")
    return texts and "" not in names and " " not in "".join(names)


def _names(fields: Sequence[str]) -> tuple[str, ...]:
    """The names of columns, those two that mean something without their capitals."""
    return tuple([field.lower() if field.lower() in (LABEL, TEXT) else field for field in fields])


def read_labelled(source: Source, *, tokenizer: str = "words-1", encoding: str = "utf-8") -> Iterator[Example]:
    r"""Texts with their labels, one after the other, as examples with the metadata ``label`` and ``text``.

    The tokens are cut from the text by the tokenizer of this name; there are no targets, and further columns that a
    header names are metadata. Raises `DataError` with file and line for an empty label, for a line with more or fewer
    fields than the header (without one: than two), for a header with a name missing or twice, or below the first line;
    with the file where it holds no text; `ConfigError` for an unknown tokenizer.

    >>> import io
    >>> (example,) = read_labelled(io.BytesIO(b"label\ttext\npositive\tyou'll end up moved .\n"))
    >>> example.tokens, example.metadata["label"]
    (("you'll", 'end', 'up', 'moved', '.'), 'positive')
    """
    return _examples(_rows(source, encoding), tokenizer_of(tokenizer))


def _examples(rows: Iterator[_Row], cut: Tokenizer) -> Iterator[Example]:
    begin, layout = list(islice(rows, 2)), _Layout()
    if is_header(*["\t".join(row.fields) for row in begin]):
        header = begin.pop(0)
        layout = _Layout.of(header)
        if not begin:
            message = f"expected {_WHAT} after the header in line {header.line}, found no such line"
            raise DataError(message, file=header.file)
    for row in chain(begin, rows):
        yield layout.example(row, cut)


def _rows(source: Source, encoding: str) -> Iterator[_Row]:
    """The lines that are not blank, at least one."""
    name, number, found = name_of(source), 0, False
    for number, line in enumerate(read_lines(source, encoding=encoding), 1):
        content = line.removeprefix(BOM) if number == 1 else line
        if content.strip(_BLANKS):
            found = True
            yield _Row(content.rstrip("\r\n").split("\t"), name, number)
    if not found:
        what = "only blank lines" if number else "an empty file"
        raise DataError(f"expected {_WHAT} on each line, found {what}", file=name)


def write_labelled(target: Target, examples: Iterable[Example], *, encoding: str = "utf-8") -> None:
    """Examples as labelled texts: a header, then a line each, the label from ``metadata["label"]``.

    The text is ``metadata["text"]``, or the tokens joined by spaces; metadata that all examples have are further
    columns. How texts are cut is not in the file: read it with the tokenizer that cut them (``whitespace-1`` where the
    tokens were joined). Raises `DataError`, and leaves no file behind, for what cannot be read back: an example without
    a label, a label with spaces at its ends, a tab or line end anywhere, metadata that only some examples have, tokens
    that no tokenizer gives again, and tags or other targets, further inputs, document boundaries.
    """
    limits = FormatLimits("a labelled file", name_of(target), inputs=False, documents=False)
    cuts: Sequence[Tokenizer] = tuple(TOKENIZERS.values())
    names: tuple[str, ...] = ()
    with writing(target, encoding=encoding) as file:
        for example in examples:
            values = _values(example, limits)
            if not names:
                names = tuple(values)
                file.write("\t".join(names) + "\n")
            if odd := sorted(set(names) ^ set(values)):
                raise limits.refusal(example, f"the metadata {odd[0][:60]!r} in some examples and not in others")
            if set(values.values()) == set(names):
                raise limits.refusal(example, f"the names of its columns as {', '.join(values.values())[:60]!r}")
            cuts = _cutting(example, values[TEXT], cuts, limits)
            file.write("\t".join([values[name] for name in names]) + "\n")
        if not names:
            file.write(f"{LABEL}\t{TEXT}\n")


def _values(example: Example, limits: FormatLimits) -> dict[str, str]:
    """The example's fields by the names of their columns, checked to be read as what they are."""
    limits.check(example, alike=False)
    if example.targets:
        raise limits.refusal(example, f"the target {next(iter(example.targets))!r}")
    if LABEL not in example.metadata:
        raise limits.refusal(example, f"an example without {LABEL!r} in its metadata")
    further = {name: value for name, value in example.metadata.items() if name not in (LABEL, TEXT)}
    text = example.metadata.get(TEXT, " ".join(example.tokens))
    values = {LABEL: example.metadata[LABEL], TEXT: text, **further}
    for name, value in values.items():
        if not name or not _SEPARATORS.isdisjoint(name + value):
            raise limits.refusal(example, f"an empty name, a tab or a line end in {name[:60]!r}: {value[:60]!r}")
    if not values[LABEL] or values[LABEL] != values[LABEL].strip(" "):
        raise limits.refusal(example, f"the label {values[LABEL][:60]!r}, empty or with spaces at its ends")
    return values


def _cutting(example: Example, text: str, cuts: Sequence[Tokenizer], limits: FormatLimits) -> Sequence[Tokenizer]:
    """Those of the tokenizers that give the example's tokens again; the file is read with one for all its texts."""
    kept = [cut for cut in cuts if tuple([token.text for token in cut(text)]) == example.tokens]
    if not kept:
        others = "" if len(cuts) == len(TOKENIZERS) else " as it cuts the texts before"
        raise limits.refusal(example, f"tokens that no tokenizer cuts from {text[:60]!r}{others}")
    return kept
