"""Sentences: templates filled with values, each value from the pool that the split may use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from grammar import Alternative, Choice, Grammar, Line, Reference, Rule, Template, Text, Value
from splitmix import SplitMix64, digest

OUTSIDE = "O"
# As structseq's own tokenizers cut: abbreviations, 7:30, 20,000, o'clock and twenty-first stay whole.
WORD = re.compile(r"\b(?:St|Mr|Mrs)\.|[^\W_]+(?:(?:['-]|(?<=\d)[.,:/](?=\d))[^\W_]+)*|\S")
CHARACTER = re.compile(r"\S")
# Percent of a slot's values that only the test, and that only the dev set may use. Training has the rest, which both
# of them may use as well.
TEST_POOL, DEV_POOL = 32, 14
ATTEMPTS = 40


class Retry(Exception):
    """This draw came to nothing (the same city twice, an empty pool): draw again."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """Tokens, their BIO2 tags, and the template they came from."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    template: Template

    @property
    def key(self) -> str:
        """What makes two sentences the same: the tokens, whatever their case."""
        return " ".join(self.tokens).lower()


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text; `slot` is empty outside values."""

    text: str
    slot: str


class Pools:
    """Which values belong to training, to dev alone and to test alone, decided by the value's text and the seed."""

    def __init__(self, grammar: Grammar, seed: int, language: str) -> None:
        self.grammar, self.seed, self.language = grammar, seed, language
        self._known: dict[tuple[str, str], str] = {}

    def of(self, kind: str, text: str) -> str:
        """The pool of a value: a digest of its text decides, so that no order of drawing can change it."""
        key = (kind, text.lower())
        if key not in self._known:
            point = 100 if key[1] in self.grammar.kept else digest(self.seed, self.language, *key) % 100
            self._known[key] = "test" if point < TEST_POOL else "dev" if point < TEST_POOL + DEV_POOL else "train"
        return self._known[key]


@dataclass(slots=True)
class Draw:
    """One sentence in the making: expands a template's line into pieces."""

    grammar: Grammar
    pools: Pools
    random: SplitMix64
    split: str
    fresh: int
    """Percent of values drawn from the split's own pool; 0 for training."""
    named: dict[str, str] = field(default_factory=dict)
    used: list[tuple[str, str]] = field(default_factory=list)

    def line(self, line: Line, slot: str = "") -> Iterator[Piece]:
        """The pieces of a line; `slot` is what `$` stands for."""
        for node in line:
            if isinstance(node, Text):
                yield Piece(node.text, "")
            elif isinstance(node, Choice):
                yield from self.line(node.options[self.random.below(len(node.options))], slot)
            elif isinstance(node, Reference):
                yield from self.rule(node.rule, slot if node.slot == "$" else node.slot)
            else:
                yield self.value(node, slot if node.slot == "$" else node.slot)

    def rule(self, rule: str, slot: str) -> Iterator[Piece]:
        """One alternative of a rule, expanded."""
        yield from self.line(self._pick(self.grammar.rules[rule]).line, slot)

    def value(self, node: Value, slot: str) -> Piece:
        """A value as one piece, tagged with its slot unless it is silent."""
        silent = node.silent or slot.startswith("-")
        kind = self.grammar.slots[slot.removeprefix("-")]
        if node.name in self.named:
            text = self.named[node.name]
        else:
            text = self._fresh_value(kind, node.rule or kind)
            if (kind, text.lower()) in self.used:
                raise Retry
            self.used.append((kind, text.lower()))
            if node.name:
                self.named[node.name] = text
        return Piece(text, "" if silent else slot)

    def _fresh_value(self, kind: str, rule: str) -> str:
        """A value of the wanted pool; where the rule has none there, one of training's."""
        wanted = self.split if self.random.chance(self.fresh) else "train"
        for pool in (wanted, "train"):
            for _ in range(ATTEMPTS):
                alternative = self._pick(self.grammar.rules[rule])
                text = "".join(piece.text for piece in self.line(alternative.line))
                # A lexicon's line is one thing with all its names ("EVA Air|EVA"): they share a pool.
                lexical = rule == kind and not any(isinstance(node, Reference) for node in alternative.line)
                if self.pools.of(kind, alternative.source if lexical else text) == pool:
                    return text
        raise Retry

    def _pick(self, rule: Rule) -> Alternative:
        return self.random.weighted(rule.alternatives, rule.totals)


def tokenise(pieces: list[Piece], pattern: re.Pattern[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tokens and BIO2 tags of the joined pieces; a token takes the slot of the piece that it lies in."""
    text = "".join(piece.text for piece in pieces)
    owner = [index for index, piece in enumerate(pieces) for _ in piece.text]
    tokens: list[str] = []
    tags: list[str] = []
    previous = -1
    for match in pattern.finditer(text):
        index = owner[match.start()]
        if index != owner[match.end() - 1] and (pieces[index].slot or pieces[owner[match.end() - 1]].slot):
            raise ValueError(f"a value is glued to its neighbour in {text!r}")
        slot = pieces[index].slot
        tags.append(f"{'I' if index == previous else 'B'}-{slot}" if slot else OUTSIDE)
        tokens.append(match.group())
        previous = index
    return tuple(tokens), tuple(tags)
