"""Shared parts of all commands: options, usage checks, error messages, exit status."""

from __future__ import annotations

import difflib
import errno
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option
from typer.core import TyperCommand, TyperGroup

from structseq.data.textfile import MESSAGE, shown, visible, write_error
from structseq.errors import ConfigError, StructseqError

if TYPE_CHECKING:
    from structseq.data.options import DataOptions
    from structseq.model import Model

# Both classes are public as the parents of `typer.BadParameter`; their module differs between typer's versions.
UsageError: Any = typer.BadParameter.__mro__[1]
CommandLineError: Any = typer.BadParameter.__mro__[2]


def complete_setting(incomplete: str) -> list[str]:
    """Shell completion of ``--set``."""
    from structseq.config import option_list

    return [f"{name}=" for name in option_list() if name.startswith(incomplete)]


Settings = Annotated[
    list[str] | None,
    Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set an option, such as data.tag_column=3; repeatable.",
        autocompletion=complete_setting,
    ),
]
Trusted = Annotated[
    list[str] | None,
    Option("--trust", metavar="MODULE:CLASS", help="A class outside structseq that may be imported; repeatable."),
]
Quiet = Annotated[bool, Option("--quiet", help="Show only errors.")]
ModelFolder = Annotated[Path, Argument(metavar="MODEL", help="A model folder from `train`.")]
InputFile = Annotated[str, Argument(metavar="[FILE|-]", help="File to read; - is standard input.")]

# Most characters of a word in a message; a path may be long
LONG_WORD = 400

BAD_INPUT, INTERRUPTED, OUTPUT_CLOSED = 2, 130, 141


class Stopped(Exception):
    """Ctrl-C or SIGTERM; the message says how to resume."""


class OutputClosed(Exception):
    """The reader of the output, such as `head`, has closed it."""


class Command(TyperCommand):
    """A command that refuses repeated options; typer would silently use the last."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        seen = set()
        for parameter in order:
            if parameter.param_type_name != "option" or parameter.multiple:
                continue
            if parameter.name in seen:
                raise UsageError(f"option {parameter.opts[0]} is given twice; give it once")
            seen.add(parameter.name)
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed

    def invoke(self, ctx: Any) -> Any:
        # Typer would turn both into a bare exit status without a message.
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Stopped(str(stop)) from None
        except BrokenPipeError:
            raise OutputClosed from None


class Commands(TyperGroup):
    """A group of commands; the error for an unknown one suggests the nearest."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.commands, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(self.commands)}"
            raise UsageError(f"unknown command {name!r}; {hint}")
        return super().resolve_command(ctx, args)


def run_safely(app: typer.Typer, arguments: list[str] | None = None) -> int:
    """Run a command line (None: that of the process); returns the exit status."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):  # UTF-8 in any locale; lone surrogates are escaped
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")
    given = sys.argv[1:] if arguments is None else arguments
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *args, **kwargs: remark(f"warning: {message}")
        return _run(_built(app), given)


def _open_closed_streams() -> None:
    """Python has None for a stream that was closed (``>&-``); instead, let reading and writing be an error."""
    for name, mode, flag in (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY)):
        if getattr(sys, name) is None:
            stream = os.fdopen(os.open(os.devnull, flag), mode, closefd=False)
            stream.buffer.raw.name = f"<{name}>"  # type: ignore[attr-defined]
            setattr(sys, name, stream)


@cache
def _built(app: typer.Typer) -> Any:
    """The app's command; typer takes 20 ms to build it."""
    return typer.main.get_command(app)


def _run(command: Any, given: list[str]) -> int:
    try:
        status = command.main(args=list(given), prog_name="structseq", standalone_mode=False, obj=tuple(given))
        sys.stdout.flush()
    except StructseqError as problem:
        return _refuse(str(problem))
    except CommandLineError as problem:
        return _refuse(_usage(problem, given))
    except (Stopped, KeyboardInterrupt, typer.Abort) as stop:
        remark(str(stop) or "stopped; nothing was written")
        return INTERRUPTED
    except (OutputClosed, BrokenPipeError):
        _discard_output()
        return OUTPUT_CLOSED
    except MemoryError:
        return _refuse("there is not enough memory; use less data, or lower encoder.width and training.batch_tokens")
    except OSError as problem:
        return _refuse(_reason(problem))
    except RuntimeError as problem:
        if not any(words in str(problem) for words in ("allocate memory", "out of memory")):
            raise
        return _refuse("there is not enough memory for this model; lower encoder.width or training.batch_tokens")
    return status if isinstance(status, int) else 0


