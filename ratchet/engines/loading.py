"""Loads bundles as predictors: the kind in a bundle's manifest names the module of `ratchet.engines.kinds`."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from ratchet.engines import kinds
from ratchet.errors import BundleError
from ratchet.models.bundle import read_manifest
from ratchet.models.predictor import Predictor


def known_kinds() -> list[str]:
    """The kinds of bundles there are: the modules of `ratchet.engines.kinds`.

    >>> "onnx" in known_kinds()
    True
    """
    return sorted(module.name for module in pkgutil.iter_modules(kinds.__path__))


def kind_module(kind: str) -> ModuleType:
    """The module of a kind; its `load(path, manifest, n_threads, batch_size)` makes a predictor of a verified bundle.

    One that is composed of other bundles has `PARTS`, their folders within its own: `load` gets them loaded, behind the
    rest. One that compiles, too, has `FORMATS`, `PACKAGES` and `compile_model`; see `ratchet.engines.compiling.export`.

    Raises:
        BundleError: there is none of that name.
    """
    if kind not in known_kinds():  # a manifest chooses among these modules, and can import nothing else
        raise BundleError(
            "No engine here loads this kind of bundle.",
            got=kind,
            expected=", ".join(known_kinds()),
            fix=f"add ratchet/engines/kinds/{kind}.py, or take a bundle that this version made",
        )
    return importlib.import_module(f"ratchet.engines.kinds.{kind}")


def load(path: Path, n_threads: int = 0, batch_size: int = 32) -> Predictor:
    """The bundle at `path`, verified, as a predictor.

    Args:
        path: the bundle's folder.
        n_threads: threads for its arithmetic; 0: as many as the machine has cores.
        batch_size: texts a forward pass scores at most.

    Raises:
        BundleError: see `read_manifest`; or no engine loads its kind.
    """
    manifest = read_manifest(path)
    module = kind_module(manifest.kind)
    parts = [load(path / part, n_threads, batch_size) for part in getattr(module, "PARTS", ())]
    predictor: Predictor = module.load(path, manifest, n_threads, batch_size, *parts)
    return predictor
