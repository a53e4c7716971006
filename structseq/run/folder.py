"""RunFolder: where a training run lives, from its first update to the finished model.

While it runs::

    OUTPUT/log.jsonl                    the journal
    OUTPUT/run/run.json                 what the run is: options, seed, data (its identity)
    OUTPUT/run/checkpoint.safetensors   where it stands; replaced whole or not at all
    OUTPUT/run/lock                     held by the process that trains

When it is finished OUTPUT is the model folder, with the journal in it, and ``run`` is gone. The model is written in
``run/model`` first and then moved up, ``config.json`` last: OUTPUT becomes a model in one step. A kill at any moment
leaves something that ``--resume`` goes on from.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from structseq.errors import TrainingError
from structseq.model import Model
from structseq.run.identity import Identity
from structseq.run.journal import Journal, now, unwritable, write_atomically
from structseq.storage import load_checkpoint, save_checkpoint, save_model

FORMAT = 1
_OWN = {"lock", ".run.json.part"}

Status = Literal["new", "unfinished", "finished", "foreign"]


class RunFolder:
    """The output folder of one training run.

    Attributes
    ----------
    path:
        OUTPUT.
    journal:
        OUTPUT/log.jsonl.
    doubts:
        After `opened`: what may keep a resumed run from being bit-identical, a sentence each.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.work = self.path / "run"
        self.journal = Journal(self.path / "log.jsonl")
        self.doubts: list[str] = []

    @property
    def status(self) -> Status:
        """What stands there now; nothing is written."""
        if not self.path.exists():
            return "new"
        if not self.path.is_dir():
            return "foreign"
        if (self.path / "config.json").exists():
            return "finished" if _json(self.path / "config.json").get("model_type") == "structseq" else "foreign"
        if (self.work / "run.json").exists():
            return "unfinished"
        names = {entry.name for entry in self.path.iterdir()}
        begun = {entry.name for entry in self.work.iterdir()} if self.work.is_dir() else set()
        return "new" if names <= {"run"} and begun <= _OWN else "foreign"

    def check(self, *, resume: bool) -> None:
        """Refuse what must not be written to, before anything is read.

        Raises `TrainingError` for a foreign folder, and without ``resume`` for a finished model and an unfinished run.
        """
        status = self.status
        if status == "foreign":
            what = "holds files that are not a training run" if self.path.is_dir() else "is a file, not a folder"
            raise TrainingError(f"{self.path}: {what}; choose a new or empty folder for --output")
        if status == "finished" and not resume:
            raise TrainingError(
                f"{self.path}: holds a finished model; choose another --output, or remove the folder first"
            )
        if status == "unfinished" and not resume:
            raise TrainingError(
                f"{self.path}: holds an unfinished run; go on with --resume, or remove the folder to start afresh"
            )

    def compare(self, identity: Identity) -> None:
        """Refuse to go on with other data, options or seed than the run, finished or not, was begun with."""
        begun = self._begun()
        difference = identity.difference(begun)
        if difference:
            raise TrainingError(
                f"{self.path}: cannot go on with this run, because {difference}; "
                "call it as it was begun, or choose another --output"
            )
        self.doubts = identity.doubts(begun)

    @contextmanager
    def opened(self, identity: Identity, *, command: str = "") -> Iterator[None]:
        """Hold the folder for the run ``identity``, begun now or before.

        A failure before anything was saved leaves no trace of a run begun now.
        """
        made = not self.path.exists()
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            with _locked(self.work / "lock", self.path):
                for leftover in self.work.glob(".*"):  # half a checkpoint of a killed process
                    leftover.unlink() if leftover.is_file() else shutil.rmtree(leftover)
                if (self.work / "run.json").exists():
                    self.compare(identity)
                else:
                    run = {"format": FORMAT, "begun": now(), "command": command, **identity.to_dict()}
                    write_atomically(self.work / "run.json", json.dumps(run, indent=2, ensure_ascii=False) + "\n")
                try:
                    yield
                except BaseException:
                    if self.status == "unfinished" and not self.checkpoint.exists():
                        self._forget(whole=made)
                    raise
        except BrokenPipeError:  # nobody reads the output; the folder is well
            raise
        except OSError as problem:
            raise unwritable(self.path, problem) from None

    @property
    def checkpoint(self) -> Path:
        return self.work / "checkpoint.safetensors"

    def save(self, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Put a checkpoint in the place of the last one, all of it or nothing."""
        try:
            save_checkpoint(self.checkpoint, numbers, tensors)
        except OSError as problem:
            raise unwritable(self.checkpoint, problem) from None

    def load(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """The last checkpoint; None where none was written yet."""
        if not self.checkpoint.exists():
            return None
        numbers, tensors = load_checkpoint(self.checkpoint)
        return dict(numbers), dict(tensors)

    def finish(
        self, model: Model, *, tokenizer: str, metrics: Mapping[str, Any], entities: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Turn the folder into the finished model, which knows by its provenance which run it comes from."""
        run = _json(self.work / "run.json")
        provenance = {"run": run, "begun": run.get("begun"), "finished": now()}
        whole = self.work / "model"
        try:
            shutil.rmtree(whole, ignore_errors=True)  # what a kill left of an earlier attempt
            save_model(whole, model, tokenizer=tokenizer, metrics=metrics, provenance=provenance, entities=entities)
            for entry in sorted(whole.iterdir(), key=lambda entry: (entry.name == "config.json", entry.name)):
                target = self.path / entry.name
                if target.is_dir():
                    shutil.rmtree(target)
                if entry.name == "config.json":
                    _settle(self.path)
                os.replace(entry, target)
            _settle(self.path)
            shutil.rmtree(self.work)
        except OSError as problem:
            raise unwritable(self.path, problem) from None

    def tidy(self) -> None:
        """Remove what a kill left of the run in a finished model."""
        if self.status == "finished":
            shutil.rmtree(self.work, ignore_errors=True)

    def _begun(self) -> Identity:
        if (self.work / "run.json").exists():
            values = _json(self.work / "run.json")
        else:
            values = _json(self.path / "provenance.json").get("run", {})
        try:
            return Identity.from_dict(values)
        except TypeError:
            raise TrainingError(
                f"{self.path}: does not say how its run was begun; choose another --output, or remove the folder first"
            ) from None

    def _forget(self, *, whole: bool) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        self.journal.path.unlink(missing_ok=True)
        if whole:
            with suppress(OSError):
                self.path.rmdir()


@contextmanager
def _locked(path: Path, folder: Path) -> Iterator[None]:
    """One process at a time; a killed one lets go by itself. Without POSIX locks nobody is kept out."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"{folder}: another process is training into this folder; wait for it or stop it"
            raise TrainingError(message) from None
        except OSError:
            pass  # a file system without locks
        yield


def _json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one where it cannot be read as one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _settle(folder: Path) -> None:
    """Make renames in a folder last through a power cut."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
