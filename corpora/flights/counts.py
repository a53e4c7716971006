"""Counts: what the README says about the data, counted from the sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from sentences import OUTSIDE, Sentence
from splits import SIZES

Corpus = dict[str, list[Sentence]]


def values(sentences: Iterable[Sentence]) -> Iterator[tuple[str, str]]:
    """Every slot value as (slot, words in lower case), in order."""
    for sentence in sentences:
        words: list[str] = []
        slot = ""
        for token, tag in [*zip(sentence.tokens, sentence.tags, strict=True), ("", OUTSIDE)]:
            if slot and not tag.startswith("I-"):
                yield slot, " ".join(words).lower()
                slot = ""
            if tag.startswith("B-"):
                slot, words = tag[2:], [token]
            elif slot:
                words.append(token)


def spans(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    """The entities of a tag sequence, legal or not, by conlleval's rule: I- after another type opens one too.

    >>> sorted(spans(["B-via", "I-via", "O", "I-price"]))
    [(0, 2, 'via'), (3, 4, 'price')]
    """
    found = set()
    start, label = 0, ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        if label and tag != f"I-{label}":
            found.add((start, place, label))
            label = ""
        if tag != OUTSIDE and not label:
            start, label = place, tag[2:]
    return found


def floor(corpora: dict[str, Corpus]) -> list[str]:
    """Entity F1 of giving each token the tag that it has most often in training, and O where it has none."""
    rows = []
    for code, corpus in corpora.items():
        tags: dict[str, Counter[str]] = {}
        for sentence in corpus["train"]:
            for token, tag in zip(sentence.tokens, sentence.tags, strict=True):
                tags.setdefault(token.lower(), Counter())[tag] += 1
        commonest = {
            token: max(counter.items(), key=lambda item: (item[1], item[0]))[0] for token, counter in tags.items()
        }
        for split in ("dev", "test"):
            gold = [spans(sentence.tags) for sentence in corpus[split]]
            guess = [
                spans([commonest.get(token.lower(), OUTSIDE) for token in sentence.tokens])
                for sentence in corpus[split]
            ]
            right = sum(len(one & other) for one, other in zip(gold, guess, strict=True))
            f1 = 200 * right / (sum(map(len, gold)) + sum(map(len, guess)))
            rows.append((f"{code}/{split}", f"{f1:.1f}"))
    return table(("commonest tag of each token", "entity F1"), rows)


def percent(part: int, whole: int) -> str:
    """The share with one decimal.

    >>> percent(1, 3)
    '33.3 %'
    """
    return f"{100 * part / whole:.1f} %"


def pattern(sentence: Sentence) -> str:
    """The sentence with each value replaced by its slot."""
    pairs = zip(sentence.tokens, sentence.tags, strict=True)
    return " ".join(token.lower() if tag == OUTSIDE else tag[2:] for token, tag in pairs if not tag.startswith("I-"))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table."""
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(str(cell) for cell in row) for row in rows]
    return [f"| {line} |" for line in lines]


def sizes(corpora: dict[str, Corpus]) -> list[str]:
    """Sentences, tokens, values and templates of every split."""
    rows = []
    for code, corpus in corpora.items():
        for split in SIZES:
            part = corpus[split]
            tokens = sum(len(sentence.tokens) for sentence in part)
            tagged = sum(tag != OUTSIDE for sentence in part for tag in sentence.tags)
            templates = len({sentence.template.name for sentence in part})
            distinct = len({token.lower() for sentence in part for token in sentence.tokens})
            spans = list(values(part))
            rows.append(
                (
                    f"{code}/{split}",
                    f"{len(part):,}",
                    f"{tokens:,}",
                    f"{distinct:,}",
                    percent(tagged, tokens),
                    f"{len(spans):,}",
                    f"{len(set(spans)):,}",
                    templates,
                )
            )
    head = (
        "split",
        "sentences",
        "tokens",
        "distinct tokens",
        "tokens in slots",
        "slot values",
        "distinct values",
        "templates",
    )
    return table(head, rows)


def novelty(corpora: dict[str, Corpus]) -> list[str]:
    """How much of dev and test training never shows."""
    rows = []
    for code, corpus in corpora.items():
        train = corpus["train"]
        known = set(values(train))
        words = {token.lower() for sentence in train for token in sentence.tokens}
        templates = {sentence.template.name for sentence in train}
        patterns = {pattern(sentence) for sentence in train}
        for split in ("dev", "test"):
            part = corpus[split]
            spans = list(values(part))
            distinct = set(spans)
            own = {sentence.template.name for sentence in part}
            rows.append(
                (
                    f"{code}/{split}",
                    percent(len(distinct - known), len(distinct)),
                    percent(sum(span not in known for span in spans), len(spans)),
                    percent(sum(not words.issuperset(text.split(" ")) for _, text in spans), len(spans)),
                    percent(len(own - templates), len(own)),
                    percent(sum(sentence.template.name not in templates for sentence in part), len(part)),
                    percent(sum(pattern(sentence) not in patterns for sentence in part), len(part)),
                )
            )
    head = (
        "never in training",
        "distinct values",
        "values as they occur",
        "values with an unknown token",
        "templates",
        "sentences of such templates",
        "sentences of an unknown pattern",
    )
    return table(head, rows)


def slots(corpora: dict[str, Corpus]) -> list[str]:
    """Each slot's values: in training, in test, and the share of the test's distinct values that training lacks."""
    names = sorted({slot for corpus in corpora.values() for slot, _ in values(corpus["train"])})
    counted = {(code, split): list(values(corpus[split])) for code, corpus in corpora.items() for split in SIZES}
    rows = []
    for name in names:
        row: list[object] = [f"`{name}`"]
        for code in corpora:
            train = [text for slot, text in counted[code, "train"] if slot == name]
            test = [text for slot, text in counted[code, "test"] if slot == name]
            row += [f"{len(train):,}", f"{len(test):,}", percent(len(set(test) - set(train)), len(set(test)))]
        rows.append(row)
    head = ["slot", *(f"{code} {what}" for code in corpora for what in ("train", "test", "new in test"))]
    return table(head, rows)


def intents(corpora: dict[str, Corpus]) -> list[str]:
    """Sentences of each intent."""
    counted = {
        (code, split): Counter(sentence.template.intent for sentence in corpus[split])
        for code, corpus in corpora.items()
        for split in SIZES
    }
    names = sorted({name for counter in counted.values() for name in counter})
    head = ["intent", *(f"{code}/{split}" for code, split in counted)]
    return table(head, ([f"`{name}`", *(counter[name] for counter in counted.values())] for name in names))


def statistics(corpora: dict[str, Corpus]) -> str:
    """The README's tables."""
    sections = [sizes(corpora), novelty(corpora), slots(corpora), floor(corpora), intents(corpora)]
    return "\n\n".join("\n".join(section) for section in sections) + "\n"
