"""Convert tags from one scheme to another, and repair illegal tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from structseq.errors import ConfigError, DataError
from structseq.spans.schemes import Scheme, Span, TagError


def convert(tags: Sequence[str], source: Scheme, target: Scheme) -> tuple[str, ...]:
    """Write the spans of ``tags`` in another scheme.

    Raises `TagError` if ``tags`` are illegal in ``source``, and `DataError` if ``target`` cannot hold the spans (see
    `Scheme.encode`) or ``source`` is plain.

    >>> from structseq.spans import scheme_of
    >>> convert(["B-x", "I-x", "O"], scheme_of("BIO"), scheme_of("BILOU"))
    ('B-x', 'L-x', 'O')
    """
    if source == target:
        return tuple(tags)
    if source.plain:
        raise DataError(f"plain tags have no spans and cannot be converted to {target.name}")
    for violation in source.violations(tags):
        raise TagError(f"{violation.message}; repair the tags before converting them", [(0, violation.position)])
    return target.encode(source.decode(tags), len(tags))


# By policy: the spans that it keeps
REPAIR_POLICIES: Mapping[str, Callable[[Scheme, Sequence[str]], tuple[Span, ...]]] = {
    "conlleval": Scheme.decode,
    "drop": Scheme.decode_strict,
}


def repair(tags: Sequence[str], scheme: Scheme, policy: str) -> tuple[str, ...]:
    """Make ``tags`` legal by a policy of `REPAIR_POLICIES`; legal and plain tags do not change.

    ``conlleval`` rewrites every span of `Scheme.decode`; ``drop`` keeps only those of `Scheme.decode_strict`. Raises
    `ConfigError` for an unknown policy and `TagError` for a tag of another scheme.

    >>> from structseq.spans import scheme_of
    >>> [repair(["I-x", "B-y"], scheme_of("BIO"), policy) for policy in REPAIR_POLICIES]
    [('B-x', 'B-y'), ('O', 'B-y')]
    """
    if policy not in REPAIR_POLICIES:
        raise ConfigError(f"unknown repair {policy!r}; known are {', '.join(REPAIR_POLICIES)}")
    return tuple(tags) if scheme.plain else scheme.encode(REPAIR_POLICIES[policy](scheme, tags), len(tags))
