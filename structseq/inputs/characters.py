"""Characters -> word vectors: a convolution with maximum over the word (Ma and Hovy 2016, section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from structseq.data.vocabulary import Vocabulary
from structseq.inputs.base import WordFeature


class CharacterCNN(WordFeature):
    """Windows of characters, a linear filter each, the maximum over the word, ReLU.

    A convolution over embedded characters is a sum of one table row a window position, and the tables are small: every filter's
    answer to every character is computed once a batch, and windows are then looked up and added (an embedding bag).

    Parameters
    ----------
    vocabulary:
        Open vocabulary of characters.
    width:
        Number of filters, shared out over ``windows``.
    windows:
        Window widths in characters.
    longest:
        A longer word is seen by its first and last ``longest // 2`` characters.
    """

    def __init__(
        self, vocabulary: Vocabulary, width: int, *, embedding: int = 30, windows: Sequence[int] = (3,), longest: int = 40
    ) -> None:
        super().__init__()
        self.vocabulary, self.width, self.windows, self.longest = vocabulary, width, tuple(windows), longest
        # Row 0 is "outside the word", row 1 the unknown character, then the vocabulary's own.
        self.embedding = nn.Embedding(len(vocabulary) + 1, embedding)
        shares = [width // len(windows) + (i < width % len(windows)) for i in range(len(windows))]
        self.filters = nn.ParameterList(torch.empty(window, embedding, n) for window, n in zip(windows, shares, strict=True))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.uniform_(self.embedding.weight, -((3 / embedding) ** 0.5), (3 / embedding) ** 0.5)
        for weights in self.filters:
            nn.init.xavier_uniform_(weights.view(-1, weights.shape[-1]))

    def index(self, words: Sequence[str]) -> Tensor:
        """(D, 1+C): each word's length in characters, then its characters' rows, 0 beyond."""
        half = self.longest // 2
        seen = [word if len(word) <= self.longest else word[:half] + word[-half:] for word in words]
        lengths = np.fromiter((len(word) for word in seen), np.int64, len(seen))
        table = np.zeros((len(seen), 1 + int(lengths.max(initial=0))), np.int64)
        table[:, 0] = lengths
        flat = np.array(self.vocabulary.numbers("".join(seen)), np.int64) + 1
        table[:, 1:][np.arange(table.shape[1] - 1) < lengths[:, None]] = flat
        return torch.from_numpy(table)

    def forward(self, index: Tensor) -> Tensor:
        lengths, characters = index[:, 0], index[:, 1:]
        longest = max(int(lengths.max()) if len(lengths) else 0, 1)
        characters = nn.functional.pad(characters[:, :longest], (0, max(longest - characters.shape[1], 0)))
        outside = (torch.arange(longest, device=index.device) >= lengths.unsqueeze(1)).unsqueeze(-1)
        parts = []
        for weights in self.filters:
            answers = self._convolve(characters, weights)  # (D, C, n)
            parts.append(answers.masked_fill(outside, -torch.inf).amax(1))
        # A word without characters has no maximum; it answers like the bias alone.
        best = torch.cat(parts, -1)
        return torch.relu(torch.where(lengths.unsqueeze(1) > 0, best, torch.zeros_like(best)) + self.bias)

    def _convolve(self, characters: Tensor, weights: Tensor) -> Tensor:
        window, _, filters = weights.shape
        before = (window - 1) // 2
        # (window, V, n): what each filter position answers to each character
        tables = torch.einsum("ve,wen->wvn", self.embedding.weight, weights)
        padded = nn.functional.pad(characters, (before, window - 1 - before))
        bags = padded.unfold(1, window, 1) + torch.arange(window, device=characters.device) * tables.shape[1]
        answers = nn.functional.embedding_bag(bags.reshape(-1, window), tables.reshape(-1, filters), mode="sum")
        return answers.view(*characters.shape, filters)
