"""Detect the tag scheme of a corpus from its tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from structseq.spans.schemes import PLAIN, SCHEMES, Scheme, TagError, split_tag
from structseq.spans.summary import FOREIGN, LETTERS, Place, TagSummary

# A corpus follows a scheme if at most one of this many entities is illegal in it
TOLERANCE = 5


def detect(sequences: Iterable[Sequence[str]], *, spans: bool = False) -> Scheme:
    """The scheme of a corpus of tag sequences; with ``spans``, letters without any type are span tags too.

    Span tags are O, or a letter of B I E S M L U, alone or followed by ``-type``; with other tags the scheme is plain.
    Letters without any type must be all of BIO, BIES, BMES or BILU, or include B, I or M and be legal, or the scheme is
    plain. Otherwise the letters decide:

    =============  ======================================================================
    only O         BIO
    I              IO
    B, or B and I  BIO or IOB1: the one that more entities follow, BIO if equal
    E, or E and I  IOE or IOE1, likewise
    S, or B and E  BIOES; with M it is BMES, with L or U it is BILOU
    =============  ======================================================================

    Raises `TagError`, with two tags that contradict each other, if schemes are mixed: more than a fifth of the entities
    is illegal (if only one scheme has the letters, also more than two of them, or half), letters belong to different
    spellings, or a minority of the tags is not of a span scheme.

    >>> detect([["B-x", "L-x", "O"], ["U-y"]]).name, detect([["DT", "NN-HL"]]).name
    ('BILOU', 'plain')
    """
    return detect_in(TagSummary.of(sequences), spans=spans)


def detect_in(corpus: TagSummary, *, spans: bool = False) -> Scheme:
    """As `detect`, from a corpus's summary."""
    counts = corpus.counts
    letters = {tag: split_tag(tag)[0] for tag in counts}
    foreign = {tag for tag, letter in letters.items() if letter not in LETTERS}
    typed = [tag for tag in counts if "-" in tag and tag not in foreign]
    if foreign:
        if len(foreign) < len(typed) and 2 * sum(counts[tag] for tag in foreign) < counts.total():
            first = _first_tag(corpus, {FOREIGN}, "is not a span tag")
            found = [*first, *_first_tag(corpus, LETTERS - {"O"}, "is a span tag")]
            raise _mixture(found, ["plain"])
        return PLAIN
    used = set(letters.values()) - {"O"}
    if used and not typed and not spans:
        return _detect_untyped(corpus, used)
    _check_spelling(corpus, used)
    return _best(corpus, _candidates(used), used)


def detect_beside(corpus: TagSummary, known: Scheme) -> Scheme:
    """The scheme of a corpus that goes with data in ``known``.

    It is ``known`` if no other scheme fits better, because a corpus without adjacent entities fits several schemes.
    Raises `TagError` as `detect`, if ``known`` does not have all the tags.
    """
    covered = corpus.covered_by(known)
    if covered and not known.plain and not count_illegal(corpus, known):
        return known
    try:
        found = detect_in(corpus, spans=not known.plain)
    except TagError:
        if covered:
            return known
        raise
    if known.plain:
        types = found.types(corpus.counts)
        return found if types and "" not in types else known
    return known if covered and count_illegal(corpus, known) <= count_illegal(corpus, found) else found


def count_illegal(corpus: TagSummary, scheme: Scheme) -> int:
    """The number of entities that are illegal in ``scheme``; raises `TagError` for a tag of another scheme."""
    return corpus.illegal(scheme)[0]


# Letters that without a type are tags of spans nevertheless
_WHOLE = frozenset(map(frozenset, ("BI", "BIES", "BMES", "BILU")))
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


def _detect_untyped(corpus: TagSummary, used: set[str]) -> Scheme:
    if not used & set("BIM") or any(used & set(one) and used & set(other) for one, other in _CONFLICTING):
        return PLAIN
    if used in _WHOLE:
        return _best(corpus, _candidates(used), used)
    legal = (scheme for scheme in _candidates(used) if not count_illegal(corpus, scheme))
    return next(legal, PLAIN)