def _reason(problem: OSError) -> str:
    if problem.filename is None and problem.errno == errno.EBADF:
        _discard_output()
        return "standard output is closed; redirect it to a file, or to /dev/null"
    if (reason := write_error(problem)).endswith("space"):
        if problem.filename is None:
            _discard_output()
        return f"{problem.filename or 'the output'}: {reason}"
    return f"{problem.filename or 'the file system'}: {problem.strerror or problem}"


def _discard_output() -> None:
    """The rest of the buffer, so that Python ends without an error."""
    with suppress(OSError, ValueError):  # in a test, standard output may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def remark(message: str) -> None:
    """Print one line on standard error; of a very long one, or a very long word in it, the beginning and the end."""
    words = (word if len(word) <= LONG_WORD else shown(word, LONG_WORD // 2) for word in message.split())
    print(shown(" ".join(words), MESSAGE), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print a text for a person on standard output, with control characters escaped."""
    print(visible(text))


def _refuse(message: str) -> int:
    remark(f"error: {message}")
    return BAD_INPUT


def _usage(problem: Any, given: Sequence[str]) -> str:
    message, context = problem.format_message(), getattr(problem, "ctx", None)
    near = getattr(problem, "possibilities", None)
    if (switch := getattr(problem, "option_name", None)) and message.startswith("No such option"):
        hint = f"did you mean {near[0]}?" if near else "--help shows the known ones"
        return f"unknown option {switch}; {_setting_for(switch, given, context) or hint}"
    where = f" ({context.command_path} --help shows how)" if context is not None else ""
    return f"{message[:1].lower()}{message[1:].rstrip('.')}{where}"


def _setting_for(switch: str, given: Sequence[str], context: Any) -> str | None:
    """Advice for a switch that is the key of an option of ``--set``; None for others."""
    from structseq.config import option_list

    if context is None or not any("--set" in each.opts for each in context.command.params):
        return None
    key = switch.lstrip("-").replace("-", "_")
    sections = ("",) if context.command.name in ("train", "compare") else ("data.",)
    names = [name for name in option_list() if f".{name}".endswith(f".{key}") and name.startswith(sections)]
    if not names:
        return None
    value = _value_of(switch, given)
    return "use " + " or ".join(f"--set {shlex.quote(f'{name}={value}')}" for name in names)


def _value_of(switch: str, given: Sequence[str]) -> str:
    for word, following in zip(given, [*given[1:], "-"], strict=True):
        name, equals, value = word.partition("=")
        if name == switch and (equals or not following.startswith("-")):
            return value if equals else following
    return "VALUE"


# -- options and files of a command ------------------------------------------------------------------------------------


def data_options(settings: Sequence[str], below: DataOptions | None = None) -> DataOptions:
    """The ``data`` options of ``--set`` on top of ``below`` (None: the defaults); raises `ConfigError`."""
    from structseq.config import Options, merge, parse_settings
    from structseq.data.options import DataOptions

    table = parse_settings(settings)
    others = [name for name in table if name != "data"]
    if others:
        Options.of(table)  # raises if it is unknown
        raise ConfigError(f"--set {others[0]}: expected an option of the section data, such as data.tag_column=3")
    values = merge(below.model_dump() if below else {}, table.get("data", {}))
    return DataOptions.checked(values, prefix="data")


def answering_options(settings: Sequence[str], model: Model) -> DataOptions:
    """The ``data`` options to read files for ``model``; sets the model's beam if ``head.beam`` is given.

    Raises `ConfigError` for options that cannot change after training.
    """
    from structseq.config import Options, parse_settings

    beam = [setting for setting in settings if setting.partition("=")[0].strip() == "head.beam"]
    if beam:
        if not hasattr(model.head, "beam"):
            raise ConfigError(f"--set {beam[0]}: this model's head, {model.options.head.type}, has no beam search")
        head = {"head": {"type": model.options.head.type}}
        setattr(model.head, "beam", Options.of(head, parse_settings(beam)).head.to_dict()["beam"])  # noqa: B010 - only of some heads
    data = data_options([setting for setting in settings if setting not in beam], model.options.data)
    before, now = (model.modality.input_options(options) for options in (model.options.data, data))
    for name in before:
        if now[name] != before[name]:
            raise ConfigError(
                f"--set {name}: the model was trained with {before[name]!r}, found {now[name]!r}; remove this option"
            )
    return data


def check_output_is_not_input(file: str, output: Path | str | None) -> None:
    """Raise `ConfigError` if the output would replace the input."""
    if output is None or file == "-":
        return
    for each in (Path(file), *(Path(file).iterdir() if Path(file).is_dir() else ())):  # or a folder of three files
        with suppress(OSError):
            if Path(output).samefile(each):
                raise ConfigError(f"--output {output}: this is the input file; choose another one")
