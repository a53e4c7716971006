"""RunFolder: where a training run lives, from its first update to the finished model.

While it runs::

    OUTPUT/log.jsonl                    the journal
    OUTPUT/run/run.json                 what the run is: options, seed, data (its identity)
    OUTPUT/run/checkpoint.safetensors   where it stands; replaced whole or not at all
    OUTPUT/.lock                        held by the process that trains

When it is finished OUTPUT is the model folder, with the journal in it, and ``run`` is gone. A kill at any moment leaves
something that ``--resume`` goes on from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from structseq.errors import TrainingError
from structseq.files import LOCK, leftover, lock, recover, current_folder, sweep, write_file
from structseq.model import Model
from structseq.run.identity import Identity
from structseq.run.folder import Journal, now, unwritable
from structseq.storage import load_checkpoint, model_files, save_checkpoint, write_model
from structseq.storage.entries import json_bytes

FORMAT = 1

_TAKEN = "another process is training into this folder; wait for it or stop it"

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
        config = current_folder(self.path, "config.json") / "config.json"
        if config.exists():
            return "finished" if _json(config).get("model_type") == "structseq" else "foreign"
        if (self.work / "run.json").exists():
            return "unfinished"
        found = [entry for entry in self.path.iterdir() if entry != self.work]
        found += self.work.iterdir() if self.work.is_dir() else []
        return "new" if all(map(leftover, found)) else "foreign"

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
            with lock(self.path / LOCK, f"{self.path}: {_TAKEN}"):
                sweep(self.path)
                sweep(self.work)
                if (self.work / "run.json").exists():
                    self.compare(identity)
                else:
                    run = {"format": FORMAT, "begun": now(), "command": command, **identity.to_dict()}
                    write_file(self.work / "run.json", json_bytes(run))
                try:
                    yield
                except BaseException:
                    if self.status == "unfinished" and not self.checkpoint.exists():
                        shutil.rmtree(self.work, ignore_errors=True)
                        self.journal.path.unlink(missing_ok=True)
                    raise
        except BrokenPipeError:  # nobody reads the output; the folder is well
            raise
        except OSError as problem:
            raise unwritable(self.path, problem) from None
        finally:
            if made:
                with suppress(OSError):  # where there is anything in it
                    self.path.rmdir()

    def wait(self) -> None:
        """Wait while a process trains here: one whose parent was killed saves its work, and then lets go."""
        with lock(self.path / LOCK):
            pass

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
        try:
            files = model_files(model, tokenizer=tokenizer, metrics=metrics, provenance=provenance, entities=entities)
            write_model(self.path, files)
            shutil.rmtree(self.work)
        except OSError as problem:
            raise unwritable(self.path, problem) from None

    def tidy(self) -> None:
        """Remove what a kill left of the run in a finished model."""
        if self.status == "finished":
            with lock(self.path / LOCK):
                recover(self.path, "config.json")
                sweep(self.path)
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


def _json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one where it cannot be read as one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
