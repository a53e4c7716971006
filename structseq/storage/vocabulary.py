r"""Vocabularies as text: one entry a line, a tab, its count; what could break a line or a file is escaped reversibly.

>>> vocabulary_text(Vocabulary(["to", "a\tb", "C:\\"], [3, 1, 1]))
'to\t3\na\\tb\t1\nC:\\\\\t1\n'
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from structseq.data.vocabulary import Vocabulary
from structseq.errors import DataError, ModelFileError

# The backslash itself, controls, every character that some program takes for a line's end, the byte order mark, and
# lone surrogates, which UTF-8 cannot hold
_UNSAFE = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(?:([\\tnr])|u([0-9a-f]{4}))")
_NAMED = {"\\": "\\", "\t": "t", "\n": "n", "\r": "r"}
_MEANT = {letter: character for character, letter in _NAMED.items()}
_LINE = re.compile(r"((?:[^\\\t]|\\[\\tnr]|\\u[0-9a-f]{4})*)\t([0-9]{1,18})")


def vocabulary_text(vocabulary: Vocabulary) -> str:
    """The lines of a vocabulary file."""
    lines = zip(vocabulary.items, vocabulary.counts, strict=True)
    return "".join(f"{_UNSAFE.sub(_escape, item)}\t{count}\n" for item, count in lines)


def read_vocabulary(text: str, *, path: Path, open: bool, size: int) -> Vocabulary:
    """The vocabulary of ``size`` entries that ``text`` holds; ``path`` for messages.

    Raises `ModelFileError` for a broken line (with its number), an entry given twice, or lines too many or too few.
    """
    lines = text.split("\n")
    if lines.pop() != "" or len(lines) != size:
        raise ModelFileError(f"{path}: expected {size} whole lines, found {len(lines)}; the file is cut or damaged")
    items, counts = [], []
    for number, line in enumerate(lines, start=1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise ModelFileError(f"{path}:{number}: expected an entry, a tab and its count, found {line[:60]!r}")
        items.append(_ESCAPE.sub(_meant, found[1]) if "\\" in found[1] else found[1])
        counts.append(int(found[2]))
    try:
        return Vocabulary(items, counts, open=open)
    except DataError:
        twice, _ = Counter(items).most_common(1)[0]
        place = f"{path}: expected different entries, found {twice!r} twice"
        raise ModelFileError(f"{place}; the file is damaged") from None


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return "\\" + (_NAMED.get(character) or f"u{ord(character):04x}")


def _meant(found: re.Match[str]) -> str:
    return _MEANT[found[1]] if found[1] else chr(int(found[2], 16))
