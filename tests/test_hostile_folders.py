"""A stranger's folder, options file or link: refused in a sentence, and nothing outside it is touched."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commandline import Done, InProcess, call, tiny, write_corpus

from structseq import cli
from structseq.config import Options, load_options
from structseq.errors import ConfigError, ModelFileError, TrainingError
from structseq.experiment import ExperimentFolder, Record
from structseq.files import remove_unfinished
from structseq.run import Identity, RunFolder
from structseq.storage import check_destination, load_model

pytestmark = pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="needs links as POSIX has them")

SECONDS = 2.0
LEFT = ".log.jsonl.0123abcd.part"  # what a kill leaves of a file that is being written
# Names that no folder below has, but that a run, a save or a kill can leave in one
FURTHER = (".lock", ".new", ".new.lock", ".previous", ".previous.part", LEFT, "run", f"run/{LEFT}")
Tree = dict[str, tuple[int, str | bytes]]


def tree(folder: Path) -> Tree:
    """Mode and content of everything below, links not followed."""
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if stat.S_ISREG(mode) else b""
        found[str(path.relative_to(folder))] = (mode, content)
    return found


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A user's files, which are the same after the test."""
    home = tmp_path / "home"
    for name in (".bashrc", ".ssh/id", ".x.part", LEFT, "notes/run.json", "run.json"):
        (home / name).parent.mkdir(exist_ok=True, parents=True)
        (home / name).write_text(f"precious {name}")
    before = tree(home)
    yield home
    assert tree(home) == before


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, a finished ``model``, an ``unfinished`` run and a comparison ``out``; no test changes them."""
    folder = tmp_path_factory.mktemp("made")
    write_corpus(folder)

    def stop(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    assert cli.main(training(folder, folder / "model")) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("structseq.experiment.trial.SECONDS", 0)
        patch.setattr("structseq.experiment.compare.Pool", InProcess)
        assert cli.main(comparing(folder, folder / "out")) == 0
        patch.setattr(RunFolder, "finish", stop)
        assert cli.main(training(folder, folder / "unfinished")) == 130
    return folder


def training(made: Path, output: Path, *more: object) -> list[str]:
    files = (made / "train.conll", "--dev", made / "dev.conll")
    return [str(word) for word in ("train", *files, "--output", output, *tiny(1), "--quiet", *more)]


def comparing(made: Path, output: Path, *more: object) -> list[str]:
    files = (made / "train.conll", "--dev", made / "dev.conll")
    return [str(word) for word in ("compare", *files, "--output", output, *tiny(1), "--quiet", *more)]


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> Done:
    began = time.perf_counter()
    done = call(capsys, *words)
    assert done.status == 2 and done.sentence.startswith("error: "), done
    assert time.perf_counter() - began < SECONDS
    return done


def names_in(folder: Path) -> list[str]:
    return sorted({*tree(folder), *FURTHER})


def replaced(path: Path, target: Path) -> None:
    """A link to ``target`` in place of ``path``."""
    if path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def hostile(folder: Path, name: str, outside: Path, copy: Path) -> Iterator[Path]:
    """Copies of ``folder`` in which ``name`` is a link: to the same content, a folder, the folder above, to nothing."""
    if not copy.exists():
        shutil.copytree(folder, copy)
    place = copy.with_name("hostile")
    for target in (copy / name, outside, Path(".."), outside / "new"):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder, place)
        replaced(place / name, target)
        yield place


# -- links -------------------------------------------------------------------------------------------------------------


def test_a_run_with_a_link_at_any_name_is_refused(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path, outside: Path
) -> None:
    assert len(names_in(made / "unfinished")) > 9
    for name in names_in(made / "unfinished"):
        for folder in hostile(made / "unfinished", name, outside, tmp_path / "copy"):
            before = tree(tmp_path)
            done = refused(capsys, *training(made, folder, "--resume"))
            assert str(folder / name) in done.err and "is a link" in done.err
            assert tree(tmp_path) == before, name


def test_a_model_with_a_link_at_any_name_is_refused(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path, outside: Path
) -> None:
    for name in names_in(made / "model"):
        for folder in hostile(made / "model", name, outside, tmp_path / "copy"):
            before = tree(tmp_path)
            for problem in (load_model, check_destination):
                with pytest.raises(ModelFileError, match="is a link"):
                    problem(folder)
            with pytest.raises(ModelFileError, match="is a link"):
                RunFolder(folder).check(resume=True)
            assert tree(tmp_path) == before, name
    for command in (["describe", folder], ["tag", folder, "--text", "to Rome"], training(made, folder, "--resume")):
        assert "is a link" in refused(capsys, *command).err
    done = refused(capsys, *training(made, tmp_path / "new", "--init-from", folder))
    assert "is a link" in done.err and not (tmp_path / "new").exists()


def test_a_comparison_with_a_link_at_any_name_is_refused(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path, outside: Path
) -> None:
    names = [name for name in tree(made / "out") if name.count("/") < 3] + [".lock", LEFT, "report.html"]
    for name in names:
        for folder in hostile(made / "out", name, outside, tmp_path / "copy"):
            before = tree(tmp_path)
            with pytest.raises(ModelFileError, match="is a link"):
                ExperimentFolder(folder).check()
            assert tree(tmp_path) == before, name
    assert "is a link" in refused(capsys, *comparing(made, folder)).err


def test_a_link_that_the_user_names_as_the_folder_is_the_users(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert call(capsys, *training(made, tmp_path / "link")).status == 0
    assert (tmp_path / "link").is_symlink() and load_model(tmp_path / "link").model


@pytest.mark.parametrize("kind", ["model", "unfinished", "out"])
def test_pipes_and_sockets_in_a_folder_are_refused(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command: Callable[..., list[str]] = comparing if kind == "out" else training
    for name in [name for name, (mode, _) in tree(made / kind).items() if stat.S_ISREG(mode) and name.count("/") < 2]:
        folder = tmp_path / "f"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made / kind, folder)
        (folder / name).unlink()
        os.mkfifo(folder / name)
        resume = ["--resume"] if kind != "out" else []
        assert (
            f"{folder / name}: is neither a file nor a folder" in refused(capsys, *command(made, folder, *resume)).err
        )
    with socket.socket(socket.AF_UNIX) as made_socket:
        monkeypatch.chdir(folder)
        made_socket.bind("config.json2")
    assert "is neither a file nor a folder" in refused(capsys, *command(made, folder, *resume)).err


@pytest.mark.parametrize("name", ["run", "run/run.json", "log.jsonl", ".lock", "config.json", ".new", ".previous"])
def test_a_name_of_another_kind_is_refused(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(made / "unfinished", tmp_path / "f")
    path = tmp_path / "f" / name
    if path.is_dir() or name in (".new", ".previous"):
        shutil.rmtree(path, ignore_errors=True)
        path.write_text("mine")
    else:
        path.unlink(missing_ok=True)
        path.mkdir()
        (path / "mine").touch()
    before = tree(tmp_path)
    refused(capsys, *training(made, tmp_path / "f", "--resume"))
    assert tree(tmp_path) == before


# -- files that a command writes ---------------------------------------------------------------------------------------


def test_an_output_that_is_a_link_is_refused(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path, outside: Path
) -> None:
    for target in (outside / ".bashrc", outside / "new"):
        for suffix in ("conll", "jsonl", "npy", "toml", "conll.gz"):
            (tmp_path / f"link.{suffix}").unlink(missing_ok=True)
            (tmp_path / f"link.{suffix}").symlink_to(target)
        for words in (
            ["tag", made / "model", made / "dev.conll", "-o", tmp_path / "link.conll"],
            ["convert", made / "dev.conll", tmp_path / "link.jsonl"],
            ["convert", made / "dev.conll", tmp_path / "link.conll.gz"],
            ["embed", made / "model", made / "dev.conll", "-o", tmp_path / "link.npy"],
            ["embed", made / "model", made / "dev.conll", "-o", tmp_path / "link.jsonl"],
            ["evaluate", made / "model", made / "dev.conll", "--json", tmp_path / "link.jsonl"],
            ["options", "--write", tmp_path / "link.toml"],
        ):
            assert "is a link" in refused(capsys, *words).err, words


def test_a_folder_of_files_with_links_is_not_written_through(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path, outside: Path
) -> None:
    for name, link in (("brat", "0001.ann"), ("threefile", "seq.out")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / link).symlink_to(outside / ".bashrc")
        call(capsys, "convert", made / "dev.conll", folder, "--format", name)
    assert call(capsys, "convert", made / "dev.conll", "/dev/stdout", "--format", "conll").status == 0


# -- what is removed ---------------------------------------------------------------------------------------------------


def test_only_what_a_run_writes_is_removed(capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    shutil.copytree(made / "unfinished", folder)
    names = [".x.part", ".mine.lock", ".rsync.ab12cd.part", "run/thesis.tex", "run/.x.part", "run/sub/file"]
    (folder / ".dir.0123abcd.part").mkdir()
    for name in [*names, ".dir.0123abcd.part/mine"]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    (folder / LEFT).touch()
    assert call(capsys, *training(made, folder, "--resume")).status == 0
    assert all((folder / name).read_text() == "mine" for name in [*names, ".dir.0123abcd.part/mine"])
    assert not (folder / LEFT).exists() and not (folder / "run" / "run.json").exists()
    assert load_model(folder).model


def test_a_lock_with_content_is_not_emptied(capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path) -> None:
    for command in (training(made, tmp_path / "f"), comparing(made, tmp_path / "f")):
        (tmp_path / "f").mkdir(exist_ok=True)
        (tmp_path / "f" / ".lock").write_text("mine")
        assert "is not a lock file of structseq" in refused(capsys, *command).err
        assert tree(tmp_path / "f") == {".lock": ((tmp_path / "f" / ".lock").stat().st_mode, b"mine")}
    (tmp_path / "notes").write_text("")
    (tmp_path / "f" / ".lock").unlink()
    os.link(tmp_path / "notes", tmp_path / "f" / ".lock")
    assert "is not a lock file of structseq" in refused(capsys, *training(made, tmp_path / "f")).err


def test_another_run_is_refused_before_anything_is_touched(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path
) -> None:
    for kind, command in (("unfinished", training), ("out", comparing)):
        shutil.copytree(made / kind, tmp_path / kind)
        (tmp_path / kind / LEFT).touch()
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / kind, *(tmp_path / kind).rglob("*"))}
        resume = ["--resume"] if kind == "unfinished" else []
        words = [*command(made, tmp_path / kind, *resume), "--set", "training.clip=0.5"]
        assert "cannot resume this" in refused(capsys, *words).err
        assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_folder_is_swept_of_parts_only(tmp_path: Path) -> None:
    for name in (LEFT, ".log.jsonl.part", ".log.jsonl.0123ABCD.part", "log.jsonl.0123abcd.part", ".a.0123abcd.part"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert LEFT not in os.listdir(tmp_path) and len(os.listdir(tmp_path)) == 4


def test_a_killed_save_leaves_no_licence_to_overwrite(tmp_path: Path) -> None:
    (tmp_path / ".new").mkdir()
    (tmp_path / "model.safetensors").touch()
    check_destination(tmp_path)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ModelFileError, match=r"found 'thesis\.tex'"):
        check_destination(tmp_path)


# -- content of a folder's files ---------------------------------------------------------------------------------------

CONTENTS = [
    "[" * 100_000, "3", "null", '"x"', "\x00", "9" * 5000, "{}", '{"options": 3}',
    '{"data": 3, "options": {}, "seed": 0}', '{"options": {}, "seed": {}, "data": {"train": 3}}',
    '{"options": {}, "seed": 0, "data": {"train": {}}}', '{"options": {}, "seed": 0, "versions": 5}',
    '{"options": {}, "seed": 0, "threads": "two"}', '{"options": ' + 900 * '{"a": ' + "1" + 900 * "}" + ', "seed": 0}',
    '{"options": {}, "seed": 0, "data": {"train": {"path": 1, "sha256": 2}}}',
]  # fmt: skip


@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_a_file_of_another_shape_is_an_error_or_nothing(tmp_path: Path, content: str) -> None:
    identity, folder = Identity({}, 0), tmp_path / "f"
    (folder / "run").mkdir(parents=True)
    for name in ("run/run.json", "experiment.json", "trial.json", "log.jsonl"):
        (folder / name).write_text(f"{content}\n")
    before = tree(folder)
    for opened in (RunFolder(folder).opened(identity), ExperimentFolder(folder).opened(identity)):
        with pytest.raises(TrainingError), opened:
            pass
    assert Record.read(folder / "trial.json") is None and tree(folder) == before
    RunFolder(folder).journal.truncate(3)
    (folder / "config.json").write_text(content)
    assert RunFolder(folder).status == "foreign"
    (folder / "config.json").write_text('{"model_type": "structseq"}')
    (folder / "run" / "run.json").unlink()
    (folder / "provenance.json").write_text(f'{{"run": {content}}}')
    with pytest.raises(TrainingError):
        RunFolder(folder).compare(identity)


# -- code --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that a module ``hostile_code`` makes when it is imported."""
    mark = tmp_path / "imported"
    text = (
        f"open({str(mark)!r}, 'w').close()\n"
        "from structseq.encoders import Elman as Encoder\nfrom structseq.heads import CrfHead as Head\n"
        "from structseq.inputs.token_inputs import AffixEmbedding as Feature\n"
    )
    (tmp_path / "hostile_code.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hostile_code", raising=False)
    yield mark
    sys.modules.pop("hostile_code", None)


