"""Where pretrained weights come from: an installed package, a local folder, or a model hub."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

from ratchet.errors import SourceError
from ratchet.files import sha256_file
from ratchet.models.packed_weights import is_packed
from ratchet.models.unpacked import unpacked

WEIGHTS = "model.safetensors"
HUB_TIMEOUT_S = 5.0


def resolve_backbone(spec: str, sha256: str) -> Path:
    """The folder of a pretrained model whose weights have the pinned hash.

    Args:
        spec: `package:NAME/FOLDER` for files inside an installed package (read by path, none of its code is run),
            a local folder, or the id of a model on the Hugging Face hub. In place of a folder a packed file, which is
            unpacked into a cache: see `ratchet.models.packed_weights`.
        sha256: hash of its `model.safetensors`, or of the packed file; empty: not pinned.

    Raises:
        SourceError: the model cannot be found, has no safetensors weights, or is not the pinned one.
    """
    found = _locate(spec)
    packed = is_packed(found)
    weights = found if packed else found / WEIGHTS
    if not weights.is_file():
        raise SourceError(
            "The backbone has no safetensors weights.", where=weights, fix="convert them, or choose another backbone"
        )
    got = sha256_file(weights) if sha256 or packed else ""
    if sha256 and got != sha256:
        raise SourceError(
            "The backbone is not the one that was pinned: its SHA-256 differs.",
            where=weights,
            got=got,
            expected=sha256,
            fix="install the pinned version, or pin the new one after checking where it comes from",
        )
    return unpacked(found, got) if packed else found


def load_classifier(folder: Path, n_classes: int) -> Any:
    """The backbone under a head of zeros, pooled as it was pretrained, dropout off, in 32-bit.

    Dropout is off because on few short epochs it cost a quarter of a step and gave no accuracy here.
    """
    import torch
    from transformers import AutoConfig
    from transformers.utils import logging

    from ratchet.models.pooling import FEATURE_NORM, pooled_class, pooling_of

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    config = AutoConfig.from_pretrained(folder, local_files_only=True, num_labels=n_classes)
    config.pooling, config.feature_norm = pooling_of(folder), FEATURE_NORM
    for name in config.to_dict():
        if "dropout" in name and isinstance(getattr(config, name), float):
            setattr(config, name, 0.0)
    model = pooled_class(config).from_pretrained(
        folder, config=config, local_files_only=True, use_safetensors=True, dtype=torch.float32
    )
    torch.nn.init.zeros_(model.classifier.weight)
    torch.nn.init.zeros_(model.classifier.bias)
    return model


def encoder_parameters(folder: Path) -> int:
    """Number of parameters of the backbone in the folder, without its embeddings, which are looked up."""
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, framework="numpy") as weights:
        inside = [name for name in weights.keys() if "embeddings" not in name]  # noqa: SIM118
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in inside)


def local_backbone(spec: str) -> Path | None:
    """The folder, or packed file, in an installed package or on disk that a backbone's name stands for; None: the hub
    has to be asked.

    Raises:
        SourceError: the package is not installed.
    """
    if not spec.startswith("package:"):
        return Path(spec) if Path(spec).is_dir() or is_packed(Path(spec)) else None
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


def is_installed(spec: str) -> bool:
    """Whether the package that a backbone's name stands for is installed; one that names none needs none."""
    name = spec.removeprefix("package:").partition("/")[0]
    return not spec.startswith("package:") or importlib.util.find_spec(name) is not None


def hub_problem(spec: str) -> str:
    """Why the hub does not serve a model; empty where it does. It is given `HUB_TIMEOUT_S` to answer."""
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        HfApi().model_info(spec, timeout=HUB_TIMEOUT_S)
    except OfflineModeIsEnabled:
        return "the hub is switched off by HF_HUB_OFFLINE"
    except HFValidationError:
        return "no hub id"
    except HfHubHTTPError as error:
        return f"the hub answers {error.response.status_code}"
    except (OSError, httpx.HTTPError) as error:
        return f"the hub cannot be reached ({type(error).__name__})"
    return ""


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
