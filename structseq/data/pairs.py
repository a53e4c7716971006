r"""Pairs: ``source TAB target``, one a line, as corpora of sequence to sequence come.

A first line whose fields hold ``source`` and ``target`` (in capitals or not) is a header: it says which column is
which, and its further columns become metadata by name; one that comes again is refused. Without a header each line has
exactly two fields, or, where answers are not asked for, the source alone. Both sides are cut into symbols: every
character, or what stands between white space.

Lines end in ``\n`` or ``\r\n``; blank ones are passed over. Spaces are symbols like any other where characters are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from structseq.data.example import Example
from structseq.data.format_limits import FormatLimits
from structseq.data.textfile import BOM, Source, Target, name_of, read_lines, writing
from structseq.data.tokenizer import Tokenizer
from structseq.errors import ConfigError, DataError

SOURCE, TARGET = "source", "target"
# How a text is cut into symbols, and how symbols become a text again
SYMBOLS: Mapping[str, tuple[Callable[[str], Iterable[str]], str]] = {
    "characters": (tuple, ""),
    "words": (str.split, " "),
}


def cut(text: str, symbols: str) -> tuple[str, ...]:
    """A text as symbols, one of `SYMBOLS`.

    >>> cut("May 3", "characters"), cut("seven  two", "words")
    (('M', 'a', 'y', ' ', '3'), ('seven', 'two'))
    """
    return tuple(_way(symbols)[0](text))


def in_symbols(example: Example, tokenize: Tokenizer, symbols: str) -> Example:
    """An example whose tokens are what ``tokenize`` cut its text into, with ``symbols`` of the text in their place; any
    other example as it is."""
    text = example.metadata.get("text")
    if text is None or tuple([token.text for token in tokenize(text)]) != example.tokens:
        return example
    return replace(example, inputs={**example.inputs, "tokens": cut(text, symbols)})


def joined(answer: Iterable[str], symbols: str) -> str:
    """Symbols as a text."""
    return _way(symbols)[1].join(answer)


def _way(symbols: str) -> tuple[Callable[[str], Iterable[str]], str]:
    if symbols not in SYMBOLS:
        raise ConfigError(f"data.symbols: expected one of {', '.join(SYMBOLS)}, found {symbols!r}")
    return SYMBOLS[symbols]


def is_header(line: str) -> bool:
    r"""Whether a line names the columns of pairs.

    >>> is_header("Source\tTarget\n"), is_header("sources\ttargets\n")
    (True, False)
    """
    return {SOURCE, TARGET} <= set(_columns(line))


def _columns(line: str) -> tuple[str, ...]:
    """The fields, the two names among them as they are written here."""
    fields = line.rstrip("\r\n").split("\t")
    return tuple([field.lower() if field.lower() in (SOURCE, TARGET) else field for field in fields])


def read_pairs(
    source: Source, *, symbols: str = "characters", encoding: str = "utf-8", tags: bool = True
) -> Iterator[Example]:
    r"""Pairs one after the other: the source's symbols are the tokens, the target's the answer ``"target"``.

    ``tags``: whether answers are asked for; where they are not, they may be missing.
    Raises `DataError` with file and line for a line with more or fewer fields, for a header with a name missing or
    twice, or below the first line; with the file where it holds no pair; `ConfigError` for unknown symbols.

    >>> import io
    >>> (pair,) = read_pairs(io.BytesIO(b"source\ttarget\nab\tba\n"))
    >>> pair.tokens, pair.target
    (('a', 'b'), ('b', 'a'))
    """
    _way(symbols)
    return _examples(source, symbols, encoding, tags)


def _examples(source: Source, symbols: str, encoding: str, tags: bool) -> Iterator[Example]:
    names: tuple[str, ...] = (SOURCE, TARGET)
    name, header, found = name_of(source), 0, False
    for number, line in enumerate(read_lines(source, encoding=encoding), 1):
        content = (line.removeprefix(BOM) if number == 1 else line).rstrip("\r\n")
        if not content.strip(" \t"):
            continue
        if not found and not header and is_header(content):
            names, header = _names(content, name, number), number
            continue
        if _columns(content) == names:
            message = f"expected a pair, found a header ({', '.join(names)[:100]}) below the first line"
            raise DataError(f"{message}; take it out, or keep files apart", file=name, line=number)
        found = True
        yield _example(content.split("\t"), names, header, f"{name}:{number}", symbols, tags)
    if not found:
        message = "expected a source, a tab and a target on each line, found no such line; write a pair a line"
        raise DataError(message, file=name)


def _names(content: str, file: str, line: int) -> tuple[str, ...]:
    names = _columns(content)
    if "" in names or len(set(names)) < len(names):
        raise DataError("expected a header with every column named once; mend this line", file=file, line=line)
    return names


def _example(fields: list[str], names: tuple[str, ...], header: int, place: str, symbols: str, tags: bool) -> Example:
    alone = not header and not tags and len(fields) == 1
    if len(fields) != len(names) and not alone:
        file, _, line = place.rpartition(":")
        expected = f"{len(names)} fields separated by tabs ({', '.join(names)[:100]})"
        by = f", as in the header in line {header}" if header else ""
        shown = "\t".join(fields)[:60]
        advice = "a field may be empty, its tab must be there"
        if len(fields) > len(names) and not header:
            advice = f"name the columns in a first line, the header {SOURCE} TAB {TARGET} and others"
        raise DataError(
            f"expected {expected}{by}, found {len(fields)} in {shown!r}; {advice}", file=file, line=int(line)
        )
    values = dict(zip(names, fields, strict=False))
    tokens, target = cut(values.pop(SOURCE), symbols), values.pop(TARGET, None)
    answers: dict[str, Any] = {} if target is None else {TARGET: cut(target, symbols)}
    return Example({"tokens": tokens}, answers, place, values)


def write_pairs(
    target: Target, examples: Iterable[Example], *, symbols: str = "characters", encoding: str = "utf-8"
) -> None:
    """Examples as pairs: a header, then a line each.

    Raises `DataError`, and leaves no file behind, for what cannot be read back: an example without a target, a symbol
    that the cut would not give again, tags or a label, further inputs.
    """
    limits = FormatLimits("a file of pairs", name_of(target), inputs=False, documents=False)
    limits.metadata, limits.targets = frozenset(), frozenset({TARGET})
    with writing(target, encoding=encoding) as file:
        file.write(f"{SOURCE}\t{TARGET}\n")
        for example in examples:
            limits.check(example, alike=False)
            if TARGET not in example.targets:
                raise limits.refusal(example, "an example without a target")
            sides = [_side(each, symbols, example, limits) for each in (example.tokens, example.target)]
            if _columns("\t".join(sides)) == (SOURCE, TARGET):
                raise limits.refusal(example, f"the pair {SOURCE!r}, {TARGET!r}, which is read as a header")
            if not "".join(sides).strip(" "):
                raise limits.refusal(example, "a pair of nothing but white space")
            file.write("\t".join(sides) + "\n")


def _side(side: tuple[str, ...], symbols: str, example: Example, limits: FormatLimits) -> str:
    text = joined(side, symbols)
    if cut(text, symbols) != side or not {"\t", "\n", "\r"}.isdisjoint(text):
        raise limits.refusal(example, f"symbols that are no {symbols} of one line in {text[:60]!r}")
    return text
