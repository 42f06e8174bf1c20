"""What the files of a pretrained encoder say of it: config, tokenizer and the header of its weights."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from ratchet.models.backbones import WEIGHTS, local_backbone
from ratchet.models.packed_weights import is_packed, read_packed

ROBERTA = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")
"""Model types whose positions are counted from the padding token's id on, so that fewer are usable."""
MAX_HEADER_BYTES = 100_000_000
"""Of a safetensors file. Source: https://huggingface.co/docs/safetensors, Format."""


@dataclass(frozen=True)
class Backbone:
    """What the files of a pretrained encoder say of it."""

    source: str
    """As `task.backbones` names it."""
    folder: Path
    """The folder it lies in."""
    weights: Path
    """model.safetensors, or the packed file that holds everything."""
    config: dict[str, Any]
    tokenizer: dict[str, Any]
    shapes: dict[str, list[int]]
    """Tensor → its shape."""

    @property
    def n_layers(self) -> int:
        """Its transformer layers; 0: the config does not say."""
        return int(self.config.get("num_hidden_layers", self.config.get("n_layers", 0)))

    @property
    def hidden(self) -> int:
        """The width of its hidden states; 0: the config does not say."""
        return int(self.config.get("hidden_size", self.config.get("dim", 0)))

    @property
    def max_positions(self) -> int:
        """The longest text in tokens that it has positions for; 0: no table limits it."""
        if self.config.get("position_biased_input") is False or self.config.get("rope_theta"):
            return 0
        places = [shape[0] for name, shape in self.shapes.items() if name.endswith("position_embeddings.weight")]
        known = min([*places, int(self.config.get("max_position_embeddings", places[0] if places else 0))], default=0)
        offset = int(self.config.get("pad_token_id", 1)) + 1 if self.config.get("model_type") in ROBERTA else 0
        return max(known - offset, 0)

    @property
    def n_embedded(self) -> int:
        """Rows of its table of token embeddings; 0: not found."""
        tables = ("word_embeddings.weight", "tok_embeddings.weight", "embed_tokens.weight")
        return next((shape[0] for name, shape in self.shapes.items() if name.endswith(tables)), 0)

    @property
    def n_parameters(self) -> int:
        """All its weights."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def size_mb(self) -> float:
        """Megabytes of its weights on disk; 0: there are none."""
        return self.weights.stat().st_size / 1e6 if self.weights.is_file() else 0.0

    @cached_property
    def text_tokenizer(self) -> Any:
        """A `tokenizers.Tokenizer` that neither truncates nor pads.

        Raises:
            Exception: the library's own, of a tokenizer.json that it does not take.
        """
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(json.dumps(self.tokenizer))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer


def read_backbone_files(source: str, root: Path = Path()) -> Backbone | None:
    """What can be read of a backbone; None where it would have to be fetched from the hub. Files that are missing or
    damaged are read as empty.

    Args:
        source: as `task.backbones` names it.
        root: where a relative path starts.

    Raises:
        SourceError: its package is not installed, or its packed file is damaged.
    """
    found = _place(source, root)
    if found is None:
        return None
    if is_packed(found):
        state = found.stat()
        return _of_packed(source, found, state.st_size, state.st_mtime_ns)
    config, tokenizer = (_json(found / name) for name in ("config.json", "tokenizer.json"))
    return Backbone(source, found, found / WEIGHTS, config, tokenizer, tensor_shapes(found / WEIGHTS))


def tensor_shapes(path: Path) -> dict[str, list[int]]:
    """Tensor → shape, from the header of a safetensors file; empty where there is none that can be read."""
    try:
        with path.open("rb") as file:
            (n_bytes,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(n_bytes)) if n_bytes <= MAX_HEADER_BYTES else {}
    except (OSError, ValueError, struct.error):
        return {}
    return {name: item["shape"] for name, item in header.items() if name != "__metadata__"}


@lru_cache(maxsize=8)  # a vocabulary of hundreds of thousands, which several checks look at
def _of_packed(source: str, path: Path, _size: int, _time: int) -> Backbone:
    packed = read_packed(path)
    return Backbone(source, path.parent, path, packed.config, packed.tokenizer, packed.shapes)


def _place(source: str, root: Path) -> Path | None:
    """Folder or packed file, on this machine."""
    inside = root / source
    if not source.startswith("package:") and (inside.is_dir() or is_packed(inside)):
        return inside
    if (found := local_backbone(source)) is not None:
        return found
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(source, "config.json")
    except HFValidationError:  # a path: the stage would say that the hub serves no such model
        return None
    return Path(cached).parent if isinstance(cached, str) else None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
