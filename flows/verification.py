"""Verifies a release by scoring it again on this machine: the same texts, the same gates, no training.

The bundle and its predictions of the sealed test come from DVC, held against the hashes that the release binds. What
another instruction set rounds otherwise shows: in how many texts the class differs, by how much the probabilities do,
which figures moved, and whether the verdict is the same. `reports/cpu_kinds.json` keeps a row a release and CPU kind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pipeline_steps import judge, promote
from ratchet.errors import ReleaseError
from ratchet.files import plain_value, read_json, write_json
from ratchet.gates.gates import CHAMPION, MARK, TEACHER, check_gates
from ratchet.gates.measured_reports import merge_bundles
from ratchet.registry.bundle_check import folder_md5, release_folder
from ratchet.registry.fetching import fetch, find_version, get
from ratchet.registry.record import MEASUREMENTS, PROVENANCE, read_measured

if TYPE_CHECKING:
    import pandas as pd

    from ratchet.models.predictor import Predictor
    from ratchet.registry.view import View

CPU_KINDS = Path("reports/cpu_kinds.json")
JUDGED, SPLITS, JUDGEMENT = judge.WRITES["predictions"], judge.READS["splits"], judge.WRITES["report"]
RULES = tuple(judge.READS[name] for name in ("length_edges", "lexicon", "features"))
"""Files of Git that the groups of the texts are made by."""
MOVED = ("primary", "accuracy", "macro_f1", "ece")


@dataclass(frozen=True)
class Released:
    """What a release binds, as far as its verdict rests on it."""

    version: str
    bundle: str
    """The bundle's name in its run."""
    judged: pd.DataFrame
    """Predictions of the sealed test by every bundle that was judged."""
    test: pd.DataFrame
    reports: Mapping[str, Mapping[str, Any]]
    """Path → report, the evaluation first and the judgement among them."""
    params: Path
    """The params file of the release, in a folder with the rules of its groups."""


def read_released(view: View, name: str, folder: Path) -> tuple[Released, Path]:
    """A release and its bundle's folder, fetched into `folder` and checked against what the release binds.

    Raises:
        ReleaseError: it fails verification, or DVC has not got it.
    """
    version, policy, repository = find_version(view, name), view.rules.policy, view.repository
    record = view.record(version)
    fetch(view, version, folder / "bundle")
    for path, md5 in ((JUDGED, _file_md5), (SPLITS, folder_md5)):
        get(repository.root, record["revision"], path, folder / path)
        if (got := md5(folder / path)) != (expected := record["data"].get(path)):
            raise ReleaseError(
                "The data are not those of the release.", where=path, got=got, expected=expected or "none bound"
            )
    for path in (policy.paths.params, *RULES):
        content = repository.file(record["revision"], path)
        if content is None:
            raise ReleaseError("The release's commit lacks what its verdict rests on.", where=path)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    commit = view.tag(version.tag).commit
    side = repository.file(commit, f"{release_folder(policy, version)}/{MEASUREMENTS}") or b"{}"
    measured = read_measured(repository, record["revision"], policy, side)
    reports = {policy.paths.evaluate: measured.evaluate, **measured.reports}
    if JUDGEMENT not in reports:
        raise ReleaseError("The release was not judged on a sealed test.", where=version.tag)
    judged, test = _tables(folder)
    return Released(
        version.tag, record["bundle"], judged, test, reports, folder / policy.paths.params
    ), folder / "bundle"


def provenance_of(view: View, name: str) -> list[str]:
    """A sentence on how a release was made, by its signed provenance; none where it carries none.

    Raises:
        ReleaseError: the release, and with it its provenance, fails verification.
    """
    from ratchet.registry.provenance import describe, signed_statement

    version = find_version(view, name)
    view.record(version)  # raises where the statement is not that of the commit
    policy = view.rules_of(version.tag).policy
    if not policy.provenance:
        return []
    path = f"{release_folder(policy, version)}/{PROVENANCE}"
    envelope = view.repository.file(view.tag(version.tag).commit, path) or b""
    return [f"provenance, signed: {describe(signed_statement(envelope, view.model_keys(version)))}"]


