"""Characters -> word vectors: a convolution with maximum over the word (Ma and Hovy 2016, section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from structseq import compiling
from structseq.data.vocabulary import Axis, axis_names
from structseq.features.base import FeatureOptions
from structseq.features.characters import Characters, CharactersOptions
from structseq.inputs.base import WordFeature


class CharacterCNN(WordFeature):
    """Windows of characters, a linear filter each, the maximum over the word, ReLU.

    A convolution over embedded characters is a sum of one table row a window position, and the tables are small: every
    filter's answer to every character is computed once a batch, and windows are then looked up and added.

    Row 0 of ``embedding`` is "outside the word", row 1 the unknown character, then the vocabulary's own.
    """

    class Options(CharactersOptions, FeatureOptions):
        """A further convolution over characters."""

    Index = Characters

    def __init__(self, feature: Characters, options: CharactersOptions) -> None:
        super().__init__(feature, options.width)
        self.vocabulary, windows = feature.vocabulary, options.windows
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, options.embedding)
        shares = [self.width // len(windows) + (i < self.width % len(windows)) for i in range(len(windows))]
        # More windows than filters leave some without any.
        self.filters = nn.ParameterList(
            torch.empty(window, options.embedding, n) for window, n in zip(windows, shares, strict=True) if n
        )
        self.bias = nn.Parameter(torch.zeros(self.width))
        bound = (3 / options.embedding) ** 0.5
        nn.init.uniform_(self.embedding.weight, -bound, bound)
        for weights in self.filters:
            nn.init.xavier_uniform_(weights.view(-1, weights.shape[-1]))

    def named_axes(self) -> dict[str, Sequence[Axis]]:
        return {"embedding.weight": [["outside", *axis_names(self.vocabulary.items)], None]}

    def forward(self, index: Tensor) -> Tensor:
        lengths, characters = index[:, 0], index[:, 1:]
        best = torch.cat([self._highest(characters, lengths, weights) for weights in self.filters], -1)
        return torch.relu(best + self.bias)

    def _highest(self, characters: Tensor, lengths: Tensor, weights: Tensor) -> Tensor:
        """(D, n) each filter's highest answer over a word's windows; 0 for a word without characters."""
        # (W, V, n): what each filter position answers to each character
        tables = torch.einsum("ve,wen->wvn", self.embedding.weight, weights)
        if tables.device.type == "cpu" and tables.dtype == torch.float32 and compiling.available():
            highest: Tensor = _HighestWindows.apply(tables, characters, lengths)
            return highest
        return highest_windows(tables, characters, lengths)


def highest_windows(tables: Tensor, characters: Tensor, lengths: Tensor) -> Tensor:
    """The highest answer over windows by torch's own operations: tables (W, V, n), characters (D, C), lengths (D,) ->
    (D, n)."""
    window, rows, filters = tables.shape
    longest = max(characters.shape[1], 1)
    before = (window - 1) // 2
    padded = nn.functional.pad(characters, (before, window - 1 - before + longest - characters.shape[1]))
    bags = padded.unfold(1, window, 1) + torch.arange(window, device=characters.device) * rows
    answers = nn.functional.embedding_bag(bags.reshape(-1, window), tables.reshape(-1, filters), mode="sum")
    outside = (torch.arange(longest, device=characters.device) >= lengths.unsqueeze(1)).unsqueeze(-1)
    highest = answers.view(-1, longest, filters).masked_fill(outside, -torch.inf).amax(1)
    return torch.where(lengths.unsqueeze(1) > 0, highest, torch.zeros_like(highest))


class _HighestWindows(torch.autograd.Function):
    """The same by the compiled kernels; ties go to the first window."""

    @staticmethod
    def forward(ctx: Any, tables: Tensor, characters: Tensor, lengths: Tensor) -> Tensor:
        from structseq.inputs import kernels

        tables, characters, lengths = tables.contiguous(), characters.contiguous(), lengths.contiguous()
        highest = torch.empty(len(characters), tables.shape[2])
        places = torch.empty(highest.shape, dtype=torch.int64)
        arrays = [part.detach().numpy() for part in (tables, characters, lengths, highest, places)]
        kernels.highest_windows(*arrays)
        ctx.save_for_backward(characters, lengths, places)
        ctx.shape = tables.shape
        return highest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        from structseq.inputs import kernels

        for_tables = torch.zeros(ctx.shape)
        characters, lengths, places = (part.numpy() for part in ctx.saved_tensors)
        kernels.highest_windows_back(upstream.contiguous().numpy(), characters, lengths, places, for_tables.numpy())
        return for_tables, None, None
