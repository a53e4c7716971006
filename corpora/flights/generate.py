"""Writes the flights corpus: the same seed gives the same bytes on every Python from 3.11 on.

python corpora/flights/generate.py                  writes en/, zh/ and SHA256SUMS here, and the README's tables
python corpora/flights/generate.py --check          compares what stands here with what would be written
python corpora/flights/generate.py --statistics     prints the README's tables
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))  # splitmix.py, which all corpora share

from counts import Corpus, statistics
from sentences import Sentence
from splits import HERE, LANGUAGES, SIZES, corpus

SEED = 7
README = "README.md"
FENCES = re.compile(r"(?s)(?<=<!-- statistics -->\n\n).*(?=\n<!-- end of statistics -->)")


def text(sentences: list[Sentence]) -> str:
    """A column file: metadata, one `token TAB tag` a line, a blank line after each sentence."""
    blocks = []
    for sentence in sentences:
        head = f"# template = {sentence.template.name}\n# intent = {sentence.template.intent}\n"
        rows = zip(sentence.tokens, sentence.tags, strict=True)
        blocks.append(head + "".join(f"{token}\t{tag}\n" for token, tag in rows))
    return "\n".join(blocks) + "\n"


def contents(corpora: dict[str, Corpus]) -> dict[str, bytes]:
    """Every file to be written, by its path below the output folder; SHA256SUMS comes last."""
    files = {f"{code}/{split}.conll": text(parts[split]).encode() for code, parts in corpora.items() for split in SIZES}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    return {**files, "SHA256SUMS": sums.encode("ascii")}


def differences(files: dict[str, bytes], folder: Path, tables: str) -> list[str]:
    """What in `folder` is missing or differs; the README's tables count where there is a README."""
    wrong = []
    for name, data in files.items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif path.read_bytes() != data:
            wrong.append(f"{name} differs")
    readme = folder / README
    if readme.is_file() and FENCES.findall(readme.read_text(encoding="utf-8")) != [tables]:
        wrong.append(f"the tables in {README} differ from --statistics")
    return wrong


def write(files: dict[str, bytes], folder: Path, tables: str) -> None:
    """Write every file, and bring the tables up to date where the folder has a README."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    readme = folder / README
    if readme.is_file():
        words = FENCES.sub(lambda _: tables, readme.read_text(encoding="utf-8"))
        readme.write_bytes(words.encode("utf-8"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Write, check or count the flights corpus.")
    add = parser.add_argument
    add("--output", type=Path, default=HERE, metavar="DIR", help="the folder to write or check (default: this one)")
    add("--seed", type=int, default=SEED, help="what decides every draw (default: %(default)s, the shipped corpus)")
    add("--check", action="store_true", help="write nothing; exit with status 1 where the folder differs")
    add("--statistics", action="store_true", help="write nothing; print the README's tables")
    options = parser.parse_args()
    corpora = {language.code: corpus(language, options.seed) for language in LANGUAGES}
    tables = statistics(corpora)
    if options.statistics:
        print(tables, end="")
        return 0
    files = contents(corpora)
    if not options.check:
        write(files, options.output, tables)
        return 0
    wrong = differences(files, options.output, tables)
    for line in wrong:
        print(f"{options.output}: {line}; run generate.py to write it anew", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