def score_again(released: Released, predictor: Predictor) -> dict[str, Any]:
    """The release's predictions, figures and verdict on this machine beside those it was released with.

    Raises:
        ReleaseError: the test texts are not those that were judged.
    """
    import numpy as np

    from ratchet.measure.bootstrap import weights
    from ratchet.measure.prediction_table import prediction_table
    from ratchet.measure.report_files import rounded
    from ratchet.models.champion import champion_proba
    from ratchet.params import load_params, read_params
    from ratchet.trust.audited_groups import Rules, audited_groups
    from ratchet.trust.lexicons import Lexicon
    from ratchet.trust.slices import PatternFeatures, read_length_edges

    root, name = released.params.parent, released.bundle
    tables = {str(bundle): rows.reset_index(drop=True) for bundle, rows in released.judged.groupby("bundle")}
    before, texts = tables[name], released.test["text"].tolist()
    if before["id"].tolist() != released.test["id"].tolist():
        raise ReleaseError("The test texts are not those that were judged.", where=released.version)
    edges = read_length_edges(root / judge.READS["length_edges"])
    params = load_params(judge.Params, "judge", released.params, length_edges=edges)
    labels = [str(column).removeprefix("proba_") for column in before if str(column).startswith("proba_")]
    after = prediction_table(name, "test", labels, released.test, champion_proba(predictor, texts, labels))
    rules = Rules(
        read_params(Lexicon, root / judge.READS["lexicon"]),
        read_params(PatternFeatures, root / judge.READS["features"]).patterns,
    )
    groups = audited_groups(released.test, rules, params, judge.READS["lexicon"])
    w = weights(len(texts), params.n_bootstrap, np.random.default_rng(params.seed))
    best = released.reports[JUDGEMENT]["best"] or ""
    figures = rounded(plain_value(judge.figures_of(name, best, {**tables, name: after}, groups, w, params)))
    kept = released.reports[JUDGEMENT]["bundles"][name]
    judgement = {**kept, **figures, "metrics": {**kept["metrics"], **figures["metrics"]}}
    gates = load_params(promote.Params, "promote", released.params).all_gates
    columns = [f"proba_{label}" for label in labels]
    difference = np.abs(after[columns].to_numpy(np.float64) - before[columns].to_numpy(np.float64))
    failed = _failed(released, judgement, gates)
    return {
        "n_texts": len(texts),
        "n_other_class": int((after["predicted"] != before["predicted"]).sum()),
        "largest_difference": float(difference.max(initial=0.0)),
        "moved": {
            metric: [kept["metrics"][metric]["value"], figures["metrics"][metric]["value"]]
            for metric in MOVED
            if kept["metrics"][metric]["value"] != figures["metrics"][metric]["value"]
        },
        "failed": failed,
        "reproduced": not failed,
    }


def enter(root: Path, version: str, machine: Mapping[str, Any], found: Mapping[str, Any]) -> Path:
    """Enter what was found into the table of CPU kinds, in place of the row of the same release and kind; the file."""
    path = root / CPU_KINDS
    rows = read_json(path)["rows"] if path.is_file() else []
    own = {"version": version, "cpu": machine["cpu"], "vector_units": list(machine["vector_units"])}
    others = [row for row in rows if {key: row[key] for key in own} != own]
    kept = {key: found[key] for key in ("n_texts", "n_other_class", "largest_difference", "moved", "reproduced")}
    write_json(path, {"rows": sorted([*others, {**own, **kept}], key=lambda row: json.dumps(row, sort_keys=True))})
    return path


def sentences(version: str, machine: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What was found, in words, the verdict first."""
    units = ", ".join(machine["vector_units"]) or "no vector unit that matters"
    verdict = "reproduced" if found["reproduced"] else "NOT reproduced"
    told = [f"{verdict}: the verdict on {version}, on {machine['cpu']} ({units})"]
    told.append(
        f"{found['n_other_class']} of {found['n_texts']:,} test texts get another class; the largest difference of a "
        f"probability is {found['largest_difference']:.2g}"
    )
    told += [f"{metric}: {old:g} when released, {new:g} here" for metric, (old, new) in found["moved"].items()]
    told += [f"fails here: {reason}" for reason in found["failed"]]
    return told


def verify(root: Path, name: str, n_threads: int = 0) -> tuple[list[str], bool]:
    """Fetch, score, judge, enter; what to print, and whether the verdict is the same.

    Raises:
        ReleaseError: see `read_released` and `score_again`.
    """
    from ratchet.engines.loading import load
    from ratchet.measure.machine import describe_machine
    from ratchet.registry.clone import Clone

    with TemporaryDirectory(prefix="ratchet-") as folder:
        view = Clone(root).view()
        released, bundle = read_released(view, name, Path(folder))
        made = provenance_of(view, name)
        found = score_again(released, load(bundle, n_threads))
    machine = describe_machine(n_threads)
    path = enter(root, released.version, machine, found)
    return [*sentences(released.version, machine, found), *made, f"entered in {path}"], bool(found["reproduced"])


def _failed(released: Released, judgement: Mapping[str, Any], gates: Any) -> list[str]:
    """The reasons of the gates that the bundle fails with the figures of this machine."""
    judged = released.reports[JUDGEMENT]["bundles"]
    here = {JUDGEMENT: {**released.reports[JUDGEMENT], "bundles": {**judged, released.bundle: judgement}}}
    evaluated, *others = {**released.reports, **here}.values()
    bundle = merge_bundles(evaluated, *others)[released.bundle]
    there = {CHAMPION, TEACHER} & set(evaluated["bundles"]) | {MARK} & set(judged)
    verdict = check_gates(gates, released.bundle, bundle, there=there)
    return [gate["reason"] for gate in verdict["gates"] if not gate["passed"]]


def _tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The predictions, and the labelled texts of the sealed test as `judge` reads them."""
    from ratchet.table_files import read_table
    from ratchet.tables import PREDICTIONS, SPLIT

    test = read_table(folder / SPLITS / "test.parquet", SPLIT).dropna(subset="label").reset_index(drop=True)
    return read_table(folder / JUDGED, PREDICTIONS), test


def _file_md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
