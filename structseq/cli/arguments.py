"""What all commands share: their options, and checks beyond typer's own."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command that refuses an option given twice, where the last would silently win."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        refuse_doubled(self, ctx, args)
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed

    def invoke(self, ctx: Any) -> Any:
        # Typer would turn both into a bare exit status, and lose what is to be said.
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Stopped(str(stop)) from None
        except BrokenPipeError:
            raise NobodyReads from None


class Stopped(Exception):
    """Ctrl-C or SIGTERM; the message says how to go on."""


class NobodyReads(Exception):
    """Whoever read the output (`head`) has gone."""


class Commands(TyperGroup):
    """The group of commands; an unknown one is answered with the nearest."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.commands, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(self.commands)}"
            raise UsageError(f"unknown command {name!r}; {hint}")
        return super().resolve_command(ctx, args)


def refuse_doubled(command: Any, ctx: Any, args: list[str]) -> None:
    """Raise a usage error for an option that may stand once and stands more often."""
    _, _, order = command.make_parser(ctx).parse_args(list(args))
    seen = set()
    for parameter in order:
        if parameter.param_type_name != "option" or parameter.multiple:
            continue
        if parameter.name in seen:
            raise UsageError(f"option {parameter.opts[0]} is given twice; give it once")
        seen.add(parameter.name)


# Both classes are public as the parents of `typer.BadParameter`; where they live differs between typer's versions.
UsageError: Any = typer.BadParameter.__mro__[1]
CommandLineError: Any = typer.BadParameter.__mro__[2]

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one option, such as data.tag_column=3; may be repeated."),
]
Trusted = Annotated[
    list[str] | None,
    typer.Option(
        "--trust", metavar="MODULE:CLASS", help="Code from outside that the model may import; may be repeated."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no remarks; errors are still shown.")]
ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder, as `train` writes it.")]
InputFile = Annotated[str, typer.Argument(metavar="[FILE|-]", help="What to read; - is standard input.")]