def _best(corpus: TagSummary, candidates: Sequence[Scheme], used: set[str]) -> Scheme:
    """The candidate that most entities follow; raises `TagError` if too few do."""
    entities = corpus.entities.total()
    illegal = [count_illegal(corpus, scheme) for scheme in candidates]
    fewest = min(illegal)
    # One wrong tag can make two entities illegal.
    few = len(candidates) == 1 and fewest <= 2 and 2 * fewest < entities
    if few or fewest * TOLERANCE <= entities:
        return candidates[illegal.index(fewest)]
    violations = [next(corpus.violations(scheme)) for scheme in candidates]
    found = [((number, each.position), each.message) for number, each in violations]
    if len(found) == 1:
        number, position = found[0][0]
        letter = split_tag(corpus.shown[number][position])[0]
        deciding = ({"S"} if "S" in used else set("BE")) if candidates[0].name == "BIOES" else set("MLU")
        found += _first_tag(corpus, (deciding & used) - {letter}, f"makes it {candidates[0].name}")
    raise _mixture(found, [scheme.name for scheme in candidates])


Found = tuple[Place, str]


def _first_tag(corpus: TagSummary, letters: Iterable[str], why: str) -> list[Found]:
    """The first tag with one of ``letters``, or an empty list."""
    place = corpus.first_of(letters)
    return [] if place is None else [(place, f"{corpus.shown[place[0]][place[1]]} {why}")]


def _check_spelling(corpus: TagSummary, used: set[str]) -> None:
    for one, other in _CONFLICTING:
        if used & set(one) and used & set(other):
            name = "BMES" if one == "M" else "BILOU"
            first = _first_tag(corpus, one, f"is a tag of {name}")
            raise _mixture([*_first_tag(corpus, other, f"is not a tag of {name}"), *first])


def _mixture(found: Sequence[Found], schemes: Sequence[str] = ()) -> TagError:
    shown = [f"{message} (sentence {number + 1}, token {position + 1})" for (number, position), message in found]
    message = f"the tags mix schemes: {', but '.join(shown)}; correct the tags"
    return TagError(message, [place for place, _ in found], schemes)


_OUTSIDE = frozenset(("o", "0", "_", "-", "out", "outside", "other", "none"))
_WORDS = {"begin": "B", "inside": "I", "middle": "M", "end": "E", "last": "L", "single": "S", "unit": "U"}
_SPELLINGS = (
    re.compile(r"(?P<letter>[A-Za-z]+)[-_:./|\u2010-\u2015\u2212](?P<label>.+)"),
    re.compile(r"(?P<label>.+)[-_:./|\u2010-\u2015\u2212](?P<letter>[A-Za-z]+)"),
)
_BRACKETS = re.compile(r"(?:\([\w-]+)*\*\)*")


def remark_on_plain(counts: Mapping[str, int], repeated: int = 0) -> str:
    """Why plain tags may be meant as tags of spans, from their counts; empty if nothing says so.

    ``repeated`` is how often a tag other than O follows itself.

    >>> remark_on_plain({"b-per": 2, "o": 5})
    "the tags look like BIO in another spelling, such as 'b-per' for B-per"
    """
    foreign = [tag for tag in counts if split_tag(tag)[0] not in LETTERS]
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
    others = [tag for tag in counts if tag != "O"]
    if (
        not typed
        and 20 * repeated > sum(counts[tag] for tag in others)
        and counts["O"] > max(map(counts.__getitem__, others))
    ):
        return f"tags such as {max(others, key=counts.__getitem__)[:40]} beside O look like entities without a scheme"
    return ""


def _respelled(tag: str, spelling: re.Pattern[str]) -> str:
    """The tag as LETTER-type or O; empty for other tags."""
    if tag.lower() in _OUTSIDE:
        return "O"
    match = spelling.fullmatch(tag)
    letter = "" if match is None else _WORDS.get(match["letter"].lower(), match["letter"].upper())
    return f"{letter}-{match['label']}" if match is not None and letter in LETTERS - {"O"} else ""
