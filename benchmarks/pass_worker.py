"""A training pass of structseq for every line on stdin, in whatever threading environment it was started.

Run by ``training_speed.py --threads``: the environment must stand before torch is loaded, hence a process for each.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter

import torch
from folder import read_folder
from passes import structseq_passes


def main() -> None:
    folder, sentences, passes, *settings = sys.argv[1:]
    corpus = read_folder(Path(folder), sentences=int(sentences) or None)
    one_pass = structseq_passes(corpus, settings, passes=int(passes))
    print(json.dumps({"threads": torch.get_num_threads()}), flush=True)
    for _ in sys.stdin:
        started = perf_counter()
        one_pass()
        print(json.dumps({"seconds": perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main()
