"""Journal: a run's log as JSON lines, one record an epoch; a resumed run goes on in it without doubled epochs."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from structseq.errors import TrainingError
from structseq.files import write_file


class Journal:
    """A file of JSON lines.

    Each record has an ``event`` ("start", "resume", "epoch" or "end"), the ``update`` it was written after, and the
    ``time`` (UTC). The last line may be cut off by a kill; it is dropped when the run goes on.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def write(self, event: str, *, update: int, **values: Any) -> dict[str, Any]:
        """Append one record, on the disk when this returns; the record."""
        record = {"event": event, "update": update, "time": now(), **values}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            raise unwritable(self.path, problem) from None
        return record

    def read(self) -> list[dict[str, Any]]:
        """The records, without a last line that was cut off; none where there is no file."""
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

    def cut(self, update: int) -> None:
        """Drop what was written after ``update``: those updates are made again, and so are their records."""
        kept = [record for record in self.read() if record.get("update", 0) <= update and record.get("event") != "end"]
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept)
        try:
            write_file(self.path, text.encode("utf-8"))
        except OSError as problem:
            raise unwritable(self.path, problem) from None


def now() -> str:
    """The time in UTC, to the second, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def unwritable(path: Path, problem: OSError) -> TrainingError:
    """Why nothing could be written there, and what to do."""
    what = "free some space" if problem.errno in _FULL else "choose a folder that can be written"
    return TrainingError(f"{path}: cannot be written ({problem.strerror or problem}); {what}, and go on with --resume")


_FULL = {28, 122, 27}  # no space left on device, disk quota exceeded, file too large
