"""The plain tutorial model: a BiLSTM-CRF as the public PyTorch tutorials teach it, with pytorch-crf.

Word and character embeddings, a character CNN over every token of the padded batch (Ma and Hovy 2016), one packed
bidirectional LSTM, a linear layer, `torchcrf.CRF`; Adam, dropout, shuffled padded batches, clipped gradients. Nothing
in it is slow on purpose and nothing is tuned: it is the yardstick of the speed benchmarks, and imports no structseq.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torchcrf
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader
from widths import BATCH, CHARACTER_EMBEDDING, CHARACTER_WINDOW, CHARACTERS, HIDDEN, WORDS

PAD, UNKNOWN = 0, 1

Sentence = tuple[Tensor, Tensor]  # words (L,), characters (L, C)
Batch = tuple[Tensor, Tensor, Tensor]  # words (B, T), characters (B, T, C), lengths (B,)


def numbering(strings: Iterable[str]) -> dict[str, int]:
    """A number for each string, after those of padding and the unknown."""
    return {string: number for number, string in enumerate(sorted(set(strings)), start=2)}


class BiLstmCrf(nn.Module):
    """The network."""

    def __init__(self, words: int, characters: int, tags: int) -> None:
        super().__init__()
        self.word_embedding = nn.Embedding(words, WORDS, padding_idx=PAD)
        self.character_embedding = nn.Embedding(characters, CHARACTER_EMBEDDING, padding_idx=PAD)
        self.character_cnn = nn.Conv1d(CHARACTER_EMBEDDING, CHARACTERS, CHARACTER_WINDOW, padding=CHARACTER_WINDOW // 2)
        self.dropout = nn.Dropout(0.5)
        self.lstm = nn.LSTM(WORDS + CHARACTERS, HIDDEN, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * HIDDEN, tags)
        self.crf = torchcrf.CRF(tags, batch_first=True)

    def emissions(self, words: Tensor, characters: Tensor, lengths: Tensor) -> Tensor:
        rows, steps, longest = characters.shape
        spelt = self.character_embedding(characters.view(rows * steps, longest))  # (B*T, C, 30)
        filtered = torch.relu(self.character_cnn(spelt.transpose(1, 2)))  # (B*T, 50, C)
        spelling = filtered.max(dim=2).values.view(rows, steps, -1)
        inputs = self.dropout(torch.cat([self.word_embedding(words), spelling], dim=-1))
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        emissions: Tensor = self.linear(self.dropout(states))
        return emissions

    def loss(self, words: Tensor, characters: Tensor, lengths: Tensor, tags: Tensor) -> Tensor:
        emissions = self.emissions(words, characters, lengths)
        likelihood: Tensor = self.crf(emissions, tags, mask=words != PAD, reduction="mean")
        return -likelihood

    def decode(self, words: Tensor, characters: Tensor, lengths: Tensor) -> list[list[int]]:
        paths: list[list[int]] = self.crf.decode(self.emissions(words, characters, lengths), mask=words != PAD)
        return paths


class Tutorial:
    """The network with its vocabularies: trained one pass at a time, then asked for tags.

    Parameters
    ----------
    sentences, tags:
        The training data; no sentence is empty.
    """

    def __init__(self, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], *, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.words = numbering(word.lower() for sentence in sentences for word in sentence)
        self.characters = numbering(character for sentence in sentences for word in sentence for character in word)
        self.tags = sorted({tag for row in tags for tag in row})
        number = {tag: k for k, tag in enumerate(self.tags)}
        targets = [torch.tensor([number[tag] for tag in row]) for row in tags]
        encoded = [self.encode(sentence) for sentence in sentences]
        self.loader: DataLoader[tuple[Sentence, Tensor]] = DataLoader(
            list(zip(encoded, targets, strict=True)),  # type: ignore[arg-type]
            batch_size=BATCH,
            shuffle=True,
            collate_fn=collate_tagged,
        )
        self.network = BiLstmCrf(len(self.words) + 2, len(self.characters) + 2, len(self.tags))
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3)

    def encode(self, sentence: Sequence[str]) -> Sentence:
        """Numbers of a sentence's words (L,) and of their characters (L, C)."""
        words = torch.tensor([self.words.get(word.lower(), UNKNOWN) for word in sentence])
        spelt = [torch.tensor([self.characters.get(character, UNKNOWN) for character in word]) for word in sentence]
        return words, pad_sequence(spelt, batch_first=True, padding_value=PAD)

    def train_pass(self) -> float:
        """One pass over the training data; the mean loss of its batches."""
        self.network.train()
        total = 0.0
        for (words, characters, lengths), tags in self.loader:
            self.optimizer.zero_grad()
            loss = self.network.loss(words, characters, lengths, tags)
            loss.backward()
            clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimizer.step()
            total += loss.item()
        return total / len(self.loader)

    def tag(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """Tags of each sentence, in batches of 32 as they come."""
        self.network.eval()
        found = []
        with torch.no_grad():
            for start in range(0, len(sentences), BATCH):
                batch = collate([self.encode(sentence) for sentence in sentences[start : start + BATCH]])
                found += [[self.tags[k] for k in path] for path in self.network.decode(*batch)]
        return found


def collate(sentences: Sequence[Sentence]) -> Batch:
    """Sentences padded to the longest, words padded to the longest word."""
    words = pad_sequence([words for words, _ in sentences], batch_first=True, padding_value=PAD)
    longest = max(characters.shape[1] for _, characters in sentences)
    table = torch.full((*words.shape, longest), PAD)
    for row, (_, characters) in zip(table, sentences, strict=True):
        row[: characters.shape[0], : characters.shape[1]] = characters
    return words, table, torch.tensor([len(words) for words, _ in sentences])


def collate_tagged(pairs: Sequence[tuple[Sentence, Tensor]]) -> tuple[Batch, Tensor]:
    """The same with their tags (B, T)."""
    tags = pad_sequence([tags for _, tags in pairs], batch_first=True, padding_value=PAD)
    return collate([sentence for sentence, _ in pairs]), tags
