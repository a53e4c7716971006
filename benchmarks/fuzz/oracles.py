"""Small readers of four formats, written anew: what a well-formed file holds, for comparison.

Each takes the decoded text and returns sentences of (tokens, tags). None means that the format's rules leave room for a
decision (a line that may be a comment or a token, a header), so that there is nothing to compare.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Sentences = list[tuple[tuple[str, ...], tuple[str, ...]]]

_COMMENT = re.compile(r"# [a-z_]+ = [^\t]*")
_NAMES = re.compile(r"(token|word|form|text|surface)s?", re.IGNORECASE)
_FIELD_NUMBERS = {"upos": 3, "xpos": 4, "lemma": 2, "deprel": 7, "feats": 5, "misc": 9}


def columns(text: str, options: Mapping[str, Any]) -> Sentences | None:
    """A column file; `structseq.data.comments` has the rules."""
    text = text.removeprefix("\ufeff")
    separator, comments = options.get("separator", "auto"), options.get("comments", "auto")
    token, tag = options.get("token_column", 0), options.get("tag_column", -1)
    if "\ufeff" in text:
        return None
    tab: bool | None = {"tab": True, "space": False}.get(separator)
    sentences: Sentences = []
    rows: list[list[str]] = []
    width = 0
    for line in [*text.split("\n"), ""]:
        blank, boundary = not line.strip(" \t\r"), re.match(r"(?i)-docstart-(?=[ \t\r]|$)", line)
        if blank or boundary:
            if rows:
                sentences.append((tuple(row[token] for row in rows), tuple(row[tag] for row in rows)))
            rows = []
        elif line[0] == "#" and comments != "never":
            if comments == "always" or (not rows and _COMMENT.fullmatch(line.rstrip("\r")) and width):
                continue
            return None
        else:
            tab = "\t" in line.strip(" \t\r") if tab is None else tab
            row = line.rstrip("\r\n").split("\t") if tab else re.findall(r"[^ \t]+", line.strip(" \t\r"))
            row = [value.strip(" ") for value in row] if tab and separator != "tab" else row
            if not width and (any(map(_NAMES.fullmatch, row)) or (token != 0 and row[0].isdecimal())):
                return None
            width = width or len(row)
            if len(row) != width or not (-width <= token < width and -width <= tag < width):
                return None
            rows.append(row)
    return sentences


def conllu(text: str, options: Mapping[str, Any]) -> Sentences | None:
    text = text.removeprefix("\ufeff")
    field, _, key = options.get("field", "upos").partition(":")
    sentences: Sentences = []
    rows: list[list[str]] = []
    for line in [*text.split("\n"), ""]:
        if line.strip(" \t\r") in ("", "\ufeff"):
            if rows:
                tags = tuple(_conllu_value(row[_FIELD_NUMBERS[field]], field, key) for row in rows)
                sentences.append((tuple(row[1] for row in rows), tags))
            rows = []
        elif line[0] != "#":
            row = line.rstrip("\r\n").split("\t")
            if len(row) != 10:
                return None
            if not re.search(r"[-.]", row[0]):
                rows.append(row)
    return sentences


def _conllu_value(value: str, field: str, key: str) -> str:
    if not key:
        return value
    pairs = [pair.split("=", 1) for pair in value.split("|") if "=" in pair]
    found = [right for left, right in pairs if left == key]
    return found[0] if found else "O" if field == "misc" else "_"


def jsonl(text: str, options: Mapping[str, Any]) -> Sentences | None:
    """Records of tokens and tags; None if a record has anything else that may be meant."""
    sentences: Sentences = []
    for line in text.removeprefix("\ufeff").split("\n"):
        if not line.strip(" \t\r"):
            continue
        try:
            record = json.loads(line.rstrip("\r"))
        except (ValueError, RecursionError):
            return None
        if not isinstance(record, dict) or not {"words", "ner_tags", "text", "spans"}.isdisjoint(record):
            return None
        tokens, tags = record.get("tokens"), record.get("tags")
        if not isinstance(tokens, list) or not isinstance(tags, list):
            return None
        if not all(isinstance(value, str) for value in [*tokens, *tags]):
            return None
        sentences.append((tuple(tokens), tuple(tags)))
    return sentences


def csv(text: str, options: Mapping[str, Any]) -> Sentences | None:
    """Rows of tokens under the header ``sentence, token, tag``."""
    text = text.removeprefix("\ufeff")
    header = re.match(r"\s*sentence([,;\t])token\1tag\r?\n", text)
    if header is None:
        return None
    records = list(_csv_records(text[header.end() :], header[1]))
    if any(len(record) != 3 and "".join(record).strip() for record in records):
        return None
    sentences: Sentences = []
    rows: list[list[str]] = []
    name = None
    for record in [*records, []]:
        row = record if len(record) == 3 else []
        blank = not any(row)
        changed = not blank and row[0] != "" and row[0] != name
        if rows and (blank or changed):
            sentences.append((tuple(row[1] for row in rows), tuple(row[2] for row in rows)))
            rows = []
        name = row[0] if changed else name
        rows += [] if blank else [row]
    return sentences


def _csv_records(text: str, separator: str) -> Iterator[list[str]]:
    r"""Records as RFC 4180 has them; lines may end in ``\n`` too. Stops at what it does not allow."""
    pattern = re.compile(rf'(?:"((?:[^"]|"")*)"|([^"{separator}\r\n][^{separator}\r\n]*|))({separator}|\r?\n|\r?$)')
    record: list[str] = []
    at = 0
    while at < len(text) or record:
        found = pattern.match(text, at)
        if found is None or (found.end() == at and not record):
            yield ["not", "a", "record", "of", "three"]
            return
        record.append(found[2] if found[1] is None else found[1].replace('""', '"'))
        at = found.end()
        if found[3] != separator:
            yield record
            record = []
            if found.end() == len(text):
                return
