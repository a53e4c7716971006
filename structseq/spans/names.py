"""The schemes there are, and the names they go by.

IOB1 is by Ramshaw and Marcus (1995); IOB2 (here BIO), IOE1 and IOE2 (here IOE) by Tjong Kim Sang and Veenstra (1999);
BIOES is spelled BILOU by Ratinov and Roth (2009) and BMES in Chinese word segmentation (Xue 2003).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from structseq.errors import ConfigError
from structseq.spans.schemes import Scheme

_BIOES = {"B": "B", "I": "I", "E": "E", "S": "S"}
PLAIN = Scheme("plain", "plain", {})
SCHEMES: Mapping[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("IO", "IO", {"I": "I"}),
        Scheme("IOB1", "IOB1", {"B": "B", "I": "I"}),
        Scheme("BIO", "BIO", {"B": "B", "I": "I"}),
        Scheme("IOE1", "IOE1", {"I": "I", "E": "E"}),
        Scheme("IOE", "IOE", {"I": "I", "E": "E"}),
        Scheme("BIOES", "BIOES", _BIOES),
        Scheme("BILOU", "BIOES", {"B": "B", "I": "I", "L": "E", "U": "S"}),
        Scheme("BMES", "BIOES", {"B": "B", "M": "I", "E": "E", "S": "S"}),
        PLAIN,
    )
}
# IOB is left out on purpose: some mean IOB1 by it and some IOB2
ALIASES: Mapping[str, str] = {
    **{"IOB2": "BIO", "IOE2": "IOE", "IOBES": "BIOES", "BIESO": "BIOES", "BIES": "BIOES", "BMESO": "BMES"},
    **{"BILUO": "BILOU", "BIOUL": "BILOU", "BIOLU": "BILOU"},
}


def scheme_of(name: str) -> Scheme:
    """The scheme of that name in any spelling and case; `ConfigError` for any other, with the nearest name.

    >>> scheme_of("iob2").name, scheme_of("IOBES").name, scheme_of("BILUO").name, scheme_of("plain").plain
    ('BIO', 'BIOES', 'BILOU', True)
    """
    known = {own.upper(): SCHEMES[own] for own in SCHEMES} | {own: SCHEMES[ALIASES[own]] for own in ALIASES}
    if name.upper() in known:
        return known[name.upper()]
    if name.upper() == "IOB":
        raise ConfigError("unknown tag scheme 'IOB': some mean IOB1 by it and some IOB2; name one of the two")
    near = difflib.get_close_matches(name.upper(), known, n=1)
    hint = f"did you mean {known[near[0]].name if near[0] == 'PLAIN' else near[0]}?" if near else ""
    choices = ", ".join([*SCHEMES, *ALIASES])
    raise ConfigError(f"unknown tag scheme {name!r}: {hint + ' ' if hint else ''}known are {choices}")
