"""One shape for all rivals in the speed benchmarks: words 100, characters 50, one LSTM layer of 200 each way, CRF."""

from __future__ import annotations

WORDS = 100
CHARACTERS = 50
CHARACTER_EMBEDDING = 30
CHARACTER_WINDOW = 3
HIDDEN = 200
BATCH = 32

# The same as settings of structseq; written out although most are defaults, because defaults may change. Dropout and
# the rest of the recipe stay as they are. No token budget: a batch is 32 sentences, whatever their length.
SETTINGS = (
    f"inputs.words.width={WORDS}",
    f"inputs.characters.width={CHARACTERS}",
    f"inputs.characters.embedding={CHARACTER_EMBEDDING}",
    f"inputs.characters.windows=[{CHARACTER_WINDOW}]",
    "inputs.affixes.width=0",
    "inputs.affixes.shape=0",
    "encoder.type=lstm",
    f"encoder.width={HIDDEN}",
    "encoder.layers=1",
    "encoder.bidirectional=true",
    "head.type=crf",
    "head.scheme=auto",
    f"training.batch_sentences={BATCH}",
    "training.batch_tokens=1000000",
    "training.device=cpu",
)
