"""Do the tests notice? Seeds classic bugs of structured layers, one at a time, and says which test kills each.

The package and its tests are copied to a temporary folder; there one piece of source is replaced, the relevant tests
run until the first fails, and the source is put back. A piece that is not found exactly once is an error: the table
must never praise tests for a bug that was not there.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from table import markdown

ROOT = Path(__file__).resolve().parent.parent
VERBS, LAWS, OBJECTIVES = "tests/test_chain_verbs.py", "tests/laws/test_structure_laws.py", "tests/test_objectives.py"


class Mutant(NamedTuple):
    """One bug: ``old`` becomes ``new`` in a file of structseq/structures."""

    bug: str
    file: str
    old: str
    new: str
    tests: str = VERBS
    among: str = ""  # words for pytest's -k


MUTANTS = (
    Mutant(
        "end score taken at the last padded step",
        "chain.py",
        "last = tags.gather(1, (self.lengths.to(tags.device) - 1).clamp(min=0).unsqueeze(1)).squeeze(1)",
        "last = tags[:, -1]",
        among="vectorised or definition",
    ),
    Mutant(
        "end score's gradient at the last padded step",
        "kernels.py",
        "+= for_scores[b, lengths[b] - 1, k]",
        "+= for_scores[b, steps - 1, k]",
        among="compiled",
    ),
    Mutant(
        "padded step is the source of a transition (log Z)",
        "chain.py",
        "prefix = torch.where(real[:, t].unsqueeze(1), next_prefix, prefix)",
        "prefix = next_prefix",
        among="definition",
    ),
    Mutant(
        "padded step is the source of a transition (Viterbi)",
        "vectorised.py",
        "here = torch.where(inside.unsqueeze(1), gained + scores[:, t], here)",
        "here = gained + scores[:, t]",
        among="vectorised",
    ),
    Mutant(
        "sum for max in Viterbi",
        "vectorised.py",
        "gained, source = ((here - top.unsqueeze(1)).unsqueeze(2) + transitions_at(transitions, t - 1)).max(1)",
        "every = (here - top.unsqueeze(1)).unsqueeze(2) + transitions_at(transitions, t - 1)\n"
        "        gained, source = every.logsumexp(1), every.argmax(1)",
        among="vectorised",
    ),
    Mutant(
        "max for sum in log Z",
        "base.py",
        "total = (values - highest).exp().sum(dim)",
        "total = (values - highest).exp().amax(dim)",
        among="definition",
    ),
    Mutant(
        "transitions added twice",
        "kernels.py",
        "total += table[t - 1 if transitions.shape[1] > 1 else 0, tags[b, t - 1], tags[b, t]]",
        "total += 2 * table[t - 1 if transitions.shape[1] > 1 else 0, tags[b, t - 1], tags[b, t]]",
        among="compiled",
    ),
    Mutant(
        "transitions transposed",
        "vectorised.py",
        "here = (alphas[-1].unsqueeze(1) @ transitions_at(factors, t - 1)).squeeze(1)",
        "here = (alphas[-1].unsqueeze(1) @ transitions_at(factors, t - 1).mT).squeeze(1)",
        among="vectorised",
    ),
    Mutant(
        "a step's transitions taken one step late",
        "vectorised.py",
        "return table[:, step if table.shape[1] > 1 else 0]",
        "return table[:, min(step + 1, table.shape[1] - 1)]",
        among="vectorised or definition",
    ),
    Mutant(
        "zero read as forbidden",
        "chain.py",
        "return table_of(self.transitions)",
        "return table_of(torch.where(self.transitions == 0, -torch.inf, self.transitions))",
        among="vectorised or definition",
    ),
    Mutant(
        "start score left out",
        "chain.py",
        "prefix = semiring.lift(start + scores[:, 0])",
        "prefix = semiring.lift(scores[:, 0])",
        among="definition",
    ),
    Mutant(
        "last emission left out",
        "vectorised.py",
        "here = here * weights[:, t]\n",
        "here = here * torch.where(torch.lt(lengths, t + 2).unsqueeze(1), 1.0, weights[:, t])\n",
        among="vectorised",
    ),
    Mutant(
        "padding times a mask of zeros instead of replaced",
        "chain.py",
        "scores = torch.where(real.unsqueeze(-1), self.scores, torch.zeros_like(self.scores))",
        "scores = self.scores * real.unsqueeze(-1)",
        among="vectorised or definition",
    ),
    Mutant(
        "ties to the highest tag",
        "vectorised.py",
        "best, tag = (here + end).max(1)",
        "best, tag = (here + end).flip(1).max(1)\n    tag = here.shape[1] - 1 - tag",
        among="vectorised",
    ),
    Mutant(
        "equals ranked by the highest tag",
        "kernels.py",
        "while at > 0 and score > scores[at - 1]:",
        "while at > 0 and score >= scores[at - 1]:",
        among="compiled",
    ),
    Mutant(
        "shift not added back to log Z",
        "forward_backward.py",
        "return scaled, marginals, log_z + shift",
        "return scaled, marginals, log_z",
        among="vectorised",
    ),
    Mutant(
        "gradient of transitions not weighted by upstream",
        "forward_backward.py",
        "arrivals = torch.as_tensor(scaled.arrivals) * upstream[:, None, None]",
        "arrivals = torch.as_tensor(scaled.arrivals)",
        among="vectorised",
    ),
    Mutant(
        "gradient of log p not weighted by upstream",
        "forward_backward.py",
        "(ready if weight == 1 else [each * weight for each in ready])",
        "(ready if weight else [each * weight for each in ready])",
        among="compiled",
    ),
    Mutant(
        "no fall back to wider numbers",
        "forward_backward.py",
        "        dead = (~torch.as_tensor(scaled.alive)).nonzero().squeeze(1)\n        transitions = log_z\n",
        "        dead = _NONE\n        transitions = log_z\n",
        among="nats",
    ),
    Mutant(
        "no fall back from float64 to logarithms",
        "forward_backward.py",
        "    dead = (~torch.as_tensor(scaled.alive)).nonzero().squeeze(1)\n    empty",
        "    dead = _NONE\n    empty",
        among="nats",
    ),
    Mutant(
        "samples drawn without looking at the step behind",
        "chain.py",
        "given_next = prefix[t] + step[torch.arange(rows, device=scores.device), paths[:, :, t + 1]]",
        "given_next = prefix[t].expand(n, -1, -1)",
        among="samples",
    ),
    Mutant(
        "posterior decoding through forbidden transitions",
        "base.py",
        "masks = tuple(torch.where(torch.isneginf(part), -torch.inf, torch.zeros_like(part)) for part in others)",
        "masks = tuple(torch.zeros_like(part) for part in others)",
        among="minimum_risk",
    ),
    Mutant(
        "divergence finite where the other forbids",
        "base.py",
        "divergence = torch.where(infinite, torch.inf, divergence.clamp(min=0))",
        "divergence = divergence.clamp(min=0)",
        tests=LAWS,
        among="divergence",
    ),
    Mutant(
        "cost of a mistake charged for padding",
        "objectives.py",
        "return _less(augmented.score(worst), augmented.score(target))",
        "return structure.score(worst) + (worst != target).sum(1) - structure.score(target)",
        tests=OBJECTIVES,
        among="structured_svm",
    ),
    Mutant(
        "cost matrix read as [predicted, gold]",
        "objectives.py",
        "cost.to(scores)[places]",
        "cost.T.to(scores)[places]",
        tests=OBJECTIVES,
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="WORDS", default="", help="bugs whose description holds these words")
    parser.add_argument("--healthy", action="store_true", help="first run all the tests over an unchanged copy")
    asked = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if asked.only in mutant.bug]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        copied(place)
        for mutant in chosen:  # all of them before the first minute is spent
            mutated((place / "structseq/structures" / mutant.file).read_text(encoding="utf-8"), mutant)
        if asked.healthy and (found := first_failure(place, [VERBS, LAWS, OBJECTIVES], "")):
            sys.exit(f"nothing can be learned from tests that fail without a bug: {found}")
        rows = []
        for mutant in chosen:
            rows.append([mutant.bug, mutant.file, killer(place, mutant)])
            print(f"{len(rows)}/{len(chosen)} {': '.join(rows[-1])}", file=sys.stderr, flush=True)
    print(markdown(["bug", "file", "killed by"], rows))
    alive = sum(row[-1] == SURVIVED for row in rows)
    print(f"\n{len(rows) - alive} of {len(rows)} killed")
    sys.exit(alive > 0)


SURVIVED = "nothing"


def copied(place: Path) -> None:
    """What the tests need, in a folder of its own."""
    for name in ("structseq", "tests"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    done = run(place, [sys.executable, "-c", "import structseq; print(structseq.__file__)"])
    if Path(done.stdout.strip()) != place / "structseq" / "__init__.py":
        raise RuntimeError(f"expected the copy to be imported, found {done.stdout or done.stderr}")


def mutated(source: str, mutant: Mutant) -> str:
    """The source with the bug in it."""
    count = source.count(mutant.old)
    if count != 1:
        raise RuntimeError(f"{mutant.bug}: expected once in {mutant.file}, found {count} times: {mutant.old}")
    return source.replace(mutant.old, mutant.new)


def killer(place: Path, mutant: Mutant) -> str:
    """The first test that fails while the bug is in."""
    path = place / "structseq/structures" / mutant.file
    source, times = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(mutated(source, mutant), encoding="utf-8")
    try:
        return first_failure(place, [mutant.tests], mutant.among) or SURVIVED
    finally:
        # With its old date too, so that compiled kernels stay known.
        path.write_text(source, encoding="utf-8")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def first_failure(place: Path, tests: list[str], among: str) -> str:
    """Name of the first test that fails, empty where all pass."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *tests]
    done = run(place, [*words, "-k", among] if among else words)
    if done.returncode == 0:
        return ""
    found = re.search(r"^(?:FAILED|ERROR) (?:\S*/)?(\S+\.py::.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode != 1 or not found:
        raise RuntimeError(f"pytest ended with {done.returncode} and no failed test:\n{done.stdout}\n{done.stderr}")
    return found[1]


def run(place: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    """In the copy, importing the copy, with compiled code of its own."""
    own = {"PYTHONPATH": str(place), "NUMBA_CACHE_DIR": str(place / "numba"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(words, cwd=place, env={**os.environ, **own}, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
