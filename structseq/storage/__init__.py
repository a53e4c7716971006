"""The model folder, without executable code, and checkpoints of a run.

::

    model/
      config.json          model_type, format_version, tags, schemes, tokenizer, vocabularies, widths, checksums
      options.json         all options; `--config` reads it
      model.safetensors    the weights
      vocabulary/*.txt     per line: entry, tab, count
      entities.jsonl       the training data's entities, to score seen and unseen ones separately
      metrics.json         scores
      provenance.json      versions, data, seed
      README.md            the model card
"""

from __future__ import annotations

from structseq.storage.checkpoint import load_checkpoint, save_checkpoint
from structseq.storage.loading import StoredModel, load_model
from structseq.storage.saving import check_destination, is_model_folder, model_files, save_model, write_model

__all__ = [
    "StoredModel",
    "check_destination",
    "is_model_folder",
    "load_checkpoint",
    "load_model",
    "model_files",
    "save_checkpoint",
    "save_model",
    "write_model",
]
