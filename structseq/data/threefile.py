"""The three-file layout of joint slot filling: ``seq.in``, ``seq.out`` and ``label``, one sentence per line.

``seq.in`` has tokens and ``seq.out`` tags, separated by blanks; ``label`` becomes the metadata ``intent``. Files may be
gzip (``seq.in.gz``). An empty line is a sentence without tokens.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path

from structseq.data.example import Example
from structseq.data.format_limits import FormatLimits
from structseq.data.textfile import BOM, is_path, name_of, open_writer, text_lines
from structseq.data.tokenizer import texts_of, whitespace
from structseq.errors import DataError

TOKENS, TAGS, INTENT = "seq.in", "seq.out", "label"

_BLANKS = " \t\r\n"


def read_threefile(
    source: str | os.PathLike[str], *, tags: bool = True, intents: bool = True, encoding: str = "utf-8"
) -> Iterator[Example]:
    """Yields the sentences of a folder with the three files, or of a ``seq.in`` beside the others.

    ``tags=False`` does not read ``seq.out``; ``label`` is read if it exists, unless ``intents=False``. Raises
    `DataError` with file and line if the files differ in their number of lines, or a sentence and its tags in length.
    """
    if not is_path(source):
        raise DataError("expected the path of a folder with the three files, found a stream", file=name_of(source))
    folder = folder_of(source)
    tokens = _find(folder, TOKENS)
    if tokens is None:
        raise DataError(f"expected a folder with {TOKENS} and {TAGS}, found no {TOKENS}", file=folder)
    tag_file, label_file = _find(folder, TAGS) if tags else None, _find(folder, INTENT) if intents else None
    if tags and tag_file is None:
        raise DataError(f"expected {TAGS} beside {TOKENS}, found none; read without tags (tags=False)", file=folder)
    return _examples([tokens, tag_file, label_file], encoding)


def folder_of(source: str | os.PathLike[str]) -> Path:
    """The folder, from itself or its ``seq.in``."""
    path = Path(source)
    return path.parent if path.name in (TOKENS, f"{TOKENS}.gz") else path


def is_threefile(source: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder of this layout, or its ``seq.in``."""
    path = Path(source)
    return path.name in (TOKENS, f"{TOKENS}.gz") or (path.is_dir() and _find(path, TOKENS) is not None)


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.exists()), None)


def _examples(files: list[Path | None], encoding: str) -> Iterator[Example]:
    present = [file for file in files if file is not None]
    number = 0
    for number, lines in enumerate(zip_longest(*(text_lines(file, encoding=encoding) for file in present)), 1):
        if None in lines:
            longer = next(file.name for file, line in zip(present, lines, strict=True) if line is not None)
            message = f"expected as many lines as {longer} has, found the end of the file; line n of each is sentence n"
            raise DataError(message, file=present[lines.index(None)], line=number)
        rest = iter(lines)
        yield _example(files, number, [None if file is None else next(rest) for file in files])
    if not number:
        raise DataError("expected sentences, found an empty file", file=present[0])


def _example(files: list[Path | None], number: int, lines: list[str | None]) -> Example:
    words = [() if line is None else texts_of(whitespace(line)) for line in lines]
    targets = {}
    if lines[1] is not None:
        if len(words[0]) != len(words[1]):
            message = f"expected {len(words[0])} tags, one for each token of {TOKENS}, found {len(words[1])}"
            raise DataError(message, file=files[1], line=number)
        targets["tags"] = words[1]
    metadata = {} if lines[2] is None else {"intent": lines[2].strip(_BLANKS)}
    return Example({"tokens": words[0]}, targets, f"{files[0]}:{number}", metadata)


def write_threefile(target: str | os.PathLike[str], examples: Iterable[Example], *, encoding: str = "utf-8") -> None:
    """Writes a folder of this layout: ``seq.out`` if the examples have tags, ``label`` if they have an intent.

    Removes old files that it does not write. Raises `DataError`, and writes nothing, for white space in tokens, other
    metadata, document boundaries and further inputs.
    """
    folder = folder_of(target)
    limits = FormatLimits("the three-file layout", str(folder), False, False, True, frozenset({"intent"}), False)
    columns = _columns(list(examples), limits)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"this folder cannot be made ({error.strerror or error})", file=folder) from None
    with ExitStack() as stack:  # all three are written before one is replaced
        for name, column in columns.items():
            if column:
                file = stack.enter_context(open_writer(folder / name, encoding=encoding))
                file.writelines(line + "\n" for line in column)
    for name, column in columns.items():
        for stale in (folder / name,) * (not column) + (folder / f"{name}.gz",):
            stale.unlink(missing_ok=True)


def _columns(examples: list[Example], limits: FormatLimits) -> dict[str, list[str]]:
    """The lines of each file; none if it is not written."""
    for example in examples:
        for name in limits.check(example):
            limits.check_column(example, name, example.tags if name == "tags" else example.tokens)
    intents = [example.metadata["intent"] for example in examples if "intent" in example.metadata]
    if intents and len(intents) < len(examples):
        without = next(example for example in examples if "intent" not in example.metadata)
        raise limits.error(without, "a sentence without intent if others have one")
    tokens = [" ".join(example.tokens) for example in examples]
    tags = [" ".join(example.tags) for example in examples if "tags" in example.targets]
    columns = {TOKENS: tokens, TAGS: tags, INTENT: intents}
    for lines in columns.values():
        if lines and lines[0][:1] == BOM:
            lines[0] = BOM + lines[0]  # readers remove one as the byte order mark
    return columns
