"""The backbones against what is asked of them, from config, tokenizer and the header of their weights alone."""

from __future__ import annotations

from typing import Any

from flows.checks.finding import Finding, error, info, raised, unknown, warning
from flows.checks.project import Place, Project
from ratchet.compress.distillation import LAYERS
from ratchet.compress.vocabulary import KINDS
from ratchet.errors import RatchetError
from ratchet.models.backbone_files import Backbone, read_backbone_files
from ratchet.models.backbones import WEIGHTS, hub_problem, is_installed

MAX_HASHED_MB = 500.0
"""Larger weights would take seconds to hash: the stage that loads them compares them with what was pinned."""
FILES = {"config.json": "its architecture", "tokenizer.json": "its tokenizer", WEIGHTS: "its weights"}


Numbered = list[tuple[int, Backbone]]
"""Backbones with their places in `task.backbones`."""


def check_backbones(project: Project) -> list[Finding]:
    """Whether the backbones are there, and fit the lengths, the layers and the pruning that are asked for."""
    if project.task is None or not {"embed", "train"} & {*project.stages}:
        return []
    found: list[Finding] = []
    whole: Numbered = []
    for number, item in enumerate(project.task.backbones):
        where = project.param("task", "backbones", number, "source")
        if number and not is_installed(item.source):
            found.append(_left_out(where, item.source))
            continue
        try:
            backbone = read_backbone_files(item.source, project.root)
        except RatchetError as problem:
            found.append(raised(problem, where))
            continue
        if backbone is None:
            found.append(_not_here(where, item.source))
        elif missing := _missing_files(where, backbone):
            found += missing
        else:
            found += [*_hash(project, number, backbone), *_weights(where, backbone)]
            found += [*_tokens(project, where, backbone), *_layers(project, where, backbone)]
            whole.append((number, backbone))
    return [*found, *_positions(project, whole), *_targets(project, whole)]


def first_backbone(project: Project) -> Backbone | None:
    """What can be read of the backbone that embeds; None where it would have to be fetched.

    Raises:
        SourceError: its package is not installed, or its file is damaged.
    """
    assert project.task is not None
    return read_backbone_files(project.task.backbones[0].source, project.root)


def backbones_here(project: Project) -> Numbered:
    """Place in `task.backbones` and what can be read, of those that are on this machine and not damaged."""
    assert project.task is not None
    found = []
    for number, item in enumerate(project.task.backbones):
        try:
            backbone = read_backbone_files(item.source, project.root)
        except RatchetError:
            continue  # `check_backbones` reports it
        if backbone is not None:
            found.append((number, backbone))
    return found


def _left_out(where: Place, source: str) -> Finding:
    return info(
        "A further backbone is not installed on this machine, and is left out of what is tried.", where, got=source
    )


def _layers(project: Project, where: Place, backbone: Backbone) -> list[Finding]:
    """Whether a student can be made of the backbone's layers."""
    if "distil" not in project.stages or any(f"{LAYERS}.0." in name for name in backbone.shapes):
        return []
    what = "No student can be made of this backbone: where it is chosen, what is distilled from it is left out."
    return [info(what, where, got=f"{backbone.config.get('model_type', 'a model')} without {LAYERS} in its weights")]


def _not_here(where: Place, source: str) -> Finding:
    """The hub is asked, for a few seconds, whether it has the model: a run would wait minutes to say so."""
    if problem := hub_problem(source):
        return error(
            "The backbone is not on this machine, and the hub does not serve it.",
            where,
            got=f"{source}: {problem}",
            expected="a folder, an installed package, or a model in the hub's local cache",
            fix="correct the name; without a network, fetch it elsewhere with `hf download` and name the folder",
        )
    return warning(
        "The backbone is not on this machine: the first stage that needs it fetches it from the hub.",
        where,
        got=source,
        expected="a folder, an installed package, or a model in the hub's local cache",
        fix="see that the network stays there, or fetch it now with `hf download`",
    )


def _missing_files(where: Place, backbone: Backbone) -> list[Finding]:
    read = {"config.json": backbone.config, "tokenizer.json": backbone.tokenizer, WEIGHTS: backbone.shapes}
    return [
        error(
            f"The backbone lacks {meaning}, or its file is damaged.",
            where,
            got=f"no readable {name} in {backbone.folder}",
            expected=", ".join(FILES),
            fix="add the file, or choose another backbone",
        )
        for name, meaning in FILES.items()
        if not read[name]
    ]


