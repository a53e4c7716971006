"""The ``options`` command: lists all options as text, TOML or Markdown."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

Prefix = Annotated[str, typer.Argument(metavar="[PREFIX]", help="Only options that begin with it, such as encoder.")]
Write = Annotated[
    Path | None,
    typer.Option("--write", metavar="FILE", help="Write all defaults with descriptions to a .toml or .md file."),
]


def options(prefix: Prefix = "", write: Write = None) -> None:
    """List the options of --set and --config: type, range, default and description.

    An option of only some encoders or heads lists them. --write makes a file for --config.
    """
    from structseq.data.textfile import open_writer
    from structseq.errors import ConfigError

    entries = [entry for entry in reference() if entry.name.startswith(prefix)]
    if not entries:
        raise ConfigError(f"no option begins with {prefix!r}; structseq options lists all")
    if write is None:
        with open_writer(sys.stdout.buffer) as out:
            out.write(as_text(entries))
        return
    formats = {".toml": as_toml, ".md": as_markdown}
    if write.suffix not in formats:
        raise ConfigError(f"--write {write}: expected a name that ends in .toml or .md")
    with open_writer(write) as out:
        out.write(formats[write.suffix](entries))


@dataclass(frozen=True)
class Entry:
    """One option, with its dotted name, type and range in words, and default in TOML (or empty).

    ``owners`` are the encoders or heads that have it; empty for an option of all runs.
    """

    name: str
    owners: tuple[str, ...]
    kind: str
    default: str
    description: str

    @property
    def section(self) -> str:
        return self.name.rpartition(".")[0]


def reference() -> list[Entry]:
    """All options by section; those of single encoders and heads after the common ones."""
    from structseq.config import COMMON_OPTIONS, Options, table_of

    found: list[Entry] = []
    for name, field in Options.model_fields.items():
        if name not in COMMON_OPTIONS:
            found += _entries(field.annotation, f"{name}.")
            continue
        found += _entries(COMMON_OPTIONS[name], f"{name}.")
        own: dict[tuple[str, str, str, str], list[str]] = {}
        for row, kind in table_of(name).items():
            for entry in _entries(kind.Options, f"{name}."):
                if entry.name.rpartition(".")[2] not in COMMON_OPTIONS[name].model_fields:
                    own.setdefault((entry.name, entry.kind, entry.default, entry.description), []).append(row)
        found += [Entry(key[0], tuple(rows), *key[1:]) for key, rows in own.items()]
    return found


def _entries(section: Any, prefix: str) -> Iterator[Entry]:
    for name, field in section.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from _entries(field.annotation, f"{prefix}{name}.")
        else:
            yield Entry(f"{prefix}{name}", (), _kind(field), _default(field), field.description or "")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _kind(field: FieldInfo) -> str:
    """Type and range in words.

    >>> from structseq.config import TrainingOptions
    >>> [_kind(TrainingOptions.model_fields[name]) for name in ("patience", "warmup", "clip_by")]
    ['whole number from 1', 'number from 0 to below 1', 'norm or value']
    """
    return _words(field.annotation) + _range(field.metadata)


def _words(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(map(str, parts)) if len(parts) < 3 else f"one of {', '.join(map(str, parts))}"
    if origin is Annotated:
        return _words(parts[0]) + _range(parts[1:])
    if origin is tuple:
        return f"list of {_words(parts[0])}".replace("number", "numbers", 1)
    if origin is dict:
        return f"table of names and {_words(parts[1])}"
    if origin is not None:  # a union
        return " or ".join(_words(part) for part in parts if part is not type(None))
    names = {int: "whole number", float: "number", bool: "true or false", str: "text"}
    return names.get(kind, "table of options by name")


def _range(metadata: Sequence[Any]) -> str:
    flat = [each for outer in metadata for each in getattr(outer, "metadata", [outer])]
    words = {"ge": " from {}", "gt": " above {}", "le": " to {}", "lt": " to below {}"}
    limits = ((bound, getattr(each, bound, None)) for bound in words for each in flat)
    return "".join(words[bound].format(limit) for bound, limit in limits if limit is not None)


def as_text(entries: Sequence[Entry]) -> str:
    lines = []
    for entry in entries:
        owners = f"  [{', '.join(entry.owners)}]" if entry.owners else ""
        lines.append(f"{entry.name} = {entry.default or 'not set'}  ({entry.kind}){owners}\n    {entry.description}\n")
    return "".join(lines)


def as_toml(entries: Sequence[Entry]) -> str:
    """A file for ``--config``; options without default, or of other encoders and heads, are comments."""
    defaults = {"lstm", "crf"}
    parts = []
    for section, rows in groupby(entries, lambda entry: entry.section):
        lines = [f"[{section}]"]
        for entry in rows:
            of = f"; of {', '.join(entry.owners)}" if entry.owners else ""
            lines.append(f"# {entry.description} ({entry.kind}{of})")
            active = entry.default and entry.default != "{}" and (not entry.owners or defaults & set(entry.owners))
            value = entry.default or "..."
            lines.append(f"{'' if active else '# '}{entry.name.rpartition('.')[2]} = {value}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def as_markdown(entries: Sequence[Entry]) -> str:
    parts = [
        "# Options\n\nEvery option of `--set` and `--config`. `structseq options` lists them, and "
        "`structseq options --write FILE.toml` writes them as a file to edit.\n"
    ]
    for section, rows in groupby(entries, lambda entry: entry.section):
        parts.append(f"\n## {section}\n\n| option | of | type | default | |\n|---|---|---|---|---|\n")
        for entry in rows:
            name, default = (f"`{text}`" if text else "" for text in (entry.name, entry.default))
            cells = (name, ", ".join(entry.owners), entry.kind, default, entry.description)
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(parts)
