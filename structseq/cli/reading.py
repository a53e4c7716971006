"""The data options of a command, from ``--set``, and a check of its output file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from structseq.config import merge, parse_settings
from structseq.data.options import DataOptions
from structseq.errors import ConfigError

if TYPE_CHECKING:
    from structseq.model import Model


def data_options(settings: Sequence[str], below: DataOptions | None = None) -> DataOptions:
    """The ``data`` options of ``--set``, over those ``below`` (a model's; None: the defaults)."""
    table = parse_settings(settings)
    others = [name for name in table if name != "data"]
    if others:
        from structseq.config import Options

        Options.of(table)  # raises if it is unknown
        raise ConfigError(f"--set {others[0]}: expected an option of how files are read, such as data.tag_column=3")
    values = merge(below.model_dump() if below else {}, table.get("data", {}))
    return DataOptions.checked(values, prefix="data")


def answering_options(settings: Sequence[str], model: Model) -> DataOptions:
    """The ``data`` options to read files for a trained ``model``; sets its beam if ``head.beam`` is given.

    Raises `ConfigError` for options that are part of the model.
    """
    from structseq.config import Options

    beam = [setting for setting in settings if setting.partition("=")[0].strip() == "head.beam"]
    if beam:
        if not hasattr(model.head, "beam"):
            raise ConfigError(f"--set {beam[0]}: this model's head, {model.options.head.type}, searches with no beam")
        head = {"head": {"type": model.options.head.type}}
        setattr(model.head, "beam", Options.of(head, parse_settings(beam)).head.to_dict()["beam"])  # noqa: B010 - of some heads alone
    data = data_options([setting for setting in settings if setting not in beam], model.options.data)
    before, now = (model.modality.input_options(options) for options in (model.options.data, data))
    for name in before:
        if now[name] != before[name]:
            raise ConfigError(
                f"--set {name}: the model was trained on inputs made with {before[name]!r}, found {now[name]!r}; "
                "leave it out"
            )
    return data


def refuse_own_source(file: str, output: Path | None) -> None:
    """Raise `ConfigError` if the output would replace the file that is read."""
    if output is None or file == "-":
        return
    read = [Path(file), *(Path(file).iterdir() if Path(file).is_dir() else ())]  # a folder of the three-file layout
    for each in read:
        with suppress(OSError):
            if not output.samefile(each):
                continue
            raise ConfigError(f"--output {output}: this is the file that is read; name another one")
