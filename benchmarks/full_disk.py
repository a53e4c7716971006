"""A full disk: every command on a small file system, of every size from nothing to enough in steps.

    python benchmarks/full_disk.py [--steps 12] [--command train ...]

Each run must end well, or with one line on standard error that gives advice, and must leave what was there before. A
training that was stopped by the full disk is resumed with more space, and must give the same weights. The small file
system is a tmpfs in a user namespace of its own, which needs no rights but that the system allows such namespaces.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TINY = (
    "encoder.width=8", "inputs.words.width=8", "inputs.characters.width=4", "inputs.characters.embedding=4",
    "inputs.affixes.shape=0", "inputs.affixes.width=0", "training.epochs=3", "training.threads=1",
)  # fmt: skip
SMALL = [word for setting in TINY for word in ("--set", setting)]
CITIES = ("Taipei", "Osaka", "New York", "Oslo", "Lima", "Cairo", "Paris", "Rome")
# Command lines; D is the small file system, W another folder. KB is the size that is enough
COMMANDS: dict[str, tuple[list[str], int]] = {
    "train": (["train", "W/train.conll", "--dev", "W/dev.conll", "--output", "D/out", *SMALL], 200),
    "compare": (
        [
            "compare",
            "W/train.conll",
            "--dev",
            "W/dev.conll",
            "--output",
            "D/out",
            "--seeds",
            "0,1",
            "--jobs",
            "1",
            *SMALL,
        ],
        900,
    ),
    "convert": (["convert", "W/train.conll", "D/out.jsonl"], 24),
    "tag": (["tag", "W/model", "W/train.conll", "--output", "D/out.conll"], 24),
    "tag to a stream": (["tag", "W/model", "W/train.conll"], 24),
    "embed": (["embed", "W/model", "W/train.conll", "--output", "D/out.npy"], 16),
    "embed as JSON": (["embed", "W/model", "W/train.conll", "--output", "D/out.jsonl"], 32),
    "evaluate": (["evaluate", "W/model", "W/train.conll", "--json", "D/out.json"], 32),
}
ADVICE = ("free some space", "disk is full")


def corpus(count: int) -> str:
    rows = []
    for n in range(count):
        origin, target = CITIES[n % 8].split(), CITIES[(n // 8 + n + 1) % 8].split()
        for word, kind, city in (("from", "origin", origin), ("to", "target", target)):
            rows += [f"{word}\tO", *(f"{each}\t{'IB'[not i]}-{kind}" for i, each in enumerate(city))]
        rows.append("")
    return "\n".join(rows) + "\n"


def within(size: int, command: list[str], disk: Path, *, more: int = 0) -> list[subprocess.CompletedProcess[str]]:
    """Run a command on a tmpfs of ``size`` KB at ``disk``, and again after it has grown to ``more`` KB (0: only once).

    What the disk has at the end is copied beside it.
    """
    python = [sys.executable, "-m", "structseq"]
    script = f"""
        mount -t tmpfs -o size={size}k none "$1" || exit 90
        [ -e "$2" ] && cp -r "$2"/. "$1"/
        out=/dev/null; [ "$3" = stream ] && out="$1/stream"
        shift 3
        "$@" > "$out" 2> "$E.1"; echo $? > "$S.1"
        if [ {more} != 0 ]; then
            mount -o remount,size={more}k "$D"
            "$@" $R > /dev/null 2> "$E.2"; echo $? > "$S.2"
        fi
        cp -r "$D"/. "$K"
    """
    kept = disk.with_name("kept")
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    places = {"E": disk.with_name("errors"), "S": disk.with_name("status"), "K": kept, "D": disk}
    stream = "stream" if str(disk) not in " ".join(command) else "file"
    words = ["unshare", "-rm", "bash", "-c", script, "bash", str(disk), str(disk.with_name("before")), stream]
    environment = {
        **os.environ,
        **{name: str(path) for name, path in places.items()},
        "R": "--resume" * (command[0] == "train"),
    }
    done = subprocess.run([*words, *python, *command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 90:
        sys.exit(f"no small file system can be mounted here: {done.stderr.strip()}")
    return [
        subprocess.CompletedProcess(
            command, int(Path(f"{places['S']}.{n}").read_text()), "", Path(f"{places['E']}.{n}").read_text()
        )
        for n in ((1, 2) if more else (1,))
    ]


def weights(folder: Path) -> str:
    """The digest of all weights in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("model.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def faults(name: str, done: list[subprocess.CompletedProcess[str]], kept: Path, expected: str) -> list[str]:
    first, last = done[0], done[-1]
    found = []
    if first.returncode and not any(words in first.stderr for words in ADVICE):
        found.append(f"no advice: {first.stderr.strip()[-300:]!r}")
    if "Traceback" in first.stderr + last.stderr:
        found.append(f"a traceback: {(first.stderr + last.stderr).strip()[-300:]!r}")
    if name not in ("train", "compare"):
        left = [path.name for path in kept.rglob("*") if path.is_file() and path.name != "stream"]
        if first.returncode and left:
            found.append(f"left behind: {left}")
    elif last.returncode:
        found.append(f"not resumed: {last.stderr.strip()[-300:]!r}")
    elif weights(kept) != expected:
        found.append(f"other weights: {weights(kept)}, not {expected}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12, help="number of sizes")
    parser.add_argument("--command", action="append", choices=COMMANDS, help="by default all")
    given = parser.parse_args()
    count = bad = 0
    with tempfile.TemporaryDirectory() as folder:
        work, disk = Path(folder), Path(folder, "disk")
        disk.mkdir()
        for part, size in (("train", 64), ("dev", 16)):
            (work / f"{part}.conll").write_text(corpus(size), encoding="utf-8")
        train = [sys.executable, "-m", "structseq", "train", str(work / "train.conll"), "--output", str(work / "model")]
        subprocess.run([*train, "--quiet", *SMALL], check=True, capture_output=True)
        for name in given.command or COMMANDS:
            words, enough = COMMANDS[name]
            command = [word.replace("D/", f"{disk}/").replace("W/", f"{work}/") for word in words]
            more = 4 * enough if name in ("train", "compare") else 0
            (whole,) = within(4 * enough, command, disk)
            if whole.returncode:
                sys.exit(f"{name} fails with enough space: {whole.stderr.strip()}")
            expected = weights(disk.with_name("kept"))
            for step in range(given.steps):
                size = max(4, enough * step // (given.steps - 1) // 4 * 4)
                done = within(size, command, disk, more=more)
                found = faults(name, done, disk.with_name("kept"), expected)
                count, bad = count + 1, bad + bool(found)
                said = done[0].stderr.strip().splitlines()[-1:] if done[0].returncode else []
                print(f"{name:16} {size:5} KB  status {done[0].returncode}  {'; '.join(found) or 'good'}  {said}"[:400])
                sys.stdout.flush()
    print(f"{count} runs, {bad} with a fault")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
