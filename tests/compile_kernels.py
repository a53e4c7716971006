"""Compiles the chain's kernels for one type of number: ``python tests/compile_kernels.py float64``."""

from __future__ import annotations

import sys

import torch

from structseq.spans import scheme_of
from structseq.structures.chain import EdgePattern, LinearChain


def main(name: str) -> None:
    dtype = getattr(torch, name)
    scores, transitions, start, end = (
        torch.zeros(shape, dtype=dtype, requires_grad=True) for shape in ((2, 3, 2), (2, 2), (2,), (2,))
    )
    chain = LinearChain(scores, transitions, start, end, torch.tensor([3, 1]))
    path = chain.best().path
    (chain.log_prob(path) + chain.score(path) + chain.log_partition()).sum().backward()
    chain.edge_marginals()
    chain.ranked(2)
    edges = scheme_of("IO").edges(("O", "I-x"), "x")
    chain.span_probabilities([(0, 0, 1, 0)], [EdgePattern(*edges)])


if __name__ == "__main__":
    main(sys.argv[1])
