"""What the documents show is run: every Python block and every `$ structseq` line of README.md and docs/.

Each document runs on its own, from top to bottom. It starts with a new namespace and a new folder, which holds only
small corpora: `train.conll`, `dev.conll`, `test.conll`, and `tones/` with recordings of digits made of tones. Files,
models and modules of another document are not there.
A block that must not run says so after its language: ```python no-run. One that is a file of the reader's own names
it, ```python file NAME.py or ```text file NAME, and is written there.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest
from commandline import InProcess

from structseq import cli

ROOT = Path(__file__).resolve().parent.parent
FLIGHTS = ROOT / "corpora" / "flights" / "en"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*DOCUMENTS, ROOT / "benchmarks" / "README.md"]
PAGES += [ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
PAGES += sorted((ROOT / "corpora").rglob("README.md"))
SENTENCES = {"train": 60, "dev": 15, "test": 15}


@dataclass(frozen=True)
class Block:
    language: str
    remark: str
    code: str
    line: int


def blocks(text: str) -> Iterator[Block]:
    for found in re.finditer(r"^```(\w*)[ \t]*([^\n]*)\n(.*?)^```[ \t]*$", text, re.DOTALL | re.MULTILINE):
        yield Block(found[1], found[2].strip(), found[3], text[: found.start(3)].count("\n") + 1)


def runnable(document: Path) -> list[Block]:
    found = blocks(document.read_text(encoding="utf-8"))
    languages = ("python", "console")
    return [
        each
        for each in found
        if each.remark.startswith("file ") or (each.language in languages and each.remark != "no-run")
    ]


def shell_lines(block: Block) -> list[str]:
    """The `$ structseq` lines of a console block; a backslash at the end continues in the next line."""
    joined = block.code.replace("\\\n", " ")
    return [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ structseq ")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    for name, sentences in SENTENCES.items():
        text = (FLIGHTS / f"{name}.conll").read_text(encoding="utf-8")
        kept = islice((part for part in re.split(r"\n\s*\n", text.strip())), sentences)
        (tmp_path / f"{name}.conll").write_text("\n\n".join(kept) + "\n", encoding="utf-8")
    make = [sys.executable, ROOT / "corpora" / "digits" / "generate.py", "--output", tmp_path / "tones"]
    subprocess.run([*make, "--strings", "12"], check=True, capture_output=True)
    monkeypatch.setattr("structseq.experiment.compare.Pool", InProcess)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    yield tmp_path
    # Modules that the document wrote must not serve the next one.
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def run_shell(line: str, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process where it is one plain command; through the shell where it has pipes or the like."""
    capsys.readouterr()
    if re.search(r"[|<>&;$`]", line):
        done = subprocess.run(line, shell=True, capture_output=True, text=True)
        status, errors = done.returncode, done.stderr
    else:
        status, errors = cli.main(shlex.split(line)[1:]), capsys.readouterr().err
    assert status == 0, f"{place}: $ {line}\n{errors}"


@pytest.mark.parametrize(
    "document", [d for d in DOCUMENTS if runnable(d)], ids=lambda document: str(document.relative_to(ROOT))
)
def test_examples_run(document: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in runnable(document):
        place = f"{document.name}:{block.line}"
        if block.remark.startswith("file "):
            (folder / block.remark.removeprefix("file ")).write_text(block.code, encoding="utf-8")
        elif block.language == "python":
            # Newlines in front, so that a traceback names the document's own line.
            exec(compile("\n" * (block.line - 1) + block.code, str(document), "exec"), namespace)
        for line in shell_lines(block) if block.language == "console" else ():
            run_shell(line, place, capsys)


def test_readme_shows_the_two_commands() -> None:
    shown = "".join(block.code for block in blocks((ROOT / "README.md").read_text(encoding="utf-8")))
    assert "$ make demo\n" in shown and "$ make test\n" in shown


def test_no_block_escapes() -> None:
    found = [(document, block) for document in DOCUMENTS for block in blocks(document.read_text(encoding="utf-8"))]
    assert {block.language for _, block in found} == {"python", "console", "text", ""}
    silent = [f"{d.name}:{b.line}" for d, b in found if b.language in ("text", "") and re.search("^\\$ ", b.code, re.M)]
    # `make` builds an environment; tests/test_makefile.py checks the Makefile instead.
    idle = [
        f"{document.name}:{block.line}"
        for document in DOCUMENTS
        for block in runnable(document)
        if block.language == "console" and not shell_lines(block) and "$ make " not in block.code
    ]
    assert silent == idle == []
    assert sum(len(runnable(document)) for document in DOCUMENTS) > 50
    assert sum(block.remark == "no-run" for _, block in found) <= 2


@pytest.mark.parametrize(
    ("file", "source"),
    [(".conll", r"\(start.md|\(docs/start.md|corpora/flights"), ("tones/", "corpora/digits/README.md")],
)
def test_a_page_says_where_its_files_come_from(file: str, source: str) -> None:
    texts = {document: document.read_text(encoding="utf-8") for document in DOCUMENTS}
    users = [document for document in DOCUMENTS if any(file in block.code for block in runnable(document))]
    assert users and [document.name for document in users if not re.search(source, texts[document])] == []


def anchors(document: Path) -> set[str]:
    """The headings of a page as GitHub names them in links."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", PAGES, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_inside_the_project_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", document.read_text(encoding="utf-8"))
    inside = [(document.parent / target if target else document, part) for target, part in links if "://" not in target]
    assert [target for target, _ in inside if not target.exists()] == []
    assert [f"{target}#{part}" for target, part in inside if part and part not in anchors(target)] == []


@pytest.mark.parametrize("document", PAGES, ids=lambda document: str(document.relative_to(ROOT)))
def test_files_that_a_page_names_exist(document: Path) -> None:
    named = set(re.findall(r"(?:`|python )([\w/]+/\w+\.(?:py|md))", document.read_text(encoding="utf-8")))
    homes = (ROOT, ROOT / "structseq", document.parent)
    assert [name for name in sorted(named) if not any((home / name).exists() for home in homes)] == []


def test_blocks_are_found_with_their_lines() -> None:
    text = (
        "# A\n\n```python\na = 1\n```\n\n```python no-run\nb\n```\n```console\n$ structseq check \\\n    x\nout\n```\n"
    )
    first, second, third = blocks(text)
    assert (first.code, first.line) == ("a = 1\n", 4)
    assert second.remark == "no-run"
    assert shell_lines(third) == ["structseq check      x"]
