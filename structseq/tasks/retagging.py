"""Converting a file to another tag scheme or format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from structseq.data.example import Example
from structseq.data.formats import FORMATS, detect_format, format_of_name, read, read_verbatim, write
from structseq.data.options import DataOptions
from structseq.data.reading import reader_options
from structseq.data.textfile import Target, open_writer
from structseq.errors import DataError
from structseq.spans import Scheme, TagError, convert, repair, scheme_of
from structseq.tasks.legality import find_scheme, legal_gold, with_place


def convert_file(
    source: Path, target: Target, data: DataOptions, *, to: str | None = None, notify: Callable[[str], None]
) -> None:
    """Write ``source`` to ``target`` in the scheme ``to`` (None: unchanged); between column files only tags change.

    The target is replaced atomically; ``notify`` receives a remark on illegal tags. Raises `DataError`, with file and
    line, for tags that the scheme cannot express or ``data.repair`` refuses.
    """
    wanted = scheme_of(to) if to else None
    examples = list(read(source, data.format, **reader_options(data)))
    scheme = find_scheme(examples, data)
    for remark in legal_gold(examples, scheme, data, option="--repair {}")[1]:
        notify(remark)
    if wanted is not None and scheme.plain != wanted.plain:
        found = "plain tags (such as parts of speech), not spans" if scheme.plain else f"spans in {scheme}"
        raise DataError(f"the tags are {found}; they cannot be written as {wanted}", file=source)
    tags = partial(_converted, data=data, scheme=scheme, to=wanted or scheme)
    source_format = detect_format(source) if data.format == "auto" else data.format
    into = source_format if target == str(source) else _format_of(target, source_format)
    if into == source_format and FORMATS[into].verbatim is not None:
        with open_writer(target, encoding=data.encoding) as file:
            for block in read_verbatim(source, data.format, **reader_options(data)):
                file.write(block.text if block.example is None else block.retag(tags(block.example)))
    else:
        options: dict[str, Any] = {"field": data.field, "tokenizer": data.tokenizer, "scheme": wanted or scheme}
        retagged = (replace(each, targets={**each.targets, "tags": tags(each)}) for each in examples)
        write(target, retagged, into, **options)


def _converted(example: Example, *, data: DataOptions, scheme: Scheme, to: Scheme) -> tuple[str, ...]:
    tags = repair(example.tags, scheme, "conlleval" if data.repair == "refuse" else data.repair)
    try:
        return convert(tags, scheme, to)
    except TagError as problem:
        raise with_place(problem, [example], data) from None
    except DataError as problem:
        raise DataError(problem.message, file=example.source or None) from None


def _format_of(target: Target, source_format: str) -> str:
    """The target's format, by its extension; of a stream: ``source_format``."""
    if not isinstance(target, str):
        return source_format
    if target.endswith("/") or Path(target).is_dir():
        return "threefile"
    return format_of_name(target) or "columns"
