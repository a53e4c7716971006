"""Detect the tag scheme of a corpus from its tags."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice

from structseq.spans.schemes import PLAIN, SCHEMES, Scheme, TagError, split_tag

# A corpus follows a scheme if at most one of this many entities is illegal in it
TOLERANCE = 5


def detect(sequences: Iterable[Sequence[str]], *, spans: bool = False) -> Scheme:
    """The scheme of a corpus of tag sequences; with ``spans``, letters without any type are span tags too.

    Span tags are O, or a letter of B I E S M L U, alone or followed by ``-type``; with other tags the scheme is plain.
    Letters without any type must include B, I or M and be legal, or the scheme is plain. Otherwise the letters decide:

    =============  ======================================================================
    only O         BIO
    I              IO
    B, or B and I  BIO or IOB1: the one that more entities follow, BIO if equal
    E, or E and I  IOE or IOE1, likewise
    S, or B and E  BIOES; with M it is BMES, with L or U it is BILOU
    =============  ======================================================================

    Raises `TagError`, with two tags that contradict each other, if schemes are mixed: more than a fifth of the entities
    is illegal, letters belong to different spellings, or a minority of the tags is not of a span scheme.

    >>> detect([["B-x", "L-x", "O"], ["U-y"]]).name, detect([["DT", "NN-HL"]]).name
    ('BILOU', 'plain')
    """
    corpus = list(sequences)
    counts = Counter(tag for tags in corpus for tag in tags)
    letters = {tag: split_tag(tag)[0] for tag in counts}
    foreign = {tag for tag, letter in letters.items() if letter not in _LETTERS}
    typed = [tag for tag in counts if "-" in tag and tag not in foreign]
    if foreign:
        if len(foreign) < len(typed) and 2 * sum(counts[tag] for tag in foreign) < counts.total():
            first = _first_tag(corpus, {letters[tag] for tag in foreign}, "is not a span tag")
            found = [*first, *_first_tag(corpus, _LETTERS - {"O"}, "is a span tag")]
            raise _mixture(found, ", or name the scheme plain")
        return PLAIN
    used = set(letters.values()) - {"O"}
    if used and not typed and not spans:
        return _detect_untyped(corpus, used)
    _check_spelling(corpus, used)
    return _best(corpus, _candidates(used), used)


def detect_beside(sequences: Iterable[Sequence[str]], known: Scheme) -> Scheme:
    """The scheme of a corpus that goes with data in ``known``.

    It is ``known`` if no other scheme fits better, because a corpus without adjacent entities fits several schemes.
    Raises `TagError` as `detect`, if ``known`` does not have all the tags.
    """
    corpus = list(sequences)
    covered = all(map(known.covers, corpus))
    if covered and not known.plain and not count_illegal(corpus, known):
        return known
    try:
        found = detect(corpus, spans=not known.plain)
    except TagError:
        if covered:
            return known
        raise
    if known.plain:
        types = found.types(chain.from_iterable(corpus))
        return found if types and "" not in types else known
    return known if covered and count_illegal(corpus, known) <= count_illegal(corpus, found) else found


def count_illegal(corpus: Iterable[Sequence[str]], scheme: Scheme) -> int:
    """The number of entities that are illegal in ``scheme``; raises `TagError` for a tag of another scheme."""
    return sum(len(scheme.decode(tags)) - len(scheme.decode_strict(tags)) for tags in corpus)


_LETTERS = frozenset("OBIESMLU")
# Letters of different spellings: a corpus has letters from one side of each pair only
_CONFLICTING = (("M", "ILU"), ("LU", "ES"))


def _candidates(used: set[str]) -> list[Scheme]:
    """The schemes that may have these letters, the preferred one first."""
    if used & set("LU"):
        names = ["BILOU"]
    elif "M" in used:
        names = ["BMES"]
    elif "S" in used or {"B", "E"} <= used:
        names = ["BIOES"]
    elif "E" in used:
        names = ["IOE", "IOE1"]
    else:
        names = ["BIO", "IOB1"] if "B" in used else ["IO"] if used else ["BIO"]
    return [SCHEMES[name] for name in names]


def _detect_untyped(corpus: Sequence[Sequence[str]], used: set[str]) -> Scheme:
    if not used & set("BIM") or any(used & set(one) and used & set(other) for one, other in _CONFLICTING):
        return PLAIN
    legal = (scheme for scheme in _candidates(used) if not any(map(scheme.violations, corpus)))
    return next(legal, PLAIN)


def _best(corpus: Sequence[Sequence[str]], candidates: Sequence[Scheme], used: set[str]) -> Scheme:
    """The candidate that most entities follow; raises `TagError` if too few do."""
    entities = sum(len(candidates[0].decode(tags)) for tags in corpus)
    illegal = [count_illegal(corpus, scheme) for scheme in candidates]
    fewest = min(illegal)
    if fewest * TOLERANCE <= entities:
        return candidates[illegal.index(fewest)]
    found = [
        next((((n, each.position), each.message) for n, tags in enumerate(corpus) for each in scheme.violations(tags)))
        for scheme in candidates
    ]
    if len(found) == 1:
        place, _ = found[0]
        letter = split_tag(corpus[place[0]][place[1]])[0]
        deciding = ({"S"} if "S" in used else set("BE")) if candidates[0].name == "BIOES" else set("MLU")
        found += _first_tag(corpus, (deciding & used) - {letter}, f"makes it {candidates[0].name}")
    raise _mixture(found, f", or name the scheme {' or '.join(scheme.name for scheme in candidates)}")


Found = tuple[tuple[int, int], str]


def _first_tag(corpus: Sequence[Sequence[str]], letters: Iterable[str], why: str) -> list[Found]:
    """The first tag with one of ``letters``, or an empty list."""
    wanted = set(letters)
    places = ((n, i) for n, tags in enumerate(corpus) for i, tag in enumerate(tags) if split_tag(tag)[0] in wanted)
    return [((n, i), f"{corpus[n][i]} {why}") for n, i in islice(places, 1)]


def _check_spelling(corpus: Sequence[Sequence[str]], used: set[str]) -> None:
    for one, other in _CONFLICTING:
        if used & set(one) and used & set(other):
            name = "BMES" if one == "M" else "BILOU"
            first = _first_tag(corpus, one, f"is a tag of {name}")
            raise _mixture([*_first_tag(corpus, other, f"is not a tag of {name}"), *first])


def _mixture(found: Sequence[Found], other_way: str = "") -> TagError:
    shown = [f"{message} (sentence {number + 1}, token {position + 1})" for (number, position), message in found]
    message = f"the tags mix schemes: {', but '.join(shown)}; correct the tags{other_way}"
    return TagError(message, [place for place, _ in found])


_OUTSIDE = frozenset(("o", "0", "_", "-", "out", "outside", "other", "none"))
_WORDS = {"begin": "B", "inside": "I", "middle": "M", "end": "E", "last": "L", "single": "S", "unit": "U"}
_SPELLINGS = (
    re.compile(r"(?P<letter>[A-Za-z]+)[-_:./|](?P<label>.+)"),
    re.compile(r"(?P<label>.+)[-_:./|](?P<letter>[A-Za-z]+)"),
)
_BRACKETS = re.compile(r"(?:\([\w-]+)*\*\)*")


def remark_on_plain(counts: Mapping[str, int]) -> str:
    """Why plain tags may be meant as tags of spans, from their counts; empty if nothing says so.

    >>> remark_on_plain({"b-per": 2, "o": 5})
    "the tags look like BIO in another spelling, such as 'b-per' for B-per"
    """
    foreign = [tag for tag in counts if split_tag(tag)[0] not in _LETTERS]
    if not foreign:
        return ""
    for spelling in _SPELLINGS:
        tags = {tag: _respelled(tag, spelling) for tag in counts}
        letters = {split_tag(tag)[0] for tag in tags.values()}
        if "" not in letters and letters & {"B", "S", "U"} and len(letters) > 1:
            first = next((tag for tag in foreign if tags[tag] != "O"), foreign[0])
            name = _candidates(letters - {"O"})[0].name
            return f"the tags look like {name} in another spelling, such as {first[:40]!r} for {tags[first][:40]}"
    if any("(" in tag for tag in counts) and all(tag and _BRACKETS.fullmatch(tag) for tag in counts):
        first = next(tag for tag in counts if "(" in tag)
        return f"the tags look like the brackets of CoNLL-2012, such as {first[:40]!r}"
    typed = [tag for tag in counts if "-" in tag and tag not in foreign]
    if any(tag[0] == "B" for tag in typed):
        found = f"{foreign[0][:40]!r} ({counts[foreign[0]]:,} of {sum(counts.values()):,} tags)"
        return f"tags such as {typed[0][:40]} look like tags of spans, but {found} does not"
    return ""


def _respelled(tag: str, spelling: re.Pattern[str]) -> str:
    """The tag as LETTER-type or O; empty for other tags."""
    if tag.lower() in _OUTSIDE:
        return "O"
    match = spelling.fullmatch(tag)
    letter = "" if match is None else _WORDS.get(match["letter"].lower(), match["letter"].upper())
    return f"{letter}-{match['label']}" if match is not None and letter in _LETTERS - {"O"} else ""
