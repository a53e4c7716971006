"""docs/reference.md: written by its script, with every command, switch, public name and method."""

from __future__ import annotations

import re
import runpy
from functools import cached_property
from importlib import import_module
from inspect import isclass, isroutine
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import typer

import structseq
from structseq.cli import app

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]}
NAMES = [heading for heading in re.findall(r"^### (.*)$", PAGE, re.MULTILINE) if heading.startswith("structseq.")]
COMMANDS: dict[str, Any] = {"": typer.main.get_command(app)}
COMMANDS |= COMMANDS[""].commands


def public_values() -> dict[str, Any]:
    """What the package and its rooms list in ``__all__``, by the names that the page may use."""
    modules = [structseq.__name__, *(each.name for each in walk_packages(structseq.__path__, "structseq."))]
    homes = [import_module(name) for name in modules if not name.endswith("__main__")]
    return {f"{home.__name__}.{name}": getattr(home, name) for home in homes for name in getattr(home, "__all__", ())}


def value_of(path: str) -> Any:
    module, _, name = path.rpartition(".")
    home = import_module(module)
    return getattr(home, name) if hasattr(home, name) else import_module(path)


def is_there(path: str, value: Any) -> bool:
    """Whether the page has the value by this name, from any module."""
    end = f".{path.rpartition('.')[2]}"
    return any(value_of(each) is value for each in NAMES if each.endswith(end))


def is_member(value: Any) -> bool:
    """Whether it is a method or a property, and not one that scikit-learn puts into an estimator."""
    kinds = (property, cached_property, classmethod, staticmethod)
    return isinstance(value, kinds) or (isroutine(value) and str(value.__module__).startswith("structseq"))


def own_members(kind: type) -> set[str]:
    return {name for name, value in vars(kind).items() if not name.startswith("_") and is_member(value)}


def written_members(path: str) -> set[str]:
    """The members in a class's section and in the sections that it points to."""
    section = SECTIONS[path]
    here = set(re.findall(r"^- `(\w+)[(:]", section, re.MULTILINE))
    for line in re.findall(r"^It also has the methods of (.*)\.$", section, re.MULTILINE):
        for base in re.findall(r"`([\w.]+)`", line):
            here |= written_members(base)
    return here


def test_the_page_is_what_the_script_writes() -> None:
    """If this fails: ``python docs/build_reference.py``."""
    assert runpy.run_path(str(ROOT / "docs" / "build_reference.py"))["page"]() == PAGE


def test_every_command_and_switch_is_there_with_its_sentence() -> None:
    written = 0
    for name, command in COMMANDS.items():
        section = SECTIONS[f"structseq {name}".strip()]
        for each in command.params:
            shown = each.opts + each.secondary_opts if each.opts[0].startswith("-") else [each.metavar]
            lines = [line for line in section.splitlines() if line.startswith("- ") and each.help and each.help in line]
            assert any(all(f"`{switch}" in line for switch in shown) for line in lines), f"{name}: {shown}"
            written += 1
    assert f"{len(COMMANDS) - 1} commands, {written} arguments and switches," in PAGE


def test_every_public_name_is_there_once_with_its_sentence() -> None:
    values = public_values()
    assert len(values) > 100 and [path for path, value in values.items() if not is_there(path, value)] == []
    assert len(NAMES) == len(set(NAMES)) and f" {len(NAMES)} public names," in PAGE
    described = {path: SECTIONS[path].split("\n\n")[1:] for path in NAMES}
    calls = {path: parts for path, parts in described.items() if parts[0].startswith("`")}
    sentences = {path: parts[path in calls].strip() for path, parts in described.items()}
    assert len(calls) > 150 and [path for path, text in sentences.items() if not text or text.startswith("- ")] == []


def test_every_public_method_is_there() -> None:
    kinds = {path: value for path in NAMES if isclass(value := value_of(path))}
    missing = {path: gone for path, kind in kinds.items() if (gone := own_members(kind) - written_members(path))}
    assert len(kinds) > 80 and missing == {}
    methods = sum(len(re.findall(r"^- `\w+[(:]", SECTIONS[path], re.MULTILINE)) for path in NAMES)
    assert methods > 300 and f" and {methods} methods and properties." in PAGE


def test_every_name_that_a_page_imports_is_there() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    lines = [found for text in texts for found in re.findall(r"^from (structseq\S*) import (.+)$", text, re.MULTILINE)]
    imported = {f"{module}.{name}" for module, names in lines for name in names.split(", ")}
    modules = {path.rpartition(".")[0] for path in NAMES}
    assert len(imported) > 20
    assert [path for path in imported if path not in modules and not is_there(path, value_of(path))] == []
