"""Section: a table of options, checked against the fields of its class."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError

from structseq.errors import ConfigError

# Strict: true and false are not numbers.
Whole = Annotated[int, Strict()]
Count = Annotated[int, Strict(), Field(ge=1)]


class Section(BaseModel):
    """A table of options, immutable; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def checked(cls, values: Any, *, prefix: str = "", known: Callable[[], Sequence[str]] | None = None) -> Self:
        """Options from a table of plain values; ``prefix`` is the section's dotted name, for messages.

        Raises `ConfigError` for an unknown option, a wrong type, or a value out of range. The message suggests the
        nearest of the ``known`` names (None: the section's).
        """
        try:
            return cls.model_validate(values)
        except ValidationError as problem:
            names = known() if known else list(option_names(cls, f"{prefix}." if prefix else ""))
            raise ConfigError("; ".join(_finding(dict(each), prefix, names) for each in problem.errors())) from None

    def options_beyond(self, base: type[Section]) -> dict[str, Any]:
        """Values, by name, of the options that this class adds to those of ``base``."""
        kinds = [kind for kind in type(self).__mro__ if issubclass(kind, base) and kind is not base]
        declared = {name for kind in kinds for name in vars(kind).get("__annotations__", {})}
        return {name: getattr(self, name) for name in type(self).model_fields if name in declared}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.model_dump(mode="json")


def option_names(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted names of all options."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from option_names(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def resolve_class(table: Mapping[str, Any], name: str, what: str) -> Any:
    """The class called ``name``: an entry of ``table``, or ``"package.module:Class"`` with the same base class.

    Raises `ConfigError` for an unknown name and another kind of object; ``what`` names the option in messages.
    """
    if name in table:
        return table[name]
    module, colon, attribute = name.partition(":")
    if colon:
        try:
            found = getattr(importlib.import_module(module), attribute)
        except Exception as problem:  # code of another package may raise anything
            raise ConfigError(f"{what} {name}: cannot be imported ({type(problem).__name__}: {problem})") from None
        base = _common_base(list(table.values()))
        if not (isinstance(found, type) and issubclass(found, base)):
            kind = f"a {type(found).__name__}" if not isinstance(found, type) else "another class"
            raise ConfigError(f"{what} {name}: expected a subclass of {base.__name__}, found {kind}")
        return found
    near = difflib.get_close_matches(name.lower(), table, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(table)}, or package.module:Class"
    raise ConfigError(f"unknown {what} {name!r}; {hint}")


def _common_base(kinds: Sequence[type]) -> type:
    return next(base for base in kinds[0].__mro__ if all(issubclass(kind, base) for kind in kinds))


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten nested tables; an empty table is a value.

    >>> dict(flatten({"encoder": {"layers": 2}, "head": {"costs": {}}}))
    {'encoder.layers': 2, 'head.costs': {}}
    """
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _finding(error: dict[str, Any], prefix: str, known: Sequence[str]) -> str:
    where = ".".join([*([prefix] if prefix else []), *map(str, error["loc"])])
    if error["type"] == "value_error":  # raised by our validators
        cause = error["ctx"]["error"]
        return str(cause) if isinstance(cause, ConfigError) else f"option {where}: {cause}"
    if error["type"] != "extra_forbidden":
        return f"option {where}: {error['msg'][0].lower()}{error['msg'][1:]}, found {error['input']!r}"
    last = where.rpartition(".")[2]
    near = [name for name in known if name.rpartition(".")[2] == last and "." not in where]
    near = near or difflib.get_close_matches(where, known, n=1, cutoff=0.5)
    near = near or [name for name in known if name.rpartition(".")[2] == last]
    hint = f'; did you mean "{near[0]}"?' if near else f"; known are {', '.join(known)}"
    return f"unknown option {where}{hint}"
