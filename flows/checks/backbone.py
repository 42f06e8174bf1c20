"""The backbone against what is asked of it, from its config, its tokenizer and the header of its weights alone."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.checks.finding import Finding, error, raised, unknown, warning
from flows.checks.project import Project
from ratchet.errors import RatchetError

MAX_HASHED_MB = 500.0
"""Larger weights would take seconds to hash: the stage that loads them compares them with what was pinned."""
FILES = {"config.json": "its architecture", "tokenizer.json": "its tokenizer", "model.safetensors": "its weights"}
ROBERTA = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")
"""Model types whose positions are counted from the padding token's id on, so that fewer are usable."""
MAX_HEADER_BYTES = 100_000_000
"""Of a safetensors file. Source: https://huggingface.co/docs/safetensors, Format."""


@dataclass(frozen=True)
class Backbone:
    """What the files of a pretrained encoder say of it."""

    folder: Path
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


def check_backbone(project: Project) -> list[Finding]:
    """Whether the backbone is there, and fits the lengths, the layers and the pruning that are asked for."""
    if project.task is None or not {"embed", "train"} & {*project.stages}:
        return []
    try:
        backbone = read_backbone(project)
    except RatchetError as problem:
        return [raised(problem, project.param("task", "backbone"))]
    if backbone is None:
        return [
            warning(
                "The backbone is not on this machine: the first stage that needs it fetches it from the hub.",
                project.param("task", "backbone"),
                got=project.task.backbone,
                expected="a folder, an installed package, or a model in the hub's local cache",
                fix="correct the name if no hub id was meant; else see that the network is there",
            )
        ]
    return [
        *_missing_files(project, backbone.folder),
        *_hash(project, backbone.folder),
        *_tokens(project, backbone),
        *_positions(project, backbone),
        *_layers(project, backbone),
        *_targets(project, backbone),
    ]


def read_backbone(project: Project) -> Backbone | None:
    """What can be read of the task's backbone; None where it would have to be fetched.

    Raises:
        SourceError: its package is not installed.
    """
    assert project.task is not None
    folder = _folder(project.root, project.task.backbone)
    if folder is None:
        return None
    return Backbone(
        folder,
        _json(folder / "config.json"),
        _json(folder / "tokenizer.json"),
        tensor_shapes(folder / "model.safetensors"),
    )


def tensor_shapes(path: Path) -> dict[str, list[int]]:
    """Tensor → shape, from the header of a safetensors file; empty where there is none that can be read."""
    try:
        with path.open("rb") as file:
            (n_bytes,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(n_bytes)) if n_bytes <= MAX_HEADER_BYTES else {}
    except (OSError, ValueError, struct.error):
        return {}
    return {name: item["shape"] for name, item in header.items() if name != "__metadata__"}


def _folder(root: Path, spec: str) -> Path | None:
    from ratchet.models.backbones import local_backbone

    found = local_backbone(spec) if spec.startswith("package:") or not (root / spec).is_dir() else root / spec
    if found is not None:
        return found
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(spec, "config.json")
    except HFValidationError:  # a path: the stage would say that the hub serves no such model
        return None
    return Path(cached).parent if isinstance(cached, str) else None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _missing_files(project: Project, folder: Path) -> list[Finding]:
    return [
        error(
            f"The backbone lacks {meaning}, or its file is damaged.",
            project.param("task", "backbone"),
            got=f"no readable {name} in {folder}",
            expected=", ".join(FILES),
            fix="add the file, or choose another backbone",
        )
        for name, meaning in FILES.items()
        if not (tensor_shapes(folder / name) if name.endswith("safetensors") else _json(folder / name))
    ]


def _hash(project: Project, folder: Path) -> list[Finding]:
    from ratchet.files import sha256_file

    weights, pinned = folder / "model.safetensors", project.task.backbone_sha256 if project.task else ""
    if not pinned or not weights.is_file() or weights.stat().st_size > MAX_HASHED_MB * 1e6:
        return []
    if (got := sha256_file(weights)) == pinned:
        return []
    return [
        error(
            "The backbone is not the one that was pinned: its SHA-256 differs.",
            project.param("task", "backbone_sha256"),
            got=got,
            expected=pinned,
            fix="install the pinned version, or pin the new one after checking where it comes from",
        )
    ]


def _tokens(project: Project, backbone: Backbone) -> list[Finding]:
    """The tokenizer against the embeddings, and against what `prune` can cut."""
    model = backbone.tokenizer.get("model", {})
    vocabulary = model.get("vocab", {})
    ids = list(vocabulary.values()) if isinstance(vocabulary, dict) else list(range(len(vocabulary)))
    ids += [token["id"] for token in backbone.tokenizer.get("added_tokens", [])]
    found = []
    if ids and backbone.n_embedded and max(ids) >= backbone.n_embedded:
        found.append(
            error(
                "The backbone's tokenizer has tokens without an embedding.",
                project.param("task", "backbone"),
                got=f"token ids up to {max(ids)}",
                expected=f"at most {backbone.n_embedded - 1}, the last row of its token embeddings",
                fix="use the tokenizer that belongs to these weights, or choose another backbone",
            )
        )
    prune: Any = project.blocks.get("prune")
    if prune is not None and prune.n_tokens and model and model.get("type") != "WordPiece":
        found.append(
            error(
                "Only a WordPiece vocabulary can be pruned, and the backbone has another one.",
                project.param("prune", "n_tokens"),
                got=f"{model.get('type')}, with n_tokens: {prune.n_tokens}",
                expected="WordPiece, or n_tokens: 0",
                fix="set prune.n_tokens: 0, which keeps the whole vocabulary, or choose another backbone",
            )
        )
    return found


def _positions(project: Project, backbone: Backbone) -> list[Finding]:
    most = backbone.max_positions
    return [
        error(
            "Texts are cut to more tokens than the backbone has positions for.",
            project.param(stage, "max_tokens"),
            got=params.max_tokens,
            expected=f"at most {most}",
            fix=f"set {stage}.max_tokens: {most}, or choose a backbone for longer texts",
        )
        for stage in ("embed", "train")
        if (params := _block(project, stage)) is not None and 0 < most < params.max_tokens
    ]


def _layers(project: Project, backbone: Backbone) -> list[Finding]:
    """The layers that `distil` keeps are layers of the backbone."""
    n, distil = backbone.n_layers, _block(project, "distil")
    beyond = [layer for layer in distil.layers if not 0 <= layer < n] if n and distil is not None else []
    if not beyond:
        return []
    return [
        error(
            "The student is to start from layers that the teacher does not have.",
            project.param("distil", "layers"),
            got=", ".join(map(str, beyond)),
            expected=f"numbers from 0 to {n - 1}",
            fix="correct distil.layers",
        )
    ]


def _targets(project: Project, backbone: Backbone) -> list[Finding]:
    """The names that low-rank updates look for are names of the backbone's layers."""
    train = _block(project, "train")
    if train is None or train.method not in ("lora", "dora") or not backbone.shapes:
        return []
    layers = sorted({name.split(".")[-2] for name, shape in backbone.shapes.items() if len(shape) == 2 and "." in name})
    known, fix = ["all-linear", *layers], "name layers of the backbone, or all-linear"
    return [
        unknown(
            "The backbone has no layer of this name.", project.param("train", "lora_targets", place), name, known, fix
        )
        for place, name in enumerate(train.lora_targets)
        if name not in known and not any(f".{item}".endswith(f".{name}.weight") for item in backbone.shapes)
    ]


def _block(project: Project, stage: str) -> Any:
    return project.blocks.get(stage)
