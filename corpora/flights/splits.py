"""Splits: which templates and values training may see, and the sentences of each split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from almanac import plausible
from grammar import Grammar, Template
from sentences import CHARACTER, WORD, Draw, Pools, Retry, Sentence, tokenise
from splitmix import SplitMix64, digest

HERE = Path(__file__).resolve().parent
SIZES = {"train": 4000, "dev": 500, "test": 1000}
# Percent of the templates that only test, and that only dev may use.
TEST_TEMPLATES, DEV_TEMPLATES = 28, 16
# Percent of a held-out split's sentences that come from its own templates, and of its values from its own pool.
OWN_TEMPLATES, OWN_VALUES = 35, 45


@dataclass(frozen=True, slots=True)
class Language:
    """A language of the data set: how it is cut into tokens, and what it must not say."""

    code: str
    characters: bool
    casual: int
    """Percent of sentences in the spelling of speech: no mark at the end, and mostly no capitals."""
    city: str
    days: tuple[str, ...]
    """No sentence names both the demo's city and the demo's day, so that the pair is new to every model."""


LANGUAGES = (
    Language(
        "en", False, 35, "taipei", ("november 2", "nov 2", "november second", "2nd of november", "second of november")
    ),
    Language("zh", True, 30, "台北", ("十一月二號", "十一月二日", "11月2號", "11月2日", "11/2")),
)
ENDINGS = (".", "?", "!", "。", "？", "！")


def divide(templates: list[Template], random: SplitMix64) -> dict[str, list[Template]]:
    """Templates by split: within each intent a fixed share belongs to test alone and to dev alone."""
    shares: dict[str, list[Template]] = {"train": [], "dev": [], "test": []}
    waiting: list[Template] = []
    for intent in dict.fromkeys(template.intent for template in templates):
        group = [template for template in templates if template.intent == intent]
        shares["train"] += [template for template in group if template.kept]
        waiting += random.shuffled([template for template in group if not template.kept])
    # Every fourth or so goes to test and, out of step with those, every eighth to dev: walking through the intents one
    # after the other keeps each of them close to its share although no intent's size is a multiple of it.
    for index, template in enumerate(waiting):
        place = index * TEST_TEMPLATES % 100
        own = "test" if place < TEST_TEMPLATES else "dev" if 50 <= place < 50 + DEV_TEMPLATES else "train"
        shares[own].append(template)
    return shares


def corpus(language: Language, seed: int) -> dict[str, list[Sentence]]:
    """All splits of one language, no sentence twice."""
    grammar = Grammar.read(HERE / "grammars" / f"{language.code}.txt")
    random = SplitMix64(digest(seed, language.code))
    shares = divide(grammar.templates, random)
    pools = Pools(grammar, seed, language.code)
    seen: set[str] = set()
    result: dict[str, list[Sentence]] = {}
    for split, size in SIZES.items():
        stream = draws(grammar, pools, shares, split, language, random)
        result[split] = []
        while len(result[split]) < size:
            sentence = next(stream)
            if sentence.key not in seen and not demonstrates(sentence, language):
                seen.add(sentence.key)
                result[split].append(sentence)
    return result


def draws(
    grammar: Grammar,
    pools: Pools,
    shares: dict[str, list[Template]],
    split: str,
    language: Language,
    random: SplitMix64,
) -> Iterator[Sentence]:
    """Endless sentences for one split."""
    while True:
        own = split != "train" and random.chance(OWN_TEMPLATES)
        templates = shares[split if own else "train"]
        template = templates[random.below(len(templates))]
        draw = Draw(grammar, pools, random, split, 0 if split == "train" else OWN_VALUES)
        try:
            pieces = list(draw.line(template.line))
        except Retry:
            continue
        if not plausible(pieces):
            continue
        tokens, tags = tokenise(pieces, CHARACTER if language.characters else WORD)
        yield spoken(Sentence(tokens, tags, template), language, random)


def spoken(sentence: Sentence, language: Language, random: SplitMix64) -> Sentence:
    """The sentence as a written request, or (now and then) as speech: no final mark, no capitals."""
    tokens, tags = sentence.tokens, sentence.tags
    manner = random.below(100)
    if manner < language.casual and tokens[-1] in ENDINGS:
        tokens, tags = tokens[:-1], tags[:-1]
    if language.characters:
        return Sentence(tokens, tags, sentence.template)
    lower = manner < language.casual - 10
    tokens = tuple(token.lower() for token in tokens) if lower else capitalised(tokens)
    return Sentence(tokens, tags, sentence.template)


def capitalised(tokens: tuple[str, ...]) -> tuple[str, ...]:
    """A capital letter where a sentence begins."""
    pairs = zip((ENDINGS[0], *tokens), tokens, strict=False)
    return tuple(token[0].upper() + token[1:] if before in ENDINGS else token for before, token in pairs)


def demonstrates(sentence: Sentence, language: Language) -> bool:
    """Whether the sentence holds the demo's city and the demo's date."""
    joined = sentence.key.replace(" ", "") if language.characters else sentence.key
    return language.city in joined and any(day in joined for day in language.days)
