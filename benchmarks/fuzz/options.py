"""Parses random files of options (TOML, JSON) and random values of --set, as `structseq train` does.

Nothing but an error of structseq may be raised. An option `--case N` runs one case alone.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from driver import Draw, Fuzzer
from mutation import EXTREMES, changed, mutated

from structseq.cli.entrypoint import data_options
from structseq.config import Options, load_options, option_list, parse_settings
from structseq.encoders import ENCODERS
from structseq.errors import StructseqError
from structseq.heads import HEADS
from structseq.run import check_options

_NAMES = (
    *("encoder.type", "head.type", "inputs.features.x.type", "inputs.features.x", "inputs.features", "encoder", "head"),
    *("data.columns.pos", "data.columns", "data.audio", "head.costs.PER", "a", "", ".", "a.b.c.d", "encoder..type"),
)
_VALUES = (
    *(
        "1",
        "0",
        "-1",
        "1.5",
        "1e400",
        "nan",
        "inf",
        "-inf",
        "true",
        "True",
        '""',
        '"a"',
        "[]",
        "[1]",
        '["O", "B-x"]',
        "{}",
    ),
    *(
        "{a = 1}",
        '"""',
        "9" * 40,
        "9" * 5000,
        "0x10",
        "1_000",
        "1979-05-27",
        "07:32:00",
        "a\nb = 1",
        "\0",
        "\x1b[2J",
        "é",
    ),
    *(
        "[" * 3000,
        "{a=" * 500,
        "a" * 5000,
        "= 1",
        "# no",
        "utf-16",
        "rot13",
        "undefined",
        "BIO",
        "plain",
        "norm",
        "cpu",
    ),
    *(
        "cuda:99",
        "cuda:-1",
        "meta",
        "auto",
        "words-1",
        "torch.nn:LSTM",
        "json:loads",
        "no_such_module:A",
        ":",
        "a:",
        ":b",
    ),
    *("json:", ".:a", "a:b:c", "math:pi", *ENCODERS, *HEADS),
)


@dataclass
class Parsing:
    kind: str
    content: bytes | None  # of a file
    settings: Sequence[str]
    path: Path

    def shown(self) -> Mapping[str, Any]:
        file = None if self.content is None else repr(self.content[:4000])
        return {"file": file, "suffix": self.path.suffix, "settings": self.settings}

    def run(self) -> str:
        if self.content is not None:
            self.path.write_bytes(self.content)
        try:
            if self.kind == "data":
                data_options(self.settings)
                return "read"
            below = {} if self.content is None else load_options(self.path)
            options = Options.of(below, parse_settings(self.settings))
            again = json.loads(json.dumps(options.to_dict(), allow_nan=False))
            assert Options.of(again) == options, "the options are not those that are saved"
            small = options.encoder.width <= 256 and options.encoder.attention <= 4
            check_options(options, build=small)
        except StructseqError as problem:
            str(problem)
            return "refused"
        return "read"


def start(folder: Path) -> Draw:
    torch.set_num_threads(1)  # a process with threads cannot be forked
    known = option_list()
    whole = Options().to_dict()
    return partial(_draw, [*known, *known, *_NAMES], whole, folder)


def _draw(names: Sequence[str], whole: Mapping[str, Any], folder: Path, chance: random.Random) -> Parsing:
    settings = [_setting(names, chance) for _ in range(chance.choice((1, 1, 2, 3)))]
    drawn = chance.random()
    if drawn < 0.4:
        return Parsing("--set", None, settings, folder / "none.toml")
    if drawn < 0.5:
        return Parsing("data", None, settings, folder / "none.toml")
    settings = settings if chance.random() < 0.2 else []
    if drawn < 0.75:
        table = changed(whole, chance)
        content = json.dumps(table, ensure_ascii=False).encode("utf-8", "surrogatepass")
        content = mutated(content, chance) if chance.random() < 0.3 else content
        return Parsing("JSON", content, settings, folder / "options.json")
    lines = [_setting(names, chance) for _ in range(chance.choice((1, 2, 5, 9)))]
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    content = mutated(content, chance) if chance.random() < 0.5 else content
    return Parsing("TOML", content, settings, folder / "options.toml")


def _setting(names: Sequence[str], chance: random.Random) -> str:
    drawn = chance.random()
    value = chance.choice(_VALUES) if drawn < 0.6 else _toml(chance.choice(EXTREMES))
    if chance.random() < 0.05:
        value = mutated(value.encode("utf-8", "replace"), chance).decode("utf-8", "replace")
    name = chance.choice(names)
    return name + chance.choice((" = ", "=", "=", "=", "", "==")) + value


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value).lower()


FUZZER = Fuzzer(__doc__ or "", 200_000, 2000, start)

if __name__ == "__main__":
    sys.exit(FUZZER.main())
