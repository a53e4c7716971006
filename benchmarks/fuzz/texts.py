"""Well-formed files of four formats, drawn at random, and sentences for the others."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

_PLAIN = ("arrive", "Taipei", "to", "the", "of", "in", "3", "July", "flight", "x", "U.S.", "O'Hare", "10:30", "é", "Ω")
_ODD = (
    *("a\u00a0b", "\u3000", "\U0001f60a", "e\u0301", "\u05e9\u05dc", "\u200d", "\u2028", "\x85", "\x0b", "\x1c", '"'),
    *(
        'a"b',
        '""',
        "'",
        "\\",
        "\\n",
        "|",
        "=",
        "a=b",
        ",",
        ";",
        "a,b",
        "{",
        "[",
        "]",
        "</s>",
        "&amp;",
        "NULL",
        "nan",
        "-",
    ),
    *(
        "--",
        "*",
        "T1",
        "1",
        "1-2",
        "0",
        "_",
        "O",
        "B-PER",
        "台北",
        "\U0001f1f9\U0001f1fc",
        "x" * 70,
        "%",
        "١",
        "\x7f",
        "<",
    ),
)
_TYPES = ("PER", "city", "time.hour", "a_b")


def sentence(chance: random.Random, *, odd: float = 0.15) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tokens, and BIO tags that conlleval finds nothing to repair in."""
    length = chance.choice((1, 1, 2, 3, 4, 6, 9, 14))
    tokens = tuple(chance.choice(_ODD if chance.random() < odd else _PLAIN) for _ in range(length))
    tags: list[str] = []
    for _ in tokens:
        before = tags[-1] if tags else "O"
        drawn = chance.random()
        kind = chance.choice(_TYPES)
        tags.append("I-" + before[2:] if before != "O" and drawn < 0.4 else f"B-{kind}" if drawn > 0.7 else "O")
    return tokens, tuple(tags)


def sentences(chance: random.Random, *, odd: float = 0.15) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [sentence(chance, odd=odd) for _ in range(chance.choice((1, 1, 2, 3, 5)))]


Made = tuple[str, dict[str, Any]]


def columns(chance: random.Random) -> Made:
    """The text of a column file, and the options that read it."""
    tab, width = chance.random() < 0.6, chance.choice((2, 2, 3, 4))
    gap = "\t" if tab else chance.choice((" ", "  "))
    token = 0 if chance.random() < 0.8 else chance.randrange(width - 1)
    end = chance.choice(("\n", "\n", "\r\n"))
    lines: list[str] = []
    for tokens, tags in sentences(chance):
        if chance.random() < 0.1:
            lines += [gap.join(["-DOCSTART-", *["-X-"] * (width - 2), "O"]), ""]
        if lines and chance.random() < 0.15:
            lines.append(f"# {chance.choice(('sent_id', 'source', 'text'))} = {chance.choice(_PLAIN)}")
        for one, tag in zip(tokens, tags, strict=True):
            row = [chance.choice(("NN", "IN", "VB")) for _ in range(width)]
            row[token], row[-1] = one, tag
            lines.append(gap.join(row))
        lines += [chance.choice(("", "", "", " ", "\t"))] * chance.choice((1, 1, 2))
    options: dict[str, Any] = {} if token == 0 else {"token_column": token}
    if chance.random() < 0.2:
        options["separator"] = "tab" if tab else "space"
    if chance.random() < 0.2:
        options["comments"] = chance.choice(("always", "never"))
    return _ended(lines, end, chance), options


def conllu(chance: random.Random) -> Made:
    field = chance.choice(("upos", "upos", "xpos", "misc:NER", "feats:Case", "lemma"))
    lines: list[str] = []
    for number, (tokens, tags) in enumerate(sentences(chance), 1):
        lines += [f"# sent_id = {number}"] if chance.random() < 0.5 else []
        for at, (token, tag) in enumerate(zip(tokens, tags, strict=True), 1):
            if at < len(tokens) and chance.random() < 0.1:
                lines.append("\t".join([f"{at}-{at + 1}", token, *"________"]))
            misc = f"SpaceAfter=No|NER={tag}" if chance.random() < 0.8 else "_"
            lines.append("\t".join([str(at), token, token.lower(), "NOUN", "NN", "Case=Nom", "0", "root", "_", misc]))
            if chance.random() < 0.05:
                lines.append("\t".join([f"{at}.1", "e", *"________"]))
        lines.append("")
    return _ended(lines, chance.choice(("\n", "\n", "\r\n")), chance), {"field": field}


def jsonl(chance: random.Random) -> Made:
    lines: list[str] = []
    for tokens, tags in sentences(chance):
        record: dict[str, Any] = {"tokens": tokens, "tags": tags}
        record |= {"id": chance.choice(("a", 1, None))} if chance.random() < 0.3 else {}
        lines.append(json.dumps(record, ensure_ascii=chance.random() < 0.5))
        lines += [""] if chance.random() < 0.1 else []
    return _ended(lines, chance.choice(("\n", "\n", "\r\n")), chance), {}


def csv(chance: random.Random) -> Made:
    gap, end = chance.choice(",;\t"), chance.choice(("\n", "\r\n"))
    rows: list[list[str]] = [["sentence", "token", "tag"]]
    for number, (tokens, tags) in enumerate(sentences(chance), 1):
        for at, row in enumerate(zip(tokens, tags, strict=True)):
            rows.append([str(number) if at == 0 or chance.random() < 0.5 else "", *row])
        rows += [["", "", ""]] if chance.random() < 0.1 else []
    lines = [gap.join(_quoted(value, gap, chance) for value in row) for row in rows[1:]]
    return _ended([gap.join(rows[0]), *lines], end, chance), {}


def _quoted(value: str, gap: str, chance: random.Random) -> str:
    needed = any(c in value for c in (gap, '"', "\r", "\n"))
    return '"' + value.replace('"', '""') + '"' if needed or chance.random() < 0.1 else value


def _ended(lines: list[str], end: str, chance: random.Random) -> str:
    mark = "\ufeff" if chance.random() < 0.1 else ""
    return mark + end.join(lines) + (end if chance.random() < 0.8 else "")


WELL_FORMED: Mapping[str, Callable[[random.Random], Made]] = {
    "columns": columns, "conllu": conllu, "jsonl": jsonl, "csv": csv,
}  # fmt: skip
