"""Pairs: ``source TAB target``, one per line, for sequence-to-sequence models.

A first line with the fields ``source`` and ``target``, in any case, is a header; further columns become metadata.
Without a header each line has two fields, or only the source if no answers are needed. Blank lines are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from structseq.data.example import Example
from structseq.data.format_limits import FormatLimits
from structseq.data.textfile import Source, Target, header_names, name_of, open_writer, text_lines
from structseq.data.tokenizer import Tokenizer, texts_of
from structseq.errors import ConfigError, DataError

SOURCE, TARGET = "source", "target"
# A function that cuts a text into symbols, and the string that joins them
SYMBOLS: Mapping[str, tuple[Callable[[str], Iterable[str]], str]] = {
    "characters": (tuple, ""),
    "words": (str.split, " "),
}


def to_symbols(text: str, symbols: str) -> tuple[str, ...]:
    """A text as a tuple of ``symbols``, a key of `SYMBOLS`."""
    return tuple(_functions_of(symbols)[0](text))


def with_symbol_tokens(example: Example, tokenize: Tokenizer, symbols: str) -> Example:
    """The example with ``symbols`` of its text as tokens; unchanged if its tokens are not those of ``tokenize``."""
    text = example.metadata.get("text")
    if text is None or texts_of(tokenize(text)) != example.tokens:
        return example
    return replace(example, inputs={**example.inputs, "tokens": to_symbols(text, symbols)})


def join_symbols(answer: Iterable[str], symbols: str) -> str:
    return _functions_of(symbols)[1].join(answer)


def _functions_of(symbols: str) -> tuple[Callable[[str], Iterable[str]], str]:
    if symbols not in SYMBOLS:
        raise ConfigError(f"data.symbols: expected one of {', '.join(SYMBOLS)}, found {symbols!r}")
    return SYMBOLS[symbols]


def is_pairs_header(line: str) -> bool:
    return {SOURCE, TARGET} <= set(header_names(line, (SOURCE, TARGET)))


def read_pairs(
    source: Source, *, symbols: str = "characters", encoding: str = "utf-8", tags: bool = True
) -> Iterator[Example]:
    """Yields pairs as examples: the source's symbols are the tokens, the target's are ``target``.

    ``tags=False`` allows lines without a target. Raises `DataError` with file and line for a wrong number of fields or
    a wrong or misplaced header; with the file if it has no pair; `ConfigError` for unknown symbols.
    """
    _functions_of(symbols)
    return _examples(source, symbols, encoding, tags)


def _examples(source: Source, symbols: str, encoding: str, tags: bool) -> Iterator[Example]:
    names: tuple[str, ...] = (SOURCE, TARGET)
    file, header, found = name_of(source), 0, False
    for number, line in enumerate(text_lines(source, encoding=encoding), 1):
        if not line.strip(" \t"):
            continue
        fields, columns = line.split("\t"), header_names(line, (SOURCE, TARGET))
        message = ""
        if not found and not header and is_pairs_header(line):
            names, header = columns, number
            if "" not in names and len(set(names)) == len(names):
                continue
            message = "expected a header with every column named once; correct this line"
        elif columns == names:
            message = f"expected a pair, found a header ({', '.join(names)[:100]}) below the first line"
            message += "; remove it, or keep the files separate"
        elif len(fields) != len(names) and (header or tags or len(fields) > 1):
            expected = f"{len(names)} fields separated by tabs ({', '.join(names)[:100]})"
            expected += f", as in the header in line {header}" if header else ""
            advice = "a field may be empty, but its tab must be there"
            if len(fields) > len(names) and not header:
                advice = f"name the columns in a first line, the header {SOURCE} TAB {TARGET} and others"
            message = f"expected {expected}, found {len(fields)} in {line[:60]!r}; {advice}"
        if message:
            raise DataError(message, file=file, line=number)
        found = True
        values = dict(zip(names, fields, strict=False))
        inputs = {"tokens": to_symbols(values.pop(SOURCE), symbols)}
        answers = {TARGET: to_symbols(values.pop(TARGET), symbols)} if TARGET in values else {}
        yield Example(inputs, answers, f"{file}:{number}", values)
    if not found:
        message = "expected a source, a tab and a target on each line, found no such line; write one pair per line"
        raise DataError(message, file=file)


def write_pairs(
    target: Target, examples: Iterable[Example], *, symbols: str = "characters", encoding: str = "utf-8"
) -> None:
    """Writes pairs: a header, then one line per example.

    Raises `DataError`, and writes no file, for an example without a target, symbols that would be cut differently, tags
    or a label, and further inputs.
    """
    limits = FormatLimits("a file of pairs", name_of(target), inputs=False, documents=False)
    limits.metadata, limits.targets = frozenset(), frozenset({TARGET})
    with open_writer(target, encoding=encoding) as file:
        file.write(f"{SOURCE}\t{TARGET}\n")
        for example in examples:
            limits.check(example, same_columns=False)
            if TARGET not in example.targets:
                raise limits.error(example, "an example without a target")
            sides = [_side(each, symbols, example, limits) for each in (example.tokens, example.target)]
            if header_names("\t".join(sides), (SOURCE, TARGET)) == (SOURCE, TARGET):
                raise limits.error(example, f"the pair {SOURCE!r}, {TARGET!r}, which is read as a header")
            if not "".join(sides).strip(" "):
                raise limits.error(example, "a pair of white space only")
            file.write("\t".join(sides) + "\n")


def _side(side: tuple[str, ...], symbols: str, example: Example, limits: FormatLimits) -> str:
    text = join_symbols(side, symbols)
    if to_symbols(text, symbols) != side or not {"\t", "\n", "\r"}.isdisjoint(text):
        raise limits.error(example, f"symbols that are not {symbols} of one line in {text[:60]!r}")
    return text
