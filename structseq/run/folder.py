"""RunFolder: the output folder of a training run, and its journal.

During the run::

    OUTPUT/log.jsonl                    the journal
    OUTPUT/run/run.json                 the run's identity: options, seed, data
    OUTPUT/run/checkpoint.safetensors   the last checkpoint
    OUTPUT/.lock                        held by the training process

At the end OUTPUT is the model folder, with the journal.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from structseq.errors import TrainingError
from structseq.files import LOCK, current_folder, is_leftover, lock, recover, remove_unfinished, write_file
from structseq.model import Model
from structseq.run.identity import Identity
from structseq.storage import load_checkpoint, model_files, save_checkpoint, write_model
from structseq.storage.entries import json_bytes

FORMAT = 1

Status = Literal["new", "unfinished", "finished", "foreign"]


class Journal:
    """A run's log as JSON lines; a kill may cut off the last one.

    A record has an ``event`` ("start", "resume", "epoch" or "end"), the last ``update``, and the ``time`` (UTC).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def write(self, event: str, *, update: int, **values: Any) -> dict[str, Any]:
        """Append a record, synced to the disk."""
        record = {"event": event, "update": update, "time": _now(), **values}
        with _writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return record

    def read(self) -> list[dict[str, Any]]:
        """The complete records; empty if there is no file."""
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]
        except OSError:
            return []
        records: list[dict[str, Any]] = []
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                break
            if isinstance(record, dict):
                records.append(record)
        return records

    def truncate(self, update: int) -> None:
        """Remove the records after ``update``."""
        kept = [record for record in self.read() if record.get("update", 0) <= update and record.get("event") != "end"]
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept)
        with _writing(self.path):
            write_file(self.path, text.encode("utf-8"))


class RunFolder:
    """The output folder of a training run; `opened` fills ``warnings`` (`Identity.warnings`) if it resumes."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.work = self.path / "run"
        self.checkpoint = self.work / "checkpoint.safetensors"
        self.journal = Journal(self.path / "log.jsonl")
        self.warnings: list[str] = []

    @property
    def status(self) -> Status:
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
        return "new" if all(map(is_leftover, found)) else "foreign"

    def check(self, *, resume: bool) -> None:
        """Raise `TrainingError` for a foreign folder, and without ``resume`` if it is not new."""
        status = self.status
        if status == "foreign":
            what = "holds files that are not a training run" if self.path.is_dir() else "is a file, not a folder"
            raise TrainingError(f"{self.path}: {what}; choose a new or empty folder for --output")
        if resume or status == "new":
            return
        if status == "finished":
            what = "holds a finished model; choose another --output, or remove the folder first"
        else:
            what = "holds an unfinished run; resume it with --resume, or remove the folder to start again"
        raise TrainingError(f"{self.path}: {what}")

    def compare(self, identity: Identity) -> None:
        """Raise `TrainingError` if the run began with other data, options or seed."""
        original = self._identity()
        difference = identity.difference(original)
        if difference:
            raise TrainingError(
                f"{self.path}: cannot resume this run, because {difference}; "
                "use the options, seed and data that it was started with, or choose another --output"
            )
        self.warnings = identity.warnings(original)

    @contextmanager
    def opened(self, identity: Identity, *, command: str = "") -> Iterator[None]:
        """Lock the folder and begin or resume the run; an error before the first checkpoint removes its files.

        Raises `TrainingError` if another process trains here, as `compare` does, or if the folder cannot be written.
        """
        created = not self.path.exists()
        try:
            with _writing(self.path):
                self.work.mkdir(parents=True, exist_ok=True)
                busy = f"{self.path}: another process is training into this folder; wait for it or stop it"
                with lock(self.path / LOCK, busy):
                    remove_unfinished(self.path)
                    remove_unfinished(self.work)
                    if (self.work / "run.json").exists():
                        self.compare(identity)
                    else:
                        run = {"format": FORMAT, "begun": _now(), "command": command, **identity.to_dict()}
                        write_file(self.work / "run.json", json_bytes(run))
                    try:
                        yield
                    except BaseException:
                        if self.status == "unfinished" and not self.checkpoint.exists():
                            shutil.rmtree(self.work, ignore_errors=True)
                            self.journal.path.unlink(missing_ok=True)
                        raise
        finally:
            if created:
                with suppress(OSError):  # not empty
                    self.path.rmdir()

    def wait(self) -> None:
        """Wait until no other process trains here."""
        with lock(self.path / LOCK):
            pass

    def save(self, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Replace the checkpoint atomically."""
        save_checkpoint(self.checkpoint, numbers, tensors)

    def load(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """The last checkpoint, or None."""
        return load_checkpoint(self.checkpoint) if self.checkpoint.exists() else None

    def finish(
        self, model: Model, *, tokenizer: str, metrics: Mapping[str, Any], entities: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Turn the folder into the model folder."""
        run = _json(self.work / "run.json")
        provenance = {"run": run, "begun": run.get("begun"), "finished": _now()}
        files = model_files(model, tokenizer=tokenizer, metrics=metrics, provenance=provenance, entities=entities)
        write_model(self.path, files)
        shutil.rmtree(self.work)

    def remove_leftovers(self) -> None:
        """Remove files of the run from a finished model, after a kill."""
        if self.status == "finished":
            with lock(self.path / LOCK):
                recover(self.path, "config.json")
                remove_unfinished(self.path)
                shutil.rmtree(self.work, ignore_errors=True)

    def _identity(self) -> Identity:
        stored = self.work / "run.json"
        values = _json(stored) if stored.exists() else _json(self.path / "provenance.json").get("run", {})
        try:
            return Identity.from_dict(values)
        except TypeError:
            raise TrainingError(
                f"{self.path}: has no record of how its run was started; choose another --output, or remove the folder "
                "first"
            ) from None


def _json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # from standard output, not from the folder
        raise
    except OSError as problem:
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        what = "free some space" if full else "choose a folder that can be written"
        reason = problem.strerror or problem
        raise TrainingError(f"{path}: cannot be written ({reason}); {what}, and resume with --resume") from None
