"""The reference profile of a model, with which production windows are compared.

Made once a model, when it is promoted, from its validation and test texts and, for what does not depend on the model,
the texts of the training split; kept in `models/reference` under the hash of the bundle, so that it stays that of the
model when the data move on. No text is in it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows.labelling.steps import SPLITS
from ratchet.errors import RatchetError
from ratchet.files import replace_folder, sha256_file

if TYPE_CHECKING:
    from ratchet.monitoring.reference import Reference
    from ratchet.monitoring.settings import MonitorParams
    from ratchet.trust.lexicons import Lexicon
    from ratchet.trust.slices import Patterns

FOLDER = Path("models/reference")
TOKENIZER = ".tokenizer"
"""Suffix of the folder beside a reference that keeps its model's tokenizer; empty where the model has none."""
LEXICON = Path("data/lexicons/identity.yaml")
FEATURES = Path("data/lexicons/features.yaml")


def bundle_version(bundle: Path) -> str:
    """Version of a bundle: name@hash of its manifest."""
    from ratchet.models.bundle import MANIFEST, read_manifest

    return f"{read_manifest(bundle).name}@{sha256_file(bundle / MANIFEST)[:12]}"


def reference_of(root: Path, bundle: Path, params: MonitorParams) -> Reference:
    """The profile of the bundle; made and kept, where there is none yet."""
    from ratchet.monitoring.reference import read_reference, write_reference

    version = bundle_version(bundle)
    path = root / FOLDER / f"{version}.safetensors"
    if not path.is_file():
        write_reference(path, _make(root, bundle, version, params))
    _keep_tokenizer(bundle, path.with_suffix(TOKENIZER))
    return read_reference(path)


def _keep_tokenizer(bundle: Path, folder: Path) -> None:
    """Keep the bundle's tokenizer beside its reference: the bundle's own folder is the next champion's tomorrow."""
    if folder.is_dir():
        return
    with replace_folder(folder) as partial:
        if (source := bundle / "tokenizer.json").is_file():
            shutil.copyfile(source, partial / source.name)


def read_lexicon(root: Path, attributes: Sequence[str]) -> Lexicon | None:
    """The identity lexicon; None where no attribute is watched.

    Raises:
        ParamsError: the file is missing or no lexicon, or lacks an attribute.
    """
    from ratchet.params import read_params
    from ratchet.trust.lexicons import Lexicon, lexicon_groups

    if not attributes:
        return None
    lexicon = read_params(Lexicon, root / LEXICON)
    for attribute in attributes:
        lexicon_groups([], lexicon, attribute)  # raises on an unknown attribute before any text is read
    return lexicon


def read_patterns(root: Path) -> Patterns:
    """The task's own pattern features, used for slices.

    Raises:
        ParamsError: the file is missing, or a pattern is no regular expression.
    """
    from ratchet.params import read_params
    from ratchet.trust.slices import PatternFeatures

    return read_params(PatternFeatures, root / FEATURES).patterns


def keep_reference(root: Path, bundle: Path) -> str:
    """Make the reference of a newly promoted bundle; returns a message with its path, or why there is none.

    Made then, it is that of the data on which the gates judged. A promotion stands without it: where the data or
    live.yaml are not there, the monitor makes it when it first sees the model.
    """
    from ratchet.monitoring.settings import read_monitor_params

    try:
        made = reference_of(root, bundle, read_monitor_params(root))
    except (RatchetError, OSError) as error:
        return f"no reference for the monitor yet ({str(error).splitlines()[0]})"
    return f"its reference is {FOLDER / made.version}.safetensors"


def _make(root: Path, bundle: Path, version: str, params: MonitorParams) -> Reference:
    import numpy as np
    import pandas as pd

    from ratchet.engines.loading import load
    from ratchet.models.examples import class_indices
    from ratchet.monitoring.drift import Sample, joined
    from ratchet.monitoring.features import load_pieces, text_features
    from ratchet.monitoring.moved import count_words
    from ratchet.monitoring.reference import make_reference
    from ratchet.monitoring.slices import production_groups
    from ratchet.table_files import read_table
    from ratchet.tables import SPLIT

    columns = ["id", "text", "label", "source"]
    parts = [read_table(root / SPLITS / f"{name}.parquet", SPLIT, columns) for name in ("validation", "test")]
    held = pd.concat(parts, ignore_index=True)
    learned = read_table(root / SPLITS / "train.parquet", SPLIT, columns)
    predictor, pieces = load(bundle), load_pieces(bundle)
    proba = predictor.predict_proba(held["text"].tolist())
    sample = joined(
        Sample(text_features(held["text"].tolist(), pieces), proba, np.ones(len(held), dtype=bool)),
        Sample(
            text_features(learned["text"].tolist(), pieces),
            np.zeros((len(learned), proba.shape[1])),
            np.zeros(len(learned), dtype=bool),
        ),
    )
    y_true = np.concatenate([class_indices(held, predictor.labels), np.full(len(learned), -1)])
    both = pd.concat([held, learned], ignore_index=True)
    lexicon = read_lexicon(root, params.attributes)
    groups = production_groups(
        both, params.slices, params.length_edges, params.attributes, lexicon, read_patterns(root)
    )
    return make_reference(
        version,
        predictor.labels,
        sample,
        y_true,
        groups,
        params.window_sizes,
        params.n_splits,
        params.seed,
        count_words(both["text"].tolist()),
    )
