"""What all that users hold of a model have in common: it is checked, loaded, saved and pickled alike."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from structseq.config import outside_classes
from structseq.data.tokenizer import tokenizer_of
from structseq.errors import ConfigError
from structseq.model import Model
from structseq.storage import load_model, model_files, save_model

# What a model's answer is, and who holds such a model
HOLDERS = {
    "tags": "tags; use Tagger",
    "label": "a label; use Classifier",
    "target": "another sequence; use Transducer",
    "inputs": "its input again; use Embedder",
}


class Held:
    """A trained model with what its folder says of it. Threads may share one; pickles hold the files of its folder.

    Parameters
    ----------
    model:
        Held as it is, in evaluation mode, and not to be trained further.
    tokenizer:
        Name of the tokenizer that cuts text, see `structseq.data.tokenizer`; that of the model's options where None.
    metrics, provenance, entities:
        As in `structseq.storage.save_model`; kept for saving.

    Raises
    ------
    ConfigError
        For a model whose answer is of another kind.
    """

    holds: ClassVar[frozenset[str]]
    """What the model's answer may be, of `Head.gives`."""

    def __init__(
        self,
        model: Model,
        *,
        tokenizer: str | None = None,
        metrics: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        entities: Iterable[tuple[str, str]] = (),
    ) -> None:
        if model.head.gives not in self.holds:
            found = HOLDERS.get(model.head.gives, model.head.gives)
            raise ConfigError(f"{type(self).__name__}: expected another model, found one that gives {found}")
        self.model, self.tokenizer = model.eval(), tokenizer or model.options.data.tokenizer
        self.metrics, self.provenance = dict(metrics or {}), dict(provenance or {})
        self.entities = frozenset(entities)
        self._tokenize = tokenizer_of(self.tokenizer)

    @classmethod
    def load(cls, folder: str | Path, *, trusted: Collection[str] = (), device: str = "cpu") -> Self:
        """What is in a model folder; ``trusted`` as in `structseq.storage.load_model`.

        Warns of a folder of an older format version and reads it. Raises `ModelFileError` for a foreign or damaged one.
        """
        stored = load_model(folder, trusted=trusted)
        return cls(
            stored.model.to(device),
            tokenizer=stored.tokenizer,
            metrics=stored.metrics,
            provenance=stored.provenance,
            entities=stored.entities,
        )

    def save(self, folder: str | Path) -> None:
        """Write the model folder; see `structseq.storage.save_model`."""
        save_model(folder, self.model, **self._told())

    def _told(self) -> dict[str, Any]:
        told = {"metrics": self.metrics, "provenance": self.provenance, "entities": self.entities}
        return {"tokenizer": self.tokenizer, **told}

    def __getstate__(self) -> dict[str, Any]:
        """The files of the model folder by name: JSON, text and safetensors, no pickled tensors."""
        trusted = outside_classes(self.model.options.to_dict()).values()
        return {"files": model_files(self.model, **self._told()), "trusted": list(trusted)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in state["files"].items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            self.__dict__.update(type(self).load(folder, trusted=state["trusted"]).__dict__)
