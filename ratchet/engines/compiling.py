"""Compiles a PyTorch bundle for an inference engine, named by a kind of bundle and a number format."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from ratchet.compress.compilers import Compilation
from ratchet.engines.loading import kind_module, known_kinds
from ratchet.errors import ParamsError
from ratchet.models.bundle import Manifest, write_bundle
from ratchet.models.checkpoint import copy_tokenizer, load_model


def known_engines() -> list[str]:
    """Every engine there is, `KIND-FORMAT`, of the modules of `ratchet.engines.kinds` that compile.

    >>> "onnx-int8" in known_engines(), "tfidf-fp64" in known_engines()
    (True, False)
    """
    modules = {kind: kind_module(kind) for kind in known_kinds()}
    return [f"{kind}-{item}" for kind, module in modules.items() for item in getattr(module, "FORMATS", ())]


def export(source: Path, target: Path, engine: str, compilation: Compilation, params_sha256: str) -> Manifest:
    """Compile a PyTorch bundle into a new bundle; its manifest.

    The kind's module gives `FORMATS`, the number formats it compiles to; `PACKAGES`, whose versions the manifest keeps;
    and `compile_model(model, folder, number_format, compilation)`, which fills the folder of the new bundle.

    Args:
        source: the full-precision bundle.
        target: where the new bundle goes.
        engine: the kind and the number format of the weights: `onnx-int8`.
        compilation: see `Compilation`.
        params_sha256: hash of the params block, for the manifest.

    Raises:
        BundleError: the source is no PyTorch bundle; see `load_model`.
        ParamsError: an engine there is none of, or one that needs a fused graph where there is none.
    """
    module, number_format = _engine(engine)
    model, parent = load_model(source)
    manifest = parent.model_copy(
        update={
            "name": f"{parent.name}-{engine}",
            "kind": engine.partition("-")[0],
            "precision": number_format,
            "parent": parent.name,
            "params_sha256": params_sha256,
        }
    )

    def save(folder: Path) -> None:
        module.compile_model(model, folder, number_format, compilation)
        copy_tokenizer(source, folder)

    return write_bundle(target, manifest, save, module.PACKAGES)


def _engine(name: str) -> tuple[ModuleType, str]:
    kind, _, number_format = name.partition("-")
    if kind in known_kinds() and number_format in getattr(kind_module(kind), "FORMATS", ()):
        return kind_module(kind), number_format
    raise ParamsError("There is no such engine.", got=name, expected=", ".join(known_engines()))
