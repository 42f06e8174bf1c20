"""The demo's pipeline, one stage of its dvc.yaml:  python -m examples.story.pipeline

TF-IDF on the labels there are, those of people included; measured on held-out texts of each source, beside the
champion; judged by the gates of `promote`. The full pipeline does the same with better models in ten minutes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flows.labelling.steps import POINTER, STORE
from pipeline_steps import shortlist
from pipeline_steps.promote import Params, run
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.files import read_json, sha256_json, write_json
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.estimate import exact
from ratchet.models.bundle import Manifest, size_mb, write_bundle
from ratchet.models.examples import class_indices
from ratchet.models.predictor import Predictor
from ratchet.models.tfidf import PACKAGES, fit_pipeline, save_pipeline
from ratchet.params import load_params

LABELS = ["negative", "positive"]
BUNDLE, LABELED = Path("models/words"), Path("data/labeled.parquet")


def main() -> None:
    """Train, measure, decide."""
    seeds = pd.read_parquet("data/splits/train.parquet", columns=["id", "text", "label"])
    labeled = pd.concat([seeds, _answers()], ignore_index=True)
    labeled.to_parquet(LABELED)
    pipeline = fit_pipeline(
        labeled["text"].tolist(), class_indices(labeled, LABELS).tolist(), max_ngram=2, inverse_regularization=4.0
    )
    manifest = Manifest(
        name=BUNDLE.name,
        kind="tfidf",
        precision="fp64",
        labels=LABELS,
        max_tokens=0,
        parent="",
        params_sha256=sha256_json({}),
        data_sha256=sha256_json(labeled[["id", "label"]].to_numpy()),
    )
    write_bundle(BUNDLE, manifest, lambda folder: save_pipeline(pipeline, folder), PACKAGES)
    pointer = read_json(Path("models/champion.json"))["bundle"]
    evaluate = {"bundles": measure(BUNDLE, Path(pointer) if pointer else None)}
    reports: dict[str, Any] = {"evaluate": evaluate, "audit": {"bundles": {}}, "explain": {"bundles": {}}}
    reports["shortlist"] = shortlist.run(evaluate, load_params(shortlist.Params, "shortlist"))
    decision = run(reports, load_params(Params, "promote"))
    for name, report in {**reports, "decision": decision}.items():
        write_json(Path("reports") / f"{name}.json", report)
    accuracy = evaluate["bundles"][BUNDLE.name]["metrics"]["accuracy"]["value"]
    Path("reports/model_card.md").write_text(
        f"# Words\n\nAccuracy {accuracy:.3f}, {len(labeled)} labels, {len(labeled) - len(seeds)} of them people's.\n"
    )


def measure(bundle: Path, champion: Path | None) -> dict[str, Any]:
    """The gated metrics of the new bundle and of the champion, on the same held-out texts."""
    parts = [pd.read_parquet(f"data/splits/{name}.parquet", columns=["text", "label"]) for name in ("test", "transfer")]
    test = pd.concat(parts, ignore_index=True)
    found = {"words": _figures(load(bundle), test) | {"deployable": True}}
    found["words"]["metrics"]["size_mb"] = exact(size_mb(bundle)).to_json()
    found["words"]["metrics"]["latency_p95_ms"] = exact(_latency_ms(load(bundle), test["text"].tolist())).to_json()
    if champion is not None:
        found["champion"] = _figures(load(champion), test) | {"deployable": False}
        gain = found["words"]["metrics"]["accuracy"]["value"] - found["champion"]["metrics"]["accuracy"]["value"]
        found["words"]["against"] = {"champion": {"accuracy": exact(gain, len(test)).to_json()}}
    return found


def _figures(predictor: Predictor, test: pd.DataFrame) -> dict[str, Any]:
    right = predictor.predict_proba(test["text"].tolist()).argmax(axis=1) == class_indices(test, predictor.labels)
    return {"metrics": {"accuracy": proportion_estimate(int(right.sum()), len(test)).to_json()}, "against": {}}


def _latency_ms(predictor: Predictor, texts: list[str]) -> float:
    """95th percentile over single texts."""
    import time

    seen = []
    for text in texts[:100]:
        start = time.perf_counter()
        predictor.predict_proba([text])
        seen.append(1000 * (time.perf_counter() - start))
    return float(np.percentile(seen, 95))


def _answers() -> pd.DataFrame:
    """Human-labelled texts: id, text, label."""
    from ratchet.labels.resolution import current_decisions
    from ratchet.labels.store import read_store

    if not POINTER.is_file():
        return pd.DataFrame({"id": [], "text": [], "label": []}, dtype="str")
    decisions = current_decisions(read_store(POINTER, STORE).decisions)
    return decisions[decisions["state"] == "resolved"][["id", "text", "label"]]


if __name__ == "__main__":
    entry(main)