def _hash(project: Project, number: int, backbone: Backbone) -> list[Finding]:
    from ratchet.files import sha256_file

    assert project.task is not None
    pinned = project.task.backbones[number].sha256
    if not pinned or backbone.size_mb > MAX_HASHED_MB or (got := sha256_file(backbone.weights)) == pinned:
        return []
    return [
        error(
            "The backbone is not the one that was pinned: its SHA-256 differs.",
            project.param("task", "backbones", number, "sha256"),
            got=got,
            expected=pinned,
            fix="install the pinned version, or pin the new one after checking where it comes from",
        )
    ]


def _weights(where: Place, backbone: Backbone) -> list[Finding]:
    from ratchet.models.finite_weights import not_finite

    if backbone.size_mb > MAX_HASHED_MB or not (found := not_finite(backbone.weights)):
        return []
    return [
        error(
            "The backbone has weights that are not a number or infinite: nothing can be learned from it.",
            where,
            got=", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else ""),
            expected="finite weights",
            fix="fetch or save the backbone again, or choose another one",
        )
    ]


def _tokens(project: Project, where: Place, backbone: Backbone) -> list[Finding]:
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
                where,
                got=f"token ids up to {max(ids)}",
                expected=f"at most {backbone.n_embedded - 1}, the last row of its token embeddings",
                fix="use the tokenizer that belongs to these weights, or choose another backbone",
            )
        )
    prune: Any = project.blocks.get("prune")
    if prune is not None and prune.n_tokens and model and model.get("type") not in KINDS:
        found.append(
            error(
                "The backbone has a vocabulary of a kind that cannot be pruned.",
                project.param("prune", "n_tokens"),
                got=f"{model.get('type')}, with n_tokens: {prune.n_tokens}",
                expected=f"{' or '.join(KINDS)}, or n_tokens: 0",
                fix="set prune.n_tokens: 0, which keeps the whole vocabulary, or choose another backbone",
            )
        )
    return found


def _positions(project: Project, backbones: Numbered) -> list[Finding]:
    """The first backbone, which embeds, and all of them, which may be trained, have positions for the longest text."""
    found = []
    for stage, used in {"embed": [one for number, one in backbones if number == 0], "train": _of(backbones)}.items():
        least = min((one for one in used if one.max_positions), key=lambda one: one.max_positions, default=None)
        params = _block(project, stage)
        if params is not None and least is not None and least.max_positions < params.max_tokens:
            found.append(
                error(
                    "Texts are cut to more tokens than the backbone has positions for.",
                    project.param(stage, "max_tokens"),
                    got=params.max_tokens,
                    expected=f"at most {least.max_positions}, as {least.source} has",
                    fix=f"set {stage}.max_tokens: {least.max_positions}, or choose a backbone for longer texts",
                )
            )
    return found


def _of(backbones: Numbered) -> list[Backbone]:
    """The backbones without their places in the list."""
    return [backbone for _, backbone in backbones]


def _targets(project: Project, backbones: Numbered) -> list[Finding]:
    """The names that low-rank updates look for are names of each backbone's layers."""
    train = _block(project, "train")
    architect = _block(project, "architect")
    if train is None:
        return []
    methods = {train.method} if train.method != "auto" or architect is None else {a.method for a in architect.arms}
    if not methods & {"lora", "dora"}:
        return []
    found = []
    for backbone in _of(backbones):
        matrices = [name for name, shape in backbone.shapes.items() if len(shape) == 2 and "." in name]
        known = ["all-linear", *sorted({name.split(".")[-2] for name in matrices})]
        found += [
            unknown(
                "The backbone has no layer of this name.",
                project.param("train", "lora_targets", place),
                name,
                known,
                "name layers of the backbone, or all-linear",
            )
            for place, name in enumerate(train.lora_targets)
            if name not in known and not any(f".{item}".endswith(f".{name}.weight") for item in backbone.shapes)
        ]
    return found


def _block(project: Project, stage: str) -> Any:
    return project.blocks.get(stage)
