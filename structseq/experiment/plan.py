"""Plan: the encoders, heads and seeds of a comparison, with their options."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from structseq.config import Options, parse_settings, table_of
from structseq.data.example import Example
from structseq.errors import ConfigError, StructseqError
from structseq.features.encoding import count_vocabularies
from structseq.inputs import build_inputs, count_custom_vocabularies
from structseq.model import build_encoder
from structseq.run import check_options
from structseq.section import resolve_class
from structseq.spans import Scheme
from structseq.tasks import task_of

Section = Literal["encoder", "head"]
# Maximum number of characters of a system's name in a folder's name
LONGEST = 80
_OPENING, _CLOSING = "[{", "]}"


@dataclass(frozen=True)
class Choice:
    """An encoder or head with its own options, sorted by key."""

    section: Section
    type: str
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """As on the command line."""
        listed = ";".join(f"{key}={value}" for key, value in self.settings)
        return f"{self.type}[{listed}]" if listed else self.type

    @property
    def options(self) -> dict[str, Any]:
        """The options as nested tables, without the type."""
        return parse_settings(f"{key}={value}" for key, value in self.settings)

    @property
    def table(self) -> dict[str, Any]:
        """The choice as a layer for `Options.of`."""
        return {self.section: {"type": self.type, **self.options}}


@dataclass(frozen=True)
class System:
    """An encoder and a head."""

    encoder: Choice
    head: Choice

    @property
    def name(self) -> str:
        return f"{self.encoder.name} + {self.head.name}"

    @property
    def settings(self) -> dict[str, Any]:
        """The own options of encoder and head, by section."""
        by_section = {"encoder": self.encoder.options, "head": self.head.options}
        return {section: options for section, options in by_section.items() if options}

    @property
    def folder(self) -> str:
        """A unique folder name that is valid in every file system."""
        plain = f"{self.encoder.name}+{self.head.name}"
        sides = (re.sub(r"[^\w.=-]+", "-", side.name, flags=re.ASCII).strip("-.") for side in (self.encoder, self.head))
        readable = "+".join(sides)
        if readable == plain and len(plain) <= LONGEST:
            return plain
        return f"{readable[:LONGEST]}-{hashlib.sha256(plain.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


@dataclass(frozen=True)
class Plan:
    """A grid of encoders, heads and seeds.

    ``layers`` are nested options of all systems. Later layers override earlier ones, and the own options of encoders
    and heads override layers. Raises `ConfigError` for an option that is unknown, out of range or in conflict.
    """

    encoders: tuple[Choice, ...]
    heads: tuple[Choice, ...]
    seeds: tuple[int, ...]
    layers: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        threads = Options.of(*self.layers).training.threads
        if threads not in (0, 1):
            raise ConfigError(
                f"training.threads: expected 1 (every trial is trained on one thread), found {threads}; "
                "leave it out, and choose with --jobs how many trials run at once"
            )
        for system in self.systems:
            try:
                check_options(self.options(system))
            except ConfigError as problem:
                raise ConfigError(f"{system.name}: {problem}") from None

    @property
    def systems(self) -> list[System]:
        return [System(encoder, head) for encoder in self.encoders for head in self.heads]

    def __iter__(self) -> Iterator[tuple[System, int]]:
        """Seed by seed, so that each system has results early."""
        return ((system, seed) for seed in self.seeds for system in self.systems)

    def __len__(self) -> int:
        return len(self.encoders) * len(self.heads) * len(self.seeds)

    def check(self, examples: Sequence[Example], scheme: Scheme) -> None:
        """Build each system for the tags of ``examples``; raises `ConfigError` for options that do not fit together."""
        shared = Options.of(*self.layers)
        if not shared.inputs.words.vectors:  # reading them takes long
            vocabularies, widths, _ = count_vocabularies(shared.inputs, shared.data.columns, examples[:1])
            vocabularies |= count_custom_vocabularies(shared.inputs, vocabularies)
            build_inputs(shared.inputs, vocabularies, widths)
        for system in self.systems:
            options = self.options(system)
            try:
                head = resolve_class(table_of("head"), options.head.type, "head")
                tags = task_of(head).inventory(examples, scheme, options)
                encoder = build_encoder(options.encoder, 1, tags=len(tags.labels))
                head.build(options.head, encoder.width, tags, encoder=options.encoder)
            except (StructseqError, RuntimeError, OverflowError, TypeError, ValueError) as problem:
                reason = str(problem).partition("\n")[0] or type(problem).__name__
                raise ConfigError(f"{system.name}: no model can be built with these options: {reason}") from None

    def options(self, system: System) -> Options:
        return Options.of(*self.layers, system.encoder.table, system.head.table, {"training": {"threads": 1}})

    @property
    def shared(self) -> dict[str, Any]:
        """The options of all trials, without the types of encoder and head."""
        table = Options.of(*self.layers, {"training": {"threads": 1}}).to_dict()
        for section in ("encoder", "head"):
            del table[section]["type"]
        return table


def parse_choices(text: str, section: Section) -> tuple[Choice, ...]:
    """Parse choices separated by commas, each a name or ``name[key=value;...]``.

    Raises `ConfigError` for an unknown or incomparable name and a repeated choice.

    >>> [choice.name for choice in parse_choices("lstm,lstm[width=50;layers=2]", "encoder")]
    ['lstm', 'lstm[layers=2;width=50]']
    """
    flag = f"--{section}s"
    choices = [_choice(word, section) for word in _split(text, ",", flag)]
    _reject_repeated([choice.name for choice in choices], flag)
    return tuple(choices)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse seeds separated by commas; raises `ConfigError` for a repeated or invalid seed."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not re.fullmatch(r"\d{1,18}", word, re.ASCII):
            raise ConfigError(f"--seeds: expected whole numbers of at least 0, separated by commas, found {word!r}")
    seeds = tuple(int(word) for word in words)
    _reject_repeated([str(seed) for seed in seeds], "--seeds")
    return seeds


def _choice(word: str, section: Section) -> Choice:
    found = re.fullmatch(r"([^\[\]]+?)\s*(?:\[(.*)\])?", word, re.DOTALL)
    flag = f"--{section}s"
    if not found:
        raise ConfigError(f"{flag}: expected a name, or name[key=value;...], found {word!r}")
    kind = resolve_class(table_of(section), found[1], section)
    if section == "head" and not task_of(kind).comparable:
        raise ConfigError(
            f"{flag}: {found[1]} does not predict tags only; compare heads that do, such as crf and softmax"
        )
    settings = []
    for part in [] if found[2] is None else _split(found[2], ";", flag):
        key, equals, value = (side.strip() for side in part.partition("="))
        key = key.removeprefix(f"{section}.")
        if not equals or not key:
            raise ConfigError(f"{flag} {word}: expected key=value in the brackets, found {part!r}")
        if key == "type":
            raise ConfigError(f"{flag} {word}: the name before the brackets is the type; leave type= out")
        settings.append((key, value))
    _reject_repeated([key for key, _ in settings], f"{flag} {word}")
    return Choice(section, found[1], tuple(sorted(settings)))


def _split(text: str, separator: str, flag: str) -> list[str]:
    """Split at separators outside brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
        if depth < 0:
            break
    if depth:
        raise ConfigError(f"{flag}: expected brackets in pairs, found {text!r}")
    parts = [part.strip() for part in parts]
    if not all(parts):
        raise ConfigError(f"{flag}: expected something between every two {separator!r}, found {text!r}")
    return parts


def _reject_repeated(names: Sequence[str], where: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: {name} is given twice; give it once")