@pytest.mark.parametrize(
    ("option", "kind"),
    [("encoder.type", "Encoder"), ("head.type", "Head"), ("inputs.features.x.type", "Feature")],
)
@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_an_options_file_imports_nothing_that_is_not_trusted(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path, code: Path, option: str, kind: str, suffix: str
) -> None:
    config, name = tmp_path / f"options.{suffix}", f"hostile_code:{kind}"
    table: Any = name
    for part in reversed(option.split(".")):
        table = {part: table}
    config.write_text(json.dumps(table) if suffix == "json" else f'{option} = "{name}"')
    commands = (training(made, tmp_path / "new"), comparing(made, tmp_path / "new"))
    for command in commands:
        done = refused(capsys, *command, "--config", config)
        assert f"{config}: {option} is '{name}'" in done.err and f"--trust {name}" in done.err
        other = refused(capsys, *command, "--config", config, "--trust", "hostile_code:Other")
        assert other.err == done.err
    with pytest.raises(ConfigError, match="--trust"):
        load_options(config)
    assert not code.exists() and not (tmp_path / "new").exists()
    assert load_options(config, trusted=[name]) == table and not code.exists()


def test_what_is_trusted_or_typed_is_imported(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("structseq.experiment.compare.Pool", InProcess)
    monkeypatch.setattr("structseq.experiment.trial.SECONDS", 0)
    assert call(capsys, *training(made, tmp_path / "a", "--set", "encoder.type=hostile_code:Encoder")).status == 0
    assert code.exists()
    given = ["--config", tmp_path / "a" / "options.json"]  # a file of options too
    assert "--trust hostile_code:Encoder" in refused(capsys, *training(made, tmp_path / "b", *given)).err
    (tmp_path / "options.toml").write_text('encoder.type = "hostile_code:Encoder"')
    given = ["--config", tmp_path / "options.toml", "--trust", "hostile_code:Encoder"]
    assert call(capsys, *comparing(made, tmp_path / "b", *given)).status == 0


WRONG = ["torch.nn:LSTM", "os:system", "os:environ", "builtins:int", "structseq.encoders.base:Options", "json:", ":x",
         "os:path:join", "structseq.config:EncoderOptions", "no_such_module:X", "..:x"]  # fmt: skip


@pytest.mark.parametrize("name", [*WRONG, "broken:X"])
def test_what_is_no_class_of_the_right_kind_is_one_sentence(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("def (:\n")
    monkeypatch.syspath_prepend(tmp_path)
    output = tmp_path / "new"
    for option in ("encoder.type", "head.type", "inputs.features.x.type"):
        assert name in refused(capsys, *training(made, output, "--set", f"{option}={name}")).err
    for flag in ("--encoders", "--heads"):
        assert name in refused(capsys, *comparing(made, output, flag, name)).err
    (tmp_path / "options.toml").write_text(f'encoder.type = "{name}"')
    given = ["--config", tmp_path / "options.toml", "--trust", name]
    assert name in refused(capsys, *training(made, output, *given)).err
    assert not output.exists()


def test_a_class_of_one_kind_is_not_one_of_another() -> None:
    swapped: list[dict[str, Any]] = [
        {"encoder": {"type": "structseq.heads:CrfHead"}},
        {"head": {"type": "structseq.encoders:LSTM"}},
        {"inputs": {"features": {"x": {"type": "structseq.encoders:LSTM"}}}},
    ]
    for table in swapped:
        with pytest.raises(ConfigError, match=r"expected a subclass of \w+, found"):
            Options.of(table)


def test_identities_are_read_as_they_were_written() -> None:
    identity = Identity({"encoder": {"width": 5}}, 3, {"train": {"path": "a", "sha256": "b"}}, 2, {"torch": "2"}, "m")
    assert Identity.from_dict(json.loads(json.dumps(identity.to_dict()))) == identity
