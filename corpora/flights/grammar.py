"""Grammar: the phrase grammar from which sentences are drawn, read from a plain text file.

A file has three kinds of blocks::

    slot departure city        the slot's name and the rule that gives its values
    keep Taipei                this value always belongs to the training pool

    = on                       a rule: one alternative a line, chosen at random
    on {$:calendar}
    3* {$:relative}            three times as likely; `3*` alone is the empty alternative

    [book]                     an intent: one sentence template a line; `!` in front keeps it in training
    <want> a flight from {departure} to {destination} <on departure_date>

Within a line: ``(a|b|)`` chooses, ``<rule>`` or ``<rule slot>`` expands a rule (with `$` in it standing for the slot),
``{slot}`` or ``{slot:rule}`` is a tagged value, ``{slot=x}`` remembers its value as x so that a later ``{other=x}``
repeats it, ``{-slot:rule}`` and ``<rule -slot>`` give values of the same kind that carry no tag. ``#`` at the start of
a line is a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

TOKEN = re.compile(r"[(|)]|<[^>]*>|\{[^}]*\}|[^(|)<{]+")
WEIGHTED = re.compile(r"(?P<times>\d+)\*\s*(?P<source>.*)")
SLOT = re.compile(r"\{(?P<silent>-?)(?P<slot>\$|\w+)(?::(?P<rule>\w+))?(?:=(?P<name>\w+))?\}")


class GrammarError(ValueError):
    """The grammar file says something that cannot be read; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Text:
    """Words that stand for themselves."""

    text: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several lines, all equally likely."""

    options: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """The expansion of a rule, with `slot` passed on as `$`."""

    rule: str
    slot: str


@dataclass(frozen=True, slots=True)
class Value:
    """A value of `slot`, from `rule` or the slot's own rule; untagged if `silent`; remembered under `name`."""

    slot: str
    rule: str
    silent: bool
    name: str


Node = Text | Choice | Reference | Value
Line = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One line of a rule: its source text and its parsed form."""

    source: str
    line: Line


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule's alternatives, and the running sums of how likely each is."""

    alternatives: list[Alternative] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)

    def add(self, source: str, weight: int) -> None:
        self.alternatives.append(Alternative(source, parse(source)))
        self.totals.append(weight + (self.totals[-1] if self.totals else 0))


@dataclass(frozen=True, slots=True)
class Template:
    """A sentence frame: `name` such as ``book-07``, its intent, and whether training must have it."""

    name: str
    intent: str
    line: Line
    kept: bool


@dataclass(slots=True)
class Grammar:
    """Everything a grammar file says."""

    slots: dict[str, str] = field(default_factory=dict)
    rules: dict[str, Rule] = field(default_factory=dict)
    templates: list[Template] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    @staticmethod
    def read(path: Path) -> Grammar:
        """Parse a grammar file; `GrammarError` names the line that is wrong."""
        grammar = Grammar()
        block = ""
        for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            text = raw.strip()
            if not text or text.startswith("#"):
                continue
            try:
                block = grammar._add(text, block)
            except ValueError as error:
                raise GrammarError(f"{path.name}:{number}: {error}") from error
        grammar._check(path.name)
        return grammar

    def _add(self, text: str, block: str) -> str:
        """Take one line into the block it stands in; returns the block that the next line stands in."""
        if text.startswith("slot "):
            _, slot, rule = text.split()
            self.slots[slot] = rule
        elif text.startswith("keep "):
            self.kept.append(text.removeprefix("keep ").lower())
        elif text.startswith("= "):
            block = text
            self.rules[text[2:]] = Rule()
        elif text.startswith("["):
            block = text
        elif block.startswith("= "):
            match = WEIGHTED.fullmatch(text)
            source, times = (match["source"], int(match["times"])) if match else (text, 1)
            self.rules[block[2:]].add(source, times)
        elif block:
            intent = block.strip("[]")
            number = sum(template.intent == intent for template in self.templates) + 1
            line = parse(text.removeprefix("!").strip())
            self.templates.append(Template(f"{intent}-{number:02d}", intent, line, text.startswith("!")))
        else:
            raise ValueError(f"expected a rule, an intent, a slot or keep before {text!r}")
        return block

    def _check(self, name: str) -> None:
        """Every rule and slot that is named anywhere must exist."""
        lines = [template.line for template in self.templates]
        lines += [alternative.line for rule in self.rules.values() for alternative in rule.alternatives]
        for node in (node for line in lines for node in walk(line)):
            rule = node.rule if isinstance(node, Reference | Value) else ""
            if rule and rule not in self.rules:
                raise GrammarError(f"{name}: no rule is called {rule!r}")
            slot = node.slot if isinstance(node, Reference | Value) else ""
            if slot not in ("", "$") and slot.removeprefix("-") not in self.slots:
                raise GrammarError(f"{name}: no slot is called {slot!r}")


def walk(line: Line) -> Iterator[Node]:
    """Every node of a line, choices opened."""
    for node in line:
        yield node
        if isinstance(node, Choice):
            for option in node.options:
                yield from walk(option)


def parse(text: str) -> Line:
    """The nodes of one line.

    >>> parse("to {destination}")
    (Text(text='to '), Value(slot='destination', rule='', silent=False, name=''))
    """
    pieces = TOKEN.findall(text)
    if "".join(pieces) != text:
        raise ValueError(f"expected balanced brackets, found {text!r}")
    options, rest = _options(pieces, 0)
    if rest != len(pieces) or len(options) != 1:
        raise ValueError(f"expected balanced ( | ), found {text!r}")
    return options[0]


def _options(pieces: list[str], start: int) -> tuple[tuple[Line, ...], int]:
    """The alternatives from `start` up to the closing bracket or the end, and where that is."""
    options: list[Line] = []
    nodes: list[Node] = []
    position = start
    while position < len(pieces) and pieces[position] != ")":
        piece = pieces[position]
        if piece == "(":
            inner, position = _options(pieces, position + 1)
            if position == len(pieces):
                raise ValueError("a ( is never closed")
            nodes.append(Choice(inner))
        elif piece == "|":
            options.append(tuple(nodes))
            nodes = []
        else:
            nodes.append(_leaf(piece))
        position += 1
    return (*options, tuple(nodes)), position


def _leaf(piece: str) -> Node:
    if piece.startswith("<"):
        rule, _, slot = piece[1:-1].partition(" ")
        return Reference(rule, slot)
    if piece.startswith("{"):
        match = SLOT.fullmatch(piece)
        if match is None:
            raise ValueError(f"expected {{slot}}, {{slot:rule}} or {{slot=name}}, found {piece!r}")
        return Value(match["slot"], match["rule"] or "", bool(match["silent"]), match["name"] or "")
    return Text(piece)
