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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from structseq.errors import TrainingError
from structseq.files import (
    LOCK,
    current_folder,
    is_leftover,
    lock,
    no_follow,
    recover,
    refuse_links,
    remove_unfinished,
    write_file,
)
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
        with _writing(self.path), open(self.path, "a", encoding="utf-8", opener=no_follow) as file:
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
            except (ValueError, RecursionError):
                break
            if isinstance(record, dict) and isinstance(record.get("update"), int):
                records.append(record)
        return records

    def truncate(self, update: int) -> None:
        """Remove the records after ``update``."""
        kept = [record for record in self.read() if record["update"] <= update and record.get("event") != "end"]
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
        """Raises `ModelFileError` for a folder with links."""
        if not self.path.exists():
            return "new"
        if not self.path.is_dir():
            return "foreign"
        config = current_folder(self.path, "config.json") / "config.json"
        if config.exists():
            return "finished" if _json(config).get("model_type") == "structseq" else "foreign"
        if self._run_file.exists():
            return "unfinished"
        found = [entry for entry in self.path.iterdir() if entry != self.work]
        found += self.work.iterdir() if self.work.is_dir() else []
        return "new" if all(map(is_leftover, found)) else "foreign"

    def check(self, *, resume: bool) -> None:
        """Raise `TrainingError` for a foreign folder, and without ``resume`` if it is not new.

        Raises `ModelFileError` for a folder with links.
        """
        status = self.status
        if status == "foreign":
            what = "holds files that are not a training run" if self.path.is_dir() else "is a file, not a folder"
            raise TrainingError(f"{self.path}: {what}; choose a new or empty folder for --output")
        if resume or status == "new":
            return
        if status == "finished":
            what = "holds a finished model; choose another --output, or remove the folder first"
        else:
            if (self.path / LOCK).exists():
                with lock(self.path / LOCK, self._busy):
                    pass
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
    def opened(self, identity: Identity, *, command: str = "", resume: bool = True) -> Iterator[None]:
        """Lock the folder and begin or resume the run; an error before the first checkpoint removes its files.

        Raises `TrainingError` if another process trains here or has finished, as `check` and `compare` do, or if the
        folder cannot be written.
        """
        self._check_run(identity, resume)  # before anything is touched
        created = not self.path.exists()
        try:
            with _writing(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                with lock(self.path / LOCK, self._busy):
                    self._check_run(identity, resume)  # again, because another process may have trained here
                    self._begin(identity, command)
                    try:
                        yield
                    except BaseException:
                        if self.status == "unfinished" and not self.checkpoint.exists():
                            self._remove_work()
                            self.journal.path.unlink(missing_ok=True)
                        raise
        finally:
            if created:
                with suppress(OSError):  # not empty
                    self.path.rmdir()

    def _check_run(self, identity: Identity, resume: bool) -> None:
        status = self.status
        self.check(resume=resume and status != "finished")
        if status == "unfinished":
            self.compare(identity)

    def _begin(self, identity: Identity, command: str) -> None:
        self.work.mkdir(exist_ok=True)
        remove_unfinished(self.path)
        remove_unfinished(self.work)
        if not self._run_file.exists():
            run = {"format": FORMAT, "begun": _now(), "command": command, **identity.to_dict()}
            write_file(self._run_file, json_bytes(run))

    def wait(self) -> None:
        """Wait until no other process trains here."""
        refuse_links(self.path)
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
        """Turn the folder into the model folder; raises `TrainingError` if another model was saved into it."""
        self.check(resume=self.status == "unfinished")
        run = _json(self._run_file)
        provenance = {"run": run, "begun": run.get("begun"), "finished": _now()}
        files = model_files(model, tokenizer=tokenizer, metrics=metrics, provenance=provenance, entities=entities)
        write_model(self.path, files)
        self._remove_work()

    def remove_leftovers(self) -> None:
        """Remove files of the run from a finished model, after a kill."""
        if self.status == "finished":
            with lock(self.path / LOCK):
                recover(self.path, "config.json")
                remove_unfinished(self.path)
                self._remove_work()

    @property
    def _run_file(self) -> Path:
        return self.work / "run.json"

    @property
    def _busy(self) -> str:
        return f"{self.path}: another process is training into this folder; wait for it or stop it"

    def _remove_work(self) -> None:
        """Remove the files that a run writes; others stay."""
        with suppress(OSError):
            remove_unfinished(self.work)
            for path in (self.checkpoint, self._run_file):
                path.unlink(missing_ok=True)
            self.work.rmdir()

    def _identity(self) -> Identity:
        stored = self._run_file
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
    except (OSError, ValueError, RecursionError):
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
