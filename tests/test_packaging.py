"""What a user installs: public names, a typed wheel, and pinned versions that lie within the promised ranges."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import structseq
from structseq import compiling
from structseq.__main__ import set_threading_defaults

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(line) for line in (*PROJECT["dependencies"], *(r for rs in EXTRAS.values() for r in rs))]


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pinned() -> dict[str, Version]:
    return {canonicalize_name(pin.name): Version(next(iter(pin.specifier)).version) for pin in pins()}


@pytest.mark.parametrize(("name", "home"), structseq._HOMES.items())
def test_public_names_resolve_to_what_their_homes_hold(name: str, home: str) -> None:
    assert name in dir(structseq)
    assert getattr(structseq, name) is getattr(importlib.import_module(home), name)


def test_public_names_come_from_where_type_checkers_look() -> None:
    tree = ast.parse(Path(structseq.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == structseq._HOMES
    assert sorted([*seen, "__version__"]) == sorted(structseq.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="'structseq' has no attribute 'Taggre'"):
        _ = structseq.Taggre  # type: ignore[attr-defined]


def test_submodules_stay_reachable() -> None:
    assert importlib.import_module("structseq.errors").DataError is structseq.DataError


def test_wheel_is_typed_licensed_and_holds_the_package_alone(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"structseq-{structseq.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        info = f"structseq-{structseq.__version__}.dist-info"
        assert "structseq = structseq.__main__:main" in archive.read(f"{info}/entry_points.txt").decode()
    assert "structseq/py.typed" in names
    assert f"{info}/licenses/LICENSE" in names
    assert {name.split("/")[0] for name in names} == {"structseq", info}
    sources = {str(file.relative_to(ROOT)) for file in (ROOT / "structseq").rglob("*.py")}
    assert sources == {name for name in names if name.endswith(".py")}


def test_console_script_is_the_module() -> None:
    scripts = [script for script in entry_points(group="console_scripts") if script.name == "structseq"]
    assert [script.value for script in scripts] == ["structseq.__main__:main"]


def test_constraints_are_exact_versions_once_each() -> None:
    assert all(pin.url is None and not pin.extras and pin.marker is None for pin in pins())
    assert all([s.operator for s in pin.specifier] == ["=="] for pin in pins())
    assert all(version.local is None for version in pinned().values())
    names = [canonicalize_name(pin.name) for pin in pins()]
    assert names == sorted(set(names))


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_constraints_lie_within_the_ranges(requirement: Requirement) -> None:
    assert pinned()[canonicalize_name(requirement.name)] in requirement.specifier
    assert any(s.operator in ("<", "==", "~=") for s in requirement.specifier) or requirement.name == "packaging"


def test_constraints_name_everything_that_gets_installed() -> None:
    todo, seen = list(REQUIREMENTS), set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        try:
            todo += [Requirement(line) for line in distribution(requirement.name).requires or ()]
        except PackageNotFoundError:  # an extra that this environment does without
            continue
    # torch's CUDA builds bring their own packages, at versions that torch itself pins.
    own = {name for name in seen if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert seen - own <= set(pinned())


def test_waiting_is_settled_for_every_openmp_and_reported() -> None:
    environment: dict[str, str] = {}
    assert set_threading_defaults(environment) == environment
    assert {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"} <= set(environment)
    assert set_threading_defaults(environment) == {}


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_waiting_as_the_user_said(name: str) -> None:
    environment = {name: "7"}
    assert set_threading_defaults(environment) == {}
    assert environment == {name: "7"}


def test_compiled_kernels_are_tested_wherever_they_are_promised() -> None:
    """The only reason for leaving them out of a test is that the project asks for no Numba here."""
    (numba,) = [requirement for requirement in REQUIREMENTS if requirement.name == "numba"]
    assert numba.marker is not None and compiling.numba_available() >= numba.marker.evaluate()


@pytest.mark.parametrize(
    ("module", "extra", "packages"),
    [
        ("data/audio.py", "audio", "soundfile soxr"),
        ("cli/comparing.py", "report", "matplotlib jinja2"),
        ("data/annotation/cas.py", "cas", "dkpro-cassis"),
        ("data/annotation/docbin.py", "spacy", "spacy"),
        ("data/frames.py", "frames", "narwhals"),
        ("data/parquet.py", "parquet", "pyarrow"),
    ],
)
def test_messages_install_what_an_extra_needs(module: str, extra: str, packages: str) -> None:
    """By the libraries' own names, which can be installed from anywhere; `structseq[...]` needs the package there."""
    text = (ROOT / "structseq" / module).read_text(encoding="utf-8")
    assert all(f'"{package}' in text or f"pip install {packages}" in text for package in packages.split())
    needed = {Requirement(line).name for line in EXTRAS[extra]}
    assert set(packages.split()) == needed - ({"narwhals"} if extra == "parquet" else set())


def test_no_test_is_skipped_for_a_missing_library() -> None:
    """All libraries of the tests are in the extra `test`; a skipped test would prove nothing without a word."""
    word = "importor" + "skip"
    assert [file.name for file in (ROOT / "tests").rglob("*.py") if word in file.read_text(encoding="utf-8")] == []


def test_no_message_installs_structseq_by_name() -> None:
    for file in (ROOT / "structseq").rglob("*.py"):
        assert "pip install 'structseq" not in file.read_text(encoding="utf-8"), file
