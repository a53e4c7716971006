"""Identity: what makes two training runs the same, so that nobody goes on with other data, options or seed unawares."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from structseq.config import Options
from structseq.data.threefile import folder_of, is_threefile
from structseq.errors import DataError
from structseq.run.corpus import Parts
from structseq.section import dotted
from structseq.training import threads_of

LIBRARIES = ("structseq", "torch", "numpy", "numba")


@dataclass(frozen=True)
class Identity:
    """What decides a run's weights.

    Attributes
    ----------
    options:
        All options, resolved, as nested plain values.
    seed:
        The one seed.
    data:
        For each part (train, dev, test, vectors, init) its path as given and its SHA-256.
    threads, versions, machine:
        Must be the same for bit-identical weights; a difference is worth a warning, no more.
    """

    options: Mapping[str, Any]
    seed: int
    data: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    threads: int = 1
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""

    @staticmethod
    def of(options: Mapping[str, Any], seed: int, files: Mapping[str, Path], *, threads: int) -> Identity:
        """The identity of a run on these ``files`` on this machine; reads all of them."""
        data = {part: {"path": str(path), "sha256": digest(path)} for part, path in files.items()}
        return Identity(options, seed, data, threads, versions(), f"{platform.system()} {platform.machine()}")

    @staticmethod
    def of_run(options: Options, seed: int, files: Parts, *, init: Path | None = None) -> Identity:
        """The identity of one training run; ``init`` is the model that it starts from."""
        used = used_files(options, files) | ({"init": init} if init else {})
        return Identity.of(options.to_dict(), seed, used, threads=threads_of(options.training))

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Identity:
        """What `to_dict` gave; keys of other versions are passed over."""
        return Identity(**{name: values[name] for name in Identity.__dataclass_fields__ if name in values})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def difference(self, begun: Identity) -> str | None:
        """The first thing that decides weights and differs from the run as ``begun``, as half a sentence."""
        if self.seed != begun.seed:
            return f"the seed was {begun.seed} and is {self.seed} now"
        old, new = (
            {name: value for name, value in dotted(identity.options) if value != {}} for identity in (begun, self)
        )
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                return f"option {name} was {old.get(name)!r} and is {new.get(name)!r} now"
        for part in dict.fromkeys([*begun.data, *self.data]):
            before, after = begun.data.get(part), self.data.get(part)
            if before is None or after is None:
                was, is_now = (found["path"] if found else "not given" for found in (before, after))
                return f"the {part} data was {was} and is {is_now} now"
            if before["sha256"] != after["sha256"]:
                return (
                    f"the {part} data is another: {before['path']} had SHA-256 {before['sha256'][:12]}…, "
                    f"{after['path']} has {after['sha256'][:12]}…"
                )
        return None

    def doubts(self, begun: Identity) -> list[str]:
        """What may keep the weights from being bit-identical to those of an unbroken run, a sentence each."""
        found = []
        # One thread and two are made to give the same bits.
        if self.threads != begun.threads and max(self.threads, begun.threads) > 2:
            found.append(f"the run was begun with {begun.threads} threads and goes on with {self.threads}")
        if self.machine != begun.machine:
            found.append(f"the run was begun on {begun.machine} and goes on on {self.machine}")
        for library in sorted(begun.versions.keys() | self.versions.keys()):
            before, after = begun.versions.get(library, "none"), self.versions.get(library, "none")
            if before != after:
                found.append(f"the run was begun with {library} {before} and goes on with {after}")
        return found


def used_files(options: Options, files: Parts) -> dict[str, Path]:
    """The files that decide a run's weights, by part: train, dev, test, vectors."""
    named = {"train": files.train, "dev": files.dev, "test": files.test, "vectors": options.inputs.words.vectors}
    return {part: Path(path) for part, path in named.items() if path}


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that do arithmetic."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files in a folder; of the whole three-file layout.

    Raises `DataError` where it cannot be read.
    """
    path = folder_of(path) if is_threefile(path) else path
    try:
        if not path.is_dir():
            return _digest_of_file(path)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        listed = "".join(f"{file.relative_to(path)} {_digest_of_file(file)}\n" for file in files)
    except OSError as problem:
        raise DataError(f"cannot be read ({problem.strerror or problem})", file=path) from None
    return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
