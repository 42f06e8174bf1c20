"""A Hugging Face classifier to and from a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ratchet.errors import BundleError
from ratchet.models.adapters import ADAPTERS, load_adapters, remove_adapters
from ratchet.models.bundle import Manifest, read_manifest, write_bundle

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors")
"""By which such a bundle is made and read; its manifest keeps their versions."""


def save_model(
    model: Any, tokenizer_folder: Path, path: Path, manifest: Manifest, packages: Sequence[str] = PACKAGES
) -> Manifest:
    """Write the model's weights (safetensors), its config and the tokenizer as a bundle; the manifest as written."""

    from safetensors.torch import save_file

    def save(folder: Path) -> None:
        model.config.id2label = dict(enumerate(manifest.labels))
        model.config.label2id = {label: index for index, label in enumerate(manifest.labels)}
        model.config._name_or_path = ""  # a path of the machine that trained it
        adapters = remove_adapters(model)
        model.save_pretrained(folder)
        if adapters:
            save_file(adapters, folder / ADAPTERS)
            load_adapters(model, folder)
        copy_tokenizer(tokenizer_folder, folder)

    return write_bundle(path, manifest, save, packages)


def load_model(path: Path) -> tuple[Any, Manifest]:
    """The trainable model of a full-precision PyTorch bundle, and its manifest.

    Raises:
        BundleError: the bundle is damaged, is of another kind, or holds adapters.
    """
    from transformers.utils import logging

    from ratchet.models.pooling import load_pooled

    manifest = read_manifest(path)
    if manifest.kind != "torch":
        raise BundleError("This step needs a PyTorch bundle.", where=path, got=manifest.kind, expected="torch")
    if (path / ADAPTERS).is_file():
        raise BundleError(
            "Bottleneck adapters cannot be merged into linear layers, so this bundle cannot be compressed.",
            where=path,
            got=ADAPTERS,
            expected="plain layers",
            fix="set train.method to lora, dora, ia3, bitfit or full",
        )
    logging.disable_progress_bar()
    return load_pooled(path), manifest


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer's files; only `tokenizer.json` has to exist, the others help other loaders."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
