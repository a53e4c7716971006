"""How much there is to read: lines, long functions, classes and files, words in docstrings, branches on kinds.

    python benchmarks/size.py [FOLDER] [--list]

FOLDER is the package, by default this checkout's `structseq`; nothing of it is imported. Lines are those of `wc -l`. A
function's or class's lines go from `def` or `class` to its last, docstring included. Compiled kernels (files and
folders whose names end in `kernels`) are left out of the long functions and files.

A branch on a kind is a line that decides by what is asked for or by what a step of the input is:

- a comparison with the name of a kind of answer or input, such as ``gives == "tags"`` or ``"frames" in inputs``, or
  with one of the attributes that hold such a name (`ATTRIBUTES`)
- a table with such names for keys, or one looked up by such an attribute
- ``isinstance``, ``issubclass`` or a comparison with a class of `tasks/`, `inputs/`, `inference/`, `tagger/`, `heads/`,
  not in an ``assert``

These rooms answer for kinds, so they may branch: `tasks/`, `inputs/`, `inference/`, `tagger/`. `data/`, where the same
names are keys of files and of examples, and `heads/`, where a class knows its own kind, are counted apart. --list
shows every line that is counted.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import console
from table import markdown, write_json

PACKAGE = Path(__file__).resolve().parent.parent / "structseq"
LONG_FUNCTION, LONG_CLASS, LONG_FILE = 50, 300, 450

ROOMS_OF_KINDS = ("tasks", "inputs", "inference", "tagger")
APART = ("data", "heads")
ATTRIBUTES = {"gives", "asks", "reads", "required_targets"}
ANSWERS = {"tags", "label", "target", "inputs"}
STEPS = {"frames", "tokens"}
TASKS = {"tagging", "classification", "joint", "transduction", "reconstruction", "language_model"}
KINDS = ANSWERS | STEPS | TASKS
# Options with values that read like kinds: the key of the label, the width of Jordan's output layer.
NO_KINDS = {"label", "outputs"}

Function = (ast.FunctionDef, ast.AsyncFunctionDef)
Documented = (ast.Module, ast.ClassDef, *Function)


class Place(NamedTuple):
    """A line of the package, and what is there."""

    file: str
    line: int
    what: str


class File(NamedTuple):
    """A parsed file; ``name`` is its path below the package."""

    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        return self.name.split("/")[0]

    @property
    def compiled(self) -> bool:
        return any(part.endswith("kernels") for part in Path(self.name).with_suffix("").parts)

    @property
    def lines(self) -> int:
        return self.text.count("\n")


def main() -> None:
    parser = console.parser(__doc__, data=False)
    parser.add_argument("package", nargs="?", type=Path, default=PACKAGE, metavar="FOLDER")
    parser.add_argument("--list", action="store_true", help="every line that is counted")
    arguments = parser.parse_args()
    files = read(arguments.package)
    readable = [file for file in files if not file.compiled]
    branches = sites(files)
    found: dict[str, int | list[Place]] = {
        "files": len(files),
        "lines": sum(file.lines for file in files),
        f"functions over {LONG_FUNCTION} lines": long(readable, Function, LONG_FUNCTION),
        f"classes over {LONG_CLASS} lines": long(files, (ast.ClassDef,), LONG_CLASS),
        f"files over {LONG_FILE} lines": [
            Place(file.name, 1, f"{file.lines} lines") for file in readable if file.lines > LONG_FILE
        ],
        "words in docstrings": sum(words(file.tree) for file in files),
        "branches on a kind": [site for site in branches if site.file.split("/")[0] not in APART],
        f"the same in {' and '.join(APART)}": [site for site in branches if site.file.split("/")[0] in APART],
    }
    counts = {name: value if isinstance(value, int) else len(value) for name, value in found.items()}
    print(markdown([arguments.package.name, "count"], [[name, f"{count:,}"] for name, count in counts.items()]))
    if arguments.list:
        for name, places in found.items():
            if not isinstance(places, int):
                print(f"\n{name}\n")
                print(*(f"{place.file}:{place.line}: {place.what}" for place in places), sep="\n")
    write_json(arguments.json, counts)


def read(package: Path) -> list[File]:
    """Every Python file of the package, parsed."""
    paths = sorted(package.rglob("*.py"))
    if not paths:
        raise SystemExit(f"{package}: expected a package's folder, found no Python file")
    texts = {path.relative_to(package).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    return [File(name, text, ast.parse(text)) for name, text in texts.items()]


def long(files: list[File], kinds: tuple[type[ast.AST], ...], most: int) -> list[Place]:
    """Definitions of more than ``most`` lines."""
    found = []
    for file in files:
        definitions: list[Any] = [node for node in ast.walk(file.tree) if isinstance(node, kinds)]
        for node in definitions:
            if (lines := node.end_lineno - node.lineno + 1) > most:
                found.append(Place(file.name, node.lineno, f"{node.name}, {lines} lines"))
    return found


def words(tree: ast.Module) -> int:
    """Words in all docstrings of a file."""
    texts = (ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, Documented))
    return sum(len(text.split()) for text in texts)


def sites(files: list[File]) -> list[Place]:
    """The branches on kinds outside the rooms that answer for kinds, a line counted once."""
    homes = (*ROOMS_OF_KINDS, "heads")
    classes = {
        node.name
        for file in files
        if file.room in homes
        for node in file.tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }
    found = []
    for file in files:
        if file.room not in ROOMS_OF_KINDS:
            text = file.text.splitlines()
            numbers = {node.lineno for node in decisions(file.tree) if branches(node, classes)}
            found += [Place(file.name, number, text[number - 1].strip()) for number in sorted(numbers)]
    return found


def decisions(node: ast.AST) -> Iterator[Any]:
    """The nodes of a tree without its asserts: they tell the type checker what is known already."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Assert):
            yield from decisions(child)


def branches(node: ast.AST, classes: set[str]) -> bool:
    """Whether a node decides by a kind."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        if any(names(side) & NO_KINDS for side in sides if not isinstance(side, ast.Constant)):
            return False
        return any(named(side) or held(side) or names(side) & classes for side in sides)
    if isinstance(node, ast.Dict):
        return len(node.keys) > 1 and all(key is not None and named(key) for key in node.keys)
    if isinstance(node, ast.Subscript):
        return held(node.slice)
    if isinstance(node, ast.MatchValue):
        return named(node.value)
    if isinstance(node, ast.Call):
        called = names(node.func)
        if called & {"isinstance", "issubclass"}:
            return any(names(part) & classes for part in ast.walk(node.args[1]))
        return "get" in called and any(map(held, node.args))
    return False


def named(node: ast.AST) -> bool:
    """Whether it is the name of a kind, or several."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(map(named, node.elts))
    return isinstance(node, ast.Constant) and node.value in KINDS


def held(node: ast.AST) -> bool:
    """Whether it is an attribute that holds the name of a kind."""
    return isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES


def names(node: ast.AST) -> set[str]:
    """The last name of ``a.b``, and the key of ``a.get("key")``."""
    return set(_names(node))


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        yield from (part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str))


if __name__ == "__main__":
    sys.exit(console.run(main))
