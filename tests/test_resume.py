"""Killed at any moment and resumed, training ends with the weights of an unbroken run, to the last bit.

One process of its own trains once without a break and forks for every attempt, so that a kill costs no start-up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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

# Unbroken once, then killed after random shares of the processor time that it took, until an attempt ends by itself.
# Time on the processor, as the system counts it, is the same on a busy machine and on a quiet one.
RANDOMLY = """
seed, whole, words = json.loads(sys.argv[1])
unbroken([*words, f"{whole}-before"])  # imports all that training needs
used = unbroken([*words, whole])
chance, kills, status = random.Random(seed), 0, None
while status is None:
    moment = chance.uniform(0.05, 0.3) * used if kills < 5 else 0.0
    status = status_of(forked([*words, f"{whole}-killed", "--resume"], after=moment))
    kills += status is None
print(json.dumps([kills, status]))
"""

# Killed before every so manyth change to the disk, each time in a folder of its own, and then resumed.
SYSTEMATICALLY = """
first, stride, whole, words = json.loads(sys.argv[1])
unbroken([*words[:-1], whole])
change, ends = first, []
while True:
    out = f"{words[-1]}-{change}"
    killed = status_of(forked([*words[:-1], out], before=(out, change)))
    again = status_of(forked([*words[:-1], out, "--resume"]))
    ends.append([change, killed, again])
    if killed is not None:
        break
    change += stride
print(json.dumps(ends))
"""


def forks(code: str, *arguments: Any) -> Any:
    """What the code prints; it runs in a process of its own, after `FORKS`."""
    command = [sys.executable, "-c", FORKS + code, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def files_of(model: Path) -> dict[str, bytes]:
    """What decides answers: weights, vocabularies, tags and options."""
    names = ["model.safetensors", "config.json", "options.json", "entities.jsonl"]
    names += [f"vocabulary/{file.name}" for file in (model / "vocabulary").iterdir()]
    return {name: (model / name).read_bytes() for name in names}


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A run of 6 epochs of four updates, with a checkpoint after each; the output folder comes next."""
    parts = write_corpus(tmp_path)
    said = ["train", str(parts["train"]), "--dev", str(parts["dev"]), "--test", str(parts["test"]), "--quiet"]
    return [*said, *tiny(6), "--save-every", "0", "--output"]


def test_killed_at_random_moments_it_ends_bit_identical(tmp_path: Path, words: list[str]) -> None:
    out = tmp_path / "whole-killed"
    kills, status = forks(RANDOMLY, 0, str(tmp_path / "whole"), words)
    assert status == 0 and kills >= 2
    assert files_of(out) == files_of(tmp_path / "whole")
    assert not (out / "run").exists()
    records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records if record["event"] == "epoch"] == [*range(1, 7)]
    assert [record["event"] for record in records].count("end") == 1
    unbroken = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    losses, scores = (
        [[record[key] for record in log if record["event"] == "epoch"] for log in (records, unbroken)]
        for key in ("loss", "dev")
    )
    assert losses[0] == losses[1] and scores[0] == scores[1]


def test_killed_before_any_change_to_the_disk_it_ends_bit_identical(tmp_path: Path, words: list[str]) -> None:
    words = [word.replace("epochs=6", "epochs=1") for word in words]
    ends = forks(SYSTEMATICALLY, 2, 12, str(tmp_path / "whole"), [*words, str(tmp_path / "out")])
    assert len(ends) > 5 and [status for _, _, status in ends] == [0] * len(ends)
    whole = files_of(tmp_path / "whole")
    for change, _, _ in ends:
        out = tmp_path / f"out-{change}"
        assert files_of(out) == whole, change
        assert {path.name for path in out.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


def test_a_finished_run_says_so_and_does_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]
) -> None:
    words = [word.replace("epochs=6", "epochs=1") for word in words if word != "--quiet"]
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
