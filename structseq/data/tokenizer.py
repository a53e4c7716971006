"""Tokenizers by name and version: text to tokens with offsets, ``text[start:end] == token.text``.

A tokenizer leaves out white space and nothing else. A changed tokenizer gets a new name, so that a model cuts text as
it was trained. Python's Unicode tables classify characters, so newer characters may be cut differently.

Words follow Unicode Standard Annex 29: apostrophes stay inside words (``don't``), ideographs and kana are single
tokens. Hyphenated words, numbers (``10:30``, ``1,000.50``), abbreviations (``U.S.``, ``St.``), web and mail addresses,
``@names`` and ``#tags`` also stay whole.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import NamedTuple

from structseq.errors import ConfigError


class Token(NamedTuple):
    """A piece of a text; offsets count characters (code points) from 0."""

    text: str
    start: int
    end: int


Tokenizer = Callable[[str], list[Token]]


def texts_of(tokens: Iterable[Token]) -> tuple[str, ...]:
    return tuple([token.text for token in tokens])


def tokenize(text: str, name: str = "words-1") -> list[Token]:
    """The tokens of a text, by the tokenizer of this name.

    >>> [token.text for token in tokenize("Don't leave (Taipei) before 10:30 p.m.!")]
    ["Don't", 'leave', '(', 'Taipei', ')', 'before', '10:30', 'p.m.', '!']
    """
    return tokenizer_of(name)(text)


def tokenizer_of(name: str) -> Tokenizer:
    """Raises `ConfigError` if the name is not in `TOKENIZERS`."""
    try:
        return TOKENIZERS[name]
    except KeyError:
        near = difflib.get_close_matches(name, TOKENIZERS, 1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? There are " if near else "there are "
        raise ConfigError(f"unknown tokenizer {name!r}; {hint}{', '.join(TOKENIZERS)}") from None


def words(text: str) -> list[Token]:
    """Words, numbers and punctuation marks of any script; ideographs and kana one by one."""
    classes = text.translate(_CLASSES)
    if _MAY_BE_SPECIAL.search(text):
        parts, done = [], 0
        for start, end in (found.span() for found in _SPECIAL.finditer(text)):
            parts += [classes[done:start], "u" * (end - start)]
            done = end
        classes = "".join([*parts, classes[done:]])
    return _cut(text, _WORDS, classes)


def pieces(text: str) -> list[Token]:
    """Runs of letters and digits, every other character alone: for spans that end inside words."""
    return _cut(text, _PIECES, text.translate(_CLASSES))


def characters(text: str) -> list[Token]:
    """Every character (code point) that is not white space, for text without word boundaries."""
    return [Token(character, i, i + 1) for i, character in enumerate(text) if not character.isspace()]


def whitespace(text: str) -> list[Token]:
    r"""Tokenized text, cut at blanks (space, ``\t``, ``\n``, ``\r``) only, as column files are."""
    return _cut(text, _BETWEEN_BLANKS, text)


TOKENIZERS: dict[str, Tokenizer] = {
    "words-1": words,
    "characters-1": characters,
    "whitespace-1": whitespace,
    "pieces-1": pieces,
}


def _cut(text: str, pattern: re.Pattern[str], classes: str) -> list[Token]:
    """``classes`` has one class letter for each character of the text."""
    return [Token(text[start:end], start, end) for start, end in (m.span() for m in pattern.finditer(classes))]


class _Classes(dict[int, str]):
    """Code point to class letter, filled on demand; an ASCII punctuation mark is its own class.

    a letter, 0 digit, m mark or format character, z joiner of emoji, c ideograph or kana, e emoji and other pictures, r
    half a flag, p other punctuation, a blank for white space; u (by `words`) a part that stays whole.
    """

    def __missing__(self, code: int) -> str:
        self[code] = letter = _class_of(chr(code))
        return letter


_IDEOGRAPHS = (
    (0x3005, 0x3007), (0x3040, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
    (0xFF66, 0xFF9D), (0x1B000, 0x1B16F), (0x20000, 0x3FFFF),
)  # fmt: skip
_ALIKE = {"’": "'", "·": "'", "׳": "'", "״": "'", "‐": "-", "‑": "-", "_": "a", "\u200d": "z"}


def _class_of(character: str) -> str:
    code = ord(character)
    if character.isspace():
        return " "
    if character in _ALIKE:
        return _ALIKE[character]
    if 0x1F3FB <= code <= 0x1F3FF:  # skin tones
        return "m"
    if 0x1F1E6 <= code <= 0x1F1FF:
        return "r"
    category = unicodedata.category(character)
    if category[0] == "M" or category == "Cf":
        return "m"
    if any(first <= code <= last for first, last in _IDEOGRAPHS):
        return "c"
    if category[0] in "LN":
        return "a" if category[0] == "L" else "0"
    return "e" if category == "So" else character if code < 128 else "p"


_CLASSES = _Classes()

_MAY_BE_SPECIAL = re.compile(r"://|www\.|@|\.", re.IGNORECASE)
_SPECIAL = re.compile(
    r"""(?:(?<![a-z0-9])(?:https?|ftp)://|(?<![\w.])www\.)[^\s<>"\x7f-\U0010ffff]*[a-z0-9/_#=&%~+-]
      | (?<![\w.+-])[a-z0-9_][a-z0-9_.+-]{0,63}@[a-z0-9-]+(?:\.[a-z0-9-]+)+
      | (?<!\w)(?:mr|mrs|ms|dr|st|jr|sr|prof)\.(?!\w)""",
    re.IGNORECASE | re.VERBOSE,
)
_WORDS = re.compile(
    r"""u+
      | [@#]a[a0mz]*
      | (?<![a0])a[mz]*(?:\.a[mz]*)+\.?(?![a0])
      | [mz]*[a0][a0mz]*(?:(?:['-]|(?<=0)[.,:/](?=0)|(?<=a)&)(?=[a0])[a0mz]+)*
      | c[mz]*
      | rr[mz]*
      | e[mz]*(?:(?<=z)e[mz]*)*
      | ([.!?*=~-])\1*[mz]*
      | [mz]+
      | [^ ][mz]*""",
    re.VERBOSE,
)
_PIECES = re.compile(r"[mz]*[a0][a0mz]*|e[mz]*(?:(?<=z)e[mz]*)*|[mz]+|[^ ][mz]*")
_BETWEEN_BLANKS = re.compile(r"[^ \t\n\r]+")
