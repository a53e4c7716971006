"""The reference of options: complete, loadable, and the same on the page."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from commandline import call

from structseq.cli import main
from structseq.cli.options_command import as_markdown, as_text, reference
from structseq.config import Options, load_options, option_list

ROOT = Path(__file__).resolve().parent.parent


def test_every_option_is_listed_with_its_sentence() -> None:
    entries = reference()
    assert {entry.name for entry in entries} == set(option_list())
    assert all(entry.description and entry.kind for entry in entries)
    periods = next(entry for entry in entries if entry.name == "encoder.periods")
    assert (periods.owners, periods.default, periods.kind) == (
        ("clockwork",),
        "[1, 2, 4, 8]",
        "list of whole numbers from 1",
    )


def test_the_page_is_what_the_command_writes() -> None:
    """If this fails: ``structseq options --write docs/options.md``."""
    assert (ROOT / "docs" / "options.md").read_text(encoding="utf-8") == as_markdown(reference())


def test_the_file_of_defaults_is_the_default_recipe(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "options.toml"
    assert call(capsys, "options", "--write", path).status == 0
    assert Options.of(load_options(path)) == Options()
    commented = path.read_text(encoding="utf-8")
    assert "# periods = [1, 2, 4, 8]" in commented and tomllib.loads(commented)["training"]["clip"] == 1.0


def test_a_prefix_chooses(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    done = call(capsys, "options", "training.clip")
    chosen = [entry for entry in reference() if entry.name.startswith("training.clip")]
    assert (done.status, done.out) == (0, as_text(chosen)) and len(chosen) == 2
    assert (
        call(capsys, "options", "nothing").sentence
        == "error: no option begins with 'nothing'; structseq options lists all"
    )
    assert call(capsys, "options", "--write", tmp_path / "options.yaml").status == 2


def test_the_shell_completes_commands_and_the_keys_of_set(capsys: pytest.CaptureFixture[str]) -> None:
    for line, expected in (("structseq tr", "train"), ("structseq train a --set encoder.wid", "encoder.width=")):
        environment = {"_STRUCTSEQ_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line}
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
            for name, value in environment.items():
                patch.setenv(name, value)
            main([])
        assert expected in capsys.readouterr().out
