"""The tag scheme found from the data: which one the entities of a whole corpus follow, or that they mix several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from structseq.spans.chunks import split_tag
from structseq.spans.names import PLAIN, SCHEMES
from structseq.spans.schemes import Scheme, TagError

# A corpus follows a scheme when at most one entity in so many is written otherwise; the rest are illegal sequences
TOLERANCE = 5


def detect(sequences: Iterable[Sequence[str]]) -> Scheme:
    """The scheme that a whole corpus of tag sequences is written in.

    The tags are spans when each is O, or one of the letters B I E S M L U, alone or followed by ``-type``; otherwise
    they are plain, as parts of speech are. So ``NN-HL`` makes a corpus plain whatever else is in it, and ``S-2`` does
    not. Letters alone are spans only if they have a B, I or M and follow their scheme without fault; so ``S``, ``O``
    and ``I`` stay plain where they stand for parts of speech. Where the letters leave a choice:

    ========================  ======================================================================
    no letter but O           BIO
    I                         IO (IOB1 without neighbours looks the same and is read the same)
    B, or B and I             BIO or IOB1, whichever more entities follow, BIO if as many
    E, or E and I             IOE or IOE1, likewise
    S, or B and E             BIOES; with M it is BMES, with L or U it is BILOU
    ========================  ======================================================================

    At most every fifth entity may be written otherwise: those are illegal sequences, for `Scheme.violations` to name.
    More is a mixture of schemes: `TagError` names two tags that contradict each other, and has their places. So it
    does for letters of two spellings, and for a few odd tags among many of a scheme.

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
            raise _stray(corpus, strays)
        return PLAIN
    used = set(letters.values()) - {"O"}
    if used and not typed:
        return _detect_bare(corpus, used)
    _refuse_two_spellings(corpus, used)
    return _best(corpus, _candidates(used), used)


_LETTERS = frozenset("OBIESMLU")
# Letters of different spellings: none of the first may stand beside one of the second
_RIVALS = (("M", "ILU"), ("LU", "ES"))


def _candidates(used: set[str]) -> list[Scheme]:
    """The schemes that these letters may be, the likelier first."""
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
    found = [_first_violation(corpus, scheme) for scheme in candidates]
    if len(found) == 1:
        place, _ = found[0]
        own = split_tag(corpus[place[0]][place[1]])[0]
        telling = ({"S"} if "S" in used else set("BE")) if candidates[0].name == "BIOES" else set("MLU")
        found += _first_tag(corpus, (telling & used) - {own}, f"makes it {candidates[0].name}")
    raise _mixture(found)


Found = tuple[tuple[int, int], str]


def _first_violation(corpus: Sequence[Sequence[str]], scheme: Scheme) -> Found:
    return next(
        ((number, violation.position), violation.message)
        for number, tags in enumerate(corpus)
        for violation in scheme.violations(tags)
    )


def _first_tag(corpus: Sequence[Sequence[str]], letters: Iterable[str], why: str) -> list[Found]:
    """The first tag with one of ``letters``; none or one."""
    wanted = set(letters)
    for number, tags in enumerate(corpus):
        for position, tag in enumerate(tags):
            if split_tag(tag)[0] in wanted:
                return [((number, position), f"{tag} {why}")]
    return []


def _refuse_two_spellings(corpus: Sequence[Sequence[str]], used: set[str]) -> None:
    for one, other in _RIVALS:
        if used & set(one) and used & set(other):
            name = "BMES" if one == "M" else "BILOU"
            first = _first_tag(corpus, one, f"is a tag of {name}")
            raise _mixture([*_first_tag(corpus, other, f"is none of {name}"), *first])


def _stray(corpus: Sequence[Sequence[str]], strays: set[str]) -> TagError:
    letters = {split_tag(tag)[0] for tag in strays}
    first = _first_tag(corpus, letters, "is a tag of no scheme")
    return _mixture([*first, *_first_tag(corpus, _LETTERS - {"O"}, "is a tag of one")])


def _mixture(found: Sequence[Found]) -> TagError:
    told = [f"{message} (sentence {number + 1}, token {position + 1})" for (number, position), message in found]
    message = f"the tags mix schemes: {', but '.join(told)}; mend the tags, or name the scheme and a repair"
    return TagError(message, [place for place, _ in found])
