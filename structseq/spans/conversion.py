"""Tags of one scheme in another, and illegal tags made legal by a named policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from structseq.errors import ConfigError, DataError
from structseq.spans.schemes import Scheme, Span, TagError


def convert(tags: Sequence[str], source: Scheme, target: Scheme) -> tuple[str, ...]:
    """Tags of one scheme in another.

    Raises `TagError` if ``tags`` are not legal in ``source`` (repair them first) and `DataError` if ``target`` cannot
    hold the spans: IO merges neighbours of one type, plain tags have no spans.

    >>> from structseq.spans import scheme_of
    >>> convert(["B-x", "I-x", "O"], scheme_of("BIO"), scheme_of("BILOU"))
    ('B-x', 'L-x', 'O')
    """
    if source == target:
        return tuple(tags)
    if source.plain:
        raise DataError(f"plain tags have no spans and cannot become {target.name}")
    for violation in source.violations(tags):
        raise TagError(f"{violation.message}; repair the tags before converting them", [(0, violation.position)])
    return target.encode(source.decode(tags), len(tags))


# The spans of a sequence that each policy keeps
REPAIRS: Mapping[str, Callable[[Scheme, Sequence[str]], tuple[Span, ...]]] = {
    "conlleval": Scheme.decode,
    "drop": Scheme.well_formed,
}


def repair(tags: Sequence[str], scheme: Scheme, policy: str) -> tuple[str, ...]:
    """A legal sequence in place of ``tags``, by one of `REPAIRS`; legal and plain ones do not change.

    ``conlleval`` writes every entity that conlleval reads as the scheme does; ``drop`` keeps only the entities that are
    written so already. Raises `ConfigError` for another policy and `TagError` for a tag of another scheme.

    >>> from structseq.spans import scheme_of
    >>> bio = scheme_of("BIO")
    >>> repair(["I-x", "I-x", "B-y"], bio, "conlleval"), repair(["I-x", "I-x", "B-y"], bio, "drop")
    (('B-x', 'I-x', 'B-y'), ('O', 'O', 'B-y'))
    """
    if policy not in REPAIRS:
        raise ConfigError(f"unknown repair {policy!r}; known are {', '.join(REPAIRS)}")
    return tuple(tags) if scheme.plain else scheme.encode(REPAIRS[policy](scheme, tags), len(tags))
