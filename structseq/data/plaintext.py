"""Plain text: one text per line, for models that need no answers.

Blank lines are skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from structseq.data.example import Example
from structseq.data.format_limits import FormatLimits
from structseq.data.textfile import BOM, Source, Target, name_of, open_writer, text_lines
from structseq.data.tokenizer import TOKENIZERS, Tokenizer, texts_of, tokenizer_of
from structseq.errors import DataError

TEXT = "text"


def read_text(source: Source, *, tokenizer: str = "words-1", encoding: str = "utf-8") -> Iterator[Example]:
    """Yields the texts, cut by the tokenizer of this name, with the metadata ``text``.

    Raises `DataError` with the file if it has no text; `ConfigError` for an unknown tokenizer.
    """
    return _examples(source, tokenizer_of(tokenizer), encoding)


def _examples(source: Source, tokenize: Tokenizer, encoding: str) -> Iterator[Example]:
    name, found = name_of(source), False
    for number, line in enumerate(text_lines(source, encoding=encoding), 1):
        if line.strip():
            found = True
            yield Example({"tokens": texts_of(tokenize(line))}, {}, f"{name}:{number}", {TEXT: line})
    if not found:
        raise DataError("expected a text on each line, found none", file=name)


def looks_like_columns(source: Source, *, encoding: str = "utf-8") -> bool:
    """Whether the first lines have a tab, or blank lines between lines of one number of words."""
    lines = list(islice(text_lines(source, encoding=encoding), 1000))
    while lines and not lines[-1].strip():
        lines.pop()
    widths = {len(line.split()) for line in lines}
    return any("\t" in line for line in lines) or (0 in widths and len(widths) == 2)


def write_text(target: Target, examples: Iterable[Example], *, encoding: str = "utf-8") -> None:
    """Writes one line per example: the metadata ``text``, or the tokens joined by spaces.

    Raises `DataError`, and writes no file, for blank texts, line ends, tokens that no tokenizer cuts from the texts,
    and answers.
    """
    limits = FormatLimits("a file of texts", name_of(target), inputs=False, documents=False)
    limits.metadata, limits.targets = frozenset({TEXT}), frozenset()
    tokenizers = tuple(TOKENIZERS.values())
    with open_writer(target, encoding=encoding) as file:
        for example in examples:
            limits.check(example, same_columns=False)
            text = example.metadata.get(TEXT, " ".join(example.tokens))
            if not text.strip() or "\n" in text or text.endswith("\r") or text.startswith(BOM):
                raise limits.error(example, f"a blank text, a line end or a byte order mark in {text[:60]!r}")
            tokenizers = tuple(tokenize for tokenize in tokenizers if texts_of(tokenize(text)) == example.tokens)
            if not tokenizers:
                raise limits.error(example, f"tokens that no tokenizer cuts from all texts, in {text[:60]!r}")
            file.write(text + "\n")
