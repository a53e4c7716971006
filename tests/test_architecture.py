"""The house keeps its floors: the imports of every file, read without running it, against docs/architecture.md."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import structseq

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "structseq"
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
HEAVY = {
    "torch",
    "torchcrf",
    "numpy",
    "scipy",
    "sklearn",
    "seqeval",
    "numba",
    "pydantic",
    "typer",
    "rich",
    "safetensors",
}

# Outside the floors: one resolves public names, the other starts the command line.
ENTRY_POINTS = {"__init__", "__main__"}


@cache
def cells() -> list[tuple[int, str]]:
    """(floor, cell) of the drawing: a room, or rooms with arrows between them; remarks are left out."""
    drawing = re.search(r"## The floors.*?```\n(.*?)```", DOCUMENT, re.DOTALL)
    assert drawing, "docs/architecture.md has lost its drawing of the floors"
    lines = [re.split(r"\s{2,}", line.strip()) for line in drawing[1].splitlines()]
    room = r"[a-z_]+/?"
    return [
        (int(line[0]), cell) for line in lines for cell in line[1:] if re.fullmatch(rf"{room}( (->|<-) {room})*", cell)
    ]


@cache
def floors() -> dict[str, int]:
    return {room: floor for floor, cell in cells() for room in re.findall(r"[a-z_]+", cell)}


@cache
def same_floor_doors() -> set[tuple[str, str]]:
    """(room, room that it may know) although they share a floor: what the arrows of a cell say."""
    doors = set()
    for _, cell in cells():
        words = cell.replace("/", "").split(" ")
        for left, arrow, right in zip(words, words[1:], words[2:], strict=False):
            if arrow in ("->", "<-"):
                doors.add((left, right) if arrow == "->" else (right, left))
    return doors


def plain_rooms() -> list[str]:
    sentence = re.search(r"([^.]*?) are plain Python", DOCUMENT)
    assert sentence, "docs/architecture.md no longer says which rooms are plain Python"
    return [name.rstrip("/") for name in re.findall(r"`([a-z_]+/?)`", sentence[1])]


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """structseq.data.columns -> data; the package itself -> __init__."""
    return module.split(".")[1] if "." in module else "__init__"


def exists(module: str) -> bool:
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@cache
def imports_of(file: Path) -> frozenset[str]:
    """Full names of the modules that a file imports anywhere, inside functions and under TYPE_CHECKING too."""
    return frozenset(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    package = module_of(file).split(".")
    if file.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module == "structseq" and [alias.name for alias in node.names] == ["__version__"]:
                continue  # the one name that the package itself holds; any room may tell its version
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                if base == "structseq" and alias.name in structseq._HOMES:
                    yield structseq._HOMES[alias.name]
                else:
                    yield inner if base.startswith("structseq") and exists(inner) else base


def knowledge() -> Iterator[tuple[Path, str, str]]:
    """(file, its room, a room that it imports from), doors left out."""
    for file in files():
        room = room_of(module_of(file))
        if room in ENTRY_POINTS:
            continue
        for module in imports_of(file):
            if module.split(".")[0] == "structseq":
                yield file, room, room_of(module)


def test_the_drawing_is_read() -> None:
    assert floors()["errors"] == 0 and floors()["cli"] == max(floors().values())
    assert {"data", "spans", "evaluation", "config", "errors"} <= set(plain_rooms())
    assert ("heads", "crf") in same_floor_doors()


def test_every_room_has_a_floor_and_every_floor_its_rooms() -> None:
    rooms = {room_of(module_of(file)) for file in files()} - ENTRY_POINTS
    assert rooms == set(floors())


def test_imports_go_down_only() -> None:
    wrong = []
    for file, room, other in knowledge():
        allowed = other == room or (room, other) in same_floor_doors()
        if other in ENTRY_POINTS or (not allowed and floors()[other] >= floors()[room]):
            wrong.append(f"{file.relative_to(ROOT)} ({room}) knows {other}")
    assert not wrong, "\n".join(wrong)


def test_no_cycle_among_modules() -> None:
    graph = {
        module_of(file): {m for m in imports_of(file) if m.startswith("structseq.") and m != module_of(file)}
        for file in files()
        if room_of(module_of(file)) not in ENTRY_POINTS
    }
    # Raises CycleError, which names the modules of the cycle.
    assert list(TopologicalSorter(graph).static_order())


def test_plain_rooms_know_no_torch_and_only_each_other() -> None:
    plain = set(plain_rooms())
    wrong = []
    for file in files():
        if room_of(module_of(file)) in plain:
            for module in imports_of(file):
                first, *_ = module.split(".")
                if first in {"torch", "torchcrf"} or (first == "structseq" and room_of(module) not in plain):
                    wrong.append(f"{file.relative_to(ROOT)} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_there_is_no_room_without_a_noun() -> None:
    nameless = {"utils", "util", "helpers", "misc", "common"}
    assert not [file for file in files() if file.stem in nameless]


def test_no_two_files_have_the_same_name() -> None:
    allowed = {"__init__.py", "base.py"}
    names = Counter(file.name for file in files() if file.name not in allowed)
    assert [name for name, count in names.items() if count > 1] == []


def rooms_and_files() -> str:
    """A line for every room and file: the first sentence of its docstring."""
    lines, room = [], ""
    for file in sorted(files(), key=lambda file: (len(file.parents), str(file))):
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        sentence = " ".join(text.partition("\n\n")[0].split())
        name = file.relative_to(PACKAGE)
        if str(name.parent) != room:
            room = str(name.parent)
            lines.append(f"\n**`{room}/`** {sentence}\n" if file.name == "__init__.py" else f"\n**`{room}/`**\n")
        if file.name != "__init__.py":
            lines.append(f"- `{file.name}`: {sentence}")
    return "\n".join(lines).strip()


def test_the_document_has_a_line_for_every_room_and_file() -> None:
    """If this fails: ``python tests/test_architecture.py`` writes the lines anew."""
    listed = re.search(r"<!-- rooms -->\n(.*?)\n<!-- end of rooms -->", DOCUMENT, re.DOTALL)
    assert listed and listed[1] == rooms_and_files()


def test_every_file_opens_with_its_purpose() -> None:
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in files()}
    assert [file for file, tree in trees.items() if tree.body and not ast.get_docstring(tree)] == []


def test_docstrings_stay_short() -> None:
    """At most 11 words of docstring for 10 lines; `benchmarks/size.py` counts in the same way."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    sources = [file.read_text(encoding="utf-8") for file in files()]
    nodes = (node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))
    words = sum(len((ast.get_docstring(node) or "").split()) for node in nodes)
    assert words < 1.1 * sum(source.count("\n") for source in sources)


def loaded_by(code: str) -> set[str]:
    """Top-level names of the modules in a fresh interpreter after it ran ``code``."""
    show = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stderr.split()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_by("import structseq") & HEAVY


def test_plain_modules_load_no_torch() -> None:
    plain = set(plain_rooms())
    modules = [module_of(file) for file in files() if room_of(module_of(file)) in plain]
    assert "torch" not in loaded_by("\n".join(f"import {module}" for module in modules))


def test_public_names_of_plain_modules_load_no_torch() -> None:
    assert "torch" not in loaded_by("import structseq; structseq.read, structseq.evaluate, structseq.Span")


def test_help_loads_neither_torch_nor_numpy() -> None:
    call = "from structseq.__main__ import main\nsys.argv = ['structseq', '--help']\n"
    loaded = loaded_by(call + "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code")
    assert not loaded & {"torch", "numpy", "sklearn"}


if __name__ == "__main__":
    listed = f"<!-- rooms -->\n{rooms_and_files()}\n<!-- end of rooms -->"
    renewed = re.sub(r"<!-- rooms -->.*?<!-- end of rooms -->", lambda _: listed, DOCUMENT, flags=re.DOTALL)
    (ROOT / "docs" / "architecture.md").write_text(renewed, encoding="utf-8")
