"""A file in another tag scheme, in another format, or both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from structseq.data.example import Example
from structseq.data.formats import FORMATS, detect_format, read, read_verbatim, write
from structseq.data.options import DataOptions
from structseq.data.reading import reader_options
from structseq.data.textfile import Target, writing
from structseq.errors import ConfigError, DataError
from structseq.spans import REPAIRS, Scheme, TagError, repair, scheme_of
from structseq.spans import convert as converted
from structseq.tasks.legality import find_scheme, placed, refuse_illegal


def convert_file(source: Path, target: Target, data: DataOptions, *, to: str | None = None) -> None:
    """Write ``source`` to ``target`` in the scheme ``to``, or its own; between column files only tags change.

    The source is read twice: once to find the scheme and every fault, once to write. The target is whole or not there.
    Raises `DataError`, with file and line, for tags that cannot be written so, and `ConfigError` for an unknown repair.
    """
    wanted = scheme_of(to) if to else None
    if data.repair is not None and data.repair not in REPAIRS:
        raise ConfigError(f"unknown repair {data.repair!r}; known are {', '.join(REPAIRS)}")
    examples = list(read(source, data.format, **reader_options(data)))
    scheme = find_scheme(examples, data)
    if data.repair is None:
        refuse_illegal(examples, scheme, data, option="--repair {}")
    _check_kinds(source, scheme, wanted)
    retagging = _Retagging(data, scheme, wanted or scheme)
    own = detect_format(source) if data.format == "auto" else data.format
    into = own if target == str(source) else _format_of(target, own)
    if into == own and FORMATS[into].verbatim is not None:
        with writing(target, encoding=data.encoding) as file:
            file.writelines(_rewritten(source, data, retagging))
    else:
        options: dict[str, Any] = {"field": data.field, "tokenizer": data.tokenizer, "scheme": retagging.target}
        write(target, map(retagging.example, examples), into, **options)


def _check_kinds(source: Path, scheme: Scheme, wanted: Scheme | None) -> None:
    if wanted is not None and scheme.plain != wanted.plain:
        found = "plain, such as parts of speech, and are no spans" if scheme.plain else f"spans in {scheme}"
        raise DataError(f"the tags are {found}; they cannot be written as {wanted}", file=source)


class _Retagging:
    """Tags of one scheme written in another."""

    def __init__(self, data: DataOptions, scheme: Scheme, target: Scheme) -> None:
        self.data, self.scheme, self.target = data, scheme, target

    def tags(self, example: Example) -> tuple[str, ...]:
        """Raises `DataError`, with file and line, where the target cannot hold the spans."""
        tags = example.tags
        if self.data.repair is not None:
            tags = repair(tags, self.scheme, self.data.repair)
        try:
            return converted(tags, self.scheme, self.target)
        except TagError as problem:
            raise placed(problem, [example], self.data) from None
        except DataError as problem:
            raise DataError(problem.message, file=example.source or None) from None

    def example(self, example: Example) -> Example:
        return replace(example, targets={**example.targets, "tags": self.tags(example)})


def _rewritten(source: Path, data: DataOptions, retagging: _Retagging) -> Iterator[str]:
    """The file's text, its tags alone rewritten."""
    for block in read_verbatim(source, data.format, **reader_options(data)):
        yield block.text if block.example is None else block.retag(retagging.tags(block.example))


def _format_of(target: Target, own: str) -> str:
    """The format of a target by its extension; a stream has the source's ``own``."""
    if not isinstance(target, str):
        return own
    known = [
        format
        for format, row in FORMATS.items()
        if row.extensions and target.removesuffix(".gz").endswith(row.extensions)
    ]
    return known[0] if known else "threefile" if target.endswith("/") or Path(target).is_dir() else "columns"
