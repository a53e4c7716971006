"""Killed at any moment and resumed, training ends with the weights of an unbroken run, to the last bit.

A separate process trains once without a break and forks for every attempt, so that a kill costs no start-up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import call, tiny, write_corpus

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")

# Forks for each training; the child is killed after a time, or before the n-th change that it makes to a disk.
FORKS = """
import contextlib, json, os, random, signal, sys, time
from structseq import cli

def unbroken(words):
    began = time.process_time()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        assert cli.main(words) == 0
    return time.process_time() - began

def forked(words, before=None, after=0.0):
    child = os.fork()
    if child:
        return child
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if before is not None:
        kill_before(*before)
    signal.setitimer(signal.ITIMER_PROF, after)  # SIGPROF, which nothing catches, ends the process; 0 sets none
    os._exit(cli.main(words))

def kill_before(folder, change):
    changes = 0
    def hook(event, arguments):
        nonlocal changes
        writes = event == "open" and arguments[1] not in ("r", "rb")
        if writes or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"):
            if str(arguments[0]).startswith(folder):
                changes += 1
                if changes == change:
                    os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

def status_of(child):
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
"""

KILLS = """
seed, folder, epochs, words = json.loads(sys.argv[1])
short, long = ([*words, "--set", f"training.epochs={number}", "--output"] for number in (1, epochs))

# Killed before the 2nd, 14th, 26th ... change to the disk, each time in a new folder, and then resumed.
unbroken([*short, f"{folder}/short"])
change, ends = 2, []
while True:
    out = f"{folder}/short-{change}"
    killed = status_of(forked([*short, out], before=(out, change)))
    ends.append([change, killed, status_of(forked([*short, out, "--resume"]))])
    if killed is not None:
        break
    change += 12

# Killed after random shares of the processor time of an unbroken run, until an attempt ends by itself.
# Time on the processor, as the system counts it, is the same on a busy machine and on a quiet one.
used = unbroken([*long, f"{folder}/long"])
chance, kills, status = random.Random(seed), 0, None
while status is None:
    moment = chance.uniform(0.05, 0.3) * used if kills < 5 else 0.0
    status = status_of(forked([*long, f"{folder}/long-killed", "--resume"], after=moment))
    kills += status is None
print(json.dumps([ends, kills, status]))
"""


def files_of(model: Path) -> dict[str, bytes]:
    """What decides answers: weights, vocabularies, tags and options."""
    names = ["model.safetensors", "config.json", "options.json", "entities.jsonl"]
    names += [f"vocabulary/{file.name}" for file in (model / "vocabulary").iterdir()]
    return {name: (model / name).read_bytes() for name in names}


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A run of four updates an epoch, with a checkpoint after each."""
    parts = write_corpus(tmp_path)
    said = ["train", str(parts["train"]), "--dev", str(parts["dev"]), "--test", str(parts["test"])]
    return [*said, *tiny(but="training.epochs"), "--save-every", "0"]


def test_killed_at_any_moment_it_ends_bit_identical(tmp_path: Path, words: list[str]) -> None:
    arguments = json.dumps([0, str(tmp_path), 6, [*words, "--quiet"]])
    done = subprocess.run([sys.executable, "-c", FORKS + KILLS, arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    ends, kills, status = json.loads(done.stdout)
    assert len(ends) > 5 and [status for _, _, status in ends] == [0] * len(ends)
    short, long, killed = (tmp_path / name for name in ("short", "long", "long-killed"))
    for change, _, _ in ends:
        out = tmp_path / f"short-{change}"
        assert files_of(out) == files_of(short), change
        assert {path.name for path in out.iterdir()} == {path.name for path in short.iterdir()}
    assert status == 0 and kills >= 2
    assert files_of(killed) == files_of(long) and not (killed / "run").exists()
    records, unbroken = (
        [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()] for folder in (killed, long)
    )
    assert [record["event"] for record in records].count("end") == 1
    epochs, expected = (
        [[record[key] for key in ("epoch", "loss", "dev")] for record in log if record["event"] == "epoch"]
        for log in (records, unbroken)
    )
    assert epochs == expected and len(epochs) == 6


def test_a_finished_run_says_so_and_does_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]
) -> None:
    words = [*words, "--set", "training.epochs=1", "--output"]
    out = tmp_path / "model"
    done = call(capsys, *words, out, "--resume")
    assert done.status == 0 and f"{out}: there is nothing to resume; training starts" in done.err
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = call(capsys, *words, out, "--resume")
    assert (again.status, again.out) == (0, "")
    assert again.sentence == f"{out}: this run is already finished; nothing was done"
    refused = call(capsys, *words, out)
    assert refused.status == 2 and f"{out}: holds a finished model; choose another --output" in refused.sentence
    other = call(capsys, *words, out, "--resume", "--seed", 5)
    assert other.status == 2 and "because the seed was 0 and is 5 now" in other.sentence
    train = Path(words[1])
    train.write_text(train.read_text() + "new\\tO\\n")
    other = call(capsys, *words, out, "--resume")
    assert other.status == 2 and "because the train data differ" in other.sentence
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
