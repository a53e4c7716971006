"""Detects the tag scheme of a corpus from its tags, or that they mix schemes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

from structseq.spans.schemes import PLAIN, SCHEMES, Scheme, TagError, split_tag

# A corpus follows a scheme if at most one entity in this number is written otherwise
TOLERANCE = 5


def detect(sequences: Iterable[Sequence[str]]) -> Scheme:
    """The scheme of a corpus of tag sequences.

    The tags are spans if each is O, or one of the letters B I E S M L U, alone or followed by ``-type``; otherwise they
    are plain, as parts of speech are. Letters alone are spans only if they have a B, I or M and follow their scheme
    without fault; so ``S``, ``O`` and ``I`` can be parts of speech. The letters decide:

    ========================  ======================================================================
    no letter but O           BIO
    I                         IO (IOB1 without neighbours looks the same and is read the same)
    B, or B and I             BIO or IOB1, whichever more entities follow, BIO if as many
    E, or E and I             IOE or IOE1, likewise
    S, or B and E             BIOES; with M it is BMES, with L or U it is BILOU
    ========================  ======================================================================

    At most every fifth entity may be written otherwise (`Scheme.violations` finds those). With more, with letters of
    two spellings, and with a few odd tags among many of a scheme, schemes are mixed: raises `TagError` with two tags
    that contradict each other and their places.

    >>> detect([["B-x", "L-x", "O"], ["U-y"]]).name, detect([["DT", "NN-HL"]]).name
    ('BILOU', 'plain')
    """
    corpus = list(sequences)
    counts = Counter(tag for tags in corpus for tag in tags)
    letters = {tag: split_tag(tag)[0] for tag in counts}
    strays = {tag for tag, letter in letters.items() if letter not in _LETTERS}
    typed = [tag for tag in counts if "-" in tag and tag not in strays]
    if strays:
        if len(strays) < len(typed) and 2 * sum(counts[tag] for tag in strays) < counts.total():
            first = _first_tag(corpus, {letters[tag] for tag in strays}, "is a tag of no scheme")
            raise _mixture([*first, *_first_tag(corpus, _LETTERS - {"O"}, "is a tag of one")])
        return PLAIN
    used = set(letters.values()) - {"O"}
    if used and not typed:
        return _detect_bare(corpus, used)
    _check_spelling(corpus, used)
    return _best(corpus, _candidates(used), used)


_LETTERS = frozenset("OBIESMLU")
# Letters of different spellings: one of the first and one of the second are never in one corpus
_RIVALS = (("M", "ILU"), ("LU", "ES"))


def _candidates(used: set[str]) -> list[Scheme]:
    """The schemes that may have these letters, the likelier first."""
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


def _detect_bare(corpus: Sequence[Sequence[str]], used: set[str]) -> Scheme:
    if not used & set("BIM") or any(used & set(one) and used & set(other) for one, other in _RIVALS):
        return PLAIN
    faultless = (scheme for scheme in _candidates(used) if not any(map(scheme.violations, corpus)))
    return next(faultless, PLAIN)


def _best(corpus: Sequence[Sequence[str]], candidates: Sequence[Scheme], used: set[str]) -> Scheme:
    """The candidate that most entities follow, if enough do."""
    entities = sum(len(candidates[0].decode(tags)) for tags in corpus)
    faults = [entities - sum(len(scheme.well_formed(tags)) for tags in corpus) for scheme in candidates]
    fewest = min(faults)
    if fewest * TOLERANCE <= entities:
        return candidates[faults.index(fewest)]
    found = [
        next((((n, each.position), each.message) for n, tags in enumerate(corpus) for each in scheme.violations(tags)))
        for scheme in candidates
    ]
    if len(found) == 1:
        place, _ = found[0]
        own = split_tag(corpus[place[0]][place[1]])[0]
        telling = ({"S"} if "S" in used else set("BE")) if candidates[0].name == "BIOES" else set("MLU")
        found += _first_tag(corpus, (telling & used) - {own}, f"makes it {candidates[0].name}")
    raise _mixture(found)


Found = tuple[tuple[int, int], str]


def _first_tag(corpus: Sequence[Sequence[str]], letters: Iterable[str], why: str) -> list[Found]:
    """The first tag with one of ``letters``, in a list; an empty list if there is none."""
    wanted = set(letters)
    places = ((n, i) for n, tags in enumerate(corpus) for i, tag in enumerate(tags) if split_tag(tag)[0] in wanted)
    return [((n, i), f"{corpus[n][i]} {why}") for n, i in islice(places, 1)]


def _check_spelling(corpus: Sequence[Sequence[str]], used: set[str]) -> None:
    """Raises `TagError` for letters of two spellings."""
    for one, other in _RIVALS:
        if used & set(one) and used & set(other):
            name = "BMES" if one == "M" else "BILOU"
            first = _first_tag(corpus, one, f"is a tag of {name}")
            raise _mixture([*_first_tag(corpus, other, f"is none of {name}"), *first])


def _mixture(found: Sequence[Found]) -> TagError:
    shown = [f"{message} (sentence {number + 1}, token {position + 1})" for (number, position), message in found]
    message = f"the tags mix schemes: {', but '.join(shown)}; mend the tags, or name the scheme and a repair"
    return TagError(message, [place for place, _ in found])
