"""A corpus and a model so small that training them takes milliseconds; nothing in it is left out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from structseq.config import Options
from structseq.data.example import Example
from structseq.data.reading import Corpus
from structseq.model import Model
from structseq.spans import scheme_of

CITIES = ("Taipei", "Rome", "New York", "Kaohsiung", "Oslo")
DATES = ("May 2nd", "Monday", "June 11th")

TINY: dict[str, Any] = {
    "inputs": {
        "words": {"width": 6},
        "characters": {"width": 4, "embedding": 3},
        "affixes": {"shape": 2, "width": 2, "min_count": 1},
        "dropout": 0.3,
        "word_dropout": 0.1,
    },
    "encoder": {"width": 5, "dropout": 0.3, "recurrent_dropout": 0.2},
    "training": {"batch_sentences": 4, "epochs": 3, "learning_rate": 0.02, "patience": 100, "threads": 1},
}


def sentences(count: int, seed: int = 0) -> tuple[Example, ...]:
    """Trips of three to nine tokens; which city is which depends on the word before it."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        tokens, tags = [], []
        for word, kind, choices in (("from", "departure", CITIES), ("to", "arrival", CITIES), ("on", "date", DATES)):
            if chance.random() < 0.3:
                continue
            words = chance.choice(choices).split()
            tokens += [word, *words]
            tags += ["O", f"B-{kind}", *[f"I-{kind}"] * (len(words) - 1)]
        made.append(
            Example.of(
                tokens or ["hello"], tags or ["O"], pos=["N" if t[0].isupper() else "P" for t in tokens or ["h"]]
            )
        )
    return tuple(made)


def corpus(train: int = 14, dev: int = 6) -> Corpus:
    return Corpus(sentences(train, 0), sentences(dev, 1), sentences(4, 2))


def options(*layers: Mapping[str, Any]) -> Options:
    return Options.of(TINY, *layers)


def model(
    *layers: Mapping[str, Any], examples: tuple[Example, ...] | None = None, scheme: str = "BIO", seed: int = 0
) -> Model:
    """A fresh model, prepared on ``examples`` (the corpus's own training part unless given)."""
    return Model.prepare(
        options(*layers), corpus().train if examples is None else examples, scheme_of(scheme), seed=seed
    )
