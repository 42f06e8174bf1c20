"""Weights in fewer bits with bitsandbytes: LLM.int8 and NF4, stored as they run, in safetensors.

Source: Dettmers et al. 2022, LLM.int8(), https://arxiv.org/abs/2208.07339; Dettmers et al. 2023, QLoRA (NF4 and
double quantization), https://arxiv.org/abs/2305.14314
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal, get_args

from ratchet.errors import ParamsError
from ratchet.models.bundle import Manifest, read_manifest
from ratchet.models.checkpoint import PACKAGES, load_model, save_model

Scheme = Literal["bnb-int8", "bnb-nf4"]
NF4_OUTPUTS, NF4_INPUTS = 32, 64
"""A matrix can be NF4 on any machine if it has a multiple of so many outputs, and of inputs: bitsandbytes packs weights
anew on CPUs with AVX-512, in parts of this size, and fails on others."""


def quantize(source: Path, target: Path, scheme: Scheme, params_sha256: str) -> Manifest:
    """Quantize the linear layers of a PyTorch bundle into a new bundle; the embeddings and the last layer stay as they
    are, and under bnb-nf4 every matrix of a shape that not every CPU can take.

    Args:
        source: the full-precision bundle.
        target: where the new bundle goes.
        scheme: bnb-int8 (vector-wise int8 with outliers in 16 bits) or bnb-nf4 (4-bit normal float, double quantized).
        params_sha256: hash of the params block, for the manifest.
    """
    parent = read_manifest(source)
    model = load_quantized(source, scheme)
    manifest = parent.model_copy(
        update={
            "name": f"{parent.name}-{scheme}",
            "kind": "bitsandbytes",
            "precision": scheme.removeprefix("bnb-"),
            "parent": parent.name,
            "params_sha256": params_sha256,
        }
    )
    return save_model(model, source, target, manifest, (*PACKAGES, "bitsandbytes"))


def load_quantized(source: Path, scheme: Scheme) -> Any:
    """The model at `source`, its linear layers quantized while loading; on a GPU where there is one.

    Raises:
        ParamsError: a scheme there is none of.
    """
    import torch
    from transformers import BitsAndBytesConfig
    from transformers.utils import logging

    from ratchet.models.pooling import load_pooled

    if scheme not in get_args(Scheme):
        raise ParamsError("There is no such quantization scheme.", got=scheme, expected=", ".join(get_args(Scheme)))
    logging.disable_progress_bar()
    kept = ["classifier"]
    if scheme == "bnb-int8":
        config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
            llm_int8_skip_modules=[*kept, *_odd_matrices(source)],
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*inputs will be cast.*")
        return load_pooled(source, quantization_config=config, device_map=device, dtype=torch.float32)


def _odd_matrices(source: Path) -> list[str]:
    """The linear layers at `source` that cannot be NF4 on every machine, by name."""
    import torch

    model, _ = load_model(source)
    return [
        name
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.Linear)
        and (part.out_features % NF4_OUTPUTS or part.in_features % NF4_INPUTS)
        and name != "classifier"
    ]


def stored_dtypes(path: Path) -> dict[str, int]:
    """Counts of a bundle's stored numbers by dtype; packed 4-bit weights count as uint8 pairs."""
    import math

    from safetensors import safe_open

    counts: dict[str, int] = {}
    with safe_open(path / "model.safetensors", framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118
            part = file.get_slice(name)
            dtype = str(part.get_dtype())
            counts[dtype] = counts.get(dtype, 0) + math.prod(part.get_shape())
    return counts
